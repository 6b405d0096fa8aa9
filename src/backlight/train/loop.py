"""The training loop: epochs and steps, what they add up to, and who is told of them.

It takes an engine that can take steps and gives a `Run`; whatever ends it, the network has the
parameters of the last completed step.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from backlight.errors import BacklightError, TrainingError
from backlight.train import failure, health
from backlight.train.callbacks import Hooks, RunState
from backlight.train.engine import Outcome, TrainingState
from backlight.train.mark import Sums
from backlight.train.progress import Bar, Silent
from backlight.train.progress import progress as progress_of
from backlight.train.run import Run, eager_step
from backlight.train.signals import terminating
from backlight.train.snapshots import Course
from backlight.train.standing import Standing
from backlight.train.step import Arrays, ManySteps

FINISHED, EARLY, CALLBACK, INTERRUPTED = "finished", "early stopping", "callback", "interrupted"


CALL_SECONDS = 0.05
"""Calls of compiled code shorter than this are made longer."""


class Loop(Standing):
    """One run of `fit`, from its first step to its last."""

    # ── the loop ─────────────────────────────────────────────────────────────────────────────

    def run(self) -> Run:
        """Train, and return the run; the network has its parameters whatever happens."""
        if self.keeper is not None or self.observer.wants_identity:
            from backlight.train.identity import identify

            options = None if self.watch is None else self.watch.options
            log_every = self.settings.log_every
            self.identity = identify(self.engine, self.prepared, options, log_every)
        resumed = None if self.keeper is None else self._resume(self.keeper)
        show = progress_of(self.settings.progress, self.settings.epochs, self.engine.plan.per_epoch)
        checksum = self.engine.train.checksum()
        self.observer.started(self, resumed)
        try:
            with show:
                stopped = self._until_it_stops(show)
                show.end(self._ending(stopped))
            self._check_finite_end()
        except TrainingError as error:
            self.observer.event("non-finite", str(error), self.state.step)
            self.observer.ended(self, "failed")
            raise
        finally:
            self._assign(self.state.parameters)
        if self.keeper is not None:
            self._write_checkpoint(self.keeper, stopped)
        self.observer.ended(self, stopped)
        return self._made_run(stopped, checksum)

    def _made_run(self, stopped: str, checksum: int) -> Run:
        final = self.state.parameters
        if self.watch is not None and self.watch.options.restore_best and self.best is not None:
            final = self.best
            self._assign(final)
        return Run(
            net=self.engine.model.net,
            history=self.history,
            step_history=self.step_history,
            stopped=stopped,
            best_epoch=self.best_epoch(),
            parameters=dict(final),
            course=Course(self.engine, self.snapshots, self.scales, self.state.step),
            checksum=checksum,
            final_state=self.state,
            split=self.prepared.split,
            dataset=self.prepared.dataset,
            preprocessing=self.prepared.preprocessing,
            health=self.health,
        )

    def _until_it_stops(self, show: Silent) -> str:
        """Take the epochs; after Ctrl-C or SIGTERM, go back to the last whole step."""
        self.checkups.begin()
        with terminating(self.keeper is not None):
            try:
                return self._epochs(show)
            except KeyboardInterrupt:
                self._return_to(self.mark)
                self.observer.event("interrupted", "interrupted", self.state.step)
                return INTERRUPTED

    def _epochs(self, show: Silent) -> str:
        if self.watch is not None and self.watch.exhausted:  # resumed after its end
            return EARLY
        if self.state.lbfgs is not None and self.state.lbfgs.reason:
            return self.state.lbfgs.reason
        while (epoch := len(self.history["loss"])) < self.settings.epochs:
            if self._many_epochs(epoch, show):
                continue
            sums = self.mark.sums()
            stopped = self._steps(epoch, sums, show)
            if stopped == CALLBACK:
                return stopped
            self._end_epoch(sums)
            values = {key: each[-1] for key, each in self.history.items()}
            show.epoch(epoch, values)
            hooks = self.settings.hooks.epoch_end
            asked = bool(hooks) and Hooks.call(hooks, self._seen(epoch, sums.last))
            exhausted = self._observe(epoch)
            if self.checkups.due(epoch + 1):
                self._check_up(epoch, show)
            self.mark = self._marked(Sums(metrics=[0.0] * len(self.names)))
            self.observer.epoch(epoch, values)
            if asked:
                self.observer.event("callback", "a callback asked to stop", self.state.step)
                return CALLBACK
            if exhausted:
                return EARLY
            if stopped:
                return stopped
            self._offer_checkpoint()
        return FINISHED

    def _steps(self, epoch: int, sums: Sums, show: Silent) -> str:
        """Take the steps of an epoch that are left; return why training is to stop, if it is."""
        engine, hooks = self.engine, self.settings.hooks.step_end
        bar = show if isinstance(show, Bar) and engine.plan.per_epoch > 1 else None
        start = self.state.step - epoch * engine.plan.per_epoch
        if engine.iterates and not hooks:
            start = self._many_steps(epoch, start, sums, bar)
        for batch in range(start, engine.plan.per_epoch):
            new, outcome = engine.advance(self.state, self.scales.last)
            if not math.isfinite(outcome.loss):
                raise self._failed(outcome)
            self.previous, self.state = self.state, new
            self.snapshots.offer(new)
            self._add(sums, outcome, batch)
            if self.step_history:
                self._log(self.previous.step, outcome.loss, outcome.learning_rate, outcome.norm)
            # One assignment: whatever interrupts, the mark is that before or after a step.
            self.mark = self._marked(sums)
            if bar is not None:
                bar.within(epoch, (batch + 1) / engine.plan.per_epoch, outcome.loss)
            if hooks and Hooks.call(hooks, self._seen(epoch, outcome.loss)):
                self.observer.event("callback", "a callback asked to stop", self.state.step)
                return CALLBACK
            if outcome.stopped:
                return outcome.stopped
            if batch + 1 < engine.plan.per_epoch:
                self._offer_checkpoint()
        return ""

    def _many_steps(self, epoch: int, batch: int, sums: Sums, bar: Bar | None) -> int:
        """Take the batches of an epoch in a few calls; return which batch is the next.

        A call takes about a tenth of a second, so that progress shows and Ctrl-C is heard, and
        ends where a checkpoint is due.
        """
        engine = self.engine
        while batch < engine.plan.per_epoch:
            begun = time.perf_counter()
            left = engine.plan.per_epoch - batch
            count = engine.together(self.state.step, min(self.together, left))
            room = None if self.keeper is None else self.keeper.room(self.state.step)
            count = count if room is None else min(count, room)
            new, found = engine.advance_many(self.state, count, self.scales.last)
            failed = found.done < count
            if failed:
                # The step that failed is taken again by itself, which says what went wrong.
                if found.done == 0:
                    return batch
                new, found = engine.advance_many(self.state, found.done, self.scales.last)
                count = found.done
            self.previous, self.state = self.state, new
            self.snapshots.offer(new)
            self._add_many(sums, found, self.previous.step, batch)
            self.mark = self._marked(sums)
            batch += count
            if failed:
                return batch
            if bar is not None:
                bar.within(epoch, batch / engine.plan.per_epoch, float(found.losses[-1]))
            if time.perf_counter() - begun < CALL_SECONDS:
                self.together *= 2
            if batch < engine.plan.per_epoch:
                self._offer_checkpoint()
        return batch

    def _many_epochs(self, epoch: int, show: Silent) -> bool:
        """Take several short epochs in one call, where nothing looks between them; tell whether.

        What went wrong is found out step by step afterwards.
        """
        engine, steps = self.engine, self.engine.plan.per_epoch
        count = min(self.together // steps, self.settings.epochs - epoch)
        if count < 2 or self.state.step != epoch * steps or not self._unobserved():
            return False
        if engine.together(self.state.step, count * steps) < count * steps:
            return False
        begun = time.perf_counter()
        new, found = engine.advance_many(self.state, count * steps, self.scales.last)
        if found.done < count * steps:
            return False
        first = self.state.step
        self.previous, self.state = self.state, new
        self.snapshots.offer(new)
        spent = time.perf_counter() - begun
        if spent < CALL_SECONDS:
            self.together *= 2
        if steps == 1 and engine.train.weights is None and not self.step_history:
            self._end_epochs(found, spent)
        else:
            for k in range(count):
                sums = Sums(metrics=[0.0] * len(self.names))
                self._add_many(sums, found.part(k * steps, (k + 1) * steps), first + k * steps, 0)
                sums.begun = time.perf_counter() - spent / count
                self._end_epoch(sums)
        values = {key: each[-1] for key, each in self.history.items()}
        show.epoch(epoch + count - 1, values)
        if self.checkups.due(epoch + count):
            self._check_up(epoch + count - 1, show)
        self.mark = self._marked(Sums(metrics=[0.0] * len(self.names)))
        return True

    def _end_epochs(self, found: ManySteps, seconds: float) -> None:
        """Write down epochs of one step each: their numbers are the steps' own."""
        n, history = float(len(self.engine.train)), self.history
        weight = self.engine.loss_weight(self.engine.train)
        summed = self.engine.model.objective.reduction == "sum"
        history["loss"].extend(((found.losses * (1.0 if summed else n)) / weight).tolist())
        for k, name in enumerate(self.names):
            history[name].extend((found.metrics[:, k] * n / n).tolist())
        history["learning_rate"].extend(found.rates.tolist())
        history["seconds"].extend([seconds / len(found.losses)] * len(found.losses))

    def _unobserved(self) -> bool:
        """Whether nobody asks for anything but the history between two epochs."""
        hooks = self.settings.hooks
        return not (
            hooks.step_end
            or hooks.epoch_end
            or self.prepared.validation is not None
            or self.watch is not None
            or self.plateau is not None
            or self.keeper is not None
            or self.observer.wants_identity
            or self.checkups.counts_epochs
            or not self.engine.iterates
        )

    def _add_many(self, sums: Sums, found: ManySteps, first: int, batch: int) -> None:
        """Add several steps one after the other, so that the sums do not depend on the calls."""
        engine = self.engine
        losses = found.losses.tolist()
        if engine.model.objective.reduction == "sum":
            shares = losses
        else:
            shares = [loss * self._weight(first + k, batch + k) for k, loss in enumerate(losses)]
        for share in shares:
            sums.loss += share
        sums.last = losses[-1]
        lengths = [engine.plan.length(batch + k) for k in range(len(losses))]
        for k in range(found.metrics.shape[1]):
            for value, length in zip(found.metrics[:, k].tolist(), lengths, strict=True):
                sums.metrics[k] += value * length
        sums.rate = float(found.rates[-1])
        if self.step_history:
            for k, loss in enumerate(losses):
                norm = None if found.norms is None else float(found.norms[k])
                self._log(first + k, loss, float(found.rates[k]), norm)

    def _weight(self, step: int, batch: int) -> float:
        """Return what the loss of a step's batch counts in the loss of its epoch."""
        engine = self.engine
        if engine.train.weights is None or engine.model.objective.reduction == "sum":
            return float(engine.plan.length(batch))
        weights = engine.train.weights
        chosen = weights if engine.plan.whole else weights[engine.rows(step)]
        return float(np.sum(chosen, dtype=np.float64))

    def _add(self, sums: Sums, outcome: Outcome, batch: int) -> None:
        weight = self._weight(self.previous.step, batch)
        n = self.engine.plan.length(batch)
        sums.loss += self.engine.loss_total(outcome.loss, weight)
        sums.last = outcome.loss
        for k, value in enumerate(outcome.metrics):
            sums.metrics[k] += value * n
        sums.rate = outcome.learning_rate

    def _end_epoch(self, sums: Sums) -> None:
        train, history = self.engine.train, self.history
        history["loss"].append(sums.loss / self.engine.loss_weight(train))
        for name, total in zip(self.names, sums.metrics, strict=True):
            history[name].append(total / len(train))
        if self.prepared.validation is not None:
            values = self.engine.evaluate(self.state.parameters, self.prepared.validation)
            for name, value in zip(("loss", *self.names), values, strict=True):
                history[f"validation_{name}"].append(value)
        history["learning_rate"].append(sums.rate)
        history["seconds"].append(time.perf_counter() - sums.begun)

    def _check_up(self, epoch: int, show: Silent) -> None:
        """Look at the network's health, and say what is newly wrong."""
        found = self.checkups.make(self.engine, self.state, self.previous, self.scales.last)
        if found is None:
            return
        health.add(self.health, found.values)
        self.observer.health(found.values)
        for each in self.checkups.news(found):
            show.alarm(epoch, f"{each.what} at {each.where}: {each.message}")
            self.observer.event("warning", str(each), self.state.step)

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

    def _log(self, step: int, loss: float, rate: float, norm: float | None) -> None:
        if self.settings.log_every is None or step % self.settings.log_every:
            return
        values = {"step": step, "loss": loss, "learning_rate": rate}
        if norm is not None:
            values["gradient_norm"] = norm
        for key, value in values.items():
            self.step_history[key].append(value)
        self.observer.step(values)

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

    def _ending(self, stopped: str) -> str:
        done = len(self.history["loss"])
        best = self.best_epoch()
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
        state = self._last_finite() if spoilt else self.state
        what = "a parameter" if spoilt else "the loss"
        rate = outcome.learning_rate if outcome is not None else self.history["learning_rate"][-1]
        reason = self._reason(state, gradients=spoilt) or failure.spoilt(self.state.parameters)
        candidates = (state, *reversed(self.snapshots.states))
        kept = next((each for each in candidates if each.finite), state)
        self.state = replace(kept, step=self.state.step)
        position = self.engine.plan.position(state.step)
        return TrainingError(failure.message(what, state.step, *position, reason, rate))

    def _last_finite(self) -> TrainingState:
        """Return the state before the step that spoilt the parameters.

        Several steps may have been taken in one call, so those since the last finite state that
        was kept are taken again, one by one.
        """
        known = (self.previous, *self.snapshots.states)
        finite = [each for each in known if each.finite and each.step < self.state.step]
        state = max(finite, key=lambda each: each.step, default=self.previous)
        while state.step + 1 < self.state.step:
            following, _ = self.engine.advance(state, self.scales.at(state.step))
            if not following.finite:
                break
            state = following
        return state

    def _reason(self, state: TrainingState, *, gradients: bool) -> str:
        try:
            replayed = eager_step(self.engine, state, self.scales.at(state.step))
        except BacklightError as error:  # a loss may refuse values that it can see
            return str(error).rstrip(".")
        return failure.cause(replayed, gradients=gradients)
