"""A folder of checkpoints: when one is written, which are kept, and which one is gone on from.

`Checkpoints` says what the user wants; `Keeper` does it during one training run.  The folder is
locked while a process trains, and a damaged checkpoint is passed over, aloud, for the one before.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from backlight.data.messages import reason
from backlight.errors import BacklightWarning, RunError, UsageError
from backlight.train.checkpoint import DamagedError, Saved, decode, encode
from backlight.train.durable import Lock, make_folders, remove_folders, write_durably

NAME = re.compile(r"step-(\d{1,18})\.safetensors")

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Checkpoints:
    """Where checkpoints go, and how often.

    Parameters
    ----------
    directory : path
        A folder for the checkpoints of one run; it is made when it is not there.
    every_steps : int, optional
        Write one after every so many steps.
    every_seconds : float, optional
        Write one when so many seconds have passed since the last; None switches that off.  One
        is written at the start and at the end, too, whatever ends training.
    keep : int
        How many of the newest are kept; from 2 on, one can be damaged.

    Raises
    ------
    UsageError
        When an option is out of its range.

    Examples
    --------
    >>> Checkpoints("runs/line.checkpoints", every_steps=1000).keep
    3
    """

    directory: PathLike
    every_steps: int | None = None
    every_seconds: float | None = 60.0
    keep: int = 3

    def __post_init__(self) -> None:
        """Check the options."""
        if not isinstance(self.directory, (str, os.PathLike)) or not str(self.directory):
            raise UsageError(f"A checkpoint folder must be a path, not {self.directory!r}.")
        for name, value, least in (("every_steps", self.every_steps, 1), ("keep", self.keep, 1)):
            optional = name == "every_steps" and value is None
            if not optional and (type(value) is not int or value < least):
                raise UsageError(f"{name} must be a whole number from {least} on, not {value!r}.")
        seconds = self.every_seconds
        if seconds is not None and (
            isinstance(seconds, bool)
            or not isinstance(seconds, (int, float))
            or not 0 <= seconds < float("inf")
        ):
            raise UsageError(f"every_seconds must be a number from 0 on, not {seconds!r}.")

    @classmethod
    def of(cls, given: Checkpoints | PathLike | None) -> Checkpoints | None:
        """Take a folder for its default options, and None for no checkpoints."""
        if given is None or isinstance(given, cls):
            return given
        return cls(given)  # type: ignore[arg-type]

    @property
    def folder(self) -> Path:
        """The folder as a path."""
        return Path(self.directory)


def found_in(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, the newest first; an unreadable folder has none."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = [(int(match[1]), folder / name) for name in names if (match := NAME.fullmatch(name))]
    return [path for _, path in sorted(found, reverse=True)]


def latest(folder: PathLike) -> Saved | None:
    """Read the newest checkpoint of a folder that is whole; say aloud which were not.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Saved or None
        None when there is no checkpoint.

    Raises
    ------
    RunError
        When there are checkpoints and none of them is whole, or another version wrote one.
    """
    paths = found_in(Path(folder))
    for k, path in enumerate(paths):
        try:
            saved = decode(path.read_bytes())
        except DamagedError as error:
            why = str(error)
        except (OSError, MemoryError) as error:
            why = reason(error) if isinstance(error, OSError) else "it does not fit into memory"
        else:
            return saved
        if k + 1 < len(paths):
            warnings.warn(
                f"The checkpoint {path} is damaged ({why}); the one before, {paths[k + 1].name}, "
                f"is used instead.",
                BacklightWarning,
                stacklevel=2,
            )
    if paths:
        raise RunError(
            f"None of the {len(paths)} checkpoints in {folder} is whole (the oldest: {why}), so "
            f"nothing can be gone on from; remove the folder and train again."
        )
    return None


class Keeper:
    """Keeps the checkpoints of one run while it is trained.

    It is a context: the folder is made and locked on entry, before anything is trained.

    Parameters
    ----------
    options : Checkpoints
    resume : bool
        Go on from what is there; otherwise there must be nothing.
    """

    def __init__(self, options: Checkpoints, resume: bool) -> None:
        self.options = options
        self.resume = resume
        self._lock = Lock(options.folder, f"The checkpoint folder {options.folder}")
        self._written = time.monotonic()
        self._last = -1
        self._failing = False
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        """Make and lock the folder.

        Raises
        ------
        RunError
            When it cannot be written to, another process trains there, or it holds checkpoints
            that are not to be gone on from.
        """
        folder = self.options.folder
        try:
            self._made = make_folders(folder)
        except OSError as error:
            raise RunError(
                f"The checkpoint folder {folder} cannot be made ({reason(error)}); choose another "
                f"place."
            ) from error
        try:
            self._lock.__enter__()
        except BaseException:
            remove_folders(self._made)
            raise
        if not self.resume and (there := found_in(folder)):
            self._lock.__exit__(None, None, None)
            step = NAME.fullmatch(there[0].name)
            assert step is not None
            raise RunError(
                f"{folder} holds the checkpoints of an earlier run, up to step {int(step[1])}; go "
                f"on from there with resume=True, or choose another folder."
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not found_in(self.options.folder):  # nothing was trained: leave no trace
            self._lock.remove()
        self._lock.__exit__(kind, error, traceback)
        remove_folders(self._made)

    def latest(self) -> Saved | None:
        """Return what to go on from, if there is anything; see `latest`.

        Damaged checkpoints after it are set aside, so that they are not taken for newer ones.
        """
        folder = self.options.folder
        saved = latest(folder) if self.resume else None
        if saved is not None:
            for path in found_in(folder):
                step = NAME.fullmatch(path.name)
                if step is not None and int(step[1]) > saved.mark.state.step:
                    os.replace(path, path.with_name(f"{path.name}.damaged"))
        return saved

    # ── when ─────────────────────────────────────────────────────────────────────────────────

    def room(self, step: int) -> int | None:
        """Return how many steps there may be in one go before the next checkpoint by steps."""
        every = self.options.every_steps
        return None if every is None else every - step % every

    def due(self, step: int) -> bool:
        """Tell whether a checkpoint is to be written before a step."""
        if step == self._last:
            return False
        every, seconds = self.options.every_steps, self.options.every_seconds
        if every is not None and step % every == 0:
            return True
        return seconds is not None and time.monotonic() - self._written >= seconds

    # ── what ─────────────────────────────────────────────────────────────────────────────────

    def write_first(self, saved: Saved) -> None:
        """Write the checkpoint of the start, which shows that there is room for one.

        Raises
        ------
        RunError
            When the disk refuses.
        """
        try:
            self._write(saved)
        except OSError as error:
            raise RunError(
                f"No checkpoint can be written to {self.options.folder} ({reason(error)}); make "
                f"room, or choose another place."
            ) from error

    def write(self, saved: Callable[[], Saved]) -> Path | None:
        """Write a checkpoint; when the disk refuses, say so aloud and let training go on.

        Returns
        -------
        Path or None
            None when it could not be written.
        """
        try:
            path = self._write(saved())
        except OSError as error:
            self._written = time.monotonic()  # not at every step again
            if not self._failing:
                warnings.warn(
                    f"No checkpoint could be written to {self.options.folder} "
                    f"({reason(error)}); the one before is still there, and training goes on.",
                    BacklightWarning,
                    stacklevel=2,
                )
            self._failing = True
            return None
        self._failing = False
        return path

    def _write(self, saved: Saved) -> Path:
        step = saved.mark.state.step
        path = self.options.folder / f"step-{step:09d}.safetensors"
        write_durably(path, encode(saved))
        self._written, self._last = time.monotonic(), step
        self._prune()
        return path

    def _prune(self) -> None:
        """Remove what is older than the newest few, and what a killed process left half-written."""
        folder = self.options.folder
        for path in found_in(folder)[self.options.keep :]:
            path.unlink(missing_ok=True)
        for path in folder.glob(".step-*.new"):
            path.unlink(missing_ok=True)
