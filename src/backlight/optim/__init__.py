"""Optimizers: update rules, learning-rate schedules, clipping, and L-BFGS for full batches.

All are frozen dataclasses of options; `from_dict` makes any of them from what its ``to_dict``
gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backlight.late import import_late

if TYPE_CHECKING:
    from backlight.optim.clip import ByNorm, ByValue, Clip, global_norm
    from backlight.optim.lbfgs import LBFGS, LBFGSResult, LBFGSState
    from backlight.optim.optimizer import Optimizer, StepState
    from backlight.optim.plateau import PlateauState, ReduceOnPlateau
    from backlight.optim.rules import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop
    from backlight.optim.schedules import (
        Constant,
        Cosine,
        Exponential,
        OneCycle,
        Schedule,
        Step,
        WarmUp,
    )
else:
    import_late(
        __name__,
        {
            "backlight.optim.clip": ("ByNorm", "ByValue", "Clip", "global_norm"),
            "backlight.optim.lbfgs": ("LBFGS", "LBFGSResult", "LBFGSState"),
            "backlight.optim.optimizer": ("Optimizer", "StepState"),
            "backlight.optim.plateau": ("PlateauState", "ReduceOnPlateau"),
            "backlight.optim.rules": (*("SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "RMSprop"),),
            "backlight.optim.schedules": (
                *("Constant", "Cosine", "Exponential", "OneCycle", "Schedule", "Step", "WarmUp"),
            ),
        },
    )

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "LBFGS",
    "RMSprop",
    "SGD",
    "Optimizer",
    "StepState",
    "LBFGSResult",
    "LBFGSState",
    "Constant",
    "Cosine",
    "Exponential",
    "OneCycle",
    "PlateauState",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
    "WarmUp",
    "ByNorm",
    "ByValue",
    "Clip",
    "global_norm",
    "from_dict",
]

_NAMES = (
    *("Adadelta", "Adagrad", "Adam", "AdamW", "LBFGS", "RMSprop", "SGD"),
    *("Constant", "Cosine", "Exponential", "OneCycle", "ReduceOnPlateau", "Step", "WarmUp"),
    *("ByNorm", "ByValue"),
)


def from_dict(written: Mapping[str, Any]) -> Any:
    """Make an optimizer, a schedule or a way of clipping from plain JSON.

    Parameters
    ----------
    written : mapping
        What ``to_dict`` gave: ``"name"`` and the options; those left out have their defaults.

    Returns
    -------
    Optimizer, LBFGS, Schedule or Clip

    Raises
    ------
    UnknownNameError
        When there is no such name or option; it suggests the nearest.
    UsageError
        When a value is out of its range.

    Examples
    --------
    >>> from_dict({"name": "SGD", "learning_rate": {"name": "Cosine", "rate": 0.1, "steps": 9}})
    SGD(learning_rate=Cosine(rate=0.1, steps=9, final=0.0), weight_decay=0.0, clip=None, \
momentum=0.0, nesterov=False)
    >>> from_dict({"name": "adm"})
    Traceback (most recent call last):
    backlight.errors.UnknownNameError: There is no 'adm' in bl.optim; did you mean 'Adam'?
    """
    from backlight import optim
    from backlight.optim.options import read

    return read(written, {name: getattr(optim, name) for name in _NAMES})
