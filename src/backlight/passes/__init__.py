"""Passes: functions from a graph to a graph that gives the same results with less work."""

from __future__ import annotations

from backlight.passes.common import eliminate_common
from backlight.passes.dead import eliminate_dead
from backlight.passes.fold import fold_constants
from backlight.passes.pipeline import (
    Report,
    optimize,
    optimize_reported,
    optimize_together,
    run_passes,
)
from backlight.passes.simplify import simplify

__all__ = [
    "Report",
    "eliminate_common",
    "eliminate_dead",
    "fold_constants",
    "optimize",
    "optimize_reported",
    "optimize_together",
    "run_passes",
    "simplify",
]
