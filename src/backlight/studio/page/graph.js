// The graph: boxes and edges as SVG, lit by the moment and by the selection; zoom, pan, arrow keys.

import { html } from "./html.js";
import { Component } from "./vendor/preact/preact.js";
import { useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact/hooks.js";
import { effect, signal } from "./vendor/preact-signals/signals.js";
import { BoxBody, boxKind, boxWords, measure, measureLink } from "./boxes.js";
import { Cells } from "./cells.js";
import { layout } from "./layout.js";
import { gradientState } from "./stepping.js";
import {
  cursor,
  direction,
  folding,
  goToNode,
  last,
  litNodes,
  moment,
  narrow,
  offline,
  plan,
  route,
  select,
  selection,
  toggleScope,
  trace,
} from "./store.js";

const camera = signal({ x: 0, y: 0, k: 1 });
const placed = signal(null);
const SMALLEST = 0.12;
const LARGEST = 3;

export function zoomBy(factor) {
  const svg = document.getElementById("graph-svg");
  if (!svg) return;
  const box = svg.getBoundingClientRect();
  zoomAt(factor, box.width / 2, box.height / 2);
}

function zoomAt(factor, px, py) {
  const { x, y, k } = camera.value;
  const next = Math.max(SMALLEST, Math.min(LARGEST, k * factor));
  camera.value = { k: next, x: px - ((px - x) * next) / k, y: py - ((py - y) * next) / k };
}

const LEGIBLE = 0.66;

/** Show the whole graph, but not larger than life. */
export function fitGraph() {
  fit(SMALLEST);
}

/** Show the whole graph, or when it would be too small to read, the part where something happens. */
function fitLegible() {
  fit(LEGIBLE);
  const atEnd = cursor.value === last.value;
  const chosen = folding.value?.owner[selection.value.node];
  follow(atEnd ? (chosen >= 0 ? [chosen] : []) : happening(moment.value), false);
}

function fit(least) {
  const svg = document.getElementById("graph-svg");
  if (!svg || !placed.value) return;
  const box = svg.getBoundingClientRect();
  const { width, height } = placed.value.result;
  if (!box.width || !width) return;
  const k = Math.max(least, Math.min(1.25, (box.width - 16) / width, (box.height - 16) / height));
  const start = (room, size) => (size * k > room ? 4 : (room - size * k) / 2);
  camera.value = { k, x: start(box.width, width), y: start(box.height, height) };
}

let gliding = 0;

/** The boxes of a moment: where it happens, and where a contribution comes from. */
function happening(now) {
  if (!now || now.box === undefined || now.box < 0) return [];
  const from = now.kind === "edge" ? folding.value.owner[trace.value.edges[now.edge].target] : -1;
  return from >= 0 && from !== now.box ? [now.box, from] : [now.box];
}

/** Bring boxes into view, only when they are not; the first of them when not all fit. */
function follow(boxes, smooth = true) {
  const svg = document.getElementById("graph-svg");
  const found = placed.value;
  if (!svg || !boxes.length || !found?.result.nodes[boxes[0]]) return;
  const room = svg.getBoundingClientRect();
  const { k } = camera.value;
  const shift = (axis, side, offset, size, margin) => {
    const ends = (list) => [
      Math.min(...list.map((index) => found.result.nodes[index][axis] - found.sizes[index][side] / 2)) * k -
        margin,
      Math.max(...list.map((index) => found.result.nodes[index][axis] + found.sizes[index][side] / 2)) * k +
        margin,
    ];
    let [low, high] = ends(boxes.filter((index) => found.result.nodes[index]));
    if (high - low > room[side]) [low, high] = ends(boxes.slice(0, 1));
    if (low + offset >= 0 && high + offset <= room[side]) return offset;
    return inside(room[side] / 2 - (low + high) / 2, room[side], size * k);
  };
  const x = shift("x", "width", camera.value.x, found.result.width, 20);
  const y = shift("y", "height", camera.value.y, found.result.height, 12);
  if (x === camera.value.x && y === camera.value.y) return;
  const still = !smooth || matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (still) camera.value = { x, y, k };
  else glide({ x, y, k });
}

/** Keep the graph's ends at the window's ends, or the whole graph in the middle. */
function inside(offset, room, size) {
  return size <= room ? (room - size) / 2 : Math.max(room - size - 8, Math.min(8, offset));
}

function glide(end) {
  const begin = camera.value;
  const begun = performance.now();
  const turn = ++gliding;
  const draw = (time) => {
    if (turn !== gliding) return;
    const part = Math.max(0, Math.min(1, (time - begun) / 260));
    const eased = 1 - (1 - part) ** 3;
    camera.value = {
      k: end.k,
      x: begin.x + (end.x - begin.x) * eased,
      y: begin.y + (end.y - begin.y) * eased,
    };
    if (part < 1) requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}

export function Graph() {
  const current = trace.value;
  const folded = folding.value;
  const mode = direction.value;
  const flow = narrow.value ? "TB" : "LR";
  useLayoutPlaces(current, folded, mode, flow);
  const svg = useRef(null);
  const inside = useRef(null);
  const drag = useDragging(svg);
  useEffect(
    () =>
      effect(() => {
        const { x, y, k } = camera.value;
        inside.current?.setAttribute(
          "transform",
          `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${k.toFixed(4)})`,
        );
      }),
    [],
  );
  useEffect(() => {
    follow(happening(moment.value));
  }, [cursor.value]);
  useEffect(() => {
    const box = folding.value?.owner[selection.value.node];
    if (box >= 0) follow([box]);
  }, [selection.value]);
  const found = placed.value;
  if (!current || !folded) return null;
  const usable = found && found.folded === folded ? found : null;
  return html`<svg id="graph-svg" ref=${svg} class="graph" role="group" tabindex="-1"
      aria-label="Computation graph: boxes are values, arrow keys follow the edges" ...${drag}>
    <defs>
      <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
        <path d="M0.5 0.8L7.5 4L0.5 7.2z" class="tip" /></marker>
      <marker id="tip-back" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" orient="auto">
        <path d="M7.5 0.8L0.5 4L7.5 7.2z" class="tip-back" /></marker>
      <marker id="tip-now" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="6" markerHeight="6" orient="auto">
        <path d="M7.5 0.8L0.5 4L7.5 7.2z" class="tip-now" /></marker>
    </defs>
    <g ref=${inside}>
      ${usable && html`<${Edges} found=${usable} />`}
      ${usable && html`<${Boxes} found=${usable} />`}
    </g>
  </svg>`;
}

function useLayoutPlaces(current, folded, mode, flow) {
  useEffect(() => {
    if (!current || !folded) return undefined;
    let alive = true;
    const sizes = folded.boxes.map((box) => measure(current, box, mode));
    const links = folded.links.map((link) => ({ ...link, ...measureLink(current, link, mode) }));
    const input = {
      nodes: sizes.map(({ width, height }) => ({ width: Math.ceil(width), height: Math.ceil(height) })),
      edges: links.map(({ from, to, width, height }) => ({
        from,
        to,
        width: Math.ceil(width),
        height: Math.ceil(height),
      })),
      direction: flow,
    };
    layout(input, offline.value).then((result) => {
      if (!alive) return;
      const before = placed.value;
      placed.value = { result, sizes, links, folded, mode };
      const resized =
        !before || before.result.width !== result.width || before.result.height !== result.height;
      if (resized) requestAnimationFrame(fitLegible);
    });
    return () => {
      alive = false;
    };
  }, [current, folded, mode, flow]);
}

function useDragging(svg) {
  const [held] = useState(() => new Map());
  useLayoutEffect(() => {
    const element = svg.current;
    if (!element) return undefined;
    const wheel = (event) => {
      if (!event.ctrlKey && !event.metaKey && narrow.value) return;
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoomAt(Math.exp(-event.deltaY * 0.0016), event.clientX - box.left, event.clientY - box.top);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    const observer = new ResizeObserver(() => fitLegible());
    observer.observe(element);
    return () => {
      element.removeEventListener("wheel", wheel);
      observer.disconnect();
    };
  }, []);
  return {
    onPointerDown: (event) => {
      if (event.button !== 0) return;
      gliding++;
      held.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: 0 });
    },
    onPointerMove: (event) => {
      const start = held.get(event.pointerId);
      if (!start) return;
      const dx = event.clientX - start.x;
      const dy = event.clientY - start.y;
      start.moved += Math.abs(dx) + Math.abs(dy);
      if (start.moved < 4) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      if (held.size === 2) pinch(held, event);
      else camera.value = { ...camera.value, x: camera.value.x + dx, y: camera.value.y + dy };
      start.x = event.clientX;
      start.y = event.clientY;
    },
    onPointerUp: (event) => held.delete(event.pointerId),
    onPointerCancel: (event) => held.delete(event.pointerId),
    onPointerLeave: (event) =>
      event.pointerType === "mouse" &&
      !event.currentTarget.hasPointerCapture(event.pointerId) &&
      held.delete(event.pointerId),
  };
}

function pinch(held, event) {
  const other = [...held.entries()].find(([id]) => id !== event.pointerId)[1];
  const own = held.get(event.pointerId);
  const before = Math.hypot(own.x - other.x, own.y - other.y) || 1;
  const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
  const box = event.currentTarget.getBoundingClientRect();
  zoomAt(after / before, other.x - box.left, other.y - box.top);
}

/** Draws its inside again only when what `mark` says has changed: most boxes stay as they are. */
class Still extends Component {
  shouldComponentUpdate(next) {
    return (
      next.mark !== this.props.mark || next.found !== this.props.found || next.trace !== this.props.trace
    );
  }

  render({ draw }) {
    return draw();
  }
}

function Boxes({ found }) {
  const current = trace.value;
  const steps = plan.value;
  const now = moment.value;
  const chosen = folding.value.owner[selection.value.node] ?? -1;
  const lit = litNodes.value;
  const at = cursor.value;
  return found.folded.boxes.map((box, index) => {
    const kind = boxKind(current, box);
    const active = now?.box === index && now.kind !== "start";
    const isChosen = index === chosen;
    const entry = isChosen && selection.value.node === box.out ? selection.value.entry : null;
    const ready = steps.valueAt[box.out] <= at;
    const { state, arrived } = gradientState(current, steps, box.out, at);
    const classes = [
      "box",
      kind,
      isChosen && "chosen",
      active && "now",
      lit && !box.nodes.some((each) => lit.has(each)) && "dim",
    ]
      .filter(Boolean)
      .join(" ");
    const focusable = isChosen || (chosen < 0 && index === 0);
    return html`<${Still} key=${box.key} found=${found} trace=${current} mark=${`${classes} ${entry} ${ready} ${state} ${arrived} ${focusable}`}
      draw=${() => drawBox({ found, box, index, classes, isChosen, entry, at, focusable })} />`;
  });
}

function drawBox({ found, box, index, classes, isChosen, entry, at, focusable }) {
  const current = trace.peek();
  const steps = plan.peek();
  const size = found.sizes[index];
  const { x, y } = found.result.nodes[index];
  return html`<g id=${`box-${index}`} class=${classes}
      transform=${`translate(${x - size.width / 2} ${y - size.height / 2})`}
      role="button" tabindex=${focusable ? 0 : -1}
      aria-pressed=${isChosen} aria-label=${boxWords(current, steps, box, at)}
      onClick=${() => select(box.out)} onDblClick=${() => (box.scope === null ? goToNode(box.out, "backward") : toggleScope(box.scope, false))}>
    <rect class="box-back" width=${size.width} height=${size.height} rx="7" />
    <rect class="box-strip" width="4" height=${size.height - 14} x="0" y="7" rx="2" />
    ${isChosen && html`<rect class="box-ring" x="-3.5" y="-3.5" width=${size.width + 7} height=${size.height + 7} rx="10" />`}
    ${box.scope !== null && html`<path class="box-stack" d=${`M8 -3.5H${size.width - 8}`} />`}
    <${BoxBody} trace=${current} plan=${steps} box=${box} size=${size} cursor=${at} entry=${entry} onEntry=${(flat) => select(box.out, flat)} />
  </g>`;
}

function Edges({ found }) {
  const current = trace.value;
  const steps = plan.value;
  const at = cursor.value;
  const now = moment.value;
  const lit = litNodes.value;
  return found.links.map((link, index) => {
    const arrived = link.edges.filter(
      (edge) => steps.edgeAt[edge] <= at && steps.seedAt >= 0 && at >= steps.seedAt,
    );
    const active = now?.kind === "edge" && link.edges.includes(now.edge);
    const onPath = lit && link.uses.some((use) => lit.has(use.source) && lit.has(use.target));
    const back = arrived.length > 0 && found.mode !== "forward";
    const flowing = now?.kind === "forward" && now.box === link.to;
    const acting = link.edges.some((each) => route.value.has(current.edges[each].source));
    const classes = [
      "edge",
      acting && "route",
      back && "arrived",
      active && "now",
      flowing && "flowing",
      lit && (onPath ? "lit" : "dim"),
    ]
      .filter(Boolean)
      .join(" ");
    return html`<${Still} key=${link.key} found=${found} trace=${current} mark=${`${classes} ${arrived.length} ${active ? now.edge : ""}`}
      draw=${() => drawEdge({ found, link, index, classes, arrived, active, back, now })} />`;
  });
}

function drawEdge({ found, link, index, classes, arrived, active, back, now }) {
  const shape = found.result.edges[index];
  const path = curve(shape.points);
  return html`<g class=${classes}>
    <path class="edge-line" d=${path} marker-end=${back ? null : "url(#tip)"}
      marker-start=${back ? (active ? "url(#tip-now)" : "url(#tip-back)") : null} />
    ${active && html`<${Traveller} key=${`t${now.edge}`} path=${path} />`}
    ${back && html`<${EdgeLabel} link=${link} shape=${shape} arrived=${arrived} now=${active ? now : null} />`}
  </g>`;
}

function EdgeLabel({ link, shape, arrived, now }) {
  const { width, height, lines } = link;
  const left = shape.x - width / 2 + 3;
  const top = shape.y - height / 2 + 2;
  const shown = lines.filter((line) => arrived.includes(line.index));
  if (!shown.length) return null;
  if (!shown[0].single) {
    const contribution =
      shown.find((line) => line.index === now?.edge)?.edge.contribution ?? shown[0].edge.contribution;
    if (!link.plan || !contribution) return null;
    return html`<g class="edge-label"><rect class="edge-back" x=${left} y=${top} width=${width - 6} height=${height - 4} rx="4" />
      <${Cells} array=${contribution} plan=${link.plan} tone="gradient"
        x=${shape.x - link.plan.width / 2} y=${shape.y - link.plan.height / 2} /></g>`;
  }
  return html`<g class="edge-label">
    <rect class="edge-back" x=${left} y=${top} width=${width - 6} height=${shown.length * 32} rx="4" />
    ${shown.map(
      (line, k) => html`<g key=${line.index} class=${line.index === now?.edge ? "now" : ""}>
      <text x=${shape.x} y=${top + 13 + k * 32} text-anchor="middle" class="edge-product">${line.head}</text>
      <text x=${shape.x} y=${top + 27 + k * 32} text-anchor="middle" class="edge-result">${line.result}</text></g>`,
    )}
  </g>`;
}

/** A dot that carries the contribution from the node above to the node below. */
function Traveller({ path }) {
  const dot = useRef(null);
  useEffect(() => {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const line = dot.current?.parentNode.querySelector(".edge-line");
    if (!line || still) return undefined;
    const length = line.getTotalLength();
    const begun = performance.now();
    let frame = 0;
    const draw = (time) => {
      const part = Math.min(1, (time - begun) / 480);
      const eased = 1 - (1 - part) ** 3;
      const point = line.getPointAtLength(length * (1 - eased));
      dot.current?.setAttribute("cx", point.x);
      dot.current?.setAttribute("cy", point.y);
      dot.current?.setAttribute("opacity", part < 1 ? 1 : 0);
      if (part < 1) frame = requestAnimationFrame(draw);
    };
    frame = requestAnimationFrame(draw);
    return () => cancelAnimationFrame(frame);
  }, [path]);
  return html`<circle ref=${dot} class="traveller" r="5.5" opacity="0" />`;
}

function curve(points) {
  const at = ({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  if (points.length < 3) return `M${at(points[0])}L${at(points.at(-1))}`;
  let path = `M${at(points[0])}`;
  for (let k = 1; k < points.length - 1; k++) {
    const middle =
      k === points.length - 2
        ? points[k + 1]
        : { x: (points[k].x + points[k + 1].x) / 2, y: (points[k].y + points[k + 1].y) / 2 };
    path += `Q${at(points[k])} ${at(middle)}`;
  }
  return path;
}

/** Follow an edge with an arrow key: along the flow, against it, or to a neighbour beside it. */
export function walk(key) {
  const found = placed.value;
  const folded = folding.value;
  if (!found || !folded) return;
  const from = folded.owner[selection.value.node] ?? 0;
  const vertical = narrow.value;
  const along = vertical ? "ArrowDown" : "ArrowRight";
  const against = vertical ? "ArrowUp" : "ArrowLeft";
  const position = (index) => found.result.nodes[index];
  let candidates;
  if (key === along) candidates = folded.links.filter((link) => link.from === from).map((link) => link.to);
  else if (key === against)
    candidates = folded.links.filter((link) => link.to === from).map((link) => link.from);
  else {
    const axis = vertical ? "x" : "y";
    const other = vertical ? "y" : "x";
    const sign = key === "ArrowDown" || key === "ArrowRight" ? 1 : -1;
    candidates = folded.boxes
      .map((_, index) => index)
      .filter((index) => index !== from && (position(index)[axis] - position(from)[axis]) * sign > 4)
      .sort((a, b) => away(a) - away(b))
      .slice(0, 1);
    function away(index) {
      return (
        Math.abs(position(index)[axis] - position(from)[axis]) +
        2 * Math.abs(position(index)[other] - position(from)[other])
      );
    }
  }
  if (!candidates.length) return;
  const nearest = candidates.sort(
    (a, b) =>
      Math.hypot(position(a).x - position(from).x, position(a).y - position(from).y) -
      Math.hypot(position(b).x - position(from).x, position(b).y - position(from).y),
  )[0];
  select(folded.boxes[nearest].out);
  follow([nearest]);
  document.getElementById(`box-${nearest}`)?.focus({ preventScroll: true });
}
