"""What a primitive's record writes its ONNX nodes with: `Emitter`, and the `Symbol`s it gives.

An emitter collects nodes and constants and checks, from the operators' own schemas, that ONNX
has them for the data types in question; `save` makes a file of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backlight.errors import MissingRuleError
from backlight.graph.node import Node
from backlight.graph.primitive import Dtype
from backlight.io.onnx.extent import Extent, Size

OPSET = 18
"""The version of the operators (2022): the first with all that is used here."""
ML_OPSET = 3
"""The version of the operators for tables, such as ``LabelEncoder``."""
ML = "ai.onnx.ml"
INT64 = np.dtype(np.int64)
BOOL = np.dtype(bool)
_LAST = np.iinfo(np.int64).max
_NAMES = {"float32": "float", "float64": "double", "float16": "float16", "str": "string"}


@dataclass(frozen=True, eq=False)
class Symbol:
    """A value of the model that is being written.

    Attributes
    ----------
    emitter : Emitter
    name : str
    dtype : numpy.dtype
    shape : tuple of int or Extent, or None
        None for what stands between the nodes of one primitive.
    """

    emitter: Emitter
    name: str
    dtype: Dtype
    shape: tuple[Size, ...] | None = None

    def __add__(self, other: Symbol | float) -> Symbol:
        return self.emitter.node("Add", self, other)

    def __sub__(self, other: Symbol | float) -> Symbol:
        return self.emitter.node("Sub", self, other)

    def __mul__(self, other: Symbol | float) -> Symbol:
        return self.emitter.node("Mul", self, other)

    def __truediv__(self, other: Symbol | float) -> Symbol:
        return self.emitter.node("Div", self, other)

    def __lt__(self, other: Symbol | float) -> Symbol:
        return self.emitter.node("Less", self, other, gives=BOOL)

    def equals(self, other: Symbol | float) -> Symbol:
        """Whether it equals another value."""
        return self.emitter.node("Equal", self, other, gives=BOOL)


@dataclass(frozen=True)
class Written:
    """One node: an operator of a domain on named values; ``result`` of its results is wanted."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]
    domain: str
    result: int = 0


class Emitter:
    """Collects the nodes and constants of a model.

    Attributes
    ----------
    nodes : list of Written
    constants : dict of str to ndarray
    rows_of : Symbol or None
        An input whose first axis is the rows of any number.
    """

    def __init__(self) -> None:
        self.nodes: list[Written] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self.rows_of: Symbol | None = None
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._here: Node | None = None
        self._count = 0
        self._rows: Symbol | None = None

    def begin(self, node: Node) -> None:
        """Say which node of the graph is written from now on."""
        self._here, self._count = node, 0

    def node(
        self,
        operator: str,
        *operands: Symbol | float | npt.NDArray[Any] | None,
        gives: Dtype | None = None,
        domain: str = "",
        result: int = 0,
        **attributes: Any,
    ) -> Symbol:
        """Write one node and return its result.

        Parameters
        ----------
        operator : str
            Its name in ONNX.
        *operands : Symbol, number, array or None
            A number gets the data type of the first symbol; None leaves an optional operand out.
        gives : numpy.dtype, optional
            The data type of the result; by default that of the first symbol.
        domain : str
            Of the operator.
        result : int
            Which of its results is wanted.
        **attributes
            Those of the operator.

        Raises
        ------
        MissingRuleError
            When ONNX does not have the operator for these data types.
        """
        first = next(each for each in operands if isinstance(each, Symbol))
        symbols = [self._symbol(each, first.dtype) for each in operands]
        self._check(operator, domain, [None if s is None else s.dtype for s in symbols])
        made = Symbol(self, self._fresh(), gives or first.dtype)
        inputs = tuple("" if s is None else s.name for s in symbols)
        self.nodes.append(Written(operator, inputs, made.name, attributes, domain, result))
        return made

    def _symbol(self, operand: Symbol | float | npt.NDArray[Any] | None, dtype: Dtype) -> Any:
        if operand is None or isinstance(operand, Symbol):
            return operand
        array = operand if isinstance(operand, np.ndarray) else np.asarray(operand, dtype)
        return self.constant(array)

    def _check(self, operator: str, domain: str, dtypes: Sequence[Dtype | None]) -> None:
        from onnx import defs

        schema = defs.get_schema(operator, ML_OPSET if domain else OPSET, domain)
        for position, dtype in enumerate(dtypes):
            formal = schema.inputs[min(position, len(schema.inputs) - 1)]
            if dtype is not None and f"tensor({_type_name(dtype)})" not in formal.types:
                raise MissingRuleError(
                    f"{self._place()} cannot be written as ONNX, because its operator {operator} "
                    f"does not take {dtype}; convert with bl.astype(x, …) before it."
                )

    def _place(self) -> str:
        here = self._here
        if here is None:
            return "The model"
        line = f", {here.location}" if here.location is not None else ""
        return f"The primitive {here.primitive.name} (node {here.name}{line})"

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._here.name if self._here is not None else 'input'}/{self._count}"

    def finish(self, made: Symbol, name: str, dtype: Dtype, shape: tuple[Size, ...]) -> Symbol:
        """Give the result of the node that was begun its name."""
        last = self.nodes[-1] if self.nodes else None
        if last is None or last.output != made.name or "/" not in made.name:
            made = self.node("Identity", made)
            last = self.nodes[-1]
        self.nodes[-1] = replace(last, output=name)
        return Symbol(self, name, dtype, shape)

    def refuse(self, why: str) -> MissingRuleError:
        """Return the error for a node that ONNX has no form for."""
        return MissingRuleError(f"{self._place()} cannot be written as ONNX: {why}.")

    # ---- what records are written with -----------------------------------------------------------

    def constant(self, value: npt.ArrayLike, name: str = "") -> Symbol:
        """Return a constant; small ones that are equal are stored once."""
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 16 else None
        if name == "" and key is not None and key in self._known:
            return Symbol(self, self._known[key], array.dtype, array.shape)
        name = name or self._fresh()
        self.constants[name] = array
        if key is not None:
            self._known[key] = name
        return Symbol(self, name, array.dtype, array.shape)

    def integers(self, *numbers: int) -> Symbol:
        """Return a constant vector of integers: axes, positions, sizes."""
        return self.constant(np.array(numbers, INT64).reshape(-1))

    def cast(self, x: Symbol, dtype: Dtype) -> Symbol:
        """Return a value in a data type; itself when it has it."""
        from onnx import helper

        if x.dtype == dtype:
            return x
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        made = self.node("Cast", x, gives=np.dtype(dtype), to=int(to))
        return Symbol(self, made.name, made.dtype, x.shape)

    def alike(self, *operands: Symbol) -> list[Symbol]:
        """Return operands in their common data type: operators of ONNX do not mix them."""
        common = np.result_type(*(each.dtype for each in operands))
        return [self.cast(each, common) for each in operands]

    def where(self, condition: Symbol, a: Symbol | float, b: Symbol | float) -> Symbol:
        """Choose entry by entry; one of the two values is a symbol."""
        known = a if isinstance(a, Symbol) else b
        dtype = known.dtype if isinstance(known, Symbol) else condition.dtype
        a, b = (self._symbol(each, dtype) for each in (a, b))
        return self.node("Where", condition, a, b, gives=dtype)

    def negative(self, x: Symbol) -> Symbol:
        """Whether the sign bit is set, also of −0, whose reciprocal is −∞."""
        below = self.node("Less", self.node("Reciprocal", x), 0.0, gives=BOOL)
        return self.node("Or", x < 0.0, below)

    def vector(self, sizes: Sequence[Size]) -> Symbol:
        """Return a vector of sizes, worked out from the rows where it depends on them."""
        if all(isinstance(each, int) for each in sizes):
            return self.integers(*(int(each) for each in sizes if isinstance(each, int)))
        parts = [
            self._extent(each) if isinstance(each, Extent) else self.integers(each)
            for each in sizes
        ]
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)

    def _extent(self, size: Extent) -> Symbol:
        if self._rows is None:
            assert self.rows_of is not None
            self._rows = self.node("Shape", self.rows_of, gives=INT64, start=0, end=1)
        made = self._rows
        if size.times != 1:
            made = made * size.times
        return made if size.plus == 0 else made + size.plus

    def reshape(self, x: Symbol, shape: Sequence[Size]) -> Symbol:
        """Return the same entries in another shape."""
        unknown = [k for k, each in enumerate(shape) if isinstance(each, Extent)]
        empty = any(each == 0 for each in shape)
        if len(unknown) == 1 and not empty:
            target = self.integers(*(-1 if isinstance(n, Extent) else n for n in shape))
        else:
            target = self.vector(shape)
        return self.node("Reshape", x, target, allowzero=int(empty))

    def expand(self, x: Symbol, shape: Sequence[Size]) -> Symbol:
        """Repeat a value along axes to a shape."""
        own = x.shape or ()
        padded = (*(1,) * (len(shape) - len(own)), *own)
        # Expand broadcasts both ways, so an axis that is there already can be asked for as 1.
        target = [
            1 if isinstance(n, Extent) and n == have else n
            for n, have in zip(shape, padded, strict=True)
        ]
        return self.node("Expand", x, self.vector(target))

    def reduce(self, operator: str, x: Symbol, axes: Sequence[int]) -> Symbol:
        """Reduce along axes, which leave the shape; along no axes nothing changes."""
        return self.node(operator, x, self.integers(*axes), keepdims=0, noop_with_empty_axes=1)

    def slice(
        self, x: Symbol, starts: Sequence[int], stops: Sequence[Size], steps: Sequence[int]
    ) -> Symbol:
        """Take every step-th entry from start to stop along each axis."""
        sizes = x.shape or ()
        ends = [
            _LAST if isinstance(stop, Extent) and stop == size else stop
            for stop, size in zip(stops, sizes, strict=True)
        ]
        axes = self.integers(*range(len(starts)))
        first, step = self.integers(*starts), self.integers(*steps)
        return self.node("Slice", x, first, self.vector(ends), axes, step)

    def permute(self, x: Symbol, axes: Sequence[int]) -> Symbol:
        """Put the axes in another order."""
        return self.node("Transpose", x, perm=list(axes)) if axes else x


def _type_name(dtype: Dtype) -> str:
    name = "str" if dtype.kind in "UO" else str(dtype)
    return _NAMES.get(name, name)
