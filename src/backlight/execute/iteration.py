"""What it means to run a graph over and over: which results are the next run's inputs.

Training is such an iteration: parameters and the optimizer's state are carried from step to step,
batches are gathered from the data by row numbers, and the step's number counts up.
"""

from __future__ import annotations

from dataclasses import dataclass

from backlight.graph.graph import Graph


@dataclass(frozen=True, slots=True)
class Shorter:
    """A graph for runs of another length, such as the last batch of each epoch.

    Attributes
    ----------
    length : int
    graph : Graph
    """

    length: int
    graph: Graph


@dataclass(frozen=True, slots=True)
class Iteration:
    """How a graph is iterated; all numbers are positions among its inputs or outputs.

    Attributes
    ----------
    recorded : int
        The first so many outputs are scalars that are kept for every run.
    carried : tuple of (int, int)
        (output, input) pairs: the output is the input's value in the next run.
    gathered : tuple of int
        Inputs that are rows of larger arrays, chosen anew for every run.
    counter : int
        The input that counts the runs; an int64 scalar.
    length : int
        How many rows most runs gather.
    shorter : Shorter or None
        The same computation for runs that gather fewer.
    """

    recorded: int
    carried: tuple[tuple[int, int], ...]
    gathered: tuple[int, ...]
    counter: int
    length: int = 0
    shorter: Shorter | None = None
