"""Data frames of pandas, polars and their kin, through narwhals, and Arrow's tables.

It takes a frame and gives a `Dataset`, or the rows of one coded as another data set codes them.
narwhals and pyarrow are imported only when a frame is given.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from backlight.data.arrow_columns import arrow, damage
from backlight.data.arrow_table import Table, dataset_of, rows_of
from backlight.data.arrow_target import target_names
from backlight.data.columns import Column
from backlight.data.dataset import Dataset
from backlight.data.parquet_file import of_batches
from backlight.data.target import FloatArray, FloatType, Task
from backlight.errors import DataError

_LIBRARIES = ("pandas", "polars", "pyarrow", "modin", "cudf", "narwhals")


def is_frame(value: object) -> bool:
    """Tell whether something is a data frame, without importing any library.

    Examples
    --------
    >>> is_frame([[1.0, 2.0]])
    False
    """
    library = type(value).__module__.split(".")[0]
    return (
        library in _LIBRARIES
        and library in sys.modules
        and type(value).__name__ in ("DataFrame", "LazyFrame", "Table", "RecordBatch")
    )


def from_frame(
    frame: Any,
    target: str | Sequence[str] | None = None,
    *,
    task: Task | None = None,
    dtype: FloatType = "float32",
    name: str = "frame",
    like: Dataset | None = None,
) -> Dataset:
    """Make a data set of a data frame.

    Columns are numbers (booleans too), categories (text, and the frame's own categorical type),
    or left out, as `backlight.data.columns.decide` says.

    Parameters
    ----------
    frame : pandas, polars or other frame that narwhals knows, or pyarrow.Table
    target : str or sequence of str, optional
        The column to predict; the last one by default.
    task, dtype
        As for `backlight.data.read_parquet`.
    name : str
        What the set is called.
    like : Dataset, optional
        Another part of the same table, whose columns, categories and classes are to be used.

    Raises
    ------
    DataError
        When there is no such column, a column cannot be a target, or narwhals or pyarrow is not
        installed.

    Examples
    --------
    >>> import pyarrow
    >>> table = pyarrow.table({"age": [20, None, 40], "town": ["Ulm", "Bonn", "Ulm"],
    ...                        "buys": [True, False, True]})
    >>> from_frame(table, "buys")
    Dataset 'frame': 3 rows × 2 features (float32), target 'buys' with 2 classes ('False', 'True')
    """
    table = _table(frame, name)
    try:
        if like is None:
            return dataset_of(
                table, target, name=name, source=f"data frame {name}", task=task, dtype=dtype
            )
        return _like(table, target, like, name, dtype)
    except arrow().ArrowException as error:
        raise damage(f"The data frame {name}", "Arrow", error) from error


def frame_rows(frame: Any, columns: Sequence[Column], name: str = "The frame") -> FloatArray:
    """Return the given columns of a frame, coded as they say.

    Raises
    ------
    DataError
        Naming every column that is missing.
    """
    return rows_of(_table(frame, name), columns)


def _like(
    table: Table,
    target: str | Sequence[str] | None,
    like: Dataset,
    name: str,
    dtype: FloatType,
) -> Dataset:
    """Read a table as another data set was read."""
    names = like.target_name if target is None else target
    wanted = target_names(table.names, names)
    columns = [
        *(like.columns or ()),
        *(Column(each, "number") for each in wanted if like.class_names is None),
    ]
    if like.task == "labels":
        columns += [Column(each) for each in like.class_names or ()]
    elif like.class_names is not None:
        columns += [Column(wanted[0], "category", like.class_names)]
    width = len(like.columns or ())
    targets = columns[width:]
    for column in targets:
        table.index(column.name)  # says so when it is not there
    coded = rows_of(table, columns, dtype)
    y = coded[:, width:]
    if np.isnan(y).any() or (like.task == "classification" and (y < 0).any()):
        row = int(np.argmax((np.isnan(y) | (y < 0)).any(axis=1)))
        raise DataError(
            f"{table.name}, row {row}, has no {names!r} that the training rows know; leave it out."
        )
    classes = like.task == "classification"
    return Dataset(
        name=name,
        X=coded[:, :width],
        y=y[:, 0].astype(np.int64) if classes else y[:, 0] if y.shape[1] == 1 else y,
        feature_names=like.feature_names,
        target_name=like.target_name,
        class_names=like.class_names,
        task=like.task,
        source=f"data frame {name}",
        columns=like.columns,
    )


def _table(frame: Any, name: str) -> Table:
    pa = arrow()
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    if not isinstance(frame, pa.Table):
        try:
            import narwhals
        except ImportError as error:
            raise DataError(
                "Data frames need the extra 'data': pip install 'backlight[data]'."
            ) from error
        try:
            held = narwhals.from_native(frame)
            if isinstance(held, narwhals.LazyFrame):
                held = held.collect()
            frame = held.to_arrow()
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise DataError(
                f"The data frame cannot be read ({' '.join(str(error).split())[:200]}); give its "
                "columns one type each, and names that are text."
            ) from error
    if not frame.num_rows:
        raise DataError(f"The data frame {name} has no rows; give two or more.")
    schema = frame.schema
    return of_batches(name, schema, frame.to_batches())
