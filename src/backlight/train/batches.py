"""The order in which training sees the examples: a pure function of seed, epoch and step.

It takes the number of examples and the batch size and gives positions; no generator holds a
state, so any batch of any epoch can be named again without running through those before it.
`Ahead` reads the examples of the coming steps where they lie in a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backlight.data.rows import FileRows
from backlight.errors import UsageError
from backlight.ops.random import permutation

ORDER_STREAM = 0x4F52_4445
"""The random stream of the batch order; layers and dropout have streams of their own."""

SPLIT_STREAM = 0x5350_4C54
"""The random stream that splits a validation set from the training examples."""

AHEAD_BYTES = 64 * 2**20
"""How much of the coming examples is held in memory where the data lies in a file."""

Positions = npt.NDArray[np.intp]


def order(seed: int, epoch: int, n: int, shuffle: bool = True) -> Positions:
    """Return the order in which an epoch sees ``n`` examples.

    Parameters
    ----------
    seed : int
    epoch : int
        Counted from 0.
    n : int
        The number of examples.
    shuffle : bool
        Otherwise they come as they are, in every epoch.

    Returns
    -------
    array of int, shape (n,)

    Examples
    --------
    >>> sorted(order(0, 3, 5).tolist()), order(0, 3, 5, shuffle=False).tolist()
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """
    if not shuffle:
        return np.arange(n)
    return permutation(seed, ORDER_STREAM, epoch, n)


def batches(n: int, batch_size: int | None) -> list[range]:
    """Return the places in an epoch's order that each batch takes; a ragged last one is kept.

    Parameters
    ----------
    n : int
        The number of examples, at least 1.
    batch_size : int or None
        At least 1; None takes all examples at once.

    Raises
    ------
    UsageError
        When either is smaller than 1.

    Examples
    --------
    >>> batches(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    if n < 1:
        raise UsageError(f"There must be at least one example to make batches of, not {n}.")
    if batch_size is None:
        return [range(n)]
    if batch_size < 1:
        raise UsageError(
            f"batch_size must be 1 or more, not {batch_size}; None takes all examples at once."
        )
    return [range(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]


@dataclass(frozen=True)
class BatchPlan:
    """Which examples each step of a training run sees.

    Attributes
    ----------
    n : int
        The number of examples.
    batch_size : int or None
        None takes all examples at once, in their own order.
    seed : int
    shuffle : bool

    Examples
    --------
    >>> plan = BatchPlan(5, 2, seed=0, shuffle=False)
    >>> plan.per_epoch, plan.position(4), plan.indices(4).tolist()
    (3, (1, 1), [2, 3])
    """

    n: int
    batch_size: int | None
    seed: int = 0
    shuffle: bool = True
    _ranges: list[range] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Cut the epoch into batches once."""
        object.__setattr__(self, "_ranges", batches(self.n, self.batch_size))

    @property
    def per_epoch(self) -> int:
        """The number of steps in an epoch."""
        return len(self._ranges)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The different numbers of examples that batches have: the full one, and a ragged last."""
        return tuple(dict.fromkeys(len(each) for each in self._ranges))

    @property
    def whole(self) -> bool:
        """Whether each batch is all examples; their order then does not matter and is kept."""
        return len(self._ranges) == 1

    def length(self, batch: int) -> int:
        """Return the number of examples of a batch of each epoch."""
        return len(self._ranges[batch])

    def position(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step and the batch within the epoch, both counted from 0."""
        return divmod(step, self.per_epoch)

    def epoch_order(self, epoch: int) -> Positions:
        """Return the order in which an epoch sees the examples."""
        return order(self.seed, epoch, self.n, self.shuffle and not self.whole)

    def span(self, batch: int, count: int) -> tuple[int, int]:
        """Return where consecutive batches begin and end in an epoch's order."""
        return self._ranges[batch].start, self._ranges[batch + count - 1].stop

    def cut(self, epoch_order: npt.NDArray[Any], batch: int) -> npt.NDArray[Any]:
        """Return the examples of one batch of an epoch whose order is known."""
        places = self._ranges[batch]
        return epoch_order[places.start : places.stop]

    def indices(self, step: int) -> Positions:
        """Return the examples of one step."""
        epoch, batch = self.position(step)
        return self.cut(self.epoch_order(epoch), batch)


class Ahead:
    """The examples of the coming steps, read together in the order of their file.

    Training asks for the batches of an epoch in their exact shuffled order.  Where the data lies
    in a file, the rows of as many coming batches as fit into `AHEAD_BYTES` are read at once, in
    the order in which they lie there, and put into the order of the batches.  So the results are
    those of data in memory, bit for bit, and the memory that it takes does not grow with the
    data, but for the order itself (8 bytes for each example).

    Parameters
    ----------
    arrays : sequence of ndarray
        Of all examples, some of them `backlight.data.rows.FileRows`.
    """

    def __init__(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        self._arrays = tuple(arrays)
        one = sum(each[:1].nbytes for each in arrays)
        self._rows = max(AHEAD_BYTES // max(one, 1), 1)
        self._epoch = -1
        self._start = self._stop = 0
        self._held: tuple[npt.NDArray[Any], ...] = ()

    def steps(self, length: int) -> int:
        """Return how many batches of a length are held at once, at least 1."""
        return max(self._rows // max(length, 1), 1)

    def take(
        self, epoch: int, epoch_order: Positions, start: int, stop: int
    ) -> tuple[tuple[npt.NDArray[Any], ...], int]:
        """Return held examples, and where among them those of a part of an epoch's order begin."""
        if epoch != self._epoch or start < self._start or stop > self._stop:
            self._held = ()  # before the next are read, so that both are never held
            self._epoch, self._start = epoch, start
            self._stop = min(max(start + self._rows, stop), len(epoch_order))
            rows = epoch_order[self._start : self._stop]
            self._held = tuple(each[rows] for each in self._arrays)
        return self._held, start - self._start


def ahead_of(arrays: Sequence[npt.NDArray[Any]]) -> Ahead | None:
    """Return what reads ahead in data that lies in a file, and None for data in memory."""
    return Ahead(arrays) if any(isinstance(each, FileRows) for each in arrays) else None
