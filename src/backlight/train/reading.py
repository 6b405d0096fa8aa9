"""Reads the files of a stored run, which may hold anything.

Each function takes a directory or one of its files and gives what it says, or a `RunError` of one
sentence that says which file is damaged, and how.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as from_safetensors

from backlight.data.messages import reason
from backlight.errors import BacklightError, RunError
from backlight.graph.primitive import Array, Spec
from backlight.optim import LBFGSState
from backlight.train.callbacks import History
from backlight.train.engine import TrainingState
from backlight.train.save import (
    FORMAT,
    HISTORY_FILE,
    RUN_FILE,
    SNAPSHOTS_FILE,
    VERSION,
    Json,
    snapshot_key,
)
from backlight.train.step import Arrays

Value = TypeVar("Value")


def damaged(place: Path, file: str, what: str) -> RunError:
    """Return the error for a damaged file of a run."""
    return RunError(f"The run {place} is damaged: {file}: {what}; train it again.")


def checked(place: Path, file: str, make: Callable[[], Value]) -> Value:
    """Make something of what a file says, which may say anything."""
    try:
        return make()
    except (BacklightError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
            MemoryError) as error:  # fmt: skip
        what = f"{error!s} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise damaged(place, file, what or type(error).__name__) from error


def content_of(path: Path) -> bytes:
    """Return what is in a file of a run."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise RunError(f"There is no run {path.parent}; check the path.") from None
        if path.name == RUN_FILE:
            raise RunError(
                f"{path.parent} is not a run, because it has no {RUN_FILE}; give the folder that "
                f"the run was saved to."
            ) from None
        raise damaged(path.parent, path.name, "the file is missing") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({reason(error)}).") from error


_KEYS = (
    "architecture", "network", "parameters", "loss", "optimizer", "metrics", "batch_size",
    "shuffle", "seed", "epochs", "steps", "stopped", "best_epoch", "split", "scales", "snapshots",
    "data", "environment", "preprocessing", "class_names", "about",
)  # fmt: skip


def read_description(place: Path) -> Json:
    """Return what ``run.json`` says, once it is known to be of a form that can be used."""
    content = content_of(place / RUN_FILE)
    try:
        description = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(place, RUN_FILE, "it is not JSON") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise RunError(f"{place / RUN_FILE} does not describe a run of Backlight; check the path.")
    version = description.get("version")
    if version != VERSION:
        raise RunError(
            f"The run {place} has version {version!r} of the format, and this Backlight reads "
            f"version {VERSION}; use the Backlight that saved it, or a newer one."
        )
    missing = [key for key in _KEYS if key not in description]
    if missing:
        raise damaged(place, RUN_FILE, f"{missing[0]!r} is missing")
    checked(place, RUN_FILE, lambda: _check_types(description))
    return description


def _check_types(description: Json) -> None:
    """Raise unless the numbers are numbers and the lists lists."""
    for key, kinds in (
        ("steps", int), ("epochs", int), ("seed", int), ("shuffle", bool), ("stopped", str),
        ("snapshots", list), ("scales", list), ("data", dict), ("loss", dict), ("about", dict),
        ("parameters", list), ("optimizer", dict), ("class_names", (list, type(None))),
        ("preprocessing", (dict, type(None))), ("batch_size", (int, type(None))),
        ("architecture", (dict, type(None))), ("split", (float, type(None))),
        ("best_epoch", (int, type(None))),
    ):  # fmt: skip
        if not isinstance(description[key], kinds):
            raise TypeError(f"{key!r} has a wrong type")
    for key in ("rows", "fingerprint", "weights"):
        description["data"][key]
    for key in ("name", "options", "own"):
        description["loss"][key]
    if not description["snapshots"]:
        raise ValueError("it lists no snapshots")


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of a safetensors file."""
    content = content_of(path)
    try:
        arrays: Arrays = from_safetensors(content)
    except (SafetensorError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise damaged(path.parent, path.name, "it is not a whole safetensors file") from error
    return arrays


def listed_specs(description: Json) -> dict[str, Spec]:
    """Return the parameters that ``run.json`` lists."""
    return {
        str(each["name"]): Spec(tuple(map(int, each["shape"])), np.dtype(each["dtype"]))
        for each in description["parameters"]
    }


def specs_of(arrays: Mapping[str, Array]) -> dict[str, Spec]:
    """Return the shape and dtype of each array."""
    return {name: Spec(each.shape, each.dtype) for name, each in arrays.items()}


def compare(place: Path, listed: Mapping[str, Spec], found: Mapping[str, Spec], what: str) -> None:
    """Raise unless names, shapes and dtypes are those that the run lists."""
    for name, spec in listed.items():
        if name not in found:
            raise RunError(f"The run {place} lists a parameter {name!r} that {what} lacks.")
        if found[name] != spec:
            raise RunError(
                f"The run {place} lists {name!r} as {spec}, and in {what} it is {found[name]}."
            )
    extra = [name for name in found if name not in listed]
    if extra:
        raise RunError(f"The run {place} does not list the parameter {extra[0]!r} of {what}.")


def read_history(place: Path, description: Json) -> tuple[History, History]:
    """Return the history of epochs and that of steps."""
    content = content_of(place / HISTORY_FILE)
    epochs: History = {"loss": []}
    steps: History = {}
    try:
        rows = [json.loads(line) for line in content.decode("utf-8").splitlines()]
        for row in rows:
            into = epochs if "epoch" in row else steps
            for key, value in row.items():
                if key != "epoch":
                    into.setdefault(key, []).append(value if key == "step" else float(value))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(place, HISTORY_FILE, "a line of it is not a row of numbers") from error
    for kind, lengths in (
        (epochs, {description["epochs"]}),
        (steps, {len(next(iter(steps.values()), []))}),
    ):
        if {len(values) for values in kind.values()} - lengths:
            raise damaged(place, HISTORY_FILE, "it does not have one row for each epoch")
    return epochs, steps


def read_state(
    place: Path, stored: Json, arrays: Mapping[str, Array], parameters: Arrays
) -> TrainingState:
    """Put a snapshot together from its arrays."""

    def array(step: int, kind: str, name: str) -> Array:
        key = snapshot_key(step, kind, name)
        if key not in arrays:
            raise ValueError(f"the array {key!r} is missing")
        return arrays[key]

    def fitting(step: int, kind: str, names: Sequence[str]) -> Arrays:
        found = {name: array(step, kind, name) for name in names}
        for name, each in found.items():
            if each.shape != parameters[name].shape or each.dtype != parameters[name].dtype:
                raise ValueError(f"{snapshot_key(step, kind, name)!r} has another shape or dtype")
        return found

    def make() -> TrainingState:
        step = int(stored["step"])
        own = fitting(step, "parameters", list(parameters))
        slots = {slot: fitting(step, slot, names) for slot, names in stored["slots"].items()}
        lbfgs = stored.get("lbfgs")
        if lbfgs is None:
            return TrainingState(step, own, slots)
        pairs = range(int(lbfgs["pairs"]))
        state = LBFGSState(
            {name: own[name] for name in lbfgs["names"]},
            None if lbfgs["loss"] is None else float(lbfgs["loss"]),
            array(step, "lbfgs", "gradient") if lbfgs["gradient"] else None,
            tuple(array(step, "lbfgs", f"change {k}") for k in pairs),
            tuple(array(step, "lbfgs", f"difference {k}") for k in pairs),
            int(lbfgs["iteration"]),
            int(lbfgs["evaluations"]),
            bool(lbfgs["converged"]),
            str(lbfgs["reason"]),
        )
        return TrainingState(step, own, slots, state)

    return checked(place, SNAPSHOTS_FILE, make)
