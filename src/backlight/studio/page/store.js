// The state of the page: one trace, one cursor, one selection. Every panel reads these signals.

import { batch, computed, effect, signal } from "./vendor/preact-signals/signals.js";
import { defaultDetail, deepest, fold } from "./fold.js";
import { emptyScalars } from "./history.js";
import { layerStep, schedule } from "./stepping.js";
import { Trace } from "./trace.js";

// What the server says.
export const catalogue = signal(null);
export const server = signal(null);
export const scalars = signal(emptyScalars());
export const frame = signal(null);
export const prediction = signal(null);
export const outlineAnswer = signal(null);
export const connection = signal("connecting");
export const offline = signal(false);
/** Whether other numbers can be asked for: from the studio, or from a notebook, not in a saved report. */
export const asking = signal(true);
export const notices = signal([]);
/** Settings that were asked for and not answered yet: fields of the configuration, the speed. */
export const wanted = signal({});

// Which numbers are looked at.
export const at = signal({ step: null, example: null, edits: [] });
export const trace = signal(null);
/** What the trace belongs to: its session and subject, and the `at` that it was recorded for. */
export const shown = signal({ session: null, subject: null, at: null });
export const traceProblem = signal(null);
export const loading = signal(false);

// How they are looked at.
export const cursor = signal(0);
export const playing = signal(false);
export const speed = signal(1);
export const unit = signal("node");
export const direction = signal("both");
export const view = signal("graph");
export const detail = signal(0);
export const overrides = signal(new Map());
export const selection = signal({ node: null, entry: null });
export const litPath = signal(null);
export const explanation = signal({ status: "idle" });
export const theme = signal("auto");
export const dialog = signal(null);
export const tour = signal({ open: false, chapter: 0, moment: 0 });
export const narrow = signal(false);

export const folding = computed(() =>
  trace.value ? fold(trace.value, detail.value, overrides.value, kept()) : null,
);
export const plan = computed(() => (trace.value ? schedule(trace.value, folding.value) : null));
export const moment = computed(() => plan.value?.moments[Math.min(cursor.value, last.value)] ?? null);
export const last = computed(() => (plan.value ? plan.value.moments.length - 1 : 0));
/** The selection and everything that it leads to: the paths by which it acts on the loss. */
export const route = computed(() => {
  const found = new Set();
  if (!trace.value || selection.value.node === null) return found;
  const waiting = [selection.value.node];
  while (waiting.length) {
    const node = waiting.pop();
    if (found.has(node) || !trace.value.nodes[node]) continue;
    found.add(node);
    for (const edge of trace.value.leaving[node]) waiting.push(edge.target);
  }
  return found;
});
/** The nodes on the lit path, null when nothing is lit. */
export const litNodes = computed(() => (litPath.value ? new Set(litPath.value.nodes) : null));
export const levels = computed(() => (trace.value ? deepest(trace.value) : 0));
/** The subject whose numbers are on the screen; another one is that only when its trace is there. */
export const subject = computed(() =>
  shown.value.session !== null && server.value?.session !== shown.value.session
    ? shown.value.subject
    : (server.value?.subject ?? null),
);
export const title = computed(() => subject.value?.title ?? subject.value?.name ?? "");

function kept() {
  const found = new Set(litPath.value?.nodes ?? []);
  return found;
}

/** Show a trace; `where` says at which moment: "start", "end", a number, or "keep". */
export function showTrace(written, where = "keep") {
  let next;
  try {
    next = new Trace(written);
  } catch (error) {
    traceProblem.value = error.message;
    return;
  }
  const before = trace.value;
  const same = before && sameShape(before, next);
  const fraction = last.value ? cursor.value : 0;
  batch(() => {
    traceProblem.value = null;
    if (!same) {
      detail.value = defaultDetail(next);
      overrides.value = new Map();
      litPath.value = null;
      selection.value = { node: null, entry: null };
    }
    trace.value = next;
    if (where === "keep") cursor.value = same ? Math.min(fraction, last.value) : last.value;
    else if (where === "start") cursor.value = 0;
    else if (where === "end") cursor.value = last.value;
    else cursor.value = Math.min(Number(where) || 0, last.value);
    if (selection.value.node === null) selectDefault(next);
  });
}

function sameShape(a, b) {
  return (
    a.nodes.length === b.nodes.length &&
    a.nodes.every((node, k) => node.name === b.nodes[k].name && node.operation === b.nodes[k].operation)
  );
}

function selectDefault(next) {
  const first = next.nodes.find((node) => node.role === "parameter" && node.gradient);
  selection.value = { node: (first ?? next.nodes[next.output]).index, entry: null };
}

/** Select a node, and one entry of it. */
export function select(node, entry = null) {
  batch(() => {
    const shape = trace.value?.nodes[node]?.shape;
    const flat = shape && shape.length ? entry : null;
    if (selection.value.node !== node || selection.value.entry !== flat) litPath.value = null;
    selection.value = { node, entry: flat };
  });
}

/** Go to a moment. */
export function goTo(index) {
  cursor.value = Math.max(0, Math.min(index, last.value));
}

/** One step in the chosen unit. */
export function stepBy(sign) {
  if (!plan.value) return;
  goTo(unit.value === "layer" ? layerStep(trace.value, plan.value, cursor.value, sign) : cursor.value + sign);
}

/** Go to the moment at which a node's value is there, or its gradient is complete. */
export function goToNode(index, phase) {
  const current = plan.value;
  if (phase === "forward") return goTo(current.valueAt[index]);
  if (index === trace.value.output) return goTo(current.seedAt);
  const arrivals = trace.value.leaving[index].map((edge) => current.edgeAt[edge.index]);
  return goTo(arrivals.length ? Math.max(...arrivals) : current.backwardEnd);
}

/** Fold or unfold one scope. */
export function toggleScope(scope, folded) {
  keepMoment(() => {
    const next = new Map(overrides.value);
    next.set(scope, folded);
    overrides.value = next;
  });
}

/** Show more or less detail. */
export function changeDetail(by) {
  keepMoment(() => {
    overrides.value = new Map();
    detail.value = Math.max(0, Math.min(levels.value, detail.value + by));
  });
}

/** Folding changes the list of moments; the cursor stays at what it pointed to. */
function keepMoment(change) {
  const before = moment.value;
  const atEnd = cursor.value === last.value;
  batch(change);
  if (!plan.value || !before) return;
  const { moments } = plan.value;
  if (atEnd) return goTo(moments.length - 1);
  const index = moments.findIndex(
    (each) => each.kind === before.kind && each.node === before.node && each.edge === before.edge,
  );
  if (index >= 0) return goTo(index);
  const place = { start: 0, forward: plan.value.forwardEnd, seed: plan.value.seedAt };
  return goTo(place[before.kind] ?? plan.value.backwardEnd);
}

let noticeNumber = 0;

/** Say a sentence to the person. */
export function notify(message, level = "info") {
  const id = ++noticeNumber;
  const others = notices.value.filter((each) => each.message !== message);
  notices.value = [...others.slice(-2), { id, message, level }];
  if (level === "info") setTimeout(() => dismiss(id), 6000);
}

export function dismiss(id) {
  notices.value = notices.value.filter((each) => each.id !== id);
}

// The address holds what is on the screen.

/** What the address says: run, step, example, node, moment, tour. */
export function readAddress(hash = location.hash) {
  return Object.fromEntries(new URLSearchParams(hash.replace(/^#/, "")));
}

/** Keep the address up to date. */
export function followAddress() {
  let timer = null;
  effect(() => {
    const current = address();
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (!subject.value || location.protocol === "about:") return;
      try {
        history.replaceState(null, "", `${location.pathname}${location.search}#${current}`);
      } catch {
        clearTimeout(timer);
      }
    }, 250);
  });
}

/** The address of the present view. */
export function address() {
  const fields = new URLSearchParams();
  const about = subject.value;
  if (about?.kind === "example") fields.set("chapter", about.name);
  if (about?.kind === "run" && about.path) fields.set("run", about.path);
  if (about?.kind === "formula") {
    fields.set("formula", about.text);
    fields.set("at", JSON.stringify(about.at));
  }
  if (at.value.step !== null) fields.set("step", at.value.step);
  if (at.value.example !== null) fields.set("example", at.value.example);
  if (trace.value && selection.value.node !== null) {
    fields.set("node", trace.value.target(selection.value.node, selection.value.entry));
  }
  fields.set("moment", cursor.value);
  if (tour.value.open) fields.set("tour", tour.value.moment);
  return fields.toString();
}

/** Select what a name such as `layers.0.weight[3,1]` stands for; whether there is one. */
export function selectNamed(target) {
  const match = /^(.*?)(?:\[([\d,\s]+)\])?$/.exec(target);
  const node = trace.value?.byName.get(match[1]);
  if (node === undefined) return false;
  const { shape } = trace.value.nodes[node];
  let entry = null;
  if (match[2] && shape.length) {
    const index = match[2].split(",").map(Number);
    entry = index.reduce((flat, each, axis) => flat * shape[axis] + each, 0);
  }
  select(node, entry);
  return true;
}
