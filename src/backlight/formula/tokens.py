"""Formulas as tokens, and the form of the messages that point into them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from backlight.errors import FormulaError

_EXCERPT = 72
_SPELLINGS: Mapping[str, str] = {
    **dict.fromkeys("−–", "-"),
    **dict.fromkeys("×·⋅∙", "*"),
    "÷": "/",
    "**": "^",
}
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    rf"|(?P<raised>⁻?[{_RAISED}]+)"
    rf"|(?P<name>[^\W\d{_RAISED}](?:[^\W{_RAISED}]|[\u0300-\u036f])*['′″]*)"
    r"|(?P<sign>\*\*|==|!=|<=|>=|[-−–+*×·⋅∙/÷^()|√,;=<>≠≤≥])"
)


class Token(NamedTuple):
    """A number, name, sign or raised number, and where it begins."""

    kind: str
    text: str
    start: int


END = "end"


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a formula, and one for its end.

    Raises
    ------
    FormulaError
        At a character that has no meaning.
    """
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise FormulaError(
                message(text, position, f"{text[position]!r} has no meaning in a formula")
            )
        if found.lastgroup != "space":
            spelt = found.group()
            yield Token(found.lastgroup, _SPELLINGS.get(spelt, spelt), position)
        position = found.end()
    yield Token(END, "", len(text))


def raised(text: str) -> float:
    """Return the value of a raised number such as ``⁻²``."""
    digits = text.translate(str.maketrans("⁻" + _RAISED, "-0123456789"))
    return float(digits)


def message(text: str, start: int, reason: str) -> str:
    """Put the reason, the column and an excerpt with a caret below it together."""
    first = max(0, min(start - _EXCERPT // 2, len(text) - _EXCERPT))
    excerpt = text[first : first + _EXCERPT]
    shown = "".join(each if each.isprintable() else " " for each in excerpt)
    return f"Formula, column {start + 1}: {reason}.\n  {shown}\n  {' ' * (start - first)}^"


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a hint at the nearest known name, or nothing."""
    close = difflib.get_close_matches(word.lower(), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def listed(names: Sequence[str]) -> str:
    """Return names in quotes with commas between them."""
    return ", ".join(repr(name) for name in names)
