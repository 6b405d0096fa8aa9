"""`fit`: train a network on data, step by step, exactly and repeatably.

It takes a network, examples, a loss and an optimizer and gives a `Run`.  Everything that a step
depends on is a function of the seed and the step's number.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from backlight.errors import BacklightError, BacklightWarning, TrainingError, UsageError
from backlight.execute.executors import check_name
from backlight.nn import parameters as parameters_in
from backlight.optim import LBFGS, Adam, Optimizer, PlateauState, ReduceOnPlateau
from backlight.tensor import Tensor
from backlight.train import failure
from backlight.train.batches import BatchPlan
from backlight.train.callbacks import EarlyStopping, History, Hooks, RunState, Watch
from backlight.train.engine import Engine, Outcome, TrainingState, check_seed, is_rule
from backlight.train.metrics import MetricFunction, resolve
from backlight.train.objective import LossFunction, describe_loss
from backlight.train.prepare import Prepared, check_outputs, prepare
from backlight.train.progress import Bar, Silent
from backlight.train.progress import progress as progress_of
from backlight.train.run import Run, eager_step
from backlight.train.snapshots import Course, Scales, Snapshots
from backlight.train.step import Arrays, Model, predicted_spec

FINISHED, EARLY, CALLBACK, INTERRUPTED = "finished", "early stopping", "callback", "interrupted"


def fit(
    net: Any,
    data: Any,
    *,
    loss: LossFunction,
    optimizer: Optimizer | LBFGS | None = None,
    epochs: int = 10,
    batch_size: int | None = 32,
    validation: Any = None,
    sample_weights: Any = None,
    metrics: Sequence[str | MetricFunction] = (),
    callbacks: Sequence[Any] = (),
    early_stopping: EarlyStopping | None = None,
    shuffle: bool = True,
    seed: int = 0,
    progress: bool = False,
    log_every: int | None = None,
    gradient_norms: bool = False,
    executor: str = "reference",
    threads: int | None = None,
) -> Run:
    """Train a network.

    Parameters
    ----------
    net : object
        A `backlight.nn.Module` or any callable object that holds parameters.  It has the trained
        parameters afterwards, also when training is interrupted.
    data : (X, y) or Dataset
        One example a row.  X is cast to the network's dtype; y holds class numbers or real
        numbers.  The arrays are not copied unless they have to be cast.
    loss : callable
        ``loss(prediction, target)`` returning a scalar tensor, such as
        `backlight.nn.cross_entropy`.
    optimizer : Optimizer or LBFGS, optional
        ``Adam(1e-3)`` by default.  Schedules and clipping are options of the optimizer;
        `ReduceOnPlateau` is told the validation loss (the training loss without a validation
        set) after every epoch.
    epochs : int
        How often every example is seen.
    batch_size : int or None
        Examples per step; None takes all of them, in their own order.  The last batch of an
        epoch may be smaller.
    validation : (X, y), Dataset or float, optional
        Examples that are only measured; a float is the share of ``data`` that is set aside.
    sample_weights : array_like of shape (n,), optional
        One weight for each example; the loss must take ``weights=``.
    metrics : sequence of str or callable
        Names (``"accuracy"``, ``"mean_absolute_error"``, ``"mean_squared_error"``) or functions
        of prediction and target that return the mean over a batch.  The accuracy is measured
        unasked with losses for classes.
    callbacks : sequence
        Objects with ``on_epoch_end(state)`` or ``on_step_end(state)``, or functions, which are
        called after every epoch; one that returns True stops training.
    early_stopping : EarlyStopping, optional
    shuffle : bool
        Whether each epoch has an order of its own, drawn from the seed.
    seed : int
        Of the order, of the split, and of random numbers inside the network.
    progress : bool
        Show a bar on a terminal, and a few lines elsewhere, on standard error.
    log_every : int, optional
        Keep the loss of every so many steps in ``run.step_history``.
    gradient_norms : bool
        Keep the norm of the gradients beside it.
    executor : str
        How steps are run; ``"reference"`` is NumPy.
    threads : int, optional
        How many threads an executor may use; the reference leaves that to NumPy.

    Returns
    -------
    Run

    Raises
    ------
    DataError, DtypeError, ShapeError
        When data, network and loss do not fit together; the message says where.
    UsageError, UnknownNameError
        When an option has no meaning.
    TrainingError
        When the loss or a parameter is no longer finite; the network then has its last finite
        parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from backlight import nn, optim
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> y = np.array([0, 1, 1, 0])
    >>> net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2), seed=0)
    >>> run = fit(net, (X, y), loss=nn.cross_entropy, optimizer=optim.Adam(0.1),
    ...           epochs=100, batch_size=None)
    >>> run.history["accuracy"][-1], run.stopped
    (1.0, 'finished')
    """
    settings = _Settings(
        epochs=_count(epochs, "epochs", 0),
        hooks=Hooks.of(callbacks),
        progress=bool(progress),
        log_every=None if log_every is None else _count(log_every, "log_every", 1),
    )
    if batch_size is not None:
        batch_size = _count(batch_size, "batch_size", 1)
    if threads is not None:
        threads = _count(threads, "threads", 1)
    if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
        raise UsageError(
            f"early_stopping must be an EarlyStopping or None, not {early_stopping!r}."
        )
    chosen = Adam(1e-3) if optimizer is None else optimizer
    if not is_rule(chosen):
        raise UsageError(
            f"optimizer must be one of bl.optim such as bl.optim.Adam(), not {chosen!r}."
        )
    seed = check_seed(seed)
    tensors = _parameters(net)
    objective = describe_loss(loss)
    model = Model(
        net,
        {name: each.spec for name, each in tensors.items()},
        objective,
        chosen,
        resolve(metrics, objective.accuracy),
        check_name(executor),
    )
    prepared = prepare(
        data,
        validation=validation,
        sample_weights=sample_weights,
        objective=objective,
        dtype=model.dtype,
        seed=seed,
    )
    _check_outputs(model, prepared)
    plan = BatchPlan(len(prepared.train), batch_size, seed, bool(shuffle))
    engine = Engine(model, prepared.train, plan, seed, norm=gradient_norms)
    loop = _Loop(settings, engine, prepared, tensors, early_stopping)
    return loop.run()


@dataclass(frozen=True)
class _Settings:
    """What the loop is told."""

    epochs: int
    hooks: Hooks
    progress: bool
    log_every: int | None


def _count(value: Any, name: str, least: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if not whole or value < least:
        raise UsageError(f"{name} must be a whole number from {least} on, not {value!r}.")
    return int(value)


def _parameters(net: Any) -> dict[str, Tensor]:
    if not callable(net):
        raise UsageError(f"A network must be callable, and {type(net).__name__} is not.")
    tensors = parameters_in(net)
    if not tensors:
        raise UsageError(
            f"{type(net).__name__} has no parameters to train; make its weights with bl.param and "
            f"keep them as attributes."
        )
    return tensors


def _check_outputs(model: Model, prepared: Prepared) -> None:
    """Compare the classes with the network's outputs, for one example and so at once."""
    spec = predicted_spec(model, prepared.train.specs(1))
    check_outputs(prepared.train.y, spec, "y", model.objective)
    if prepared.validation is not None:
        check_outputs(prepared.validation.y, spec, "validation y", model.objective)


@dataclass
class _Sums:
    """What the steps of an epoch add up to."""

    loss: float = 0.0
    metrics: list[float] = field(default_factory=list)
    rate: float = 0.0


class _Loop:
    """One run of `fit`, from its first step to its last."""

    def __init__(
        self,
        settings: _Settings,
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

    def _steps(self, epoch: int, show: Silent) -> tuple[_Sums, str]:
        """Take the steps of an epoch; return the sums and why training is to stop, if it is."""
        engine, hooks = self.engine, self.settings.hooks.step_end
        sums = _Sums(metrics=[0.0] * len(self.names))
        bar = show if isinstance(show, Bar) and engine.plan.per_epoch > 1 else None
        for batch in range(engine.plan.per_epoch):
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

    def _add(self, sums: _Sums, outcome: Outcome, batch: int) -> None:
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

    def _end_epoch(self, epoch: int, sums: _Sums, start: float) -> None:
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
        if spoilt:
            what, cause = "a parameter", failure.first_spoilt(self.state.parameters)
        else:
            assert outcome is not None
            what, cause = "the loss", self._cause(state)
        rate = outcome.learning_rate if outcome is not None else self.history["learning_rate"][-1]
        candidates = (state, *reversed(self.snapshots.states))
        kept = next((each for each in candidates if each.finite), state)
        self.state = replace(kept, step=self.state.step)
        position = self.engine.plan.position(state.step)
        return TrainingError(failure.message(what, state.step, *position, cause, rate))

    def _cause(self, state: TrainingState) -> str:
        try:
            replayed = eager_step(self.engine, state, self.scales.at(state.step))
        except BacklightError as error:  # a loss may refuse values that it can see
            return str(error).rstrip(".")
        return failure.first_nonfinite(replayed.loss)
