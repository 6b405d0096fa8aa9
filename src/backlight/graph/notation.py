"""Mathematical notation: one small expression tree, written as Unicode, LaTeX or MathML.

A primitive states its formula once, as a `Form` (``infix``, ``function``, ``power`` …).  The
explainer builds `Expression` trees from forms, symbols and numbers, and a `Writer` turns a tree
into text with the brackets that operator precedence asks for.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache


class Precedence(IntEnum):
    """How tightly a notation binds; a looser one inside a tighter one gets brackets."""

    COMPARE = 0
    SUM = 1
    PRODUCT = 2
    SIGN = 3
    POWER = 4
    CALL = 5
    ATOM = 6


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named quantity, ``w`` with subscript ``12`` and superscript ``(3)`` for w₁₂⁽³⁾.

    The parts of a subscript are separated by commas, ``1,2``, which are written only where they
    are needed.  ``case`` numbers the example of a batch that the quantity belongs to: z₂⟨5⟩.
    """

    base: str
    subscript: str = ""
    superscript: str = ""
    case: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number; ``digits`` significant digits are shown, all that matter by default."""

    value: float
    digits: int | None = None


@dataclass(frozen=True, slots=True)
class Apply:
    """A form applied to arguments."""

    form: Form
    arguments: tuple[Expression, ...]


Expression = Symbol | Number | Apply
Piece = tuple[str, Precedence]


@dataclass(frozen=True, slots=True)
class Form:
    """How an operation is written.

    Attributes
    ----------
    write : callable
        ``write(writer, arguments)`` returns the text and its precedence.
    shape : str
        What kind of form it is (``infix``, ``function`` …), for simplification and tests.
    name, latex : str
        The function's name, for forms that have one.
    """

    write: Callable[[Writer, Sequence[Expression]], Piece]
    shape: str
    name: str = ""
    latex: str | None = None


def infix(unicode: str, latex: str, precedence: Precedence, *, associative: bool = False) -> Form:
    """Return the form ``a ∘ b``; without ``associative`` an equal precedence on the right is
    bracketed, so that ``a − (b − c)`` keeps its meaning."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        right = precedence if associative else Precedence(precedence + 1)
        left_text = writer.bracketed(arguments[0], precedence)
        # A number with a sign never follows an operator bare: 2·(−1), 3 − (−2), 1 + (−2/x).
        right_text = writer.bracketed(arguments[1], right, signed=True)
        leads = precedence is Precedence.SUM and _leads_negative(arguments[1])
        if leads or right_text.startswith(("−", "-")):
            right_text = writer.brackets(writer.bracketed(arguments[1], right))
        return writer.infix(unicode, latex, left_text, right_text), precedence

    return Form(write, "infix")


def _leads_negative(expression: Expression) -> bool:
    """Whether an expression of several factors starts with a minus sign."""
    found = expression
    while isinstance(found, Apply) and found.form.shape == "product":
        found = found.arguments[0]
    return found is not expression and isinstance(found, Number) and found.value < 0


def product() -> Form:
    """Return the form of multiplication: ``w·x``, and ``2s`` for a number before a symbol."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        left, right = arguments
        left_text = writer.bracketed(left, Precedence.PRODUCT)
        right_text = writer.bracketed(right, Precedence.PRODUCT, signed=True)
        if right_text.startswith(("−", "-")):
            right_text = writer.brackets(right_text)
        if isinstance(left, Number) and not isinstance(right, Number) and _starts_bare(right):
            return writer.juxtapose(left_text, right_text), Precedence.PRODUCT
        return writer.infix("·", r" \cdot ", left_text, right_text), Precedence.PRODUCT

    return Form(write, "product")


def _starts_bare(expression: Expression) -> bool:
    """Tell whether an expression can follow a coefficient without a sign between."""
    if isinstance(expression, Symbol):
        return True
    bare = {"power", "function", "infix"}  # a sum gets brackets: 2(a − y)
    return isinstance(expression, Apply) and expression.form.shape in bare


def prefix(unicode: str, latex: str) -> Form:
    """Return the form of a sign or a ``not`` before its operand."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        text = writer.bracketed(arguments[0], Precedence.SIGN, signed=True)
        return writer.prefix(unicode, latex, text), Precedence.SIGN

    return Form(write, "prefix")


def function(name: str, latex: str | None = None) -> Form:
    """Return the form ``name(a, b, …)``."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        texts = [writer.bracketed(each, Precedence.COMPARE) for each in arguments]
        return writer.call(name, latex, texts), Precedence.CALL

    return Form(write, "function", name, latex)


def fraction() -> Form:
    """Return the form of division: a fraction where there is room, ``a/b`` in a line of text."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        return writer.fraction(arguments[0], arguments[1])

    return Form(write, "fraction")


def power() -> Form:
    """Return the form of a power, with a raised exponent."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        base = writer.bracketed(arguments[0], Precedence.CALL, signed=True)
        if isinstance(arguments[0], Symbol) and writer.raises(arguments[0]):
            base = writer.brackets(base)
        return writer.power(base, arguments[1]), Precedence.POWER

    return Form(write, "power")


def exponential() -> Form:
    """Return the form ``e^x``, written ``exp(x)`` in a line of text."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        return writer.exponential(arguments[0])

    return Form(write, "function")


def root() -> Form:
    """Return the form of a square root."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        return writer.root(arguments[0]), Precedence.CALL

    return Form(write, "function")


def fence(left: str, right: str, latex_left: str, latex_right: str) -> Form:
    """Return the form of something between bars or brackets, such as ``|x|``."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        text = writer.bracketed(arguments[0], Precedence.COMPARE)
        return writer.fence((left, right), (latex_left, latex_right), text), Precedence.ATOM

    return Form(write, "fence")


def postfix(unicode: str, latex: str) -> Form:
    """Return the form of a mark after its operand, such as a transpose."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        text = writer.bracketed(arguments[0], Precedence.CALL)
        if isinstance(arguments[0], Apply) and arguments[0].form.shape == "derivative":
            text = writer.brackets(text)  # (∂L/∂z)ᵀ is not ∂L/∂(zᵀ)
        return writer.postfix(unicode, latex, text), Precedence.POWER

    return Form(write, "postfix")


@lru_cache(maxsize=256)
def summation(index: str) -> Form:
    """Return the form of a sum over a named index."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        text = writer.bracketed(arguments[0], Precedence.PRODUCT)
        return writer.summation(index, text), Precedence.PRODUCT

    return Form(write, "sum")


def derivative() -> Form:
    """Return the form ``∂a/∂b`` of a derivative of one quantity with respect to another."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        of, by = (writer.bracketed(each, Precedence.CALL) for each in arguments)
        return writer.derivative(of, by)

    return Form(write, "derivative")


def chain() -> Form:
    """Return the form of a chain of factors, ``2s · 1 · x``, ones and all."""

    def write(writer: Writer, arguments: Sequence[Expression]) -> Piece:
        texts: list[str] = []
        for each in arguments:
            text = writer.bracketed(each, Precedence.PRODUCT, signed=bool(texts))
            # A factor such as −2·x keeps its sign in brackets after the first place.
            leads = bool(texts) and text.startswith(("−", "-"))
            texts.append(writer.brackets(text) if leads else text)
        return writer.chain(texts), Precedence.PRODUCT

    return Form(write, "product")


ADD = infix("+", "+", Precedence.SUM, associative=True)
SUBTRACT = infix("−", "-", Precedence.SUM)
MULTIPLY = product()
NEGATE = prefix("−", "-")
DIVIDE = fraction()
DERIVATIVE = derivative()
CHAIN = chain()


def format_number(value: float, digits: int | None = None) -> str:
    """Write a number with a true minus sign; ``digits`` significant digits, or all that matter.

    Examples
    --------
    >>> format_number(-2.0), format_number(0.1 + 0.2, 6), format_number(1e-9, 3)
    ('−2', '0.3', '1e−9')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0.0:
        return "0"  # the sign of −0 says nothing that a reader could use
    text = repr(float(value)) if digits is None else f"{value:.{digits}g}"
    mantissa, _, exponent = text.partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    if exponent:
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return mantissa.replace("-", "−")


_CALLED = re.compile(r"[^\W\d]\w*′?\(")
"""A name with an opening bracket: a function and its arguments."""
_SUBSCRIPTS = str.maketrans("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_SUPERSCRIPTS = str.maketrans("0123456789+-−=()nijkLT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱʲᵏᴸᵀ")


def joined_subscript(subscript: str) -> str:
    """Leave out the commas of a subscript when every part is one character: ``1,2`` is 12."""
    parts = subscript.split(",")
    return "".join(parts) if all(len(part) == 1 for part in parts) else subscript


class Writer:
    """Writes expressions as one line of Unicode text; the base of the other writers."""

    def expression(self, expression: Expression) -> str:
        """Write a whole expression."""
        return self.piece(expression)[0]

    def piece(self, expression: Expression) -> Piece:
        """Write an expression and tell how tightly it binds."""
        if isinstance(expression, Symbol):
            return self.symbol(expression), Precedence.ATOM
        if isinstance(expression, Number):
            return self.number(expression), self.tightness(expression)
        return expression.form.write(self, expression.arguments)

    def bracketed(self, expression: Expression, least: Precedence, *, signed: bool = False) -> str:
        """Write an argument, in brackets when it binds less tightly than ``least`` or when it
        would put a sign right after an operator."""
        text, precedence = self.piece(expression)
        if precedence < least or (signed and precedence is Precedence.SIGN):
            return self.brackets(text)
        return text

    def number(self, number: Number) -> str:
        return format_number(number.value, number.digits)

    def tightness(self, number: Number) -> Precedence:
        """Tell how tightly a number binds: 3 like a symbol, 1e−9 like a power, −3 like a sign."""
        text = format_number(number.value, number.digits)
        if text.startswith("−"):
            return Precedence.SIGN
        return Precedence.POWER if "e" in text else Precedence.ATOM

    def raises(self, symbol: Symbol) -> bool:
        """Tell whether a symbol is written with something where an exponent would go."""
        return bool(symbol.superscript)

    def symbol(self, symbol: Symbol) -> str:
        superscript = script(symbol.superscript, _SUPERSCRIPTS, "^")
        case = f"⟨{symbol.case}⟩" if symbol.case else ""
        subscript = script(joined_subscript(symbol.subscript), _SUBSCRIPTS, "_")
        return symbol.base + subscript + superscript + case

    def brackets(self, text: str) -> str:
        return f"({text})"

    def infix(self, unicode: str, latex: str, left: str, right: str) -> str:
        space = "" if unicode in "·" else " "
        return f"{left}{space}{unicode}{space}{right}"

    def chain(self, texts: Sequence[str]) -> str:
        return " · ".join(texts)

    def juxtapose(self, left: str, right: str) -> str:
        # 2x and 2(x + 1), but 2·3² and 2·exp(x)
        apart = right[:1].isdigit() or _CALLED.match(right)
        return f"{left}·{right}" if apart else f"{left}{right}"

    def prefix(self, unicode: str, latex: str, text: str) -> str:
        return f"{unicode}{text}"

    def postfix(self, unicode: str, latex: str, text: str) -> str:
        return f"{text}{unicode}"

    def call(self, name: str, latex: str | None, texts: Sequence[str]) -> str:
        return f"{name}({', '.join(texts)})"

    def fraction(self, above: Expression, below: Expression) -> Piece:
        left = self.bracketed(above, Precedence.PRODUCT)
        right = self.bracketed(below, Precedence.POWER, signed=True)
        return f"{left}/{right}", Precedence.PRODUCT

    def power(self, base: str, exponent: Expression) -> str:
        if isinstance(exponent, Number):
            raised = self.number(exponent).translate(_SUPERSCRIPTS)
            if all(each in "⁰¹²³⁴⁵⁶⁷⁸⁹⁻" for each in raised):
                return f"{base}{raised}"
        return f"{base}^{self.bracketed(exponent, Precedence.CALL)}"

    def exponential(self, argument: Expression) -> Piece:
        return f"exp({self.bracketed(argument, Precedence.COMPARE)})", Precedence.CALL

    def root(self, argument: Expression) -> str:
        return f"√{self.bracketed(argument, Precedence.ATOM)}"

    def fence(self, unicode: tuple[str, str], latex: tuple[str, str], text: str) -> str:
        return f"{unicode[0]}{text}{unicode[1]}"

    def summation(self, index: str, text: str) -> str:
        return f"Σ{script(index, _SUBSCRIPTS, '_')} {text}"

    def derivative(self, of: str, by: str) -> Piece:
        return f"∂{of}/∂{by}", Precedence.CALL


def script(text: str, table: dict[int, int], mark: str) -> str:
    """Raise or lower a text with Unicode's own letters, or with a mark when one is missing."""
    if not text:
        return ""
    moved = text.translate(table)
    if all(before != after or before in " ," for before, after in zip(text, moved, strict=True)):
        return moved
    bare = len(text) == 1 or (mark == "_" and text.isalpha())
    return f"{mark}{text}" if bare else f"{mark}{{{text}}}"


class LatexWriter(Writer):
    """Writes expressions as LaTeX for mathematics mode."""

    def number(self, number: Number) -> str:
        text = format_number(number.value, number.digits).replace("−", "-")
        if text == "NaN":
            return r"\mathrm{NaN}"
        text = text.replace("∞", r"\infty")
        if "e" in text:
            mantissa, _, exponent = text.partition("e")
            return rf"{mantissa} \times 10^{{{exponent}}}"
        return text

    def tightness(self, number: Number) -> Precedence:
        found = super().tightness(number)
        # 2 × 10⁻⁹ is a product, so that it gets brackets before it is raised to a power.
        return Precedence.PRODUCT if found is Precedence.POWER else found

    def raises(self, symbol: Symbol) -> bool:
        return bool(symbol.superscript or symbol.case)

    def symbol(self, symbol: Symbol) -> str:
        base = latex_name(symbol.base)
        above = latex_script(symbol.superscript)
        if symbol.case:
            above += rf"\langle {symbol.case}\rangle"
        upper = f"^{{{above}}}" if above else ""
        below = latex_script(joined_subscript(symbol.subscript))
        lower = f"_{{{below}}}" if below else ""
        return base + upper + lower

    def brackets(self, text: str) -> str:
        return rf"\left({text}\right)"

    def infix(self, unicode: str, latex: str, left: str, right: str) -> str:
        return f"{left} {latex.strip()} {right}"

    def chain(self, texts: Sequence[str]) -> str:
        return r" \cdot ".join(texts)

    def juxtapose(self, left: str, right: str) -> str:
        return rf"{left} \cdot {right}" if right[:1].isdigit() else f"{left} {right}"

    def prefix(self, unicode: str, latex: str, text: str) -> str:
        return f"{latex}{text}"

    def postfix(self, unicode: str, latex: str, text: str) -> str:
        return f"{{{text}}}{latex}"

    def call(self, name: str, latex: str | None, texts: Sequence[str]) -> str:
        head = latex if latex is not None else rf"\operatorname{{{latex_escape(name)}}}"
        return rf"{head}\left({', '.join(texts)}\right)"

    def fraction(self, above: Expression, below: Expression) -> Piece:
        top, bottom = self.expression(above), self.expression(below)
        return rf"\frac{{{top}}}{{{bottom}}}", Precedence.PRODUCT

    def power(self, base: str, exponent: Expression) -> str:
        return f"{base}^{{{self.expression(exponent)}}}"

    def exponential(self, argument: Expression) -> Piece:
        return f"e^{{{self.expression(argument)}}}", Precedence.POWER

    def root(self, argument: Expression) -> str:
        return rf"\sqrt{{{self.expression(argument)}}}"

    def fence(self, unicode: tuple[str, str], latex: tuple[str, str], text: str) -> str:
        return rf"\left{latex[0]}{text}\right{latex[1]}"

    def summation(self, index: str, text: str) -> str:
        return rf"\sum_{{{latex_script(index)}}} {text}"

    def derivative(self, of: str, by: str) -> Piece:
        return rf"\frac{{\partial {of}}}{{\partial {by}}}", Precedence.CALL


_GREEK_NAMES = frozenset(
    (
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma "
        "tau upsilon phi chi psi omega"
    ).split()
)


_GREEK_LETTERS = {
    **dict(zip("αβγδεζηθικλμνξπρστυφχψω", (
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
        "upsilon phi chi psi omega"
    ).split(), strict=True)),
    **dict(zip("ΓΔΘΛΞΠΣΥΦΨΩ", (
        "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
    ).split(), strict=True)),
}  # fmt: skip
_LOWERED = "₀₁₂₃₄₅₆₇₈₉"
_LIFTED = str.maketrans(_LOWERED, "0123456789")
_LATEX_ESCAPES = {each: f"\\{each}" for each in "_&%$#{}"} | {
    "\\": r"\backslash{}", "^": r"\wedge{}", "~": r"\sim{}", "ℓ": r"\ell{}",
    "Δ": r"\Delta{}", "′": "'", "″": "''",
}  # fmt: skip


def latex_escape(text: str) -> str:
    """Escape the characters that LaTeX gives a meaning to, for mathematics mode."""
    return "".join(_LATEX_ESCAPES.get(each, each) for each in printable(text))


def printable(text: str) -> str:
    """Replace what no page or terminal should be given, such as control characters in names."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " if each.isspace() else "�" for each in text)


def latex_script(text: str) -> str:
    """Write a subscript or superscript: words upright, single letters and digits as they are."""
    if any(len(word) > 1 and word.isalpha() for word in text.replace(",", " ").split()):
        return rf"\mathrm{{{latex_escape(text)}}}"
    return latex_escape(text)


def latex_name(name: str) -> str:
    """Write a name: one letter in italics, a Greek letter as itself, a word upright.

    Examples
    --------
    >>> print(latex_name("x"), latex_name("theta"), latex_name("θ"), latex_name("w₁"))
    x \\theta \\theta {w_{1}}
    """
    stem = name.rstrip(_LOWERED)
    if stem and stem != name:
        return f"{{{latex_name(stem)}_{{{name[len(stem) :].translate(_LIFTED)}}}}}"
    if name in _GREEK_NAMES:
        return f"\\{name}"
    if name in _GREEK_LETTERS:
        return f"\\{_GREEK_LETTERS[name]}"
    if len(name) == 2 and name[1] == "\N{COMBINING CIRCUMFLEX ACCENT}":
        return rf"\hat{{{latex_name(name[0])}}}"
    if len(name) == 1:
        return latex_escape(name)
    return rf"\mathrm{{{latex_escape(name)}}}"


class MathmlWriter(Writer):
    """Writes expressions as presentation MathML, without the surrounding ``<math>``."""

    def number(self, number: Number) -> str:
        return f"<mn>{html.escape(format_number(number.value, number.digits))}</mn>"

    def raises(self, symbol: Symbol) -> bool:
        return bool(symbol.superscript or symbol.case)

    def symbol(self, symbol: Symbol) -> str:
        base = f"<mi>{html.escape(printable(symbol.base))}</mi>"
        lower = f"<mtext>{html.escape(joined_subscript(symbol.subscript))}</mtext>"
        above = symbol.superscript + (f"⟨{symbol.case}⟩" if symbol.case else "")
        upper = f"<mtext>{html.escape(above)}</mtext>"
        if symbol.subscript and above:
            return f"<msubsup>{base}{lower}{upper}</msubsup>"
        if symbol.subscript:
            return f"<msub>{base}{lower}</msub>"
        if above:
            return f"<msup>{base}{upper}</msup>"
        return base

    def brackets(self, text: str) -> str:
        return f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"

    def infix(self, unicode: str, latex: str, left: str, right: str) -> str:
        return f"<mrow>{left}<mo>{html.escape(unicode)}</mo>{right}</mrow>"

    def chain(self, texts: Sequence[str]) -> str:
        return "<mrow>" + "<mo>·</mo>".join(texts) + "</mrow>"

    def juxtapose(self, left: str, right: str) -> str:
        digit = right.replace("<msup>", "").replace("<mrow>", "").startswith("<mn>")
        return f"<mrow>{left}<mo>{'·' if digit else '&#x2062;'}</mo>{right}</mrow>"

    def prefix(self, unicode: str, latex: str, text: str) -> str:
        return f"<mrow><mo>{html.escape(unicode)}</mo>{text}</mrow>"

    def postfix(self, unicode: str, latex: str, text: str) -> str:
        return f"<msup>{text}<mo>{html.escape(unicode)}</mo></msup>"

    def call(self, name: str, latex: str | None, texts: Sequence[str]) -> str:
        inner = "<mo>,</mo>".join(texts)
        return (
            f"<mrow><mi>{html.escape(name)}</mi><mo>&#x2061;</mo>"
            f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow></mrow>"
        )

    def fraction(self, above: Expression, below: Expression) -> Piece:
        top, bottom = self.expression(above), self.expression(below)
        return f"<mfrac>{top}{bottom}</mfrac>", Precedence.PRODUCT

    def power(self, base: str, exponent: Expression) -> str:
        return f"<msup><mrow>{base}</mrow>{self.expression(exponent)}</msup>"

    def exponential(self, argument: Expression) -> Piece:
        return f"<msup><mi>e</mi>{self.expression(argument)}</msup>", Precedence.POWER

    def root(self, argument: Expression) -> str:
        return f"<msqrt>{self.expression(argument)}</msqrt>"

    def fence(self, unicode: tuple[str, str], latex: tuple[str, str], text: str) -> str:
        left, right = (html.escape(each) for each in unicode)
        return f"<mrow><mo>{left}</mo>{text}<mo>{right}</mo></mrow>"

    def summation(self, index: str, text: str) -> str:
        return f"<mrow><munder><mo>∑</mo><mtext>{html.escape(index)}</mtext></munder>{text}</mrow>"

    def derivative(self, of: str, by: str) -> Piece:
        text = f"<mfrac><mrow><mo>∂</mo>{of}</mrow><mrow><mo>∂</mo>{by}</mrow></mfrac>"
        return text, Precedence.CALL


UNICODE = Writer()
LATEX = LatexWriter()
MATHML = MathmlWriter()
