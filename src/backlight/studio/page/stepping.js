// The moments of a run: leaves, the forward pass, the seed, every contribution, the update.
// All numbers come from the trace; a gradient that has not arrived is `null`, never 0.

import { entryOf } from "./trace.js";

/** Order the moments of a trace for a folding: only what crosses boxes is a moment of its own. */
export function schedule(trace, folding) {
  const { boxes, owner } = folding;
  const moments = [{ kind: "start" }];
  const valueAt = trace.nodes.map((node) => (node.kind === "leaf" ? 0 : -1));
  const lastInner = new Map();
  for (const node of trace.nodes) {
    if (node.kind !== "leaf" && owner[node.index] >= 0) lastInner.set(owner[node.index], node.index);
  }
  for (const node of trace.nodes) {
    if (node.kind === "leaf" || owner[node.index] < 0) continue;
    const box = owner[node.index];
    if (lastInner.get(box) === node.index) {
      const shown = boxes[box].nodes.length > 1 ? boxes[box].out : node.index;
      moments.push({ kind: "forward", node: shown, box });
      for (const each of boxes[box].nodes) valueAt[each] = Math.max(valueAt[each], moments.length - 1);
    }
  }
  const edgeAt = trace.edges.map(() => -1);
  const forwardEnd = moments.length - 1;
  let seedAt = -1;
  if (trace.edges.length || trace.nodes[trace.output]?.gradient) {
    seedAt = moments.length;
    moments.push({ kind: "seed", node: trace.output, box: owner[trace.output] });
  }
  const ordered = [...trace.edges].sort((a, b) => b.target - a.target || a.position - b.position);
  for (const edge of ordered) {
    const from = owner[edge.source];
    const to = owner[edge.target];
    if (from !== to && from >= 0)
      moments.push({ kind: "edge", edge: edge.index, node: edge.source, box: from });
    edgeAt[edge.index] = moments.length - 1;
  }
  const backwardEnd = moments.length - 1;
  for (const step of trace.update?.steps ?? []) {
    const node = trace.byName.get(step.parameter);
    if (node !== undefined) {
      moments.push({ kind: "update", node, box: owner[node], value: step.value });
    }
  }
  if (trace.update && moments.length - 1 === backwardEnd)
    moments.push({ kind: "update", node: null, value: null });
  return { moments, valueAt, edgeAt, seedAt, forwardEnd, backwardEnd };
}

/** How far a node's gradient is at a moment. */
export function gradientState(trace, plan, index, cursor) {
  const node = trace.nodes[index];
  if (!node.gradient) return { state: "none", arrived: 0, of: 0, edges: [] };
  const edges = trace.leaving[index];
  if (index === trace.output) {
    const ready = plan.seedAt >= 0 && cursor >= plan.seedAt;
    return { state: ready ? "complete" : "waiting", arrived: 0, of: 0, edges: [] };
  }
  const arrived = edges
    .filter((edge) => plan.edgeAt[edge.index] <= cursor && cursor >= plan.seedAt)
    .sort((a, b) => plan.edgeAt[a.index] - plan.edgeAt[b.index] || b.target - a.target);
  if (!edges.length)
    return {
      state: plan.seedAt >= 0 && cursor >= plan.seedAt ? "complete" : "waiting",
      arrived: 0,
      of: 0,
      edges,
    };
  const state = !arrived.length ? "waiting" : arrived.length < edges.length ? "partial" : "complete";
  return { state, arrived: arrived.length, of: edges.length, edges: arrived };
}

/** The running sum of a node's gradient as an array, null when nothing has arrived. */
export function runningGradient(trace, plan, index, cursor) {
  const node = trace.nodes[index];
  const { state, edges } = gradientState(trace, plan, index, cursor);
  if (state === "complete") return node.gradient;
  if (state !== "partial") return null;
  return sumOf(edges, node.gradient);
}

function sumOf(edges, like) {
  if (edges.some((edge) => !edge.contribution?.data)) return { ...like, data: null, summary: null };
  const data = new Float64Array(like.size);
  for (const edge of edges) for (let k = 0; k < like.size; k++) data[k] += entryOf(edge.contribution, k);
  return { ...like, data, summary: null };
}

/** Contributions at a node up to a moment, for one entry: numbers, and their sum. */
export function contributions(trace, plan, index, cursor, flat) {
  const { edges, state, of } = gradientState(trace, plan, index, cursor);
  const terms = edges.map((edge) => ({ edge, value: entryOf(edge.contribution, flat) }));
  const sum = terms.reduce((total, term) => total + (term.value ?? NaN), 0);
  return { terms, sum, state, of };
}

/** The next or previous moment at which another layer begins, or the pass changes. */
export function layerStep(trace, plan, cursor, direction) {
  const mark = (moment) => {
    if (!moment || moment.kind === "start") return "start";
    if (moment.kind === "update") return "update";
    const index = moment.kind === "edge" ? trace.edges[moment.edge].target : moment.node;
    const scopes = trace.scopesOf(index).filter((each) => trace.scopes[each].name !== "");
    return `${moment.kind === "forward" ? "forward" : "backward"}:${scopes[0] ?? index}`;
  };
  const last = plan.moments.length - 1;
  let at = cursor;
  if (direction > 0) {
    at = Math.min(at + 1, last);
    while (at < last && mark(plan.moments[at]) === mark(plan.moments[at + 1])) at++;
  } else {
    at = Math.max(at - 1, 0);
    while (at > 0 && mark(plan.moments[at]) === mark(plan.moments[at - 1])) at--;
    if (at > 0) at--;
  }
  return at;
}

/** Sums of products one by one: the terms by which a contraction makes one entry of a gradient. */
export function contractTerms(trace, edge, flat) {
  const target = trace.nodes[edge.target];
  const attributes = target.attributes ?? {};
  const axes = (name) => attributes[name]?.tuple ?? null;
  const names = [axes("left"), axes("right"), axes("result")];
  if (target.kind !== "contract" || names.some((each) => !each) || !target.gradient?.data) return null;
  const own = names[edge.position];
  const other = names[1 - edge.position];
  const result = names[2];
  const sourceShape = trace.nodes[edge.source].shape;
  const otherIndex = target.inputs[1 - edge.position];
  const otherNode = trace.nodes[otherIndex];
  if (!otherNode.value?.data) return null;
  const sizes = new Map();
  own.forEach((name, axis) => sizes.set(name, sourceShape[axis]));
  other.forEach((name, axis) => sizes.set(name, otherNode.shape[axis]));
  const fixed = new Map();
  let rest = flat;
  for (let axis = own.length - 1; axis >= 0; axis--) {
    fixed.set(own[axis], rest % sourceShape[axis]);
    rest = Math.floor(rest / sourceShape[axis]);
  }
  const free = [...sizes.keys()].filter((name) => !fixed.has(name));
  const count = free.reduce((total, name) => total * sizes.get(name), 1);
  if (count > 4096) return null;
  const terms = [];
  for (let k = 0; k < count; k++) {
    const at = new Map(fixed);
    let left = k;
    for (let axis = free.length - 1; axis >= 0; axis--) {
      at.set(free[axis], left % sizes.get(free[axis]));
      left = Math.floor(left / sizes.get(free[axis]));
    }
    const place = (list, shape) => list.reduce((sum, name, axis) => sum * shape[axis] + at.get(name), 0);
    const upFlat = place(result, target.shape);
    const otherFlat = place(other, otherNode.shape);
    const upstream = target.gradient.data[upFlat];
    const local = otherNode.value.data[otherFlat];
    terms.push({ upstream, local, upFlat, otherFlat, other: otherIndex, value: upstream * local });
  }
  return terms;
}
