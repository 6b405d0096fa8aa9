"""What the functions take: tensors, NumPy arrays (as constants) and Python scalars.

The helpers here turn an argument into a tensor, or refuse it with a sentence that says what to do,
and record a primitive on arguments that were checked.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from backlight.errors import DtypeError, TracedValueError, UsageError
from backlight.functions.composite import composite
from backlight.graph.primitive import Array, Dtype, Primitive, Shape
from backlight.ops.compose import reshape
from backlight.ops.convert import CAST
from backlight.ops.move import SLICE
from backlight.ops.reduce import kept_shape
from backlight.ops.rules import axes_of
from backlight.tensor import INT64, Tensor, literal, record

Value: TypeAlias = Tensor | Array | bool | int | float
"""A tensor, a NumPy array, which is taken as a constant, or a Python scalar."""

Axis: TypeAlias = int | tuple[int, ...] | None
"""One axis, several, or all of them (None); negative ones count from the last."""

DtypeLike: TypeAlias = Any
"""Whatever `numpy.dtype` takes: ``bl.float32``, ``"float32"``, ``float``."""

_UINT64 = np.dtype(np.uint64)
_ACCEPTED = (Tensor, np.ndarray, np.generic, bool, int, float)


def check_operand(name: str, value: object) -> None:
    """Raise unless a value is a tensor, an array or a Python scalar.

    Parameters
    ----------
    name : str
        The function that the value was given to.
    value : object

    Raises
    ------
    DtypeError
        For a list, a string and everything else.
    """
    if not isinstance(value, _ACCEPTED):
        raise DtypeError(
            f"{name} takes tensors, arrays and numbers, not a {type(value).__name__}; "
            f"wrap it in bl.tensor first."
        )


def operand(name: str, value: Value) -> Tensor:
    """Return an argument as a tensor: itself, or a constant.

    Parameters
    ----------
    name : str
        The function that the value was given to.
    value : Tensor, array or Python scalar
    """
    if type(value) is Tensor:
        return value
    check_operand(name, value)
    return value if isinstance(value, Tensor) else literal(value)


def call(primitive: Primitive, *values: Value) -> Tensor:
    """Record an elementwise primitive on arguments; Python scalars are weak."""
    for each in values:
        if type(each) is not Tensor:
            check_operand(primitive.name, each)
    return record(primitive, values)


def reduced(primitive: Primitive, x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    """Record a reduction over axes, which stay with size 1 if ``keepdims``."""
    if not keepdims:
        return record(primitive, (x,), {"axes": axes})
    return composite(primitive.name)(_reduced_and_kept)(primitive, x, axes)


def _reduced_and_kept(primitive: Primitive, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    result = record(primitive, (x,), {"axes": axes})
    kept: Tensor = reshape(result, kept_shape(x.shape, axes))
    return kept


def one_axis(name: str, axis: int, ndim: int) -> int:
    """Return one axis counted from the front, or raise ``ShapeError``."""
    return axes_of(name, integer(name, axis), ndim)[0]


def several_axes(name: str, axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return axes counted from the front, in order, or raise ``ShapeError``."""
    if axis is None:
        return tuple(range(ndim))
    listed = axis if isinstance(axis, tuple | list) else (axis,)
    return axes_of(name, tuple(integer(name, each) for each in listed), ndim)


def integer(name: str, number: Any) -> int:
    """Return a Python integer, or raise ``DtypeError`` with the function's name."""
    try:
        return operator.index(number)
    except TypeError:
        raise DtypeError(
            f"{name} takes an integer here, not {number!r}; axes and sizes are integers."
        ) from None


def shape_of(name: str, shape: int | Sequence[int]) -> Shape:
    """Return a shape as a tuple of Python integers."""
    if isinstance(shape, tuple | list):
        return tuple(integer(name, each) for each in shape)
    return (integer(name, shape),)


def known(name: str, x: Tensor, instead: str) -> Array:
    """Return the value of a tensor, or raise because its function is being traced.

    Parameters
    ----------
    name : str
        The function that needs the value.
    x : Tensor
    instead : str
        What to do instead, as the end of a sentence.
    """
    if x.known_value is None:
        raise TracedValueError(
            f"{name} needs the value of {x.name or 'its operand'}, which has none while a "
            f"function is being traced; {instead}."
        )
    return x.value


def dtype_of(dtype: DtypeLike) -> Dtype:
    """Return one of the eleven dtypes that tensors have, or raise ``DtypeError``."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"{dtype!r} is not a dtype; use for example bl.float32.") from None
    if found.kind not in "biuf" or found.itemsize > 8 or (found.kind, found.itemsize) == ("f", 2):
        raise DtypeError(
            f"Tensors hold Booleans, integers of 8 to 64 bits, float32 or float64, not {found}."
        )
    return found


def check_device(name: str, device: str | None) -> None:
    """Raise unless the device is the only one."""
    if device not in (None, "cpu"):
        raise UsageError(f"{name}: there is no device {device!r}; Backlight runs on 'cpu'.")


def constant(value: Any, dtype: DtypeLike = None) -> Tensor:
    """Return a constant of the program."""
    return literal(value, None if dtype is None else dtype_of(dtype))


def part(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    """Return the entries from start to stop along one axis."""
    starts = tuple(start if k == axis else 0 for k in range(x.ndim))
    stops = tuple(stop if k == axis else n for k, n in enumerate(x.shape))
    return record(SLICE, (x,), {"starts": starts, "stops": stops, "steps": (1,) * x.ndim})


def tuple_of(given: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return one integer or several as a tuple."""
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def accumulator(own: Dtype, asked: DtypeLike) -> Dtype:
    """Return the dtype to add up in: the one asked for, or 64 bits for integers."""
    if asked is not None:
        return dtype_of(asked)
    return {"i": INT64, "u": _UINT64}.get(own.kind, own)


def converted(x: Tensor, dtype: Dtype) -> Tensor:
    """Convert to a dtype, or return the operand when it has it already."""
    return x if x.dtype == dtype else record(CAST, (x,), {"dtype": dtype})
