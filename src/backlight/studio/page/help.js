// Dialogs: help with all keys, typing a formula, breakpoints.

import { html } from "./html.js";
import { useEffect, useRef, useState } from "./vendor/preact/hooks.js";
import { open, setBreakpoints } from "./actions.js";
import { catalogue, dialog, server } from "./store.js";

const KEYS = [
  ["space", "play or pause"],
  [". and ,", "one step on or back"],
  ["Shift with . and ,", "one layer on or back"],
  ["Home, End", "to the start or end"],
  ["arrows", "follow the edges of the graph"],
  ["Enter", "explain the selected value"],
  ["T", "graph or table"],
  ["F, B, G", "forward, backward, both"],
  ["[ and ]", "less or more detail"],
  ["+, −, 0", "closer, farther, whole graph"],
  ["R", "start or pause training"],
  ["N", "one training step"],
  ["/", "search"],
  ["Escape", "close, or put a lit path out"],
  ["?", "this help"],
];

export function Dialogs() {
  const views = { help: Help, formula: Formula, breakpoints: Breakpoints };
  const View = views[dialog.value];
  return View ? html`<${Frame} key=${dialog.value}><${View} /><//>` : null;
}

function Frame({ children }) {
  const element = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => before?.focus?.();
  }, []);
  return html`<dialog ref=${element} class="dialog" aria-labelledby="dialog-title" onClose=${() => (dialog.value = null)}
    onClick=${(event) => event.target === element.current && element.current.close()}>${children}
    </dialog>`;
}

function Close() {
  return html`<form method="dialog" class="dialog-close"><button class="quiet icon" aria-label="Close">×</button></form>`;
}

function Help() {
  return html`<h2 id="dialog-title">Reading the page</h2><${Close} />
    <div class="prose"><p>Every box is a value that is computed; arrows lead from what goes in to what comes out. <strong>Forward</strong>, values are computed along the arrows.
      <strong>Backward</strong>, gradients come back against them: each edge carries <em>local derivative × upstream gradient</em>, and what arrives at a box is added up.
      A gradient that has not been computed says so; it is not 0.</p>
      <p>In pictures of arrays <span class="key positive"></span> a filled square is positive and <span class="key negative"></span> a hollow one (or a bar) is negative; the larger, the larger. Click an entry to follow that one number through every panel. Double-click a folded box to open it.</p></div>
    <h3>Keys</h3><dl class="keys">${KEYS.map(([key, what]) => html`<div key=${key}><dt>${key}</dt><dd>${what}</dd></div>`)}</dl>`;
}

function Formula() {
  const subject = server.value?.subject;
  const own = subject?.kind === "formula";
  const [text, setText] = useState(own ? subject.text : "(w*x - y)**2");
  const [numbers, setNumbers] = useState(
    own
      ? Object.entries(subject.at)
          .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
          .join(", ")
      : "w=1, x=1, y=2",
  );
  const [problem, setProblem] = useState("");
  const send = async (event) => {
    event.preventDefault();
    const at = readNumbers(numbers);
    if (typeof at === "string") return setProblem(at);
    setProblem("");
    if (await open({ kind: "formula", text, at }, "start")) dialog.value = null;
    else setProblem("The studio could not open it; the message says why.");
    return undefined;
  };
  return html`<h2 id="dialog-title">A formula</h2><${Close} /><form onSubmit=${send}>
    <label class="field wide"><span>formula</span><input type="text" class="code" value=${text} autofocus onInput=${(event) => setText(event.target.value)} /></label>
    <label class="field wide"><span>at</span><input type="text" class="code" value=${numbers} onInput=${(event) => setNumbers(event.target.value)} /></label>
    <p class="muted small">Functions: ${(catalogue.value?.functions ?? []).join(", ")}.</p>
    ${problem && html`<p class="small problem" role="alert">${problem}</p>`}
    <button class="primary">Open</button></form>`;
}

/** Read “w=1, x=[1, 2]”; a string is the sentence why not. */
function readNumbers(text) {
  const found = {};
  const pattern = /\s*([\p{L}_][\p{L}\w]*)\s*=\s*(\[[^=]*\]|[^,\s]+)\s*(?:,|$)/uy;
  let place = 0;
  while (place < text.trimEnd().length) {
    pattern.lastIndex = place;
    const match = pattern.exec(text);
    if (!match) return `Values are written like “w=1, x=[1, 2]”; this is not: “${text.slice(place).trim()}”.`;
    try {
      found[match[1]] = JSON.parse(match[2]);
    } catch {
      return `“${match[2]}” is not a number or a list of numbers.`;
    }
    place = pattern.lastIndex;
  }
  return found;
}

const KINDS = [
  ["nan", "the loss or a gradient is not finite"],
  ["dead", "a ReLU unit is zero for all rows (looked for many times a second, not at every step)"],
  ["gradient_norm", "the gradient's norm is above", "above", 10],
  ["loss-below", "the loss is below", "below", 0.1],
  ["loss-above", "the loss is above", "above", 5],
  ["step", "step", "at", 100],
];

function Breakpoints() {
  const present = server.value?.breakpoints ?? [];
  const find = (key) => present.find((each) => name(each) === key);
  const [draft, setDraft] = useState(() =>
    Object.fromEntries(
      KINDS.map(([key, , field, start]) => [
        key,
        { on: Boolean(find(key)), value: field ? (find(key)?.[field] ?? start) : null },
      ]),
    ),
  );
  const [problem, setProblem] = useState("");
  const put = (key, fields) => setDraft({ ...draft, [key]: { ...draft[key], ...fields } });
  const send = async (event) => {
    event.preventDefault();
    const chosen = KINDS.filter(([key]) => draft[key].on);
    const number = (key) => (String(draft[key].value).trim() === "" ? NaN : Number(draft[key].value));
    const wrong = chosen.find(([key, , field]) => field && !Number.isFinite(number(key)));
    if (wrong) return setProblem(`“${draft[wrong[0]].value}” is not a number for: ${wrong[1]}.`);
    setProblem("");
    const sent = await setBreakpoints(
      chosen.map(([key, , field]) => ({
        kind: key.split("-")[0],
        ...(field ? { [field]: number(key) } : {}),
      })),
    );
    if (sent) dialog.value = null;
    else setProblem("The breakpoints were not set; the message says why.");
    return undefined;
  };
  return html`<h2 id="dialog-title">Breakpoints</h2><${Close} /><form onSubmit=${send}>
    <p class="prose">Training pauses before the step at which …</p>
    ${KINDS.map(
      ([
        key,
        text,
        field,
      ]) => html`<div class="row breakpoint" key=${key}><label class="check"><input type="checkbox" checked=${draft[key].on} onChange=${(event) => put(key, { on: event.target.checked })} /> ${text}</label>
      ${field && html`<input type="text" inputmode="decimal" class="short" aria-label=${`${text} what`} value=${draft[key].value} onInput=${(event) => put(key, { value: event.target.value })} />`}</div>`,
    )}
    ${problem && html`<p class="small problem" role="alert">${problem}</p>`}
    <button class="primary">Set</button></form>`;
}

const name = (each) =>
  each.kind === "loss" ? (each.below === undefined ? "loss-above" : "loss-below") : each.kind;
