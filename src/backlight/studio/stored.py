"""Trained runs as the studio sees them: the steps that can be replayed, and what they were of.

Whoever starts the studio says how the folder of a run is opened (`Opener`); the command line
finds the training data again, and without that the final weights are shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backlight.data import Dataset
from backlight.errors import BacklightError
from backlight.graph.primitive import Array
from backlight.studio.asking import Json
from backlight.studio.task import Task
from backlight.train import Run, StoredRun
from backlight.train import load as load_run

MOST_RUNS = 500


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A run, with what is known of it.

    Attributes
    ----------
    name : str
    path : Path or None
        The folder; None for a run in memory.
    run : Run or None
        None when the training data could not be found.
    stored : StoredRun or None
    task : Task or None
    reason : str
        Why there is no run, or no task.
    """

    name: str
    path: Path | None
    run: Run | None
    stored: StoredRun | None
    task: Task | None
    reason: str = ""


Opener = Callable[[str], OpenedRun]


def open_plain(path: str) -> OpenedRun:
    """Open the folder of a run without looking for its data."""
    stored = load_run(path)
    return OpenedRun(
        Path(path).name,
        Path(path),
        None,
        stored,
        None,
        "The run does not say where its training data is.",
    )


def from_run(run: Run, name: str = "run") -> OpenedRun:
    """Take a run that is in memory."""
    return OpenedRun(name, None, run, None, task_of(run), "")


def task_of(run: Run) -> Task | None:
    """Describe the examples of a run that is in memory, in the form in which it was given them."""
    engine = run.course.engine
    examples, objective = engine.train, run.model.objective
    X = examples.X.reshape(len(examples), -1)
    given = run.dataset
    dtype = str(engine.model.dtype)
    fits = given is not None and len(given) == len(examples)
    names = tuple(f"x{k + 1}" for k in range(X.shape[1]))
    image = None
    if given is not None and len(given.feature_names) == X.shape[1]:
        names, image = given.feature_names, given.image_shape
    classes = None if given is None else given.class_names
    y: Array = examples.y
    link = "none"
    if objective.targets == "classes" and y.dtype.kind == "i" and y.ndim == 1:
        link = "softmax"
        if objective.name == "nll":
            return None
        if classes is None:
            classes = tuple(str(k) for k in range(int(y.max(initial=0)) + 1))
    elif objective.targets == "binary":
        link = "logistic" if objective.name.endswith("logits") else "none"
        flat = y.reshape(len(y), -1)
        if ((flat != 0) & (flat != 1)).any():
            return None
        if flat.shape[1] == 1:
            y, classes = flat[:, 0].astype("int64"), classes or ("0", "1")
        else:  # several labels for each row: a table of probabilities
            y, classes = flat.astype("float64"), None
    else:
        classes = None
        y = y if y.dtype.kind == "f" else y.astype("float64")
    try:
        data = Dataset(
            name=given.name if fits and given is not None else "data",
            X=X,
            y=y,
            feature_names=names,
            target_name="y" if given is None else given.target_name,
            class_names=classes,
            task="regression" if classes is None else "classification",
            image_shape=image,
        )
    except BacklightError:  # examples that no panel could show
        return None
    return Task(data, dtype=dtype, link=link)


def list_runs(folder: Path) -> list[Json]:
    """List the runs in a folder, its ``runs`` folder and itself, by reading their descriptions."""
    found: list[Json] = []
    for place in (folder, folder / "runs"):
        try:
            inside = sorted(each for each in place.iterdir() if (each / "run.json").is_file())
        except OSError:
            continue
        for each in inside[: MOST_RUNS - len(found)]:
            described = _describe(each, folder)
            if described is not None:
                found.append(described)
    return found


def _describe(place: Path, folder: Path) -> Json | None:
    try:
        text = (place / "run.json").read_text("utf-8")
        stored = json.loads(text)
        steps = int(stored["steps"])
    except (OSError, ValueError, KeyError, TypeError):  # damaged; opening it says how
        return None
    data = stored.get("data")
    return {
        "path": os.path.relpath(place, folder),
        "name": place.name,
        "steps": steps,
        "data": data.get("name") if isinstance(data, dict) else None,
        "network": str(stored.get("network"))[:100],
    }
