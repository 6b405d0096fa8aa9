"""The target of a table of Arrow's kind: collected while the rows go by, and then decided.

It takes one column or several and gives a `Target`; rows that have none are counted and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backlight.data.arrow_columns import kind_of, numbers_of, texts_of
from backlight.data.messages import listed, plural, quoted
from backlight.data.rows import pieces
from backlight.data.target import (
    FloatArray,
    IntArray,
    Target,
    Task,
    is_missing,
    target_from_array,
    target_from_codes,
    target_from_columns,
)
from backlight.errors import DataError


def target_names(names: Sequence[str], target: str | Sequence[str]) -> list[str]:
    """Return the names of the target's columns: one, or several divided by commas.

    Examples
    --------
    >>> target_names(["a", "b", "c"], "b, c"), target_names(["a", "b,c"], "b,c")
    (['b', 'c'], ['b,c'])
    """
    if not isinstance(target, str):
        return [str(each) for each in target]
    if target in names or "," not in target:
        return [target]
    return list(dict.fromkeys(part.strip() for part in target.split(",") if part.strip()))


class Targets:
    """The target's columns, collected while the rows go by."""

    def __init__(self, columns: Sequence[tuple[str, Any]], file: str) -> None:
        self._file = file
        self._names = [name for name, _ in columns]
        self._kinds = [kind_of(kind) for _, kind in columns]
        self._floating = ["float" in str(kind) or "double" in str(kind) for _, kind in columns]
        self._boolean = [str(kind) == "bool" for _, kind in columns]
        for name, kind in zip(self._names, self._kinds, strict=True):
            if kind not in ("number", "text") or (kind == "text" and len(columns) > 1):
                raise DataError(
                    f"{file}, column {quoted(name)}, holds {dict(columns)[name]}, which cannot be "
                    f"{'one of several targets' if kind == 'text' else 'a target'}; choose "
                    "another column."
                )
        self._values: list[npt.NDArray[Any]] = []  # of the rows that have a target
        self._texts: dict[str, int] = {}
        self._gaps: list[int] = []
        self.rows = 0

    @property
    def _name(self) -> str:
        which = "column" if len(self._names) == 1 else "columns"
        return f"{self._file}, {which} {listed(self._names)},"

    def see(self, arrays: Sequence[Any], start: int) -> int:
        """Take in the target of some rows; return how many rows there were."""
        if self._kinds == ["text"]:
            texts, codes = texts_of(arrays[0])
            lookup = [
                -1 if is_missing(text) else self._texts.setdefault(text.strip(), len(self._texts))
                for text in texts
            ]
            values: npt.NDArray[Any] = np.array([*lookup, -1], np.int64)[codes]
            keep: npt.NDArray[np.bool_] = values >= 0
        else:
            numbers = [numbers_of(array, self._name, start) for array in arrays]
            values = np.stack(numbers, axis=1)
            keep = ~np.isnan(values).any(axis=1)
        self._values.append(values[keep])
        self._gaps += (start + np.flatnonzero(~keep)).tolist()
        self.rows += int(np.count_nonzero(keep))
        return len(keep)

    def kept(self, start: int, length: int) -> npt.NDArray[np.bool_]:
        """Return which of some consecutive rows have a target."""
        keep = np.ones(length, np.bool_)
        if self._gaps:
            gaps = np.asarray(self._gaps)
            low, high = np.searchsorted(gaps, [start, start + length])
            keep[gaps[low:high] - start] = False
        return keep

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was noticed, in sentences."""
        if not self._gaps:
            return ()
        return (without_target(len(self._gaps), self._names),)

    def decide(self, task: Task | None, dtype: np.dtype[np.floating]) -> Target:
        """Say what the target is."""
        values = _joined(self._values)
        if self._kinds == ["text"]:
            codes: IntArray = values
            return target_from_codes(codes, list(self._texts), self._name, task=task)
        if len(self._names) > 1 or task == "labels":
            return target_from_columns(values, self._names, self._name, task=task, dtype=dtype)
        numbers = values[:, 0]
        if self._boolean[0]:
            numbers = numbers.astype(np.bool_)
        elif (self._gaps or not self._floating[0]) and all(map(_whole, pieces(numbers))):
            # Whole numbers with gaps come as floating-point numbers from many programs.
            numbers = numbers.astype(np.int64)
        return target_from_array(numbers, self._name, task=task, dtype=dtype)


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate arrays and let each go as it is copied."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    stop = len(whole)
    while parts:
        part = parts.pop()
        whole[stop - len(part) : stop] = part
        stop -= len(part)
    return whole


def without_target(count: int, names: Sequence[str]) -> str:
    """Say that rows were left out because they have no target."""
    have = "has" if count == 1 else "have"
    are = "is" if count == 1 else "are"
    return f"{plural(count, 'row')} {have} no {listed(names)} and {are} left out."


def _whole(numbers: FloatArray) -> bool:
    return bool((numbers == np.rint(numbers)).all() and np.abs(numbers).max(initial=0.0) < 2**53)
