"""Reading tables of text: CSV and its kin, separated by commas, semicolons, tabs or bars.

It takes a file in UTF-8 with a header (or with numbers only), and gives a `Dataset`, or one
sentence that names the line and the column of what is wrong.  Rows are converted as they are
read, and large features lie in a temporary file, so that a table may be larger than memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from backlight.data.arrow_target import target_names, without_target
from backlight.data.columns import Column, decide_all, nothing_left
from backlight.data.csv_columns import AgainError, Choice, Found, read_columns
from backlight.data.csv_reader import Reader
from backlight.data.dataset import Dataset
from backlight.data.encode import missing_columns, sources
from backlight.data.messages import (
    PathLike,
    did_you_mean,
    existing_file,
    listed,
    name_of,
    plural,
    quoted,
)
from backlight.data.rows import map_rows, pieces
from backlight.data.target import (
    FloatArray,
    FloatType,
    Target,
    Task,
    check_task,
    float_type,
    number,
    target_from_cells,
    target_from_columns,
)
from backlight.errors import DataError, OutOfMemoryError


def read_csv(
    path: PathLike,
    target: str | Sequence[str] | None = None,
    delimiter: str | None = None,
    *,
    task: Task | None = None,
    dtype: FloatType = "float32",
) -> Dataset:
    """Read a data set from a table of text.

    The file is UTF-8, with or without a byte-order mark, or UTF-16 with one, with any kind of
    line end; quotes and line ends inside quotes follow RFC 4180; blank lines are passed over;
    spaces around a cell do not count.  The first row names the columns, unless it holds nothing
    but numbers (and gaps), in which case it is data and the columns are ``column_1``,
    ``column_2``, …  A first column without a name, which programs write for the numbers of the
    rows, is called ``index``.  A line ``sep=;`` and lines of remarks, with ``#``, may stand above.

    Where cells are not divided by commas, numbers may have a decimal comma, as in ``1.234,5``;
    the file is read so when some do and none in the first 1000 rows is written as ``0.5``.
    Dates become the features of `backlight.data.dates.PARTS`.

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
    OutOfMemoryError
        When there are more rows than memory holds the targets of.
    UsageError
        When `task`, `dtype` or `delimiter` is not possible.

    Notes
    -----
    Features of more than 64 MiB are written to a temporary file as they are read, and training
    reads them from there; of each row, memory holds its target and where it stands.
    """
    check_task(task)
    kind = float_type(dtype)
    file, size = existing_file(path)
    _check_room(file, size)
    kinds: dict[int, str] = {}
    while True:
        with Reader(file, delimiter) as reader:
            header, rows = reader.header_and_rows()
            columns = _choose(reader.name, header, target)
            try:
                found = read_columns(columns, rows, kind, kinds)
                break
            except AgainError as again:
                # Read again from the start with this column as what it is; seldom far away.
                kinds[again.column] = again.kind
    data = _dataset(columns, found, file, task, kind)
    if reader.decimal_comma:
        return replace(data, remarks=(*data.remarks, "Numbers were read with a decimal comma."))
    return data


LARGE_BYTES = 2**30
"""Tables of text smaller than this are read without asking how much memory there is."""

_ROW_BYTES = 100
"""What a row takes in memory while a table is read: its line and the cell of its target."""


def _check_room(file: Path, size: int) -> None:
    """Refuse a table whose rows are more than memory holds, judged by its first megabyte."""
    if size < LARGE_BYTES:
        return
    from backlight.execute.native.room import available

    try:
        with file.open("rb") as stream:
            start = stream.read(2**20)
    except OSError:
        return  # which its reader says
    rows = int(size / max(len(start), 1) * max(start.count(b"\n"), 1))
    room = available()
    if room is not None and rows * _ROW_BYTES > room:
        raise OutOfMemoryError(
            f"{name_of(file)} holds about {rows:,} rows, and to read them as text takes about "
            f"{rows * _ROW_BYTES / 2**30:.1f} GiB where {room / 2**30:.1f} GiB are free; write it "
            "as Parquet, of which a few rows are read at a time, or train on a part of the rows."
        )


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
        wanted = sources(columns)
        missing = missing_columns(wanted, header, reader.name)
        if missing is not None:
            raise missing
        features = tuple(header.index(each) for each in wanted)
        chosen = Choice(reader.name, header, features, ())
        known = {
            header.index(source): [each for each in columns if each.source == source]
            for source in wanted
        }
        found = read_columns(chosen, rows, kind, {}, known)
    if not len(found.X):
        raise DataError(f"{name_of(path)} holds no row of data; one or more are needed.")
    if not gaps:
        _refuse_gaps(found, chosen)
    # Parts of a date stand beside each other in the file, and perhaps not in the network.
    there = [id(each) for source in wanted for each in known[header.index(source)]]
    order = [there.index(id(each)) for each in columns]
    if order == list(range(len(order))):
        return found.X
    return map_rows(found.X, lambda rows: np.ascontiguousarray(rows[:, order]), kind)


def _refuse_gaps(found: Found, chosen: Choice) -> None:
    count, first = 0, None
    start = 0
    for part in pieces(found.X):
        gaps = np.argwhere(np.isnan(part))
        if len(gaps) and first is None:
            first = (start + int(gaps[0][0]), int(gaps[0][1]))
        count += len(gaps)
        start += len(part)
    if first is not None:
        raise DataError(
            f"{chosen.place(found.lines[first[0]], chosen.features[first[1]])} has no value "
            f"({plural(count, 'such cell')} in the file); fill in what is missing or remove those "
            "rows."
        )


def _choose(file: str, names: tuple[str, ...], target: str | Sequence[str] | None) -> Choice:
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
    return Choice(file, names, features, chosen)


def _dataset(
    columns: Choice,
    found: Found,
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
    kept, used, left_out = decide_all(found.profiles)
    y = _target(columns, found, task, dtype)
    if not kept:
        raise nothing_left(columns.file, left_out)
    whole = len(kept) == len(found.profiles)
    return Dataset(
        name=file.stem,
        X=found.X
        if whole
        else map_rows(found.X, lambda rows: np.ascontiguousarray(rows[:, kept]), dtype),
        y=y.y,
        feature_names=tuple(each.name for each in used),
        target_name=", ".join(targets),
        class_names=y.class_names,
        task=y.task,
        source=f"CSV file {columns.file}",
        columns=tuple(used),
        left_out=tuple(left_out),
        remarks=remarks,
    )


def _target(
    columns: Choice, found: Found, task: Task | None, dtype: np.dtype[np.floating]
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
