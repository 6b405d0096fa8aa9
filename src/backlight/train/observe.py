"""What is told of a run while it goes on, such as the run store.

`Observer` does nothing; whoever keeps a record derives from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backlight.train.standing import Standing


class Observer:
    """Hears of everything that happens in a training run.

    Attributes
    ----------
    wants_identity : bool
        Whether `Loop.identity` is needed, which takes a pass over the data.
    """

    wants_identity = False

    def started(self, loop: Standing, resumed: int | None) -> None:
        """Hear that training begins, or goes on from a step."""

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Hear of the numbers of an epoch that has ended, counted from 0."""

    def step(self, values: Mapping[str, float]) -> None:
        """Hear of the numbers of a step that was logged."""

    def health(self, values: Mapping[str, float]) -> None:
        """Hear of a check-up."""

    def event(self, kind: str, message: str, step: int) -> None:
        """Hear of something else: a checkpoint, a warning, a callback, an interruption."""

    def ended(self, loop: Standing, stopped: str) -> None:
        """Hear why training ended."""

    def close(self) -> None:
        """Let go of files."""
