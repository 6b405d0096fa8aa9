"""The user's own arrays, checked and made into a `Dataset`.

It takes anything NumPy can make an array of, and gives a data set or one sentence that says which
row and column is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from backlight.data.dataset import Dataset
from backlight.data.messages import plural
from backlight.data.rows import FileRows, from_memmap, map_rows, pieces, too_large
from backlight.data.sparse import dense_rows, is_sparse
from backlight.data.target import (
    AnyArray,
    FloatArray,
    FloatType,
    Task,
    float_type,
    target_from_array,
    target_from_classes,
    to_float,
)
from backlight.errors import DataError, UsageError


def as_dataset(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    task: Task | None = None,
    classes: Sequence[object] | None = None,
    feature_names: Sequence[str] | None = None,
    target_name: str = "y",
    name: str = "arrays",
    source: str = "arrays given by the program",
    image_shape: tuple[int, int] | None = None,
    dtype: FloatType = "float32",
) -> Dataset:
    """Check a pair of arrays and make a `Dataset` of it.

    Parameters
    ----------
    X : array-like (n, ...), real numbers
        Two or more dimensions, at least one row, everything finite.  A sparse matrix of SciPy
        becomes dense.  Memory maps, and sparse matrices, of more than 64 MiB are left in a file.
    y : array-like (n,), (n, 1) or (n, k)
        Text and booleans are classes.  Integers are classes when they are few (see
        `backlight.data.target.decide_task`).  Floating-point numbers are regression.  Classes
        are coded 0, 1, … in sorted order.
    task : {"classification", "regression"}, optional
        Overrides that rule.
    classes : sequence, optional
        All classes in the order of their codes, also those that `y` lacks; implies
        classification.  With ``classes=range(10)`` the label 7 keeps the code 7.
    feature_names : sequence of str, optional
        One a feature; ``x0``, ``x1``, … by default.
    dtype : {"float32", "float64"}
        Of the features, and of a regression target.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        Too few dimensions, no row, no feature, lengths that differ, a dtype that is not numeric,
        a NaN or infinity (the first is named), a single class, a value outside `classes`.
    UsageError
        An unknown `task` or `dtype`, or `classes` for a regression.

    Examples
    --------
    >>> as_dataset([[0.0, 1.0], [2.0, 3.0]], ["no", "yes"])
    Dataset 'arrays': 2 rows × 2 features (float32), target 'y' with 2 classes ('no', 'yes')
    """
    kind = float_type(dtype)
    features = checked_features(_array(X, "X"), "X", kind)
    values = _array(y, target_name)
    if values.ndim < 1 or len(values) != len(features):
        raise DataError(
            f"X has {plural(len(features), 'row')} and {target_name} has shape {values.shape}; "
            "give one target to each row."
        )
    if classes is not None:
        if task == "regression":
            raise UsageError("classes has no meaning with task='regression'; give one of the two.")
        target = target_from_classes(values, classes, target_name)
    else:
        target = target_from_array(values, target_name, task=task, dtype=kind)
    return Dataset(
        name=name,
        X=features,
        y=target.y,
        feature_names=numbered_names(features) if feature_names is None else tuple(feature_names),
        target_name=target_name,
        class_names=target.class_names,
        task=target.task,
        source=source,
        image_shape=image_shape,
    )


def checked_features(X: AnyArray, name: str, dtype: np.dtype[np.floating]) -> FloatArray:
    """Return `X` as finite floating-point numbers, or say what is wrong with it.

    Raises
    ------
    DataError
        As for `as_dataset`.
    """
    if X.dtype.kind not in "biuf":
        raise DataError(
            f"{name} has dtype {X.dtype}, which is not numeric; convert its columns to numbers "
            "first."
        )
    if X.ndim < 2:
        raise DataError(
            f"{name} has shape {X.shape}; give two or more dimensions, one row an example "
            f"(a single feature is {name}.reshape(-1, 1))."
        )
    if X.size == 0:
        raise DataError(
            f"{name} has shape {X.shape}, which holds no numbers; give at least one row and one "
            "feature."
        )
    if isinstance(X, FileRows):
        return _checked_in_file(X, name, dtype)
    finite = np.isfinite(X)
    if not finite.all():
        first = np.unravel_index(int(np.argmin(finite)), X.shape)
        count = int(X.size - np.count_nonzero(finite))
        raise DataError(
            f"{name}, row {first[0]}, column {', '.join(str(i) for i in first[1:])}, is "
            f"{X[first]} ({plural(count, 'value')} in all that {'is' if count == 1 else 'are'} "
            "not finite); fill in or remove what is not finite."
        )

    def place(row: int, within: int) -> str:
        columns = ", ".join(str(i) for i in np.unravel_index(within, X.shape[1:]))
        return f"{name}, row {row}, column {columns},"

    return to_float(X, dtype, place)


def _checked_in_file(X: FileRows, name: str, dtype: np.dtype[np.floating]) -> FloatArray:
    """Do the same with rows in a file, a few megabytes at a time."""
    start = 0

    def check(part: AnyArray) -> FloatArray:
        nonlocal start
        finite = np.isfinite(part)
        if not finite.all():
            row = start + int(np.argwhere(~finite)[0][0])
            raise DataError(f"{name}, row {row}, is not finite; fill in or remove such rows.")
        made = to_float(part, dtype, lambda row, _: f"{name}, row {start + row},")
        start += len(part)
        return made

    if X.dtype == dtype:
        for part in pieces(X):
            check(part)
        return X
    return map_rows(X, check, dtype)


def numbered_names(X: FloatArray) -> tuple[str, ...]:
    """Name the features of a row ``x0``, ``x1``, … in row-major order."""
    return tuple(f"x{i}" for i in range(int(np.prod(X.shape[1:]))))


def _array(values: npt.ArrayLike, name: str) -> AnyArray:
    if is_sparse(values):
        return dense_rows(values, name)
    if isinstance(values, FileRows):
        return values
    if isinstance(values, np.memmap) and too_large(values.nbytes):
        held = from_memmap(values)
        if held is not None:
            return held
    try:
        return cast(AnyArray, np.asarray(values))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{name} cannot be made into an array (its rows may differ in length); give rows of "
            "equal length."
        ) from error
