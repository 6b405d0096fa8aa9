"""Reading tables of text: CSV and its kin, separated by commas, semicolons, tabs or bars.

It takes a file in UTF-8 with a header (or with numbers only), and gives a `Dataset`, or one
sentence that names the line and the column of what is wrong.  Rows are converted as they are
read, so that a large file needs little more memory than the numbers in it.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from backlight.data.dataset import Dataset
from backlight.data.messages import (
    PathLike,
    did_you_mean,
    existing_file,
    listed,
    name_of,
    plural,
    quoted,
    reason,
)
from backlight.data.target import (
    FloatArray,
    FloatType,
    Task,
    check_task,
    float_type,
    is_missing,
    number,
    target_from_cells,
    to_float,
)
from backlight.errors import DataError, UsageError

_DELIMITERS = ",;\t|"

Record = tuple[int, list[str]]
"""The line on which a row begins, counted from 1, and its cells."""


@dataclass(frozen=True)
class _Columns:
    """The columns of a table: all names, which are features, and which is the target."""

    file: str
    names: tuple[str, ...]
    features: tuple[int, ...]
    target: int | None

    def place(self, line: int, column: int) -> str:
        return f"{self.file}, line {line}, column {quoted(self.names[column])},"


def read_csv(
    path: PathLike,
    target: str | None = None,
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

    All features must be numbers, without gaps.  What the target is:

    * any text in it: classes, sorted by code point (but where less than half of the cells are
      text, that is taken for a slip and is an error);
    * whole numbers (``3`` or ``3.0``) of at most 20 distinct values, which are two or occur at
      least twice on average: classes, sorted by value;
    * other numbers: regression.

    Parameters
    ----------
    path : path
    target : str, optional
        The column to predict; the last one by default.
    delimiter : str, optional
        The character between cells; by default the one of comma, semicolon, tab and bar that
        makes most columns of the first row.
    task : {"classification", "regression"}, optional
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
        too few cells; a column has no name or the name of another; there is text where numbers
        belong, a gap, a NaN or an infinity; the target does not exist or has a single class.
    UsageError
        When `task`, `dtype` or `delimiter` is not possible.
    """
    check_task(task)
    kind = float_type(dtype)
    file = existing_file(path)[0]
    with _Reader(file, delimiter) as reader:
        header, rows = reader.header_and_rows()
        columns = _choose(reader.name, header, target)
        X, labels, lines = _collect(columns, rows, kind)
    if len(X) < 2:
        raise DataError(
            f"{columns.file} holds {plural(len(X), 'row')} of data"
            f"{' below its header' if not len(X) else ''}; two or more are needed."
        )
    assert columns.target is not None
    target_name = columns.names[columns.target]

    def place(i: int) -> str:
        return f"{columns.file}, line {lines[i]}, column {quoted(target_name)},"

    decided = target_from_cells(
        labels, f"{columns.file}, column {quoted(target_name)},", place, task=task, dtype=kind
    )
    return Dataset(
        name=file.stem,
        X=X,
        y=decided.y,
        feature_names=tuple(columns.names[i] for i in columns.features),
        target_name=target_name,
        class_names=decided.class_names,
        task=decided.task,
        source=f"CSV file {columns.file}",
    )


def read_features(
    path: PathLike,
    feature_names: Sequence[str],
    delimiter: str | None = None,
    *,
    dtype: FloatType = "float32",
) -> FloatArray:
    """Read the named columns of a table, in the order given, as for a prediction.

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
        One row or more.

    Raises
    ------
    DataError
        As for `read_csv`, and when a column is missing.
    """
    kind = float_type(dtype)
    file = existing_file(path)[0]
    with _Reader(file, delimiter) as reader:
        header, rows = reader.header_and_rows()
        features = tuple(_index(reader.name, header, name) for name in feature_names)
        X = _collect(_Columns(reader.name, header, features, None), rows, kind)[0]
    if not len(X):
        raise DataError(f"{name_of(path)} holds no row of data; one or more are needed.")
    return X


class _Reader:
    """An open table; its errors of encoding and quoting come out as `DataError`."""

    def __init__(self, file: Path, delimiter: str | None) -> None:
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise UsageError(
                f"delimiter={delimiter!r} is not possible; give one character, such as ';'."
            )
        self.name = name_of(file)
        self._path = file
        self._delimiter = delimiter
        self._stream: TextIO | None = None

    def __enter__(self) -> _Reader:
        try:
            self._stream = self._path.open(encoding="utf-8-sig", newline="")
        except OSError as error:
            raise DataError(
                f"{self.name} cannot be opened ({reason(error)}); check its permissions."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def header_and_rows(self) -> tuple[tuple[str, ...], Iterator[Record]]:
        """Give the names of the columns and the rows of data, each of the right length."""
        delimiter = self._delimiter or self._detect()
        records = self._records(delimiter)
        first = next(records, None)
        if first is None:
            raise DataError(f"{self.name} is empty; write a header and rows of data to it.")
        line, cells = first
        if _is_data(cells):
            names = tuple(f"column_{i + 1}" for i in range(len(cells)))
            return names, self._of_equal_length(names, line, records, first)
        names = tuple(cell.strip() for cell in cells)
        if any(not (number(cell) or 0.0).is_integer() for cell in names):
            raise DataError(
                f"{self.name}, line {line}, should name the columns but holds numbers among text, "
                "as a row of data does; put a row of names above it."
            )
        self._check_names(names, line)
        return names, self._of_equal_length(names, line, records, None)

    def _detect(self) -> str:
        return max(_DELIMITERS, key=self._width)

    def _width(self, delimiter: str) -> int:
        """Count the cells that a delimiter makes of the first row; none where it cannot be."""
        try:
            first = next(self._records(delimiter), None)
        except DataError:
            return 0  # what is wrong is said when the rows are read with the delimiter chosen
        return len(first[1]) if first else 0

    def _records(self, delimiter: str) -> Iterator[Record]:
        assert self._stream is not None
        line = 1
        try:
            self._stream.seek(0)
            reader = csv.reader(self._lines(self._stream), delimiter=delimiter, strict=True)
            for cells in reader:
                if len(cells) > 1 or (cells and cells[0].strip()):
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{self.name}, line {line}, breaks the rules of quoting or length ({error}); "
                "close every quote and double those inside a cell."
            ) from error
        except UnicodeError as error:
            raise DataError(
                f"{self.name}, line {self._undecodable_line()}, is not text in UTF-8; "
                "save the file as CSV in UTF-8."
            ) from error
        except OSError as error:
            raise DataError(f"{self.name} cannot be read ({reason(error)}).") from error

    def _lines(self, stream: TextIO) -> Iterator[str]:
        for line in stream:
            if "\0" in line:
                raise DataError(
                    f"{self.name} is a binary file, not a table of text; name a CSV file, or give "
                    "the file the suffix of its format."
                )
            yield line

    def _undecodable_line(self) -> int:
        with self._path.open("rb") as stream:
            for count, line in enumerate(stream, start=1):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return count
        return 1

    def _check_names(self, names: tuple[str, ...], line: int) -> None:
        seen: dict[str, int] = {}
        for i, name in enumerate(names):
            if not name:
                raise DataError(
                    f"{self.name}, line {line}, has no name for column {i + 1} (a column of row "
                    "numbers is often written without one); name it or remove the column."
                )
            if name in seen:
                raise DataError(
                    f"{self.name}, line {line}, gives the name {quoted(name)} to column "
                    f"{seen[name] + 1} and to column {i + 1}; rename one of them."
                )
            seen[name] = i

    def _of_equal_length(
        self,
        names: tuple[str, ...],
        header_line: int,
        records: Iterator[Record],
        first: Record | None,
    ) -> Iterator[Record]:
        if first is not None:
            yield first
        for line, cells in records:
            if len(cells) != len(names):
                raise DataError(
                    f"{self.name}, line {line}, has {plural(len(cells), 'field')} where line "
                    f"{header_line} has {len(names)}; correct the row, or quote a cell that "
                    "holds the delimiter."
                )
            yield line, cells


def _is_data(cells: list[str]) -> bool:
    """Tell whether a first row is data: numbers, perhaps with gaps, and no text."""
    numbers = [number(cell) is not None for cell in cells]
    gaps = [is_missing(cell) for cell in cells]
    return any(n and not gap for n, gap in zip(numbers, gaps, strict=True)) and all(
        n or gap for n, gap in zip(numbers, gaps, strict=True)
    )


def _index(file: str, names: tuple[str, ...], wanted: str) -> int:
    if wanted not in names:
        raise DataError(
            f"{file} has no column {quoted(wanted)}{did_you_mean(wanted, names)}; "
            f"its columns are {listed(names)}."
        )
    return names.index(wanted)


def _choose(file: str, names: tuple[str, ...], target: str | None) -> _Columns:
    chosen = len(names) - 1 if target is None else _index(file, names, target)
    if len(names) < 2:
        raise DataError(
            f"{file} has the single column {quoted(names[0])}; a feature and a target are needed "
            "(where cells are not divided by a comma, semicolon, tab or bar, give the delimiter)."
        )
    return _Columns(file, names, tuple(i for i in range(len(names)) if i != chosen), chosen)


def _collect(
    columns: _Columns, rows: Iterator[Record], dtype: np.dtype[np.floating]
) -> tuple[FloatArray, list[str], array[int]]:
    """Convert the rows: the features as an array, the target's cells, the lines they began on."""
    pick = _picker(columns)
    values, lines, labels = array("d"), array("q"), list[str]()
    gaps, first_gap = 0, ""
    for line, cells in rows:
        picked = pick(cells)
        lines.append(line)
        numbers = _numbers(picked)
        faults = [] if numbers else _faults(columns, line, picked)
        if columns.target is not None:
            labels.append(cells[columns.target])
            faults += filter(None, [_gap(columns, line, columns.target, labels[-1])])
        if faults:
            gaps += len(faults)
            first_gap = first_gap or faults[0]
        else:
            values.extend(numbers or map(float, picked))
    if gaps:
        raise DataError(
            f"{first_gap} ({plural(gaps, 'such cell')} in the file); fill in what is missing or "
            "remove those rows."
        )

    def place(row: int, within: int) -> str:
        return columns.place(lines[row], columns.features[within])

    table = np.frombuffer(values) if values else np.empty(0)  # frombuffer takes nothing empty
    X = to_float(table.reshape(len(lines), len(columns.features)), dtype, place)
    return X, labels, lines


def _picker(columns: _Columns) -> Callable[[list[str]], list[str]]:
    """Give the function that takes the features out of a row, by slices where they lie so."""
    indices, target, width = columns.features, columns.target, len(columns.names)
    if target == width - 1 and indices == tuple(range(width - 1)):
        return lambda cells: cells[:-1]
    if target == 0 and indices == tuple(range(1, width)):
        return lambda cells: cells[1:]
    return lambda cells: [cells[i] for i in indices]


def _numbers(cells: list[str]) -> list[float]:
    """Convert a row of plain finite numbers at once; give nothing where it needs a closer look."""
    try:
        numbers = list(map(float, cells))
    except ValueError:
        return []
    # The sum is finite only if all are; that it may overflow costs no more than the closer look.
    plain = math.isfinite(sum(numbers)) and "_" not in "".join(cells)
    return numbers if plain else []


def _faults(columns: _Columns, line: int, cells: list[str]) -> list[str]:
    """Say what is missing among the features of a row; raise where one holds text."""
    for column, cell in zip(columns.features, cells, strict=True):
        if not is_missing(cell) and number(cell) is None:
            raise DataError(
                f"{columns.place(line, column)} holds the text {quoted(cell.strip())} where a "
                "number belongs; correct it, choose this column as the target, or code it as "
                "numbers."
            )
    gaps = (
        _gap(columns, line, column, cell)
        for column, cell in zip(columns.features, cells, strict=True)
    )
    return [gap for gap in gaps if gap]


def _gap(columns: _Columns, line: int, column: int, cell: str) -> str:
    """Say how a cell lacks a finite value, or give nothing."""
    if not cell.strip():
        return f"{columns.place(line, column)} is empty"
    if is_missing(cell):
        return f"{columns.place(line, column)} is missing (it holds {quoted(cell.strip())})"
    if math.isinf(number(cell) or 0.0):
        return f"{columns.place(line, column)} is infinite (it holds {quoted(cell.strip())})"
    return ""
