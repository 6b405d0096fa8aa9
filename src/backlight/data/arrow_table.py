"""Tables of Arrow's kind (Parquet and Arrow files, data frames), read a stretch of rows at a time.

It takes batches of rows and gives a `Dataset`.  One pass over the rows says what each column is,
a second one writes the features: into memory, or, where they are large, into a temporary file,
so that a table may be larger than memory.  pyarrow is imported only when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from backlight.data.arrow_columns import as_names, dates_of, kind_of, numbers_of, texts_of
from backlight.data.arrow_target import Targets, target_names
from backlight.data.columns import (
    Column,
    Profile,
    decide_all,
    looks_like_dates,
    nothing_left,
    profiles_of_dates,
)
from backlight.data.dataset import Dataset
from backlight.data.dates import PARTS, Layouts, parts_of, parts_of_texts
from backlight.data.encode import missing_columns, sources
from backlight.data.messages import did_you_mean, listed, plural, quoted
from backlight.data.rows import PIECE_BYTES, RowWriter, pieces, too_large
from backlight.data.target import (
    FloatArray,
    FloatType,
    Task,
    check_task,
    float_type,
    is_missing,
)
from backlight.errors import DataError

ROWS_AT_ONCE = 16_384
"""How many rows are held at once while a table is read."""

COLUMNS_AT_ONCE = 32
"""How many columns are read at once: each takes 2 to 3 MB while a Parquet file is open."""

MOST_COLUMNS = 100_000

Batches = Callable[[list[str]], Iterator[Any]]
"""From names of columns to their record batches, in order; may be called again."""


@dataclass(frozen=True)
class Table:
    """A table that can be read more than once.

    Attributes
    ----------
    name : str
        How messages call it.
    names : tuple of str
        Of all columns.
    types : tuple of pyarrow.DataType
    batches : callable
    rows : int
    """

    name: str
    names: tuple[str, ...]
    types: tuple[Any, ...]
    batches: Batches
    rows: int

    def index(self, wanted: str) -> int:
        """Return the place of a column, or raise with a suggestion."""
        if wanted not in self.names:
            raise DataError(
                f"{self.name} has no column {quoted(wanted)}{did_you_mean(wanted, self.names)}; "
                f"its columns are {listed(self.names)}."
            )
        return self.names.index(wanted)

    def columns(self, names: Sequence[str]) -> Iterator[list[Any]]:
        """Give the columns of each stretch of rows."""
        for batch in self.batches(list(dict.fromkeys(names))):
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                part = batch.slice(start, ROWS_AT_ONCE)
                held = {name: part.column(k) for k, name in enumerate(part.schema.names)}
                yield [held[name] for name in names]


def checked(
    name: str, names: Sequence[str], types: Sequence[Any], batches: Batches, rows: int
) -> Table:
    """Make a `Table` of a schema that may say anything.

    Raises
    ------
    DataError
        For no columns, too many, or two of one name.
    """
    if not names:
        raise DataError(f"{name} has no columns; write a table with features and a target.")
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{name} has {len(names):,} columns; {MOST_COLUMNS:,} are the most.")
    twice = (
        sorted({each for each in names if names.count(each) > 1})
        if len(set(names)) < len(names)
        else []
    )
    if twice:
        raise DataError(
            f"{name} has more than one column called {listed(twice)}; rename all but one of them."
        )
    return Table(name, tuple(str(each) for each in names), tuple(types), batches, rows)


def dataset_of(
    table: Table,
    target: str | Sequence[str] | None = None,
    *,
    name: str,
    source: str,
    task: Task | None = None,
    dtype: FloatType = "float32",
) -> Dataset:
    """Read a data set from a table; see `backlight.data.read_parquet`.

    Rows that lack the target are left out, which `Dataset.remarks` says.
    """
    check_task(task)
    kind = float_type(dtype)
    targets = [table.names[-1]] if target is None else target_names(table.names, target)
    places = [table.index(each) for each in targets]
    features = [each for each in table.names if each not in targets]
    if not features:
        raise DataError(f"{table.name} has no column beside its target; add features.")
    goals = Targets([(table.names[k], table.types[k]) for k in places], table.name)
    profiles = [_profile(each, table.types[table.index(each)]) for each in features]
    seen = 0
    for arrays in table.columns(targets):
        seen += goals.see(arrays, seen)
    rows = goals.rows
    if rows < 2:
        lacking = f" with a value of {listed(targets)}" if seen > rows else ""
        raise DataError(
            f"{table.name} holds {plural(rows, 'row')} of data{lacking}; two are the least."
        )
    # What has no use whatever it holds is not read.
    _see_all(table, [each for each in profiles if each.kind in ("number", "text")], goals)
    for profile in profiles:
        profile.rows = profile.rows or rows
    _, columns, left_out = decide_all(_with_dates(table, profiles, goals))
    if not columns:
        raise nothing_left(table.name, left_out)
    y = goals.decide(task, kind)
    return Dataset(
        name=name,
        X=_coded(table, columns, rows, kind, goals),
        y=y.y,
        feature_names=tuple(each.name for each in columns),
        target_name=", ".join(targets),
        class_names=y.class_names,
        task=y.task,
        source=source,
        columns=tuple(columns),
        left_out=tuple(left_out),
        remarks=goals.remarks,
    )


def rows_of(table: Table, columns: Sequence[Column], dtype: FloatType = "float32") -> FloatArray:
    """Read the given columns of a table, coded as they say, as for a prediction.

    Raises
    ------
    DataError
        Naming every column that is missing, or the place of text where numbers belong.
    """
    missing = missing_columns(sources(columns), table.names, table.name)
    if missing is not None:
        raise missing
    return _coded(table, columns, table.rows, float_type(dtype), None)


def _coded(
    table: Table,
    columns: Sequence[Column],
    rows: int,
    dtype: np.dtype[np.floating],
    goals: Targets | None,
) -> FloatArray:
    """Write the coded columns of the rows that have a target.

    Of a wide table, groups of columns are written one after the other and then put together.
    """
    large = too_large(rows * len(columns) * dtype.itemsize)
    if len(columns) <= COLUMNS_AT_ONCE or not large:
        return _coded_group(table, columns, dtype, goals, large)
    groups = [_coded_group(table, group, dtype, goals, in_file=True) for group in _groups(columns)]
    together = max(PIECE_BYTES // (len(columns) * dtype.itemsize), 1)
    with RowWriter((len(columns),), dtype) as writer:
        for parts in zip(*(pieces(group, together) for group in groups), strict=True):
            writer.write(np.hstack(parts))
    return writer.rows()


Some = TypeVar("Some")


def _groups(each: Sequence[Some]) -> list[Sequence[Some]]:
    return [each[start : start + COLUMNS_AT_ONCE] for start in range(0, len(each), COLUMNS_AT_ONCE)]


def _coded_group(
    table: Table,
    columns: Sequence[Column],
    dtype: np.dtype[np.floating],
    goals: Targets | None,
    in_file: bool,
) -> FloatArray:
    def blocks() -> Iterator[FloatArray]:
        start = 0
        for arrays in table.columns([each.source for each in columns]):
            length = len(arrays[0])
            block = np.empty((length, len(columns)), dtype)
            for k, (column, array) in enumerate(zip(columns, arrays, strict=True)):
                values = _values(column, array, table.name, start)
                with np.errstate(over="ignore"):
                    block[:, k] = values
                _check_range(block[:, k], values, f"{table.name}, column {quoted(column.name)},")
            yield block if goals is None else block[goals.kept(start, length)]
            start += length

    if in_file:
        with RowWriter((len(columns),), dtype) as writer:
            for block in blocks():
                writer.write(block)
        return writer.rows()
    parts = list(blocks())
    if not sum(map(len, parts)):
        raise DataError(f"{table.name} holds no row of data; one or more are needed.")
    return np.concatenate(parts)


def _check_range(held: FloatArray, values: FloatArray, place: str) -> None:
    if np.isinf(held).any():
        first = int(np.argmax(np.isinf(held)))
        raise DataError(
            f"{place} holds {values[first]:g}, which is too large for {held.dtype}; scale the "
            "numbers or read them as float64."
        )


def _values(column: Column, array: Any, file: str, start: int) -> npt.NDArray[np.float64]:
    if column.date:
        return _part(column, array, file, start)
    if column.kind == "number":
        if kind_of(array.type) != "number":
            raise DataError(
                f"{file}, column {quoted(column.name)}, holds {array.type} where numbers belong; "
                "convert the column."
            )
        return numbers_of(array, f"{file}, column {quoted(column.name)},", start)
    if kind_of(array.type) == "number":
        array = as_names(array)
    texts, codes = texts_of(array)
    lookup = np.append(column.encode(texts), math.nan)
    found: npt.NDArray[np.float64] = lookup[codes]  # −1, for no value, is the last
    return found


def _part(column: Column, array: Any, file: str, start: int) -> npt.NDArray[np.float64]:
    """A part of the dates of a column."""
    place = PARTS.index(column.part)
    kind = kind_of(array.type)
    if kind == "date":
        return parts_of(dates_of(array))[:, place]
    if kind != "text":
        raise DataError(
            f"{file}, column {quoted(column.date)}, holds {array.type} where dates belong; convert "
            "the column."
        )
    texts, codes = texts_of(array)
    parts, wrong = parts_of_texts(texts, column.layout or "ymd")
    if wrong is not None:
        row = start + int(np.argmax(codes == wrong))
        raise DataError(
            f"{file}, column {quoted(column.date)}, holds {quoted(texts[wrong])} in row {row}, "
            "counted from 0, where a date like those of the training belongs; correct it."
        )
    found: npt.NDArray[np.float64] = np.append(parts[:, place], math.nan)[codes]
    return found


def _see_all(table: Table, profiles: Sequence[Profile], goals: Targets) -> None:
    for group in _groups(profiles):
        start = 0
        for arrays in table.columns([each.date or each.name for each in group]):
            keep = goals.kept(start, len(arrays[0]))
            for profile, array in zip(group, arrays, strict=True):
                _see(profile, array, keep, table.name, start)
            start += len(keep)


def _with_dates(table: Table, profiles: Sequence[Profile], goals: Targets) -> list[Profile]:
    """Put the parts of dates in the places of their columns, and look at them."""
    made: list[Profile] = []
    for profile in profiles:
        layout = _layout(table, profile, goals) if looks_like_dates(profile) else None
        if profile.kind == "date" or layout is not None:
            parts = profiles_of_dates(profile.name, layout or "")
            _see_all(table, parts, goals)
            made += parts
        else:
            made.append(profile)
    return made


def _layout(table: Table, profile: Profile, goals: Targets) -> str | None:
    """Return the one layout of dates that are text; None where there is not one."""
    seen, start = Layouts(), 0
    for (array,) in table.columns([profile.name]):
        texts, codes = texts_of(array)
        used = np.unique(codes[goals.kept(start, len(codes))])
        if not seen.see(texts[k] for k in used.tolist() if k >= 0 and not is_missing(texts[k])):
            return None
        start += len(codes)
    return seen.possible[0] if len(seen.possible) == 1 else None


def _profile(name: str, kind: Any) -> Profile:
    return Profile(name, kind_of(kind), str(kind)[:60])


def _see(profile: Profile, array: Any, keep: npt.NDArray[np.bool_], file: str, start: int) -> None:
    if profile.date:
        column = Column(profile.name, date=profile.date, part=profile.part, layout=profile.layout)
        profile.see_numbers(_part(column, array, file, start)[keep])
    elif profile.kind == "number":
        place = f"{file}, column {quoted(profile.name)},"
        profile.see_numbers(numbers_of(array, place, start)[keep])
    else:
        texts, codes = texts_of(array)
        profile.see_texts(texts, codes[keep])
