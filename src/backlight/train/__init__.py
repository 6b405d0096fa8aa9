"""Training: fitting a network to data, exactly and repeatably, and looking at any step again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backlight.late import import_late

if TYPE_CHECKING:
    from backlight.train.callbacks import Callback, EarlyStopping, RunState
    from backlight.train.checkpoints import Checkpoints
    from backlight.train.fit import fit
    from backlight.train.run import ReplayedStep, Run
    from backlight.train.runlog import RunLog
    from backlight.train.save import is_run, save
    from backlight.train.store import RunStore
    from backlight.train.stored import StoredRun, load
else:
    import_late(
        __name__,
        {
            "backlight.train.callbacks": ("Callback", "EarlyStopping", "RunState"),
            "backlight.train.checkpoints": ("Checkpoints",),
            "backlight.train.fit": ("fit",),
            "backlight.train.run": ("ReplayedStep", "Run"),
            "backlight.train.runlog": ("RunLog",),
            "backlight.train.save": ("is_run", "save"),
            "backlight.train.store": ("RunStore",),
            "backlight.train.stored": ("StoredRun", "load"),
        },
    )

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
