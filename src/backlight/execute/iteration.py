"""What it means to run a graph over and over: which results are the next run's inputs.

Training is such an iteration: parameters and the optimizer's state are carried from step to step,
batches are gathered from the data by row numbers, and the step's number counts up.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    recorded: int
    carried: tuple[tuple[int, int], ...]
    gathered: tuple[int, ...]
    counter: int
