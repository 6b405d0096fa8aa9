"""Reading tables of text: CSV and its kin, separated by commas, semicolons, tabs or bars.

It takes a file in UTF-8 with a header (or with numbers only), and gives a `Dataset`, or one
sentence that names the line and the column of what is wrong.  Rows are converted as they are
read, so that a large file needs little more memory than the numbers in it.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backlight.data.arrow_target import target_names, without_target
from backlight.data.columns import MOST_TEXTS, Column, LeftOut, Profile, decide, nothing_left
from backlight.data.csv_reader import Reader, Record
from backlight.data.dataset import Dataset
from backlight.data.encode import missing_columns
from backlight.data.messages import (
    PathLike,
    did_you_mean,
    existing_file,
    listed,
    name_of,
    plural,
    quoted,
)
from backlight.data.target import (
    FloatArray,
    FloatType,
    Target,
    Task,
    check_task,
    float_type,
    is_missing,
    number,
    target_from_cells,
    target_from_columns,
)
from backlight.errors import DataError

ROWS_AT_ONCE = 4096

_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*\Z")


def read_csv(
    path: PathLike,
    target: str | Sequence[str] | None = None,
    delimiter: str | None = None,
    *,
    task: Task | None = None,
    dtype: FloatType = "float32",
) -> Dataset:
    """Read a data set from a table of text.

    The file is UTF-8, with or without a byte-order mark, with any kind of line end; quotes and
    line ends inside quotes follow RFC 4180; blank lines are passed over; spaces around a cell do
    not count.  The first row names the columns, unless it holds nothing but numbers (and gaps),
    in which case it is data and the columns are ``column_1``, ``column_2``, …

    Empty cells, ``NA``, ``N/A``, ``NaN``, ``null`` and ``?`` are missing values.  A column is
    numbers when all other cells are; where fewer than half of them are, it is text, and
    `backlight.data.columns.decide` says whether as categories; a few texts among numbers are
    taken for a slip and are an error.  Rows without a target are left out.  What the target is:

    * any text in it: classes, sorted by code point (but where less than half of the cells are
      text, that is taken for a slip and is an error);
    * whole numbers (``3`` or ``3.0``) of at most 20 distinct values, which are two or occur at
      least twice on average: classes, sorted by value;
    * other numbers: regression.

    Parameters
    ----------
    path : path
    target : str or sequence of str, optional
        The column to predict; the last one by default.  Several columns, also as ``"a,b"``, are
        labels when they hold only 0 and 1, and numbers otherwise.
    delimiter : str, optional
        The character between cells; by default the one of comma, semicolon, tab and bar that
        makes most columns of the first row.
    task : {"classification", "regression", "labels"}, optional
        Overrides the rule above.
    dtype : {"float32", "float64"}
        Of the features, and of a regression target.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        When the file is missing, empty, not text in UTF-8, or has no rows; a row has too many or
        too few cells; a column has no name or the name of another; there is text among numbers
        or an infinity; the target does not exist or has a single class.
    UsageError
        When `task`, `dtype` or `delimiter` is not possible.
    """
    check_task(task)
    kind = float_type(dtype)
    file = existing_file(path)[0]
    texts: set[int] = set()
    while True:
        with Reader(file, delimiter) as reader:
            header, rows = reader.header_and_rows()
            columns = _choose(reader.name, header, target)
            try:
                found = _collect(columns, rows, kind, texts)
                break
            except _TextMetError as met:
                # Read again from the start with this column as text, which is seldom far away.
                texts.add(met.column)
    return _dataset(columns, found, file, task, kind)


def read_features(
    path: PathLike,
    feature_names: Sequence[str],
    delimiter: str | None = None,
    *,
    dtype: FloatType = "float32",
) -> FloatArray:
    """Read the named columns of numbers, in the order given, as for a prediction.

    The table may have other columns, in any order, a target among them or not.

    Parameters
    ----------
    path, delimiter, dtype
        As for `read_csv`.
    feature_names : sequence of str
        Those of the data set that a network was trained on.

    Returns
    -------
    array (n, d)
        One row or more, without gaps.

    Raises
    ------
    DataError
        As for `read_csv`, when columns are missing, all of which are named, and for a gap.
    """
    columns = [Column(name) for name in feature_names]
    return read_csv_rows(path, columns, delimiter, dtype=dtype, gaps=False)


def read_csv_rows(
    path: PathLike,
    columns: Sequence[Column],
    delimiter: str | None = None,
    *,
    dtype: FloatType = "float32",
    gaps: bool = True,
) -> FloatArray:
    """Read the given columns of a table, coded as they say, NaN where a value is missing.

    Raises
    ------
    DataError
        As for `read_csv`; when columns are missing, all of which are named; for text where
        numbers belong; and for a gap where `gaps` is false.
    """
    kind = float_type(dtype)
    file = existing_file(path)[0]
    with Reader(file, delimiter) as reader:
        header, rows = reader.header_and_rows()
        missing = missing_columns([each.name for each in columns], header, reader.name)
        if missing is not None:
            raise missing
        features = tuple(header.index(each.name) for each in columns)
        chosen = _Columns(reader.name, header, features, ())
        known = dict(zip(features, columns, strict=True))
        found = _collect(chosen, rows, kind, set(), known)
    if not len(found.X):
        raise DataError(f"{name_of(path)} holds no row of data; one or more are needed.")
    if not gaps and np.isnan(found.X).any():
        row, column = np.argwhere(np.isnan(found.X))[0].tolist()
        count = int(np.count_nonzero(np.isnan(found.X)))
        raise DataError(
            f"{chosen.place(found.lines[row], features[column])} has no value "
            f"({plural(count, 'such cell')} in the file); fill in what is missing or remove those "
            "rows."
        )
    return found.X


@dataclass(frozen=True)
class _Columns:
    """The columns of a table: all names, which are features, and which are the target."""

    file: str
    names: tuple[str, ...]
    features: tuple[int, ...]
    targets: tuple[int, ...]

    def place(self, line: int, column: int) -> str:
        return f"{self.file}, line {line}, column {quoted(self.names[column])},"


class _TextMetError(Exception):
    """A column that was taken for numbers holds text."""

    def __init__(self, column: int) -> None:
        super().__init__(column)
        self.column = column


@dataclass
class _Texts:
    """A column of text, as far as it was read."""

    profile: Profile
    numbers: int = 0
    present: int = 0
    first_line: int = 0
    first: str = ""

    def codes(self, cells: Sequence[str], lines: Sequence[int]) -> npt.NDArray[np.float64]:
        """Give each cell its code, NaN where there is none."""
        known = self.profile.texts
        made = np.empty(len(cells))
        for k, cell in enumerate(cells):
            text = cell.strip()
            if is_missing(text):
                made[k] = math.nan
                self.profile.missing += 1
                continue
            self.present += 1
            if number(text) is not None:
                self.numbers += 1
            elif not self.first_line:
                self.first_line, self.first = lines[k], text
            if text not in known:
                if len(known) >= MOST_TEXTS:
                    self.profile.too_many = True
                    made[k] = 0.0
                    continue
                known[text] = len(known)
            made[k] = known[text]
        self.profile.rows += len(cells)
        return made

    def check(self, columns: _Columns, column: int) -> None:
        """Refuse a few texts among numbers, and decimal commas."""
        if self.first_line and _DECIMAL_COMMA.match(self.first):
            raise DataError(
                f"{columns.place(self.first_line, column)} holds {quoted(self.first)}, a number "
                "with a decimal comma; write numbers with a point, for instance with "
                "pandas.read_csv(..., decimal=',') and to_csv."
            )
        if self.present and 2 * self.numbers >= self.present:
            raise _text_in_numbers(columns, self.first_line, column, self.first)


def _text_in_numbers(columns: _Columns, line: int, column: int, cell: str) -> DataError:
    return DataError(
        f"{columns.place(line, column)} holds the text {quoted(cell.strip())} where a number "
        "belongs; correct it, choose this column as the target, or code it as numbers."
    )


@dataclass
class _Found:
    """What was read: the coded features, the target's cells, the line of each row."""

    X: FloatArray
    labels: list[list[str]]
    lines: array[int]
    profiles: list[Profile]
    without_target: int = 0
    texts: dict[int, _Texts] = field(default_factory=dict)


def _choose(file: str, names: tuple[str, ...], target: str | Sequence[str] | None) -> _Columns:
    wanted = [names[-1]] if target is None else target_names(names, target)
    for each in wanted:
        if each not in names:
            raise DataError(
                f"{file} has no column {quoted(each)}{did_you_mean(each, names)}; "
                f"its columns are {listed(names)}."
            )
    chosen = tuple(names.index(each) for each in wanted)
    features = tuple(i for i in range(len(names)) if i not in chosen)
    if not features:
        only = f"the single column {quoted(names[0])}" if len(names) == 1 else "only its target"
        raise DataError(
            f"{file} has {only}; a feature and a target are needed "
            "(where cells are not divided by a comma, semicolon, tab or bar, give the delimiter)."
        )
    return _Columns(file, names, features, chosen)


def _collect(
    columns: _Columns,
    rows: Iterator[Record],
    dtype: np.dtype[np.floating],
    texts: set[int],
    known: dict[int, Column] | None = None,
) -> _Found:
    """Convert the rows, a few thousand at a time."""
    profiles = [
        Profile(columns.names[k], "text" if k in texts else "number") for k in columns.features
    ]
    found = _Found(
        np.empty((0, len(profiles)), dtype),
        [[] for _ in columns.targets],
        array("q"),
        profiles,
        texts={
            k: _Texts(profile)
            for k, profile in zip(columns.features, profiles, strict=True)
            if k in texts
        },
    )
    blocks = []
    while block := list(islice(rows, ROWS_AT_ONCE)):
        kept = [(line, cells) for line, cells in block if _has_target(columns, cells)]
        found.without_target += len(block) - len(kept)
        if not kept:
            continue
        lines = [line for line, _ in kept]
        cells = list(zip(*(cells for _, cells in kept), strict=True))
        found.lines.extend(lines)
        for labels, k in zip(found.labels, columns.targets, strict=True):
            labels += cells[k]
        values = np.empty((len(kept), len(profiles)))
        for k, (place, profile) in enumerate(zip(columns.features, profiles, strict=True)):
            values[:, k] = _converted(columns, place, cells[place], lines, found, profile, known)
        blocks.append(_held(values, dtype, columns, lines))
    if blocks:
        found.X = np.concatenate(blocks)
    for k, text in found.texts.items():
        text.check(columns, k)
    return found


def _has_target(columns: _Columns, cells: list[str]) -> bool:
    return not any(is_missing(cells[k]) for k in columns.targets)


def _converted(
    columns: _Columns,
    place: int,
    cells: Sequence[str],
    lines: Sequence[int],
    found: _Found,
    profile: Profile,
    known: dict[int, Column] | None,
) -> npt.NDArray[np.float64]:
    """Convert the cells of a column: numbers, or the codes of categories."""
    if place in found.texts:
        return found.texts[place].codes(cells, lines)
    if known is not None and known[place].kind == "category":
        return known[place].encode(cells)
    try:
        numbers = np.array(list(map(float, cells)))
        plain = "_" not in "".join(cells)
    except ValueError:
        plain = False
    if not plain:
        numbers = np.empty(len(cells))
        for k, cell in enumerate(cells):
            value = math.nan if is_missing(cell) else number(cell)
            if value is None:
                if known is None:
                    raise _TextMetError(place)
                raise _text_in_numbers(columns, lines[k], place, cell)
            numbers[k] = value
    infinite = np.isinf(numbers)
    if infinite.any():
        k = int(np.argmax(infinite))
        raise DataError(
            f"{columns.place(lines[k], place)} is infinite (it holds {quoted(cells[k].strip())}); "
            "correct it or remove that row."
        )
    profile.see_numbers(numbers)
    return numbers


def _held(
    values: npt.NDArray[np.float64],
    dtype: np.dtype[np.floating],
    columns: _Columns,
    lines: Sequence[int],
) -> FloatArray:
    with np.errstate(over="ignore"):
        block: FloatArray = values.astype(dtype)
    if np.isinf(block).any():
        row, column = np.argwhere(np.isinf(block))[0].tolist()
        raise DataError(
            f"{columns.place(lines[row], columns.features[column])} holds a number that is too "
            f"large for {dtype}; scale the numbers or read them as float64."
        )
    return block


def _dataset(
    columns: _Columns,
    found: _Found,
    file: Path,
    task: Task | None,
    dtype: np.dtype[np.floating],
) -> Dataset:
    targets = [columns.names[k] for k in columns.targets]
    gone = found.without_target
    remarks = (without_target(gone, targets),) if gone else ()
    if len(found.X) < 2:
        raise DataError(
            f"{columns.file} holds {plural(len(found.X), 'row')} of data"
            f"{' below its header' if not len(found.X) else ''}"
            f"{' with a target' if remarks else ''}; two or more are needed."
        )
    decided = [decide(each) for each in found.profiles]
    kept = [k for k, each in enumerate(decided) if isinstance(each, Column)]
    left_out = tuple(each for each in decided if isinstance(each, LeftOut))
    y = _target(columns, found, task, dtype)
    if not kept:
        raise nothing_left(columns.file, left_out)
    used = tuple(each for each in decided if isinstance(each, Column))
    return Dataset(
        name=file.stem,
        X=found.X if len(kept) == len(decided) else np.ascontiguousarray(found.X[:, kept]),
        y=y.y,
        feature_names=tuple(each.name for each in used),
        target_name=", ".join(targets),
        class_names=y.class_names,
        task=y.task,
        source=f"CSV file {columns.file}",
        columns=used,
        left_out=left_out,
        remarks=remarks,
    )


def _target(
    columns: _Columns, found: _Found, task: Task | None, dtype: np.dtype[np.floating]
) -> Target:
    names = [columns.names[k] for k in columns.targets]

    def place(i: int) -> str:
        return columns.place(found.lines[i], columns.targets[0])

    if len(names) == 1 and task != "labels":
        where = f"{columns.file}, column {quoted(names[0])},"
        return target_from_cells(found.labels[0], where, place, task=task, dtype=dtype)
    values = np.empty((len(found.lines), len(names)))
    for k, cells in enumerate(found.labels):
        for row, cell in enumerate(cells):
            value = number(cell)
            if value is None or not math.isfinite(value):
                where = columns.place(found.lines[row], columns.targets[k])
                raise DataError(
                    f"{where} holds {quoted(cell.strip())}, and of several targets each must be "
                    "a finite number; correct it or choose other columns."
                )
            values[row, k] = value
    where = f"{columns.file}, columns {listed(names)},"
    return target_from_columns(values, names, where, task=task, dtype=dtype)
