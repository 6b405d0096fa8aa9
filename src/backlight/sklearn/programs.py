"""Compiled training: the graph of one step, and the programs that are kept in this process.

A program depends on the form of the computation alone (layers, loss, rule, batch length, dtype);
data, row numbers, weights and all options are given at run time.  Estimators of one form share it,
and so do the folds of a cross-validation: batches are filled up to a multiple of eight rows, and
what is filled up counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from backlight.differentiate.reverse import sweep, unit_seed
from backlight.errors import UsageError
from backlight.execute import Executable, program
from backlight.execute.iteration import Iteration
from backlight.functions import astype, less, minimum, remainder, where
from backlight.functions import sum as total_of
from backlight.graph.collector import collector_held
from backlight.graph.primitive import Array, Spec
from backlight.nn import parameters as parameters_in
from backlight.nn import running, substitute
from backlight.ops.leaf import INPUT, PARAMETER
from backlight.sklearn.architecture import Architecture, network
from backlight.sklearn.objective import Objective, penalty
from backlight.sklearn.rules import Rule
from backlight.tensor import FLOAT64, INT64, Tensor, leaf, quiet, tensor
from backlight.trace import capture

KEPT_PROGRAMS = 32
"""How many programs of each kind are kept in a process; the one used longest ago goes first."""

ROWS = 8
"""Batches are filled up to a multiple of so many rows."""

COUNTS = ("first", "rows", "batch", "per_epoch", "seen")
"""Whole numbers given at run time: the step at which the first epoch began, the number of
examples, how many there are in a batch, how many batches in an epoch, and how many examples were
seen before the first epoch."""

Key = TypeVar("Key")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Form:
    """What a program depends on.

    Attributes
    ----------
    architecture : Architecture
    objective : Objective
    length : int
        The number of rows of a batch, filled up.
    weighted : bool
        Whether each example has a weight.
    executor : str
    threads : int or None
        How many compiled code may use; chosen by its size when not given.
    rule : Rule or None
        None for a program that takes no steps.
    """

    architecture: Architecture
    objective: Objective
    length: int
    weighted: bool
    executor: str
    threads: int | None = None
    rule: Rule | None = None


@dataclass(frozen=True, eq=False)
class StepProgram:
    """A training step, ready to run over and over.

    Attributes
    ----------
    executable : Executable
    parameters : int
        How many parameters there are: weight and bias of each layer, in turn.
    carried : int
        How many arrays each step changes: the parameters and their running averages.
    options : tuple of str
        The names of the numbers that are given at run time.
    """

    executable: Executable
    parameters: int
    carried: int
    options: tuple[str, ...]

    def run(
        self,
        carried: Sequence[Array],
        data: Sequence[Array],
        rows: Array,
        step: int,
        seed: int,
        counts: Mapping[str, int],
        options: Mapping[str, float],
    ) -> tuple[list[Array], Array]:
        """Take one step for each line of row numbers.

        Parameters
        ----------
        carried : sequence of ndarray
            Parameters and running averages before; they are not changed.
        data : sequence of ndarray
            X, targets and, where they are used, weights: C-contiguous.
        rows : ndarray of int64, shape (steps, length of a batch)
        step, seed : int
        counts, options
            The numbers named in `COUNTS` and `options`.

        Returns
        -------
        list of ndarray
            Parameters and running averages after the last step.
        ndarray of float64
            The loss of each step's batch, up to the first that is not finite.
        """
        fixed = [np.asarray(counts[name], np.int64) for name in COUNTS]
        fixed += [np.asarray(options[name], np.float64) for name in self.options]
        fixed.append(np.asarray(seed, np.int64))
        if not self.executable.iterates:
            return self._run_one_by_one(carried, data, rows, step, fixed)
        new = [np.array(each) for each in carried]
        values: list[Array | None] = [*new, *[None] * len(data), np.array(step, np.int64), *fixed]
        starts = np.arange(len(rows) + 1) * rows.shape[1]
        done, kept = self.executable.iterate(values, data, rows.reshape(-1), starts)
        return new, kept[:done, 0]

    def _run_one_by_one(
        self,
        carried: Sequence[Array],
        data: Sequence[Array],
        rows: Array,
        step: int,
        fixed: Sequence[Array],
    ) -> tuple[list[Array], Array]:
        new, losses = list(carried), []
        for k, line in enumerate(rows):
            batch = [each[line] for each in data]
            found = self.executable.run([*new, *batch, np.asarray(step + k, np.int64), *fixed])
            if not np.isfinite(found[0]):
                break
            losses.append(float(found[0]))
            new = found[1:]
        return new, np.array(losses, np.float64)


@dataclass(frozen=True, eq=False)
class ArrayProgram:
    """A program that reads and writes the same memory in every run.

    Attributes
    ----------
    executable : Executable
    """

    executable: Executable

    def bound(self, values: Sequence[Array], results: Sequence[Array]) -> Callable[[], None]:
        """Return a function that computes the results of what is in some arrays then.

        Parameters
        ----------
        values : sequence of ndarray
            One for each input: C-contiguous.
        results : sequence of ndarray
            Where the outputs go.
        """
        if isinstance(self.executable, Bindable):
            return self.executable.bound(values, results)

        def run() -> None:
            for into, found in zip(results, self.executable.run(values), strict=True):
                into[...] = found

        return run


@runtime_checkable
class Bindable(Protocol):
    """A program that can be made ready for certain arrays."""

    def bound(self, values: Sequence[Array], results: Sequence[Array]) -> Callable[[], None]:
        """Return a function that runs it on what is in the arrays then."""
        ...


def length_of(batch: int) -> int:
    """Return the number of rows that a batch is filled up to.

    Examples
    --------
    >>> length_of(200), length_of(3)
    (200, 8)
    """
    return -(-batch // ROWS) * ROWS


def step_program(form: Form) -> StepProgram:
    """Return the program of a training step, made or kept from before."""
    return _kept(_made_step, form)


def gradient_program(form: Form) -> ArrayProgram:
    """Return the program of a gradient, made or kept from before.

    From parameters, X, targets and weights it computes Σwℓ and its gradients, without the penalty.
    """
    return _kept(_made_gradient, form)


def evaluation_program(form: Form) -> ArrayProgram:
    """Return the program that measures examples, made or kept from before.

    From parameters, X and targets it computes the network's outputs and the loss of each example.
    """
    return _kept(_made_evaluation, form)


def _kept(make: Callable[[Key], Made], key: Key) -> Made:
    """Look into the kept programs, unless a function of the user's own cannot be looked up."""
    with collector_held():  # scikit-learn brings so many objects that one look takes 0.1 s
        try:
            hash(key)
        except TypeError:
            made: Made = make.__wrapped__(key)  # type: ignore[attr-defined]  # the uncached one
            return made
        return make(key)


@dataclass(frozen=True)
class _Inputs:
    """The placeholders of a traced computation."""

    parameters: dict[str, Tensor]
    data: tuple[Tensor, ...]


def _inputs(form: Form, net: object, weighted: bool) -> _Inputs:
    dtype = np.dtype(form.architecture.dtype)
    sizes, n = form.architecture.sizes, form.length
    given = {
        name: leaf(PARAMETER, each.spec, None, name) for name, each in parameters_in(net).items()
    }
    data = [("X", Spec((n, sizes[0]), dtype)), ("y", Spec((n, sizes[-1]), dtype))]
    if weighted:
        data.append(("weights", Spec((n,), dtype)))
    return _Inputs(given, tuple(leaf(INPUT, spec, None, name) for name, spec in data))


def _gradients(loss: Tensor, parameters: Mapping[str, Tensor]) -> list[Tensor]:
    swept = sweep([loss], [unit_seed(loss, "fit")], list(parameters.values()))
    found = [swept.gradient(each) for each in parameters.values()]
    missing = [name for name, each in zip(parameters, found, strict=True) if each is None]
    if missing:
        raise UsageError(
            f"The loss does not depend on {', '.join(missing)}: the loss or an activation of your "
            f"own cuts the way to it."
        )
    return [each for each in found if each is not None]


@lru_cache(maxsize=KEPT_PROGRAMS)
def _made_step(form: Form) -> StepProgram:
    assert form.rule is not None
    rule, net = form.rule, network(form.architecture)
    dtype = np.dtype(form.architecture.dtype)
    options = ("learning_rate", "power", "alpha", *rule.options)
    with quiet():
        given = _inputs(form, net, form.weighted)
        step = leaf(INPUT, Spec((), INT64), None, "step")
        seed = leaf(INPUT, Spec((), INT64), None, "seed")
        counts = {name: leaf(INPUT, Spec((), INT64), None, name) for name in COUNTS}
        numbers = {name: leaf(INPUT, Spec((), FLOAT64), None, name) for name in options}
        with substitute(net, given.parameters), running(training=True, seed=seed, step=step):
            prediction = net(given.data[0])
        position = remainder(step - counts["first"], counts["per_epoch"])
        shares = _shares(form, given.data, position, counts)
        loss, reported, pull = _losses(
            form, given, prediction, shares, astype(numbers["alpha"], dtype)
        )
        gradients = _gradients(loss, given.parameters)
        own = {name: numbers[name] for name in rule.options}
        scalars = rule.scalars(_rate(numbers, counts, step, position), step, own, dtype)
        slots = [
            {s: leaf(INPUT, each.spec, None, f"{s}.{name}") for s in rule.slots}
            for name, each in given.parameters.items()
        ]
        pulled = [
            g + pull * each if each.ndim == 2 else g
            for each, g in zip(given.parameters.values(), gradients, strict=True)
        ]
        updated = [
            rule.apply(each, g, slot, scalars)
            for each, g, slot in zip(given.parameters.values(), pulled, slots, strict=True)
        ]
        outputs = [reported, *(new for new, _ in updated)]
        outputs += [averages[s] for s in rule.slots for _, averages in updated]
        carried = [*given.parameters.values(), *(slot[s] for s in rule.slots for slot in slots)]
        inputs = [*carried, *given.data, step, *counts.values(), *numbers.values(), seed]
        graph, _ = capture(outputs, inputs, fold=True)
    places = len(carried)
    iteration = Iteration(
        1,
        tuple((1 + k, k) for k in range(places)),
        tuple(range(places, places + len(given.data))),
        places + len(given.data),
        form.length,
    )
    executable = program(graph, form.executor, iteration, form.threads)
    return StepProgram(executable, len(given.parameters), places, options)


def _shares(
    form: Form, data: Sequence[Tensor], position: Tensor, counts: Mapping[str, Tensor]
) -> Tensor:
    """Build what each row of the batch counts: its weight, and nothing where it is filled up."""
    filled = minimum(counts["rows"] - position * counts["batch"], counts["batch"])
    places = tensor(np.arange(form.length, dtype=np.int64))
    mask = astype(less(places, filled), data[0].dtype)
    return mask * data[2] if form.weighted else mask


def _rate(
    numbers: Mapping[str, Tensor], counts: Mapping[str, Tensor], step: Tensor, position: Tensor
) -> Tensor:
    """Build the learning rate η/tᵖ, with t the number of examples seen before the epoch, and 1."""
    passed = astype(step - counts["first"] - position, FLOAT64)
    epoch = passed / astype(counts["per_epoch"], FLOAT64)  # whole, and so exact
    seen = astype(counts["seen"], FLOAT64) + epoch * astype(counts["rows"], FLOAT64)
    return numbers["learning_rate"] / (seen + 1.0) ** numbers["power"]


def _losses(
    form: Form, given: _Inputs, prediction: Tensor, shares: Tensor, alpha: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Build the loss that is differentiated, the one that is reported, and the penalty's pull.

    The first is without the penalty ½·α·Σ‖W‖²/Σw, whose gradient is the pull α/Σw times W.
    """
    total = total_of(shares)
    some = total > 0.0  # a batch whose examples all weigh nothing changes nothing
    inverse = where(some, 1.0 / where(some, total, 1.0), 0.0)
    data = total_of(form.objective.entries(prediction, given.data[1]) * shares)
    weights = [each for each in given.parameters.values() if each.ndim == 2]
    shown = data
    if form.objective.averages_outputs:
        shown = data / float(form.architecture.sizes[-1])
    return data * inverse, (shown + alpha * penalty(weights)) * inverse, alpha * inverse


@lru_cache(maxsize=KEPT_PROGRAMS)
def _made_gradient(form: Form) -> ArrayProgram:
    def results(given: _Inputs, prediction: Tensor) -> list[Tensor]:
        loss = total_of(form.objective.entries(prediction, given.data[1]) * given.data[2])
        return [loss, *_gradients(loss, given.parameters)]

    return _without_update(form, results, weighted=True)


@lru_cache(maxsize=KEPT_PROGRAMS)
def _made_evaluation(form: Form) -> ArrayProgram:
    def results(given: _Inputs, prediction: Tensor) -> list[Tensor]:
        return [prediction, form.objective.entries(prediction, given.data[1])]

    return _without_update(form, results, weighted=False)


def _without_update(
    form: Form, results: Callable[[_Inputs, Tensor], list[Tensor]], *, weighted: bool
) -> ArrayProgram:
    """Make the program of what follows from the network's outputs, which changes no parameter."""
    net = network(form.architecture)
    with quiet():
        given = _inputs(form, net, weighted)
        with substitute(net, given.parameters), running(training=False):
            prediction = net(given.data[0])
        inputs = [*given.parameters.values(), *given.data]
        graph, _ = capture(results(given, prediction), inputs, fold=True)
    return ArrayProgram(program(graph, form.executor, threads=form.threads))
