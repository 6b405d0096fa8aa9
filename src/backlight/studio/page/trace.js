// Reading a trace (schema `backlight.trace`, version 1): arrays are decoded, uses and edges indexed.

import { nameText, readNumber } from "./numbers.js";

const READERS = {
  float64: Float64Array,
  float32: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint64: BigUint64Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** Decode an array of the schema: `{shape, size, data, summary}`; `data` is null when summarised. */
export function readArray(written) {
  if (!written) return null;
  const size = written.shape.reduce((a, b) => a * b, 1);
  const array = { dtype: written.dtype, shape: written.shape, size, data: null, summary: null };
  if (written.data) array.data = Float64Array.from(written.data, readNumber);
  else if (written.base64 !== undefined) array.data = readBytes(written.base64, written.dtype);
  else array.summary = written.summary ?? null;
  return array;
}

function readBytes(text, dtype) {
  const Reader = READERS[dtype];
  if (!Reader) return null;
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  return Float64Array.from(new Reader(bytes.buffer), Number);
}

/** The Euclidean norm of an array, null where it is not known. */
export function norm(array) {
  if (!array) return null;
  if (array.data) {
    let sum = 0;
    for (const each of array.data) sum += each * each;
    return Math.sqrt(sum);
  }
  return array.summary ? readNumber(array.summary.norm) : null;
}

/** One entry of an array; a single number stands for all entries. */
export function entryOf(array, flat) {
  if (!array?.data) return null;
  return array.data[array.size === 1 ? 0 : flat];
}

/** The coordinates of a flat position. */
export function coordinates(flat, shape) {
  const index = [];
  let rest = flat;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  return index;
}

/** The flat position of coordinates. */
export function flatOf(index, shape) {
  return index.reduce((flat, each, axis) => flat * shape[axis] + each, 0);
}

/** A trace with its indices. Throws an Error with a sentence when it is not one. */
export class Trace {
  constructor(written) {
    if (written?.format !== "backlight.trace") throw new Error("This is not a trace of Backlight.");
    if (written.version !== 1) {
      throw new Error(`This page reads traces of version 1, not ${written.version}.`);
    }
    this.written = written;
    this.about = written.about ?? {};
    // Of a graph that is too large to draw only a few nodes are here, under their own positions.
    const places = new Map(written.graph.nodes.map((node, index) => [node.position ?? index, index]));
    this.partial = written.graph.nodes.some((node, index) => (node.position ?? index) !== index);
    this.output = places.get(written.output);
    this.scopes = written.scopes ?? [];
    this.nodes = written.graph.nodes.map((node, index) => readNode(node, index));
    if (this.partial)
      for (const node of this.nodes)
        node.inputs = node.inputs.map((each) => places.get(each)).filter((each) => each !== undefined);
    this.edges = written.edges.map((edge, index) => ({
      ...edge,
      index,
      local: readArray(edge.local),
      contribution: readArray(edge.contribution),
    }));
    this.update = written.update ? readUpdate(written.update) : null;
    this.uses = this.nodes.map(() => []);
    this.leaving = this.nodes.map(() => []);
    this.entering = this.nodes.map(() => []);
    for (const node of this.nodes) {
      node.inputs.forEach((source, position) => this.uses[source]?.push({ target: node.index, position }));
    }
    for (const edge of this.edges) {
      this.leaving[edge.source].push(edge);
      this.entering[edge.target].push(edge);
    }
    this.byName = new Map(this.nodes.map((node) => [node.name, node.index]));
    this.labels = shortLabels(this.nodes);
  }

  /** The same trace as a new object, so that those who watch it look again. */
  again() {
    return Object.assign(Object.create(Trace.prototype), this);
  }

  /** What a node is called on the page. */
  label(index) {
    return this.labels[index];
  }

  /** The symbol of the loss. */
  get lossLabel() {
    return this.label(this.output);
  }

  /** The name of a scalar in the program's terms, such as `layers.0.weight[3,1]`. */
  target(index, flat = null) {
    const node = this.nodes[index];
    if (flat === null || !node.shape.length) return node.name;
    return `${node.name}[${coordinates(flat, node.shape).join(",")}]`;
  }

  /** The scopes around a node, outermost first, without the nameless root. */
  scopesOf(index) {
    const found = [];
    for (let each = this.nodes[index].scope; each !== null && each !== undefined;) {
      found.unshift(each);
      each = this.scopes[each].parent;
    }
    return found;
  }

  /** A number written in the program, which needs no box of its own. */
  isHidden(index) {
    const node = this.nodes[index];
    return node.role === "constant" && !node.named && node.shape.length === 0 && index !== this.output;
  }
}

function readNode(node, index) {
  return {
    ...node,
    index,
    value: readArray(node.value),
    gradient: readArray(node.gradient),
    role: node.role ?? (node.kind === "leaf" ? node.operation : null),
    symbol: node.symbol ?? null,
    formula: node.formula ?? null,
  };
}

function readUpdate(update) {
  if (!update.graph) return { optimizer: update.optimizer, nodes: [], steps: [] };
  const nodes = update.graph.nodes.map((node, index) => readNode(node, index));
  const steps = update.graph.outputs
    .map((index) => nodes[index])
    .filter((node) => node.name.endsWith(".new"))
    .map((node) => ({ parameter: node.name.slice(0, -4), value: node.value }));
  return { optimizer: update.optimizer, nodes, steps };
}

/** Names without the module in front where that is clear; symbols where derivations have them. */
function shortLabels(nodes) {
  const last = nodes.map((node) => (node.kind === "leaf" ? node.name : node.name.split(".").pop()));
  const counts = new Map();
  for (const each of last) counts.set(each, (counts.get(each) ?? 0) + 1);
  return nodes.map((node, index) => {
    if (node.symbol) return nameText(node.symbol);
    if (node.kind !== "leaf" && counts.get(last[index]) > 1) return node.name;
    return nameText(last[index]);
  });
}
