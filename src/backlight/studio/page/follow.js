// What goes on by itself: playing, the explanation and the entries that follow the selection.

import { effect, untracked } from "./vendor/preact-signals/signals.js";
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
  shown,
  speed,
  stepBy,
  subject,
  tour,
  trace,
  unit,
} from "./store.js";
import { sentencesOf, showSentence } from "./tour-store.js";

/** Begin to follow. */
export function followAlong() {
  playAlong();
  explainAlong();
  fetchAlong();
  tourAlong();
}

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
      ask("entries", {
        at: shown.peek().at ?? at.peek(),
        node: node.position ?? node.index,
        what,
        start: 0,
        count: LARGEST_FETCH,
      }),
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

let explaining = false;
let wanted = null;

/** The explanation follows the selection and the numbers: those that are shown, one at a time. */
function explainAlong() {
  let wait = null;
  effect(() => {
    const current = trace.value;
    const { node, entry } = selection.value;
    if (!current || node === null || !current.nodes[node]) {
      wanted = null;
      return;
    }
    const target = current.target(node, entry);
    const { session, at: where } = shown.peek();
    const other = wanted?.target !== target || wanted.session !== session;
    wanted = { target, session, at: where ?? at.peek(), known: Boolean(current.nodes[node].gradient) };
    if (explanation.peek().target !== target) explanation.value = { status: "loading", target };
    if (other) clearTimeout(wait);
    else if (wait) return; // numbers that stream by do not put it off again and again
    const rest = !other && server.peek()?.training?.running ? 300 : 60;
    wait = setTimeout(() => {
      wait = null;
      explain();
    }, rest);
  });
}

async function explain() {
  if (explaining || !wanted) return;
  const now = wanted;
  const { target, session, at: where } = now;
  if (!now.known) {
    explanation.value = { status: "none", target };
    return;
  }
  explaining = true;
  let found;
  try {
    const answer = await ask("explain", { at: where, target });
    found = { status: "ready", target, session, answer };
  } catch (error) {
    found = { status: "error", target, session, message: error.message };
  }
  explaining = false;
  if (wanted?.target === target && wanted.session === session && (!found.answer || fresh(found.answer)))
    explanation.value = found;
  if (wanted !== now) explain();
}

/** The tour shows what its sentence is about, once for each time that the sentence is read. */
function tourAlong() {
  let done = "";
  effect(() => {
    const { open, turn, moment, move } = tour.value;
    const name = subject.value?.name;
    const sentence = sentencesOf(subject.value)[moment];
    const key = `${turn} ${moment} ${name}`;
    if (!open) done = "";
    if (!open || !sentence || !trace.value || key === done) return;
    done = key;
    if (move !== false) untracked(() => showSentence(sentence));
  });
}

/** Step with the keys: by node, layer or batch. */
export function step(sign) {
  if (unit.value === "batch") return stepBatch(sign);
  return stepBy(sign);
}
