"""What derivations call things: the textbook's w, z and a with layer and node indices.

A network of dense layers gets the usual symbols: w⁽ˡ⁾ⱼₖ for the weight from node k to node j of
layer l, b, z and a.  Everything that the user named keeps that name.  Subscripts count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backlight.explain.entries import Entry, coordinates
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.notation import Symbol
from backlight.graph.primitive import Kind
from backlight.graph.scope import Scope
from backlight.ops.leaf import CONSTANT, INPUT, PARAMETER
from backlight.ops.move import PERMUTE
from backlight.record import Trace

_LOW_DIGITS = "₀₁₂₃₄₅₆₇₈₉"


@dataclass(frozen=True, slots=True)
class Symbols:
    """The symbols of a trace's nodes.

    Attributes
    ----------
    bases : dict of int to Symbol
        Letter and layer of each node, without entry indices.
    batched : frozenset of int
        Nodes whose first axis counts the examples of a batch.
    visible : frozenset of int
        Nodes that derivations show; the others are passed through.
    legend : tuple of str
        What the symbols stand for in the program.
    indexed : bool
        Whether entries get subscripts; without, everything is at one entry.
    """

    bases: dict[int, Symbol]
    batched: frozenset[int]
    visible: frozenset[int]
    legend: tuple[str, ...] = field(default=())
    indexed: bool = True

    def of(self, trace: Trace, entry: Entry) -> Symbol:
        """Return the symbol of one scalar."""
        node = trace.graph.nodes[entry.node]
        base = self.bases[entry.node]
        if not self.indexed:
            return base
        index = coordinates(entry.flat, node.shape)
        case = ""
        if entry.node in self.batched and index:
            if node.shape[0] > 1:
                case = str(index[0] + 1)
            index = index[1:]
        subscript = ",".join(str(each + 1) for each in index)
        return Symbol(base.base, subscript, base.superscript, case)


def symbols_of(trace: Trace, *, fold: bool = True) -> Symbols:
    """Choose the symbols of a trace; see `Symbols`."""
    key = ("symbols", fold)
    if key not in trace.memo:
        trace.memo[key] = _choose(trace, fold)
    found: Symbols = trace.memo[key]
    return found


def _choose(trace: Trace, fold: bool) -> Symbols:
    graph = trace.graph
    layers = dense_layers(graph)
    bases: dict[int, Symbol] = {}
    legend = []
    for number, layer in enumerate(layers, 1):
        level = f"({number})"
        names = [graph.nodes[layer.weight].name]
        bases[layer.weight] = Symbol("w", "", level)
        if layer.bias is not None:
            bases[layer.bias] = Symbol("b", "", level)
            names.append(graph.nodes[layer.bias].name)
        if layer.product != layer.output and not graph.nodes[layer.product].named:
            bases[layer.product] = Symbol("u", "", level)  # before the bias is added
        if not graph.nodes[layer.output].named:
            bases[layer.output] = Symbol("z", "", level)
        if layer.activation is not None and not graph.nodes[layer.activation].named:
            bases[layer.activation] = Symbol("a", "", level)
        legend.append(f"({number}) {', '.join(names)}")
    for index, node in enumerate(graph.nodes):
        if index not in bases:
            bases[index] = Symbol(_short(node))
    if not graph.nodes[trace.output].named and "L" not in {each.base for each in bases.values()}:
        bases[trace.output] = Symbol("L")
    _make_distinct(graph, bases)
    _keep_entries_apart(graph, bases)
    return Symbols(
        bases,
        frozenset(_batched(graph)),
        frozenset(_visible(trace, fold, {layer.product for layer in layers if layer.bias})),
        tuple(legend),
    )


def _make_distinct(graph: Graph, bases: dict[int, Symbol]) -> None:
    """Give nodes that would look the same their full names, which are unique."""
    alike: dict[Symbol, list[int]] = {}
    for index, symbol in bases.items():
        alike.setdefault(symbol, []).append(index)
    for symbol, indices in alike.items():
        if len(indices) > 1:
            for index in indices:
                if not symbol.superscript:
                    bases[index] = Symbol(graph.nodes[index].name)


def _keep_entries_apart(graph: Graph, bases: dict[int, Symbol]) -> None:
    """Put an array's name in brackets where an entry of it would look like another name, x₁."""
    stems = {each.base.rstrip(_LOW_DIGITS) for each in bases.values() if not each.superscript}
    taken = {each.base for each in bases.values()}
    for index, symbol in bases.items():
        alone = symbol.superscript or not graph.nodes[index].shape or symbol.base not in stems
        if alone or not any(
            each != symbol.base and each.rstrip(_LOW_DIGITS) == symbol.base for each in taken
        ):
            continue
        bases[index] = Symbol(f"({symbol.base})")


def _short(node: Node) -> str:
    """The name without the module path: ``layers.2.s`` is s."""
    return node.name if node.primitive is PARAMETER else node.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """The nodes of one dense layer: z = W a + b, and its activation when there is one."""

    weight: int
    product: int
    output: int
    bias: int | None
    activation: int | None


def dense_layers(graph: Graph) -> list[DenseLayer]:
    """Find the dense layers of a network: products with a module's weight parameter."""
    found: list[DenseLayer] = []
    for index, node in enumerate(graph.nodes):
        if node.primitive.kind is not Kind.CONTRACT:
            continue
        weights = [
            source
            for source in (_through_moves(graph, operand) for operand in node.inputs)
            if graph.nodes[source].primitive is PARAMETER
            and graph.nodes[source].name.rpartition(".")[2] == "weight"
        ]
        if len(weights) != 1 or any(weights[0] == layer.weight for layer in found):
            continue
        found.append(_layer(graph, weights[0], index))
    return found


def _through_moves(graph: Graph, index: int) -> int:
    """Follow a value back through transposes and reshapes."""
    while graph.nodes[index].primitive.kind is Kind.MOVE and len(graph.nodes[index].inputs) == 1:
        index = graph.nodes[index].inputs[0]
    return index


def _layer(graph: Graph, weight: int, product: int) -> DenseLayer:
    output, bias = product, None
    following = graph.consumers[product]
    if len(following) == 1:
        target = following[0][0]
        others = [
            _through_moves(graph, operand)
            for operand in graph.nodes[target].inputs
            if operand != product
        ]
        node = graph.nodes[target]
        if (
            node.primitive.kind is Kind.ELEMENTWISE
            and len(others) == 1
            and graph.nodes[others[0]].primitive is PARAMETER
            and graph.nodes[others[0]].name.rpartition(".")[2] == "bias"
        ):
            output, bias = target, others[0]
    return DenseLayer(weight, product, output, bias, _activation(graph, output))


def _activation(graph: Graph, output: int) -> int | None:
    """The node that applies one function to each entry of a layer's output."""
    following = graph.consumers[output]
    if not following:
        return None
    first = graph.nodes[following[0][0]]
    composite = outer_composite(first.scope)
    if composite is None:
        alone = len(following) == 1 and first.primitive.kind is Kind.ELEMENTWISE
        return following[0][0] if alone and len(first.inputs) == 1 else None
    inside = [
        index
        for index in range(output + 1, len(graph.nodes))
        if outer_composite(graph.nodes[index].scope) is composite
    ]
    last = inside[-1]
    if any(target not in inside for target, _ in following):
        return None
    return last if graph.nodes[last].shape == graph.nodes[output].shape else None


def outer_composite(scope: Scope | None) -> Scope | None:
    """The outermost composite around a node, up to the module that it is in."""
    found = None
    while scope is not None and scope.kind != "module":
        if scope.kind == "composite":
            found = scope
        scope = scope.parent
    return found


def _visible(trace: Trace, fold: bool, hidden_products: set[int]) -> set[int]:
    """The nodes that derivations show: results of composites, not their insides, and no moves."""
    graph = trace.graph
    last_inside: dict[int, int] = {}
    for index, node in enumerate(graph.nodes):
        composite = outer_composite(node.scope)
        if composite is not None:
            last_inside[id(composite)] = index
    shown = set()
    for index, node in enumerate(graph.nodes):
        if index == trace.output:
            shown.add(index)
            continue
        if node.primitive is CONSTANT and node.shape == ():
            continue
        if node.primitive.kind is Kind.LEAF or node.named:
            shown.add(index)
            continue
        composite = outer_composite(node.scope)
        if fold and composite is not None and last_inside[id(composite)] != index:
            continue
        moves = node.primitive.kind is Kind.MOVE or (
            node.primitive.transposes is not None and node.primitive.kind is Kind.ELEMENTWISE
        )
        if (moves and len(node.inputs) == 1) or index in hidden_products:
            continue
        shown.add(index)
    return shown


def _keeps_examples(graph: Graph, node: Node, position: int) -> bool:
    """Whether the first axis of a node counts what the first axis of one operand counts."""
    shape = graph.nodes[node.inputs[position]].shape
    if not node.shape or node.shape[0] != shape[0]:
        return False
    if node.primitive.kind is Kind.ELEMENTWISE:
        return len(node.shape) == len(shape)
    if node.primitive.kind is Kind.CONTRACT:
        labels = node.attributes["right" if position else "left"]
        return bool(labels[0] == node.attributes["result"][0])
    if node.primitive.kind is Kind.REDUCE:
        return 0 not in node.attributes["axes"]
    return node.primitive is not PERMUTE or node.attributes["axes"][0] == 0


def _batched(graph: Graph) -> set[int]:
    """The nodes whose first axis counts examples: data of two axes or more, and what follows."""
    found: set[int] = set()
    sizes: dict[int, int] = {}
    for index, node in enumerate(graph.nodes):
        if node.is_leaf:
            if node.primitive is INPUT and len(node.shape) >= 2:
                found.add(index)
                sizes[index] = node.shape[0]
            continue
        for position, operand in enumerate(node.inputs):
            if operand in found and _keeps_examples(graph, node, position):
                found.add(index)
                sizes[index] = node.shape[0]
                break
    # Targets of the same length, such as class indices, count examples too.
    lengths = set(sizes.values())
    for index, node in enumerate(graph.nodes):
        if node.primitive is INPUT and len(node.shape) == 1 and node.shape[0] in lengths:
            found.add(index)
    return found
