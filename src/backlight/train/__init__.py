"""Training: fitting a network to data, exactly and repeatably, and looking at any step again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backlight.train.callbacks import Callback, EarlyStopping, RunState
from backlight.train.checkpoints import Checkpoints
from backlight.train.fit import fit
from backlight.train.run import ReplayedStep, Run
from backlight.train.runlog import RunLog
from backlight.train.save import is_run, save
from backlight.train.stored import StoredRun, load

if TYPE_CHECKING:
    from backlight.train.store import RunStore

__all__ = [
    "Callback",
    "Checkpoints",
    "EarlyStopping",
    "ReplayedStep",
    "Run",
    "RunLog",
    "RunState",
    "RunStore",
    "StoredRun",
    "fit",
    "is_run",
    "load",
    "save",
]


def __getattr__(name: str) -> type[RunStore]:
    """Load the run store when it is first asked for, because SQLite takes a while to load."""
    if name == "RunStore":
        from backlight.train.store import RunStore

        return RunStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
