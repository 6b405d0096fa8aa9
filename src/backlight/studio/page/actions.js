// What the page does with the server: opening, fetching the numbers, what-ifs, training.

import { batch } from "./vendor/preact-signals/signals.js";
import { emptyScalars, joined, readScalars } from "./history.js";
import { Report, Socket } from "./socket.js";
import {
  asking,
  at,
  catalogue,
  connection,
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
  shown,
  trace,
  traceProblem,
  tour,
  wanted,
} from "./store.js";
import { startTour } from "./tour-store.js";

let link = null;
let session = null;
let changes = -1;
let pending = null; // what is being opened: {what, where, withTour}
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
    scalars.value = readScalars(data.scalars);
  });
  const first = session === null;
  if (!first) shown.value = { ...shown.value, session: -1 }; // perhaps another server: until its numbers are here
  const other =
    !first && (data.state?.session !== session || data.state?.subject?.kind !== before?.subject?.kind);
  session = data.state?.session ?? 0;
  changes = data.state?.changes ?? 0;
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
function openFromAddress(address) {
  const subject = server.value?.subject ?? {};
  let what = null;
  if (address.chapter && !(subject.kind === "example" && subject.name === address.chapter))
    what = { kind: "example", name: address.chapter };
  if (address.run && !(subject.kind === "run" && subject.path === address.run))
    what = { kind: "run", path: address.run };
  if (address.formula && !(subject.kind === "formula" && subject.text === address.formula)) {
    what = { kind: "formula", text: address.formula, at: readJson(address.at) };
  }
  if (!what) return false;
  open(what, address.moment === undefined ? null : Number(address.moment));
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

/** A state, pushed or answered; one that was written before the one on the screen says nothing new. */
function stateChanged(state) {
  const opened = state.session !== session;
  if (session !== null && (opened ? state.session < session : (state.changes ?? 0) <= changes)) return;
  session = state.session;
  changes = state.changes ?? 0;
  batch(() => {
    server.value = state;
    if (opened) {
      forget();
      scalars.value = emptyScalars();
      if (state.subject?.kind !== "example" && tour.value.open) tour.value = { ...tour.value, open: false };
    }
  });
  if (opened && state.subject?.kind === "run") loadScalars();
  if (opened) refresh((expected(state.subject) ? pending.where : null) ?? firstWhere());
  else if (!state.training?.running) refreshSoon("keep");
}

let waiting = null; // the pushes that came while the whole history was on its way

function scalarsArrived(data) {
  if (data.session !== session) return;
  if (waiting) {
    waiting.push(data);
    return;
  }
  const found = joined(scalars.value, data);
  if (found) scalars.value = found;
  else loadScalars(data);
}

/** Fetch the whole history again, and join what was pushed meanwhile. */
async function loadScalars(...pushed) {
  waiting = pushed;
  let pushes = [];
  try {
    const answer = await ask("scalars", { most: 4000 });
    if (answer.session === session) scalars.value = readScalars(answer);
    pushes = waiting;
  } catch (error) {
    complain(error);
  }
  waiting = null;
  pushes.forEach(scalarsArrived);
}

function frameArrived(data) {
  if (data.session !== session) return;
  frame.value = data;
  const state = server.value;
  if (state?.training && data.step >= state.training.step) {
    server.value = {
      ...state,
      training: { ...state.training, step: data.step, epoch: data.epoch, loss: data.loss },
    };
  }
  if (data.prediction && at.value.step === null)
    prediction.value = { session: data.session, ...data.prediction };
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
let refreshing = null;
let next = null;

function refreshSoon(where, wait = 60) {
  if (timer) return;
  timer = setTimeout(() => {
    timer = null;
    refresh(where);
  }, wait);
}

/** Fetch the trace, the outline and the prediction for what is looked at. One at a time, latest wins. */
export function refresh(where = "keep") {
  next = next !== null && next !== "keep" ? next : where;
  refreshing ??= fetchLatest().finally(() => (refreshing = null));
  return refreshing;
}

async function fetchLatest() {
  loading.value = true;
  while (next !== null) {
    const where = next;
    next = null;
    await fetchTrace(where);
  }
  loading.value = false;
}

async function fetchTrace(where) {
  const asked = { ...at.value };
  const about = session;
  try {
    const answer = await ask("trace", { at: asked });
    if (!fresh(answer)) return;
    batch(() => {
      const named = shown.value.subject?.name;
      shown.value = { session, subject: server.value?.subject ?? null, at: answer.at ?? asked };
      showTrace(answer.trace, where);
      if (answer.folds?.too_large) traceProblem.value = answer.folds.too_large;
      if (pendingAddress?.node) selectNamed(pendingAddress.node);
      if (named !== undefined && named !== shown.value.subject?.name) tour.value = { ...tour.value, moment: 0 };
      afterOpening();
    });
    refreshPanels(asked);
  } catch (error) {
    complain(error);
    if (about === session && shown.value.session !== session) nothingToShow(error);
  }
}

/** What was opened has no numbers: those of what was open before do not stay under its name. */
function nothingToShow(error) {
  batch(() => {
    shown.value = { session, subject: server.value?.subject ?? null, at: null };
    trace.value = null;
    traceProblem.value = error.message;
  });
  refreshPanels({ ...at.value });
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
  if (!expected(shown.value.subject)) return;
  if (pending.withTour) startTour(0);
  pending = null;
}

/** Whether a subject is what was asked for last; what was asked for before may come in between. */
function expected(subject) {
  const { kind, name } = pending?.what ?? {};
  return Boolean(pending) && subject?.kind === kind && (kind !== "example" || subject.name === name);
}

let panels = 0;

/** The panels beside the graph; an answer that another has overtaken is not shown. */
async function refreshPanels(asked) {
  const number = ++panels;
  const [outline, predicted] = await Promise.allSettled([
    ask("outline", { at: asked }),
    ask("prediction", { at: asked }),
  ]);
  if (number !== panels) return;
  if (outline.status === "fulfilled" && fresh(outline.value)) outlineAnswer.value = outline.value;
  if (predicted.status === "rejected") prediction.value ??= { kind: "none" };
  else if (fresh(predicted.value) && timely(predicted.value, asked.step)) prediction.value = predicted.value;
}

/** Whether a prediction is of the step that is looked at; a frame may have brought a newer one. */
function timely(answer, step) {
  if (at.value.step !== step) return false;
  const before = prediction.value;
  return step !== null || !(before?.session === answer.session && before.step > answer.step);
}

/** Whether an answer is about what is open now. */
export function fresh(answer) {
  return answer && (answer.session === undefined || answer.session === session);
}

/** Open a formula, an example, a run or a live training, perhaps with the tour. Gives whether it worked. */
export async function open(what, where = null, withTour = false) {
  const own = (pending = { what, where, withTour });
  try {
    stateChanged(await ask("open", { what }));
    await refreshing;
    return true;
  } catch (error) {
    if (pending === own) pending = null;
    complain(error);
    if (!trace.value) refresh(firstWhere());
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
  if (shown.value.session !== session && shown.value.session !== null) return undefined; // it is about to go
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

/** Settings that were asked for show what is wanted until they hold, or are refused. */
async function want(fields, send) {
  wanted.value = { ...wanted.value, ...fields };
  try {
    stateChanged(await send());
    return true;
  } catch (error) {
    complain(error);
    return false;
  } finally {
    const left = Object.entries(wanted.value).filter(([name, value]) => fields[name] !== value);
    wanted.value = Object.fromEntries(left);
  }
}

/** Training: start, pause, step, reset, speed. */
export function train(action, fields = {}) {
  if (action !== "pause" && action !== "speed" && at.value.step !== null)
    at.value = { ...at.value, step: null };
  return want(fields.speed === undefined ? {} : { speed: fields.speed }, () =>
    ask("train", { action, ...fields }),
  );
}

/** Change the configuration of a live training; another subject first becomes one. */
export function configure(config) {
  return want(config, () =>
    server.value?.subject?.kind === "live"
      ? ask("configure", { config })
      : ask("open", { what: { kind: "live", config: { ...catalogue.value.config, ...wanted.value } } }),
  );
}

/** Replace the breakpoints. Gives whether they were taken. */
export function setBreakpoints(breakpoints) {
  return want({}, () => ask("breakpoints", { breakpoints }));
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
