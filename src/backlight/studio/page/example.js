// The example: the values that go in. Changing one runs the step again as a what-if.

import { html } from "./html.js";
import { useState } from "./vendor/preact/hooks.js";
import { Typed } from "./typed.js";
import { Panel } from "./panel.js";
import { Inline } from "./cells.js";
import { coordinates } from "./trace.js";
import { edit, goToExample } from "./actions.js";
import { asking, at, select, server, trace } from "./store.js";

const EDITABLE = 12;

export function Example() {
  const current = trace.value;
  if (!current) return null;
  const rank = { input: 0, parameter: 1, constant: 2 };
  const leaves = current.nodes
    .filter((node) => node.role && !current.isHidden(node.index) && (node.role !== "constant" || node.named))
    .sort((a, b) => rank[a.role] - rank[b.role]);
  return html`<${Panel} name="example" title="Example" className="example" head=${html`<${RowChooser} />`}>
    <div class="panel-scroll" tabindex="0" role="group" aria-label="Values that go in">
      ${asking.value && html`<p class="muted small">Change a value: the step runs again as a what-if.</p>`}
      ${leaves.map((node) => html`<${Leaf} key=${node.name} node=${node} />`)}</div><//>`;
}

function RowChooser() {
  const task = server.value?.task;
  if (!task || !task.rows || !asking.value) return null;
  const row = at.value.example;
  return html`<span class="row-chooser"><label><span class="small">row </span>
    <${Typed} type="number" min="0" max=${task.rows - 1} value=${row ?? ""} placeholder="batch" aria-label="One training row; empty is the whole batch"
      onChange=${(event) => goToExample(event.target.value === "" ? null : Math.max(0, Math.min(task.rows - 1, Number(event.target.value))))} /></label>
    ${row !== null && html`<button type="button" class="quiet small" onClick=${() => goToExample(null)}>batch</button>`}</span>`;
}

function Leaf({ node }) {
  const [start, setStart] = useState(0);
  const { data, size } = node.value;
  const image = imageShape(node);
  const many = size > EDITABLE;
  const shown = data ? Array.from({ length: Math.min(EDITABLE, size - start) }, (_, k) => start + k) : [];
  return html`<div class="leaf"><div class="leaf-head"><button type="button" class="link leaf-name" onClick=${() => select(node.index)}>${node.name}</button>
      <span class=${`tag ${node.role}`}>${node.role}</span></div>
    ${image && html`<${Inline} array=${image} label=${node.name} widest=${96} highest=${96} />`}
    ${!image && many && html`<${Inline} array=${node.value} label=${node.name} widest=${180} highest=${72} onEntry=${(flat) => setStart(Math.floor(flat / EDITABLE) * EDITABLE)} />`}
    ${data && (!many || asking.value) && html`<div class="entries">${shown.map((flat) => html`<${Entry} key=${flat} node=${node} flat=${flat} />`)}</div>`}
    ${
      many &&
      data &&
      asking.value &&
      html`<div class="row pager"><button type="button" class="quiet small" disabled=${start === 0} onClick=${() => setStart(Math.max(0, start - EDITABLE))} aria-label=${`Earlier entries of ${node.name}`}>‹</button>
      <span class="small muted">${start}–${Math.min(start + EDITABLE, size) - 1} of ${size}</span>
      <button type="button" class="quiet small" disabled=${start + EDITABLE >= size} onClick=${() => setStart(start + EDITABLE)} aria-label=${`Later entries of ${node.name}`}>›</button></div>`
    }
  </div>`;
}

function imageShape(node) {
  const image = server.value?.task?.image;
  if (!image || node.role !== "input" || node.value.size !== image[0] * image[1] || !node.value.data)
    return null;
  return { ...node.value, shape: image };
}

function Entry({ node, flat }) {
  const index = coordinates(flat, node.shape);
  const own = (each) => each.node === node.name && String(each.index) === String(index);
  const changed = at.value.edits.find(own);
  const value = changed ? changed.value : node.value.data[flat]; // what was typed, also before its answer
  const label = index.length ? `${node.name}[${index.join(", ")}]` : node.name;
  if (!asking.value)
    return html`<span class="entry-value" title=${label}>${String(Number(value.toPrecision(7)))}</span>`;
  const apply = (event) => {
    const number = Number(event.target.value);
    if (event.target.value.trim() === "" || Number.isNaN(number)) event.target.value = String(value);
    else if (number !== value) edit(node.name, index, number);
  };
  return html`<${Typed} class=${changed ? "changed" : ""} type="text" inputmode="decimal" aria-label=${label} title=${label}
    value=${String(Number(value.toPrecision(7)))} onChange=${apply} onKeyDown=${(event) => nudge(event, node, index, value)} />`;
}

/** Up and down change a number by a tenth of its last digit's neighbour: 0.1, or 1 with Shift. */
function nudge(event, node, index, value) {
  if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
  event.preventDefault();
  const by = (event.key === "ArrowUp" ? 1 : -1) * (event.shiftKey ? 1 : 0.1);
  edit(node.name, index, Number((value + by).toPrecision(10)));
}
