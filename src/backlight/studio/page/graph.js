// The graph: boxes and edges as SVG, lit by the moment and by the selection; zoom, pan, arrow keys.

import { html } from "./html.js";
import { useEffect, useRef, useLayoutEffect } from "./vendor/preact/hooks.js";
import { BoxBody, BoxName, boxKind, boxWords, measure, measureLink } from "./boxes.js";
import { fitLegible, follow, happening, isSeen, moveWithCamera, placed, seen, useDragging } from "./camera.js";
import { Edges } from "./edges.js";
import { layout } from "./layout.js";
import { Still } from "./still.js";
import { gradientState } from "./stepping.js";
import {
  cursor,
  direction,
  folding,
  goToNode,
  litNodes,
  moment,
  narrow,
  offline,
  plan,
  select,
  selection,
  toggleScope,
  trace,
} from "./store.js";

export function Graph() {
  const current = trace.value;
  const folded = folding.value;
  const mode = direction.value;
  const flow = narrow.value ? "TB" : "LR";
  useLayoutPlaces(current, folded, mode, flow);
  const view = useRef(null);
  const inside = useRef(null);
  const drag = useDragging(view);
  useEffect(() => (inside.current ? moveWithCamera(inside.current) : undefined), [Boolean(current && folded)]);
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
  const { width, height } = usable?.result ?? { width: 0, height: 0 };
  return html`<div id="graph-view" ref=${view} class="graph" ...${drag}>
    <svg id="graph-svg" ref=${inside} class="graph-svg" width=${width} height=${height} role="group" tabindex="-1"
      aria-label="Computation graph: boxes are values, arrow keys follow the edges">
    <defs>
      <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
        <path d="M0.5 0.8L7.5 4L0.5 7.2z" class="tip" /></marker>
      <marker id="tip-back" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" orient="auto">
        <path d="M7.5 0.8L0.5 4L7.5 7.2z" class="tip-back" /></marker>
      <marker id="tip-now" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="6" markerHeight="6" orient="auto">
        <path d="M7.5 0.8L0.5 4L7.5 7.2z" class="tip-now" /></marker>
    </defs>
    <g>
      ${usable && html`<${Edges} found=${usable} />`}
      ${usable && html`<${Boxes} found=${usable} />`}
    </g>
  </svg></div>`;
}

function useLayoutPlaces(current, folded, mode, flow) {
  // Before the screen is painted: a graph of few boxes is never seen without them.
  useLayoutEffect(() => {
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

function Boxes({ found }) {
  const current = trace.value;
  const steps = plan.value;
  const now = moment.value;
  const chosen = folding.value.owner[selection.value.node] ?? -1;
  const lit = litNodes.value;
  const at = cursor.value;
  const window_ = seen.value;
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
    const size = found.sizes[index];
    const full = isSeen(window_, found.result.nodes[index], size.width, size.height);
    const focusable = isChosen || (chosen < 0 && index === 0);
    return html`<${Still} key=${box.key} found=${found} trace=${current} mark=${`${classes} ${entry} ${ready} ${state} ${arrived} ${focusable} ${full}`}
      draw=${() => drawBox({ found, box, index, classes, isChosen, entry, at, focusable, full })} />`;
  });
}

function drawBox({ found, box, index, classes, isChosen, entry, at, focusable, full }) {
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
    <${full ? BoxBody : BoxName} trace=${current} plan=${steps} box=${box} size=${size} cursor=${at} entry=${entry} onEntry=${(flat) => select(box.out, flat)} />
  </g>`;
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
