"""What the optimizer does with a gradient: gradient, clipping, momentum, the change."""

from __future__ import annotations

from backlight.explain.entries import Entry
from backlight.explain.formulas import Formulas
from backlight.explain.sections import Equation, Section, distinct
from backlight.explain.symbols import Symbols
from backlight.explain.writing import DIGITS
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.graph.notation import UNICODE, Number, Symbol
from backlight.graph.primitive import Kind
from backlight.record import Trace
from backlight.trace import module_path

SHORT = 6
"""Operations of a number for all parameters, such as a learning rate, that are written in place."""

_LETTERS = {
    "m_hat": "m̂", "v_hat": "v̂", "change": "Δw", "g_clipped": "g′", "g_decayed": "g″",
    "gradient": "g", "learning_rate": "η",
}  # fmt: skip


def update_section(trace: Trace, target: Entry, symbol: Symbol | None = None) -> Section | None:
    """Write the optimizer's rule at one scalar of a parameter, or None when there is none.

    Parameters
    ----------
    trace : Trace
    target : Entry
        The scalar of a parameter.
    symbol : Symbol, optional
        What the derivation calls it; the rule calls it w.
    """
    if trace.update is None:
        return None
    graph = trace.update.graph
    name = trace.graph.nodes[target.node].name
    shape = trace.graph.nodes[target.node].shape
    own = [
        index
        for index, node in enumerate(graph.nodes)
        if node.inputs and node.named and module_path(node.scope) == name and node.shape == shape
    ]
    if not own:
        return None
    values = trace.update.values
    rule = Trace(graph, values, (None,) * len(graph), (), own[-1])
    shared = _shared(graph, own, name)
    bases = {index: _symbol(node, name) for index, node in enumerate(graph.nodes)}
    leaves = {index for index, node in enumerate(graph.nodes) if node.is_leaf and node.named}
    symbols = Symbols(bases, frozenset(), frozenset(own) | shared | leaves, indexed=False)
    # A factor on the learning rate that is 1 need not be shown.
    one = {k for k in leaves if graph.nodes[k].shape == () and float(values[k]) == 1.0}
    formulas = Formulas(rule, symbols, literals=frozenset(one))
    equations = _gradient(graph, rule, name, target)
    for index in sorted({*own, *shared}):
        node = graph.nodes[index]
        place = target.flat if node.shape == shape else 0
        value = Number(float(values[index].reshape(-1)[place]), DIGITS)
        if index in shared and _reduces(graph, index, shared - {index}):
            equations.append(Equation(bases[index], (value,), remark="of all parameters together"))
            continue
        symbolic = formulas.definition(Entry(index, place))
        sides = distinct(symbolic, formulas.numbers(symbolic), value)
        equations.append(Equation(bases[index], sides))
    called = ""
    if symbol is not None:
        called = f"w stands for {UNICODE.expression(symbol)}, g for its derivative."
    return Section(
        f"Update: what {trace.update.optimizer} makes of it", (called,), tuple(equations)
    )


def _gradient(graph: Graph, rule: Trace, name: str, target: Entry) -> list[Equation]:
    """The first equation: the gradient that the rule starts from."""
    for index, node in enumerate(graph.nodes):
        if node.is_leaf and node.name == f"gradient.{name}":
            value = float(rule.values[index].reshape(-1)[target.flat])
            return [Equation(Symbol("g"), (Number(value, DIGITS),), remark="the derivative above")]
    return []


def _shared(graph: Graph, own: list[int], name: str) -> frozenset[int]:
    """Named numbers for all parameters that the rule uses and that are too long to inline."""
    before: set[int] = set().union(*map(graph.upstream, own))
    found = {
        index
        for index in before
        if (node := graph.nodes[index]).named and node.inputs and node.shape == ()
        and module_path(node.scope) != name
    }  # fmt: skip
    return frozenset(
        index for index in found if _reduces(graph, index, found) or _size(graph, index) > SHORT
    )


def _size(graph: Graph, index: int) -> int:
    return sum(not graph.nodes[k].is_leaf for k in graph.upstream(index))


def _reduces(graph: Graph, index: int, known: frozenset[int] | set[int]) -> bool:
    """Whether a number is made from whole arrays, other known numbers left aside."""
    waiting, seen = [index], {index}
    while waiting:
        node = graph.nodes[waiting.pop()]
        if node.primitive.kind is Kind.REDUCE:
            return True
        fresh = [k for k in node.inputs if k not in seen and k not in known]
        seen.update(fresh)
        waiting.extend(fresh)
    return False


def _symbol(node: Node, name: str) -> Symbol:
    """The letter of a node in the rule: w, g, m, v and their kin, m and v of before with a mark."""
    if node.name == name:
        return Symbol("w")
    if node.is_leaf and node.name.endswith(f".{name}"):
        slot = node.name.removesuffix(f".{name}")
        return Symbol("g") if slot == "gradient" else Symbol(_LETTERS.get(slot, slot), "old")
    short = node.name.removeprefix(f"{name}.")
    if short == "new":
        return Symbol("w", "new")
    return Symbol(_LETTERS.get(short, short))
