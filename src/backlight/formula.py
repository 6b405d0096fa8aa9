"""Formulas that people type, such as ``(w*x - y)**2``, read by a small grammar and never by `eval`.

`parse` takes a text of bounded length and depth and gives a `Formula`; `Formula.evaluate` takes a
tensor for each of its names and records the computation, node by node.  Its functions are the
registered elementwise primitives and reductions, by their own names.

Grammar, from loose to tight: ``;`` between statements, ``name =``, comparisons (inside ``where``
only), ``+ −``, ``* /``, a sign, ``^`` or ``**`` (from the right), then numbers, names, calls,
brackets, ``|x|`` and ``√x``.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, NoReturn

import numpy as np

from backlight.errors import BacklightError, FormulaError
from backlight.graph.primitive import Kind, Primitive, Spec
from backlight.ops import registry
from backlight.ops.arithmetic import ADD, DIV, MUL, NEG, POW, SUB
from backlight.ops.convert import IDENTITY
from backlight.ops.exponential import LOG, SIGMOID, SQRT
from backlight.ops.logical import (
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    NOT_EQUAL,
)
from backlight.ops.piecewise import ABS, MAXIMUM, MINIMUM, SIGN, WHERE
from backlight.ops.reduce import SUM
from backlight.ops.trigonometric import ACOS, ASIN, ATAN
from backlight.source import Location
from backlight.tensor import Tensor, as_tensor, record

MAX_LENGTH = 2_000
MAX_NODES = 500
MAX_DEPTH = 100

_EXCERPT = 72
_PLACE = Location("<formula>", 1, "")


class _Level(IntEnum):
    """How tightly an operator binds."""

    COMPARISON = 0
    SUM = 1
    PRODUCT = 2
    SIGN = 3
    POWER = 4
    TIGHT = 5


_COMPARISONS: Mapping[str, Primitive] = {
    "==": EQUAL,
    "!=": NOT_EQUAL,
    "≠": NOT_EQUAL,
    "<": LESS,
    "<=": LESS_EQUAL,
    "≤": LESS_EQUAL,
    ">": GREATER,
    ">=": GREATER_EQUAL,
    "≥": GREATER_EQUAL,
}
_OPERATORS: Mapping[str, tuple[Primitive, _Level]] = {
    "+": (ADD, _Level.SUM),
    "-": (SUB, _Level.SUM),
    "*": (MUL, _Level.PRODUCT),
    "/": (DIV, _Level.PRODUCT),
    "^": (POW, _Level.POWER),
    **{sign: (primitive, _Level.COMPARISON) for sign, primitive in _COMPARISONS.items()},
}
_SPELLINGS: Mapping[str, str] = {
    **dict.fromkeys("−–", "-"),
    **dict.fromkeys("×·⋅∙", "*"),
    "÷": "/",
    "**": "^",
}
_ALIASES: Mapping[str, Primitive] = {
    "ln": LOG,
    "sigma": SIGMOID,
    "σ": SIGMOID,
    "max": MAXIMUM,
    "min": MINIMUM,
    "sgn": SIGN,
    "arcsin": ASIN,
    "arccos": ACOS,
    "arctan": ATAN,
}
_LETTERS = frozenset({"sigma", "σ"})  # also common names of variables
_MEAN = "mean"
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    rf"|(?P<raised>⁻?[{_RAISED}]+)"
    rf"|(?P<name>[^\W\d{_RAISED}](?:[^\W{_RAISED}]|[\u0300-\u036f])*['′″]*)"
    r"|(?P<sign>\*\*|==|!=|<=|>=|[-−–+*×·⋅∙/÷^()|√,;=<>≠≤≥])"
)


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


_END = "end"


@dataclass(frozen=True, slots=True)
class Number:
    """A number written in the formula."""

    value: float
    start: int


@dataclass(frozen=True, slots=True)
class Name:
    """A free variable."""

    name: str
    start: int


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation on earlier nodes, given by their positions."""

    primitive: Primitive
    operands: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Count:
    """The number of entries of an earlier node."""

    operand: int
    start: int


Node = Number | Name | Apply | Count


@dataclass(frozen=True)
class Formula:
    """A parsed formula.

    Attributes
    ----------
    text : str
        As it was typed, without surrounding blanks.
    names : tuple of str
        The free variables, in order of appearance.
    nodes : tuple of Number, Name, Apply or Count
        In an order in which operands come first; the last statement's node is `result`.
    assigned : mapping of int to str
        The names of intermediate results, by the node that they stand for.
    result : int
        The node whose value the formula has.
    """

    text: str
    names: tuple[str, ...]
    nodes: tuple[Node, ...]
    assigned: Mapping[int, str]
    result: int

    def __str__(self) -> str:
        return self.text

    def evaluate(self, values: Mapping[str, Tensor]) -> Tensor:
        """Record the computation on tensors, one node for each operation as it is written.

        Parameters
        ----------
        values : mapping of str to Tensor
            One for each of `names`: parameters (`backlight.param`) or data (`backlight.tensor`).

        Returns
        -------
        Tensor

        Raises
        ------
        FormulaError
            When a name has no value, a value has no name in the formula, or shapes or dtypes do
            not fit at some operation.

        Examples
        --------
        >>> import backlight as bl
        >>> formula = parse("p = w*x; (p - y)**2")
        >>> formula.names
        ('w', 'x', 'y')
        >>> w = bl.param(1.0, name="w")
        >>> loss = formula.evaluate({"w": w, "x": bl.tensor(1.0), "y": bl.tensor(2.0)})
        >>> loss.backward()
        >>> float(loss), float(w.grad)
        (1.0, -2.0)
        """
        self._check_names(values)
        made: list[Tensor | float] = []
        for index, node in enumerate(self.nodes):
            value = self._value(node, made, values)
            name = self.assigned.get(index)
            if name is not None or index == self.result:
                value = as_tensor(value)
            if name is not None and isinstance(value, Tensor):
                value.name = name
            made.append(value)
        return as_tensor(made[self.result])

    def _check_names(self, values: Mapping[str, Tensor]) -> None:
        missing = [name for name in self.names if name not in values]
        if missing:
            several = "values" if len(missing) > 1 else "a value"
            raise FormulaError(f"The formula needs {several} for {_listed(missing)}.")
        unknown = [name for name in values if name not in self.names]
        if unknown:
            known = f"its names are {_listed(self.names)}" if self.names else "it has no names"
            hint = _did_you_mean(unknown[0], self.names)
            raise FormulaError(f"The formula has no name {unknown[0]!r}{hint}; {known}.")

    def _value(
        self, node: Node, made: Sequence[Tensor | float], values: Mapping[str, Tensor]
    ) -> Tensor | float:
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Name):
            return values[node.name]
        if isinstance(node, Count):
            return float(as_tensor(made[node.operand]).size)
        operands = [made[k] for k in node.operands]
        try:
            if node.primitive.kind is Kind.REDUCE:
                whole = as_tensor(operands[0])
                tensor = record(node.primitive, (whole,), {"axes": tuple(range(whole.ndim))})
            else:
                tensor = record(node.primitive, operands)
        except BacklightError as error:
            reason = str(error).rstrip(".")
            raise FormulaError(_message(self.text, node.start, reason)) from error
        # The formula is where it comes from, not the line of the program that evaluates it.
        tensor.site = _PLACE
        return tensor


def parse(text: str) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text : str
        At most 2,000 characters, 500 operations and names, nested at most 100 deep.  Statements
        are separated by ``;``; ``p = w*x`` names an intermediate result; the value is that of
        the last one.

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        With the column, an excerpt that points to it, and the nearest known name.

    Examples
    --------
    >>> parse("max(0, 2*x₁ + b)²").names
    ('x₁', 'b')
    >>> parse("2x")
    Traceback (most recent call last):
    backlight.errors.FormulaError: Formula, column 2: an operator is missing; ...
    """
    if len(text) > MAX_LENGTH:
        raise FormulaError(
            f"The formula has {len(text)} characters; write it with at most {MAX_LENGTH}."
        )
    return _Parser(text.strip()).formula()


def function_names() -> tuple[str, ...]:
    """Return the names of all functions that a formula may call, sorted.

    Examples
    --------
    >>> "tanh" in function_names()
    True
    """
    usable = (name for name, primitive in registry().items() if _arity(primitive) is not None)
    return tuple(sorted({*usable, *_ALIASES, _MEAN}))


class _Parser:
    """Reads one formula by precedence climbing; nodes are appended as they are completed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0
        self._wheres = 0
        self._nodes: list[Node] = []
        self._names: dict[str, int] = {}
        self._assigned: dict[str, int] = {}

    def formula(self) -> Formula:
        if self._token.kind == _END:
            self._fail("the formula is empty; write one such as (w*x - y)**2")
        result = self._statement()
        while self._take(";"):
            if self._token.kind == _END:
                break
            result = self._statement()
        if self._token.kind != _END:
            self._unexpected()
        return Formula(
            self._text,
            tuple(self._names),
            tuple(self._nodes),
            {index: name for name, index in self._assigned.items()},
            result,
        )

    def _statement(self) -> int:
        token, following = self._token, self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if token.kind != "name" or following.text != "=":
            return self._expression(_Level.COMPARISON)
        name = unicodedata.normalize("NFC", token.text)
        if name in self._assigned or name in self._names:
            self._fail(f"{name!r} has a meaning already; give the result another name")
        if self._is_reserved(name):
            self._fail(f"{name!r} is a function; give the result another name")
        self._at += 2
        index = self._expression(_Level.COMPARISON)
        if isinstance(self._nodes[index], Name) or index in self._assigned.values():
            # Another name for the same thing is a node of its own, so that both names stay.
            index = self._add(Apply(IDENTITY, (index,), token.start))
        self._assigned[name] = index
        return index

    def _expression(self, level: _Level) -> int:
        """Read operands joined by operators that bind at least as tightly as `level`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"the formula is nested more than {MAX_DEPTH} deep; name parts of it")
        left = self._operand()
        compared = False
        while True:
            token = self._token
            if token.kind == "raised" and level <= _Level.POWER:
                self._at += 1
                exponent = self._add(Number(_raised(token.text), token.start))
                left = self._add(Apply(POW, (left, exponent), token.start))
                continue
            primitive, binding = _OPERATORS.get(token.text, (ADD, -1))
            if binding < level:
                break
            if binding == _Level.COMPARISON:
                self._check_comparison(compared)
                compared = True
            self._at += 1
            # A power takes everything to its right first: a^b^c is a^(b^c).
            right = self._expression(
                _Level.POWER if binding == _Level.POWER else _Level(binding + 1)
            )
            left = self._add(Apply(primitive, (left, right), token.start))
        self._depth -= 1
        return left

    def _check_comparison(self, compared: bool) -> None:
        if not self._wheres:
            self._fail("a comparison belongs inside where(condition, a, b)")
        if compared:
            self._fail("comparisons cannot be chained; write logical_and(a < b, b < c)")

    def _operand(self) -> int:
        token = self._token
        if token.kind == "number":
            self._at += 1
            value = float(token.text)
            if math.isinf(value):
                self._fail(f"the number {token.text[:20]} is too large for float64", token)
            return self._add(Number(value, token.start))
        if token.kind == "name":
            return self._name_or_call()
        if self._take("-"):
            return self._add(Apply(NEG, (self._expression(_Level.SIGN),), token.start))
        if self._take("+"):
            return self._expression(_Level.SIGN)
        if self._take("√"):
            return self._add(Apply(SQRT, (self._expression(_Level.TIGHT),), token.start))
        if self._take("("):
            inside = self._expression(_Level.COMPARISON)
            self._close(")", token)
            return inside
        if self._take("|"):
            inside = self._expression(_Level.COMPARISON)
            self._close("|", token)
            return self._add(Apply(ABS, (inside,), token.start))
        if token.kind == _END:
            self._fail("the formula ends where a value belongs")
        self._fail(f"a value belongs here, not {token.text!r}")

    def _name_or_call(self) -> int:
        token = self._token
        name = unicodedata.normalize("NFC", token.text)
        self._at += 1
        if self._take("("):
            return self._call(name, token)
        if name in self._assigned:
            return self._assigned[name]
        if name not in self._names:
            if self._is_reserved(name):
                self._fail(f"{name!r} is a function; write {name}(…)", token)
            self._names[name] = self._add(Name(name, token.start))
        return self._names[name]

    def _call(self, name: str, token: _Token) -> int:
        functions = self._functions(name)
        if not functions and name != _MEAN:
            known = name in self._names or name in self._assigned
            hint = "" if known else _did_you_mean(name, function_names())
            self._fail(
                f"there is no function {name!r}{hint}; write {name}*(…) for a product", token
            )
        conditional = WHERE in functions
        self._wheres += conditional
        arguments = [] if self._token.text == ")" else [self._expression(_Level.COMPARISON)]
        while arguments and self._take(","):
            arguments.append(self._expression(_Level.COMPARISON))
        self._close(")", token)
        self._wheres -= conditional
        if name == _MEAN and not functions:
            return self._mean(arguments, token)
        fitting = next((each for each in functions if _accepts(each, len(arguments))), None)
        if fitting is None:
            wanted = [count for each in functions if (count := _arity(each)) is not None]
            if not wanted:
                self._fail(f"{name} cannot be used in a formula", token)
            said = " or ".join(str(count) for count in sorted(set(wanted)))
            values = "value" if said == "1" else "values"
            self._fail(f"{name} takes {said} {values}, not {len(arguments)}", token)
        return self._add(Apply(fitting, tuple(arguments), token.start))

    def _mean(self, arguments: Sequence[int], token: _Token) -> int:
        """The sum divided by the number of entries."""
        if len(arguments) != 1:
            self._fail(f"{_MEAN} takes 1 value, not {len(arguments)}", token)
        (values,) = arguments
        total = self._add(Apply(SUM, (values,), token.start))
        count = self._add(Count(values, token.start))
        return self._add(Apply(DIV, (total, count), token.start))

    def _functions(self, name: str) -> list[Primitive]:
        """Return what a name may call; ``max`` is one of two values and of all entries of one."""
        found = [_ALIASES.get(name), registry().get(name)]
        kinds = (Kind.ELEMENTWISE, Kind.REDUCE)
        return [each for each in found if each is not None and each.kind in kinds]

    def _is_reserved(self, name: str) -> bool:
        return name not in _LETTERS and bool(self._functions(name))

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, sign: str) -> bool:
        """Go past a sign if it is the next token."""
        found = self._token.kind == "sign" and self._token.text == sign
        self._at += found
        return found

    def _close(self, sign: str, opening: _Token) -> None:
        if self._take(sign):
            return
        if self._token.kind == _END:
            self._fail(f"the {sign!r} for column {opening.start + 1} is missing")
        self._unexpected()

    def _add(self, node: Node) -> int:
        if len(self._nodes) >= MAX_NODES:
            self._fail(f"the formula has more than {MAX_NODES} operations and names; shorten it")
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _unexpected(self) -> NoReturn:
        """Say why an expression cannot go on with the next token."""
        token = self._token
        if token.kind in ("number", "name") or token.text in ("(", "√"):
            before = self._tokens[self._at - 1].text
            self._fail(
                f"an operator is missing; for a product write {before[-20:]}*{token.text[:20]}"
            )
        if token.text == "=":
            self._fail("'=' names a result, as in p = w*x; …; compare with ==")
        self._fail(f"{token.text!r} does not belong here")

    def _fail(self, reason: str, token: _Token | None = None) -> NoReturn:
        raise FormulaError(_message(self._text, (token or self._token).start, reason))


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise FormulaError(
                _message(text, position, f"{text[position]!r} has no meaning in a formula")
            )
        if found.lastgroup != "space":
            spelt = found.group()
            yield _Token(found.lastgroup, _SPELLINGS.get(spelt, spelt), position)
        position = found.end()
    yield _Token(_END, "", len(text))


def _raised(text: str) -> float:
    digits = text.translate(str.maketrans("⁻" + _RAISED, "-0123456789"))
    return float(digits)


def _accepts(primitive: Primitive, count: int) -> bool:
    """Tell whether a primitive takes so many values and needs nothing else."""
    if primitive.kind is Kind.REDUCE:
        return count == 1
    parameters = inspect.signature(primitive.specify).parameters.values()
    variable = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    needed = [
        each
        for each in parameters
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    if not count or (not variable and count != len(needed)):
        return False
    for dtype in (np.float64, np.bool_, np.int64):
        try:
            primitive.specify(*[Spec((), np.dtype(dtype))] * count)
        except (BacklightError, TypeError, ValueError, LookupError):
            continue
        return True
    return False


def _arity(primitive: Primitive) -> int | None:
    """Return how many values a primitive takes, or None when a formula cannot call it."""
    if primitive.kind not in (Kind.ELEMENTWISE, Kind.REDUCE):
        return None
    return next((count for count in range(1, 5) if _accepts(primitive, count)), None)


def _message(text: str, start: int, reason: str) -> str:
    """Put the reason, the column and an excerpt with a caret below it together."""
    first = max(0, min(start - _EXCERPT // 2, len(text) - _EXCERPT))
    excerpt = text[first : first + _EXCERPT]
    shown = "".join(each if each.isprintable() else " " for each in excerpt)
    return f"Formula, column {start + 1}: {reason}.\n  {shown}\n  {' ' * (start - first)}^"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word.lower(), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
