// What stands in the boxes and on the edges of the graph, and how much room it takes.

import { html } from "./html.js";
import { Cells, cellPlan, describe } from "./cells.js";
import { format } from "./numbers.js";
import { gradientState, runningGradient } from "./stepping.js";

const PAD = 11;
const TITLE = 30;
const ROW = 21;

const textWidth = (text, size = 7.2) => [...text.normalize("NFC")].length * size;

/** What kind of box it is: decides its colour and its word. */
export function boxKind(trace, box) {
  if (box.elided) return "elided";
  if (box.scope !== null) return trace.scopes[box.scope].kind === "composite" ? "composite" : "module";
  const node = trace.nodes[box.out];
  if (node.index === trace.output) return "output";
  return node.role ?? "operation";
}

/** The two parts of a box's title. */
export function boxTitle(trace, box) {
  if (box.elided) return { name: `… ${box.nodes.length} more nodes`, formula: "" };
  if (box.scope !== null) {
    const { name } = trace.scopes[box.scope];
    return { name: name || "network", formula: `→ ${trace.label(box.out)}` };
  }
  const node = trace.nodes[box.out];
  const formula = formulaOf(trace, node.index);
  return { name: trace.label(box.out), formula: formula ? `= ${formula}` : "" };
}

/** What a gradient is called in a box: ∂L/∂w where that is short. */
function gradientLabel(trace, index) {
  const of = `∂${trace.lossLabel}/∂${trace.label(index)}`;
  return [...of].length > 10 ? "gradient" : of;
}

const INFIX = { add: " + ", sub: " − ", mul: "·", div: "/", pow: "^", contract: " @ " };

/** A node's formula, as the schema has it or from the operation's name. */
export function formulaOf(trace, index) {
  const node = trace.nodes[index];
  if (node.kind === "leaf") return "";
  if (node.formula) return withLabels(trace, node);
  const operands = node.inputs.map((each) => operandText(trace, each));
  if (node.operation === "pow" && operands[1] === "2") return `${operands[0]}²`;
  const sign = INFIX[node.operation];
  if (sign && operands.length === 2) return operands.join(sign);
  return `${node.operation}(${operands.join(", ")})`;
}

/** The schema's formula names operands as the program does; the page has symbols for them. */
function withLabels(trace, node) {
  let text = node.formula;
  const operands = [...new Set(node.inputs)].filter((each) => !trace.isHidden(each));
  operands.sort((a, b) => trace.nodes[b].name.length - trace.nodes[a].name.length);
  for (const each of operands) {
    const { name } = trace.nodes[each];
    if (name.length > 2 && name !== trace.label(each)) text = text.replaceAll(name, trace.label(each));
  }
  return text;
}

function operandText(trace, index) {
  return trace.isHidden(index) ? format(trace.nodes[index].value.data?.[0]) : trace.label(index);
}

/** The size of a box and the places of what is in it; it does not depend on the moment. */
export function measure(trace, box, direction) {
  const node = trace.nodes[box.out];
  const { name, formula } = boxTitle(trace, box);
  const shown = formula && textWidth(`${name} ${formula}`) <= 200 ? formula : "";
  const head = textWidth(name, 8) + (shown ? textWidth(shown, 7.4) + 6 : 0) + 2 * PAD + 6;
  const withValue = direction !== "backward";
  const withGradient = direction !== "forward" && (node.gradient || node.kind !== "leaf");
  const cells = cellPlan(node.shape);
  if (!cells) {
    const rows = (withValue ? 1 : 0) + (withGradient ? 1 : 0);
    const label = withGradient ? textWidth(gradientLabel(trace, node.index), 7.6) : 36;
    return {
      name,
      formula: shown,
      cells: null,
      withValue,
      withGradient,
      width: Math.max(head, label + (withGradient || node.kind !== "leaf" ? 132 : 60), 104),
      height: TITLE + rows * ROW + 9,
    };
  }
  const w = Math.max(cells.width, cells.pool && !node.value?.data ? 96 : 0, 46);
  const h = Math.max(cells.height, node.value?.data ? 0 : 34);
  const both = withValue && withGradient;
  const beside = both && 2 * w + 12 <= 250;
  const body = both ? (beside ? h + 16 : 2 * (h + 16) + 6) : h + 16;
  const inner = both && beside ? 2 * Math.max(w, 58) + 12 : Math.max(w, 92);
  return {
    name,
    formula: shown,
    cells,
    withValue,
    withGradient,
    beside,
    cellWidth: w,
    cellHeight: h,
    width: Math.max(head, inner + 2 * PAD),
    height: TITLE + body + 10,
  };
}

/** The inside of a box at a moment. */
export function BoxBody({ trace, plan, box, size, cursor, entry, onEntry }) {
  const node = trace.nodes[box.out];
  const ready = plan.valueAt[node.index] >= 0 && plan.valueAt[node.index] <= cursor;
  const state = gradientState(trace, plan, node.index, cursor);
  const gradient = runningGradient(trace, plan, node.index, cursor);
  const of = gradientLabel(trace, node.index);
  return html`
    <text class="box-title" x=${PAD} y="20"><tspan class="box-name">${size.name}</tspan>${
      size.formula && html`<tspan class="box-formula" dx="5">${size.formula}</tspan>`
    }</text>
    ${
      size.cells
        ? arrays(node, size, ready, state, gradient, of, entry, onEntry)
        : scalars(node, size, ready, state, gradient, of)
    }`;
}

/** The inside of a box that is too far away to be read: its name, large. */
export function BoxName({ size }) {
  return html`<text class="box-title far" x=${size.width / 2} y=${size.height / 2 + 10} text-anchor="middle"><tspan class="box-name">${size.name}</tspan></text>`;
}

function scalars(node, size, ready, state, gradient, of) {
  const rows = [];
  let y = TITLE + 14;
  const right = size.width - PAD;
  if (size.withValue) {
    rows.push(html`<text class="box-label" x=${PAD} y=${y}>value</text>
      ${
        ready
          ? html`<text class="box-value" x=${right} y=${y} text-anchor="end">${format(node.value.data[0])}</text>`
          : html`<text class="box-wait" x=${right} y=${y} text-anchor="end">not computed yet</text>`
      }`);
    y += ROW;
  }
  if (size.withGradient) {
    rows.push(html`<text class="box-label gradient" x=${PAD} y=${y}>${of}</text>`);
    if (gradient) {
      rows.push(
        html`<text class="box-gradient" x=${right} y=${y} text-anchor="end">${format(gradient.data?.[0])}</text>`,
      );
      if (state.state === "partial") rows.push(partialMark(state, size, y + 14));
    } else {
      rows.push(
        html`<text class="box-wait" x=${right} y=${y} text-anchor="end">${
          state.state === "none" ? "none flows here" : "not computed yet"
        }</text>`,
      );
    }
  }
  return rows;
}

function partialMark(state, size, y) {
  return html`<text class="box-partial" x=${size.width - PAD} y=${Math.min(y, size.height - 3)} text-anchor="end">
    ${state.arrived} of ${state.of} arrived</text>`;
}

function arrays(node, size, ready, state, gradient, of, entry, onEntry) {
  const found = [];
  const top = TITLE + 2;
  const second = size.beside
    ? { x: PAD + Math.max(size.cellWidth, 58) + 12, y: top }
    : { x: PAD, y: top + size.cellHeight + 22 };
  if (size.withValue) {
    found.push(html`<text class="box-label" x=${PAD} y=${top + 8}>value</text>`);
    found.push(
      ready
        ? html`<${Cells} array=${node.value} plan=${size.cells} x=${PAD} y=${top + 14} tone="value" entry=${entry} onEntry=${onEntry} />`
        : placeholder(PAD, top + 14, size),
    );
  }
  if (size.withGradient) {
    const { x, y } = size.withValue ? second : { x: PAD, y: top };
    const label = state.state === "partial" ? `gradient, ${state.arrived} of ${state.of}` : of;
    found.push(html`<text class="box-label gradient" x=${x} y=${y + 8}>${label}</text>`);
    if (gradient)
      found.push(
        html`<${Cells} array=${gradient} plan=${size.cells} x=${x} y=${y + 14} tone="gradient" entry=${entry} onEntry=${onEntry} />`,
      );
    else
      found.push(placeholder(x, y + 14, size, state.state === "none" ? ["none flows", "here"] : undefined));
  }
  return found;
}

function placeholder(x, y, size, lines = ["not yet", "computed"]) {
  const width = Math.max(size.cellWidth, 56);
  const middle = y + size.cellHeight / 2;
  const one = size.cellHeight < 30;
  return html`<rect class="cells-missing" x=${x} y=${y} width=${width} height=${size.cellHeight} rx="2" />
    ${
      one
        ? html`<text class="box-wait tiny" x=${x + width / 2} y=${middle + 4} text-anchor="middle">${lines[0] === "not yet" ? "not yet" : "none"}</text>`
        : lines.map(
            (line, k) =>
              html`<text class="box-wait tiny" x=${x + width / 2} y=${middle - 2 + k * 12} text-anchor="middle">${line}</text>`,
          )
    }`;
}

/** What is said of a box to those who do not see it. */
export function boxWords(trace, plan, box, cursor) {
  const node = trace.nodes[box.out];
  const { name, formula } = boxTitle(trace, box);
  const ready = plan.valueAt[node.index] >= 0 && plan.valueAt[node.index] <= cursor;
  const value = ready ? describe(node.value, "value") : "value not computed yet";
  const { state, arrived, of } = gradientState(trace, plan, node.index, cursor);
  const gradient = runningGradient(trace, plan, node.index, cursor);
  const words = {
    none: "no gradient flows here",
    waiting: "gradient not computed yet",
    partial: `${gradient ? describe(gradient, "gradient so far") : ""}, ${arrived} of ${of} contributions arrived`,
    complete: gradient ? describe(gradient, "gradient") : "gradient",
  }[state];
  return `${name} ${formula}; ${value}; ${words}`;
}

/** The lines on an edge: local × upstream = contribution, for single numbers. */
export function edgeLines(trace, link) {
  return link.edges.slice(0, 3).map((index) => {
    const edge = trace.edges[index];
    const upstream = trace.nodes[edge.target].gradient;
    const single =
      edge.contribution?.size === 1 && upstream?.size === 1 && edge.contribution.data && upstream.data;
    if (!single) return { index, edge, single: false };
    const local = edge.local?.data ? edge.local.data[0] : null;
    const result = format(edge.contribution.data[0]);
    const head = local === null ? "" : `${format(local)} × ${signed(format(upstream.data[0]))}`;
    return { index, edge, single: true, head, result: `= ${result}` };
  });
}

function signed(text) {
  return text.startsWith("−") ? `(${text})` : text;
}

/** The room that an edge's label takes. */
export function measureLink(trace, link, direction) {
  if (direction === "forward" || !link.edges.length) return { width: 14, height: 8, lines: [] };
  const lines = edgeLines(trace, link);
  if (lines.every((line) => line.single)) {
    const widest = Math.max(
      ...lines.map((line) => Math.max(textWidth(line.head, 7), textWidth(line.result, 7))),
    );
    return { width: widest + 16, height: lines.length * 32 + 4, lines };
  }
  const plan = cellPlan(lines[0].edge.contribution?.shape ?? [], 56, 48, false);
  if (!plan) return { width: 60, height: 24, lines, plan: null };
  const listed = Boolean(lines[0].edge.contribution?.data);
  return {
    width: Math.max(plan.width, listed ? 40 : 92) + 10,
    height: Math.max(plan.height, listed ? 0 : 34) + 10,
    lines,
    plan,
  };
}
