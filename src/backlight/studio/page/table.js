// The table twin of the graph: every node with its value and its gradient at this moment.

import { html } from "./html.js";
import { boxKind, boxTitle } from "./boxes.js";
import { Inline, describe } from "./cells.js";
import { shapeText, format } from "./numbers.js";
import { gradientState, runningGradient } from "./stepping.js";
import { cursor, direction, folding, moment, plan, select, selection, trace } from "./store.js";

export function Table() {
  const current = trace.value;
  const folded = folding.value;
  const steps = plan.value;
  const at = cursor.value;
  const loss = current.lossLabel;
  return html`<div class="table-view" tabindex="0" role="region" aria-label="Values and gradients as a table">
    <table><caption class="visually-hidden">Values and gradients of every node at this moment</caption>
    <thead><tr><th scope="col">node</th><th scope="col">kind</th><th scope="col">shape</th>
      ${direction.value !== "backward" && html`<th scope="col">value</th>`}
      ${direction.value !== "forward" && html`<th scope="col">gradient of ${loss}</th><th scope="col">contributions: local × upstream</th>`}</tr></thead>
    <tbody>${folded.boxes.map((box, index) => {
      const node = current.nodes[box.out];
      const { name, formula } = boxTitle(current, box);
      const ready = steps.valueAt[node.index] >= 0 && steps.valueAt[node.index] <= at;
      const { state, edges, of } = gradientState(current, steps, node.index, at);
      const gradient = runningGradient(current, steps, node.index, at);
      const chosen = folded.owner[selection.value.node] === index;
      return html`<tr key=${box.key} class=${[chosen && "chosen", moment.value?.box === index && "now"].filter(Boolean).join(" ")}>
        <th scope="row"><button type="button" class="link" aria-pressed=${chosen} onClick=${() => select(box.out)}>${name} <span class="muted">${formula}</span></button></th>
        <td>${boxKind(current, box)}</td><td class="nowrap">${shapeText(node.shape)}</td>
        ${direction.value !== "backward" && html`<td>${ready ? html`<${Small} array=${node.value} label="value" />` : html`<span class="not-yet">not computed yet</span>`}</td>`}
        ${
          direction.value !== "forward" &&
          html`<td>${
            gradient
              ? html`<${Small} array=${gradient} label="gradient" tone="gradient" />`
              : html`<span class="not-yet">${state === "none" ? "none flows here" : "not computed yet"}</span>`
          }
          ${state === "partial" && html`<span class="muted"> ${edges.length} of ${of}</span>`}</td>
          <td>${edges.map((edge) => html`<div key=${edge.index}>${contributionText(current, edge)}</div>`)}</td>`
        }
      </tr>`;
    })}</tbody></table></div>`;
}

function Small({ array, label, tone = "value" }) {
  return html`<${Inline} array=${array} label=${label} tone=${tone} widest=${110} highest=${60} />`;
}

function contributionText(current, edge) {
  const upstream = current.nodes[edge.target].gradient;
  const through = `through ${current.label(edge.target)}: `;
  if (
    edge.contribution.size === 1 &&
    edge.contribution.data &&
    edge.local?.data &&
    upstream?.data?.length === 1
  ) {
    const up = format(upstream.data[0]);
    return `${through}${format(edge.local.data[0])} × ${up.startsWith("−") ? `(${up})` : up} = ${format(edge.contribution.data[0])}`;
  }
  return through + describe(edge.contribution, "contribution");
}
