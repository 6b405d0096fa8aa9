// Which boxes are drawn: nodes by themselves, or a scope as one box; never more than LIMIT.

export const LIMIT = 300;
const COMFORTABLE = 20;
const SMALL = 16;

/** How deep the scopes of a trace go; a detail of `deepest + 1` shows every node. */
export function deepest(trace) {
  let most = 0;
  for (const node of trace.nodes) most = Math.max(most, chain(trace, node.index).length);
  return most;
}

/** The detail at which a trace opens. */
export function defaultDetail(trace) {
  const all = deepest(trace);
  if (countBoxes(trace, all) <= SMALL) return all;
  for (let detail = all - 1; detail > 0; detail--) {
    if (countBoxes(trace, detail) <= COMFORTABLE) return detail;
  }
  return 0;
}

function countBoxes(trace, detail) {
  const { owners } = assign(trace, detail, new Map());
  return new Set(owners.filter((each) => each !== null)).size;
}

function chain(trace, index) {
  return trace.scopesOf(index).filter((each) => trace.scopes[each].name !== "");
}

function assign(trace, detail, overrides) {
  const owners = trace.nodes.map((node) => {
    if (trace.isHidden(node.index)) return null;
    for (const [depth, scope] of chain(trace, node.index).entries()) {
      const folded = overrides.get(scope) ?? depth >= detail;
      if (folded) return `s${scope}`;
    }
    return `n${node.index}`;
  });
  absorbConstants(trace, owners);
  return { owners };
}

/** A constant that only a folded box uses needs no box beside it. */
function absorbConstants(trace, owners) {
  for (const node of trace.nodes) {
    if (node.role !== "constant" || node.named || owners[node.index] === null) continue;
    const users = new Set(trace.uses[node.index].map((use) => owners[use.target]));
    const [only] = users;
    if (users.size === 1 && only?.startsWith("s")) owners[node.index] = only;
  }
}

/**
 * Fold a trace. Gives `boxes` (key, nodes, scope, out: the node that stands for it), `owner` of every
 * node (a position in boxes, −1 when hidden) and `links` between boxes with their uses and edges.
 */
export function fold(trace, detail, overrides, kept = new Set()) {
  const { owners } = assign(trace, detail, overrides);
  limit(trace, owners, kept);
  const keys = [...new Set(owners.filter((each) => each !== null))];
  const position = new Map(keys.map((key, index) => [key, index]));
  const boxes = keys.map((key) => ({ key, nodes: [], scope: null, out: -1 }));
  const owner = owners.map((key) => (key === null ? -1 : position.get(key)));
  owner.forEach((box, node) => box >= 0 && boxes[box].nodes.push(node));
  for (const box of boxes) {
    box.scope = box.key.startsWith("s") ? Number(box.key.slice(1)) : null;
    box.elided = box.key.startsWith("e");
    if (box.nodes.length === 1) box.scope = null;
    box.out = standsFor(trace, box, owner, position.get(box.key));
  }
  return { boxes, owner, links: links(trace, owner), detail };
}

function standsFor(trace, box, owner, own) {
  const leaving = box.nodes.filter(
    (node) => node === trace.output || trace.uses[node].some((use) => owner[use.target] !== own),
  );
  const computed = leaving.filter((node) => trace.nodes[node].kind !== "leaf");
  return (computed.length ? computed : leaving.length ? leaving : box.nodes).at(-1);
}

function links(trace, owner) {
  const found = new Map();
  const edgeAt = new Map(trace.edges.map((edge) => [`${edge.target}:${edge.position}`, edge.index]));
  for (const node of trace.nodes) {
    node.inputs.forEach((source, place) => {
      const from = owner[source];
      const to = owner[node.index];
      if (from < 0 || to < 0 || from === to) return;
      const key = `${from}-${to}`;
      if (!found.has(key)) found.set(key, { key, from, to, edges: [], uses: [] });
      const link = found.get(key);
      link.uses.push({ source, target: node.index, position: place });
      const edge = edgeAt.get(`${node.index}:${place}`);
      if (edge !== undefined) link.edges.push(edge);
    });
  }
  return [...found.values()];
}

/** A stretch of a topological order can be one box without making a circle. */
function limit(trace, owners, kept) {
  const keys = [...new Set(owners.filter((each) => each !== null))];
  if (keys.length <= LIMIT) return;
  const leaf = (key) => key.startsWith("n") && trace.nodes[Number(key.slice(1))].kind === "leaf";
  const inner = keys.filter((key) => !leaf(key));
  const ends = Math.floor(LIMIT / 4);
  const spared = new Set([...inner.slice(0, ends), ...inner.slice(-ends)]);
  for (const node of [...kept].slice(0, ends / 2)) if (owners[node]) spared.add(owners[node]);
  const replaced = new Map();
  let piece = 0;
  for (const key of inner) {
    if (spared.has(key)) piece++;
    else replaced.set(key, `e${piece}`);
  }
  owners.forEach((key, node) => replaced.has(key) && (owners[node] = replaced.get(key)));
  trace.nodes.forEach((node) => {
    if (node.kind !== "leaf" || !owners[node.index]) return;
    const users = new Set(trace.uses[node.index].map((use) => owners[use.target]));
    if (users.size === 1 && [...users][0]?.startsWith("e")) owners[node.index] = [...users][0];
  });
}
