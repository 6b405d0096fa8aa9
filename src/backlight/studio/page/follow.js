// What goes on by itself: playing, the explanation and the entries that follow the selection.

import { effect } from "./vendor/preact-signals/signals.js";
import { ask, fresh, goToStep, train } from "./actions.js";
import {
  asking,
  at,
  cursor,
  explanation,
  last,
  playing,
  selection,
  server,
  speed,
  stepBy,
  trace,
  unit,
} from "./store.js";

/** Begin to follow. */
export function followAlong() {
  playAlong();
  explainAlong();
  fetchAlong();
}

let asked = 0;
const LARGEST_FETCH = 65536;

/** Fetch the entries of a selected node whose arrays came summarised. */
function fetchAlong() {
  effect(() => {
    const current = trace.value;
    const node = current?.nodes[selection.value.node];
    if (!node || !asking.value || server.peek()?.training?.running) return;
    const missing = ["value", "gradient"].filter(
      (what) => node[what]?.summary && node[what].size <= LARGEST_FETCH,
    );
    if (missing.length) fetchEntries(current, node, missing);
  });
}

async function fetchEntries(current, node, missing) {
  const found = await Promise.allSettled(
    missing.map((what) =>
      ask("entries", { at: at.peek(), node: node.name, what, start: 0, count: LARGEST_FETCH }),
    ),
  );
  if (trace.peek() !== current) return;
  missing.forEach((what, k) => {
    const answer = found[k].value;
    if (answer?.data)
      node[what] = { ...node[what], data: Float64Array.from(answer.data, Number), summary: null };
  });
  if (found.some((each) => each.status === "fulfilled")) trace.value = current.again();
}

/** Playing: one step after another, at the chosen speed. */
function playAlong() {
  let ticking = null;
  effect(() => {
    clearInterval(ticking);
    if (!playing.value) return;
    ticking = setInterval(tick, 1000 / speed.value);
  });
}

function tick() {
  if (document.hidden) return;
  if (unit.value === "batch") stepBatch(1);
  else if (cursor.peek() >= last.peek()) playing.value = false;
  else stepBy(1);
}

let batching = false;

/** From one batch of the training to the next, or back. */
export async function stepBatch(sign) {
  if (batching) return;
  const training = server.value?.training;
  if (!training) return;
  batching = true;
  const here = at.value.step ?? training.step;
  if (here + sign > training.step && server.value.live) await train("step", { count: 1 });
  else if (here + sign > training.step) playing.value = false;
  else await goToStep(Math.max(0, here + sign));
  batching = false;
}

/** The explanation follows the selection and the numbers. */
function explainAlong() {
  let wait = null;
  effect(() => {
    const current = trace.value;
    const { node, entry } = selection.value;
    clearTimeout(wait);
    if (!current || node === null || !current.nodes[node]) return;
    const target = current.target(node, entry);
    const where = { ...at.peek() };
    if (explanation.peek().target !== target) explanation.value = { status: "loading", target };
    wait = setTimeout(() => explain(target, where), server.peek()?.training?.running ? 300 : 60);
  });
}

async function explain(target, where) {
  const number = ++asked;
  const node = trace.peek().nodes[selection.peek().node];
  if (!node?.gradient) {
    explanation.value = { status: "none", target };
    return;
  }
  try {
    const answer = await ask("explain", { at: where, target });
    if (number === asked && fresh(answer)) explanation.value = { status: "ready", target, answer };
  } catch (error) {
    if (number === asked) explanation.value = { status: "error", target, message: error.message };
  }
}

/** Step with the keys: by node, layer or batch. */
export function step(sign) {
  if (unit.value === "batch") return stepBatch(sign);
  return stepBy(sign);
}
