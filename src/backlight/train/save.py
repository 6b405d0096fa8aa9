"""Writes a training run to a directory: all of it, or nothing.

The directory holds ``run.json`` (what was trained, how, on what, where), ``history.jsonl`` (one
line per epoch), ``weights.safetensors`` (the final parameters) and ``snapshots.safetensors`` (the
states that steps are replayed from).  It is written beside its place and moved there when every
byte is on the disk.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import math
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as to_safetensors

from backlight import nn
from backlight.data import Dataset, Preprocessor, Standardizer
from backlight.data.messages import reason
from backlight.data.rows import pieces
from backlight.errors import RunError, UsageError
from backlight.graph.primitive import Array
from backlight.optim import LBFGSState
from backlight.train.durable import sync_folder, write_and_sync
from backlight.train.engine import TrainingState
from backlight.train.prepare import Examples
from backlight.train.run import Run
from backlight.version import __version__

FORMAT, VERSION = "backlight.run", 1
RUN_FILE, HISTORY_FILE = "run.json", "history.jsonl"
WEIGHTS_FILE, SNAPSHOTS_FILE = "weights.safetensors", "snapshots.safetensors"

Json = dict[str, Any]


def save(
    run: Run,
    directory: str | os.PathLike[str],
    *,
    data: Dataset | None = None,
    preprocessing: Standardizer | Preprocessor | Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
    about: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a run to a directory.

    Parameters
    ----------
    run : Run
    directory : path
        It is made; the folder around it must exist.
    data : Dataset, optional
        Where the examples come from, to be described and recognized; by default what `fit` was
        given, when that was a data set.
    preprocessing : Standardizer, Preprocessor or mapping, optional
        What was done to the features before training; by default what `fit` did itself with a
        table.  A mapping is stored as it is; its entries
        ``"features"`` and ``"targets"`` are a `Standardizer` as a dict, or None.
    class_names : sequence of str, optional
        By default those of the data set.
    about : mapping, optional
        Further plain data to store with the run.
    overwrite : bool
        Replace a run that is there already.

    Returns
    -------
    Path
        The directory.

    Raises
    ------
    RunError
        When something else is in the place, or a run without ``overwrite``, or the disk refuses;
        what was there before is still there then.
    UsageError
        When something that is to be stored is not plain data.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from backlight import nn
    >>> from backlight.train import fit, load, save
    >>> X, y = np.array([[0.0], [1.0]], np.float32), np.array([[1.0], [3.0]])
    >>> net = nn.Sequential(nn.Linear(1, 1), seed=0)
    >>> run = fit(net, (X, y), loss=nn.mse, epochs=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stored = load(save(run, folder + "/line"))
    >>> bool((stored.outputs(X) == net(X).value).all())
    True
    """
    place = Path(directory)
    check_place(place, overwrite=overwrite)
    dataset = data if data is not None else run.dataset
    if class_names is None and dataset is not None:
        class_names = dataset.class_names
    description = {
        **describe(run, dataset),
        "preprocessing": preprocessing_dict(
            run.preprocessing if preprocessing is None else preprocessing
        ),
        "class_names": None if class_names is None else [str(each) for each in class_names],
        "about": dict(about or {}),
    }
    files = {
        RUN_FILE: _json_bytes(description),
        HISTORY_FILE: _history_bytes(run),
        WEIGHTS_FILE: to_safetensors(contiguous(run.parameters)),
        SNAPSHOTS_FILE: to_safetensors(snapshot_arrays(kept_states(run))),
    }
    write_directory(place, files)
    return place


# ---- the place -----------------------------------------------------------------------------------


def check_place(place: Path, *, overwrite: bool) -> None:
    """Raise unless a run may be written to a place.

    Raises
    ------
    RunError
        When there is something that is no run, or a run and ``overwrite`` is not set.
    """
    if not place.parent.is_dir():
        raise RunError(f"The folder {place.parent} does not exist; make it first.")
    if not os.path.lexists(place):
        return
    if place.is_symlink() or not place.is_dir():
        raise RunError(
            f"{place} is not a folder, so no run can be saved there; choose another name."
        )
    try:
        if not any(place.iterdir()):
            return
    except OSError as error:
        raise RunError(f"{place} cannot be looked into ({reason(error)}).") from error
    if not is_run(place):
        raise RunError(
            f"{place} exists and is not a run, so it is left alone; choose another name."
        )
    if not overwrite:
        raise RunError(f"{place} holds a run already; choose another name, or pass overwrite=True.")


def is_run(place: Path) -> bool:
    """Tell whether a directory says that it is a run, whole or damaged."""
    try:
        with open(place / RUN_FILE, "rb") as file:
            start = file.read(200)
    except OSError:
        return False
    return f'"format": "{FORMAT}"'.encode() in start


def write_directory(place: Path, files: Mapping[str, bytes]) -> None:
    """Write files beside a place and move them there together; on failure leave no trace.

    Raises
    ------
    RunError
        When the disk refuses.
    """
    try:
        fresh = _new_folder(place, "new")
    except OSError as error:
        raise _refused(place, error) from error
    try:
        for name, content in files.items():
            write_and_sync(fresh / name, content)
        sync_folder(fresh)
        _move(fresh, place)
        sync_folder(place.parent)
    except OSError as error:
        raise _refused(place, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _move(fresh: Path, place: Path) -> None:
    """Put a finished directory into its place; the old one is back there if that fails."""
    if not os.path.lexists(place):
        os.replace(fresh, place)
        return
    old = _new_folder(place, "old")
    try:
        os.replace(place, old / place.name)
        try:
            os.replace(fresh, place)
        except BaseException:
            os.rename(old / place.name, place)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _new_folder(place: Path, what: str) -> Path:
    """Make a folder beside a place, on the same disk."""
    folder = place.with_name(f".{place.name}-{secrets.token_hex(4)}.{what}")
    folder.mkdir()
    return folder


def _refused(place: Path, error: OSError) -> RunError:
    return RunError(
        f"The run cannot be saved to {place} ({reason(error)}); choose another place, or make room."
    )


# ---- what is written -----------------------------------------------------------------------------


def describe(run: Run, dataset: Dataset | None) -> Json:
    """Return what ``run.json`` says about a run, as plain data."""
    engine = run.course.engine
    return {
        "format": FORMAT,
        "version": VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "architecture": architecture(run.net),
        "network": type(run.net).__name__,
        "parameters": [
            {"name": name, "shape": list(spec.shape), "dtype": spec.dtype.name}
            for name, spec in run.model.specs.items()
        ],
        "loss": loss_dict(run.loss, run.model.objective.name),
        "optimizer": run.optimizer.to_dict(),
        "executor": run.model.executor,
        "metrics": [each.name for each in run.model.metrics],
        "batch_size": engine.plan.batch_size,
        "shuffle": engine.plan.shuffle,
        "seed": run.seed,
        "epochs": run.epochs,
        "steps": run.steps,
        "stopped": run.stopped,
        "best_epoch": run.best_epoch,
        "split": run.split,
        "scales": [list(change) for change in run.course.scales.changes],
        "snapshots": [snapshot_dict(state) for state in kept_states(run)],
        "data": data_dict(engine.train, dataset),
        "health": {key: [number_out(each) for each in run.health[key]] for key in run.health},
        "environment": environment(),
    }


def architecture(net: object) -> Json | None:
    """Return a network as plain data, or None for one that only its own class can build."""
    to_dict = getattr(net, "to_dict", None)
    if to_dict is not None:
        try:
            described: Json = to_dict()
        except UsageError:  # a layer of the user's own
            return None
        return described
    if type(net).__module__.startswith("backlight.nn.") and isinstance(net, nn.Module):
        return {"kind": type(net).__name__, **net.configuration()}
    return None


def loss_dict(function: Any, name: str) -> Json:
    """Return a loss as plain data: its name, its options, and whether it is Backlight's."""
    options: Json = {}
    base = function
    while isinstance(base, functools.partial):
        options = {**base.keywords, **options}
        base = base.func
    own = getattr(nn.losses, name, None) is base and name in nn.losses.__all__
    return {"name": name, "options": options if own else {}, "own": own}


def data_dict(train: Examples, dataset: Dataset | None) -> Json:
    """Describe the training examples so that they are recognized again."""
    found: Json = {
        "rows": len(train),
        "X": list(train.X.shape[1:]),
        "y": list(train.y.shape[1:]),
        "weights": train.weights is not None,
        "fingerprint": fingerprint(train),
    }
    if dataset is not None:
        found["name"] = dataset.name
        found["source"] = dataset.source
        found["dataset_fingerprint"] = dataset.fingerprint()
        found["task"] = dataset.task
        found["feature_names"] = list(dataset.feature_names)
        found["target_name"] = dataset.target_name
    return found


def fingerprint(examples: Examples) -> str:
    """Return a SHA-256 over examples as the network saw them."""
    digest = hashlib.sha256()
    for each in examples.arrays:
        dtype = each.dtype.newbyteorder("<")
        digest.update(f"{dtype.str} {each.shape} ".encode())
        for part in pieces(each):  # the data may lie in a file and be larger than memory
            fixed = np.ascontiguousarray(part, dtype=dtype)
            digest.update(fixed.reshape(-1).data.cast("B") if fixed.size else b"")
    return digest.hexdigest()


def environment() -> Json:
    """Return the versions and the machine that a run was made with."""
    return {
        "backlight": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": sys.platform,
        "machine": platform.machine(),
    }


def preprocessing_dict(
    preprocessing: Standardizer | Preprocessor | Mapping[str, Any] | None,
) -> Json | None:
    """Return preprocessing as plain data."""
    if isinstance(preprocessing, (Standardizer, Preprocessor)):
        return {"features": preprocessing.to_dict(), "targets": None}
    return None if preprocessing is None else dict(preprocessing)


def _json_bytes(description: Json) -> bytes:
    try:
        text = json.dumps(description, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The run holds something that JSON cannot store ({error}); options of optimizers and "
            f"losses, preprocessing and about must be finite numbers, text, lists and dicts."
        ) from error
    return f"{text}\n".encode()


def _history_bytes(run: Run) -> bytes:
    lines = []
    for epoch in range(run.epochs):
        row = {"epoch": epoch, **{key: number_out(run.history[key][epoch]) for key in run.history}}
        lines.append(json.dumps(row, allow_nan=False))
    steps = run.step_history
    for k in range(len(steps.get("step", ()))):
        lines.append(json.dumps({key: number_out(steps[key][k]) for key in steps}))
    return "".join(f"{line}\n" for line in lines).encode()


def number_out(value: float) -> float | str:
    """Return a number as JSON can hold it: ``"nan"`` and ``"inf"`` as text.

    Examples
    --------
    >>> number_out(0.5), number_out(float("-inf"))
    (0.5, '-inf')
    """
    return value if math.isfinite(value) else str(float(value))


def kept_states(run: Run) -> list[TrainingState]:
    """Return the states that are stored: the snapshots and the last one."""
    states = list(run.course.snapshots.states)
    if states[-1].step != run.final_state.step:
        states.append(run.final_state)
    return states


def snapshot_dict(state: TrainingState) -> Json:
    """Describe a state: its step, the names of its arrays, and the numbers of L-BFGS."""
    found: Json = {"step": state.step, "slots": {k: list(v) for k, v in state.slots.items()}}
    if state.lbfgs is not None:
        found["lbfgs"] = {
            "loss": None if state.lbfgs.loss is None else number_out(state.lbfgs.loss),
            "gradient": state.lbfgs.gradient is not None,
            "pairs": len(state.lbfgs.changes),
            "names": list(state.lbfgs.parameters),
            "iteration": state.lbfgs.iteration,
            "evaluations": state.lbfgs.evaluations,
            "converged": state.lbfgs.converged,
            "reason": state.lbfgs.reason,
        }
    return found


def snapshot_arrays(states: Sequence[TrainingState]) -> dict[str, Array]:
    """Return the arrays of states by the names that they have in a file."""
    found: dict[str, Array] = {}
    for state in states:
        for name, array in state.parameters.items():
            found[snapshot_key(state.step, "parameters", name)] = array
        for slot, arrays in state.slots.items():
            for name, array in arrays.items():
                found[snapshot_key(state.step, slot, name)] = array
        if state.lbfgs is not None:
            found |= _lbfgs_arrays(state.step, state.lbfgs)
    return contiguous(found)


def _lbfgs_arrays(step: int, state: LBFGSState) -> dict[str, Array]:
    found = {}
    if state.gradient is not None:
        found[snapshot_key(step, "lbfgs", "gradient")] = state.gradient
    for k, (change, difference) in enumerate(zip(state.changes, state.differences, strict=True)):
        found[snapshot_key(step, "lbfgs", f"change {k}")] = change
        found[snapshot_key(step, "lbfgs", f"difference {k}")] = difference
    return found


def snapshot_key(step: int, kind: str, name: str) -> str:
    """Return what an array of a snapshot is called in its file."""
    return f"{step}/{kind}/{name}"


def contiguous(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return arrays in C order: the file format writes an array's memory as it lies."""
    return {name: np.ascontiguousarray(each).reshape(each.shape) for name, each in arrays.items()}
