"""One training step as one graph: forward pass, gradients and the optimizer's update.

`Model` says what is computed; `forward` computes it, eagerly or traced; `build_step` traces a
whole step for one batch length and gives a `StepProgram`, a function from arrays to arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from backlight.differentiate.reverse import sweep, unit_seed
from backlight.errors import DtypeError, ShapeError, UsageError
from backlight.execute import Executable, program
from backlight.execute.iteration import Iteration, Shorter
from backlight.graph.graph import Graph
from backlight.graph.primitive import Array, Dtype, Spec
from backlight.nn import running, substitute
from backlight.ops.leaf import INPUT, PARAMETER
from backlight.optim import LBFGS, Optimizer, global_norm
from backlight.optim.schedules import rate_at
from backlight.source import call_site
from backlight.tensor import FLOAT64, INT64, Tensor, leaf, quiet
from backlight.trace import capture, history
from backlight.train.metrics import Metric
from backlight.train.objective import Objective

Arrays = dict[str, Array]
Slots = dict[str, Arrays]


@dataclass(frozen=True, eq=False)
class Model:
    """What a training run computes.

    Attributes
    ----------
    net : object
        The network.
    specs : dict of str to Spec
        Shape and dtype of each parameter by name.
    objective : Objective
        The loss and what is known about it.
    optimizer : Optimizer or LBFGS
    metrics : tuple of Metric
    executor : str
    threads : int or None
        How many a compiled program may use; chosen by its size when not given.
    """

    net: Any
    specs: dict[str, Spec]
    objective: Objective
    optimizer: Optimizer | LBFGS
    metrics: tuple[Metric, ...] = ()
    executor: str = "reference"
    threads: int | None = None

    @property
    def dtype(self) -> Dtype:
        """The dtype that the features are cast to: the parameters' common one."""
        return np.result_type(*(spec.dtype for spec in self.specs.values()))


@dataclass(frozen=True)
class Batch:
    """The tensors of one batch.

    Attributes
    ----------
    X, y : Tensor
    weights : Tensor or None
    """

    X: Tensor
    y: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class Forward:
    """The results of a forward pass.

    Attributes
    ----------
    prediction, loss : Tensor
    metrics : tuple of Tensor
    """

    prediction: Tensor
    loss: Tensor
    metrics: tuple[Tensor, ...]


def forward(
    model: Model,
    parameters: Mapping[str, Tensor],
    batch: Batch,
    *,
    training: bool,
    seed: Tensor | None = None,
    step: Tensor | None = None,
) -> Forward:
    """Run a network on a batch and measure the result.

    Parameters
    ----------
    model : Model
    parameters : mapping of str to Tensor
        With values for an eager pass, without for a traced one.
    batch : Batch
    training : bool
        Whether layers such as dropout act.
    seed, step : Tensor, optional
        Integer scalars for their random numbers.

    Raises
    ------
    ShapeError, DtypeError
        When the network does not take the features, or the loss not the predictions.
    """
    with substitute(model.net, parameters), running(training=training, seed=seed, step=step):
        prediction = _predicted(model, batch.X)
    y = model.objective.fitted(batch.y, prediction.spec)
    loss = model.objective(prediction, y, batch.weights)
    metrics = tuple(each(prediction, y) for each in model.metrics)
    forget_caller([loss, *metrics])
    if loss.name is None and loss.inputs:
        loss.name = "loss"
    return Forward(prediction, loss, metrics)


def forget_caller(outputs: Sequence[Tensor]) -> None:
    """Do not take the line that called `fit` for the one that recorded a value.

    It would only name everything after the variable that the run is assigned to.  What a network
    or a loss of the user's own records keeps its lines.
    """
    caller = call_site()
    for each in history(outputs):
        if each.site == caller:
            each.site = None


def _predicted(model: Model, X: Tensor) -> Tensor:
    try:
        prediction = model.net(X)
    except (ShapeError, DtypeError) as error:
        raise type(error)(
            f"The network does not take features of {X.spec} (the first axis is the batch): {error}"
        ) from error
    if not isinstance(prediction, Tensor):
        raise UsageError(
            f"The network must return one tensor to be trained, not {type(prediction).__name__}."
        )
    return prediction


def predicted_spec(model: Model, batch: Sequence[Spec]) -> Spec:
    """Return the spec of the network's predictions for a batch, without any values."""
    with quiet():
        given = _placeholders(model, batch)
        with substitute(model.net, given.parameters), running(training=False):
            return _predicted(model, given.batch.X).spec


@dataclass(frozen=True)
class StepResult:
    """What one step gives.

    Attributes
    ----------
    loss : float
        Of the batch, before the update.
    metrics : tuple of float
    learning_rate : float
    norm : float or None
        The Euclidean norm of all gradients together, when it is asked for.
    parameters : dict of str to ndarray
    slots : dict of str to dict of str to ndarray
        The optimizer's state.
    """

    loss: float
    metrics: tuple[float, ...]
    learning_rate: float
    norm: float | None
    parameters: Arrays
    slots: Slots


@dataclass(frozen=True, eq=False)
class StepProgram:
    """A training step for one batch length, ready to run.

    Attributes
    ----------
    executable : Executable
    trained : tuple of str
        The parameters that the loss depends on, in order; the others never change.
    slots : tuple of str
        The names of the optimizer's running averages.
    metrics : int
        How many metrics there are.
    norm : bool
        Whether the gradients' norm is among the outputs.
    gather : bool
        Whether batches are rows of the data; otherwise all of it is one batch.
    """

    executable: Executable
    trained: tuple[str, ...]
    slots: tuple[str, ...]
    metrics: int
    norm: bool
    gather: bool = True

    def run_many(
        self,
        parameters: Arrays,
        slots: Slots,
        data: Sequence[Array],
        rows: Array,
        starts: Array,
        step: int,
        scale: float,
        seed: int,
    ) -> ManySteps:
        """Take several steps in one call of the compiled loop.

        Parameters
        ----------
        parameters, slots
            Before the first of them; they are not changed.
        data : sequence of ndarray
            The whole data, or the one batch of a full-batch run.
        rows : ndarray of int64
            The examples of all steps, one after the other; none for a full-batch run.
        starts : ndarray of int64, shape (steps + 1,)
            Where those of each step begin.
        step : int
            The number of the first.
        scale, seed
            As for `run`.
        """
        carried = {name: np.array(parameters[name]) for name in self.trained}
        new_slots = {
            slot: {name: np.array(each) for name, each in slots[slot].items()}
            for slot in self.slots
        }
        new = {**parameters, **carried}
        values: list[Array | None] = [np.asarray(each, order="C") for each in new.values()]
        for slot in self.slots:
            values.extend(new_slots[slot].values())
        values.extend([None] * len(data) if self.gather else data)
        values += [np.array(step, np.int64), np.array(scale), np.array(seed, np.int64)]
        done, kept = self.executable.iterate(values, data if self.gather else [], rows, starts)
        last = 2 + self.metrics
        norms = kept[:, last] if self.norm else None
        return ManySteps(done, kept[:, 0], kept[:, 1], kept[:, 2:last], norms, new, new_slots)

    def run(
        self,
        parameters: Arrays,
        slots: Slots,
        batch: Sequence[Array],
        step: Array,
        scale: Array,
        seed: Array,
    ) -> StepResult:
        """Take one step.

        Parameters
        ----------
        parameters, slots
            Before the step.
        batch : sequence of ndarray
            X, y and, where they are used, weights.
        step, scale, seed : ndarray
            Scalars: the step's number, the factor on the learning rate, the random seed.
        """
        values = [*parameters.values()]
        for slot in self.slots:
            values.extend(slots[slot].values())
        values.extend(batch)
        values += (step, scale, seed)
        outputs = self.executable.run(values)
        first = 2 + self.metrics + self.norm
        count = len(self.trained)
        new = dict(parameters)
        new.update(zip(self.trained, outputs[first : first + count], strict=True))
        new_slots: Slots = {}
        for slot in self.slots:
            first += count
            new_slots[slot] = dict(zip(self.trained, outputs[first : first + count], strict=True))
        return StepResult(
            float(outputs[0]),
            tuple(float(each) for each in outputs[2 : 2 + self.metrics]),
            float(outputs[1]),
            float(outputs[2 + self.metrics]) if self.norm else None,
            new,
            new_slots,
        )


@dataclass(frozen=True)
class ManySteps:
    """What several steps in one call give.

    Attributes
    ----------
    done : int
        How many came before the first whose loss is not finite.
    losses, rates : ndarray of float64, shape (steps,)
    metrics : ndarray of float64, shape (steps, metrics)
    norms : ndarray of float64, shape (steps,), or None
    parameters, slots
        After the last of them.
    """

    done: int
    losses: Array
    rates: Array
    metrics: Array
    norms: Array | None
    parameters: Arrays
    slots: Slots

    def part(self, begin: int, end: int) -> ManySteps:
        """Return what some of the steps recorded, with what came after the last of all."""
        norms = None if self.norms is None else self.norms[begin:end]
        return replace(
            self,
            done=max(min(self.done, end) - begin, 0),
            losses=self.losses[begin:end],
            rates=self.rates[begin:end],
            metrics=self.metrics[begin:end],
            norms=norms,
        )


@dataclass(frozen=True)
class Placeholders:
    """The inputs of a traced step, in the order in which values are supplied."""

    parameters: dict[str, Tensor]
    batch: Batch
    step: Tensor
    seed: Tensor

    @cached_property
    def data(self) -> tuple[Tensor, ...]:
        """The tensors of the batch."""
        X, y, weights = self.batch.X, self.batch.y, self.batch.weights
        return (X, y) if weights is None else (X, y, weights)


def _placeholders(model: Model, batch: Sequence[Spec]) -> Placeholders:
    parameters = {name: leaf(PARAMETER, spec, None, name) for name, spec in model.specs.items()}
    data = [
        leaf(INPUT, spec, None, name)
        for name, spec in zip(("X", "y", "sample_weights"), batch, strict=False)
    ]
    return Placeholders(
        parameters,
        Batch(*data),
        leaf(INPUT, Spec((), INT64), None, "step"),
        leaf(INPUT, Spec((), INT64), None, "seed"),
    )


def _differentiated(model: Model, given: Placeholders) -> tuple[Forward, dict[str, Tensor]]:
    """Trace the forward and the backward pass; return the gradients that there are."""
    done = forward(
        model, given.parameters, given.batch, training=True, seed=given.seed, step=given.step
    )
    wanted = list(given.parameters.values())
    swept = sweep([done.loss], [unit_seed(done.loss, "bl.fit")], wanted)
    gradients = {
        name: gradient
        for name, each in given.parameters.items()
        if (gradient := swept.gradient(each)) is not None
    }
    if not gradients:
        raise UsageError(
            "The loss depends on none of the network's parameters, so there is nothing to train; "
            "see bl.why_no_grad."
        )
    return done, gradients


def build_step(
    model: Model,
    batch: Sequence[Spec],
    shorter: Sequence[Spec] | None = None,
    *,
    norm: bool = False,
    gather: bool = True,
) -> StepProgram:
    """Trace a training step for batches of given shapes.

    Parameters
    ----------
    model : Model
        Its optimizer is an update rule, not L-BFGS.
    batch : sequence of Spec
        Of X, y and, where they are used, weights.
    shorter : sequence of Spec, optional
        Those of a ragged last batch, which an executor may serve with the same program.
    norm : bool
        Compute the norm of the gradients too.
    gather : bool
        Batches are rows of the data; otherwise all of it is one batch.

    Raises
    ------
    ShapeError, DtypeError, UsageError
        When network, data and loss do not fit together.
    """
    traced = _trace_step(model, batch, norm=norm)
    other = None
    if shorter is not None:
        other = Shorter(shorter[0].shape[0], _trace_step(model, shorter, norm=norm).graph)
    iteration = Iteration(
        traced.recorded,
        traced.carried,
        traced.gathered if gather else (),
        traced.counter,
        batch[0].shape[0] if gather else 0,
        other,
    )
    return StepProgram(
        program(traced.graph, model.executor, iteration, threads=model.threads),
        traced.trained,
        traced.slots,
        len(model.metrics),
        norm,
        gather,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _TracedStep:
    """The graph of a step, and which of its results and inputs belong together."""

    graph: Graph
    trained: tuple[str, ...]
    slots: tuple[str, ...]
    recorded: int
    carried: tuple[tuple[int, int], ...]
    gathered: tuple[int, ...]
    counter: int


def _trace_step(model: Model, batch: Sequence[Spec], *, norm: bool) -> _TracedStep:
    optimizer = model.optimizer
    assert isinstance(optimizer, Optimizer)
    with quiet():
        given = _placeholders(model, batch)
        done, gradients = _differentiated(model, given)
        trained = {name: given.parameters[name] for name in gradients}
        layout = optimizer.initial_state(trained)
        state = {
            slot: {
                name: leaf(INPUT, Spec(each.shape, each.dtype), None, f"{slot}.{name}")
                for name, each in arrays.items()
            }
            for slot, arrays in layout.items()
        }
        scale = leaf(INPUT, Spec((), FLOAT64), None, "scale")
        new, new_state = optimizer.update(trained, gradients, state, step=given.step, scale=scale)
        outputs = [done.loss, rate_at(optimizer.learning_rate, given.step) * scale, *done.metrics]
        if norm:
            outputs.append(global_norm(gradients))
        outputs += [new[name] for name in trained]
        inputs = list(given.parameters.values())
        for slot, tensors in state.items():
            inputs += tensors.values()
            outputs += [new_state[slot][name] for name in trained]
        inputs += [*given.data, given.step, scale, given.seed]
        forget_caller(outputs)
        graph, _ = capture(outputs, inputs, fold=True)
        recorded = 2 + len(model.metrics) + norm
        place = {each.serial: k for k, each in enumerate(inputs)}
        kept = [*trained.values(), *(each for slot in state.values() for each in slot.values())]
    return _TracedStep(
        graph,
        tuple(trained),
        tuple(state),
        recorded,
        tuple((recorded + k, place[each.serial]) for k, each in enumerate(kept)),
        tuple(place[each.serial] for each in given.data),
        place[given.step.serial],
    )


@dataclass(frozen=True, eq=False)
class GradientProgram:
    """Loss, metrics and gradients of one batch, for optimizers that run outside the graph.

    Attributes
    ----------
    executable : Executable
    trained : tuple of str
    metrics : int
    """

    executable: Executable
    trained: tuple[str, ...]
    metrics: int

    def run(
        self, parameters: Mapping[str, Array], batch: Sequence[Array], step: Array, seed: Array
    ) -> tuple[float, tuple[float, ...], Arrays]:
        """Return the loss, the metrics and the gradients."""
        outputs = self.executable.run([*parameters.values(), *batch, step, seed])
        metrics = tuple(float(each) for each in outputs[1 : 1 + self.metrics])
        gradients = dict(zip(self.trained, outputs[1 + self.metrics :], strict=True))
        return float(outputs[0]), metrics, gradients


def build_gradient(model: Model, batch: Sequence[Spec]) -> GradientProgram:
    """Trace loss, metrics and gradients for batches of given shapes; see `build_step`."""
    with quiet():
        given = _placeholders(model, batch)
        done, gradients = _differentiated(model, given)
        inputs = [*given.parameters.values(), *given.data, given.step, given.seed]
        outputs = [done.loss, *done.metrics, *gradients.values()]
        forget_caller(outputs)
        graph, _ = capture(outputs, inputs, fold=True)
    return GradientProgram(program(graph, model.executor), tuple(gradients), len(model.metrics))


def build_evaluation(
    model: Model, batch: Sequence[Spec]
) -> Callable[[Mapping[str, Array], Sequence[Array]], tuple[float, ...]]:
    """Trace loss and metrics in evaluation mode for batches of given shapes.

    Returns
    -------
    callable
        From parameters and a batch to the loss and the metrics.
    """
    with quiet():
        given = _placeholders(model, batch)
        done = forward(model, given.parameters, given.batch, training=False)
        inputs = [*given.parameters.values(), *given.data]
        graph, _ = capture([done.loss, *done.metrics], inputs, fold=True)
    ready = program(graph, model.executor)

    def run(parameters: Mapping[str, Array], data: Sequence[Array]) -> tuple[float, ...]:
        return tuple(float(each) for each in ready.run([*parameters.values(), *data]))

    return run
