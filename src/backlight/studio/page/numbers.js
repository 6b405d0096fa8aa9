// Numbers as a textbook writes them: a true minus sign, few digits, powers of ten.

const SUPERSCRIPTS = {
  "-": "⁻",
  0: "⁰",
  1: "¹",
  2: "²",
  3: "³",
  4: "⁴",
  5: "⁵",
  6: "⁶",
  7: "⁷",
  8: "⁸",
  9: "⁹",
};
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";
const MARKS = { _hat: "\u0302", _bar: "\u0304", _tilde: "\u0303" };
const GREEK = {
  alpha: "α",
  beta: "β",
  gamma: "γ",
  delta: "δ",
  epsilon: "ε",
  zeta: "ζ",
  eta: "η",
  theta: "θ",
  lambda: "λ",
  mu: "μ",
  nu: "ν",
  xi: "ξ",
  pi: "π",
  rho: "ρ",
  sigma: "σ",
  tau: "τ",
  phi: "φ",
  chi: "χ",
  psi: "ψ",
  omega: "ω",
};

/** Read a number of the schema, where what JSON lacks is a string. */
export function readNumber(value) {
  return typeof value === "string" ? Number(value) : Number(value);
}

/** Write a number with `digits` significant digits. */
export function format(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "true" : "false";
  const number = readNumber(value);
  if (Number.isNaN(number)) return "NaN";
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (Number.isInteger(number) && size < 10 ** Math.max(digits, 6)) return signed(String(number));
  if (size >= 10 ** Math.max(digits, 6) || size < 1e-4) {
    const [mantissa, exponent] = number.toExponential(Math.max(digits - 2, 1)).split("e");
    const power = [...String(Number(exponent))].map((each) => SUPERSCRIPTS[each]).join("");
    return `${signed(trimmed(mantissa))}·10${power}`;
  }
  return signed(trimmed(number.toPrecision(digits)));
}

/** Write a number with every digit that it has. */
export function exact(value) {
  const number = readNumber(value);
  if (!Number.isFinite(number)) return format(number);
  return signed(String(number));
}

/** A number in a cell: at most seven characters. */
export function brief(value, digits = 3) {
  const size = Math.abs(readNumber(value));
  if (size === 0 || !Number.isFinite(size) || (size >= 0.01 && size < 1e4)) return format(value, digits);
  if (size >= 0.001 && size < 0.01) return format(value, 2);
  const [mantissa, exponent] = readNumber(value).toExponential(1).split("e");
  return `${trimmed(mantissa)}e${Number(exponent)}`.replaceAll("-", "−");
}

function trimmed(text) {
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}

function signed(text) {
  return text.replace("-", "−");
}

/** A negative number in brackets, as it stands behind an operator. */
export function bracketed(text) {
  return text.startsWith("−") ? `(${text})` : text;
}

/** A node's name as a textbook writes it: y_hat is ŷ, w12 is w₁₂, alpha is α. */
export function nameText(name) {
  const match = /^([\p{L}]+?)(_hat|_bar|_tilde)?_?(\d*)$/u.exec(name);
  if (!match) return name;
  const base = GREEK[match[1]] ?? match[1];
  if ([...base].length > 1) return name;
  const digits = [...match[3]].map((each) => SUBSCRIPTS[Number(each)]).join("");
  return (base + (MARKS[match[2]] ?? "")).normalize("NFC") + digits;
}

/** A shape as a textbook writes it: 3 × 4. */
export function shapeText(shape) {
  return shape.length ? shape.join(" × ") : "single number";
}

/** A count with its noun. */
export function plural(count, noun, many = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : many}`;
}
