"""Where a run of `fit` stands, the way back there, and its checkpoints.

`Standing` holds everything that changes while training goes on.  After each step it knows its way
back there (`Mark`), so that a run that was interrupted, or killed and begun again, goes on as if
nothing had happened.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backlight.errors import BacklightWarning
from backlight.optim import PlateauState, ReduceOnPlateau
from backlight.tensor import Tensor
from backlight.train.callbacks import EarlyStopping, History, Hooks, Watch
from backlight.train.engine import Engine
from backlight.train.health import Checkups
from backlight.train.mark import Mark, Seen, Sums, cut
from backlight.train.observe import Observer
from backlight.train.prepare import Prepared
from backlight.train.snapshots import Scales, Snapshots
from backlight.train.step import Arrays

if TYPE_CHECKING:  # what writes checkpoints is loaded by those who want some
    from backlight.train.checkpoint import Saved
    from backlight.train.checkpoints import Keeper
    from backlight.train.save import Json


FIRST_CALL = 0.01
"""Seconds that the first call of compiled code may take, by a rough estimate; later ones adapt."""


@dataclass(frozen=True)
class Settings:
    """What the loop is told.

    Attributes
    ----------
    epochs : int
    hooks : Hooks
    progress : bool
    log_every : int or None
    """

    epochs: int
    hooks: Hooks
    progress: bool
    log_every: int | None


class Standing:
    """Everything that changes during a run, and how to keep it and get back to it."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        prepared: Prepared,
        tensors: dict[str, Tensor],
        early_stopping: EarlyStopping | None,
        keeper: Keeper | None = None,
        observer: Observer | None = None,
        checkups: Checkups | None = None,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.prepared = prepared
        self.tensors = tensors
        self.keeper = keeper
        self.observer = observer or Observer()
        self.checkups = checkups or Checkups(False)
        self.names = [each.name for each in engine.model.metrics]
        keys = ["loss", *self.names]
        if prepared.validation is not None:
            keys += [f"validation_{name}" for name in keys]
        self.history: History = {key: [] for key in (*keys, "learning_rate", "seconds")}
        self.step_history: History = {}
        if settings.log_every is not None:
            extra = ("gradient_norm",) if engine.norm else ()
            self.step_history = {key: [] for key in ("step", "loss", "learning_rate", *extra)}
        self.health: History = {}
        self.watch = None if early_stopping is None else Watch.of(early_stopping, keys)
        self.best: Arrays | None = None
        start = {name: np.array(each.value) for name, each in tensors.items()}
        self.identity: Json = {}
        self.state = engine.first(start)
        self.previous = self.state
        self.together = engine.calls_of(FIRST_CALL)  # steps in one call of compiled code
        self.snapshots = Snapshots()
        self.snapshots.offer(self.state)
        self.scales = Scales()
        rate = engine.model.optimizer.learning_rate
        self.plateau = rate if isinstance(rate, ReduceOnPlateau) else None
        self.plateau_state = PlateauState() if self.plateau is None else self.plateau.start()
        self.start = start
        self.mark = self._marked(Sums(metrics=[0.0] * len(self.names)))
        self._say_what_is_not_trained()

    def _say_what_is_not_trained(self) -> None:
        idle = [name for name in self.tensors if name not in self.engine.trained]
        if not idle:
            return
        rest = "it as it is" if len(idle) == 1 else "them as they are"
        warnings.warn(
            f"The loss does not depend on {', '.join(idle)}, so training leaves {rest}; "
            f"bl.why_no_grad says why.",
            BacklightWarning,
            stacklevel=4,
        )

    # ── marks and checkpoints ────────────────────────────────────────────────────────────────

    def _marked(self, sums: Sums) -> Mark:
        watch = self.watch
        return Mark(
            self.state,
            sums.loss,
            tuple(sums.metrics),
            sums.rate,
            time.perf_counter() - sums.begun,
            len(self.history["loss"]),
            len(self.step_history.get("step", ())),
            len(self.health.get("step", ())),
            None if watch is None else Seen(watch.best, watch.best_epoch, watch.waited),
            self.best,
            self.plateau_state,
            self.scales.changes,
        )

    def _return_to(self, mark: Mark) -> None:
        """Let everything be as it was at a mark."""
        self.mark = mark
        self.state = self.previous = mark.state
        cut(self.history, mark.epochs)
        cut(self.step_history, mark.logged)
        cut(self.health, mark.checkups)
        if self.watch is not None and mark.seen is not None:
            seen = mark.seen
            self.watch.best, self.watch.best_epoch = seen.best, seen.best_epoch
            self.watch.waited = seen.waited
        self.best = mark.best
        self.plateau_state = mark.plateau
        self.scales = Scales(mark.scales)
        self.snapshots.forget_after(mark.state.step)

    def _resume(self, keeper: Keeper) -> int | None:
        """Go to the last checkpoint, if there is one, and return its step."""
        from backlight.train.identity import check_same
        from backlight.train.save import environment

        saved = keeper.latest()
        if saved is None:
            keeper.write_first(self._saved(""))
            return None
        check_same(keeper.options.folder, saved.identity, self.identity)
        if saved.environment != environment():
            warnings.warn(
                f"The checkpoints in {keeper.options.folder} were made with other versions or on "
                f"another machine, so that the last digits may differ from those of a run in one "
                f"go.",
                BacklightWarning,
                stacklevel=4,
            )
        self.history, self.step_history = saved.history, saved.step_history
        self.health = saved.health
        self.start = saved.start
        self.snapshots = Snapshots()
        self.snapshots.offer(self.engine.first(saved.start))
        self._return_to(saved.mark)
        self.snapshots.offer(self.state)
        return self.state.step

    def _offer_checkpoint(self) -> None:
        if self.keeper is not None and self.keeper.due(self.state.step):
            self._write_checkpoint(self.keeper, "")

    def _write_checkpoint(self, keeper: Keeper, stopped: str) -> None:
        path = keeper.write(lambda: self._saved(stopped))
        if path is None:
            self.observer.event("warning", "no checkpoint could be written", self.state.step)
        else:
            self.observer.event("checkpoint", path.name, self.state.step)

    def _saved(self, stopped: str) -> Saved:
        from backlight.train.checkpoint import Saved
        from backlight.train.save import environment

        return Saved(
            self.mark,
            self.history,
            self.step_history,
            self.health,
            self.start,
            self.identity,
            environment(),
            stopped,
        )

    def best_epoch(self) -> int | None:
        """Return the best epoch so far, or None before the first."""
        if self.watch is not None:
            return self.watch.best_epoch if self.watch.best is not None else None
        values = self.history.get("validation_loss") or self.history["loss"]
        finite = [k for k, value in enumerate(values) if not math.isnan(value)]
        return min(finite, key=values.__getitem__) if finite else None
