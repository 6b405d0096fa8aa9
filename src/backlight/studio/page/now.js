// What happens at this moment, large: local × upstream = contribution, and the running sum.

import { html } from "./html.js";
import { Inline, entryText } from "./cells.js";
import { Collapse, collapsed } from "./panel.js";
import { formulaOf } from "./boxes.js";
import { bracketed, format, plural } from "./numbers.js";
import { contractTerms, contributions, gradientState, runningGradient } from "./stepping.js";
import { entryOf } from "./trace.js";
import { fromMathML, math, mo, mn, partial, parts } from "./math.js";
import { cursor, explanation, folding, moment, plan, select, selection, trace } from "./store.js";

export function Now() {
  const current = trace.value;
  const at = moment.value;
  if (!current || !at) return null;
  const body = { start: Start, forward: Forward, seed: Seed, edge: Contribution, update: Update }[at.kind];
  return html`<section class=${`now-strip ${at.kind} ${collapsed.value.has("moment") ? "collapsed" : ""}`} tabindex="0" aria-label="This moment">
    ${collapsed.value.has("moment") ? html`<p class="muted small">what happens at this moment</p>` : html`<${body} trace=${current} at=${at} key=${cursor.value} />`}
    <${Collapse} name="moment" /></section>`;
}

function Start({ trace: current }) {
  const leaves = current.nodes.filter((node) => node.kind === "leaf" && !current.isHidden(node.index));
  return html`<div class="now-kind">Start</div>
    <div class="now-body"><p class="prose">The leaves have their values; nothing else is computed yet.</p>
    <div class="row wrap">${leaves.slice(0, 6).map(
      (node) => html`<span class="term" key=${node.index}>
      ${math(...parts(current.label(node.index)), mo("="))}
      <${Inline} array=${node.value} label=${node.name} widest=${88} highest=${54} /></span>`,
    )}
      ${leaves.length > 6 && html`<span class="muted">and ${plural(leaves.length - 6, "leaf", "leaves")} more</span>`}</div></div>`;
}

function Forward({ trace: current, at }) {
  const node = current.nodes[at.node];
  const formula = formulaOf(current, at.node);
  const numbers = plugged(current, node, formula);
  const box = folding.value.boxes[at.box];
  return html`<div class="now-kind">Forward</div>
    <div class="now-body"><div class="row wrap">
      ${math(...parts(current.label(at.node)), mo("="), ...parts(formula), ...(numbers ? [mo("="), ...parts(numbers)] : []), mo("="))}
      <${Inline} array=${node.value} label=${node.name} digits=${6} entry=${entryHere(at.node)} onEntry=${(flat) => select(at.node, flat)} />
      ${box.nodes.length > 1 && html`<span class="muted">the result of ${plural(box.nodes.length, "operation")} folded into one box</span>`}
    </div></div>`;
}

/** The formula with numbers for the operands, where all of them are single numbers. */
export function plugged(current, node, formula) {
  if (!node.inputs.length || node.inputs.some((each) => current.nodes[each].shape.length)) return null;
  const names = new Map();
  for (const each of node.inputs) {
    if (current.isHidden(each)) continue;
    names.set(current.label(each), current.nodes[each].value.data?.[0]);
  }
  let rest = formula;
  let out = "";
  const ordered = [...names.keys()].sort((a, b) => b.length - a.length);
  while (rest) {
    const name = ordered.find(
      (each) => rest.startsWith(each) && !/^[\p{L}\p{M}_\d₀-₉]/u.test(rest.slice(each.length)),
    );
    if (name && !/[\p{L}\p{M}_]$/u.test(out)) {
      const text = format(names.get(name), 5);
      const powered = /^[²³⁰-⁹⁻^]/.test(rest.slice(name.length));
      out += out.trim() || powered ? bracketed(text) : text;
      rest = rest.slice(name.length);
    } else {
      out += rest[0];
      rest = rest.slice(1);
    }
  }
  return out === formula ? null : out;
}

function entryHere(node) {
  return selection.value.node === node ? selection.value.entry : null;
}

function Seed({ trace: current, at }) {
  const name = current.label(at.node);
  return html`<div class="now-kind backward">Backward</div>
    <div class="now-body"><div class="row wrap">${math(partial(name, name), mo("="), mn("1"))}
    <p class="prose">The backward pass begins at the loss, whose derivative by itself is 1.</p></div></div>`;
}

function Contribution({ trace: current, at }) {
  const edge = current.edges[at.edge];
  const { source, target } = edge;
  const loss = current.lossLabel;
  const from = current.label(target);
  const to = current.label(source);
  const upstream = current.nodes[target].gradient;
  const entry = entryHere(source);
  const hidden = folding.value.boxes[folding.value.owner[target]]?.out !== target;
  return html`<div class="now-kind backward">Backward</div>
    <div class="now-body">
      <div class="row wrap product" aria-label="local derivative times upstream gradient is the contribution">
        <span class="term"><span class="caption">local</span>
          <span class="row">${math(partial(from, to))}${localFormula(edge)}${
            edge.local
              ? html`<span class="equals">=</span><${Inline} array=${edge.local} label="local derivative" tone="value" widest=${92} highest=${44} />`
              : html`<${Linear} trace=${current} edge=${edge} />`
          }</span></span>
        <span class="times" aria-hidden="true">×</span>
        <span class="term"><span class="caption">upstream</span>
          <span class="row">${math(partial(loss, from))}<span class="equals">=</span>
          <${Inline} array=${upstream} label="upstream gradient" tone="gradient" widest=${92} highest=${44} onEntry=${(flat) => select(target, flat)} /></span></span>
        <span class="times" aria-hidden="true">=</span>
        <span class="term result"><span class="caption">contribution</span>
          <${Inline} array=${edge.contribution} label="contribution" tone="gradient" digits=${5} widest=${92} highest=${44} entry=${entry} onEntry=${(flat) => select(source, flat)} /></span>
        ${hidden && html`<span class="muted">inside ${current.scopes[current.nodes[target].scope]?.name ?? "a folded box"}</span>`}
      </div>
      <${Sum} trace=${current} node=${source} loss=${loss} entry=${entry} arriving=${edge.index} />
    </div>`;
}

/** The local derivative of a product of matrices is the other factor; other linear steps carry on. */
function Linear({ trace: current, edge }) {
  const node = current.nodes[edge.target];
  if (edge.rule || edge.mathml) return null;
  if (node.kind !== "contract") return html`<span class="muted small">linear: carried back as it is</span>`;
  const other = node.inputs[1 - edge.position];
  return html`<span class="equals">=</span>${math(...parts(current.label(other)))}
    <${Inline} array=${current.nodes[other].value} label=${current.label(other)} widest=${92} highest=${44} onEntry=${(flat) => select(other, flat)} />`;
}

function localFormula(edge) {
  const only = edge.local?.data?.length === 1 ? format(edge.local.data[0], 6) : null;
  if (edge.rule && edge.rule === only) return null;
  if (edge.mathml) return html`<span class="equals">=</span>${fromMathML(edge.mathml)}`;
  if (edge.rule) return html`<span class="equals">=</span>${math(...parts(edge.rule))}`;
  return null;
}

function Sum({ trace: current, node, loss, entry, arriving }) {
  const steps = plan.value;
  const shape = current.nodes[node].shape;
  const name = current.label(node);
  const { state, arrived, of } = gradientState(current, steps, node, cursor.value);
  const total = runningGradient(current, steps, node, cursor.value);
  const one = shape.length === 0 || entry !== null;
  const flat = entry ?? 0;
  const { terms } = contributions(current, steps, node, cursor.value, flat);
  const edge = current.edges[arriving];
  const split = one && terms.length === 1 ? contractTerms(current, edge, flat) : null;
  return html`<div class="row wrap running">
    ${math(partial(loss, entry !== null ? `${name}` : name))}${entry !== null && html`<span class="entry-index">${entryText(entry, shape)}</span>`}
    <span class="equals">=</span>
    ${
      one
        ? termsText(terms, arriving, split)
        : html`<${Inline} array=${total} label="gradient so far" tone="gradient" widest=${92} highest=${44}
        onEntry=${(flat_) => select(node, flat_)} />`
    }
    ${one && (terms.length > 1 || split) && html`<span class="equals">=</span><strong class="number gradient">${format(total?.data ? entryOf(total, flat) : null, 6)}</strong>`}
    <span class=${`arrived ${state}`}>${
      state === "complete"
        ? of > 1
          ? `all ${of} contributions have arrived`
          : "the only contribution: complete"
        : `${arrived} of ${of} contributions have arrived`
    }</span>
  </div>`;
}

function termsText(terms, arriving, split) {
  if (split && split.length > 1 && split.length <= 6) {
    return html`<span class="sum">${split.map(
      (
        term,
        k,
      ) => html`${signOf(format(term.local, 4), k)}${k || !format(term.local, 4).startsWith("−") ? "" : ""}<span
      class="fresh">${magnitude(format(term.local, 4), k)}·${bracketed(format(term.upstream, 4))}</span>`,
    )}</span>`;
  }
  return html`<span class="sum">${terms.map(
    ({ edge, value }, k) => html`${signOf(format(value, 5), k)}<span
    class=${edge.index === arriving ? "fresh" : ""}>${magnitude(format(value, 5), k)}</span>`,
  )}</span>`;
}

const signOf = (text, k) => (k === 0 ? "" : text.startsWith("−") ? " − " : " + ");
const magnitude = (text, k) => (k > 0 && text.startsWith("−") ? text.slice(1) : text);

function Update({ trace: current, at }) {
  if (at.node === null) {
    const chosen = explanation.value.answer?.update;
    return html`<div class="now-kind update">Update</div><div class="now-body">
      <p class="prose">${current.update.optimizer} makes a step of every parameter's gradient.${chosen ? " For the selected one:" : " Choose one entry of a parameter to see its numbers."}</p>
      ${chosen?.equations?.length > 0 && html`<div class="row wrap">${fromMathML(chosen.equations.at(-1).mathml) ?? chosen.equations.at(-1).text}</div>`}</div>`;
  }
  const node = current.nodes[at.node];
  const name = current.label(at.node);
  return html`<div class="now-kind update">Update</div>
    <div class="now-body"><div class="row wrap">
      ${math(...parts(name))}<${Inline} array=${node.value} label="before" widest=${120} highest=${60} />
      <span class="times" aria-hidden="true">→</span>
      <${Inline} array=${at.value} label="after" digits=${6} widest=${120} highest=${60} />
      <p class="prose">The step that ${current.update.optimizer} makes of the gradient.</p></div></div>`;
}
