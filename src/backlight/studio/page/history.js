// The numbers of every step of a training as the page keeps them: pushed in order, joined, bounded.

/** Steps that are kept; when there are more, every second one is let go. */
export const MOST = 100_000;

/** No history yet; `end` is the number of steps that are known of, `every` the distance of those listed. */
export function emptyScalars() {
  return { step: [], loss: [], gradient_norm: [], learning_rate: [], metrics: {}, every: 1, end: 0 };
}

/** A history as the server answers it. */
export function readScalars(answer) {
  return { ...emptyScalars(), ...answer, end: answer?.end ?? answer?.step?.length ?? 0 };
}

/**
 * Join what was pushed to a history, in place: copying it thirty times a second would cost more than
 * all the rest. Gives the history, or null when steps are missing in between.
 */
export function joined(now, pushed, most = MOST) {
  if (pushed.from > now.end) return null;
  const columns = columnsOf(now, pushed);
  const count = pushed.loss.length;
  let end = now.end;
  for (let k = Math.max(0, now.end - pushed.from); k < count; k++, end++) {
    const last = now.step.length - 1;
    if (last >= 0 && now.step[last] % now.every) replace(now, columns, last, pushed.from + k, k);
    else replace(now, columns, last + 1, pushed.from + k, k);
  }
  let { every } = now;
  while (now.step.length > most) {
    every *= 2;
    thin(now, columns, every);
  }
  return { ...now, every, end };
}

function columnsOf(now, pushed) {
  const pairs = ["loss", "gradient_norm", "learning_rate"].map((name) => [now[name], pushed[name] ?? []]);
  for (const [name, list] of Object.entries(pushed.metrics ?? {})) {
    now.metrics[name] ??= now.step.map(() => null);
    pairs.push([now.metrics[name], list]);
  }
  return pairs;
}

/** The newest step is always there; it makes room for the next one unless it is one that stays. */
function replace(now, columns, place, step, k) {
  now.step[place] = step;
  for (const [own, given] of columns) own[place] = given[k] ?? null;
}

function thin(now, columns, every) {
  let kept = 0;
  const last = now.step.length - 1;
  now.step.forEach((step, k) => {
    if (step % every && k < last) return;
    now.step[kept] = step;
    for (const [own] of columns) own[kept] = own[k];
    kept++;
  });
  now.step.length = kept;
  for (const [own] of columns) own.length = kept;
}
