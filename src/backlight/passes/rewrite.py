"""Making a new graph out of an old one: the bookkeeping that all passes share.

A `Rewriter` walks the old nodes in order and builds the new ones.  Inputs, outputs and their order
stay; a node that stays keeps its name, its place in the source and its scope, because messages,
plans and drawings speak of nodes by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from backlight.graph.graph import Graph
from backlight.graph.node import Node, make_node
from backlight.graph.primitive import NO_ATTRIBUTES, Array, Attributes, Dtype, Primitive, Shape
from backlight.ops.convert import IDENTITY
from backlight.ops.leaf import CONSTANT, Literal
from backlight.ops.move import BROADCAST

Tally = Counter[str]
"""How often each rule was used, by its name."""


class Varying(Literal):
    """A constant whose value no pass may look at, because it differs between two graphs.

    The graphs of a full and of a shorter batch are optimized in the same way, so that they can
    become one program; where they hold different numbers, nothing may depend on the number.
    """

    __slots__ = ()


MOST_IN_A_ROW = 16
"""So many rules may be used one after the other on one node in one walk."""


class Rewriter:
    """Builds a new graph from an old one.

    Attributes
    ----------
    graph : Graph
        The old graph.
    nodes : list of Node
        The new nodes so far.
    moved : list of int
        For each old node so far, its place among the new ones; -1 when it was left out.
    positive : dict of int to int
        For an operand, a node that is greater than 0 exactly where the operand is.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.positive: dict[int, int] = {}
        self.changed = False
        self.moved: list[int] = []
        self._in_place = True  # so far, every node is where it was
        self._outputs = frozenset(graph.outputs)
        self._names: set[str] = set()
        self._claimed: set[int] = set()
        self._uses: list[int] = []

    # ── walking ──────────────────────────────────────────────────────────────────────────────

    @property
    def index(self) -> int:
        """The position of the current node in the old graph."""
        return len(self.moved)

    @property
    def is_output(self) -> bool:
        """Whether the current node is one of the results."""
        return self.index in self._outputs

    def current(self, node: Node) -> Node:
        """Return an old node with its operands' new positions."""
        if self._in_place:
            return node
        moved = self.moved
        inputs = node.inputs
        if len(inputs) == 2:  # written out, because most operations have as many
            first, second = inputs
            now: tuple[int, ...] = (moved[first], moved[second])
        else:
            now = tuple([moved[each] for each in inputs])
        if now == inputs:
            return node
        return make_node(
            node.primitive, now, node.attributes, node.shape, node.dtype,
            node.name, node.named, node.location, node.scope,
        )  # fmt: skip

    def keep(self, node: Node) -> None:
        """Put the current node, changed or not, into the new graph."""
        self.moved.append(len(self.nodes))
        self.nodes.append(node)

    def drop(self) -> None:
        """Leave the current node out, because nothing uses it."""
        self.moved.append(-1)
        self.changed, self._in_place = True, False

    def share(self, node: Node, other: int) -> bool:
        """Let another node stand for the current one; False when it must stay as it is.

        The other node takes over a name that the user gave.  A result never becomes a leaf: it
        keeps a node of its own, a copy.
        """
        index = self.index
        output = index in self._outputs
        target = self.nodes[other]
        if output and target.is_leaf:
            if node.primitive is IDENTITY:
                return False
            self.keep(self.become(node, IDENTITY, (other,)))
            self.changed = True
            return True
        wanted = node.named or output
        if wanted and not (target.named or target.is_leaf or other in self._claimed):
            self.nodes[other] = Node(
                target.primitive, target.inputs, target.attributes, target.shape, target.dtype,
                node.name, node.named, node.location or target.location, target.scope,
            )  # fmt: skip
            self._claimed.add(other)
        self.moved.append(other)
        self.changed, self._in_place = True, False
        return True

    def finish(self) -> Graph:
        """Return the new graph, or the old one when nothing was changed."""
        if not self.changed:
            return self.graph
        moved = self.moved
        return Graph(
            tuple(self.nodes),
            tuple([moved[each] for each in self.graph.inputs]),
            tuple([moved[each] for each in self.graph.outputs]),
        )

    # ── what rules ask ───────────────────────────────────────────────────────────────────────

    def uses(self, old: int) -> int:
        """Return how often the old graph uses a node, as an operand or a result."""
        if not self._uses:
            self._uses = [0] * len(self.graph.nodes)
            for node in self.graph.nodes:
                for each in node.inputs:
                    self._uses[each] += 1
            for each in self.graph.outputs:
                self._uses[each] += 1
        return self._uses[old]

    def uses_of_operand(self, position: int) -> int:
        """Return how often the old graph uses an operand of the current node."""
        return self.uses(self.graph.nodes[self.index].inputs[position])

    def constant(self, index: int) -> Array | None:
        """Return the value of a constant without axes, or None."""
        node = self.nodes[index]
        if node.shape != () or node.primitive is not CONSTANT:
            return None
        value = node.attributes["value"]
        if isinstance(value, Varying):
            return None
        array: Array = value.array
        return array

    def repeated_constant(self, index: int) -> int | None:
        """Return the constant that a node repeats (or is) in all of its entries, or None."""
        node = self.nodes[index]
        if node.primitive is BROADCAST:
            index = node.inputs[0]
        node = self.nodes[index]
        return index if node.shape == () and node.primitive is CONSTANT else None

    # ── what rules make ──────────────────────────────────────────────────────────────────────

    def become(
        self,
        node: Node,
        primitive: Primitive,
        inputs: Sequence[int],
        attributes: Attributes = NO_ATTRIBUTES,
    ) -> Node:
        """Return a node of the same shape and name that computes something else."""
        return Node(
            primitive, tuple(inputs), attributes, node.shape, node.dtype,
            node.name, node.named, node.location, node.scope,
        )  # fmt: skip

    def make(
        self,
        near: Node,
        primitive: Primitive,
        inputs: Sequence[int],
        attributes: Attributes = NO_ATTRIBUTES,
    ) -> int:
        """Add a node before the current one and return its position."""
        specs = [self.nodes[each].spec for each in inputs]
        shape, dtype = primitive.specify(*specs, **attributes)
        return self._add(near, primitive, tuple(inputs), attributes, shape, dtype)

    def make_constant(self, near: Node, value: Array, kind: type[Literal] = Literal) -> int:
        """Add a constant before the current node and return its position."""
        attributes = {"value": kind(value)}
        return self._add(near, CONSTANT, (), attributes, value.shape, value.dtype)

    def number(self, near: Node, value: float, dtype: Dtype) -> int:
        """Add a number before the current node and return its position."""
        return self.make_constant(near, np.asarray(value, dtype))

    def _add(
        self, near: Node, primitive: Primitive, inputs: tuple[int, ...], attributes: Attributes,
        shape: Shape, dtype: Dtype,
    ) -> int:  # fmt: skip
        self._in_place = False
        self.nodes.append(
            Node(primitive, inputs, attributes, shape, dtype, self._fresh(near.name), False,
                 near.location, near.scope)
        )  # fmt: skip
        return len(self.nodes) - 1

    def _fresh(self, base: str) -> str:
        names = self._names
        if not names:
            names.update([node.name for node in self.graph.nodes])
        number = 1
        while f"{base}.part{number}" in names:
            number += 1
        names.add(f"{base}.part{number}")
        return f"{base}.part{number}"


Rule = Callable[[Rewriter, Node], Node | int | None]
"""``rule(rewriter, node)`` returns another node in its place, the position of one that has the
same value, or None when it does not apply."""


NO_NEEDS: Mapping[Rule, frozenset[Primitive]] = MappingProxyType({})


def walk(
    graph: Graph,
    rules_of: Callable[[Primitive], tuple[Rule, ...]],
    tally: Tally | None = None,
    needs: Mapping[Rule, frozenset[Primitive]] = NO_NEEDS,
) -> Graph:
    """Use rules on every node once, in order, operands first.

    Parameters
    ----------
    graph : Graph
    rules_of : callable
        The rules that may apply to a primitive, most important first.
    tally : Counter, optional
        Counts what was used.
    needs : mapping of callable to frozenset of Primitive
        Rules that apply only where one of these made an operand.

    Returns
    -------
    Graph
        The same object when no rule applied.
    """
    rewriter = Rewriter(graph)
    counts: Tally = Counter() if tally is None else tally
    nodes, moved = rewriter.nodes, rewriter.moved
    known: dict[tuple[Primitive, ...], tuple[Rule, ...]] = {}
    for old in graph.nodes:
        node = rewriter.current(old)
        # Most nodes have no rule for what their operands are, and are done with one look.
        inputs = node.inputs
        if len(inputs) == 2:
            first, second = inputs
            key: tuple[Primitive, ...]
            key = (node.primitive, nodes[first].primitive, nodes[second].primitive)
        else:
            key = (node.primitive, *[nodes[each].primitive for each in inputs])
        rules = known.get(key)
        if rules is None:
            rules = known[key] = _fitting(rules_of(node.primitive), key[1:], needs)
        shared = False
        for rule in rules:
            found = rule(rewriter, node)
            if found is not None:
                node, shared = _applied(rewriter, node, rule, found, rules_of, counts)
                break
        if not shared:
            moved.append(len(nodes))
            nodes.append(node)
    return rewriter.finish()


def _fitting(
    rules: Sequence[Rule],
    operands: Sequence[Primitive],
    needs: Mapping[Rule, frozenset[Primitive]],
) -> tuple[Rule, ...]:
    """Return the rules that may apply to a node whose operands these operations made."""
    return tuple(
        rule for rule in rules if rule not in needs or not needs[rule].isdisjoint(operands)
    )


def _applied(
    rewriter: Rewriter,
    node: Node,
    rule: Rule,
    found: Node | int,
    rules_of: Callable[[Primitive], tuple[Rule, ...]],
    counts: Tally,
) -> tuple[Node, bool]:
    """Do what a rule found and what other rules find after it.

    Returns
    -------
    Node
        What the current node became.
    bool
        Whether another one stands for it.
    """
    for _ in range(MOST_IN_A_ROW):
        if isinstance(found, int):
            shared = rewriter.share(node, found)
            if shared:
                counts[rule.__name__] += 1
            return node, shared
        counts[rule.__name__] += 1
        rewriter.changed = True
        node = found
        for rule in rules_of(node.primitive):
            following = rule(rewriter, node)
            if following is not None:
                found = following
                break
        else:
            break
    return node, False
