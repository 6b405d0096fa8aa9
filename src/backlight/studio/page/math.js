// Mathematics on the page: fractions of derivatives, and formulas of the schema, as MathML.
// Formulas arrive as Unicode text ("w·x", "(ŷ − y)²"); a small reader makes the tree of it.

import { nameText } from "./numbers.js";
import { h } from "./vendor/preact/preact.js";

const SUPERS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺⁽⁾ᴸᵀ";
const SUPER_PLAIN = "0123456789−+()LT";
const SUBS = "₀₁₂₃₄₅₆₇₈₉₋₊₍₎";
const SUB_PLAIN = "0123456789−+()";
const OPENING = "([{|⌊⌈";
const CLOSING = ")]}|⌋⌉";

/** A `<math>` element around children. */
export function math(...children) {
  return h("math", null, h("mrow", null, ...children));
}

export const mn = (text) => h("mn", null, text);
export const mo = (text) => h("mo", null, text);
export const mtext = (text) => h("mtext", null, text);

/** ∂L/∂x as a fraction. */
export function partial(of, by) {
  return h("mfrac", null, h("mrow", null, mo("∂"), ...parts(of)), h("mrow", null, mo("∂"), ...parts(by)));
}

/** A formula in Unicode as a list of MathML elements. */
export function parts(text) {
  const tokens = tokenize(text);
  const stack = [[]];
  for (const token of tokens) {
    const top = stack.at(-1);
    if (token.kind === "open") stack.push([mo(token.text)]);
    else if (token.kind === "close" && stack.length > 1) {
      const group = stack.pop();
      group.push(mo(token.text));
      stack.at(-1).push(h("mrow", null, ...group));
    } else if (token.kind === "super" || token.kind === "sub") {
      attach(top, token);
    } else top.push(leaf(token));
  }
  while (stack.length > 1) {
    const group = stack.pop();
    stack.at(-1).push(...group);
  }
  return stack[0];
}

function leaf(token) {
  if (token.kind === "number") return mn(token.text);
  if (token.kind === "name") {
    return [...token.text].length > 1
      ? h("mi", { mathvariant: "normal" }, token.text)
      : h("mi", null, token.text);
  }
  return mo(token.text);
}

function attach(list, { kind, text }) {
  const base = list.pop() ?? h("mrow", null);
  const script = h("mrow", null, ...parts(text));
  if (kind === "super" && base.type === "msub") {
    list.push(h("msubsup", null, ...[].concat(base.props.children), script));
  } else if (kind === "sub" && base.type === "msup") {
    const [inner, above] = [].concat(base.props.children);
    list.push(h("msubsup", null, inner, script, above));
  } else list.push(h(kind === "super" ? "msup" : "msub", null, base, script));
}

function tokenize(text) {
  const found = [];
  const all = [...text.normalize("NFC")];
  for (let k = 0; k < all.length;) {
    const each = all[k];
    if (/\s/u.test(each)) k++;
    else if (SUPERS.includes(each)) k = run(all, k, SUPERS, SUPER_PLAIN, "super", found);
    else if (SUBS.includes(each)) k = run(all, k, SUBS, SUB_PLAIN, "sub", found);
    else if (/\d/u.test(each)) k = take(all, k, /[\d.]/u, "number", found);
    else if (/[\p{L}_′]/u.test(each)) k = take(all, k, /[\p{L}\p{M}\w.′]/u, "name", found, SUPERS + SUBS);
    else if (each === "|") {
      const open = found.filter((token) => token.text === "|").length % 2 === 0;
      found.push({ kind: open ? "open" : "close", text: "|" });
      k++;
    } else {
      const kind = OPENING.includes(each) ? "open" : CLOSING.includes(each) ? "close" : "operator";
      found.push({ kind, text: each });
      k++;
    }
  }
  return found;
}

function run(all, start, from, to, kind, found) {
  let end = start;
  while (end < all.length && from.includes(all[end])) end++;
  found.push({
    kind,
    text: all
      .slice(start, end)
      .map((each) => to[from.indexOf(each)])
      .join(""),
  });
  return end;
}

function take(all, start, pattern, kind, found, stop = "") {
  let end = start;
  while (end < all.length && pattern.test(all[end]) && !stop.includes(all[end])) end++;
  found.push({ kind, text: all.slice(start, end).join("") });
  return end;
}

const MATHML = new Set([
  "math",
  "mrow",
  "mi",
  "mn",
  "mo",
  "mtext",
  "mspace",
  "mfrac",
  "msup",
  "msub",
  "msubsup",
  "msqrt",
  "mroot",
  "mover",
  "munder",
  "munderover",
  "mtable",
  "mtr",
  "mtd",
  "mfenced",
  "mstyle",
  "semantics",
]);

/** MathML text of the server as elements of the page; anything that is not MathML is left out. */
export function fromMathML(text) {
  if (!text) return null;
  const document_ = new DOMParser().parseFromString(text, "text/html");
  return [...document_.body.childNodes].map(rebuild);
}

function rebuild(node) {
  if (node.nodeType === Node.TEXT_NODE)
    return node.parentNode.localName === "mi" ? nameText(node.data) : node.data;
  if (node.nodeType !== Node.ELEMENT_NODE || !MATHML.has(node.localName)) return null;
  const kept = {};
  for (const name of ["stretchy", "mathvariant", "separator", "form", "columnalign", "displaystyle"]) {
    if (node.hasAttribute(name)) kept[name] = node.getAttribute(name);
  }
  return h(node.localName, kept, ...[...node.childNodes].map(rebuild));
}

/** An equation of the server; a long one has a line for each equals sign, all under one another. */
export function equation(text, stacked) {
  const built = fromMathML(text);
  if (!stacked || built?.length !== 1 || built[0]?.type !== "math") return built;
  const row = childrenOf(built[0]);
  const inner = row.length === 1 && row[0]?.type === "mrow" ? childrenOf(row[0]) : row;
  const sides = [[]];
  for (const each of inner) {
    if (each?.type === "mo" && childrenOf(each).join("") === "=") sides.push([]);
    else sides.at(-1).push(each);
  }
  if (sides.length < 2) return built;
  const cells = sides
    .slice(1)
    .flatMap((side, k) => [
      k === 0 && sides[0].length
        ? h("math", { key: `l${k}` }, h("mrow", null, ...sides[0]))
        : h("span", { key: `l${k}` }),
      h("span", { key: `r${k}`, class: "terms" }, ...terms(side)),
    ]);
  return h("div", { class: "stacked" }, ...cells);
}

const BETWEEN = new Set(["·", "×", "+", "−", "-", "@", "⊙"]);

/** The right side of an equation in pieces, so that a long one goes on in the next line. */
function terms(side) {
  const pieces = [[mo("=")]];
  side.forEach((each, k) => {
    const sign = each?.type === "mo" ? childrenOf(each).join("") : "";
    if (k && BETWEEN.has(sign)) pieces.push([h("mo", { form: "infix" }, sign)]);
    else pieces.at(-1).push(each);
  });
  return pieces.flatMap((piece, k) => [k ? h("wbr") : null, h("math", null, h("mrow", null, ...piece))]);
}

function childrenOf(element) {
  return [].concat(element.props.children ?? []);
}
