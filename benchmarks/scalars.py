"""Graphs of scalars: forward and backward pass per node, Backlight and micrograd.

The graph is a chain with side branches, a = tanh-like steps a ← relu(a·w + a), three operations at
a time, so that it grows as deep as it is large.  Backlight runs it compiled, and eagerly; micrograd
builds it anew every time, as it does.  micrograd orders a graph by recursion, so it runs on a
thread with a large stack and a large limit.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.driver import AbsentError, Member, Team

WEIGHT, START = 1e-6, 0.75


def chain(x: Any, w: Any, nodes: int, relu: Callable[[Any], Any]) -> Any:
    """Return the last of so many nodes: product, sum, relu, and again."""
    a = x
    for _ in range(nodes // 3):
        a = relu(a * w + a)
    return a


def expected(nodes: int) -> tuple[float, float]:
    """Return the value and its derivative by the start: (1 + w)ᵏ·x and (1 + w)ᵏ."""
    factor = (1 + WEIGHT) ** (nodes // 3)
    return factor * START, factor


def _check(nodes: int, value: float, gradient: float) -> None:
    for found, wanted in zip((value, gradient), expected(nodes), strict=True):
        if abs(found - wanted) > 1e-9 * abs(wanted):
            raise ValueError(f"A graph of {nodes} nodes gave {found!r} and not {wanted!r}.")


def compiled(nodes: int) -> dict[str, float]:
    """Compile a graph of so many nodes with its gradient; time that, and runs of it."""
    import backlight as bl

    def f(x: Any) -> Any:
        return chain(x, bl.tensor(WEIGHT), nodes, bl.nn.relu)

    begun = time.perf_counter()
    ready = bl.compile(lambda x: bl.value_and_grad(f)(x), executor="native")
    value, gradient = ready(START)
    first = time.perf_counter() - begun
    _check(nodes, float(value), float(gradient))
    return {"first": first, "seconds": _fastest(lambda: ready(START))}


def eager(nodes: int) -> dict[str, float]:
    """Time a recorded forward and backward pass."""
    import backlight as bl

    x, w = bl.param(START, name="x"), bl.tensor(WEIGHT)

    def run() -> None:
        last = chain(x, w, nodes, bl.nn.relu)
        last.backward()
        _check(nodes, float(last), float(x.grad))

    return {"seconds": _fastest(run)}


def micrograd(nodes: int) -> dict[str, float]:
    """Time micrograd's forward and backward pass."""
    from micrograd.engine import Value

    def run() -> None:
        x = Value(START)
        last = chain(x, Value(WEIGHT), nodes, lambda each: each.relu())
        last.backward()
        _check(nodes, last.data, x.grad)
        _untie(last)

    found: list[float] = []
    threading.stack_size(1 << 29)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 2 * nodes + 1000))
    thread = threading.Thread(target=lambda: found.append(_fastest(run)))
    thread.start()
    thread.join()
    sys.setrecursionlimit(limit)
    threading.stack_size(0)
    if not found:
        raise RecursionError("micrograd could not order the graph")
    return {"seconds": found[0]}


def _untie(last: Any) -> None:
    """Take a chain of values apart, so that Python does not free it recursively."""
    waiting = [last]
    while waiting:
        each = waiting.pop()
        waiting.extend(each._prev)
        each._prev, each._backward = set(), None


def _fastest(run: Callable[[], object]) -> float:
    """Return the seconds of a run, the best of a few."""
    best = float("inf")
    spent = 0.0
    for _ in range(5):
        begun = time.perf_counter()
        run()
        seconds = time.perf_counter() - begun
        best, spent = min(best, seconds), spent + seconds
        if spent > 5.0:
            break
    return best


def measure(team: Team, sizes: list[int], patience: float) -> list[dict[str, Any]]:
    """Return nanoseconds per node for every way and size.

    A way whose larger graph would take longer than the patience, by what the last one took, is not
    asked any more; the row says so.
    """
    rows: list[dict[str, Any]] = []
    ways = {"Backlight compiled": "compiled", "Backlight eager": "eager", "micrograd": "micrograd"}
    slow: dict[str, tuple[int, float]] = {}
    for nodes in sizes:
        for name, function in ways.items():
            row: dict[str, Any] = {"name": name, "nodes": nodes}
            rows.append(row)
            if name in slow:
                before, seconds = slow[name]
                row["absent"] = f"{before:,} nodes took {seconds:.0f} s"
                continue
            member = Member("scalars", 1)
            begun = time.perf_counter()
            try:
                found = member.call(f"benchmarks.scalars.{function}", nodes)
            except AbsentError as error:
                row["absent"] = str(error)
                team.say(f"  {nodes:,} scalars: {name}: {error}")
                continue
            finally:
                member.stop()
            seconds = time.perf_counter() - begun
            row["nanoseconds_per_node"] = found["seconds"] / nodes * 1e9
            if "first" in found:
                row["first_seconds"] = found["first"]
            if seconds > patience / 10:
                slow[name] = (nodes, seconds)
    return rows
