"""One checkpoint as bytes: everything that training needs to go on exactly where it was.

A checkpoint is a safetensors file.  Its arrays are the parameters, the optimizer's running
averages (or what L-BFGS remembers), the parameters that training began with and those of the best
epoch; its metadata holds the rest as JSON and a SHA-256 over all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as from_safetensors
from safetensors.numpy import save as to_safetensors

from backlight.errors import BacklightError, RunError
from backlight.graph.primitive import Array
from backlight.optim import PlateauState
from backlight.train.callbacks import History
from backlight.train.mark import Mark, Seen
from backlight.train.reading import read_state
from backlight.train.save import Json, contiguous, number_out, snapshot_arrays, snapshot_dict
from backlight.train.step import Arrays

FORMAT, VERSION = "backlight.checkpoint", 1

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Saved:
    """What a checkpoint holds.

    Attributes
    ----------
    mark : Mark
        Where training stands.
    history, step_history, health : dict of str to list of float
        As of `Run`, up to this moment.
    start : dict of str to ndarray
        The parameters that training began with.
    identity : dict
        What was trained, on what, and how, to notice when something else is to go on from here.
    environment : dict
        The versions and the machine.
    stopped : str
        Why training ended, at the end of it; empty on the way.
    """

    mark: Mark
    history: History
    step_history: History
    health: History
    start: Arrays
    identity: Json
    environment: Json
    stopped: str = ""


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def encode(saved: Saved) -> bytes:
    """Write a checkpoint as the bytes of a safetensors file."""
    mark = saved.mark
    arrays = dict(snapshot_arrays([mark.state]))
    arrays |= {f"start/{name}": array for name, array in saved.start.items()}
    if mark.best is not None:
        arrays |= {f"best/{name}": array for name, array in mark.best.items()}
    arrays = contiguous(arrays)
    seen = mark.seen
    state = {
        "state": snapshot_dict(mark.state),
        "start": list(saved.start),
        "best": None if mark.best is None else list(mark.best),
        "epoch": {
            "loss": number_out(mark.loss),
            "metrics": [number_out(each) for each in mark.metrics],
            "learning_rate": number_out(mark.rate),
            "seconds": mark.seconds,
        },
        "history": _rows(saved.history, mark.epochs),
        "step_history": _rows(saved.step_history, mark.logged),
        "health": _rows(saved.health, mark.checkups),
        "early_stopping": None
        if seen is None
        else {
            "best": None if seen.best is None else number_out(seen.best),
            "best_epoch": seen.best_epoch,
            "waited": seen.waited,
        },
        "plateau": {
            "best": None if mark.plateau.best is None else number_out(mark.plateau.best),
            "waited": mark.plateau.waited,
            "scale": number_out(mark.plateau.scale),
        },
        "scales": [list(change) for change in mark.scales],
        "identity": saved.identity,
        "environment": saved.environment,
        "stopped": saved.stopped,
    }
    text = json.dumps(state, ensure_ascii=False, allow_nan=False)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "state": text,
        "sha256": digest(text, arrays),
    }
    return bytes(to_safetensors(arrays, metadata))


def _rows(history: History, length: int) -> dict[str, list[float | str]]:
    return {key: [number_out(each) for each in values[:length]] for key, values in history.items()}


def digest(text: str, arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 over the JSON text and every array with its name, dtype and shape."""
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        fixed = np.ascontiguousarray(arrays[name])
        found.update(f"\n{name} {fixed.dtype.str} {arrays[name].shape}\n".encode())
        found.update(fixed.reshape(-1).data.cast("B") if fixed.size else b"")
    return found.hexdigest()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


class DamagedError(Exception):
    """A checkpoint that cannot be used; the text says why, in a clause."""


class NewerError(RunError):
    """A checkpoint of another version of the format."""


def decode(content: bytes) -> Saved:
    """Read what `encode` wrote.

    Raises
    ------
    DamagedError
        When a byte of it is not as it was written.
    NewerError
        When another version of Backlight wrote it.
    """
    metadata = _metadata(content)
    if metadata.get("format") != FORMAT:
        raise DamagedError("it is no checkpoint")
    if metadata.get("version") != str(VERSION):
        raise NewerError(
            f"The checkpoint has version {str(metadata.get('version'))[:20]} of the format, and "
            f"this Backlight reads version {VERSION}; use the Backlight that wrote it."
        )
    try:
        arrays: Arrays = from_safetensors(content)
    except (SafetensorError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise DamagedError("it is not a whole safetensors file") from error
    text = metadata.get("state", "")
    if metadata.get("sha256") != digest(text, arrays):
        raise DamagedError("its checksum is not that of its content")
    return _guarded(lambda: _saved(json.loads(text), arrays))


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file: a length of 8 bytes, then that much JSON."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or size > len(content) - 8:
        raise DamagedError("it is cut off")
    try:
        header = json.loads(content[8 : 8 + size].decode("utf-8"))
        found = header.get("__metadata__", {})
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedError("its header is not JSON") from error


def _guarded(make: Callable[[], Value]) -> Value:
    """Make something of what a checkpoint says, which may say anything."""
    try:
        return make()
    except (BacklightError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
            RecursionError, MemoryError) as error:  # fmt: skip
        raise DamagedError(f"its content cannot be read ({type(error).__name__})") from error


def _saved(stored: Json, arrays: Arrays) -> Saved:
    start = {str(name): arrays[f"start/{name}"] for name in stored["start"]}
    best = stored["best"]
    seen, epoch, plateau = stored["early_stopping"], stored["epoch"], stored["plateau"]
    history, steps, health = (
        {
            str(key): [each if key in ("step", "epoch") else float(each) for each in values]
            for key, values in stored[part].items()
        }
        for part in ("history", "step_history", "health")
    )
    mark = Mark(
        state=read_state(Path("checkpoint"), stored["state"], arrays, start),
        loss=float(epoch["loss"]),
        metrics=tuple(float(each) for each in epoch["metrics"]),
        rate=float(epoch["learning_rate"]),
        seconds=float(epoch["seconds"]),
        epochs=_length(history),
        logged=_length(steps),
        checkups=_length(health),
        seen=None
        if seen is None
        else Seen(_number(seen["best"]), int(seen["best_epoch"]), int(seen["waited"])),
        best=None if best is None else {str(name): arrays[f"best/{name}"] for name in best},
        plateau=PlateauState(
            _number(plateau["best"]), int(plateau["waited"]), float(plateau["scale"])
        ),
        scales=tuple((int(step), float(scale)) for step, scale in stored["scales"]),
    )
    return Saved(
        mark,
        history,
        steps,
        health,
        start,
        dict(stored["identity"]),
        dict(stored["environment"]),
        str(stored["stopped"]),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _length(history: History) -> int:
    lengths = {len(values) for values in history.values()}
    if len(lengths) > 1:
        raise ValueError("columns of different lengths")
    return lengths.pop() if lengths else 0
