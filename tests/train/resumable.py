"""A training run for the kill-and-resume tests: run as a program, it may be killed at any moment.

Usage: python resumable.py FOLDER EXECUTOR.  It trains with checkpoints in FOLDER/checkpoints,
goes on from what is there, and when it ends writes what came of it to FOLDER/result.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from backlight import nn, optim
from backlight.train import Checkpoints, EarlyStopping, fit

EPOCHS = {"reference": 60, "native": 500}
EVERY_STEPS = {"reference": 41, "native": 683}


def train(executor, **options):
    """Train with everything that has a state: dropout, Adam, plateau, early stopping, logs."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(607, 12)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)
    net = nn.Sequential(
        nn.Linear(12, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 2), seed=1
    )  # fmt: skip
    rate = optim.ReduceOnPlateau(0.01, factor=0.7, patience=9)
    return fit(
        net, (X, y), loss=nn.cross_entropy, optimizer=optim.Adam(rate), epochs=EPOCHS[executor],
        batch_size=10, validation=0.2, early_stopping=EarlyStopping(patience=499), seed=5,
        log_every=13, gradient_norms=True, executor=executor, **options,
    )  # fmt: skip


def result(run):
    """What came of a run, without what depends on the clock, as plain data."""
    history = {key: values for key, values in run.history.items() if key != "seconds"}
    state = {
        f"{slot}.{name}": array.tobytes().hex()
        for slot, arrays in run.final_state.slots.items()
        for name, array in arrays.items()
    }
    return {
        "history": history,
        "step_history": run.step_history,
        "parameters": {name: each.tobytes().hex() for name, each in run.parameters.items()},
        "state": state,
        "steps": run.steps,
        "stopped": run.stopped,
        "best_epoch": run.best_epoch,
        "scales": [list(change) for change in run.course.scales.changes],
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    every = EVERY_STEPS[sys.argv[2]]
    options = Checkpoints(folder / "checkpoints", every_steps=every, every_seconds=0.1)
    print("training", flush=True)
    run = train(sys.argv[2], checkpoint=options, resume=True)
    (folder / "result.new").write_text(json.dumps(result(run)))
    (folder / "result.new").rename(folder / "result.json")
