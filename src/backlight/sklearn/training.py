"""The course of one fit: which solver runs, what is written down, when it stops.

It takes an estimator and its examples and leaves the fitted attributes on the estimator, as
scikit-learn's estimators do.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from backlight.errors import TrainingError, UsageError
from backlight.graph.primitive import Array
from backlight.sklearn.architecture import Architecture
from backlight.sklearn.course import (
    Course,
    Examples,
    Falling,
    NotFiniteError,
    Standing,
    StoppedError,
    chosen_executor,
    reference_seconds,
    started,
)
from backlight.sklearn.objective import Objective
from backlight.sklearn.programs import Form, gradient_program, length_of
from backlight.sklearn.quasi_newton import BLOCK, Limits, Total, minimize
from backlight.sklearn.rules import Rule
from backlight.sklearn.validation import Held, Validation
from backlight.train.callbacks import Hooks, RunState

if TYPE_CHECKING:
    from backlight.sklearn.base import BaseMultilayerPerceptron

NATIVE_AFTER = 0.05
"""From how many seconds of NumPy on a fit is compiled, where the executor is chosen by itself."""

SMALLEST_RATE = 1e-6
"""Below it the adaptive learning rate is not made smaller any more."""


class DivergedError(TrainingError, ValueError):
    """The loss or a weight is no longer finite; scikit-learn raises ValueError here."""


@dataclass(frozen=True, eq=False)
class Task:
    """What one call of `fit` or `partial_fit` is to do.

    Attributes
    ----------
    examples : Examples
    held : Held or None
    architecture : Architecture
    objective : Objective
    random : numpy.random.RandomState
    incremental : bool
        One epoch that goes on where the last call ended.
    """

    examples: Examples
    held: Held | None
    architecture: Architecture
    objective: Objective
    random: np.random.RandomState
    incremental: bool


def allowed_threads(given: int | None) -> int | None:
    """Return how many threads compiled code may use; None lets it choose by its size.

    Without a number, that of the environment variable ``OMP_NUM_THREADS`` counts: joblib sets it
    in its worker processes, which share the cores.
    """
    if given is not None:
        return int(given)
    text = os.environ.get("OMP_NUM_THREADS", "").strip()
    return max(int(text), 1) if text.isdecimal() else None


class Training:
    """One fit of one estimator."""

    def __init__(self, estimator: BaseMultilayerPerceptron, task: Task) -> None:
        self.estimator = estimator
        self.task = task
        self.hooks = Hooks.of(estimator.callbacks or ())
        self.patience = estimator.n_iter_no_change
        self.epoch_hook = bool(self.hooks.epoch_end)
        self.looked_at = task.held is not None or self.epoch_hook or bool(self.hooks.step_end)
        self.stopped_by_callback = False
        self.validation: Validation | None = None
        self._best: Sequence[Array] | None = None
        self._ends = self._lowers = False

    # ── by steps ─────────────────────────────────────────────────────────────────────────────

    def by_steps(self) -> None:
        """Train by gradient descent or Adam."""
        est, task = self.estimator, self.task
        batch = self._batch()
        standing = self._standing()
        per_epoch = -(-len(task.examples) // batch)
        steps = per_epoch * (1 if task.incremental else est.max_iter)
        seconds = (standing.step + steps) * reference_seconds(
            task.architecture.products, len(task.architecture.sizes), batch
        )
        form = Form(
            task.architecture,
            task.objective,
            length_of(batch),
            task.examples.weights is not None,
            chosen_executor(est.executor, seconds, NATIVE_AFTER),
            allowed_threads(est.threads),
            standing.rule,
        )
        seed = int(task.random.randint(2**31)) if task.architecture.random else 0
        course = Course(
            task.examples,
            form,
            batch,
            {name: float(getattr(est, name)) for name in ("alpha", *standing.rule.options)},
            task.random,
            bool(est.shuffle),
            seed,
            standing,
            self._after_step if self.hooks.step_end else None,
        )
        self.course = course
        if task.held is not None:
            self.validation = Validation(task.held, form)
        est.n_iter_ = 0
        try:
            self._epochs(course)
        except KeyboardInterrupt:
            warnings.warn(
                f"Training was interrupted after {est.n_iter_} epochs; the estimator has the "
                f"weights of that moment.",
                stacklevel=5,
            )
        except StoppedError:
            self.stopped_by_callback = True
        except NotFiniteError:
            self._keep(course.standing)
            raise DivergedError(self._diverged(course)) from None
        finally:
            est._take(course.standing.parameters)
        self._keep(course.standing)
        if est.early_stopping and self._best is not None:
            est._take(self._best)

    def _epochs(self, course: Course) -> None:
        est = self.estimator
        course.seen = est.t_
        # Nothing between two epochs needs the weights: then many are computed at a time.
        scaled = est.solver == "sgd" and est.learning_rate == "invscaling"
        falling = Falling(float(est.learning_rate_init), float(est.power_t)) if scaled else None
        # The first epoch of a fit has the learning rate that it was given.
        given = scaled and est.t_ > 0
        alone = self.looked_at or self.task.incremental or given
        course.falling = None if given else falling
        while est.n_iter_ < est.max_iter:
            self._ends = self._lowers = False
            sure = self.patience - est._no_improvement_count + 1
            course.run(1 if alone else est.max_iter - est.n_iter_, self._after_epochs, sure)
            if falling is not None:
                course.standing = replace(course.standing, rate=falling.at(est.t_))
                course.falling = falling
                alone = self.looked_at
            if self._lowers:
                course.standing = replace(course.standing, rate=course.standing.rate / 5.0)
            if self._ends or self.task.incremental:
                return
        warnings.warn(
            f"Training stopped after max_iter={est.max_iter} epochs and has not converged: it was "
            f"still becoming better by tol={est.tol:g}; raise max_iter, or tol.",
            ConvergenceWarning,
            stacklevel=6,
        )

    def _after_epochs(self, losses: list[float]) -> int | None:
        """Write epochs down; return after how many of them something changes, if it does."""
        if not (self.looked_at or self.estimator.verbose):
            return self._after_quiet_epochs(losses)
        for k, loss in enumerate(losses, 1):
            if self._after_epoch(loss):
                return k
        return None

    def _after_quiet_epochs(self, losses: list[float]) -> int | None:
        """Do what `_after_epoch` does for each of them, where nobody looks on."""
        est = self.estimator
        best, worse, tol = est.best_loss_, est._no_improvement_count, est.tol
        told = 0
        for loss in losses:
            told += 1
            worse = worse + 1 if loss > best - tol else 0
            if loss < best:
                best = loss
            if worse > self.patience:
                break
        if not told:
            return None
        est.n_iter_ += told
        est.t_ += told * len(self.task.examples)
        est.loss_ = losses[told - 1]
        est.loss_curve_.extend(losses[:told])
        est.best_loss_, est._no_improvement_count = best, worse
        if worse <= self.patience:
            return None
        self._exhausted()
        return told

    def _after_epoch(self, loss: float) -> bool:
        """Write an epoch down; return whether something changes now."""
        est = self.estimator
        est.n_iter_ += 1
        est.loss_ = loss
        est.t_ += len(self.task.examples)
        est.loss_curve_.append(loss)
        if est.verbose:
            print(f"Epoch {est.n_iter_}: loss {loss:.8f}")
        if self.epoch_hook:
            est._take(self.course.standing.parameters)
        self._validate(self.course.standing.parameters)
        self._count()
        if est._no_improvement_count > self.patience:
            self._exhausted()
        if self.epoch_hook and Hooks.call(self.hooks.epoch_end, self._seen(loss)):
            self._ends = self.stopped_by_callback = True
        return self._ends or self._lowers

    def _count(self) -> None:
        """Count the epochs that were no better than the best before them by ``tol``."""
        est = self.estimator
        if est.early_stopping:
            score = est.validation_scores_[-1]
            worse = score < est.best_validation_score_ + est.tol
            if score > est.best_validation_score_:
                est.best_validation_score_ = score
                self._best = self.course.standing.parameters
        else:
            worse = est.loss_ > est.best_loss_ - est.tol
            est.best_loss_ = min(est.best_loss_, est.loss_)
        est._no_improvement_count = est._no_improvement_count + 1 if worse else 0

    def _exhausted(self) -> None:
        """Stop, or lower the learning rate, after too many such epochs."""
        est = self.estimator
        what = "validation score" if est.early_stopping else "training loss"
        text = f"The {what} has not become better by tol={est.tol:g} for {self.patience} epochs"
        rate = self.course.standing.rate
        adaptive = est.solver == "sgd" and est.learning_rate == "adaptive"
        if adaptive and rate > SMALLEST_RATE:
            self._lowers = True
            est._no_improvement_count = 0
            text = f"{text}: the learning rate becomes {rate / 5.0:g}."
        else:
            self._ends = True
            text = f"{text}: stopping."
        if est.verbose:
            print(text)

    def _batch(self) -> int:
        est, n = self.estimator, len(self.task.examples)
        if isinstance(est.batch_size, str):
            return min(200, n)
        if est.batch_size > n:
            warnings.warn(
                f"batch_size={est.batch_size} is more than the {n} examples that there are; all "
                f"are taken at each step.",
                stacklevel=6,
            )
        return min(int(est.batch_size), n)

    def _standing(self) -> Standing:
        """Return where the optimizer starts, or goes on after an earlier `partial_fit`."""
        est = self.estimator
        rule = Rule(est.solver == "adam")
        given = est._parameters(self.task.architecture.dtype)
        before: Standing | None = getattr(est, "_standing", None)
        if self.task.incremental and before is not None and before.rule == rule:
            slots = tuple(each.astype(self.task.architecture.dtype) for each in before.slots)
            return replace(before, parameters=tuple(given), slots=slots)
        return started(rule, given, float(est.learning_rate_init))

    def _keep(self, standing: Standing) -> None:
        """Keep the optimizer's state for `partial_fit`; the weights are in ``coefs_``."""
        self.estimator._standing = replace(standing, parameters=())

    def _diverged(self, course: Course) -> str:
        est = self.estimator
        return (
            f"The loss is no longer finite in epoch {est.n_iter_ + 1}, at step "
            f"{course.standing.step}, with the learning rate {course.standing.rate:g}: lower "
            f"learning_rate_init, or scale the features and targets (non-finite parameter weights "
            f"would follow)."
        )

    # ── at once ──────────────────────────────────────────────────────────────────────────────

    def at_once(self) -> None:
        """Train by L-BFGS."""
        est, task = self.estimator, self.task
        if task.architecture.random:
            raise UsageError(
                "solver='lbfgs' compares losses from step to step, which dropout makes random; "
                "use solver='adam' or 'sgd', or dropout=0."
            )
        if self.hooks.step_end:
            raise UsageError("solver='lbfgs' has no steps: give callbacks on_epoch_end only.")
        n = len(task.examples)
        length = min(length_of(n), BLOCK)
        sizes = task.architecture
        seconds = est.max_iter * reference_seconds(sizes.products, len(sizes.sizes), n)
        form = Form(
            replace(sizes, dtype="float64"),
            task.objective,
            length,
            True,
            chosen_executor(est.executor, seconds, NATIVE_AFTER),
            allowed_threads(est.threads),
        )
        if task.held is not None:
            self.validation = Validation(task.held, replace(form, architecture=sizes))
        given = est._parameters("float64")
        total = Total(
            gradient_program(form),
            task.examples,
            length,
            [each.shape for each in given],
            float(est.alpha),
        )
        est.n_iter_ = 0
        found = minimize(
            total,
            given,
            Limits(int(est.max_iter), int(est.max_fun), float(est.tol)),
            lambda loss, vector: self._after_iteration(loss, vector, total.split),
        )
        est._take([each.astype(sizes.dtype) for each in found.parameters])
        est.n_iter_ = found.iterations
        est.loss_ = self._reported(found.loss)
        if found.message:
            warnings.warn(
                f"L-BFGS stopped after {found.iterations} iterations and has not converged "
                f"({found.message.strip()}); raise max_iter or max_fun, or scale the features.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _reported(self, loss: float) -> float:
        """Return the loss as scikit-learn reports it."""
        est, objective = self.estimator, self.task.objective
        if not objective.averages_outputs or est.n_outputs_ == 1:
            return loss
        weights = self.task.examples.weights
        share = float(len(self.task.examples)) if weights is None else float(weights.sum())
        decay = 0.5 * est.alpha * sum(float(np.vdot(w, w)) for w in est.coefs_) / (share or 1.0)
        return (loss - decay) / est.n_outputs_ + decay

    def _after_iteration(
        self, loss: float, vector: Array, split: Callable[[Array], list[Array]]
    ) -> bool:
        """Write an iteration of L-BFGS down; return whether to stop."""
        est = self.estimator
        est.n_iter_ += 1
        parameters = split(vector)
        if self.epoch_hook or (est.n_outputs_ > 1 and self.task.objective.averages_outputs):
            est._take([each.astype(self.task.architecture.dtype) for each in parameters])
        est.loss_ = self._reported(loss)
        est.loss_curve_.append(est.loss_)
        if est.verbose:
            print(f"Iteration {est.n_iter_}: loss {est.loss_:.8f}")
        self._validate(parameters)
        if self.epoch_hook and Hooks.call(self.hooks.epoch_end, self._seen(est.loss_)):
            self.stopped_by_callback = True
        return self.stopped_by_callback

    # ── who looks on ─────────────────────────────────────────────────────────────────────────

    def _validate(self, parameters: Sequence[Array]) -> None:
        """Measure the validation set, if there is one."""
        est = self.estimator
        if self.validation is None:
            return
        raw, loss = self.validation(parameters)
        finite = bool(np.isfinite(raw).all())
        score = est._score(raw, self.validation.held) if finite else float("nan")
        est.validation_scores_.append(score)
        est.validation_loss_curve_.append(loss)
        if est.verbose:
            print(f"Validation: score {score:.6f}, loss {loss:.8f}")

    def _after_step(self, loss: float) -> bool:
        self.estimator._take(self.course.standing.parameters)
        return Hooks.call(self.hooks.step_end, self._seen(loss))

    def _seen(self, loss: float) -> RunState:
        """Return what callbacks are shown."""
        est = self.estimator
        net = est.network_
        history: dict[str, list[float]] = {"loss": list(est.loss_curve_)}
        if self.task.held is not None:
            history["validation_score"] = list(est.validation_scores_)
            history["validation_loss"] = list(est.validation_loss_curve_)
        step = self.course.standing.step if est._stochastic else est.n_iter_
        epoch = max(est.n_iter_ - 1, 0)
        values = {name: each.value for name, each in net.parameters().items()}
        return RunState(net, epoch, step, int(est.max_iter), loss, history, values)
