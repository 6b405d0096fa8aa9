"""Reading .npy files, NumPy's own format, as a table of numbers; large ones stay in their file.

It takes a path and gives a `Dataset`: each column of the array is a feature, and one is the
target.  Nothing is ever unpickled.
"""

from __future__ import annotations

import math
import struct
import tokenize
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backlight.data.arrow_target import target_names
from backlight.data.columns import Column
from backlight.data.dataset import Dataset
from backlight.data.encode import missing_columns
from backlight.data.messages import (
    PathLike,
    did_you_mean,
    existing_file,
    listed,
    name_of,
    plural,
    reason,
)
from backlight.data.npz_file import read_header
from backlight.data.rows import AnyArray, FileRows, RowWriter, pieces, too_large
from backlight.data.target import (
    FloatArray,
    FloatType,
    Target,
    Task,
    float_type,
    target_from_array,
    target_from_columns,
)
from backlight.errors import DataError


def read_npy(
    path: PathLike,
    target: str | Sequence[str] | None = None,
    *,
    task: Task | None = None,
    dtype: FloatType = "float32",
) -> Dataset:
    """Read a data set from a .npy file with an array of numbers, one example a row.

    The columns are called ``column_1``, ``column_2``, …; the last one is the target by default.
    Where features are larger than 64 MiB, they are copied to a temporary file a few megabytes at
    a time, so that the file may be larger than memory.

    Parameters
    ----------
    path : path
    target : str or sequence of str, optional
    task : {"classification", "regression", "labels"}, optional
        By default, few whole numbers are classes, whatever the dtype of the array.
    dtype : {"float32", "float64"}

    Raises
    ------
    DataError
        When the file is missing or damaged, is no array (n, d) of numbers with two rows and two
        columns or more, holds what is not finite, or has no such column.
    """
    kind = float_type(dtype)
    array, name = opened_npy(path), name_of(path)
    if array.ndim != 2 or array.shape[1] < 2 or len(array) < 2:
        raise DataError(
            f"{name} holds an array of shape {array.shape}; two or more rows and columns are "
            "needed, one of them the target."
        )
    names = _names(array)
    wanted = [names[-1]] if target is None else target_names(names, target)
    for each in wanted:
        if each not in names:
            raise DataError(
                f"{name} has no column {each!r}{did_you_mean(each, names)}; its columns are "
                f"{listed(names)}."
            )
    goals = [names.index(each) for each in wanted]
    features = [k for k in range(len(names)) if k not in goals]
    if not features:
        raise DataError(f"{name} has no column beside its target; add features.")
    values = np.concatenate([part[:, goals] for part in pieces(array)])
    y = _target(values, wanted, name, task, kind)
    return Dataset(
        name=Path(path).stem,
        X=_columns(array, features, kind, name),
        y=y.y,
        feature_names=tuple(names[k] for k in features),
        target_name=", ".join(wanted),
        class_names=y.class_names,
        task=y.task,
        source=f"NumPy file {name}",
    )


def read_npy_rows(path: PathLike, columns: Sequence[Column]) -> FloatArray:
    """Read columns of a .npy file, as for a prediction.

    Where the array has just as many columns as are wanted, those are taken in order: a file of
    features alone has no target that would count.

    Raises
    ------
    DataError
        Naming every column that is missing.
    """
    array, name = opened_npy(path), name_of(path)
    if array.ndim == 2 and array.shape[1] == len(columns):
        return _columns(array, list(range(len(columns))), np.dtype(np.float32), name)
    names = _names(array) if array.ndim == 2 else ()
    missing = missing_columns([each.name for each in columns], names, name)
    if missing is not None:
        raise missing
    wanted = [names.index(each.name) for each in columns]
    return _columns(array, wanted, np.dtype(np.float32), name)


def opened_npy(path: PathLike) -> AnyArray:
    """Open a .npy file as rows in the file, once its header is known to fit its size.

    Raises
    ------
    DataError
        When it is missing, damaged, or not an array of numbers in C order.
    """
    file, size = existing_file(path)
    name = name_of(path)
    if size == 0:
        raise DataError(f"{name} is empty; save the array again with numpy.save.")
    try:
        with file.open("rb") as stream:
            shape, fortran, element = read_header(stream)
            start = stream.tell()
    except (OSError, ValueError, TypeError, SyntaxError, LookupError, OverflowError, struct.error,
            tokenize.TokenError, RecursionError, MemoryError) as error:  # fmt: skip
        raise DataError(
            f"{name} is no readable .npy file ({reason(error)[:200]}); save the array again with "
            "numpy.save."
        ) from error
    if element.hasobject or element.kind not in "biuf":
        raise DataError(
            f"{name} holds dtype {str(element)[:60]}, which is not numbers; convert the array and "
            "save it again."
        )
    if math.prod(shape) * element.itemsize != size - start:
        raise DataError(
            f"{name} has {plural(size - start, 'byte')} of data where its header announces "
            f"{math.prod(shape) * element.itemsize}; save the array again with numpy.save."
        )
    if fortran and len(shape) > 1:
        raise DataError(
            f"{name} is stored column by column; save numpy.ascontiguousarray of the array."
        )
    if 0 in shape or not shape:
        raise DataError(f"{name} holds an array of shape {shape}; give rows of numbers.")
    return FileRows(file, element, shape, start)


def _names(array: AnyArray) -> tuple[str, ...]:
    return tuple(f"column_{k + 1}" for k in range(array.shape[1]))


def _target(
    values: AnyArray,
    names: Sequence[str],
    file: str,
    task: Task | None,
    dtype: np.dtype[np.floating],
) -> Target:
    where = f"{file}, {'column' if len(names) == 1 else 'columns'} {listed(names)}"
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise DataError(f"{where}, row {row}, is not finite; fill in or remove what is not finite.")
    numbers = values.astype(np.float64)
    if len(names) > 1 or task == "labels":
        return target_from_columns(numbers, names, f"{where},", task=task, dtype=dtype)
    column = values[:, 0]
    whole = bool((numbers == np.rint(numbers)).all() and np.abs(numbers).max() < 2**53)
    return target_from_array(
        column.astype(np.int64) if whole else column, where, task=task, dtype=dtype
    )


def _columns(
    array: AnyArray, wanted: list[int], dtype: np.dtype[np.floating], name: str
) -> FloatArray:
    """Copy columns, into memory or, where they are large, into a temporary file."""
    in_order = wanted == list(range(array.shape[1]))
    start = 0

    def converted(part: AnyArray) -> FloatArray:
        nonlocal start
        with np.errstate(over="ignore"):
            block: FloatArray = (part if in_order else part[:, wanted]).astype(dtype)
        if not np.isfinite(block).all():
            row, column = np.argwhere(~np.isfinite(block))[0].tolist()
            raise DataError(
                f"{name}, row {start + row}, column_{wanted[column] + 1}, is "
                f"{part[row, wanted[column]]} where a finite {dtype} belongs; fill in or remove "
                "what is not finite."
            )
        start += len(part)
        return block

    if not too_large(len(array) * len(wanted) * dtype.itemsize):
        return np.concatenate([converted(part) for part in pieces(array)])
    with RowWriter((len(wanted),), dtype) as writer:
        for part in pieces(array):
            writer.write(converted(part))
    return writer.rows()
