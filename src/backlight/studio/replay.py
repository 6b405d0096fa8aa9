"""One step of a training with every number on the way, for the page to look at.

`step_trace` takes the engine and the state before a step and gives the recorded step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backlight.errors import RunError
from backlight.graph.primitive import Array
from backlight.optim import Optimizer
from backlight.record import Trace, record
from backlight.studio.asking import Json
from backlight.train.engine import Engine, TrainingState
from backlight.train.run import eager_step, recorded_update

MOST_REPLAYED_ROWS = 512
"""Rows of a batch that are recorded with every number; of a larger batch the first ones are."""


def step_trace(
    engine: Engine,
    state: TrainingState,
    scale: float,
    example: int | None,
    *,
    update: bool = True,
) -> Trace:
    """Record the step that follows a state with every number on the way.

    Of a batch of more than 512 rows only the first are recorded, which ``about`` says.

    Parameters
    ----------
    engine : Engine
    state : TrainingState
    scale : float
        The factor on the learning rate.
    example : int or None
        One training row alone.
    update : bool
        Record what the optimizer makes of the gradients as well.
    """
    rows: Array | None = None
    whole = True
    if example is not None:
        if not 0 <= example < len(engine.train):
            raise RunError(
                f"There are {len(engine.train)} training examples, numbered from 0, so there is "
                f"no example {example}."
            )
        rows, whole = np.array([example]), False
    elif engine.plan.length(engine.plan.position(state.step)[1]) > MOST_REPLAYED_ROWS:
        rows, whole = np.asarray(engine.rows(state.step))[:MOST_REPLAYED_ROWS], False
    replayed = eager_step(engine, state, scale, rows)
    about: Json = {
        "step": replayed.step,
        "epoch": replayed.epoch,
        "batch": replayed.batch,
        "rows": replayed.rows.tolist(),
    }
    if not whole and example is None:
        about["note"] = f"The first {MOST_REPLAYED_ROWS} rows of a larger batch."
    trace = record(replayed.loss, about=about)
    optimizer = engine.model.optimizer
    if not (update and whole and isinstance(optimizer, Optimizer)):
        return trace
    gradients: dict[str, Array] = {
        name: gradient for name in engine.trained if (gradient := trace.gradient(name)) is not None
    }
    return replace(trace, update=recorded_update(optimizer, replayed, gradients))
