"""Writes a run into the run store while it is trained.

`Recorder` hears of epochs, steps and events and writes them about twice a
second, so that a quick epoch is not slowed down.  Trouble with the store is said aloud once and
never ends training.
"""

from __future__ import annotations

import datetime
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from backlight.errors import BacklightWarning, RunError
from backlight.train import process
from backlight.train.code_version import code_version
from backlight.train.durable import make_folders, remove_folders
from backlight.train.observe import Observer
from backlight.train.runlog import RunLog
from backlight.train.save import environment
from backlight.train.store import FAILED, FINISHED, RUNNING, STORE_FILE, Event, RunStore

if TYPE_CHECKING:
    from backlight.train.standing import Standing

SECONDS_BETWEEN_WRITES = 0.5


class Recorder(Observer):
    """Enters one run into a run store; a context that opens and closes it.

    Parameters
    ----------
    log : RunLog
    epochs : int
        How many there are to be.
    """

    wants_identity = True

    def __init__(self, log: RunLog, epochs: int) -> None:
        self.log = log
        self.epochs = epochs
        self._run = 0
        self._numbers: list[tuple[str, int, str, float]] = []
        self._events: list[Event] = []
        self._written = time.monotonic()
        self._begun = time.monotonic()
        self._before = 0.0
        self._failing = False
        self._new = False
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        """Open the store, before anything is trained.

        Raises
        ------
        RunError
            When it cannot be used, or the name is taken.
        """
        folder = Path(self.log.directory)
        try:
            self._made = make_folders(folder)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise RunError(
                f"The folder {folder} cannot be made ({why}); choose another."
            ) from error
        self._new = not (folder / STORE_FILE).exists()
        self._store = RunStore(folder)
        if self._store.read_only:
            self._store.close()
            path = self._store.path
            raise RunError(f"The run store {path} cannot be written to; choose another folder.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and self._run:
            # Whatever it was: the store says how far it came.
            self._write({"status": FAILED, "ended": _now(), "process": None})
        empty = self._new and not self._run and not self._store.records()
        self._store.close()
        if empty:  # nothing was trained: leave no trace
            self._store.path.unlink(missing_ok=True)
            remove_folders(self._made)

    # ── what it hears ────────────────────────────────────────────────────────────────────────

    def started(self, loop: Standing, resumed: int | None) -> None:
        """Enter the run, or find its entry again."""
        name = self.log.name or self._free_name()
        known = self._store.has(name)
        values = self._described(loop) | {
            "name": name,
            "status": RUNNING,
            "process": process.own(),
            "ended": None,
            "stopped": None,
        }
        if known and resumed is not None:
            record = self._store.record(name)
            self._run, self._before = record.id, float(record.values["seconds"] or 0.0)
            self._store.forget_metrics(self._run)
            del values["started"]
            self._store.change(self._run, values)
        else:
            if known and self.log.replace:
                self._store.forget(name)
            self._run = self._store.add(values)
        self._begun = time.monotonic()
        if resumed is None:
            self.event("started", "training began", 0)
        else:
            self._repeat(loop)
            self.event("resumed", f"training goes on from step {resumed}", resumed)
        self._write({})

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """Keep the numbers of an epoch."""
        self._add("epoch", number, values)

    def step(self, values: Mapping[str, float]) -> None:
        """Keep the numbers of a step."""
        self._add("step", int(values["step"]), values)

    def health(self, values: Mapping[str, float]) -> None:
        """Keep the numbers of a check-up."""
        self._add("health", int(values["step"]), values)

    def event(self, kind: str, message: str, step: int) -> None:
        """Keep an event."""
        self._events.append(Event(_now(), step, kind, message))
        self._write_now_and_then()

    def ended(self, loop: Standing, stopped: str) -> None:
        """Write how the run ended."""
        self._events.append(Event(_now(), loop.state.step, "stopped", stopped))
        self._write(
            {
                **self._reached(loop),
                "status": FAILED if stopped == FAILED else FINISHED,
                "stopped": stopped,
                "ended": _now(),
                "process": None,
            }
        )

    # ── what it writes ───────────────────────────────────────────────────────────────────────

    def _add(self, scope: str, number: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if name != "step":
                self._numbers.append((scope, number, name, float(value)))
        self._write_now_and_then()

    def _repeat(self, loop: Standing) -> None:
        """Keep everything up to the checkpoint, of which some was not written before."""
        for name, values in loop.history.items():
            self._numbers += [("epoch", k, name, value) for k, value in enumerate(values)]
        for scope, history in (("step", loop.step_history), ("health", loop.health)):
            for name, values in history.items():
                if name != "step":
                    rows = zip(history["step"], values, strict=True)
                    self._numbers += [(scope, int(step), name, value) for step, value in rows]

    def _write_now_and_then(self) -> None:
        if time.monotonic() - self._written >= SECONDS_BETWEEN_WRITES:
            self._write({})

    def _write(self, changes: Mapping[str, Any]) -> None:
        numbers, events = self._numbers, self._events
        epochs = [number + 1 for scope, number, _, _ in numbers if scope == "epoch"]
        reached = {"seconds": self._before + time.monotonic() - self._begun}
        if epochs:
            reached["epochs"] = max(epochs)
        self._written = time.monotonic()
        try:
            self._store.write(self._run, numbers, events, {**reached, **changes})
        except RunError as error:
            if not self._failing:
                warnings.warn(f"{error} Training goes on.", BacklightWarning, stacklevel=2)
            self._failing = True  # what was not written is tried again with the next
            return
        self._failing = False
        self._numbers, self._events = [], []

    @staticmethod
    def _reached(loop: Standing) -> dict[str, Any]:
        return {
            "epochs": len(loop.history["loss"]),
            "steps": loop.state.step,
            "best_epoch": loop.best_epoch(),
        }

    def _free_name(self) -> str:
        number = 1
        while self._store.has(f"run-{number}"):
            number += 1
        return f"run-{number}"

    def _described(self, loop: Standing) -> dict[str, Any]:
        model = loop.engine.model
        dataset = loop.prepared.dataset
        code = code_version()
        return {
            "directory": None,
            "started": _now(),
            "network": type(model.net).__name__,
            "parameters": sum(each.value.size for each in loop.tensors.values()),
            "loss": model.objective.name,
            "optimizer": type(model.optimizer).__name__,
            "batch_size": loop.engine.plan.batch_size,
            "seed": loop.engine.seed,
            "data": self.log.data or (None if dataset is None else dataset.name),
            "rows": len(loop.engine.train),
            "fingerprint": loop.identity["training data"],
            "code": code.commit,
            "modified": code.modified,
            "configuration": {**loop.identity, "epochs": self.epochs},
            "environment": {**environment(), "processors": os.cpu_count()},
            **self._reached(loop),
        }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
