// What happens at a moment, in a sentence: for the status line and those who listen.

import { entryOf, norm } from "./trace.js";
import { bracketed, format, plural, shapeText } from "./numbers.js";
import { contributions } from "./stepping.js";
import { formulaOf } from "./boxes.js";

/** The sentence of a moment, such as “mul: gradient 0.12 + 0.30 = 0.42”. */
export function sentence(trace, plan, cursor, selection) {
  const moment = plan.moments[cursor];
  if (!moment) return "";
  const { kind } = moment;
  if (kind === "start") {
    const count = trace.nodes.filter((node) => node.kind === "leaf" && !trace.isHidden(node.index)).length;
    return `Before the forward pass: ${plural(count, "leaf", "leaves")} with ${count === 1 ? "its value" : "their values"}.`;
  }
  if (kind === "update" && moment.node === null)
    return `${trace.update.optimizer} makes a step of every parameter's gradient.`;
  const node = trace.nodes[moment.node];
  const name = trace.label(moment.node);
  if (kind === "forward")
    return `${node.operation}: ${name} = ${formulaOf(trace, moment.node)} = ${sizeText(node.value)}`;
  if (kind === "seed") return `The backward pass begins: ∂${name}/∂${name} = 1`;
  if (kind === "update") return `${trace.update.optimizer}: ${name} becomes ${sizeText(moment.value)}`;
  const entry = selection.node === moment.node && selection.entry !== null ? selection.entry : 0;
  return `${name}: gradient ${sumText(trace, plan, moment, cursor, node.shape.length === 0 || (selection.node === moment.node && selection.entry !== null), entry)}`;
}

function sumText(trace, plan, moment, cursor, single, entry) {
  const node = trace.nodes[moment.node];
  const { terms, sum, state, of } = contributions(trace, plan, moment.node, cursor, entry);
  const done = state === "complete";
  const rest = done ? "" : `, ${terms.length} of ${of} contributions`;
  if (!single) {
    const size = norm(node.gradient);
    return `of ${shapeText(node.shape)} entries, ${done ? `norm ${format(size)}` : `${terms.length} of ${of} contributions arrived`}`;
  }
  if (terms.length === 1) {
    const { edge } = terms[0];
    const local = entryOf(edge.local, entry);
    const upstream = trace.nodes[edge.target].gradient;
    if (local !== null && edge.local.size === 1 && upstream?.size === 1 && upstream.data) {
      return `${format(local)} × ${bracketed(format(upstream.data[0]))} = ${format(sum)}${rest}`;
    }
    return `${format(sum)}${rest}`;
  }
  const written = terms.map(({ value }, k) => {
    const text = format(value);
    if (!k) return text;
    return text.startsWith("−") ? ` − ${text.slice(1)}` : ` + ${text}`;
  });
  return `${written.join("")} = ${format(done ? entryOf(node.gradient, entry) : sum)}${rest}`;
}

function sizeText(array) {
  if (!array.shape.length) return format(array.data?.[0]);
  const size = norm(array);
  const entries = array.size === 1 ? "entry" : "entries";
  return `${shapeText(array.shape)} ${entries}${size === null ? "" : `, norm ${format(size)}`}`;
}
