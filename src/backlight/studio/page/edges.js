// The edges of the graph: the flow forward, and on the way back local × upstream = contribution.

import { html } from "./html.js";
import { useEffect, useRef } from "./vendor/preact/hooks.js";
import { Cells } from "./cells.js";
import { isSeen, seen } from "./camera.js";
import { Still } from "./still.js";
import { cursor, litNodes, moment, plan, route, trace } from "./store.js";

/** All edges, lit by the moment, the selection and the lit path. */
export function Edges({ found }) {
  const current = trace.value;
  const steps = plan.value;
  const at = cursor.value;
  const now = moment.value;
  const lit = litNodes.value;
  const window_ = seen.value;
  const acts = route.value;
  return found.links.map((link, index) => {
    const arrived = link.edges.filter(
      (edge) => steps.edgeAt[edge] <= at && steps.seedAt >= 0 && at >= steps.seedAt,
    );
    const active = now?.kind === "edge" && link.edges.includes(now.edge);
    const onPath = lit && link.uses.some((use) => lit.has(use.source) && lit.has(use.target));
    const back = arrived.length > 0 && found.mode !== "forward";
    const flowing = now?.kind === "forward" && now.box === link.to;
    const acting = link.edges.some((each) => acts.has(current.edges[each].source));
    const full = active || isSeen(window_, found.result.edges[index], link.width, link.height);
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
    return html`<${Still} key=${link.key} found=${found} trace=${current} mark=${`${classes} ${arrived.length} ${active ? now.edge : ""} ${full}`}
      draw=${() => drawEdge({ found, link, index, classes, arrived, active, back, now, full })} />`;
  });
}

function drawEdge({ found, link, index, classes, arrived, active, back, now, full }) {
  const shape = found.result.edges[index];
  const path = curve(shape.points);
  return html`<g class=${classes}>
    <path class="edge-line" d=${path} marker-end=${back || !full ? null : "url(#tip)"}
      marker-start=${back && full ? (active ? "url(#tip-now)" : "url(#tip-back)") : null} />
    ${active && html`<${Traveller} key=${`t${now.edge}`} path=${path} />`}
    ${back && full && html`<${EdgeLabel} link=${link} shape=${shape} arrived=${arrived} now=${active ? now : null} />`}
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
    const [w, h] = contribution.data
      ? [link.plan.width, link.plan.height]
      : [Math.max(link.plan.width, 92), Math.max(link.plan.height, 34)];
    return html`<g class="edge-label"><rect class="edge-back" x=${left} y=${top} width=${width - 6} height=${height - 4} rx="4" />
      <${Cells} array=${contribution} plan=${link.plan} tone="gradient" x=${shape.x - w / 2} y=${shape.y - h / 2} /></g>`;
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
    if (still || !dot.current?.animate || !CSS.supports("offset-path", `path("M0 0L1 1")`)) return undefined;
    dot.current.style.offsetPath = `path("${path}")`;
    const moving = dot.current.animate(
      [
        { offsetDistance: "100%", opacity: 1 },
        { offsetDistance: "0%", opacity: 1 },
      ],
      { duration: 480, easing: "cubic-bezier(0.2, 0.7, 0.2, 1)" },
    );
    return () => moving.cancel();
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
