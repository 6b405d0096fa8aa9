"""A training run that has ended: its history, and any of its steps exactly as it was.

`Run` is what `fit` gives.  It keeps a few snapshots and the order of the examples, so that the
parameters before any step, and the whole computation of that step, can be had again bit by bit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from backlight.errors import RunError, UsageError
from backlight.graph.primitive import Array, Spec
from backlight.ops.leaf import INPUT, PARAMETER
from backlight.optim import LBFGS, Optimizer
from backlight.record import Trace, Update, record
from backlight.tensor import INT64, Tensor, leaf, quiet
from backlight.trace import capture
from backlight.train.callbacks import History
from backlight.train.engine import Engine, TrainingState
from backlight.train.snapshots import Course
from backlight.train.step import Arrays, Batch, Model, forget_caller, forward

if TYPE_CHECKING:
    from backlight.data import Dataset, Preprocessor
    from backlight.train.hardest import Hardest


@dataclass(frozen=True, eq=False)
class ReplayedStep:
    """The forward pass of one step of a run, recorded.

    Attributes
    ----------
    loss, prediction : Tensor
        With values and a history, so that ``loss.backward()`` works.
    parameters : dict of str to Tensor
        The parameters that the step began with.
    rows : ndarray of int
        The positions of its examples among the training examples.
    state : TrainingState
        Everything that the step began with, the optimizer's running averages among it.
    step, epoch, batch : int
        The number of the step, and its place: the epoch, and the batch within it.
    scale : float
        The factor on the learning rate that held.
    """

    loss: Tensor
    prediction: Tensor
    parameters: dict[str, Tensor]
    rows: Array
    state: TrainingState
    step: int
    epoch: int
    batch: int
    scale: float


def eager_step(
    engine: Engine, state: TrainingState, scale: float, rows: Array | None = None
) -> ReplayedStep:
    """Record the forward pass of the step that follows a state.

    Parameters
    ----------
    engine : Engine
    state : TrainingState
    scale : float
    rows : ndarray of int, optional
        Other examples than the step's own.
    """
    epoch, batch = engine.plan.position(state.step)
    if rows is None:
        arrays = engine.batch(state.step)
        rows = np.asarray(engine.rows(state.step))
    else:
        arrays = tuple(each[rows] for each in engine.train.arrays)
    parameters = {
        name: leaf(PARAMETER, Spec(each.shape, each.dtype), _value(each), name)
        for name, each in state.parameters.items()
    }
    data = [
        leaf(INPUT, Spec(each.shape, each.dtype), _value(each), name)
        for name, each in zip(("X", "y", "sample_weights"), arrays, strict=False)
    ]
    with quiet():
        done = forward(
            engine.model,
            parameters,
            Batch(*data),
            training=True,
            seed=_integer(engine.seed, "seed"),
            step=_integer(state.step, "step"),
        )
    return ReplayedStep(
        done.loss, done.prediction, parameters, rows, state, state.step, epoch, batch, scale
    )


def _value(array: Array) -> Any:
    """An array as a tensor holds it: read-only, a scalar when it has no axes."""
    if not array.shape:
        return array[()]
    view = array.view()
    view.flags.writeable = False
    return view


def _integer(value: int, name: str) -> Tensor:
    return leaf(INPUT, Spec((), INT64), np.int64(value), name)


@dataclass(eq=False)
class Run:
    """What `fit` gives: how training went, and any step of it again.

    Attributes
    ----------
    net : object
        The network, with its final parameters.
    history : dict of str to list of float
        One entry for each epoch: ``loss`` (the mean over its examples, before each update),
        the metrics, the same with ``validation_`` before it, ``learning_rate`` (of the epoch's
        last step) and ``seconds``.
    step_history : dict of str to list of float
        ``step``, ``loss`` and ``learning_rate`` of every so many steps, if ``log_every`` was
        given, and ``gradient_norm`` if that was asked for.
    stopped : str
        Why training ended: ``"finished"``, ``"early stopping"``, ``"callback"``,
        ``"interrupted"``, or the optimizer's reason.
    best_epoch : int or None
        The epoch, counted from 0, whose parameters early stopping restored or would restore;
        without early stopping, that of the lowest validation loss (training loss without a
        validation set).
    parameters : dict of str to ndarray
        The final parameters.
    course : Course
        From which steps are replayed.
    checksum : int
        Of the training data, to notice when it was changed.
    final_state : TrainingState
        After the last step; with early stopping its parameters may differ from `parameters`.
    split : float or None
        The share of the examples that was set aside for validation.
    dataset : Dataset or None
        What was trained on, when it was given as one.
    preprocessing : Preprocessor or None
        What was done to the columns of a table or data frame before the network saw them.
    health : dict of str to list of float
        One entry for each check-up: ``step``, and for each layer the norms of its gradient and
        update and the shares of dead and saturated units; see `backlight.train.health`.
    """

    net: object
    history: History
    step_history: History
    stopped: str
    best_epoch: int | None
    parameters: Arrays
    course: Course
    checksum: int
    final_state: TrainingState
    split: float | None = None
    dataset: Dataset | None = None
    preprocessing: Preprocessor | None = None
    health: History = field(default_factory=dict)

    def __repr__(self) -> str:
        ending = f", loss {self.history['loss'][-1]:.4g}" if self.history["loss"] else ""
        return f"<run of {self.epochs} epochs, {self.steps} steps, {self.stopped}{ending}>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        from backlight.report.display import history_display  # only notebooks ask

        facts = [
            ("network", type(self.net).__name__),
            ("steps", f"{self.steps:,} in {self.epochs:,} epochs, {self.stopped}"),
            *((name, f"{each[-1]:.6g}") for name, each in self.history.items() if each),
        ]
        return history_display(repr(self), self.history, facts)

    @property
    def model(self) -> Model:
        """Network, loss, optimizer and metrics together."""
        return self.course.engine.model

    @property
    def optimizer(self) -> Optimizer | LBFGS:
        """The optimizer."""
        return self.model.optimizer

    @property
    def loss(self) -> Any:
        """The loss function."""
        return self.model.objective.function

    @property
    def seed(self) -> int:
        """The seed of the batch order and of random numbers inside the network."""
        return self.course.engine.seed

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return self.course.steps

    @property
    def epochs(self) -> int:
        """How many epochs were completed."""
        return len(self.history["loss"])

    def parameters_at(self, step: int) -> Arrays:
        """Return the parameters before a step, exactly as they were.

        Parameters
        ----------
        step : int
            From 0 to `steps`; the last are the parameters after the last step.

        Raises
        ------
        RunError
            When there is no such step, or the training data was changed since.
        """
        self._check_data()
        return dict(self.course.state_at(_whole(step, "step")).parameters)

    def replay_loss(self, step: int, example: int | None = None) -> ReplayedStep:
        """Record the forward pass of a step again, exactly as it was.

        Parameters
        ----------
        step : int
            Counted from 0.
        example : int, optional
            The position of one training example: record the loss of it alone, with the
            parameters of the step, instead of that of the step's batch.

        Raises
        ------
        RunError
            When there is no such step or example, or the training data was changed since.
        """
        step = _whole(step, "step")
        if not 0 <= step < self.steps:
            raise RunError(
                f"The run took {self.steps} steps, numbered from 0, so there is no step {step}."
            )
        engine = self.course.engine
        rows = None
        if example is not None:
            example = _whole(example, "example")
            if not 0 <= example < len(engine.train):
                raise RunError(
                    f"There are {len(engine.train)} training examples, numbered from 0, so there "
                    f"is no example {example}."
                )
            rows = np.array([example])
        self._check_data()
        state = self.course.state_at(step)
        return eager_step(engine, state, self.course.scales.at(step), rows)

    def replay(self, step: int, example: int | None = None) -> Trace:
        """Record everything about a step: values, gradients, and what the optimizer did.

        Parameters
        ----------
        step, example
            As for `replay_loss`.

        Returns
        -------
        Trace
            Its ``update`` is None for L-BFGS, which runs outside the graph, and for a single
            example, which no step was taken with.

        Raises
        ------
        RunError
            As for `replay_loss`.
        """
        replayed = self.replay_loss(step, example)
        about = {
            "step": replayed.step,
            "epoch": replayed.epoch,
            "batch": replayed.batch,
            "rows": replayed.rows.tolist(),
        }
        trace = record(replayed.loss, about=about)
        if example is not None or not isinstance(self.optimizer, Optimizer):
            return trace
        gradients = {
            name: gradient
            for name in self.course.engine.trained
            if (gradient := trace.gradient(name)) is not None
        }
        return replace(trace, update=recorded_update(self.optimizer, replayed, gradients))

    def hardest(self, count: int = 10, *, by: str = "loss") -> Hardest:
        """Rank the training examples that the network finds hardest, such as mislabelled rows.

        Parameters
        ----------
        count : int
            How many.
        by : {"loss", "gradient"}
            By the loss of the example alone, or by the norm of its own gradient.

        Returns
        -------
        Hardest
            ``.rows``, ``.losses``, ``.gradient_norms``, ``.targets``, ``.outputs``; printing it
            gives a table.

        Raises
        ------
        RunError
            When the training data was changed since.
        UsageError
            When an option has no meaning.

        Notes
        -----
        In evaluation mode, with the final parameters, and without sample weights.

        Examples
        --------
        >>> from backlight import nn
        >>> from backlight.train import fit
        >>> X = np.linspace(-1.0, 1.0, 40)[:, None]
        >>> y = (X[:, 0] > 0).astype(int)
        >>> y[3] = 1  # a slip
        >>> run = fit(nn.Sequential(nn.Linear(1, 2), seed=0), (X, y), loss=nn.cross_entropy)
        >>> int(run.hardest(1).rows[0])
        3
        """
        self._check_data()
        from backlight.train.hardest import hardest

        return hardest(self.course.engine, self.parameters, count, by)

    def save(self, directory: str | os.PathLike[str], **options: Any) -> Path:
        """Write the run to a directory; see `backlight.train.save`, and `load` to read it."""
        from backlight.train.save import save  # here, because what is saved is a run

        return save(self, directory, **options)

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "A run holds compiled code and the training data, which do not pickle; keep it with "
            "run.save(folder) and read it with bl.train.load(folder)."
        )

    def _check_data(self) -> None:
        if self.course.engine.train.checksum() != self.checksum:
            raise RunError(
                "The training data was changed after the run, so its steps cannot be taken again; "
                "pass copies of the arrays to bl.fit."
            )


def recorded_update(
    optimizer: Optimizer, replayed: ReplayedStep, gradients: Mapping[str, Array]
) -> Update:
    """Record what an optimizer did with the gradients of a step.

    Parameters
    ----------
    optimizer : Optimizer
    replayed : ReplayedStep
    gradients : mapping of str to ndarray
    """

    def given(array: Array, name: str) -> Tensor:
        return leaf(INPUT, Spec(array.shape, array.dtype), _value(array), name)

    state = {
        slot: {name: given(array, f"{slot}.{name}") for name, array in arrays.items()}
        for slot, arrays in replayed.state.slots.items()
    }
    with quiet():
        new, new_state = optimizer.update(
            {name: given(replayed.state.parameters[name], name) for name in gradients},
            {name: given(gradient, f"gradient.{name}") for name, gradient in gradients.items()},
            state,
            step=_integer(replayed.step, "step"),
            scale=given(np.asarray(replayed.scale), "scale"),
        )
    outputs = [*new.values(), *(each for slot in new_state.values() for each in slot.values())]
    forget_caller(outputs)
    graph, tensors = capture(outputs)
    return Update(graph, tuple(each.value for each in tensors), type(optimizer).__name__)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise UsageError(f"{name} must be a whole number, not {value!r}.")
    return int(value)
