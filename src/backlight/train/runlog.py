"""Where `fit` enters a run in a run store: the folder and the run's name."""

from __future__ import annotations

import os
from dataclasses import dataclass

from backlight.errors import UsageError

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class RunLog:
    """Where a run is entered in a run store.

    Parameters
    ----------
    directory : path
        The project's folder of runs; the store is ``backlight.sqlite3`` in it.
    name : str, optional
        Of the run; ``run-1``, ``run-2``, … by default.
    replace : bool
        Let an earlier run of the same name be forgotten.
    data : str, optional
        What the examples are called; the name of the data set by default.

    Examples
    --------
    >>> RunLog("runs", "baseline").name
    'baseline'
    """

    directory: PathLike
    name: str | None = None
    replace: bool = False
    data: str | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        name = self.name
        if name is None:
            return
        plain = isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable()
        if not plain or name != name.strip() or "/" in name or "\\" in name:
            raise UsageError(
                f"A run's name must be up to 200 printable characters without slashes, not "
                f"{name!r}."
            )

    @classmethod
    def of(cls, given: RunLog | PathLike | None) -> RunLog | None:
        """Take a folder for its default options, and None for no store."""
        if given is None or isinstance(given, cls):
            return given
        if not isinstance(given, (str, os.PathLike)):
            raise UsageError(f"store must be the folder of a run store, not {given!r}.")
        return cls(given)
