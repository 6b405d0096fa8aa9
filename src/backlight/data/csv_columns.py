"""The columns of a table of text as numbers, converted a few thousand rows at a time.

It takes rows of cells and gives coded features, in memory or, where they are large, in a temporary
file.  What a column is shows in its rows: when a column turns out to be something else than it
was taken for, `read_columns` raises `AgainError`, and the rows are read again from the start.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backlight.data.columns import MOST_TEXTS, Column, Profile, profiles_of_dates
from backlight.data.csv_reader import Record
from backlight.data.dates import PARTS, Layouts, parts_of_texts
from backlight.data.messages import quoted
from backlight.data.rows import RowWriter, too_large
from backlight.data.target import FloatArray, is_missing, number
from backlight.errors import DataError

ROWS_AT_ONCE = 4096
TEXT = "text"
"""The kind of a column that is text and nothing else; other kinds are layouts of dates."""

_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*\Z")
_MOST_KEPT = 100_000
"""So many different cells of a target are kept once each."""


@dataclass(frozen=True)
class Choice:
    """The columns of a table: all names, which are features, and which are the target."""

    file: str
    names: tuple[str, ...]
    features: tuple[int, ...]
    targets: tuple[int, ...]

    def place(self, line: int, column: int) -> str:
        """Return the words for a place in the file."""
        return f"{self.file}, line {line}, column {quoted(self.names[column])},"


class AgainError(Exception):
    """A column that was taken for something else; the rows are to be read again."""

    def __init__(self, column: int, kind: str) -> None:
        super().__init__(column, kind)
        self.column = column
        self.kind = kind


class Converter(Protocol):
    """What makes numbers of one column's cells."""

    @property
    def profiles(self) -> Sequence[Profile]:
        """What was seen of each column of numbers that it makes."""

    def convert(self, cells: Sequence[str], lines: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return an array (n, k), one column for each profile."""

    def finish(self) -> None:
        """Say what is wrong with the column as a whole."""


@dataclass
class Found:
    """What was read: the coded features, the target's cells, the line of each row."""

    X: FloatArray
    labels: list[list[str]]
    lines: array[int]
    profiles: list[Profile]
    without_target: int = 0


def read_columns(
    chosen: Choice,
    rows: Iterator[Record],
    dtype: np.dtype[np.floating],
    kinds: Mapping[int, str],
    known: Mapping[int, Sequence[Column]] | None = None,
) -> Found:
    """Convert the rows, a few thousand at a time.

    Parameters
    ----------
    chosen : Choice
    rows : iterator
        Line and cells of each row.
    dtype : dtype
        Of the features.
    kinds : mapping of int to str
        What columns turned out to be: `TEXT`, or a layout of dates.
    known : mapping of int to sequence of Column, optional
        What training made of each column, where it is known.

    Raises
    ------
    AgainError
        When a column is not what `kinds` says.
    DataError
        Naming the line and column of what cannot be read.
    """
    converters = [_converter(chosen, k, kinds.get(k), known) for k in chosen.features]
    profiles = [profile for each in converters for profile in each.profiles]
    found = Found(
        np.empty((0, len(profiles)), dtype), [[] for _ in chosen.targets], array("q"), profiles
    )
    kept_once: dict[str, str] = {}
    with _Blocks(len(profiles), dtype) as blocks:
        while block := list(islice(rows, ROWS_AT_ONCE)):
            kept = [(line, cells) for line, cells in block if _has_target(chosen, cells)]
            found.without_target += len(block) - len(kept)
            if not kept:
                continue
            lines = [line for line, _ in kept]
            cells = list(zip(*(cells for _, cells in kept), strict=True))
            found.lines.extend(lines)
            for labels, k in zip(found.labels, chosen.targets, strict=True):
                labels += _shared(cells[k], kept_once)
            values = np.empty((len(kept), len(profiles)))
            start = 0
            for place, each in zip(chosen.features, converters, strict=True):
                stop = start + len(each.profiles)
                made = each.convert(cells[place], lines)
                values[:, start:stop] = made
                _check_range(made, dtype, chosen, place, lines)
                start = stop
            blocks.write(values.astype(dtype))
        found.X = blocks.rows()
    for each in converters:
        each.finish()
    return found


class _Blocks:
    """Rows, in memory until there are many, and then in a temporary file."""

    def __init__(self, width: int, dtype: np.dtype[np.floating]) -> None:
        self._width, self._dtype = width, dtype
        self._held: list[FloatArray] = []
        self._bytes = 0
        self._writer: RowWriter | None = None

    def __enter__(self) -> _Blocks:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind)

    def write(self, block: FloatArray) -> None:
        self._bytes += block.nbytes
        if self._writer is None and too_large(self._bytes):
            self._writer = RowWriter((self._width,), self._dtype)
            self._writer.__enter__()
            for each in self._held:
                self._writer.write(each)
            self._held.clear()
        if self._writer is not None:
            self._writer.write(block)
        else:
            self._held.append(block)

    def rows(self) -> FloatArray:
        if self._writer is not None:
            return self._writer.rows()
        if not self._held:
            return np.empty((0, self._width), self._dtype)
        return np.concatenate(self._held)


def _shared(cells: Sequence[str], known: dict[str, str]) -> list[str]:
    """Return the same texts, equal ones as one object, which takes a tenth of the memory."""
    if len(known) > _MOST_KEPT:
        return [known.get(cell, cell) for cell in cells]
    return [known.setdefault(cell, cell) for cell in cells]


def _has_target(chosen: Choice, cells: list[str]) -> bool:
    return not any(is_missing(cells[k]) for k in chosen.targets)


def _check_range(
    values: npt.NDArray[np.float64],
    dtype: np.dtype[np.floating],
    chosen: Choice,
    place: int,
    lines: Sequence[int],
) -> None:
    beyond = np.abs(values) > np.finfo(dtype).max
    if beyond.any():
        row = int(np.argwhere(beyond)[0][0])
        raise DataError(
            f"{chosen.place(lines[row], place)} holds a number that is too large for {dtype}; "
            "scale the numbers or read them as float64."
        )


def _converter(
    chosen: Choice, place: int, kind: str | None, known: Mapping[int, Sequence[Column]] | None
) -> Converter:
    name = chosen.names[place]
    if known is not None:
        return _Known(chosen, place, known[place])
    if kind is None:
        return _Numbers(chosen, place, [Profile(name, "number")])
    if kind == TEXT:
        return _Texts(chosen, place, [Profile(name, "text")])
    return _Dates(chosen, place, profiles_of_dates(name, kind), kind)


@dataclass
class _Numbers:
    """A column of numbers, until a text is met."""

    chosen: Choice
    place: int
    profiles: Sequence[Profile]

    def convert(self, cells: Sequence[str], lines: Sequence[int]) -> npt.NDArray[np.float64]:
        numbers = _numbers(cells)
        if numbers is None:
            raise AgainError(self.place, _kind_of(cells))
        _check_finite(numbers, self.chosen, self.place, cells, lines)
        self.profiles[0].see_numbers(numbers)
        return numbers[:, None]

    def finish(self) -> None:
        pass


def _numbers(cells: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Return cells as numbers, NaN for what is missing; None where there is text."""
    try:
        numbers = np.array(list(map(float, cells)))
        if "_" not in "".join(cells):
            return numbers
    except ValueError:
        pass
    numbers = np.empty(len(cells))
    for k, cell in enumerate(cells):
        value = math.nan if is_missing(cell) else number(cell)
        if value is None:
            return None
        numbers[k] = value
    return numbers


def _kind_of(cells: Sequence[str]) -> str:
    """Say what cells that are not all numbers are: dates of some layout, or text."""
    layouts = Layouts()
    there = [cell for cell in cells if not is_missing(cell)]
    return layouts.possible[0] if layouts.see(there) else TEXT


def _check_finite(
    numbers: npt.NDArray[np.float64],
    chosen: Choice,
    place: int,
    cells: Sequence[str],
    lines: Sequence[int],
) -> None:
    infinite = np.isinf(numbers)
    if infinite.any():
        k = int(np.argmax(infinite))
        raise DataError(
            f"{chosen.place(lines[k], place)} is infinite (it holds {quoted(cells[k].strip())}); "
            "correct it or remove that row."
        )


@dataclass
class _Dates:
    """A column of dates, while all fit one layout; the first that is possible is tried first."""

    chosen: Choice
    place: int
    profiles: Sequence[Profile]
    layout: str
    seen: Layouts = field(default_factory=Layouts)

    def convert(self, cells: Sequence[str], lines: Sequence[int]) -> npt.NDArray[np.float64]:
        if not self.seen.see(cell for cell in cells if not is_missing(cell)):
            raise AgainError(self.place, TEXT)
        if self.layout not in self.seen.possible:
            raise AgainError(self.place, self.seen.possible[0])
        made, _ = parts_of_texts(cells, self.layout)
        for k, profile in enumerate(self.profiles):
            profile.see_numbers(made[:, k])
        return made

    def finish(self) -> None:
        if len(self.seen.possible) > 1:  # text, of which `decide` says what is unclear
            raise AgainError(self.place, TEXT)


@dataclass
class _Texts:
    """A column of text, as far as it was read."""

    chosen: Choice
    place: int
    profiles: Sequence[Profile]
    numbers: int = 0
    present: int = 0
    first_line: int = 0
    first: str = ""

    def convert(self, cells: Sequence[str], lines: Sequence[int]) -> npt.NDArray[np.float64]:
        """Give each cell its code, NaN where there is none."""
        profile = self.profiles[0]
        known = profile.texts
        made = np.empty((len(cells), 1))
        for k, cell in enumerate(cells):
            text = cell.strip()
            if is_missing(text):
                made[k] = math.nan
                profile.missing += 1
                continue
            self.present += 1
            if number(text) is not None:
                self.numbers += 1
            elif not self.first_line:
                self.first_line, self.first = lines[k], text
            if text not in known:
                if len(known) >= MOST_TEXTS:
                    profile.too_many = True
                    made[k] = 0.0
                    continue
                known[text] = len(known)
            made[k] = known[text]
        profile.rows += len(cells)
        return made

    def finish(self) -> None:
        """Refuse a few texts among numbers, and decimal commas."""
        if self.first_line and _DECIMAL_COMMA.match(self.first):
            raise DataError(
                f"{self.chosen.place(self.first_line, self.place)} holds {quoted(self.first)}, a "
                "number with a comma for a decimal point or for thousands; write it as 1234.5, for "
                "instance with pandas.read_csv(..., decimal=',') or thousands=',' and to_csv."
            )
        if self.present and 2 * self.numbers >= self.present:
            raise _text_in_numbers(self.chosen, self.first_line, self.place, self.first)


def _text_in_numbers(chosen: Choice, line: int, place: int, cell: str) -> DataError:
    return DataError(
        f"{chosen.place(line, place)} holds the text {quoted(cell.strip())} where a number "
        "belongs; correct it (where there is no value, leave the cell empty), choose this column "
        "as the target, or code it as numbers."
    )


class _Known:
    """A column of which training made one or several that are known."""

    def __init__(self, chosen: Choice, place: int, columns: Sequence[Column]) -> None:
        self.chosen, self.place, self.columns = chosen, place, columns
        self.profiles = [Profile(each.name, "number") for each in columns]

    def convert(self, cells: Sequence[str], lines: Sequence[int]) -> npt.NDArray[np.float64]:
        made = np.empty((len(cells), len(self.columns)))
        parts = None
        for k, column in enumerate(self.columns):
            if column.date:
                parts = self._parts(column, cells, lines) if parts is None else parts
                made[:, k] = parts[:, PARTS.index(column.part)]
            elif column.kind == "category":
                made[:, k] = column.encode(cells)
            else:
                made[:, k] = self._numbers(cells, lines)
        return made

    def _parts(
        self, column: Column, cells: Sequence[str], lines: Sequence[int]
    ) -> npt.NDArray[np.float64]:
        made, wrong = parts_of_texts(cells, column.layout or "ymd")
        if wrong is not None:
            form = {"ymd": "2024-05-31", "dmy": "31.5.2024", "mdy": "5/31/2024"}
            raise DataError(
                f"{self.chosen.place(lines[wrong], self.place)} holds {quoted(cells[wrong])} where "
                f"a date like {form[column.layout or 'ymd']} belongs; correct it."
            )
        return made

    def _numbers(self, cells: Sequence[str], lines: Sequence[int]) -> npt.NDArray[np.float64]:
        numbers = _numbers(cells)
        if numbers is None:
            wrong = next(k for k, c in enumerate(cells) if not is_missing(c) and number(c) is None)
            raise DataError(
                f"{self.chosen.place(lines[wrong], self.place)} holds the text "
                f"{quoted(cells[wrong].strip())} where training had numbers; correct it, or leave "
                "the cell empty."
            )
        _check_finite(numbers, self.chosen, self.place, cells, lines)
        return numbers

    def finish(self) -> None:
        pass
