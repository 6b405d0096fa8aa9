"""The executors by name: one place that says which there are.

`program` takes a graph and a name and gives an object with ``run(values)``.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from backlight.errors import BacklightWarning, DtypeError, MissingRuleError, UsageError
from backlight.execute.description import PlanDescription
from backlight.execute.iteration import Iteration
from backlight.execute.reference import Program
from backlight.graph.collector import collector_held
from backlight.graph.graph import Graph
from backlight.graph.primitive import Array
from backlight.passes import optimize_reported, optimize_together
from backlight.source import PACKAGE


class Executable(Protocol):
    """A graph made ready to run."""

    @property
    def graph(self) -> Graph: ...

    @property
    def iterates(self) -> bool:
        """Whether `iterate` can be called: the loop around the graph is compiled with it."""
        ...

    @property
    def lengths(self) -> tuple[int, ...]:
        """The numbers of rows that a run of `iterate` may gather."""
        ...

    @property
    def seconds(self) -> float:
        """About how long a run takes, as far as that was worked out; 0 when it was not."""
        ...

    def run(self, values: Sequence[Any], *, keep: bool = False) -> list[Array]:
        """Return the outputs for the values of the inputs (all nodes' values with ``keep``)."""
        ...

    def iterate(
        self,
        values: Sequence[Array | None],
        sources: Sequence[Array],
        rows: Array,
        starts: Array,
    ) -> tuple[int, Array]:
        """Run the graph over and over, feeding what is carried back in."""
        ...


def _reference(graph: Graph, iteration: Iteration | None, threads: int | None) -> Executable:
    return Program(graph)


def _native(graph: Graph, iteration: Iteration | None, threads: int | None) -> Executable:
    """Compile; what cannot be compiled is run by the reference, and that is said."""
    # Here, because LLVM takes a while to load and only this executor needs it.
    from backlight.execute.native.engine import CompileError

    try:
        with collector_held():
            return _compiled(graph, iteration, threads)
    except (CompileError, DtypeError, MissingRuleError) as error:
        warnings.warn(
            f"The program is not compiled and NumPy runs it, which is slower: {error}",
            BacklightWarning,
            stacklevel=_outside(),
        )
        return Program(graph)


def _compiled(graph: Graph, iteration: Iteration | None, threads: int | None) -> Executable:
    from backlight.execute.native.program import NativeProgram

    if iteration is None:
        from backlight.execute.native.tape import TapeProgram, suits

        if suits(graph):
            # What a second round finds would not repay it in a graph of which every node is run
            # in a few nanoseconds.
            shorter, _ = optimize_reported(graph, rounds=1)
            if suits(shorter):
                return TapeProgram(shorter)
    if iteration is None or iteration.shorter is None:
        graph, report = optimize_reported(graph)
    else:
        graph, shorter, report = optimize_together(graph, iteration.shorter.graph)
        iteration = replace(iteration, shorter=replace(iteration.shorter, graph=shorter))
    made = NativeProgram(graph, iteration, threads)
    made.passes = str(report)
    return made


def _outside() -> int:
    """How many calls up, counted from the caller, the user's own code stands."""
    frame = sys._getframe(1)
    level = 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


_Make: TypeAlias = Callable[[Graph, Iteration | None, int | None], Executable]
_EXECUTORS: Mapping[str, _Make] = MappingProxyType({"reference": _reference, "native": _native})


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
    graph: Graph,
    executor: str = "reference",
    iteration: Iteration | None = None,
    threads: int | None = None,
) -> Executable:
    """Make a graph ready to run.

    Parameters
    ----------
    graph : Graph
    executor : str
        One of `names`.
    iteration : Iteration, optional
        How the graph will be run over and over, for executors that compile the loop too.
    threads : int, optional
        How many a compiled program may use; chosen by its size when not given.

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
    return _EXECUTORS[check_name(executor)](graph, iteration, threads)


def explain(executable: Executable) -> PlanDescription:
    """Say what a program will do.

    Parameters
    ----------
    executable : Executable
        As `program` gives it.

    Returns
    -------
    PlanDescription
        For the reference executor a sentence, because it has no plan.

    Examples
    --------
    >>> import backlight as bl
    >>> explain(program(bl.trace(lambda x: x + 1.0, 0.0)))
    The reference executor has no plan: NumPy evaluates the 3 nodes of the graph one by one.
    """
    if isinstance(executable, Program):
        return PlanDescription(
            f"The reference executor has no plan: NumPy evaluates the {len(executable.graph)} "
            f"nodes of the graph one by one."
        )
    from backlight.execute.native.describe import describe
    from backlight.execute.native.program import NativeProgram
    from backlight.execute.native.tape import TapeProgram

    if isinstance(executable, TapeProgram):
        return PlanDescription(executable.explain())
    assert isinstance(executable, NativeProgram), "there are three kinds of programs"
    return describe(executable)
