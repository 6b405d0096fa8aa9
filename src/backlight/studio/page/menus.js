// The menus Run, Data and Model: what is open, what it learns from, and how it is built.

import { html } from "./html.js";
import { useEffect, useState } from "./vendor/preact/hooks.js";
import { ask, complain, configure, open, upload } from "./actions.js";
import { format, plural } from "./numbers.js";
import { asking, catalogue, notify, offline, server, dialog, wanted } from "./store.js";
import { Typed } from "./typed.js";
import { openChapter } from "./tour.js";

export function RunMenu() {
  const [runs, setRuns] = useState(null);
  useEffect(() => {
    if (offline.value) return;
    ask("runs").then((answer) => setRuns(answer.runs), complain);
  }, []);
  const subject = server.value?.subject;
  if (offline.value) {
    return html`<div class="menu-part"><h2>${asking.value ? "In this notebook" : "This report"}</h2><p class="small">${subject?.title ?? subject?.name ?? "A trace"}</p>
      <p class="muted small">${asking.value ? "Values can be changed here; open" : "Open"} it with <code>backlight studio</code> to ${asking.value ? "train" : "change values or train"}.</p></div>`;
  }
  return html`<div class="menu-part"><h2>Worked examples</h2><ul class="menu-list">${(
    catalogue.value?.examples ?? []
  ).map(
    (each) => html`
      <li key=${each.name}><button type="button" data-closes aria-current=${subject?.name === each.name ? "true" : null} onClick=${() => openChapter(each.name)}>${each.title}</button></li>`,
  )}</ul></div>
    <div class="menu-part"><h2>New</h2><ul class="menu-list">
      <li><button type="button" data-closes onClick=${() => (dialog.value = "formula")}>Formula …<small>type one and see every step</small></button></li>
      <li><button type="button" data-closes onClick=${() => open({ kind: "live", config: catalogue.value.config })}>Live training<small>a small network on bundled data</small></button></li>
      <li><button type="button" data-closes onClick=${() => (dialog.value = "breakpoints")}>Breakpoints …<small>pause where something happens</small></button></li>
      <li><button type="button" data-closes onClick=${checkAll}>Check all gradients<small>by finite differences</small></button></li></ul></div>
    <div class="menu-part"><h2>Runs</h2>${
      runs === null
        ? html`<p class="muted small">looking …</p>`
        : runs.length === 0
          ? html`<p class="muted small">No run below this folder. <code>backlight train digits</code> makes one.</p>`
          : html`<ul class="menu-list run-list">${runs.map(
              (
                each,
              ) => html`<li key=${each.path}><button type="button" data-closes onClick=${() => open({ kind: "run", path: each.path })}>${each.name}
        <small>${plural(each.steps, "step")}${each.loss === null || each.loss === undefined ? "" : `, loss ${format(each.loss)}`}</small></button></li>`,
            )}</ul>`
    }</div>`;
}

async function checkAll() {
  try {
    const answer = await ask("check", { at: {} });
    notify(
      answer.text.split("\n").filter(Boolean).slice(0, 2).join(" "),
      answer.report.ok === false ? "error" : "info",
    );
  } catch (error) {
    complain(error);
  }
}

/** What the fields show: the configuration as it holds, and what has been asked for already. */
function config() {
  const { kind, config: own } = server.value?.subject ?? {};
  return { ...(kind === "live" ? own : catalogue.value?.config), ...wanted.value };
}

export function DataMenu() {
  const [problem, setProblem] = useState("");
  const [target, setTarget] = useState("");
  const now = config();
  const live = server.value?.subject?.kind === "live";
  const task = server.value?.task;
  const send = async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    setProblem("reading …");
    const found = await upload(file, target.trim());
    setProblem(found ? `${found.name}: ${plural(found.rows, "row")}, target ${found.target}` : "");
    event.target.value = "";
    if (found) configure({ data: found.id });
  };
  return html`<div class="menu-part"><h2>Data set</h2>
    <div class="choices">${(catalogue.value?.data ?? []).map(
      (
        each,
      ) => html`<button type="button" key=${each.name} class="choice" data-closes aria-pressed=${live && now.data === each.name}
      onClick=${() => configure({ data: each.name })}>${each.name}<small>${each.rows ? `${each.rows} rows, ` : ""}${each.kind === "regression" ? "numbers" : "classes"}</small></button>`,
    )}</div></div>
    ${
      live &&
      html`<div class="menu-part grid"><${NumberField} label="noise" value=${now.noise} empty="as it is" onValue=${(noise) => configure({ noise })} />
      <${NumberField} label="rows" value=${now.rows} empty="all" onValue=${(rows) => configure({ rows })} />
      <${NumberField} label="validation share" value=${now.validation} onValue=${(validation) => configure({ validation: validation ?? 0 })} />
      <label class="check"><input type="checkbox" checked=${now.standardize} onChange=${(event) => configure({ standardize: event.target.checked })} /> standardize</label></div>`
    }
    <div class="menu-part"><h2>Your own CSV</h2>
      <label class="field"><span>target column</span><input type="text" value=${target} placeholder="the last one" onInput=${(event) => setTarget(event.target.value)} /></label>
      <label class="field"><span>file</span><input type="file" accept=".csv,text/csv" onChange=${send} /></label>
      ${problem && html`<p class="small" role="status">${problem}</p>`}
      ${task?.features && html`<p class="muted small">Open now: ${task.data}, ${plural(task.rows ?? 0, "row")}, ${plural(task.features.length, "feature")}.</p>`}</div>`;
}

export function ModelMenu() {
  const now = config();
  const known = catalogue.value ?? {};
  if (!now.layers) return html`<p class="muted small pad">Nothing to set here.</p>`;
  const live = server.value?.subject?.kind === "live";
  const layers = (text) => {
    const widths = text
      .split(/[\s,]+/)
      .filter(Boolean)
      .map(Number);
    if (widths.some((each) => !Number.isInteger(each) || each < 1))
      return notify(`Layers are whole numbers such as “8, 8”, not “${text}”.`, "warning");
    return configure({ layers: widths });
  };
  const select = (
    label,
    name,
    options,
  ) => html`<label class="field"><span>${label}</span><select value=${now[name]} onChange=${(event) => configure({ [name]: event.target.value })}>
    ${(options ?? []).map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>`;
  return html`<div class="menu-part"><h2>${live ? "Network" : "A new live training"}</h2><div class="grid">
      <label class="field"><span>hidden layers</span><${Typed} type="text" value=${now.layers.join(", ")} onChange=${(event) => layers(event.target.value)} /></label>
      ${select("activation", "activation", known.activations)}
      ${select("loss", "loss", known.losses)}
      <${NumberField} label="dropout" value=${now.dropout} onValue=${(dropout) => configure({ dropout: dropout ?? 0 })} />
      <label class="check"><input type="checkbox" checked=${now.bias} onChange=${(event) => configure({ bias: event.target.checked })} /> biases</label></div></div>
    <div class="menu-part"><h2>Training</h2><div class="grid">
      ${select("optimizer", "optimizer", known.optimizers)}
      <${NumberField} label="learning rate" value=${now.learning_rate} onValue=${(each) => each && configure({ learning_rate: each })} />
      <${NumberField} label="batch size" value=${now.batch_size} empty="all rows" onValue=${(batch_size) => configure({ batch_size })} />
      <${NumberField} label="weight decay" value=${now.weight_decay} onValue=${(weight_decay) => configure({ weight_decay: weight_decay ?? 0 })} />
      <${NumberField} label="seed" value=${now.seed} onValue=${(seed) => configure({ seed: seed ?? 0 })} /></div>
      <p class="muted small">The learning rate holds at once; anything else starts anew.</p></div>`;
}

function NumberField({ label, value, empty = "", onValue }) {
  const apply = (event) => {
    const text = event.target.value.trim();
    if (text === "" && empty) return onValue(null);
    const number = Number(text);
    if (text === "" || Number.isNaN(number)) {
      notify(`“${text}” is not a number for ${label}.`, "warning");
      event.target.value = value ?? "";
      return undefined;
    }
    return onValue(number);
  };
  return html`<label class="field"><span>${label}</span><${Typed} type="text" inputmode="decimal" value=${value === null || value === undefined ? "" : String(value)} placeholder=${empty} onChange=${apply} /></label>`;
}
