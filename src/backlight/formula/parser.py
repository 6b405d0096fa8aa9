"""Reads a formula by precedence climbing and appends its nodes as they are completed."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NoReturn

from backlight.errors import FormulaError
from backlight.formula.functions import (
    COMPOSITES,
    MEAN,
    accepts,
    arity,
    function_names,
    functions_named,
    is_reserved,
)
from backlight.formula.nodes import Apply, Call, Count, Formula, Name, Node, Number
from backlight.formula.tokens import END, Token, did_you_mean, message, raised, tokens
from backlight.graph.primitive import Primitive
from backlight.ops.arithmetic import ADD, DIV, MUL, NEG, POW, SUB
from backlight.ops.convert import IDENTITY
from backlight.ops.exponential import SQRT
from backlight.ops.logical import (
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    NOT_EQUAL,
)
from backlight.ops.piecewise import ABS, WHERE
from backlight.ops.reduce import SUM

MAX_LENGTH = 2_000
MAX_NODES = 500
MAX_DEPTH = 100


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


class _Parser:
    """Reads one formula by precedence climbing; nodes are appended as they are completed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._at = 0
        self._depth = 0
        self._wheres = 0
        self._nodes: list[Node] = []
        self._names: dict[str, int] = {}
        self._assigned: dict[str, int] = {}

    def formula(self) -> Formula:
        if self._token.kind == END:
            self._fail("the formula is empty; write one such as (w*x - y)**2")
        result = self._statement()
        while self._take(";"):
            if self._token.kind == END:
                break
            result = self._statement()
        if self._token.kind != END:
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
        if is_reserved(name):
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
                exponent = self._add(Number(raised(token.text), token.start))
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
        if token.kind == END:
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
            if is_reserved(name):
                self._fail(f"{name!r} is a function; write {name}(…)", token)
            self._names[name] = self._add(Name(name, token.start))
        return self._names[name]

    def _call(self, name: str, token: Token) -> int:
        functions = functions_named(name)
        own = not functions and (name == MEAN or name in COMPOSITES)
        if not functions and not own:
            known = name in self._names or name in self._assigned
            hint = "" if known else did_you_mean(name, function_names())
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
        if own:
            return self._own(name, arguments, token)
        fitting = next((each for each in functions if accepts(each, len(arguments))), None)
        if fitting is None:
            wanted = [count for each in functions if (count := arity(each)) is not None]
            if not wanted:
                self._fail(f"{name} cannot be used in a formula", token)
            said = " or ".join(str(count) for count in sorted(set(wanted)))
            values = "value" if said == "1" else "values"
            self._fail(f"{name} takes {said} {values}, not {len(arguments)}", token)
        return self._add(Apply(fitting, tuple(arguments), token.start))

    def _own(self, name: str, arguments: Sequence[int], token: Token) -> int:
        """A function that is no primitive: the mean is the sum by the number of entries."""
        if len(arguments) != 1:
            self._fail(f"{name} takes 1 value, not {len(arguments)}", token)
        (values,) = arguments
        if name in COMPOSITES:
            return self._add(Call(name, values, token.start))
        total = self._add(Apply(SUM, (values,), token.start))
        count = self._add(Count(values, token.start))
        return self._add(Apply(DIV, (total, count), token.start))

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _take(self, sign: str) -> bool:
        """Go past a sign if it is the next token."""
        found = self._token.kind == "sign" and self._token.text == sign
        self._at += found
        return found

    def _close(self, sign: str, opening: Token) -> None:
        if self._take(sign):
            return
        if self._token.kind == END:
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

    def _fail(self, reason: str, token: Token | None = None) -> NoReturn:
        raise FormulaError(message(self._text, (token or self._token).start, reason))
