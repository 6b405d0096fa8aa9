"""The training loop: epochs and steps, what they add up to, and who is told of them.

It takes an engine that can take steps and gives a `Run`; whatever ends it, the network has the
parameters of the last completed step.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field, replace

import numpy as np

from backlight.errors import BacklightError, BacklightWarning, TrainingError
from backlight.optim import PlateauState, ReduceOnPlateau
from backlight.tensor import Tensor
from backlight.train import failure
from backlight.train.callbacks import EarlyStopping, History, Hooks, RunState, Watch
from backlight.train.engine import Engine, Outcome, TrainingState
from backlight.train.prepare import Prepared
from backlight.train.progress import Bar, Silent
from backlight.train.progress import progress as progress_of
from backlight.train.run import Run, eager_step
from backlight.train.snapshots import Course, Scales, Snapshots
from backlight.train.step import Arrays

FINISHED, EARLY, CALLBACK, INTERRUPTED = "finished", "early stopping", "callback", "interrupted"


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


CALL_SECONDS = 0.05
"""Calls of compiled code shorter than this are made longer."""


@dataclass
class Sums:
    """What the steps of an epoch add up to."""

    loss: float = 0.0
    metrics: list[float] = field(default_factory=list)
    rate: float = 0.0


class Loop:
    """One run of `fit`, from its first step to its last."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        prepared: Prepared,
        tensors: dict[str, Tensor],
        early_stopping: EarlyStopping | None,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.prepared = prepared
        self.tensors = tensors
        self.names = [each.name for each in engine.model.metrics]
        keys = ["loss", *self.names]
        if prepared.validation is not None:
            keys += [f"validation_{name}" for name in keys]
        self.history: History = {key: [] for key in (*keys, "learning_rate", "seconds")}
        self.step_history: History = {}
        if settings.log_every is not None:
            extra = ("gradient_norm",) if engine.norm else ()
            self.step_history = {key: [] for key in ("step", "loss", "learning_rate", *extra)}
        self.watch = None if early_stopping is None else Watch.of(early_stopping, keys)
        self.best: Arrays | None = None
        start = {name: np.array(each.value) for name, each in tensors.items()}
        self.state = engine.first(start)
        self.previous = self.state
        self._together = 16
        self.snapshots = Snapshots()
        self.snapshots.offer(self.state)
        self.scales = Scales()
        rate = engine.model.optimizer.learning_rate
        self.plateau = rate if isinstance(rate, ReduceOnPlateau) else None
        self.plateau_state = PlateauState() if self.plateau is None else self.plateau.start()
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

    # ── the loop ─────────────────────────────────────────────────────────────────────────────

    def run(self) -> Run:
        """Train, and return the run; the network has its parameters whatever happens."""
        show = progress_of(self.settings.progress, self.settings.epochs, self.engine.plan.per_epoch)
        stopped = INTERRUPTED
        checksum = self.engine.train.checksum()
        try:
            with show:
                try:
                    stopped = self._epochs(show)
                except KeyboardInterrupt:
                    stopped = INTERRUPTED
                show.end(self._ending(stopped))
            self._check_finite_end()
        finally:
            self._assign(self.state.parameters)
        final = self.state.parameters
        if self.watch is not None and self.watch.options.restore_best and self.best is not None:
            final = self.best
            self._assign(final)
        return Run(
            net=self.engine.model.net,
            history=self.history,
            step_history=self.step_history,
            stopped=stopped,
            best_epoch=self._best_epoch(),
            parameters=dict(final),
            course=Course(self.engine, self.snapshots, self.scales, self.state.step),
            checksum=checksum,
            final_state=self.state,
            split=self.prepared.split,
            dataset=self.prepared.dataset,
        )

    def _epochs(self, show: Silent) -> str:
        for epoch in range(self.settings.epochs):
            start = time.perf_counter()
            sums, stopped = self._steps(epoch, show)
            if stopped == CALLBACK:
                return stopped
            self._end_epoch(epoch, sums, start)
            show.epoch(epoch, {key: values[-1] for key, values in self.history.items()})
            hooks = self.settings.hooks.epoch_end
            if hooks and Hooks.call(hooks, self._seen(epoch, sums.loss)):
                return CALLBACK
            if self._observe(epoch):
                return EARLY
            if stopped:
                return stopped
        return FINISHED

    def _steps(self, epoch: int, show: Silent) -> tuple[Sums, str]:
        """Take the steps of an epoch; return the sums and why training is to stop, if it is."""
        engine, hooks = self.engine, self.settings.hooks.step_end
        sums = Sums(metrics=[0.0] * len(self.names))
        bar = show if isinstance(show, Bar) and engine.plan.per_epoch > 1 else None
        start = 0
        if engine.iterates and not (hooks or self.step_history or engine.train.weights is not None):
            start = self._many_steps(epoch, sums, bar)
        for batch in range(start, engine.plan.per_epoch):
            new, outcome = engine.advance(self.state, self.scales.last)
            if not math.isfinite(outcome.loss):
                raise self._failed(outcome)
            # One assignment: whatever interrupts, the state is that before or after a step.
            self.previous, self.state = self.state, new
            self.snapshots.offer(new)
            self._add(sums, outcome, batch)
            if self.step_history:
                self._log(outcome)
            if bar is not None:
                bar.within(epoch, (batch + 1) / engine.plan.per_epoch, outcome.loss)
            if hooks and Hooks.call(hooks, self._seen(epoch, outcome.loss)):
                return sums, CALLBACK
            if outcome.stopped:
                return sums, outcome.stopped
        return sums, ""

    def _many_steps(self, epoch: int, sums: Sums, bar: Bar | None) -> int:
        """Take the full batches of an epoch in a few calls; return how many there were.

        A call takes about a tenth of a second, so that progress shows and Ctrl-C is heard.
        """
        engine = self.engine
        length = engine.plan.length(0)
        full = sum(engine.plan.length(k) == length for k in range(engine.plan.per_epoch))
        batch = 0
        while batch < full:
            begun = time.perf_counter()
            count = min(self._together, full - batch)
            new, found = engine.advance_many(self.state, count, self.scales.last)
            if found.done < count:
                # The step that failed is taken again by itself, which says what went wrong.
                if found.done:
                    self.state, _ = engine.advance_many(self.state, found.done, self.scales.last)
                self.previous = self.state
                return batch + found.done
            self.previous, self.state = self.state, new
            self.snapshots.offer(new)
            sums.loss += float(sum(engine.loss_total(each, float(length)) for each in found.losses))
            for k in range(found.metrics.shape[1]):
                sums.metrics[k] += float(found.metrics[:, k].sum()) * length
            sums.rate = float(found.rates[-1])
            batch += count
            if bar is not None:
                bar.within(epoch, batch / engine.plan.per_epoch, float(found.losses[-1]))
            if time.perf_counter() - begun < CALL_SECONDS:
                self._together *= 2
        return batch

    def _add(self, sums: Sums, outcome: Outcome, batch: int) -> None:
        engine = self.engine
        n = engine.plan.length(batch)
        weight = float(n)
        if engine.train.weights is not None:
            rows = engine.rows(self.previous.step)
            weight = engine.loss_weight(engine.train.take(rows))
        sums.loss += engine.loss_total(outcome.loss, weight)
        for k, value in enumerate(outcome.metrics):
            sums.metrics[k] += value * n
        sums.rate = outcome.learning_rate

    def _end_epoch(self, epoch: int, sums: Sums, start: float) -> None:
        train, history = self.engine.train, self.history
        history["loss"].append(sums.loss / self.engine.loss_weight(train))
        for name, total in zip(self.names, sums.metrics, strict=True):
            history[name].append(total / len(train))
        if self.prepared.validation is not None:
            values = self.engine.evaluate(self.state.parameters, self.prepared.validation)
            for name, value in zip(("loss", *self.names), values, strict=True):
                history[f"validation_{name}"].append(value)
        history["learning_rate"].append(sums.rate)
        history["seconds"].append(time.perf_counter() - start)

    def _observe(self, epoch: int) -> bool:
        """Tell the plateau schedule and early stopping of an epoch; return whether to stop."""
        if self.plateau is not None:
            key = "validation_loss" if "validation_loss" in self.history else "loss"
            value = self.history[key][-1]
            self.plateau_state, scale = self.plateau.observe(self.plateau_state, value)
            self.scales.set(self.state.step, scale)
        if self.watch is None:
            return False
        if self.watch.observe(epoch, self.history[self.watch.monitor][-1]):
            self.best = self.state.parameters
        return self.watch.exhausted

    def _log(self, outcome: Outcome) -> None:
        step = self.previous.step
        if self.settings.log_every is None or step % self.settings.log_every:
            return
        self.step_history["step"].append(step)
        self.step_history["loss"].append(outcome.loss)
        self.step_history["learning_rate"].append(outcome.learning_rate)
        if outcome.norm is not None:
            self.step_history["gradient_norm"].append(outcome.norm)

    # ── what others see ──────────────────────────────────────────────────────────────────────

    def _assign(self, parameters: Arrays) -> None:
        for name, each in self.tensors.items():
            each.assign(parameters[name])

    def _seen(self, epoch: int, loss: float) -> RunState:
        """Give the network its parameters and return what callbacks are shown."""
        self._assign(self.state.parameters)
        return RunState(
            self.engine.model.net,
            epoch,
            self.state.step,
            self.settings.epochs,
            loss,
            self.history,
            self.state.parameters,
        )

    def _best_epoch(self) -> int | None:
        if self.watch is not None:
            return self.watch.best_epoch if self.watch.best is not None else None
        values = self.history.get("validation_loss") or self.history["loss"]
        finite = [k for k, value in enumerate(values) if not math.isnan(value)]
        return min(finite, key=values.__getitem__) if finite else None

    def _ending(self, stopped: str) -> str:
        done = len(self.history["loss"])
        best = self._best_epoch()
        more = f", best epoch {best + 1}" if self.watch is not None and best is not None else ""
        return f"{stopped} after {done} of {self.settings.epochs} epochs{more}"

    # ── when it goes wrong ───────────────────────────────────────────────────────────────────

    def _check_finite_end(self) -> None:
        """The last update may have spoilt the parameters after the last loss was computed."""
        if not self.state.finite:
            raise self._failed(None)

    def _failed(self, outcome: Outcome | None) -> TrainingError:
        """Go back to the last finite parameters and say what happened."""
        spoilt = not self.state.finite
        state = self.previous if spoilt else self.state
        what = "a parameter" if spoilt else "the loss"
        rate = outcome.learning_rate if outcome is not None else self.history["learning_rate"][-1]
        reason = self._reason(state, gradients=spoilt) or failure.spoilt(self.state.parameters)
        candidates = (state, *reversed(self.snapshots.states))
        kept = next((each for each in candidates if each.finite), state)
        self.state = replace(kept, step=self.state.step)
        position = self.engine.plan.position(state.step)
        return TrainingError(failure.message(what, state.step, *position, reason, rate))

    def _reason(self, state: TrainingState, *, gradients: bool) -> str:
        try:
            replayed = eager_step(self.engine, state, self.scales.at(state.step))
        except BacklightError as error:  # a loss may refuse values that it can see
            return str(error).rstrip(".")
        return failure.cause(replayed, gradients=gradients)
