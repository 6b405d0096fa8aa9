"""All passes, one after the other, until nothing changes any more."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from backlight.graph.check import check
from backlight.graph.graph import Graph
from backlight.graph.node import Node
from backlight.ops.leaf import CONSTANT
from backlight.passes.common import eliminate_common
from backlight.passes.dead import eliminate_dead
from backlight.passes.fold import fold_constants
from backlight.passes.rewrite import Tally, Varying
from backlight.passes.simplify import simplify

MOST_ROUNDS = 8
"""The passes are repeated at most so often; two or three rounds are usual."""

CHECK_VARIABLE = "BACKLIGHT_CHECK"
"""Set to 1, this environment variable has the graph checked after every pass."""


_WORDS = {
    "eliminate_common": "equal to another one",
    "eliminate_dead": "not needed",
    "fold_constants": "computed beforehand",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What the passes did to a graph.

    Attributes
    ----------
    before, after : int
        How many nodes there were and are.
    rounds : int
        How often the passes were repeated, the last time without a change.
    counts : dict of str to int
        How often each pass or rule was used, by its name, most often first.
    """

    before: int
    after: int
    rounds: int
    counts: dict[str, int]

    def __str__(self) -> str:
        if not self.counts:
            return f"{self.before:,} nodes, none to simplify"
        parts = [
            f"{self.counts[name]:,} {what}" for name, what in _WORDS.items() if name in self.counts
        ]
        rules = {name: n for name, n in self.counts.items() if name not in _WORDS}
        if rules:
            listed = ", ".join(f"{name.replace('_', ' ')} {n:,}×" for name, n in rules.items())
            parts.append(f"{sum(rules.values()):,} simplified ({listed})")
        return f"{self.before:,} nodes became {self.after:,}: {', '.join(parts)}"


Pass = Callable[[Graph], Graph]


def run_passes(
    graph: Graph, passes: tuple[Pass, ...], *, checked: bool = False, rounds: int = MOST_ROUNDS
) -> tuple[Graph, int]:
    """Repeat passes until none changes the graph.

    Parameters
    ----------
    graph : Graph
    passes : tuple of callable
        Each takes a graph and returns one, the same object when it changed nothing.
    checked : bool
        Check the graph after every pass that changed it.
    rounds : int
        Stop after so many repetitions.

    Returns
    -------
    Graph
    int
        How many repetitions there were.

    Raises
    ------
    GraphError
        When a pass broke the graph, and ``checked`` is set; a note names the pass.
    """
    done = 0
    quiet = 0  # passes in a row that changed nothing
    while done < rounds:
        done += 1
        for each in passes:
            changed = each(graph)
            quiet = quiet + 1 if changed is graph else 0
            if checked and changed is not graph:
                _check(changed, each)
            graph = changed
            if quiet == len(passes):
                return graph, done
    return graph, done


def _check(graph: Graph, made_by: Pass) -> None:
    try:
        check(graph)
    except Exception as error:
        name = getattr(made_by, "__name__", str(made_by))
        error.add_note(f"The graph was made by the pass {name}.")
        raise


def optimize_reported(
    graph: Graph,
    *,
    exact: bool = False,
    checked: bool | None = None,
    rounds: int = MOST_ROUNDS,
) -> tuple[Graph, Report]:
    """Run all passes, so often at most, and say what they did; see `optimize`."""
    tally: Tally = Counter()

    def simplified(graph: Graph) -> Graph:
        return simplify(graph, exact=exact, tally=tally)

    def folded(graph: Graph) -> Graph:
        return fold_constants(graph, tally=tally)

    def shared(graph: Graph) -> Graph:
        return eliminate_common(graph, tally=tally)

    def cleared(graph: Graph) -> Graph:
        return eliminate_dead(graph, tally=tally)

    if checked is None:
        checked = os.environ.get(CHECK_VARIABLE, "") not in ("", "0")
    found, done = run_passes(
        graph, (simplified, folded, shared, cleared), checked=checked, rounds=rounds
    )
    return found, Report(len(graph), len(found), done, dict(tally.most_common()))


def optimize(graph: Graph, *, exact: bool = False, checked: bool | None = None) -> Graph:
    """Return a graph that gives the same results with less work.

    Inputs, outputs and their order stay.  So do the names, places and scopes of the nodes that
    stay: error messages, plans and recorded values speak of nodes by name, and a plan is only
    readable when ``layers.0.z`` is still called that.  Where one node stands for several, it
    takes over a name that the user gave.

    Parameters
    ----------
    graph : Graph
    exact : bool
        Keep every bit of the results.  By default small powers are written as products (within
        2 ulps) and sums of equal numbers as one product.
    checked : bool, optional
        Check the graph after every pass; by default when ``BACKLIGHT_CHECK=1`` is set.

    Returns
    -------
    Graph
        The same object when there was nothing to do.

    Raises
    ------
    GraphError
        When a check finds a broken graph.

    Examples
    --------
    >>> import backlight as bl
    >>> graph = bl.trace(lambda x: (bl.exp(x) + bl.exp(x)) / 4.0 - 0.0, 1.0)
    >>> print(optimize(graph))
    graph(x: float64[])
      v1: float64[] = exp(x)
      s1: float64[] = add(v1, v1)
      s2: float64[] = mul(s1, 0.25)
      return s2
    """
    return optimize_reported(graph, exact=exact, checked=checked)[0]


def optimize_together(
    first: Graph, second: Graph, *, exact: bool = False, checked: bool | None = None
) -> tuple[Graph, Graph, Report]:
    """Optimize two graphs in the same way, so that one program can serve for both.

    They are the same computation, traced for two batch lengths.  Where a constant differs, such as
    a mean's divisor, no rule looks at its value: a division by 32 stays one, because the other
    graph divides by 20.

    Parameters
    ----------
    first, second : Graph
    exact, checked : bool
        As for `optimize`.

    Returns
    -------
    first, second : Graph
        With the same operations in the same order, if the graphs had them; when the passes would
        part them, they stay what they were.
    report : Report
        On the first one.
    """
    if not _alike(first, second):
        found, report = optimize_reported(first, exact=exact, checked=checked)
        return found, optimize(second, exact=exact, checked=checked), report
    differ = [
        k
        for k, (a, b) in enumerate(zip(first.nodes, second.nodes, strict=True))
        if a.primitive is CONSTANT and not _same_value(a, b)
    ]
    marked = [_marked(graph, differ) for graph in (first, second)]
    one, report = optimize_reported(marked[0], exact=exact, checked=checked)
    two = optimize(marked[1], exact=exact, checked=checked)
    if _alike(one, two):
        return one, two, report
    return first, second, Report(len(first), len(first), report.rounds, {})


def _alike(first: Graph, second: Graph) -> bool:
    """Whether two graphs have the same operations on the same operands."""
    return (
        len(first.nodes) == len(second.nodes)
        and (first.inputs, first.outputs) == (second.inputs, second.outputs)
        and all(
            a.primitive is b.primitive and a.inputs == b.inputs
            for a, b in zip(first.nodes, second.nodes, strict=True)
        )
    )


def _same_value(a: Node, b: Node) -> bool:
    one, two = a.attributes["value"].array, b.attributes["value"].array
    if one is two:
        return True
    return bool((one.shape, one.dtype) == (two.shape, two.dtype) and one.tobytes() == two.tobytes())


def _marked(graph: Graph, constants: list[int]) -> Graph:
    """Return the graph with some of its constants marked as not to be looked at."""
    if not constants:
        return graph
    nodes = list(graph.nodes)
    for index in constants:
        value = Varying(nodes[index].attributes["value"].array)
        nodes[index] = replace(nodes[index], attributes={"value": value})
    return Graph(tuple(nodes), graph.inputs, graph.outputs)
