"""A user's own operation with its own derivative: `primitive`.

It becomes a record like any other, so it evaluates, differentiates, explains, draws and can be
typed in formulas.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.graph.notation import Form, function
from backlight.graph.primitive import (
    REGISTRY,
    Kind,
    Kink,
    Partial,
    Primitive,
    Spec,
    Transpose,
    always,
)
from backlight.ops.piecewise import ZEROS_LIKE
from backlight.ops.rules import accept, broadcast, promote
from backlight.tensor import Tensor, as_tensor, record

_USERS: set[str] = set()


class CustomOperation:
    """A user's operation, called like a function of tensors.

    Attributes
    ----------
    record : Primitive
        Its record in the registry.
    """

    def __init__(self, primitive: Primitive) -> None:
        self.primitive = primitive
        self.__name__ = primitive.name
        self.__doc__ = primitive.description

    def __call__(self, *operands: Any, **attributes: Any) -> Tensor:
        """Record the operation."""
        if not operands:
            raise UsageError(f"{self.__name__} needs at least one operand.")
        for each in operands:
            if isinstance(each, (list, tuple)):  # tensors in it would lose their gradients
                raise DtypeError(
                    f"{self.__name__} takes tensors, arrays and numbers, not a "
                    f"{type(each).__name__}; wrap it in bl.tensor first."
                )
        return record(self.primitive, (as_tensor(operands[0]), *operands[1:]), attributes)

    def __repr__(self) -> str:
        return f"<operation {self.__name__}>"


def primitive(
    name: str,
    evaluate: Callable[..., Any],
    *,
    partials: Sequence[Partial | None] | None = None,
    vjp: Callable[..., Sequence[Any]] | None = None,
    inputs: int | None = None,
    specify: Callable[..., Spec] | None = None,
    formula: Form | str | None = None,
    domain: str = "",
    kink: Kink | None = None,
    description: str = "",
    pure: bool = False,
    to_onnx: Callable[..., Any] | None = None,
) -> CustomOperation:
    """Add an operation with its own derivative.

    Parameters
    ----------
    name : str
        A name that no built-in primitive has.
    evaluate : callable
        ``evaluate(xp, *arrays, **attributes)`` computes the value with the array namespace ``xp``.
    partials : sequence of callable, optional
        For an elementwise operation: ``partial(output, *inputs)`` for each input builds the local
        derivative out of tensor operations (or returns a number).  None where none flows.
    vjp : callable, optional
        For any other operation: ``vjp(upstream, output, *inputs)`` returns the contribution to
        each input as tensors (or None), one per input.
    inputs : int, optional
        The number of inputs, needed with ``vjp``.
    specify : callable, optional
        ``specify(*specs, **attributes)`` returns the result's `Spec`.  By default an elementwise
        operation broadcasts, and another one is tried on zeros of the operands' shapes.
    formula : Form or str, optional
        How it is written; a text is used as a function's name.
    domain, description : str
        For people.
    kink : Kink, optional
        Where it has no derivative.
    pure : bool
        The same operands always give the same value and nothing else happens.  Compiled programs
        may then share its results and compute those of constants ahead of time.
    to_onnx : callable, optional
        ``to_onnx(emitter, *operands, **attributes)`` writes it as ONNX nodes, as in
        ``lambda e, x: x * e.node("Sigmoid", x)``; without it `backlight.io.save_onnx` refuses it.

    Returns
    -------
    CustomOperation
        Callable on tensors.

    Raises
    ------
    UsageError
        When the name is taken, or not exactly one of ``partials`` and ``vjp`` is given.

    Examples
    --------
    >>> import backlight as bl
    >>> cube = bl.primitive("cube", lambda xp, x: x * x * x, partials=[lambda y, x: 3.0 * x**2])
    >>> x = bl.param(2.0, name="x")
    >>> cube(x).backward()
    >>> float(x.grad)
    12.0
    """
    if (partials is None) == (vjp is None):
        raise UsageError(f"{name} needs its derivative: give either partials= or vjp=.")
    if vjp is not None and inputs is None:
        raise UsageError(f"{name} with vjp= also needs inputs=, the number of its inputs.")
    if not name.isidentifier():
        raise UsageError(f"{name!r} is no name for an operation; use letters, digits and _.")
    if name in REGISTRY.view():
        if name not in _USERS:
            raise UsageError(f"{name} is a built-in primitive; choose another name.")
        REGISTRY.remove(name)  # running a notebook's cell again defines it again
    count = len(partials) if partials is not None else int(inputs or 0)
    counted = _array_of(name, evaluate)
    form = function(formula) if isinstance(formula, str) else formula
    rule = specify or (_elementwise(name, count) if vjp is None else _tried(name, counted, count))
    made = Primitive(
        name,
        Kind.ELEMENTWISE if partials is not None else Kind.CUSTOM,
        rule,
        counted,
        partials=None if partials is None else tuple(partials),
        transposes=None if vjp is None else _transposes(name, vjp, count),
        formula=form,
        domain=domain,
        kink=kink,
        careful=always if domain else None,
        description=description,
        pure=pure,
        to_onnx=to_onnx,
    )
    _USERS.add(name)
    return CustomOperation(REGISTRY.add(made))


def _array_of(name: str, evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """Let a user's rule return a Python number, and name the operation when it returns none."""
    if not callable(evaluate):
        raise UsageError(f"{name} needs a function that evaluates it, not {evaluate!r}.")

    @functools.wraps(evaluate)
    def run(xp: Any, *arrays: Any, **attributes: Any) -> Any:
        value = evaluate(xp, *arrays, **attributes)
        if isinstance(value, (bool, int, float)):
            value = np.asarray(value)
        if not hasattr(value, "dtype"):
            raise DtypeError(
                f"{name} gave a value of type {type(value).__name__}; its evaluate function must "
                f"return an array or a number."
            )
        return value

    return run


def _elementwise(name: str, count: int) -> Callable[..., Spec]:
    def specify(*specs: Spec, **attributes: Any) -> Spec:
        _check_count(name, specs, count)
        for spec in specs:
            accept(name, spec.dtype, "numeric")
        dtype = promote(name, [spec.dtype for spec in specs])
        return Spec(broadcast(name, [spec.shape for spec in specs]), dtype)

    return specify


def _tried(name: str, evaluate: Callable[..., Any], count: int) -> Callable[..., Spec]:
    def specify(*specs: Spec, **attributes: Any) -> Spec:
        _check_count(name, specs, count)
        with np.errstate(all="ignore"):
            value = evaluate(
                np, *[np.zeros(spec.shape, spec.dtype) for spec in specs], **attributes
            )
        if value.dtype.kind not in "biuf":
            raise DtypeError(f"{name} gave {value.dtype}, which a tensor cannot hold.")
        return Spec(value.shape, value.dtype)

    return specify


def _check_count(name: str, specs: Sequence[Spec], count: int) -> None:
    if len(specs) != count:
        raise ShapeError(f"{name} takes {count} operand{'s'[: count != 1]}, not {len(specs)}.")


def _transposes(name: str, vjp: Callable[..., Sequence[Any]], count: int) -> tuple[Transpose, ...]:
    def rule(position: int) -> Transpose:
        def transpose(upstream: Any, output: Any, *inputs: Any, **attributes: Any) -> Any:
            contributions = vjp(upstream, output, *inputs, **attributes)
            if not isinstance(contributions, (tuple, list)) or len(contributions) != count:
                raise ShapeError(
                    f"The vjp of {name} must return one contribution for each of its {count} "
                    f"inputs, in a tuple."
                )
            found = contributions[position]
            return ZEROS_LIKE(inputs[position]) if found is None else as_tensor(found)

        return transpose

    return tuple(rule(position) for position in range(count))
