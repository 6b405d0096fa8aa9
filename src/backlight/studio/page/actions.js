// What the page does with the server: opening, fetching the numbers, what-ifs, training.

import { batch } from "./vendor/preact-signals/signals.js";
import { Report, Socket } from "./socket.js";
import {
  asking,
  at,
  catalogue,
  connection,
  emptyScalars,
  frame,
  loading,
  notify,
  offline,
  outlineAnswer,
  playing,
  prediction,
  readAddress,
  scalars,
  selectNamed,
  server,
  showTrace,
  speed,
  trace,
  traceProblem,
  tour,
  wanted,
} from "./store.js";
import { startTour } from "./tour-store.js";

let link = null;
let session = null;
let pendingWhere = null;
let pendingAddress = null;

/** Connect, or read the report in the page. */
export function start() {
  const element = document.getElementById("backlight-report");
  const handlers = { push, connection: connectionChanged };
  pendingAddress = readAddress();
  if (element) {
    const report = JSON.parse(element.textContent);
    offline.value = true;
    asking.value = Boolean(report.relay);
    link = new Report(report, handlers);
  } else link = new Socket(handlers);
}

function connectionChanged(state, reason) {
  connection.value = reason ?? state;
}

function push(name, data) {
  if (name === "hello") hello(data);
  else if (name === "state") stateChanged(data);
  else if (name === "scalars") scalarsArrived(data);
  else if (name === "frame") frameArrived(data);
  else if (name === "notice") notify(data.message, data.level);
}

function hello(data) {
  const before = server.peek();
  batch(() => {
    catalogue.value = data.catalogue;
    server.value = data.state;
    scalars.value = { ...emptyScalars(), ...data.scalars };
  });
  const first = session === null;
  const other =
    !first && (data.state?.session !== session || data.state?.subject?.kind !== before?.subject?.kind);
  session = data.state?.session ?? 0;
  if (other) forget();
  if (first && pendingAddress && !offline.value && openFromAddress(pendingAddress)) return;
  if (first && offline.value)
    at.value = {
      ...at.value,
      ...(link.report.answers.find((each) => each.do === "trace")?.at ?? {}),
      edits: [],
    };
  if (first && pendingAddress?.step !== undefined)
    at.value = { ...at.value, step: Number(pendingAddress.step) };
  if (first && pendingAddress?.example !== undefined)
    at.value = { ...at.value, example: Number(pendingAddress.example) };
  refresh(first ? firstWhere() : "keep");
}

function firstWhere() {
  const subject = server.value?.subject;
  if (pendingAddress?.moment !== undefined) return Number(pendingAddress.moment);
  return subject?.kind === "example" || subject?.kind === "formula" ? "start" : "end";
}

/** Open what a link names, when the server shows something else. */
function openFromAddress(wanted) {
  const subject = server.value?.subject ?? {};
  let what = null;
  if (wanted.chapter && !(subject.kind === "example" && subject.name === wanted.chapter))
    what = { kind: "example", name: wanted.chapter };
  if (wanted.run && !(subject.kind === "run" && subject.path === wanted.run))
    what = { kind: "run", path: wanted.run };
  if (wanted.formula && !(subject.kind === "formula" && subject.text === wanted.formula)) {
    what = { kind: "formula", text: wanted.formula, at: readJson(wanted.at) };
  }
  if (!what) return false;
  open(what, wanted.moment === undefined ? null : Number(wanted.moment));
  return true;
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** What was looked at belonged to something else. */
function forget() {
  batch(() => {
    at.value = { step: null, example: null, edits: [] };
    prediction.value = null;
    frame.value = null;
    outlineAnswer.value = null;
    playing.value = false;
  });
}

function stateChanged(state) {
  if (session !== null && state.session < session) return; // said before the answer that is here already
  const opened = state.session !== session;
  session = state.session;
  batch(() => {
    server.value = state;
    if (opened) {
      forget();
      scalars.value = emptyScalars();
      if (state.subject?.kind !== "example" && tour.value.open) tour.value = { ...tour.value, open: false };
    }
  });
  if (opened) refresh(pendingWhere ?? firstWhere());
  else if (!state.training?.running) refreshSoon("keep");
}

function scalarsArrived(data) {
  if (data.session !== session) return;
  const now = scalars.value;
  const expected = now.step.length ? now.step.at(-1) + 1 : 0;
  if (data.from > expected && now.step.length) {
    loadScalars();
    return;
  }
  const skip = Math.max(0, expected - data.from);
  const steps = data.loss.map((_, k) => data.from + k).slice(skip);
  if (!steps.length) return;
  const join = (name) => (now[name] ?? []).concat((data[name] ?? []).slice(skip));
  const metrics = { ...now.metrics };
  for (const [name, list] of Object.entries(data.metrics ?? {}))
    metrics[name] = (metrics[name] ?? []).concat(list.slice(skip));
  scalars.value = {
    ...now,
    step: now.step.concat(steps),
    loss: join("loss"),
    gradient_norm: join("gradient_norm"),
    learning_rate: join("learning_rate"),
    metrics,
  };
}

/** Fetch the whole history again. */
export async function loadScalars() {
  try {
    const answer = await ask("scalars", { most: 4000 });
    if (answer.session === session) scalars.value = { ...emptyScalars(), ...answer };
  } catch (error) {
    complain(error);
  }
}

function frameArrived(data) {
  if (data.session !== session) return;
  frame.value = data;
  const state = server.value;
  if (state?.training) {
    server.value = {
      ...state,
      training: { ...state.training, step: data.step, epoch: data.epoch, loss: data.loss },
    };
  }
  if (data.prediction && at.value.step === null) prediction.value = data.prediction;
  if (at.value.step === null) refreshSoon("keep", 220);
}

/** Ask the server; a failure is an Error with a sentence. */
export function ask(name, fields = {}) {
  return link.request(name, fields);
}

/** Show an error as a notice. */
export function complain(error) {
  notify(error.message, offline.value ? "info" : "error");
}

let timer = null;
let refreshing = false;
let again = null;

function refreshSoon(where, wait = 60) {
  if (timer) return;
  timer = setTimeout(() => {
    timer = null;
    refresh(where);
  }, wait);
}

/** Fetch the trace, the outline and the prediction for what is looked at. One at a time, latest wins. */
export async function refresh(where = "keep") {
  if (refreshing) {
    again = again && again !== "keep" ? again : where;
    return;
  }
  refreshing = true;
  loading.value = true;
  const wanted = { ...at.value };
  try {
    const answer = await ask("trace", { at: wanted });
    if (answer.session === undefined || answer.session === session) {
      batch(() => {
        showTrace(answer.trace, where);
        if (answer.folds?.too_large) traceProblem.value = answer.folds.too_large;
        if (pendingAddress?.node) selectNamed(pendingAddress.node);
      });
      afterOpening();
      refreshPanels(wanted);
    }
  } catch (error) {
    complain(error);
  }
  refreshing = false;
  loading.value = false;
  if (again !== null) {
    const next = again;
    again = null;
    refresh(next);
  }
}

function afterOpening() {
  if (
    pendingAddress &&
    !pendingAddress.node &&
    !pendingAddress.moment &&
    !pendingAddress.run &&
    server.value?.subject?.kind === "example"
  ) {
    startTour(0);
  } else if (pendingAddress?.tour !== undefined) startTour(Number(pendingAddress.tour), false);
  pendingAddress = null;
  pendingWhere = null;
}

async function refreshPanels(wanted) {
  const [outline, predicted] = await Promise.allSettled([
    ask("outline", { at: wanted }),
    ask("prediction", { at: wanted }),
  ]);
  if (outline.status === "fulfilled" && fresh(outline.value)) outlineAnswer.value = outline.value;
  if (predicted.status === "fulfilled" && fresh(predicted.value)) prediction.value = predicted.value;
}

/** Whether an answer is about what is open now. */
export function fresh(answer) {
  return answer && (answer.session === undefined || answer.session === session);
}

/** Open a formula, an example, a run or a live training. Gives whether it worked. */
export async function open(what, where = null) {
  pendingWhere = where;
  try {
    const state = await ask("open", { what });
    if (state.session !== session || !trace.value) stateChanged(state);
    return true;
  } catch (error) {
    pendingWhere = null;
    complain(error);
    if (!trace.value) refresh("start");
    return false;
  }
}

/** Look at another training step; null is the newest. */
export function goToStep(step) {
  const most = server.value?.training?.step ?? 0;
  at.value = {
    ...at.value,
    step: step === null || Number.isNaN(step) ? null : Math.max(0, Math.min(step, most)),
  };
  return refresh("keep");
}

/** Look at one row of the data alone; null is the whole batch. */
export function goToExample(row) {
  at.value = { ...at.value, example: row, edits: [] };
  return refresh("keep");
}

/** What if an entry of a leaf were another number? */
export function edit(node, index, value) {
  const same = (each) => each.node === node && String(each.index) === String(index);
  const edits = at.value.edits.filter((each) => !same(each)).concat([{ node, index, value }]);
  at.value = { ...at.value, edits };
  return refresh("keep");
}

/** Take all what-ifs back. */
export function clearEdits() {
  at.value = { ...at.value, edits: [] };
  return refresh("keep");
}

/** Training: start, pause, step, reset, speed. The new state is pushed; an answer may be older than it. */
export async function train(action, fields = {}) {
  try {
    if (action !== "pause" && at.value.step !== null) at.value = { ...at.value, step: null };
    await ask("train", { action, ...fields });
  } catch (error) {
    complain(error);
  }
}

/** Change the configuration of a live training; until it holds, the fields show what is wanted. */
export async function configure(config) {
  wanted.value = { ...wanted.value, ...config };
  try {
    const state = await ask("configure", { config });
    if (state.session !== session) stateChanged(state);
    else server.value = state;
  } catch (error) {
    complain(error);
  } finally {
    const left = Object.entries(wanted.value).filter(([name, value]) => config[name] !== value);
    wanted.value = Object.fromEntries(left);
  }
}

export async function setBreakpoints(breakpoints) {
  try {
    await ask("breakpoints", { breakpoints });
  } catch (error) {
    complain(error);
  }
}

/** Send a CSV; gives its description, or null after saying why not. */
export async function upload(file, target) {
  const limit = catalogue.value?.limits?.upload ?? 8388608;
  if (file.size > limit) {
    notify(
      `${file.name} is larger than the ${Math.round(limit / 1048576)} MiB that the studio accepts.`,
      "error",
    );
    return null;
  }
  const fields = new URLSearchParams({ token: token(), name: file.name });
  if (target) fields.set("target", target);
  try {
    const response = await fetch(`./upload?${fields}`, {
      method: "POST",
      body: file,
      headers: { "Content-Type": "text/csv" },
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.message);
    return answer;
  } catch (error) {
    complain(error);
    return null;
  }
}

export function token() {
  return new URLSearchParams(location.search).get("token") ?? "";
}

/** The targets that a report can explain. */
export function explainable() {
  return asking.value ? null : link.targets();
}
