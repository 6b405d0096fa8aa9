"""The order in which training sees the examples: a pure function of seed, epoch and step.

It takes the number of examples and the batch size and gives positions; no generator holds a
state, so any batch of any epoch can be named again without running through those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from backlight.errors import UsageError
from backlight.ops.random import permutation

ORDER_STREAM = 0x4F52_4445
"""The random stream of the batch order; layers and dropout have streams of their own."""

SPLIT_STREAM = 0x5350_4C54
"""The random stream that splits a validation set from the training examples."""

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

    def cut(self, epoch_order: npt.NDArray[Any], batch: int) -> npt.NDArray[Any]:
        """Return the examples of one batch of an epoch whose order is known."""
        places = self._ranges[batch]
        return epoch_order[places.start : places.stop]

    def indices(self, step: int) -> Positions:
        """Return the examples of one step."""
        epoch, batch = self.position(step)
        return self.cut(self.epoch_order(epoch), batch)
