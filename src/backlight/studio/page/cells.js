// Arrays as small pictures. A positive entry is a filled square, a negative one a hollow square (a bar
// where it is tiny), the area grows with the size: the sign is never told by colour alone.

import { html } from "./html.js";
import { coordinates, entryOf } from "./trace.js";
import { brief, format, shapeText } from "./numbers.js";

const WIDEST = 132;
const HIGHEST = 84;
const CELL_WIDTH = 58;
const CELL_HEIGHT = 18;

/** How an array of a shape is drawn: rows, columns, the size of a cell, and whether as numbers. */
export function cellPlan(shape, widest = WIDEST, highest = HIGHEST, numbers = true) {
  const size = shape.reduce((a, b) => a * b, 1);
  if (!shape.length || size === 0) return null;
  let rows = shape.length === 1 ? size : size / shape.at(-1);
  let columns = shape.length === 1 ? 1 : shape.at(-1);
  if (shape.length === 1 && size > 8) {
    columns = Math.min(size, size <= 16 ? size : Math.ceil(Math.sqrt(size * 2)));
    rows = Math.ceil(size / columns);
  }
  if (numbers && rows <= 4 && columns <= 3 && rows * CELL_HEIGHT <= highest) {
    return {
      rows,
      columns,
      size,
      numbers: true,
      cw: CELL_WIDTH,
      ch: CELL_HEIGHT,
      pool: 1,
      width: columns * CELL_WIDTH,
      height: rows * CELL_HEIGHT,
    };
  }
  const pool = Math.max(1, Math.ceil((rows * 3) / highest), Math.ceil((columns * 3) / widest));
  const r = Math.ceil(rows / pool);
  const c = Math.ceil(columns / pool);
  const cell = Math.max(3, Math.min(14, Math.floor(widest / c), Math.floor(highest / r)));
  return {
    rows: r,
    columns: c,
    fullRows: rows,
    fullColumns: columns,
    size,
    numbers: false,
    cw: cell,
    ch: cell,
    pool,
    width: c * cell,
    height: r * cell,
  };
}

/** The largest size of an entry, at least something above 0. */
function largest(data) {
  let most = 0;
  for (const each of data) if (Number.isFinite(each) && Math.abs(each) > most) most = Math.abs(each);
  return most || 1;
}

function pooled(array, plan) {
  if (plan.pool === 1) return array.data;
  const out = new Float64Array(plan.rows * plan.columns);
  for (let k = 0; k < array.data.length; k++) {
    const row = Math.floor(Math.floor(k / plan.fullColumns) / plan.pool);
    const column = Math.floor((k % plan.fullColumns) / plan.pool);
    const place = row * plan.columns + column;
    if (Math.abs(array.data[k]) > Math.abs(out[place])) out[place] = array.data[k];
  }
  return out;
}

/** An array inside an SVG, its corner at (x, y). */
export function Cells({ array, plan, x = 0, y = 0, tone, entry = null, onEntry = null, digits = 3 }) {
  if (!array.data) {
    const text = array.summary ? `‖·‖ = ${format(array.summary.norm, 3)}` : "not loaded";
    return html`<g transform=${`translate(${x} ${y})`} class="cells">
      <rect class="cells-frame" width=${Math.max(plan.width, 92)} height=${Math.max(plan.height, 34)} rx="3" />
      <text x="8" y="15" class="small-number">${text}</text>
      <text x="8" y="28" class="tiny">${shapeText(array.shape)}</text>
    </g>`;
  }
  const click =
    onEntry &&
    ((event) => {
      const box = event.currentTarget.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * plan.columns);
      const row = Math.floor(((event.clientY - box.top) / box.height) * plan.rows);
      const full = plan.numbers || plan.pool === 1;
      const flat = full
        ? row * plan.columns + column
        : row * plan.pool * plan.fullColumns + column * plan.pool;
      if (flat < array.size) {
        event.stopPropagation();
        onEntry(flat);
      }
    });
  return html`<g transform=${`translate(${x} ${y})`} class=${`cells ${tone}`} onClick=${click}>
    <rect class="cells-frame" width=${plan.width} height=${plan.height} rx="2" />
    ${plan.numbers ? numbersOf(array, plan, digits) : squares(array, plan)}
    ${entry !== null && mark(entry, plan)}
  </g>`;
}

function numbersOf(array, plan, digits) {
  const most = largest(array.data);
  const cells = [];
  for (let k = 0; k < array.size; k++) {
    const value = array.data[k];
    const row = Math.floor(k / plan.columns);
    const column = k % plan.columns;
    const strength = Math.min(1, Math.abs(value) / most) * 0.3;
    cells.push(html`<rect key=${`r${k}`} class=${value < 0 ? "tint negative" : "tint positive"}
      x=${column * plan.cw} y=${row * plan.ch} width=${plan.cw} height=${plan.ch} fill-opacity=${strength.toFixed(3)} />`);
    cells.push(html`<text key=${`t${k}`} class="cell-number" x=${column * plan.cw + plan.cw / 2}
      y=${row * plan.ch + 13} text-anchor="middle">${brief(value, digits)}</text>`);
  }
  return cells;
}

function squares(array, plan) {
  const data = pooled(array, plan);
  const most = largest(data);
  let positive = "";
  let negative = "";
  let odd = "";
  const { cw: cell, columns } = plan;
  for (let k = 0; k < data.length; k++) {
    const value = data[k];
    const left = (k % columns) * cell;
    const top = Math.floor(k / columns) * cell;
    if (!Number.isFinite(value)) {
      odd += `M${left} ${top}l${cell} ${cell}m0 ${-cell}l${-cell} ${cell}`;
      continue;
    }
    const side = Math.sqrt(Math.abs(value) / most) * (cell - (cell > 5 ? 1.4 : 0.4));
    if (side < 0.35) continue;
    const a = left + (cell - side) / 2;
    const b = top + (cell - side) / 2;
    const s = side.toFixed(2);
    const box = `M${a.toFixed(2)} ${b.toFixed(2)}h${s}v${s}h-${s}z`;
    if (value > 0) positive += box;
    else if (side < 4) {
      const bar = Math.max(0.7, side * 0.4).toFixed(2);
      negative += `M${a.toFixed(2)} ${(top + cell / 2 - bar / 2).toFixed(2)}h${s}v${bar}h-${s}z`;
    } else {
      const edge = Math.max(1, side * 0.2);
      const inner = (side - 2 * edge).toFixed(2);
      negative += `${box}M${(a + edge).toFixed(2)} ${(b + edge).toFixed(2)}v${inner}h${inner}v-${inner}z`;
    }
  }
  return html`<path class="positive" d=${positive} /><path class="negative" d=${negative} fill-rule="evenodd" />
    ${odd && html`<path class="odd" d=${odd} />`}`;
}

function mark(entry, plan) {
  const row = Math.floor(entry / (plan.fullColumns ?? plan.columns) / plan.pool);
  const column = Math.floor((entry % (plan.fullColumns ?? plan.columns)) / plan.pool);
  return html`<rect class="entry-mark" x=${column * plan.cw - 1} y=${row * plan.ch - 1}
    width=${plan.cw + 2} height=${plan.ch + 2} rx="2" />`;
}

/** An array in the running text: a number, or a small picture with its shape. */
export function Inline({
  array,
  tone = "value",
  entry = null,
  onEntry = null,
  label,
  digits = 4,
  widest = 168,
  highest = 96,
}) {
  if (!array) return html`<span class="not-yet">not computed yet</span>`;
  if (!array.shape.length) {
    return html`<span class=${`number ${tone}`}>${array.data ? format(array.data[0], digits) : "–"}</span>`;
  }
  if (entry !== null && array.data && array.size === 1) {
    return html`<span class=${`number ${tone}`}>${format(entryOf(array, 0), digits)}</span>`;
  }
  const plan = cellPlan(array.shape, widest, highest);
  if (!plan) return html`<span class="muted">empty</span>`;
  const width = Math.max(plan.width, array.data ? 0 : 92) + 4;
  const height = Math.max(plan.height, array.data ? 0 : 34) + 4;
  return html`<svg class="inline-cells" width=${width} height=${height} viewBox=${`-2 -2 ${width} ${height}`}
    role="img" aria-label=${describe(array, label)}>
    <${Cells} array=${array} plan=${plan} tone=${tone} entry=${entry} onEntry=${onEntry} />
  </svg>`;
}

/** An array in words, for those who do not see it. */
export function describe(array, label = "array") {
  const head = `${label}, ${shapeText(array.shape)}`;
  if (!array.data) return array.summary ? `${head}, norm ${format(array.summary.norm)}` : head;
  if (array.size <= 12) return `${head}: ${[...array.data].map((each) => format(each)).join(", ")}`;
  let low = Infinity;
  let high = -Infinity;
  for (const each of array.data) {
    if (each < low) low = each;
    if (each > high) high = each;
  }
  return `${head}, from ${format(low)} to ${format(high)}`;
}

/** An entry's index as subscripts count: from 0, in brackets. */
export function entryText(flat, shape) {
  return flat === null || !shape.length ? "" : `[${coordinates(flat, shape).join(", ")}]`;
}
