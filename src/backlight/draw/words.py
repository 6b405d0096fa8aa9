"""How names, formulas and arrays are written inside a box.

Small arrays are printed in full; of a larger one the shape and the Euclidean norm are given.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from backlight.draw.measure import LINE_SIZE, WIDEST, text_width
from backlight.explain.matrices import product_of
from backlight.graph.graph import Graph
from backlight.graph.notation import UNICODE, Apply, Expression, Number, Symbol, format_number
from backlight.graph.primitive import Array, Kind, Spec
from backlight.ops.leaf import CONSTANT

DIGITS = 5
"""Significant digits of printed numbers."""

SMALL = 4
"""Arrays with at most this many entries are printed, unless that takes too much room."""

_ARRAY_DIGITS = 4
_LONGEST_LOCAL = 36

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_MARKS = {
    "_hat": "\N{COMBINING CIRCUMFLEX ACCENT}",
    "_bar": "\N{COMBINING MACRON}",
    "_tilde": "\N{COMBINING TILDE}",
}
_SIMPLE = re.compile(r"([^\W\d_]+)(_hat|_bar|_tilde)?_?(\d*)")
_GREEK = {
    unicodedata.name(chr(code)).split()[-1].lower(): chr(code)
    for code in range(0x3B1, 0x3CA)
    if "FINAL" not in unicodedata.name(chr(code))
} | {"lambda": "λ"}


def name_text(name: str) -> str:
    """Return a node's name as a textbook writes it.

    A single letter (or the English name of a Greek one) takes its accent and its number as a
    subscript; every other name stays as it is.

    Examples
    --------
    >>> name_text("y_hat"), name_text("w12"), name_text("alpha"), name_text("layers.0.weight")
    ('ŷ', 'w₁₂', 'α', 'layers.0.weight')
    """
    match = _SIMPLE.fullmatch(name)
    if match is None:
        return name
    base, mark, number = match.groups()
    base = _GREEK.get(base, base)
    if len(base) > 1:
        return name
    return unicodedata.normalize("NFC", base + _MARKS.get(mark, "")) + number.translate(_SUBSCRIPTS)


def weak_constant(graph: Graph, index: int) -> float | bool | int | None:
    """Return the number, when a node is one number written in the program, else None."""
    node = graph.nodes[index]
    if node.primitive is not CONSTANT or node.shape != () or node.named:
        return None
    number: float | bool | int = node.attributes["value"].array.item()
    return number


def short_names(graph: Graph) -> tuple[str, ...]:
    """Return what each node is called: without the module in front where that is clear.

    Examples
    --------
    >>> import backlight as bl
    >>> short_names(bl.trace(lambda y_hat, alpha: y_hat * alpha, 1.0, 2.0))
    ('ŷ', 'α', 'p')
    """
    tails = [node.name.rpartition(".")[2] for node in graph.nodes]
    times = Counter(tails)
    return tuple(
        name_text(tail if times[tail] == 1 and not node.is_leaf else node.name)
        for node, tail in zip(graph.nodes, tails, strict=True)
    )


def formula_text(graph: Graph, index: int, names: Sequence[str]) -> str:
    """Return the formula of a node that is not a leaf, single numbers written in.

    Parameters
    ----------
    graph : Graph
    index : int
    names : sequence of str
        What each node is called.

    Examples
    --------
    >>> import backlight as bl
    >>> graph = bl.trace(lambda y_hat, y: (y_hat - y) * 2.0, 1.0, 2.0)
    >>> [formula_text(graph, k, short_names(graph)) for k in (2, 4)]
    ['ŷ − y', 's·2']
    """
    node = graph.nodes[index]
    arguments: list[Expression] = []
    for operand in node.inputs:
        number = weak_constant(graph, operand)
        if number is None:
            arguments.append(Symbol(names[operand]))
        elif isinstance(number, bool):
            arguments.append(Symbol(str(number)))
        else:
            arguments.append(Number(number, DIGITS))
    if node.primitive.kind is Kind.CONTRACT:
        left, right = arguments
        return UNICODE.expression(product_of(node, left, right))  # with transposes: x @ Wᵀ
    return UNICODE.expression(Apply(node.primitive.form, tuple(arguments)))


def number_text(number: Any, digits: int = DIGITS) -> str:
    """Write one entry of an array: ``True``, ``−3``, ``0.12174``.

    Examples
    --------
    >>> number_text(-0.12173931125565628), number_text(np.int64(1234567)), number_text(np.True_)
    ('−0.12174', '1234567', 'True')
    """
    if isinstance(number, (bool, np.bool_)):
        return str(bool(number))
    if isinstance(number, (int, np.integer)):
        return str(int(number)).replace("-", "−")
    value = float(number)
    if value.is_integer() and abs(value) < 10**DIGITS:
        return format_number(value, DIGITS + 1)
    return format_number(value, digits)


def array_text(value: Any) -> str:
    """Write an array: in full when it is small, by shape and norm otherwise.

    Examples
    --------
    >>> array_text(0.5), array_text([[1, 2], [3, 4]]), array_text(np.full((3, 3), 2.0))
    ('0.5', '[[1, 2], [3, 4]]', '(3, 3), ‖·‖ = 6')
    """
    array = np.asarray(value)
    if array.ndim == 0:
        return number_text(array.item())
    if 0 < array.size <= SMALL:
        return _entries(array.tolist())
    return summary_text(array)


def line_text(name: str, value: Any) -> str:
    """Write a quantity and its value, in full only if the line is not too wide for a box.

    Examples
    --------
    >>> line_text("∂loss/∂a", [1, 2]), line_text("", 0.5), line_text("W", np.ones((2, 3)))
    ('∂loss/∂a = [1, 2]', '= 0.5', 'W: (2, 3), ‖·‖ = 2.4495')
    """
    array = np.asarray(value)
    if array.ndim == 0 or 0 < array.size <= SMALL:
        line = f"{name} = {array_text(array)}".strip()
        if text_width(line, LINE_SIZE) <= WIDEST:
            return line
    return f"{name}: {summary_text(array)}" if name else summary_text(array)


def summary_text(array: Array) -> str:
    """Describe an array by its shape and its size or range.

    Examples
    --------
    >>> summary_text(np.arange(6)), summary_text(np.array([3.0, np.nan]))
    ('(6,), 0 … 5', '(2,), 1 not finite')
    """
    shape = shape_text(array.shape)
    if array.size == 0:
        return f"{shape}, empty"
    if array.dtype.kind == "b":
        return f"{shape}, {int(array.sum()):,} True"
    if array.dtype.kind in "iu":
        return f"{shape}, {number_text(array.min())} … {number_text(array.max())}"
    wrong = int(array.size - np.count_nonzero(np.isfinite(array)))
    if wrong:
        return f"{shape}, {wrong:,} not finite"
    return f"{shape}, ‖·‖ = {number_text(norm(array))}"


def norm(array: Array) -> float:
    """Return the Euclidean norm, without overflow on the way.

    Examples
    --------
    >>> norm(np.array([6e200, 0.0]))
    6e+200
    """
    entries = np.abs(array.astype(np.float64)).reshape(-1)
    largest = float(entries.max(initial=0.0))
    if largest == 0.0:
        return 0.0
    return largest * math.sqrt(float(np.sum(np.square(entries / largest))))


def _entries(nested: Any) -> str:
    """Write nested lists of at most `SMALL` numbers; as deep as the array has axes."""
    if isinstance(nested, list):
        return f"[{', '.join(map(_entries, nested))}]"
    return number_text(nested, _ARRAY_DIGITS)


def shape_text(shape: Sequence[int]) -> str:
    """Write a shape as Python does.

    Examples
    --------
    >>> shape_text((3,)), shape_text((64, 10))
    ('(3,)', '(64, 10)')
    """
    return str(tuple(shape))


def spec_text(spec: Spec) -> str:
    """Describe a value that is not known: its shape, and its dtype when it is not float64.

    Examples
    --------
    >>> spec_text(Spec((2, 3), np.dtype("float32"))), spec_text(Spec((), np.dtype("float64")))
    ('(2, 3) float32', '')
    """
    shape = shape_text(spec.shape) if spec.shape else ""
    dtype = "" if spec.dtype == np.float64 else str(spec.dtype)
    return f"{shape} {dtype}".strip()


def local_text(local: Any) -> str:
    """Write a local derivative as the factor that it is.

    Examples
    --------
    >>> local_text(2.0), local_text([1.0, 1.0]), local_text(np.arange(6.0))
    ('× 2', '× 1', '× array (6,)')
    """
    array = np.asarray(local)
    if array.size and np.all(array == array.reshape(-1)[0]):
        text = number_text(array.reshape(-1)[0])
    elif 0 < array.size <= SMALL:
        text = _entries(array.tolist())
        text = text if len(text) <= _LONGEST_LOCAL else f"array {shape_text(array.shape)}"
    else:
        text = f"array {shape_text(array.shape)}"
    return f"× ({text})" if text.startswith("−") else f"× {text}"
