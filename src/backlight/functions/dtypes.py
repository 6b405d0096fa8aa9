"""Data types: conversion, promotion, and what a dtype can hold."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.errors import DtypeError, UsageError
from backlight.functions.operands import (
    DtypeLike,
    Value,
    check_device,
    dtype_of,
    operand,
)
from backlight.graph.primitive import Dtype
from backlight.ops.convert import CAST
from backlight.ops.rules import promote
from backlight.tensor import Tensor, record, weak_dtype


def astype(
    x: Value, dtype: DtypeLike, /, *, copy: builtins.bool = True, device: str | None = None
) -> Tensor:
    """Return a tensor in another dtype.

    A gradient passes between floating-point dtypes and stops at all others.

    Parameters
    ----------
    x : Tensor
    dtype : dtype
    copy : bool
        Without meaning here, since tensors never change.
    device : {None, "cpu"}

    Examples
    --------
    >>> import backlight as bl
    >>> bl.astype(bl.tensor([1, 2]), bl.float64)
    Tensor([1., 2.])
    """
    check_device("astype", device)
    made, target = operand("astype", x), dtype_of(dtype)
    return made if made.dtype == target else record(CAST, (made,), {"dtype": target})


def can_cast(from_: Tensor | DtypeLike, to: DtypeLike, /) -> builtins.bool:
    """Return whether promotion turns one dtype into another.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.can_cast(bl.float32, bl.float64), bl.can_cast(bl.int32, bl.float64)
    (True, False)
    """
    source = from_.dtype if isinstance(from_, Tensor) else dtype_of(from_)
    target = dtype_of(to)
    try:
        return builtins.bool(promote("can_cast", [source, target]) == target)
    except DtypeError:
        return False


def result_type(*arrays_and_dtypes: Value | DtypeLike) -> Dtype:
    """Return the dtype that tensors, dtypes and Python scalars have together.

    Python scalars are weak: they take the dtype of what stands beside them.

    Raises
    ------
    DtypeError
        When they do not mix: Booleans, integers and floating-point numbers are three kinds.
    UsageError
        When there is no tensor or dtype.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.result_type(bl.tensor([1.0]), bl.float32, 2)
    dtype('float64')
    """
    strong: list[Dtype] = []
    weak: list[int | float] = []
    for each in arrays_and_dtypes:
        if isinstance(each, bool | int | float) and not isinstance(each, np.generic):
            weak.append(each)
        elif isinstance(each, Tensor | np.ndarray | np.generic):
            strong.append(each.dtype)
        else:
            strong.append(dtype_of(each))
    if not strong:
        raise UsageError("result_type needs at least one tensor or dtype.")
    return promote("result_type", [*strong, *(weak_dtype(each, strong) for each in weak)])


@dataclass(frozen=True)
class FloatInfo:
    """What a floating-point dtype can hold.

    Attributes
    ----------
    bits : int
    eps : float
        The distance from 1 to the next larger number.
    max, min : float
        The largest and the smallest (most negative) finite number.
    smallest_normal : float
        The smallest positive number of full precision.
    dtype : numpy.dtype
    """

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Dtype


@dataclass(frozen=True)
class IntegerInfo:
    """What an integer dtype can hold.

    Attributes
    ----------
    bits : int
    max, min : int
    dtype : numpy.dtype
    """

    bits: int
    max: int
    min: int
    dtype: Dtype


def finfo(type: Tensor | DtypeLike, /) -> FloatInfo:
    """Return what a floating-point dtype can hold.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.finfo(bl.float64).eps
    2.220446049250313e-16
    """
    dtype = _dtype(type)
    if dtype.kind != "f":
        raise DtypeError(f"finfo describes floating-point dtypes, not {dtype}; see bl.iinfo.")
    found = np.finfo(dtype)
    return FloatInfo(
        bits=int(found.bits),
        eps=float(found.eps),
        max=float(found.max),
        min=float(found.min),
        smallest_normal=float(found.smallest_normal),
        dtype=dtype,
    )


def iinfo(type: Tensor | DtypeLike, /) -> IntegerInfo:
    """Return what an integer dtype can hold.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.iinfo(bl.int8).max
    127
    """
    dtype = _dtype(type)
    if dtype.kind not in "iu":
        raise DtypeError(f"iinfo describes integer dtypes, not {dtype}; see bl.finfo.")
    found = np.iinfo(dtype)
    return IntegerInfo(int(found.bits), int(found.max), int(found.min), dtype)


def _dtype(of: Any) -> Dtype:
    return dtype_of(of.dtype if isinstance(of, Tensor | np.ndarray) else of)


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "",
    "numeric": "iuf",
}


def isdtype(dtype: DtypeLike, kind: DtypeLike | tuple[DtypeLike, ...]) -> builtins.bool:
    """Return whether a dtype is of a kind.

    Parameters
    ----------
    dtype : dtype
    kind : str, dtype or tuple of these
        ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``,
        ``"real floating"``, ``"complex floating"`` (none is) or ``"numeric"``.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.isdtype(bl.float32, "real floating"), bl.isdtype(bl.int8, ("bool", bl.int16))
    (True, False)
    """
    found = dtype_of(dtype)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    for each in kinds:
        if isinstance(each, str):
            if each not in _KINDS:
                raise UsageError(f"isdtype: {each!r} is not a kind; choose from {list(_KINDS)}.")
            if found.kind in _KINDS[each]:
                return True
        elif found == dtype_of(each):
            return True
    return False
