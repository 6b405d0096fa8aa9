"""What the optimizer does with a gradient: gradient, clipping, momentum, the change."""

from __future__ import annotations

from backlight.explain.entries import Entry
from backlight.explain.formulas import Formulas
from backlight.explain.sections import Equation, Section
from backlight.explain.symbols import Symbols
from backlight.graph.notation import Number, Symbol
from backlight.graph.primitive import Kind
from backlight.record import Trace
from backlight.trace import module_path


def update_section(trace: Trace, target: Entry) -> Section | None:
    """Write the optimizer's rule at one scalar of a parameter, or None when there is none."""
    if trace.update is None:
        return None
    name = trace.graph.nodes[target.node].name
    graph = trace.update.graph
    shape = trace.graph.nodes[target.node].shape
    rule = Trace(
        graph, trace.update.values, (None,) * len(graph), (), graph.outputs[0] if graph.outputs else 0
    )
    own = [
        index
        for index, node in enumerate(graph.nodes)
        if node.named and module_path(node.scope) == name and node.shape == shape
    ]
    if not own:
        return None
    bases = {index: Symbol(_letter(node.name)) for index, node in enumerate(graph.nodes)}
    leaves = {k for k, node in enumerate(graph.nodes) if node.is_leaf and node.named}
    symbols = Symbols(bases, frozenset(), frozenset(own) | leaves)
    formulas = Formulas(rule, symbols)
    equations = []
    for index in own:
        node = graph.nodes[index]
        if node.primitive.kind is Kind.LEAF:
            continue
        entry = Entry(index, target.flat)
        symbolic = formulas.definition(entry)
        value = Number(float(rule.values[index].reshape(-1)[target.flat]), 6)
        symbol = Symbol(_letter(node.name))
        equations.append(Equation(symbol, (symbolic, formulas.numbers(symbolic), value)))
    if not equations:
        return None
    return Section(
        f"Update: what {trace.update.optimizer} makes of it", equations=tuple(equations)
    )


_LETTERS = {"m_hat": "m̂", "v_hat": "v̂", "change": "Δw", "g_clipped": "g′", "g_decayed": "g″"}


def _letter(name: str) -> str:
    short = name.rpartition(".")[2]
    return _LETTERS.get(short, short)
