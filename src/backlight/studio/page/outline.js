// The outline: modules, parameters and leaves with the size of their gradients, and a search.

import { html } from "./html.js";
import { useMemo, useState } from "./vendor/preact/hooks.js";
import { Panel } from "./panel.js";
import { format, plural, shapeText } from "./numbers.js";
import { norm } from "./trace.js";
import { gradientState } from "./stepping.js";
import {
  cursor,
  frame,
  folding,
  outlineAnswer,
  plan,
  select,
  selection,
  server,
  toggleScope,
  trace,
} from "./store.js";

export function Outline() {
  const current = trace.value;
  const [search, setSearch] = useState("");
  const groups = useMemo(
    () => (current ? group(current, outlineAnswer.value) : []),
    [current, outlineAnswer.value],
  );
  if (!current) return outlineAnswer.value?.parameters?.length ? html`<${Weights} found=${outlineAnswer.value} />` : null;
  const wanted = search.trim().toLowerCase();
  const rows = groups
    .map((each) => ({
      ...each,
      nodes: each.nodes.filter((node) => matches(current, node, wanted)),
      inner: each.nodes.filter((node) => current.nodes[node].kind !== "leaf").length,
    }))
    .filter((each) => each.nodes.length || (!wanted && each.scope !== null && each.inner > 1));
  const all = rows
    .flatMap((each) => each.nodes)
    .map((node) => sizeOf(current, node))
    .filter(Number.isFinite);
  const most = Math.max(...all, 1e-300);
  const key = (event) => {
    if (event.key === "Escape") {
      setSearch("");
      event.target.blur();
    }
    if (event.key === "Enter" && rows[0]?.nodes[0] !== undefined) select(rows[0].nodes[0]);
    event.stopPropagation();
  };
  const head = html`<span class="muted small">${outlineAnswer.value?.total ? `${plural(outlineAnswer.value.total, "weight")}` : ""}</span>`;
  return html`<${Panel} name="outline" title="Outline" className="outline" head=${head}>
    <input type="search" id="search" class="search" placeholder="Search  ( / )" aria-label="Search nodes and parameters"
      value=${search} onInput=${(event) => setSearch(event.target.value)} onKeyDown=${key} />
    <div class="outline-list">${rows.map(
      (each) => html`<div key=${each.key} class="outline-group">
      ${
        each.name &&
        html`<h3>${each.name}${each.label && html` <span class="muted">${each.label}</span>`}
        ${each.scope !== null && html`<${FoldButton} scope=${each.scope} name=${each.name} />`}</h3>`
      }
      <ul>${each.nodes.map((index) => html`<${Row} key=${index} index=${index} most=${most} prefix=${each.name} />`)}</ul></div>`,
    )}
      ${!rows.length && html`<p class="muted pad">Nothing is called “${search}”.</p>`}</div>
  <//>`;
}

/** The final weights of a run whose steps cannot be taken again. */
function Weights({ found }) {
  return html`<${Panel} name="outline" title="Outline" className="outline" head=${html`<span class="muted small">${plural(found.total, "weight")}</span>`}>
    <div class="outline-list" tabindex="0" role="group" aria-label="Final weights"><ul>${found.parameters.map(
      (each) => html`<li key=${each.name} class="outline-weight"><span class="outline-name">${each.name}</span>
        <span class="muted small">${shapeText(each.shape)}</span><span class="small">‖w‖ ${format(each.norm, 3)}</span></li>`,
    )}</ul></div><//>`;
}

function FoldButton({ scope, name }) {
  const current = trace.value;
  const folded = folding.value.boxes.some((box) => box.scope === scope);
  const inside = current.nodes.filter(
    (node) => current.scopesOf(node.index).includes(scope) && !current.isHidden(node.index),
  ).length;
  if (inside < 2) return null;
  return html`<button type="button" class="quiet tiny-button" aria-label=${`${folded ? "Unfold" : "Fold"} ${name}`}
    onClick=${() => toggleScope(scope, !folded)}>${folded ? "unfold" : "fold"}</button>`;
}

function Row({ index, most, prefix }) {
  const current = trace.value;
  const node = current.nodes[index];
  const size = sizeOf(current, index);
  const { state } = gradientState(current, plan.value, index, cursor.value);
  const live = frame.value && server.value?.training?.running;
  const known = state === "complete" || live;
  const name =
    node.kind === "leaf" && prefix && node.name.startsWith(`${prefix}.`)
      ? node.name.slice(prefix.length + 1)
      : node.name;
  const share = Number.isFinite(size) ? Math.max(0.01, size / most) : 0;
  const chosen = selection.value.node === index;
  return html`<li><button type="button" class=${`outline-row ${chosen ? "chosen" : ""}`} aria-pressed=${chosen} onClick=${() => select(index)}>
    <span class="outline-name">${name}</span><span class="muted small">${node.shape.length ? shapeText(node.shape) : ""}</span>
    ${
      node.gradient &&
      html`<span class="bar-line"><svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        <rect class="bar-back" width="100" height="6" rx="1" />${known && html`<rect class="bar-fill" width=${(share * 100).toFixed(1)} height="6" rx="1" />`}</svg>
      <span class="bar-number">${known ? html`<span class="visually-hidden">gradient norm </span>‖g‖ ${format(size, 3)}` : html`<span class="not-yet">not yet</span>`}</span></span>`
    }
  </button></li>`;
}

function sizeOf(current, index) {
  const node = current.nodes[index];
  const live =
    server.value?.training?.running && frame.value?.layers?.find((each) => each.name === node.name);
  if (live && live.gradient_norm !== null) return Number(live.gradient_norm);
  return node.gradient ? (norm(node.gradient) ?? NaN) : NaN;
}

function matches(current, index, wanted) {
  const { kind, role, named } = current.nodes[index];
  if (!wanted) return kind === "leaf" && (role !== "constant" || named);
  return (
    current.nodes[index].name.toLowerCase().includes(wanted) ||
    current.label(index).toLowerCase().includes(wanted) ||
    current.nodes[index].operation.toLowerCase().includes(wanted)
  );
}

/** A module's call with its sizes only: Linear(3, 4). */
function shortened(label) {
  const match = /^(\w+)\(((?:\d+(?:, )?)*)/.exec(label ?? "");
  return match ? `${match[1]}${match[2] ? `(${match[2].replace(/, $/, "")})` : ""}` : (label ?? "");
}

/** Group nodes by module: parameters under the module that owns them, the rest by scope. */
function group(current, outline) {
  const groups = new Map();
  const labels = new Map((outline?.modules ?? []).map((each) => [each.name, shortened(each.label)]));
  const scopeByName = new Map();
  current.scopes.forEach(
    (scope, index) => scope.name && !scopeByName.has(scope.name) && scopeByName.set(scope.name, index),
  );
  const put = (key, name, scope, node) => {
    if (!groups.has(key))
      groups.set(key, {
        key,
        name,
        scope,
        label: labels.get(name) === name ? "" : (labels.get(name) ?? ""),
        nodes: [],
      });
    groups.get(key).nodes.push(node);
  };
  for (const node of current.nodes) {
    if (current.isHidden(node.index)) continue;
    if (node.role === "parameter" && node.name.includes(".")) {
      const owner = node.name.slice(0, node.name.lastIndexOf("."));
      put(`m${owner}`, owner, scopeByName.get(owner) ?? null, node.index);
    } else if (node.kind === "leaf") put("leaves", "", null, node.index);
    else {
      const scope = current.scopesOf(node.index).filter((each) => current.scopes[each].name)[0];
      if (scope === undefined) put("inner", "", null, node.index);
      else put(`m${current.scopes[scope].name}`, current.scopes[scope].name, scope, node.index);
    }
  }
  const order = (key) => (key === "leaves" ? 0 : key === "inner" ? 2 : 1);
  return [...groups.values()].sort((a, b) => order(a.key) - order(b.key));
}
