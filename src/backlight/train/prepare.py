"""What is given to training, checked and brought into form: features, targets, weights.

It takes arrays or a `Dataset` and gives `Examples` in the network's dtype, or one sentence that
says what does not fit and where.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backlight.data import Dataset
from backlight.data.messages import plural
from backlight.data.rows import (
    FileRows,
    from_memmap,
    map_rows,
    pieces,
    take_rows,
    too_large,
)
from backlight.data.sparse import dense_rows, is_sparse
from backlight.errors import DataError, DtypeError, UsageError
from backlight.graph.primitive import Array, Dtype, Shape, Spec
from backlight.ops.random import permutation
from backlight.train.batches import SPLIT_STREAM, Positions
from backlight.train.objective import Objective

if TYPE_CHECKING:  # what reads tables is loaded when there is one
    from backlight.data import Preprocessor


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples in the form in which a network sees them.

    Attributes
    ----------
    X : ndarray of shape (n, ...)
        In the network's dtype.
    y : ndarray of shape (n, ...)
        int64 class numbers, or in the network's dtype.
    weights : ndarray of shape (n,) or None
    """

    X: Array
    y: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """X, y and the weights if there are any."""
        return (self.X, self.y) if self.weights is None else (self.X, self.y, self.weights)

    def specs(self, length: int) -> tuple[Spec, ...]:
        """Return the specs of a batch of a given length."""
        return tuple(Spec((length, *each.shape[1:]), each.dtype) for each in self.arrays)

    def take(self, rows: Any) -> Examples:
        """Return some of the examples: positions or a slice."""
        weights = None if self.weights is None else self.weights[rows]
        return Examples(self.X[rows], self.y[rows], weights)

    def checksum(self) -> int:
        """Return a number that changes when an entry does, to notice data changed meanwhile."""
        found = 0
        for each in self.arrays:
            for part in pieces(each):
                flat = np.ascontiguousarray(part).reshape(-1)
                found = zlib.crc32(flat.data.cast("B"), found)
        return found


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that training sees.

    Attributes
    ----------
    train : Examples
    validation : Examples or None
    dataset : Dataset or None
        Where the training examples come from, when they were given as one.
    split : float or None
        The share of the given examples that was set aside for validation.
    preprocessing : Preprocessor or None
        What was learnt from the training examples of a table and done to all of them.
    """

    train: Examples
    validation: Examples | None = None
    dataset: Dataset | None = None
    split: float | None = None
    preprocessing: Preprocessor | None = None


def prepare(
    data: Any,
    *,
    validation: Any = None,
    sample_weights: Any = None,
    objective: Objective,
    dtype: Dtype,
    seed: int,
) -> Prepared:
    """Check and convert what `fit` was given.

    Parameters
    ----------
    data : (X, y), (frame, "target") or Dataset
        Of a frame, and of a `Dataset` that was read from a table, what the columns hold is
        scaled, encoded and filled in as `backlight.data.Preprocessor` learns it from the
        training examples alone.  Memory maps and other data in files stay there.
    validation : (X, y), (frame, "target"), Dataset, float or None
        A float is the share of the examples that is set aside.
    sample_weights : array_like (n,), optional
    objective : Objective
        Says which targets it wants.
    dtype : numpy.dtype
        Of the network.
    seed : int
        For the split.

    Raises
    ------
    DataError, DtypeError, UsageError
        Naming the array and the place.
    """
    data = _framed(data, None)
    table = data if isinstance(data, Dataset) and data.columns is not None else None
    dataset = data if isinstance(data, Dataset) else None
    if table is not None:
        return _prepare_table(table, validation, sample_weights, objective, dtype, seed)
    X, y = _pair(data, "data")
    train = _examples(X, y, "", objective, dtype)
    if sample_weights is not None:
        weights = _weights(sample_weights, len(train), dtype)
        train = Examples(train.X, train.y, weights)
    if validation is None:
        prepared = Prepared(train, None, dataset)
    elif isinstance(validation, (float, int)):
        share = _share(validation)
        kept, aside = split(train, share, seed)
        prepared = Prepared(kept, Examples(aside.X, aside.y), dataset, share)
    else:
        prepared = Prepared(train, _held(validation, train, objective, dtype), dataset)
    _check_classes(prepared.train.y, objective)
    return prepared


def _held(validation: Any, train: Examples, objective: Objective, dtype: Dtype) -> Examples:
    Xv, yv = _pair(validation, "validation")
    held = _examples(Xv, yv, "validation ", objective, dtype)
    if held.X.shape[1:] != train.X.shape[1:] or held.y.shape[1:] != train.y.shape[1:]:
        raise DataError(
            f"The validation examples have shapes {held.X.shape[1:]} and {held.y.shape[1:]} "
            f"and the training examples {train.X.shape[1:]} and {train.y.shape[1:]}; "
            f"give both in one form."
        )
    return held


def _framed(data: Any, like: Dataset | None) -> Any:
    """Make a `Dataset` of a pair of a data frame and the name of its target."""
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        return data
    from backlight.data import from_frame, is_frame

    frame, target = data
    if not is_frame(frame):
        return data
    names = isinstance(target, str) or (
        isinstance(target, (list, tuple)) and all(isinstance(each, str) for each in target)
    )
    if not names:
        raise UsageError(
            "With a data frame, give the name of the target column, as in (frame, 'price'), or "
            "several names in a list."
        )
    return from_frame(frame, target, like=like)


def _prepare_table(
    table: Dataset,
    validation: Any,
    sample_weights: Any,
    objective: Objective,
    dtype: Dtype,
    seed: int,
) -> Prepared:
    """Learn the preprocessing of a table from its training examples, and apply it to all."""
    assert table.columns is not None
    share = None
    train, held = (table.X, table.y), None
    weights = sample_weights
    if isinstance(validation, (float, int)):
        share = _share(validation)
        kept, aside = _split_rows(len(table), share, seed)
        train, held = (
            (take_rows(table.X, rows), np.asarray(table.y)[rows]) for rows in (kept, aside)
        )
        if weights is not None:
            weights = _weights(weights, len(table), dtype)[kept]
    elif validation is not None:
        other = _framed(validation, table)
        if isinstance(other, Dataset) and other.columns is not None:
            _check_same_columns(table, other)
        held = _pair(other, "validation")
    from backlight.data import Preprocessor

    learnt = Preprocessor.fit(train[0], table.columns)
    examples = _examples(learnt.apply(train[0]), train[1], "", objective, dtype)
    if weights is not None:
        weights = _weights(weights, len(examples), dtype)
        examples = Examples(examples.X, examples.y, weights)
    seen = None
    if held is not None:
        coded = held[0] if isinstance(held[0], FileRows) else np.asarray(held[0])
        seen = _held((learnt.apply(coded), held[1]), examples, objective, dtype)
    _check_classes(examples.y, objective)
    return Prepared(examples, seen, table, share, learnt)


def _check_same_columns(table: Dataset, other: Dataset) -> None:
    mine = [(each.name, each.kind, each.categories) for each in table.columns or ()]
    if mine != [(each.name, each.kind, each.categories) for each in other.columns or ()]:
        raise DataError(
            "The validation table has other columns or categories than the training table; split "
            "one table in two with Dataset.split, or give a share such as validation=0.2."
        )


def split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Set aside a share of the examples, drawn by a seed; both parts keep their order."""
    kept, aside = _split_rows(len(examples), share, seed)
    return _select(examples, kept), _select(examples, aside)


def _split_rows(n: int, share: float, seed: int) -> tuple[Positions, Positions]:
    count = min(max(round(n * share), 1), n - 1)
    if n < 2:
        raise DataError("One example cannot be split into training and validation; give more.")
    chosen = np.zeros(n, bool)
    chosen[permutation(seed, SPLIT_STREAM, 0, n)[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _select(examples: Examples, rows: Positions) -> Examples:
    """Return some examples, in a file where they are in one."""
    weights = None if examples.weights is None else examples.weights[rows]
    return Examples(take_rows(examples.X, rows), take_rows(examples.y, rows), weights)


def _share(validation: float) -> float:
    share = float(validation)
    if isinstance(validation, bool) or not 0.0 < share < 1.0:
        raise UsageError(
            f"validation={validation!r} must be a share between 0 and 1, a pair (X, y) or a "
            f"Dataset."
        )
    return share


def _pair(data: Any, what: str) -> tuple[Any, Any]:
    if isinstance(data, Dataset):
        return data.X, data.y
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return data[0], data[1]
    raise UsageError(
        f"{what} must be a pair (X, y) or a Dataset, not "
        f"{f'{len(data)} things' if isinstance(data, (tuple, list)) else type(data).__name__}."
    )


def _array(values: Any, name: str) -> Array:
    try:
        array = _in_file(values)
        if array is None:
            array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name} cannot be made into an array; give rows of equal length."
        ) from error
    if array.dtype.kind not in "biuf":
        raise DtypeError(
            f"{name} has dtype {array.dtype} and must hold numbers; bl.data.as_dataset turns text "
            f"labels into class numbers."
        )
    if array.ndim == 0:
        raise DataError(f"{name} is a single number; give one row for each example.")
    return array


def _in_file(values: Any) -> Array | None:
    """Return large arrays in files as such, so that they are read a few rows at a time."""
    if is_sparse(values):
        return dense_rows(values)
    if isinstance(values, FileRows):
        return values
    if isinstance(values, np.memmap) and too_large(values.nbytes):
        return from_memmap(values)
    return None


def _finite(array: Array, name: str) -> None:
    if array.dtype.kind != "f":
        return
    if isinstance(array, FileRows) and all(np.isfinite(part).all() for part in pieces(array)):
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    first = np.unravel_index(int(np.argmin(finite)), array.shape)
    place = f"row {first[0]}" + "".join(f", column {k}" for k in first[1:])
    raise DataError(
        f"{name}, {place}, is {array[first]} ("
        f"{plural(int(array.size - np.count_nonzero(finite)), 'value')} in all not finite); fill "
        f"in or remove what is not finite."
    )


def _examples(X: Any, y: Any, part: str, objective: Objective, dtype: Dtype) -> Examples:
    features, targets = _array(X, f"{part}X"), np.asarray(_array(y, f"{part}y"))
    if len(features) == 0:
        raise DataError(f"{part}X has no rows; give at least one example.")
    if len(features) != len(targets):
        raise DataError(
            f"{part}X has {plural(len(features), 'row')} and {part}y has {len(targets)}; give one "
            f"target to each row."
        )
    _finite(features, f"{part}X")
    _finite(targets, f"{part}y")
    with np.errstate(over="ignore"):
        converted = _as(features, dtype)
    if converted.dtype != features.dtype:
        _finite(converted, f"{part}X as {dtype}")
    return Examples(converted, _targets(targets, f"{part}y", objective, dtype))


def _as(array: Array, dtype: Dtype) -> Array:
    """Return an array in a dtype, in a file where it is in one."""
    if isinstance(array, FileRows):
        same = array.dtype == dtype and array.dtype.isnative
        return array if same else map_rows(array, lambda rows: rows.astype(dtype), np.dtype(dtype))
    return np.ascontiguousarray(array, dtype=dtype)


def _targets(y: Array, name: str, objective: Objective, dtype: Dtype) -> Array:
    integer = y.dtype.kind in "biu"
    if objective.targets == "classes" and not integer and _flat(y.shape):
        raise DtypeError(
            f"{name} has dtype {y.dtype}, and {objective.name} needs class numbers; convert it "
            f"with y.astype(int)."
        )
    if objective.targets == "binary":
        allowed = (y == 0) | (y == 1) if integer else (y >= 0) & (y <= 1)
        if not allowed.all():
            first = np.unravel_index(int(np.argmin(allowed)), y.shape)
            raise DataError(
                f"{name}, row {first[0]}, is {y[first]}, and {objective.name} takes targets from "
                f"0 to 1; for several classes use bl.nn.cross_entropy."
            )
    if integer and objective.targets in ("classes", "unknown"):
        if y.dtype.kind == "u" and y.size and y.max() > np.iinfo(np.int64).max:
            raise DataError(f"{name} holds {y.max()}, which does not fit in int64.")
        classes = np.ascontiguousarray(y, dtype=np.int64)
        return classes.reshape(-1) if _flat(y.shape) and objective.accuracy else classes
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(y, dtype=dtype)
    _finite(converted, f"{name} as {dtype}")
    return converted


def _flat(shape: Shape) -> bool:
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


def _check_classes(y: Array, objective: Objective) -> None:
    """Refuse training on one class only, which teaches a network nothing."""
    if objective.accuracy is None or (y.ndim > 1 and y.shape[1] != 1):
        return
    if y.size and (y == y.reshape(-1)[0]).all():
        raise DataError(
            f"Every training example is of class {y.reshape(-1)[0]:g}, so there is nothing to tell "
            f"apart; give examples of at least two classes."
        )


def check_outputs(y: Array, prediction: Spec, name: str, objective: Objective) -> None:
    """Raise when a class number has no output.

    Raises
    ------
    DataError
        Naming the class and the number of outputs.
    """
    if objective.targets != "classes" or y.dtype.kind != "i" or not prediction.shape:
        return
    outputs = prediction.shape[-1]
    wrong = (y < 0) | (y >= outputs)
    if not wrong.any():
        return
    first = np.unravel_index(int(np.argmax(wrong)), y.shape)
    if y[first] < 0:
        raise DataError(
            f"{name}, row {first[0]}, is class {y[first]}, and class numbers begin at 0; renumber "
            f"them."
        )
    raise DataError(
        f"{name}, row {first[0]}, is class {y[first]}, and the network has "
        f"{plural(outputs, 'output')}, for the classes 0 to {outputs - 1}; give its last layer at "
        f"least {int(y.max()) + 1} outputs."
    )


def _weights(values: Any, n: int, dtype: Dtype) -> Array:
    weights = _array(values, "sample_weights")
    if weights.shape != (n,):
        raise DataError(
            f"sample_weights has shape {weights.shape} and there are {plural(n, 'example')}; give "
            f"one weight to each."
        )
    _finite(weights, "sample_weights")
    if (weights < 0).any():
        raise DataError(
            f"sample_weights, row {int(np.argmax(weights < 0))}, is negative; weights are 0 or "
            f"more."
        )
    if not (weights > 0).any():
        raise DataError("sample_weights are all 0, so nothing would be learnt; give some weight.")
    return np.ascontiguousarray(weights, dtype=dtype)
