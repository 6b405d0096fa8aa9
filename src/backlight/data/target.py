"""What the target is: classes or real numbers.

It takes the target's values, as cells of text or as an array, decides between classification and
regression by a rule stated in `decide_task`, and gives class codes or floating-point numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from backlight.data.messages import listed, plural, quoted
from backlight.data.rows import pieces
from backlight.errors import DataError, UsageError

Task = Literal["classification", "regression", "labels"]

FloatArray: TypeAlias = npt.NDArray[np.floating]
IntArray: TypeAlias = npt.NDArray[np.int64]
AnyArray: TypeAlias = npt.NDArray[np.generic]
TargetArray: TypeAlias = npt.NDArray[np.int64 | np.floating]
FloatType: TypeAlias = type[np.float32] | type[np.float64] | Literal["float32", "float64"]

MAX_WHOLE_NUMBER_CLASSES = 20
"""Whole numbers with more distinct values than this are real numbers, unless the task is given."""

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})


@dataclass(frozen=True)
class Target:
    """A decided target: its values, the names of the classes (None for regression), the task."""

    y: TargetArray
    class_names: tuple[str, ...] | None
    task: Task


def is_missing(cell: str) -> bool:
    """Tell whether a cell says that there is no value.

    Examples
    --------
    >>> is_missing(" NA "), is_missing("0")
    (True, False)
    """
    return cell.strip().casefold() in _MISSING


def number(cell: str) -> float | None:
    """Read a cell as a number, or give None where it is not one.

    ``1_000`` is Python's notation and no number in a table, and so it is refused.

    Examples
    --------
    >>> number("1e3"), number("1_000"), number("one")
    (1000.0, None, None)
    """
    if "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def check_task(task: Task | None) -> None:
    """Refuse a task that is none of the three nor None."""
    if task not in (None, "classification", "regression", "labels"):
        raise UsageError(
            f"task={task!r} is not known; give 'classification', 'regression', 'labels' or None."
        )


def float_type(dtype: FloatType) -> np.dtype[np.floating]:
    """Give the NumPy dtype, which must be float32 or float64.

    Examples
    --------
    >>> float_type("float32")
    dtype('float32')
    """
    if dtype in ("float32", np.float32, np.dtype(np.float32)):
        return np.dtype(np.float32)
    if dtype in ("float64", np.float64, np.dtype(np.float64)):
        return np.dtype(np.float64)
    raise UsageError(f"dtype={dtype!r} is not possible here; give 'float32' or 'float64'.")


def decide_task(values: FloatArray) -> Task:
    """Decide the task for a target of numbers whose task was not given.

    Whole numbers (``3`` as well as ``3.0``) are classes when there are at most
    `MAX_WHOLE_NUMBER_CLASSES` distinct ones and either there are only two, or each occurs twice
    on average.  All other numbers are regression.

    Parameters
    ----------
    values : array (n,), float
        Finite numbers.

    Examples
    --------
    >>> decide_task(np.array([0.0, 1.0, 1.0, 0.0]))
    'classification'
    >>> decide_task(np.array([1.0, 2.0, 3.0, 4.0]))
    'regression'
    """
    if not all(np.array_equal(part, np.rint(part)) for part in pieces(values)):
        return "regression"
    distinct = len(_distinct(values, MAX_WHOLE_NUMBER_CLASSES))
    few = distinct <= MAX_WHOLE_NUMBER_CLASSES and (distinct <= 2 or 2 * distinct <= len(values))
    return "classification" if few else "regression"


def target_from_cells(
    cells: Sequence[str],
    name: str,
    place: Callable[[int], str],
    *,
    task: Task | None,
    dtype: np.dtype[np.floating],
) -> Target:
    """Decide a target that was read as text.

    Text is classes, sorted by code point; numbers follow `decide_task`.  A few texts among mostly
    numbers are more likely a slip than a class, and so they are an error unless
    ``task="classification"``.

    Parameters
    ----------
    cells : sequence of str, length n
        None of them missing.
    name : str
        How messages call the whole target, ``"a.csv, column 'price'"``.
    place : callable
        Gives the words for the place of the i-th cell, ``"a.csv, line 3, column 'price'"``.
    task : {"classification", "regression"} or None
        Overrides the rule.
    dtype : dtype
        For a regression target.

    Raises
    ------
    DataError
        Text where numbers belong, a single class, or as many classes as rows.
    """
    check_task(task)
    parsed = [number(cell) for cell in cells]
    values = np.array([math.nan if value is None else value for value in parsed])
    texts = [i for i, value in enumerate(parsed) if value is None]
    if texts and task != "classification" and (task or 2 * len(texts) < len(cells)):
        remedy = (
            "correct the cell" if task else "correct it, or give task='classification' (--task)"
        )
        raise DataError(
            f"{place(texts[0])} holds the text {quoted(cells[texts[0]])} where a number belongs; "
            f"{remedy}."
        )
    if texts:
        return _text_classes([cell.strip() for cell in cells], name, task)
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        raise DataError(f"{place(int(infinite[0]))} is infinite; correct or remove that row.")
    if (task or decide_task(values)) == "classification":
        return _number_classes(values, name)
    return Target(to_float(values, dtype, lambda i, _: place(i)), None, "regression")


def target_from_array(
    values: AnyArray, name: str, *, task: Task | None, dtype: np.dtype[np.floating]
) -> Target:
    """Decide a target that is an array.

    An array says by its dtype what it holds: text and booleans are classes, integers follow
    `decide_task`, floating-point numbers are regression.  Several columns of booleans, or of
    integers 0 and 1 more or fewer than one of which is set in some row, are labels of which an
    example may have any.  `task` overrides that.

    Parameters
    ----------
    values : array (n,), or (n, 1) for classes, or (n, k) for regression
    name : str
        How messages call the array.

    Raises
    ------
    DataError
        A dtype or shape that cannot be a target, values that are not finite, a single class.
    """
    check_task(task)

    def place(i: int) -> str:
        return f"{name}, row {i}"

    kind = values.dtype.kind
    if kind not in "biufUS":
        raise DataError(
            f"{name} has dtype {values.dtype}, which cannot be a target; "
            "convert it to numbers or to text first."
        )
    if kind in "US":
        if task == "regression":
            raise DataError(f"{name} holds text, which cannot be a regression target; convert it.")
        return _text_classes(_column(_decoded(values, name), name).tolist(), name, task)
    numbers = values.astype(np.float64, copy=False)
    bad = rows_not_finite(numbers)
    if len(bad):
        raise DataError(
            f"{place(int(bad[0]))} is NaN or infinite "
            f"({plural(len(bad), 'such row')}); correct or remove what is not finite."
        )
    several = values.ndim == 2 and values.shape[1] > 1
    if task == "labels" or (task is None and several and kind in "biu" and _are_labels(values)):
        shaped = numbers.reshape(len(numbers), -1)
        names = [str(k) for k in range(shaped.shape[1])]
        return target_from_columns(shaped, names, name, task="labels", dtype=dtype)
    if task is None:
        by_values = kind in "iu" and (values.ndim == 1 or values.shape[1:] == (1,))
        whole = decide_task(numbers.ravel()) if by_values else "regression"
        task = "classification" if kind == "b" else whole
    if task == "regression":
        return Target(to_float(numbers, dtype, lambda i, _: place(i)), None, "regression")
    labels = _column(values, name)
    if kind == "b":
        return _text_classes([str(value) for value in labels.tolist()], name, task)
    if kind in "iu":
        # Not by way of floats: large integers, such as identifiers, must stay apart.
        distinct = _distinct(labels)
        codes = np.searchsorted(distinct, labels)
        return _classes([str(int(value)) for value in distinct.tolist()], codes, name)
    return _number_classes(labels.astype(np.float64), name)


def target_from_classes(values: AnyArray, classes: Sequence[object], name: str) -> Target:
    """Code a target by the classes given, in the order given.

    Raises
    ------
    DataError
        A value that is none of the classes.
    UsageError
        Fewer than two classes, or one twice.
    """
    codes_of = {_plain(value): code for code, value in enumerate(classes)}
    if len(codes_of) < 2 or len(codes_of) != len(classes):
        raise UsageError("classes must hold at least two values, each of them once.")
    if values.dtype.kind not in "biufUS":
        raise DataError(f"{name} has dtype {values.dtype}, which cannot hold classes; convert it.")
    labels = _column(_decoded(values, name), name).tolist()
    codes = np.empty(len(labels), dtype=np.int64)
    for i, label in enumerate(labels):
        code = codes_of.get(label)
        if code is None:
            known = listed([str(value) for value in classes])
            raise DataError(
                f"{name}, row {i}, holds {quoted(str(label))}, which is none of the classes "
                f"{known}; correct it or name all classes."
            )
        codes[i] = code
    return Target(codes, tuple(str(value) for value in classes), "classification")


def target_from_codes(
    codes: IntArray, texts: Sequence[str], name: str, *, task: Task | None
) -> Target:
    """Decide a target of text that is given as codes into its different texts.

    Raises
    ------
    DataError
        A single class, or as many classes as rows.
    """
    if task in ("regression", "labels"):
        raise DataError(f"{name} holds text, and task={task!r} needs numbers; convert it.")
    there = np.unique(codes)
    if task is None and len(there) == len(codes) > MAX_WHOLE_NUMBER_CLASSES:
        raise _all_different(name, len(codes))
    names = sorted(texts[code] for code in there.tolist())
    place = {text: k for k, text in enumerate(names)}
    new = np.array([place.get(text, -1) for text in texts], np.int64)
    return _classes(names, new[codes], name)


def target_from_columns(
    values: FloatArray,
    names: Sequence[str],
    name: str,
    *,
    task: Task | None,
    dtype: np.dtype[np.floating],
) -> Target:
    """Decide a target of several columns of finite numbers.

    Where all are 0 or 1, each column is a label that an example has or has not; otherwise they
    are numbers.

    Raises
    ------
    DataError
        Labels other than 0 and 1.
    """
    labels = bool(((values == 0) | (values == 1)).all())
    if task == "labels" and not labels:
        raise DataError(f"{name} holds numbers other than 0 and 1, which cannot be labels.")
    if task == "classification":
        raise DataError(
            f"{name} is several columns, and classes are one; name one of them, or give "
            "task='labels'."
        )
    y = to_float(values, dtype, lambda row, within: f"{name}, row {row}, {quoted(names[within])},")
    if task == "labels" or (task is None and labels):
        return Target(y, tuple(names), "labels")
    return Target(y, None, "regression")


def rows_not_finite(values: FloatArray) -> npt.NDArray[np.intp]:
    """Give the numbers of the rows that hold a NaN or an infinity.

    Examples
    --------
    >>> rows_not_finite(np.array([[1.0, 2.0], [np.nan, 3.0]]))
    array([1])
    """
    within_a_row = tuple(range(1, values.ndim))
    return np.flatnonzero(~np.isfinite(values).all(axis=within_a_row))


def to_float(
    values: AnyArray, dtype: np.dtype[np.floating], place: Callable[[int, int], str]
) -> FloatArray:
    """Convert finite numbers to `dtype`, and refuse those that it cannot hold.

    `place` gives the words for a row and a place within it, counted in row-major order.

    Raises
    ------
    DataError
        A number beyond the range of `dtype`.
    """
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, dtype=dtype)
    bad = rows_not_finite(converted)
    if len(bad):
        within = int(np.argmin(np.isfinite(converted[bad[0]])))
        raise DataError(
            f"{place(int(bad[0]), within)} holds a number that is too large for {dtype}; "
            "scale the numbers or read them as float64."
        )
    return converted


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _are_labels(values: AnyArray) -> bool:
    numbers = values.astype(np.int64)
    zero_or_one = bool(((numbers == 0) | (numbers == 1)).all())
    return zero_or_one and bool((numbers.sum(axis=1) != 1).any())


def _column(values: AnyArray, name: str) -> AnyArray:
    if values.ndim == 1:
        return values
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    raise DataError(
        f"{name} has shape {values.shape} where one class per row is needed; "
        "turn one-hot rows into classes with y.argmax(axis=1)."
    )


def _decoded(values: AnyArray, name: str) -> AnyArray:
    """Give text as str, checked to be valid Unicode, and other arrays as they are."""
    if values.dtype.kind not in "US":
        return values
    try:
        texts = [item.decode() if isinstance(item, bytes) else str(item) for item in values.ravel()]
        for text in texts:
            text.encode()  # a lone surrogate could be neither printed nor stored
    except ValueError as error:  # UnicodeError is one
        raise DataError(f"{name} holds text that is not valid Unicode; store it anew.") from error
    return np.array(texts, dtype=np.str_).reshape(values.shape)


def _text_classes(labels: list[str], name: str, task: Task | None) -> Target:
    # Not an array of str: one long text among many would make every element as long.
    distinct = sorted(set(labels))
    if task is None and len(distinct) == len(labels) > MAX_WHOLE_NUMBER_CLASSES:
        raise _all_different(name, len(labels))
    code_of = {text: code for code, text in enumerate(distinct)}
    return _classes(distinct, np.array([code_of[text] for text in labels], np.int64), name)


def _all_different(name: str, rows: int) -> DataError:
    return DataError(
        f"{name} holds a different text in each of the {rows} rows, as names or identifiers do; "
        "choose another target, or give task='classification' (--task)."
    )


def _distinct(values: AnyArray, enough: int | None = None) -> AnyArray:
    """Return the different values in order, at least `enough` + 1 of them if there are more.

    A long array is gone through a piece at a time, which takes no memory of its size.
    """
    found = np.unique(values[:0])
    for part in pieces(values):
        found = np.unique(np.concatenate([found, np.unique(part)]))
        if enough is not None and len(found) > enough:
            break
    return found


def number_name(value: float) -> str:
    """Give the name of a class that is a number.

    Examples
    --------
    >>> number_name(2.0), number_name(0.5)
    ('2', '0.5')
    """
    return str(int(value)) if value.is_integer() else repr(value)


def _number_classes(values: FloatArray, name: str) -> Target:
    distinct = _distinct(values)
    codes = np.searchsorted(distinct, values)
    names = [number_name(value) for value in distinct.tolist()]
    return _classes(names, codes, name)


def _classes(class_names: list[str], codes: npt.NDArray[np.integer], name: str) -> Target:
    if len(class_names) == 1:
        raise DataError(
            f"{name} holds a single class, {quoted(class_names[0])}, in every row; "
            "add rows of another class or choose another target."
        )
    return Target(
        codes.reshape(-1).astype(np.int64, copy=False), tuple(class_names), "classification"
    )
