"""One step of a computation, without its value."""

from __future__ import annotations

from dataclasses import dataclass

from backlight.graph.primitive import Attributes, Dtype, Kind, Primitive, Shape, Spec
from backlight.graph.scope import Scope
from backlight.source import Location


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node of a graph: an operation on earlier nodes.

    Attributes
    ----------
    primitive : Primitive
        The operation's record.
    inputs : tuple of int
        Positions of the operands in the graph, all smaller than the node's own.
    attributes : mapping
        Static arguments: axes, shapes, labels.
    shape, dtype : tuple of int, numpy.dtype
        Of the result.
    name : str
        The user's name or an automatic one, unique in the graph.
    named : bool
        Whether the name is the user's.
    location : Location or None
        The source line that recorded it.
    scope : Scope or None
        The module or composite around it.
    """

    primitive: Primitive
    inputs: tuple[int, ...]
    attributes: Attributes
    shape: Shape
    dtype: Dtype
    name: str
    named: bool = False
    location: Location | None = None
    scope: Scope | None = None

    @property
    def spec(self) -> Spec:
        """Shape and dtype together."""
        return Spec(self.shape, self.dtype)

    @property
    def is_leaf(self) -> bool:
        """Whether the value comes from outside."""
        return self.primitive.kind is Kind.LEAF
