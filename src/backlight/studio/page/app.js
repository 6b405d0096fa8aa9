// The page as a whole: header, outline, graph, explanation, the lower panels, the status line.

import { html } from "./html.js";
import { fitGraph, zoomBy } from "./camera.js";
import { Graph } from "./graph.js";
import { Table } from "./table.js";
import { Now } from "./now.js";
import { Connection, Header } from "./header.js";
import { collapsed } from "./panel.js";
import { Outline } from "./outline.js";
import { Explain } from "./explain.js";
import { Example } from "./example.js";
import { Live } from "./live.js";
import { Prediction } from "./prediction.js";
import { Dialogs } from "./help.js";
import { Tour } from "./tour.js";
import { clearEdits } from "./actions.js";
import { sentence } from "./words.js";
import {
  asking,
  at,
  changeDetail,
  connection,
  cursor,
  detail,
  direction,
  dismiss,
  folding,
  levels,
  litPath,
  loading,
  notices,
  plan,
  prediction,
  scalars,
  selection,
  server,
  tour,
  trace,
  traceProblem,
  view,
} from "./store.js";
import { plural } from "./numbers.js";

export function App() {
  const live = Boolean(server.value?.training) || scalars.value.loss.length > 0;
  const predicts = prediction.value
    ? prediction.value.kind !== "none"
    : Boolean(server.value?.task) && asking.value && connection.value === "open";
  const drawn = view.value === "graph" && !trace.value?.partial;
  const shut = (name, there) => !there || collapsed.value.has(name);
  const low = shut("example", true) && shut("loss", live) && shut("prediction", predicts);
  const classes = [
    "layout",
    live && "with-live",
    predicts && "with-prediction",
    low && "low",
    collapsed.value.has("outline") && !tour.value.open && "no-side",
  ];
  return html`<a class="skip" href="#graph-panel" onClick=${(event) => {
    event.preventDefault();
    document.getElementById("graph-panel")?.focus();
  }}>Skip to the graph</a>
    <${Header} /><${Connection} />
    <main class=${classes.filter(Boolean).join(" ")}>
      <div class="side">${tour.value.open && html`<${Tour} />`}<${Outline} /></div>
      <section class="panel graph-panel" id="graph-panel" tabindex="-1" aria-labelledby="graph-title">
        <${Toolbar} />
        ${traceProblem.value && html`<p class="problem" role="status">${traceProblem.value}</p>`}
        ${
          at.value.edits.length > 0 &&
          html`<div class="what-if" role="status"><strong>What if?</strong> ${plural(at.value.edits.length, "value")} changed; the run itself is untouched.
          <button type="button" class="quiet small" onClick=${clearEdits}>take back</button></div>`
        }
        <div class="stage">${
          !trace.value
            ? html`<p class="opening">${loading.value ? "Fetching the numbers …" : traceProblem.value ? "" : "Nothing is open yet."}</p>`
            : drawn
              ? html`<${Graph} />`
              : html`<${Table} />`
        }
          ${trace.value && drawn && html`<${Zoom} />`}</div>
        <${Now} />
      </section>
      <${Explain} />
      <div class="lower"><${Example} />${live && html`<${Live} />`}${predicts && html`<${Prediction} />`}</div>
    </main>
    <${Notices} /><${Status} /><${Dialogs} />`;
}

function Toolbar() {
  const choices = [
    ["forward", "Forward"],
    ["backward", "Backward"],
    ["both", "Both"],
  ];
  return html`<div class="toolbar"><h2 id="graph-title" class="visually-hidden">Graph</h2>
    <div class="segments" role="group" aria-label="Which pass is shown">${choices.map(
      ([name, text]) => html`
      <button type="button" key=${name} aria-pressed=${direction.value === name} onClick=${() => (direction.value = name)}>${text}</button>`,
    )}</div>
    <div class="segments" role="group" aria-label="Graph or table">
      <button type="button" aria-pressed=${view.value === "graph"} onClick=${() => (view.value = "graph")}>Graph</button>
      <button type="button" aria-pressed=${view.value === "table"} onClick=${() => (view.value = "table")}>Table</button></div>
    ${
      levels.value > 0 &&
      html`<div class="segments" role="group" aria-label="Detail">
      <button type="button" aria-label="Less detail" disabled=${detail.value <= 0} onClick=${() => changeDetail(-1)}>−</button>
      <span class="segment-text">detail</span>
      <button type="button" aria-label="More detail" disabled=${detail.value >= levels.value} onClick=${() => changeDetail(1)}>+</button></div>`
    }
    ${litPath.value && html`<button type="button" class="quiet small" onClick=${() => (litPath.value = null)}>path off</button>`}
    <span class="legend" aria-hidden="true"><span class="key positive"></span>positive <span class="key negative"></span>negative</span>
    <span class="muted small count">${folding.value ? plural(folding.value.boxes.length, "box", "boxes") : ""}${loading.value ? " …" : ""}</span></div>`;
}

function Zoom() {
  return html`<div class="zoom" role="group" aria-label="Zoom">
    <button type="button" class="icon" aria-label="Closer" title="Closer (+)" onClick=${() => zoomBy(1.25)}>+</button>
    <button type="button" class="icon" aria-label="Farther" title="Farther (−)" onClick=${() => zoomBy(0.8)}>−</button>
    <button type="button" class="icon fit" aria-label="Whole graph" title="Whole graph (0)" onClick=${fitGraph}>⤢</button></div>`;
}

function Notices() {
  return html`<div class="notices" role="region" aria-label="Messages" aria-live="polite">${notices.value.map(
    (each) => html`
    <div key=${each.id} class=${`notice ${each.level}`}><span>${each.message}</span>
      <button type="button" class="quiet icon" aria-label="Close the message" onClick=${() => dismiss(each.id)}>×</button></div>`,
  )}</div>`;
}

function Status() {
  const text =
    trace.value && plan.value ? sentence(trace.value, plan.value, cursor.value, selection.value) : "";
  return html`<footer class="status"><span id="status" role="status" aria-live="polite">${text}</span>
    <span class="muted small keys-hint">${!asking.value ? "a report: works without a network" : "space plays · , and . step · ? shows all keys"}</span></footer>`;
}
