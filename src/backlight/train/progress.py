"""Progress of a training run, while it runs: a bar on a terminal, a few lines elsewhere.

It is told of every epoch and shows only as many as a reader can follow: at most about ten updates
a second on a terminal and twenty lines elsewhere, so that quick epochs are not slowed down.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_UPDATES = 0.1
MOST_LINES = 20

_NOT_SHOWN = frozenset({"learning_rate", "seconds"})


def describe(values: Mapping[str, float]) -> str:
    """Write an epoch's numbers on one line.

    Examples
    --------
    >>> describe({"loss": 0.5, "accuracy": 0.975, "validation_loss": 0.25, "seconds": 1.0})
    'loss 0.5, accuracy 97.5 %, validation loss 0.25'
    """
    parts = []
    for name, value in values.items():
        if name in _NOT_SHOWN:
            continue
        text = f"{100.0 * value:.1f} %" if name.endswith("accuracy") else f"{value:.4g}"
        parts.append(f"{name.replace('_', ' ')} {text}")
    return ", ".join(parts)


class Silent:
    """No progress at all."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def within(self, epoch: int, share: float, loss: float) -> None:
        """Tell of a step within an epoch."""

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Tell of the end of an epoch."""

    def alarm(self, epoch: int, message: str) -> None:
        """Say that something is wrong with the network."""

    def end(self, message: str) -> None:
        """Say how training ended."""


class Lines(Silent):
    """A line now and then, for files and pipes."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console = console
        self._epochs = epochs
        self._every = -(-epochs // (MOST_LINES - 2))

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Tell of the end of an epoch."""
        number = epoch + 1
        if number == 1 or number % self._every == 0 or number == self._epochs:
            self._print(f"epoch {number}/{self._epochs}: {describe(values)}")

    def alarm(self, epoch: int, message: str) -> None:
        """Say that something is wrong with the network."""
        self._print(f"epoch {epoch + 1}: {message}")

    def end(self, message: str) -> None:
        """Say how training ended."""
        self._print(message)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bar(Silent):
    """A bar that is redrawn, for terminals."""

    def __init__(self, console: Console, epochs: int, steps: int) -> None:
        self._console = console
        self._epochs = epochs
        self._steps = steps  # in one epoch
        # Here and below, because Rich takes a while to load and most runs show nothing.
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("epoch {task.fields[number]}/{task.fields[epochs]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[text]}", markup=False),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            auto_refresh=False,
            transient=False,
        )
        self._task = self._progress.add_task(
            "", total=float(epochs), number=0, epochs=epochs, text="", rate=""
        )
        self._text = ""
        self._shown = -1.0
        self._start = time.perf_counter()

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.refresh()
        self._progress.stop()

    def within(self, epoch: int, share: float, loss: float) -> None:
        """Tell of a step within an epoch."""
        if self._due():
            self._draw(epoch + share, epoch + 1, self._text or f"loss {loss:.4g}")

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Tell of the end of an epoch."""
        if self._due() or epoch + 1 == self._epochs:
            self._text = describe(values)
            self._draw(epoch + 1.0, epoch + 1, self._text)

    def alarm(self, epoch: int, message: str) -> None:
        """Say above the bar that something is wrong with the network."""
        self._progress.console.print(
            f"epoch {epoch + 1}: {message}", style="yellow", markup=False, highlight=False
        )

    def end(self, message: str) -> None:
        """Say how training ended."""
        self._progress.refresh()
        self._console.print(message, markup=False, highlight=False)

    def _due(self) -> bool:
        return time.perf_counter() - self._shown >= SECONDS_BETWEEN_UPDATES

    def _draw(self, completed: float, number: int, text: str) -> None:
        now = time.perf_counter()
        self._shown = now
        rate = completed * self._steps / max(now - self._start, 1e-9)
        self._progress.update(
            self._task, completed=completed, number=number, text=text, rate=f"{rate:,.0f} steps/s"
        )
        self._progress.refresh()


def progress(
    wanted: bool, epochs: int, steps: int, console: Console | None = None
) -> Silent | Lines | Bar:
    """Return what shows the progress of a run.

    Parameters
    ----------
    wanted : bool
    epochs, steps : int
        How many epochs there are, and how many steps each has.
    console : Console, optional
        Where to; standard error by default, which honours ``NO_COLOR``.

    Returns
    -------
    context manager
        With ``within``, ``epoch`` and ``end``.
    """
    if not wanted or epochs == 0:
        return Silent()
    if console is None:
        from rich.console import Console

        console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return Bar(console, epochs, steps)
    return Lines(console, epochs)
