"""Training: fitting a network to data, exactly and repeatably, and looking at any step again."""

from __future__ import annotations

from backlight.train.callbacks import Callback, EarlyStopping, RunState
from backlight.train.fit import fit
from backlight.train.run import ReplayedStep, Run
from backlight.train.save import is_run, save
from backlight.train.stored import StoredRun, load

__all__ = [
    "Callback",
    "EarlyStopping",
    "ReplayedStep",
    "Run",
    "RunState",
    "StoredRun",
    "fit",
    "is_run",
    "load",
    "save",
]
