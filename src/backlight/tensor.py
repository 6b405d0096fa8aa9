"""Tensors: a node of a computation and, when it is known, its value.

Arithmetic on tensors appends nodes.  When every operand has a value the new node is evaluated at
once by the primitive's reference rule; while a function is being traced the value is simply
absent.  The same code serves both.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar, Token
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from backlight.errors import (
    BacklightWarning,
    DtypeError,
    GradientError,
    ShapeError,
    TracedValueError,
    UsageError,
)
from backlight.graph.primitive import (
    NO_ATTRIBUTES,
    Array,
    Attributes,
    Dtype,
    Kind,
    Primitive,
    Shape,
    Spec,
)
from backlight.graph.scope import Scope, current_scope
from backlight.ops.arithmetic import ADD, DIV, FLOOR_DIVIDE, MUL, NEG, POW, REMAINDER, SUB
from backlight.ops.compose import getitem, matmul, permute
from backlight.ops.convert import DETACH
from backlight.ops.leaf import CONSTANT, INPUT, PARAMETER, Literal
from backlight.ops.logical import (
    BITWISE_AND,
    BITWISE_INVERT,
    BITWISE_LEFT_SHIFT,
    BITWISE_OR,
    BITWISE_RIGHT_SHIFT,
    BITWISE_XOR,
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    NOT_EQUAL,
)
from backlight.ops.move import PERMUTE
from backlight.ops.piecewise import ABS
from backlight.source import PACKAGE, Location, Site, assigned_name, call_site, location

if TYPE_CHECKING:
    from types import ModuleType

_serials = itertools.count()
_quiet: ContextVar[bool] = ContextVar("backlight_quiet", default=False)
_known_good: set[tuple[Any, ...]] = set()
_MOST_KNOWN = 8192
FLOAT64 = np.dtype(np.float64)
FLOAT32 = np.dtype(np.float32)
_EXACT, _SHORT = 2.0**53, 2.0**24  # integers below are exact
INT64 = np.dtype(np.int64)
BOOL = np.dtype(bool)
_SCALARS = frozenset((bool, int, float))
_CHECKED_BY_NUMPY = frozenset((Kind.ELEMENTWISE, Kind.REDUCE, Kind.CONTRACT))
_CHECKED_ONCE = frozenset((Kind.MOVE, Kind.INDEX, Kind.SCAN))


class quiet:  # noqa: N801 (used like a function: ``with quiet()``)
    """Do not warn of non-finite values inside the block (a backward pass warns once itself)."""

    __slots__ = ("_numpy", "_token")

    def __enter__(self) -> None:
        self._token: Token[bool] = _quiet.set(True)
        self._numpy = np.errstate(all="ignore")
        self._numpy.__enter__()

    def __exit__(self, *error: object) -> None:
        self._numpy.__exit__(None, None, None)
        _quiet.reset(self._token)


class Tensor:
    """A node of a computation and, when it is known, its value.

    Tensors are made by `param`, `tensor` and by operations on other tensors.

    Attributes
    ----------
    primitive : Primitive
        The operation that made it.
    inputs : tuple of Tensor
        Its operands.
    attributes : mapping
        The operation's static arguments.
    shape : tuple of int
    dtype : numpy.dtype
    serial : int
        Tensors made later have a larger one: sorting by it is a topological order.
    tracked : bool
        Whether a gradient can flow from it to a parameter.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param(1.0, name="w")
    >>> loss = (w * 3.0 - 2.0) ** 2
    >>> loss.backward()
    >>> float(w.grad)
    6.0
    """

    __slots__ = (
        "__weakref__",
        "_assigned",
        "_given_name",
        "_gradient",
        "_memo",
        "_swept",
        "_value",
        "attributes",
        "dtype",
        "inputs",
        "primitive",
        "scope",
        "serial",
        "shape",
        "site",
        "tracked",
    )
    __array_ufunc__ = None
    __array_priority__ = 1000

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Tensor, ...],
        attributes: Attributes,
        shape: Shape,
        dtype: Dtype,
        value: Any,
        tracked: bool,
        site: Site | Location | None = None,
        name: str | None = None,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.attributes = attributes
        self.shape = shape
        self.dtype = dtype
        self._value = value
        self.tracked = tracked
        self._gradient: Array | None = None
        self._swept: Any = None
        self._given_name = name
        self._assigned = -1
        self._memo: Any = None
        self.scope: Scope | None = current_scope()
        self.serial = next(_serials)
        if site is None:
            frame = sys._getframe(1)
            while frame.f_code.co_filename.startswith(PACKAGE):
                back = frame.f_back
                if back is None:
                    break
                frame = back
            site = (frame.f_code, frame.f_lasti)
        self.site: Site | Location | None = site

    # ── recording ────────────────────────────────────────────────────────────────────────────

    def record(
        self, primitive: Primitive, inputs: Sequence[Any], attributes: Attributes = NO_ATTRIBUTES
    ) -> Tensor:
        """Record an operation on tensors, arrays and Python scalars."""
        return record(primitive, inputs, attributes)

    # ── what it is ───────────────────────────────────────────────────────────────────────────

    @property
    def value(self) -> Array:
        """The value as a read-only NumPy array."""
        if self._value is None:
            self._no_value("its value was asked for")
        return _read_only(self._value)

    @property
    def known_value(self) -> Any:
        """The value, or None while the function is being traced."""
        return self._value

    @property
    def grad(self) -> Array | None:
        """The gradient of the last `backward`, or None when none was computed."""
        if self._swept is not None:
            self.grad = _read_only(self._swept)
        return self._gradient

    @grad.setter
    def grad(self, gradient: Array | None) -> None:
        self._gradient = gradient
        self._swept = None

    def keep_gradient(self, gradient: Any) -> None:
        """Keep a gradient as a backward pass found it; `grad` makes an array of it when asked."""
        self._gradient = None
        self._swept = gradient

    @property
    def spec(self) -> Spec:
        """Shape and dtype together."""
        return Spec(self.shape, self.dtype)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def device(self) -> str:
        """Always ``"cpu"``."""
        return "cpu"

    @property
    def constant(self) -> float | None:
        """The number, when the tensor is one number written in the program, else None."""
        if self.primitive is CONSTANT and self.shape == ():
            return float(self._value)
        return None

    @property
    def name(self) -> str | None:
        """The name that the user gave or assigned the result to, or None.

        A tensor made inside a function of Backlight carries the name only if the function
        returned it.
        """
        if self._given_name is not None:
            return self._given_name or None
        if self.primitive is CONSTANT or self.site is None or isinstance(self.site, Location):
            return None
        scope = self.scope
        while scope is not None and scope.site == self.site:
            if scope.result != self.serial:
                return None
            scope = scope.parent
        return assigned_name(self.site)

    @name.setter
    def name(self, name: str | None) -> None:
        self._given_name = name

    @property
    def location(self) -> Location | None:
        """The line of the user's source that recorded it."""
        if self.site is None or isinstance(self.site, Location):
            return self.site
        return location(self.site)

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix."""
        if self.ndim != 2:
            raise ShapeError(f".T needs two axes, not {self.ndim}; use .mT or bl.permute_dims.")
        return record(PERMUTE, (self,), {"axes": (1, 0)})

    @property
    def mT(self) -> Tensor:
        """The tensor with its last two axes exchanged."""
        if self.ndim < 2:
            raise ShapeError(f".mT needs at least two axes, and this tensor has shape {self.shape}")
        last = self.ndim - 1
        result: Tensor = permute(self, (*range(last - 1), last, last - 1))
        return result

    def item(self) -> float | int | bool:
        """Return the one entry as a Python number."""
        if self.size != 1:
            raise ShapeError(f".item() needs exactly one entry, and the shape is {self.shape}.")
        number: float | int | bool = self.value.item()
        return number

    def detach(self) -> Tensor:
        """Return the same value as a constant: no gradient flows through."""
        return record(DETACH, (self,))

    def assign(self, value: Any) -> None:
        """Give a parameter a new value, as a training step does.

        Computations recorded before keep their old numbers and can no longer be differentiated;
        record them again.

        Raises
        ------
        UsageError
            For a tensor that is not a leaf.
        ShapeError
            When the shape differs.
        """
        if self.primitive.kind is not Kind.LEAF or self.primitive is CONSTANT:
            raise UsageError("Only a parameter or input can be assigned; this is a result.")
        array = np.array(value, dtype=self.dtype)
        if array.shape != self.shape:
            raise ShapeError(
                f"{self.name or 'The parameter'} has shape {self.shape} and cannot take a value "
                f"of shape {array.shape}."
            )
        array.flags.writeable = False
        self._value = array
        self.grad = None
        self._assigned = next(_serials)

    @property
    def assigned(self) -> int:
        """Serial number of the last `assign`; -1 when there was none."""
        return self._assigned

    def backward(self, seed: Any = None, *, accumulate: bool = False) -> None:
        """Run the backward pass and leave a gradient on every tensor between here and the leaves.

        Parameters
        ----------
        seed : array_like, optional
            The gradient to start with, of this tensor's shape; 1 for a scalar.
        accumulate : bool
            Add to the gradients that are there instead of replacing them.

        Raises
        ------
        GradientError
            When this tensor is not a scalar and no seed is given, or depends on no parameter.
        """
        _backward()(self, seed, accumulate=accumulate)

    # ── conversions ──────────────────────────────────────────────────────────────────────────

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.tracked:
            raise GradientError(
                f"{self.name or 'This tensor'} carries a gradient, and turning it into an array "
                f"would lose it silently; use .value, or .detach() first."
            )
        return np.array(self.value, dtype=dtype, copy=copy)

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        import backlight  # import here: the namespace is made of all layers

        if api_version not in (None, backlight.__array_api_version__):
            raise UsageError(
                f"Backlight has version {backlight.__array_api_version__} of the array API "
                f"standard, not {api_version}; ask for that one, or for none."
            )
        return backlight

    def __reduce__(self) -> tuple[Any, ...]:
        # Copying slot by slot would make a leaf that is not the one that the graph knows.
        if self.primitive.kind is not Kind.LEAF:
            raise UsageError(
                f"{self.name or 'This tensor'} is the result of {self.primitive.name} and part of "
                f"a graph, so it is neither copied nor pickled; keep its .value, or copy the "
                f"parameters that it was computed from."
            )
        name = self.name or ""
        return _copied_leaf, (self.primitive.name, np.array(self.value), name, self.location)

    def __dlpack__(self, **options: Any) -> Any:
        if self.tracked:
            raise GradientError("A tensor that carries a gradient is exported by .value.")
        return self.value.copy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, number = self.value.__dlpack_device__()
        return int(kind), int(number)

    def to_device(self, device: str, /, *, stream: Any = None) -> Tensor:
        """Return the tensor itself; the only device is ``"cpu"``."""
        if device != "cpu":
            raise UsageError(f"There is no device {device!r}; Backlight runs on 'cpu'.")
        return self

    def _no_value(self, what: str) -> NoReturn:
        place = self.location
        where = f" (recorded at {place}: {place.text})" if place is not None else ""
        raise TracedValueError(
            f"A function is being traced and {what}, but {self.name or 'this tensor'} has no "
            f"value yet{where}; choose between branches with bl.where, or keep the decision "
            f"outside the traced function."
        )

    def __bool__(self) -> bool:
        if self._value is None:
            self._no_value("branches on a tensor")
        if self.size != 1:
            raise ShapeError(
                f"The truth of a tensor of shape {self.shape} is ambiguous; use bl.any or bl.all."
            )
        return bool(self._value)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DtypeError(f"Only an integer tensor is an index, not {self.dtype}.")
        return int(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("A scalar tensor has no length.")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        name = f", name={self._given_name!r}" if self._given_name else ""
        if self._value is None:
            return f"Tensor(traced {self.spec}{name})"
        text = np.array2string(
            self.value, precision=6, separator=", ", threshold=50, prefix="Tensor("
        )
        dtype = "" if self.dtype in (FLOAT64, INT64, BOOL) else f", dtype={self.dtype}"
        return f"Tensor({text}{dtype}{name})"

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.shape != ():
            raise ShapeError(
                f"A format such as {spec!r} is for one number, and the shape is {self.shape}; "
                f"format single entries, or print the tensor without one."
            )
        return format(self.item(), spec)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        from backlight.report.display import tensor_display  # import here: a notebook's question

        return tensor_display(self)

    # ── operators ────────────────────────────────────────────────────────────────────────────

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Tensor:
        return record(ADD, (self, other))

    def __radd__(self, other: Any) -> Tensor:
        return record(ADD, (other, self))

    def __sub__(self, other: Any) -> Tensor:
        return record(SUB, (self, other))

    def __rsub__(self, other: Any) -> Tensor:
        return record(SUB, (other, self))

    def __mul__(self, other: Any) -> Tensor:
        return record(MUL, (self, other))

    def __rmul__(self, other: Any) -> Tensor:
        return record(MUL, (other, self))

    def __truediv__(self, other: Any) -> Tensor:
        return record(DIV, (self, other))

    def __rtruediv__(self, other: Any) -> Tensor:
        return record(DIV, (other, self))

    def __floordiv__(self, other: Any) -> Tensor:
        return record(FLOOR_DIVIDE, (self, other))

    def __rfloordiv__(self, other: Any) -> Tensor:
        return record(FLOOR_DIVIDE, (other, self))

    def __mod__(self, other: Any) -> Tensor:
        return record(REMAINDER, (self, other))

    def __rmod__(self, other: Any) -> Tensor:
        return record(REMAINDER, (other, self))

    def __pow__(self, other: Any) -> Tensor:
        return record(POW, (self, other))

    def __rpow__(self, other: Any) -> Tensor:
        return record(POW, (other, self))

    def __matmul__(self, other: Any) -> Tensor:
        start = next(_serials)
        return _name_only(matmul(self, as_tensor(other)), start)

    def __rmatmul__(self, other: Any) -> Tensor:
        start = next(_serials)
        return _name_only(matmul(as_tensor(other), self), start)

    def __neg__(self) -> Tensor:
        return record(NEG, (self,))

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return record(ABS, (self,))

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]  # entry by entry, as arrays do
        return record(EQUAL, (self, other))

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]  # entry by entry, as arrays do
        return record(NOT_EQUAL, (self, other))

    def __lt__(self, other: Any) -> Tensor:
        return record(LESS, (self, other))

    def __le__(self, other: Any) -> Tensor:
        return record(LESS_EQUAL, (self, other))

    def __gt__(self, other: Any) -> Tensor:
        return record(GREATER, (self, other))

    def __ge__(self, other: Any) -> Tensor:
        return record(GREATER_EQUAL, (self, other))

    def __and__(self, other: Any) -> Tensor:
        return record(BITWISE_AND, (self, other))

    def __rand__(self, other: Any) -> Tensor:
        return record(BITWISE_AND, (other, self))

    def __or__(self, other: Any) -> Tensor:
        return record(BITWISE_OR, (self, other))

    def __ror__(self, other: Any) -> Tensor:
        return record(BITWISE_OR, (other, self))

    def __xor__(self, other: Any) -> Tensor:
        return record(BITWISE_XOR, (self, other))

    def __rxor__(self, other: Any) -> Tensor:
        return record(BITWISE_XOR, (other, self))

    def __lshift__(self, other: Any) -> Tensor:
        return record(BITWISE_LEFT_SHIFT, (self, other))

    def __rlshift__(self, other: Any) -> Tensor:
        return record(BITWISE_LEFT_SHIFT, (other, self))

    def __rshift__(self, other: Any) -> Tensor:
        return record(BITWISE_RIGHT_SHIFT, (self, other))

    def __rrshift__(self, other: Any) -> Tensor:
        return record(BITWISE_RIGHT_SHIFT, (other, self))

    def __invert__(self) -> Tensor:
        return record(BITWISE_INVERT, (self,))

    def __getitem__(self, key: Any) -> Tensor:
        start = next(_serials)
        return _name_only(getitem(self, key), start)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise UsageError(
            "A tensor is never changed in place, because the backward pass needs its value; "
            "build a new one with bl.where or bl.concat."
        )


@cache
def _backward() -> Callable[..., None]:
    from backlight.differentiate.backward import backward  # import here: it needs tensors

    return backward


def _read_only(value: Any) -> Array:
    """Return a value as an array that cannot be written to."""
    array: Array = np.asarray(value)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def record(
    primitive: Primitive, operands: Sequence[Any], attributes: Attributes = NO_ATTRIBUTES
) -> Tensor:
    """Append one operation: check it, evaluate it if every operand has a value, and return it.

    Parameters
    ----------
    primitive : Primitive
    operands : sequence of Tensor, array or Python scalar
        Python scalars take the dtype of the tensors beside them.
    attributes : mapping
        Static arguments.

    Raises
    ------
    ShapeError, DtypeError
        When the operands do not fit.
    """
    for operand in operands:
        if type(operand) is not Tensor:
            operands = _coerce(operands, call_site())
            break
    inputs: tuple[Tensor, ...] = tuple(operands)
    count = len(inputs)
    if count == 1:  # one and two are written out, because nearly all operations have as many
        (first,) = inputs
        values: tuple[Any, ...] = (first._value,)
        known = first._value is not None
        tracked = first.tracked
        key: tuple[Any, ...] = (primitive, first.dtype)
    elif count == 2:
        first, second = inputs
        values = (first._value, second._value)
        known = values[0] is not None and values[1] is not None
        tracked = first.tracked or second.tracked
        key = (primitive, first.dtype, second.dtype)
    else:
        values = tuple([each._value for each in inputs])
        known = all(value is not None for value in values)
        tracked = any(each.tracked for each in inputs)
        key = (primitive, *[each.dtype for each in inputs])
    if known:
        value = _evaluated(primitive, inputs, values, attributes, key)
        shape, dtype = value.shape, value.dtype
    else:
        value = None
        shape, dtype = primitive.specify(*[each.spec for each in inputs], **attributes)
    if tracked:
        tracked = primitive.differentiable and dtype.kind == "f"
    return Tensor(primitive, inputs, attributes, shape, dtype, value, tracked)


def _evaluated(
    primitive: Primitive,
    inputs: tuple[Tensor, ...],
    values: tuple[Any, ...],
    attributes: Attributes,
    key: tuple[Any, ...],
) -> Any:
    """Evaluate an operation by its reference rule; ``key`` is the primitive and the dtypes."""
    # NumPy itself checks the shapes of most kinds; for all else it is enough to check once.
    kind = primitive.kind
    if kind in _CHECKED_ONCE:
        key = (*key, *[each.shape for each in inputs], *attributes.items())
    spec = None
    if key not in _known_good:
        spec = primitive.specify(*[each.spec for each in inputs], **attributes)
    try:
        careful = primitive.careful
        if careful is not None and careful(*values):
            value = _evaluate_carefully(primitive, values, attributes)
        elif attributes:
            value = primitive.evaluate(np, *values, **attributes)
        else:
            value = primitive.evaluate(np, *values)
    except ValueError:
        primitive.specify(*[each.spec for each in inputs], **attributes)
        raise
    if spec is not None:
        if value.shape != spec.shape or value.dtype != spec.dtype:
            raise ShapeError(
                f"{primitive.name}: its shape rule says {spec} and its value is "
                f"{Spec(value.shape, value.dtype)}; the record is wrong."
            )
        if kind in _CHECKED_BY_NUMPY or kind in _CHECKED_ONCE:
            if len(_known_good) >= _MOST_KNOWN:
                _known_good.clear()
            _known_good.add(key)
    return value


def _name_only(result: Tensor, start: int) -> Tensor:
    """Leave the user's name to the result, not to the steps recorded since ``start`` for it."""
    if result.serial == start + 1:  # it is the only step
        return result
    waiting = [each for each in result.inputs if each.serial > start]
    while waiting:
        each = waiting.pop()
        each.name = ""
        waiting.extend(operand for operand in each.inputs if operand.serial > start)
    return result


@np.errstate(all="raise")
def _evaluate_strictly(
    primitive: Primitive, values: tuple[Any, ...], attributes: Attributes
) -> Any:
    return primitive.evaluate(np, *values, **attributes)


def _evaluate_carefully(
    primitive: Primitive, values: tuple[Any, ...], attributes: Attributes
) -> Any:
    """Evaluate an operation that can leave the finite numbers, and say so when it does."""
    if _quiet.get():
        return primitive.evaluate(np, *values, **attributes)
    try:
        return _evaluate_strictly(primitive, values, attributes)
    except FloatingPointError as error:
        with np.errstate(all="ignore"):
            value = primitive.evaluate(np, *values, **attributes)
        if not np.all(np.isfinite(value)):
            _warn_nonfinite(primitive, value, str(error))
        return value


def _warn_nonfinite(primitive: Primitive, value: Any, reason: str) -> None:
    found = np.asarray(value)[~np.isfinite(value)].reshape(-1)[0]
    domain = f" (defined for {primitive.domain})" if primitive.domain else ""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    warnings.warn_explicit(
        f"{primitive.name}{domain} gave {found}: {reason.partition(' encountered')[0]}; "
        f"bl.find_nonfinite names the first such node of a loss.",
        BacklightWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
    )


def _coerce(operands: Sequence[Any], site: Site | None) -> list[Any]:
    """Make every operand a tensor; Python scalars take the dtype of the tensors beside them."""
    found: list[Any] = []
    dtypes: list[Dtype] = []
    weak: list[int] = []
    for each in operands:
        if type(each) in _SCALARS:
            weak.append(len(found))
        else:
            each = as_tensor(each)
            dtypes.append(each.dtype)
        found.append(each)
    for position in weak:
        found[position] = literal(found[position], weak_dtype(found[position], dtypes), site)
    return found


def weak_dtype(scalar: bool | int | float, dtypes: Sequence[Dtype]) -> Dtype:
    """Return the dtype that a Python scalar takes beside tensors of given dtypes."""
    if len(dtypes) == 1 and dtypes[0].kind == "f" and not isinstance(scalar, bool):
        return dtypes[0]
    if isinstance(scalar, bool):
        return BOOL
    kinds = "iuf" if isinstance(scalar, int) else "f"
    for dtype in dtypes:
        if dtype.kind in kinds:
            return dtype
    return INT64 if isinstance(scalar, int) else FLOAT64


def literal(value: Any, dtype: Dtype | None = None, site: Site | None = None) -> Tensor:
    """Return a constant written in the program.

    Parameters
    ----------
    value : array_like
    dtype : numpy.dtype, optional
        The dtype to give it; that of the value otherwise.
    site : Site, optional
        Where it stands in the user's code; looked up otherwise.

    Raises
    ------
    DtypeError
        When the value is no number or array of numbers, or does not fit in the dtype.
    """
    # A NumPy scalar is several times quicker in scalar arithmetic than an array without axes.
    kind = type(value)
    if (kind is float or kind is int) and (
        (dtype is FLOAT64 and -_EXACT < value < _EXACT)
        or (dtype is FLOAT32 and -_SHORT < value < _SHORT)
    ):
        stored: Any = dtype.type(value)
        return Tensor(CONSTANT, (), {"value": Literal(stored)}, (), dtype, stored, False, site)
    try:
        array = np.array(value, dtype=dtype)
    except (OverflowError, ValueError, TypeError):
        raise DtypeError(
            f"{str(value)[:40]} is no number or rectangular array of numbers"
            f"{'' if dtype is None else f' that fits in {dtype}'}."
        ) from None
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DtypeError(
            f"A tensor holds Booleans, integers or floating-point numbers of at most 64 bits, not "
            f"{array.dtype if array.dtype.kind != 'O' else type(value).__name__}."
        )
    stored = array[()] if array.ndim == 0 else array
    return Tensor(
        CONSTANT, (), {"value": Literal(stored)}, array.shape, array.dtype, stored, False, site
    )


def as_tensor(value: Any) -> Tensor:
    """Return a tensor unchanged, and anything else as a constant."""
    return value if isinstance(value, Tensor) else literal(value)


def leaf(
    primitive: Primitive,
    spec: Spec,
    value: Any = None,
    name: str | None = None,
    site: Site | Location | None = None,
) -> Tensor:
    """Return a new leaf of a given kind, with a value or (while tracing) without."""
    attributes = {"shape": spec.shape, "dtype": spec.dtype}
    tracked = primitive is PARAMETER and spec.dtype.kind == "f"
    return Tensor(primitive, (), attributes, spec.shape, spec.dtype, value, tracked, site, name)


def _copied_leaf(kind: str, value: Array, name: str, site: Location | None) -> Tensor:
    """Return a leaf of its own, without a gradient, for `copy` and `pickle`."""
    if kind == CONSTANT.name:
        return literal(value)
    array = _owned(value, None, "A tensor")
    made = PARAMETER if kind == PARAMETER.name else INPUT
    return leaf(made, Spec(array.shape, array.dtype), array, name, site)


def _owned(value: Any, dtype: Any, what: str) -> Any:
    """Return a private read-only copy of a value, a NumPy scalar when it has no axes."""
    if isinstance(value, Tensor):
        value = value.value
    try:
        array = np.array(value, dtype=dtype)
    except (ValueError, TypeError, OverflowError):
        raise DtypeError(
            f"{what} needs a rectangular array of numbers that fits its dtype."
        ) from None
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DtypeError(
            f"{what} holds Booleans, integers or floating-point numbers of at most 64 bits, "
            f"not {array.dtype if array.dtype.kind != 'O' else type(value).__name__}."
        )
    array.flags.writeable = False
    return array[()] if array.ndim == 0 else array


def param(value: Any, name: str | None = None, *, dtype: Any = None) -> Tensor:
    """Make a leaf that gradients flow to.

    Parameters
    ----------
    value : array_like of float
        The starting value; Python floats become float64, Python integers too.
    name : str, optional
        What derivations call it; the variable that it is assigned to otherwise.
    dtype : optional
        A floating-point dtype.

    Raises
    ------
    DtypeError
        When the value is not floating-point.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param([1.0, 2.0], name="w")
    >>> w
    Tensor([1., 2.], name='w')
    """
    array = _owned(value, dtype, "A parameter")
    if array.dtype.kind != "f":
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            array = np.float64(array)
        else:
            raise DtypeError(
                f"A parameter must be floating-point to carry a gradient, not {array.dtype}; "
                f"pass dtype=float."
            )
    return leaf(PARAMETER, Spec(array.shape, array.dtype), array, name)


def tensor(value: Any, name: str | None = None, *, dtype: Any = None) -> Tensor:
    """Make a constant leaf: data, targets.

    Parameters
    ----------
    value : array_like of bool, int or float
        It is copied, so that later changes to it do not matter.
    name : str, optional
        What derivations call it; the variable that it is assigned to otherwise.
    dtype : optional
        The dtype to convert to.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.tensor([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    array = _owned(value, dtype, "A tensor")
    return leaf(INPUT, Spec(array.shape, array.dtype), array, name)
