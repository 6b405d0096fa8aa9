// The layout itself, the same in the worker and in the page.

import dagre from "./vendor/dagre/dagre.js";

const MOST_LANES = 900;
const LONG = 6;

/** Place boxes and edges; coordinates are of middles, edges are lists of points. */
export function place({ nodes, edges, direction }) {
  const graph = new dagre.graphlib.Graph({ multigraph: true });
  graph.setGraph({
    rankdir: direction,
    nodesep: 22,
    ranksep: direction === "LR" ? 26 : 20,
    edgesep: 14,
    marginx: 16,
    marginy: 16,
  });
  graph.setDefaultEdgeLabel(() => ({}));
  nodes.forEach((node, index) => graph.setNode(String(index), { width: node.width, height: node.height }));
  const straight = longEdges(nodes.length, edges);
  edges.forEach((edge, index) => {
    if (straight.has(index)) return;
    const label = { width: edge.width, height: edge.height, labelpos: "c", minlen: 1 };
    graph.setEdge(String(edge.from), String(edge.to), label, String(index));
  });
  dagre.layout(graph);
  const { width = 0, height = 0 } = graph.graph();
  const middles = nodes.map((_, index) => {
    const { x, y } = graph.node(String(index));
    return { x, y };
  });
  return {
    width,
    height,
    nodes: middles,
    edges: edges.map((edge, index) => {
      if (straight.has(index)) return directly(edge, nodes, middles, direction);
      const found = graph.edge({ v: String(edge.from), w: String(edge.to), name: String(index) });
      return { points: found.points.map(({ x, y }) => ({ x, y })), x: found.x, y: found.y };
    }),
  };
}

/** Edges over many ranks take a lane in every rank; when those are too many, they go straight. */
function longEdges(count, edges) {
  const ranks = new Array(count).fill(0);
  for (const { from, to } of [...edges].sort((a, b) => a.to - b.to))
    ranks[to] = Math.max(ranks[to], ranks[from] + 1);
  const span = ({ from, to }) => ranks[to] - ranks[from];
  const lanes = edges.reduce((sum, edge) => sum + span(edge), 0);
  const found = new Set();
  if (lanes <= MOST_LANES) return found;
  const shortest = new Map();
  edges.forEach((edge, index) => {
    const before = shortest.get(edge.from);
    if (before === undefined || span(edge) < span(edges[before])) shortest.set(edge.from, index);
  });
  edges.forEach((edge, index) => span(edge) > LONG && shortest.get(edge.from) !== index && found.add(index));
  return found;
}

function directly({ from, to }, nodes, middles, direction) {
  const [a, b] = [middles[from], middles[to]];
  const wide = direction === "LR";
  const start = wide
    ? { x: a.x + nodes[from].width / 2, y: a.y }
    : { x: a.x, y: a.y + nodes[from].height / 2 };
  const end = wide ? { x: b.x - nodes[to].width / 2, y: b.y } : { x: b.x, y: b.y - nodes[to].height / 2 };
  const middle = { x: (start.x + end.x) / 2, y: (start.y + end.y) / 2 };
  const bend = wide ? { x: middle.x, y: middle.y - 40 } : { x: middle.x + 40, y: middle.y };
  return { points: [start, bend, end], x: (end.x + bend.x) / 2, y: (end.y + bend.y) / 2 };
}
