// Why the derivative is what it is: the contributions at this moment, and the whole derivation.

import { html } from "./html.js";
import { Inline, entryText } from "./cells.js";
import { formulaOf } from "./boxes.js";
import { exact, format, plural, bracketed } from "./numbers.js";
import { contractTerms, contributions, gradientState } from "./stepping.js";
import { coordinates, entryOf, flatOf } from "./trace.js";
import { equation, math, mo, partial, parts } from "./math.js";
import { Still } from "./still.js";
import { Typed } from "./typed.js";
import { copy } from "./export.js";
import { explainable } from "./actions.js";
import { plugged } from "./now.js";
import {
  cursor,
  explanation,
  goToNode,
  litPath,
  notify,
  plan,
  select,
  selectNamed,
  selection,
  shown,
  subject,
  trace,
} from "./store.js";

export function Explain() {
  const current = trace.value;
  const { node: index, entry } = selection.value;
  const node = index === null ? null : current?.nodes[index];
  if (!node)
    return html`<section class="panel explain" aria-label="Explain"><div class="panel-head"><h2>Explain</h2></div></section>`;
  return html`<section class="panel explain" id="explain" tabindex="-1" aria-labelledby="explain-title">
    <div class="panel-head"><h2 id="explain-title">Explain</h2>
      <span class="muted small">${node.operation}${node.shape.length ? ` · ${node.shape.join("×")}` : ""} · ${node.dtype}</span></div>
    <div class="explain-body">
      <${Heading} node=${node} entry=${entry} />
      <${EntryPicker} node=${node} entry=${entry} />
      <${Value} node=${node} entry=${entry} />
      <${Arriving} node=${node} entry=${entry} />
      <${Derivation} node=${node} />
      <${Source} node=${node} />
    </div></section>`;
}

function Heading({ node, entry }) {
  const current = trace.value;
  const { state } = gradientState(current, plan.value, node.index, cursor.value);
  const known = state === "complete";
  const answer =
    explanation.value.status === "ready" && explanation.value.target === current.target(node.index, entry)
      ? explanation.value.answer
      : null;
  const name = current.label(node.index);
  return html`<div class="explain-title">
    ${math(partial(current.lossLabel, name), ...(entry === null ? [] : []))}${entry !== null && html`<span class="entry-index">${entryText(entry, node.shape)}</span>`}
    ${
      (node.shape.length === 0 || entry !== null) &&
      html`<span class="equals">=</span>${
        known
          ? html`<span class="number gradient big" title=${exact(entryOf(node.gradient, entry ?? 0))}>${format(entryOf(node.gradient, entry ?? 0) ?? answer?.derivation?.value, 7)}</span>`
          : html`<span class="not-yet">${state === "none" ? "no gradient flows here" : state === "partial" ? "still adding up" : "not computed yet"}</span>`
      }`
    }
  </div><p class="muted small target-name">${current.target(node.index, entry)}</p>`;
}

function EntryPicker({ node, entry }) {
  if (!node.shape.length || node.value.size === 0) return null;
  const index = entry === null ? null : coordinates(entry, node.shape);
  const change = (axis, value) => {
    const next = index ? [...index] : node.shape.map(() => 0);
    next[axis] = Math.max(0, Math.min(node.shape[axis] - 1, Math.round(value) || 0));
    select(node.index, flatOf(next, node.shape));
  };
  return html`<div class="entry-picker" role="group" aria-label="Which entry">
    <span class="small">entry</span>
    ${
      index
        ? node.shape.map(
            (size, axis) => html`<${Typed} key=${axis} type="number" min="0" max=${size - 1} value=${index[axis]}
        aria-label=${`Index ${axis} of ${size}`} onChange=${(event) => change(axis, Number(event.target.value))} />`,
          )
        : null
    }
    ${
      index
        ? html`<button type="button" class="quiet small" onClick=${() => select(node.index)}>all entries</button>`
        : html`<button type="button" class="quiet small" onClick=${() => select(node.index, largestEntry(node))}>choose one entry</button>
        <span class="muted small">or click on it</span>`
    }
  </div>`;
}

function largestEntry(node) {
  const data = node.gradient?.data ?? node.value.data;
  if (!data) return 0;
  let best = 0;
  for (let k = 1; k < data.length; k++) if (Math.abs(data[k]) > Math.abs(data[best])) best = k;
  return best;
}

function Value({ node, entry }) {
  const current = trace.value;
  const ready = plan.value.valueAt[node.index] >= 0 && plan.value.valueAt[node.index] <= cursor.value;
  const formula = formulaOf(current, node.index);
  const numbers = formula && ready ? plugged(current, node, formula) : null;
  const rows = [mo("=")];
  return html`<h3>Value</h3><div class="row wrap equation">
    ${math(...parts(current.label(node.index)), ...(formula ? [mo("="), ...parts(formula)] : []), ...(numbers ? [mo("="), ...parts(numbers)] : []))}
    ${entry !== null && html`<span class="entry-index">${entryText(entry, node.shape)}</span>`}<span class="equals">${rows.length ? "=" : ""}</span>
    ${
      ready
        ? entry !== null && node.value.data
          ? html`<span class="number value">${format(entryOf(node.value, entry), 7)}</span>`
          : html`<${Inline} array=${node.value} label="value" digits=${7} entry=${entry} onEntry=${(flat) => select(node.index, flat)} />`
        : html`<span class="not-yet">not computed yet</span>`
    }
  </div>
  ${entry !== null && ready && node.value.data && html`<${Inline} array=${node.value} label="value" entry=${entry} onEntry=${(flat) => select(node.index, flat)} />`}`;
}

function Arriving({ node, entry }) {
  const current = trace.value;
  const steps = plan.value;
  const loss = current.lossLabel;
  const one = node.shape.length === 0 || entry !== null;
  const flat = entry ?? 0;
  const { terms, sum, state, of } = contributions(current, steps, node.index, cursor.value, flat);
  if (state === "none") {
    return html`<h3>Gradient</h3><p class="prose small">No gradient flows here: ${
      node.role === "input" || node.role === "constant"
        ? "this value is given, and nothing asks for its derivative."
        : "the loss does not depend on it in a way that can be differentiated."
    }</p>`;
  }
  if (node.index === current.output) {
    return html`<h3>Gradient</h3><p class="prose small">${state === "complete" ? "The derivative of the loss by itself is 1; the backward pass begins with it." : "Not computed yet: the backward pass begins here."}</p>`;
  }
  const rows = current.leaving[node.index];
  const arrived = new Map(terms.map((term) => [term.edge.index, term]));
  return html`<h3>Gradient: what arrives</h3>
    <ol class="arrivals">${[...rows]
      .sort((a, b) => b.target - a.target || a.position - b.position)
      .map((edge) => {
        const term = arrived.get(edge.index);
        const through = current.label(edge.target);
        const upstream = current.nodes[edge.target].gradient;
        return html`<li key=${edge.index} class=${term ? "" : "waiting"}>
        <div class="row wrap">${math(partial(loss, through), mo("·"), partial(through, current.label(node.index)))}
        <span class="equals">=</span>
        ${term ? product(edge, upstream, flat, one, node) : html`<span class="not-yet">not computed yet</span>`}</div>
        ${term && one && html`<${Split} edge=${edge} flat=${flat} />`}
      </li>`;
      })}</ol>
    ${
      one &&
      of > 1 &&
      terms.length > 0 &&
      html`<p class="sum-line"><span class="sum">${terms.map(({ value }, k) => {
        const text = format(value, 6);
        return k ? (text.startsWith("−") ? ` − ${text.slice(1)}` : ` + ${text}`) : text;
      })}</span> = <strong class="number gradient">${format(state === "complete" ? entryOf(node.gradient, flat) : sum, 7)}</strong>
      ${state === "partial" && html` <span class="muted">so far, ${terms.length} of ${of}</span>`}</p>`
    }
    ${state !== "complete" && html`<button type="button" class="quiet small" onClick=${() => goToNode(node.index, "backward")}>step to where it is complete</button>`}`;
}

function product(edge, upstream, flat, one, node) {
  const value = edge.contribution;
  if (one && value.data) {
    const result = format(entryOf(value, flat), 6);
    const same = upstream?.size === node.value.size || upstream?.size === 1;
    const local =
      edge.local?.data && (edge.local.size === 1 || edge.local.size === node.value.size)
        ? entryOf(edge.local, flat)
        : null;
    if (local !== null && same && upstream.data) {
      return html`<span><span class="number gradient">${format(entryOf(upstream, flat), 5)}</span> · <span class="number value">${bracketed(format(local, 5))}</span> = <strong class="number gradient">${result}</strong></span>`;
    }
    return html`<strong class="number gradient">${result}</strong>`;
  }
  return html`<${Inline} array=${value} label="contribution" tone="gradient" widest=${120} highest=${64} onEntry=${(each) => select(node.index, each)} />`;
}

/** One entry through a product of matrices: every term of the sum. */
function Split({ edge, flat }) {
  const current = trace.value;
  const terms = contractTerms(current, edge, flat);
  if (!terms || terms.length < 2) return null;
  const ordered =
    terms.length > 8 ? [...terms].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, 8) : terms;
  const target = current.nodes[edge.target];
  const rest = terms.length - ordered.length;
  return html`<div class="split-holder" tabindex="0" role="group" aria-label="Terms of the sum"><table class="split"><caption class="small">the sum over ${plural(terms.length, "path")} through ${current.label(edge.target)}</caption>
    <thead><tr><th scope="col">through</th><th scope="col">upstream</th><th scope="col">${current.label(ordered[0].other)}</th><th scope="col">product</th></tr></thead>
    <tbody>${ordered.map(
      (term) => html`<tr key=${`${term.upFlat}-${term.otherFlat}`}>
      <td><button type="button" class="link" onClick=${() => select(edge.target, term.upFlat)}>${current.label(edge.target).split(".").pop()}${entryText(term.upFlat, target.shape).replaceAll(" ", "")}</button></td>
      <td class="num">${format(term.upstream, 4)}</td>
      <td class="num">· ${bracketed(format(term.local, 4))}</td><td class="num strong">= ${format(term.value, 6)}</td></tr>`,
    )}
      ${rest > 0 && html`<tr><td colspan="4" class="muted">and ${rest} smaller ones</td></tr>`}</tbody></table></div>`;
}

function Derivation({ node }) {
  const current = trace.value;
  const found = explanation.value;
  const target = current.target(node.index, selection.value.entry);
  if (found.status === "none") return null;
  if (found.status === "loading" || found.target !== target)
    return html`<h3>The whole derivation</h3><p class="muted small" role="status">working it out …</p>`;
  if (found.status === "error")
    return html`<h3>The whole derivation</h3><p class="small">${found.message}</p><${Others} name=${node.name} />`;
  const { answer } = found;
  const { state } = gradientState(current, plan.value, node.index, cursor.value);
  return html`<details class="derivation" open=${state === "complete"} key=${state === "complete" ? "open" : "closed"}>
    <summary><h3>The whole derivation</h3></summary>
    ${late(answer) && html`<p class="muted small of-step">of step ${answer.at.step}; the numbers above have gone on</p>`}
    <${Badge} numeric=${answer.numeric} text=${answer.badge} />
    <${Still} found=${answer} draw=${() => sections(answer)} />
    <${Paths} derivation=${answer.derivation} />
    ${(answer.remarks ?? []).map((each) => html`<p class="prose small">${each}</p>`)}
    <div class="row wrap buttons-row">
      <button type="button" class="quiet small" onClick=${() => copy(answer.latex, "LaTeX")}>copy LaTeX</button>
      <button type="button" class="quiet small" onClick=${() => copy(JSON.stringify(answer.derivation, null, 2), "JSON")}>copy JSON</button>
      <button type="button" class="quiet small" onClick=${() => copy(answer.text, "text")}>copy text</button>
    </div></details>`;
}

/** Whether a derivation is of an earlier step than what is on the screen: it takes longer while training runs. */
function late({ at }) {
  const now = shown.value.at?.step;
  return typeof now === "number" && typeof at?.step === "number" && at.step !== now;
}

/** The parts of a derivation: they do not change from moment to moment. */
function sections(answer) {
  return html`${answer.sections.map((section, k) => html`<${Section} key=${k} section=${section} />`)}
    ${answer.update && html`<${Section} section=${answer.update} />`}`;
}

/** A report explains a few entries; these are the ones of this node. */
function Others({ name }) {
  const targets = (explainable() ?? []).filter((each) => each === name || each?.startsWith(`${name}[`));
  if (!targets.length) return null;
  return html`<p class="small">It explains:</p><div class="row wrap">
    ${targets.slice(0, 12).map((each) => html`<button type="button" class="quiet small explained" key=${each} onClick=${() => selectNamed(each)}>${each}</button>`)}</div>`;
}

function Badge({ numeric, text }) {
  if (!numeric) return null;
  const kind = numeric.reason ? "unsure" : numeric.ok ? "good" : "bad";
  const head = numeric.reason
    ? "– cannot be compared"
    : numeric.ok
      ? "✓ numeric check agrees"
      : "✗ numeric check DISAGREES";
  return html`<details class=${`badge ${kind}`}><summary>${head}${!numeric.reason && html`<span class="badge-number">${format(numeric.value, 8)}</span>`}</summary>
    <p class="small">${text}</p></details>`;
}

function Section({ section }) {
  return html`<div class="derivation-section"><h4>${section.title}</h4>
    ${(section.notes ?? []).filter(Boolean).map((note, k) => html`<p key=${k} class="prose small">${note}</p>`)}
    <div class="equations" tabindex="0" role="group" aria-label=${section.title || "Equations"}>${(
      section.equations ?? []
    ).map(
      (each, k) => html`<div key=${k} class="equation">
      ${each.mathml ? equation(each.mathml, section.stacked || (each.text ?? "").length > 34) : each.text}${each.remark && html` <small class="muted">${each.remark}</small>`}</div>`,
    )}</div></div>`;
}

function Paths({ derivation }) {
  const paths = derivation?.paths;
  if (!paths || !(Number(paths.count) > 1)) return null;
  const light = (path) => {
    const nodes = path.nodes
      .map(([name]) => trace.value.byName.get(name))
      .filter((each) => each !== undefined);
    const same = litPath.value?.key === JSON.stringify(path.nodes);
    litPath.value = same ? null : { key: JSON.stringify(path.nodes), nodes };
    if (!nodes.length) notify("The path is not in this trace.");
  };
  return html`<div class="derivation-section"><h4>Σ over ${plural(Number(paths.count), "path")} to the loss</h4>
    <ul class="paths">${paths.top.map(
      (path) => html`<li key=${JSON.stringify(path.nodes)}>
      <button type="button" class="path" aria-pressed=${litPath.value?.key === JSON.stringify(path.nodes)} onClick=${() => light(path)}>
        <span class="num strong">${format(path.contribution, 5)}</span>
        <span class="path-nodes">${path.nodes.map(([name, index]) => `${trace.value.byName.has(name) ? trace.value.label(trace.value.byName.get(name)) : name}${index.length ? `[${index.join(",")}]` : ""}`).join(" → ")}</span></button></li>`,
    )}
      ${Number(paths.count) > paths.top.length && html`<li class="muted small">all the others together: ${format(paths.remainder, 5)}</li>`}</ul></div>`;
}

function Source({ node }) {
  const place = node.location;
  if (!place || !place.line) return null;
  if (subject.value?.kind === "formula")
    return html`<h3>Source</h3><p class="source"><span class="muted">the formula</span><code>${subject.value.text}</code></p>`;
  return html`<h3>Source</h3><p class="source"><span class="muted">${place.file.split("/").pop()}:${place.line}</span>
    ${place.text && html`<code>${place.text.trim()}</code>`}</p>`;
}
