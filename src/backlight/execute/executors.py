"""The executors by name: one place that says which there are.

`program` takes a graph and a name and gives an object with ``run(values)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from backlight.errors import UsageError
from backlight.execute.iteration import Iteration
from backlight.execute.reference import Program
from backlight.graph.graph import Graph
from backlight.graph.primitive import Array


class Executable(Protocol):
    """A graph made ready to run."""

    @property
    def graph(self) -> Graph: ...

    @property
    def iterates(self) -> bool:
        """Whether `iterate` can be called: the loop around the graph is compiled with it."""
        ...

    def run(self, values: Sequence[Any], *, keep: bool = False) -> list[Array]:
        """Return the outputs for the values of the inputs (all nodes' values with ``keep``)."""
        ...

    def iterate(
        self, values: Sequence[Array | None], sources: Sequence[Array], rows: Array, count: int
    ) -> tuple[int, Array]:
        """Run the graph over and over, feeding what is carried back in."""
        ...


def _reference(graph: Graph, iteration: Iteration | None) -> Executable:
    return Program(graph)


def _native(graph: Graph, iteration: Iteration | None) -> Executable:
    # Here, because LLVM takes a while to load and only this executor needs it.
    from backlight.execute.native.program import NativeProgram

    return NativeProgram(graph, iteration)


_EXECUTORS: Mapping[str, Callable[[Graph, Iteration | None], Executable]] = MappingProxyType(
    {"reference": _reference, "native": _native}
)


def names() -> tuple[str, ...]:
    """Return the names of the executors that exist.

    Examples
    --------
    >>> "reference" in names()
    True
    """
    return tuple(_EXECUTORS)


def check_name(executor: str) -> str:
    """Return the name of an executor that exists, or raise.

    Raises
    ------
    UsageError
        Listing those that exist.
    """
    if executor not in _EXECUTORS:
        known = ", ".join(repr(name) for name in _EXECUTORS)
        raise UsageError(f"There is no executor {executor!r}; choose one of: {known}.")
    return executor


def program(
    graph: Graph, executor: str = "reference", iteration: Iteration | None = None
) -> Executable:
    """Make a graph ready to run.

    Parameters
    ----------
    graph : Graph
    executor : str
        One of `names`.
    iteration : Iteration, optional
        How the graph will be run over and over, for executors that compile the loop too.

    Raises
    ------
    UsageError
        When there is no such executor.
    GraphError
        When a leaf of the graph has no value.

    Examples
    --------
    >>> import backlight as bl
    >>> program(bl.trace(lambda x: x + 1.0, 0.0)).run([2.0])
    [array(3.)]
    """
    return _EXECUTORS[check_name(executor)](graph, iteration)
