"""One formula for many: Σⱼ instead of a list of terms that differ in an index only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from backlight.graph.notation import Apply, Expression, Number, Symbol

LETTERS = "jklmnpqr"
CASE_LETTER = "i"


class Indices:
    """Index letters for what varies from one formula to the next.

    A letter stands for the tuple of values that it takes in the formulas, so that two places
    share a letter only if they always hold the same value.
    """

    def __init__(self, letters: str = LETTERS) -> None:
        self._letters = letters
        self._chosen: dict[tuple[str, ...], str] = {}

    def letter(self, values: tuple[str, ...], case: bool = False) -> str | None:
        """Return the letter of some values, a new one if needed; None when there are no more."""
        if values not in self._chosen:
            used = set(self._chosen.values())
            wanted = CASE_LETTER + self._letters if case else self._letters
            free = [each for each in wanted if each not in used]
            if not free:
                return None
            self._chosen[values] = free[0]
        return self._chosen[values]

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def label(self) -> str:
        """The letters as they stand under the Σ."""
        return ", ".join(sorted(self._chosen.values()))

    def complete(self, count: int) -> bool:
        """Whether the formulas run through all combinations of the letters' values."""
        combinations = math.prod(len(set(values)) for values in self._chosen)
        return bool(self._chosen) and combinations == count

    def only(self, values: tuple[str, ...]) -> bool:
        """Whether there is one letter and it takes these values."""
        return list(self._chosen) == [values]


def common_form(expressions: Sequence[Expression], indices: Indices) -> Expression | None:
    """Write formulas as one, with letters where they differ in an index.

    Returns None when they differ in anything else.

    Examples
    --------
    >>> indices = Indices()
    >>> common_form([Symbol("a", "1"), Symbol("a", "2")], indices)
    Symbol(base='a', subscript='j', superscript='', case='')
    >>> indices.label, indices.complete(2)
    ('j', True)
    """
    first = expressions[0]
    if isinstance(first, Symbol):
        return _common_symbol(expressions, indices)
    if isinstance(first, Number):
        same = all(isinstance(each, Number) and each.value == first.value for each in expressions)
        return first if same else None
    columns = []
    for each in expressions:
        if not isinstance(each, Apply) or each.form is not first.form:
            return None
        if len(each.arguments) != len(first.arguments):
            return None
        columns.append(each.arguments)
    merged = []
    for column in zip(*columns, strict=True):
        found = column[0] if _all_same(column) else common_form(column, indices)
        if found is None:
            return None
        merged.append(found)
    return Apply(first.form, tuple(merged))


def _all_same(column: Sequence[Expression]) -> bool:
    return all(each is column[0] for each in column)


def _common_symbol(expressions: Sequence[Expression], indices: Indices) -> Symbol | None:
    symbols = [each for each in expressions if isinstance(each, Symbol)]
    first = symbols[0]
    if len(symbols) != len(expressions) or any(
        (each.base, each.superscript) != (first.base, first.superscript) for each in symbols
    ):
        return None
    case = _common_part([each.case for each in symbols], indices, case=True)
    columns = [each.subscript.split(",") for each in symbols]
    if case is None or len({len(each) for each in columns}) > 1:
        return None
    parts = [_common_part(column, indices) for column in zip(*columns, strict=True)]
    known = [each for each in parts if each is not None]
    if len(known) != len(parts):
        return None
    return Symbol(first.base, ",".join(known), first.superscript, case)


def _common_part(values: Sequence[str], indices: Indices, case: bool = False) -> str | None:
    if len(set(values)) == 1:
        return values[0]
    return indices.letter(tuple(values), case)
