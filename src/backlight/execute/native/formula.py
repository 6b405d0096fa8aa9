"""The formula of a stored value, with everything that is computed inside its loop written out."""

from __future__ import annotations

from collections.abc import Sequence

from backlight.execute.native.plan import Plan
from backlight.execute.native.storage import Storage
from backlight.graph.node import Node
from backlight.graph.notation import (
    Apply,
    Expression,
    Number,
    Precedence,
    Symbol,
    Writer,
    function,
)
from backlight.graph.primitive import Kind
from backlight.ops.contract import label_text
from backlight.ops.convert import CAST
from backlight.ops.index import GATHER, SCATTER_ADD
from backlight.ops.leaf import CONSTANT
from backlight.ops.move import BROADCAST, FLIP, PERMUTE, RESHAPE, SLICE

DIGITS = 6
"""Significant digits of the constants in a formula."""


def formula(plan: Plan, index: int) -> str:
    """Write how a stored node is computed, in terms of stored nodes, inputs and constants.

    Parameters
    ----------
    plan : Plan
    index : int
        A node that has a kernel.

    Examples
    --------
    >>> import backlight as bl
    >>> from backlight.execute.native.plan import make_plan
    >>> graph = bl.trace(lambda w, x: bl.tanh(x @ w) * 2.0, bl.ones((3, 4)), bl.ones((2, 3)))
    >>> plan = make_plan(graph)
    >>> [formula(plan, k) for k in plan.kernels]
    ['x·w', 'tanh(z)·2']
    """
    node = plan.graph.nodes[index]
    texts = _Formula(plan)
    if node.primitive.kind is Kind.CONTRACT:
        return texts.product(node)
    if node.primitive.kind is Kind.REDUCE:
        return texts.reduction(node)
    if node.primitive is SCATTER_ADD:
        entries, positions = (texts.text(each) for each in node.inputs)
        return f"{entries} added up at {positions}"
    return texts.writer.expression(texts.applied(node))


class _PlainWriter(Writer):
    """Writes a sign between all factors: names of values are long, and have dots in them."""

    def juxtapose(self, left: str, right: str) -> str:
        return f"{left}·{right}"


class _Formula:
    """Builds expressions; they are no deeper than what one loop computes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes = plan.graph.nodes
        self.writer = _PlainWriter()

    def text(self, index: int) -> str:
        return self.writer.expression(self.value(index))

    def value(self, index: int) -> Expression:
        """Return a node as an operand: a name or a number, or its own formula when inlined."""
        node = self.nodes[index]
        if self.plan.storage[index] is Storage.INLINE:
            return self.applied(node)
        if node.primitive is CONSTANT and self.plan.is_number(index):
            number = node.attributes["value"].array[()]
            if node.dtype.kind == "b":
                return Symbol("true" if number else "false")
            return Number(float(number), DIGITS)
        return Symbol(node.name)

    def applied(self, node: Node) -> Expression:
        """Return the formula of a node."""
        primitive = node.primitive
        if primitive is BROADCAST or primitive.facts.transparent:
            return self.value(node.inputs[0])
        if primitive is RESHAPE and self._same_entries(node):
            return self.value(node.inputs[0])
        if primitive is CAST:
            return Apply(function(str(node.dtype)), (self.value(node.inputs[0]),))
        if primitive is PERMUTE and len(node.shape) != 2:
            axes = ", ".join(map(str, node.attributes["axes"]))
            return Symbol(f"{self._named(node.inputs[0])} with axes ({axes})")
        if primitive is SLICE:
            return Symbol(f"{self._named(node.inputs[0])}[{self._slices(node)}]")
        if primitive is FLIP:
            back = node.attributes["axes"]
            parts = ["::-1" if axis in back else ":" for axis in range(len(node.shape))]
            return Symbol(f"{self._named(node.inputs[0])}[{', '.join(parts)}]")
        if primitive is GATHER:
            parts = [":"] * node.attributes["axis"] + [self.text(node.inputs[1])]
            return Symbol(f"{self._named(node.inputs[0])}[{', '.join(parts)}]")
        arguments = tuple([self.value(each) for each in node.inputs])
        return Apply(primitive.form, arguments)

    def _same_entries(self, node: Node) -> bool:
        """Whether a reshape only adds or drops axes of size 1, which a formula need not show."""
        inner = self.nodes[node.inputs[0]].shape
        return [s for s in inner if s != 1] == [s for s in node.shape if s != 1]

    def _named(self, index: int) -> str:
        """Write an operand so that a bracket can follow."""
        return self.writer.bracketed(self.value(index), Precedence.CALL, signed=True)

    def _slices(self, node: Node) -> str:
        inner = self.nodes[node.inputs[0]].shape
        attributes = node.attributes
        parts = []
        for start, stop, step, size in zip(
            attributes["starts"], attributes["stops"], attributes["steps"], inner, strict=True
        ):
            first = "" if start == 0 else str(start)
            whole = len(range(start, size, step)) == len(range(start, stop, step))
            last = "" if whole else str(int(stop))
            parts.append(f"{first}:{last}" + ("" if step == 1 else f":{step}"))
        return ", ".join(parts)

    def product(self, node: Node) -> str:
        """Write a contraction: ``X·Wᵀ``, or with the labels of its axes."""
        left, right, result = (node.attributes[key] for key in ("left", "right", "result"))
        sides: list[tuple[int, Sequence[int]]] = [(node.inputs[0], left), (node.inputs[1], right)]
        if len(left) == len(right) == len(result) == 2 and len({*left, *right}) == 3:
            if result[0] not in left:
                sides.reverse()
            (a, rows), (b, columns) = sides
            first = self._factor(a, turned=rows[0] != result[0])
            second = self._factor(b, turned=columns[1] != result[1])
            return f"{first}·{second}"
        labels = f"{label_text(left)},{label_text(right)}→{label_text(result)}"
        return f"einsum {labels} of {self.text(node.inputs[0])} and {self.text(node.inputs[1])}"

    def _factor(self, index: int, turned: bool) -> str:
        if turned:
            return f"{self._named(index)}ᵀ"
        return self.writer.bracketed(self.value(index), Precedence.POWER, signed=True)

    def reduction(self, node: Node) -> str:
        """Write a reduction: ``sum over axis 0 of …``."""
        axes = node.attributes["axes"]
        name, of = node.primitive.name, self.text(node.inputs[0])
        if len(axes) == len(self.nodes[node.inputs[0]].shape):
            return f"{name} of {of}"
        which = "axis" if len(axes) == 1 else "axes"
        return f"{name} over {which} {', '.join(map(str, axes))} of {of}"
