"""Reads a training run back from its directory.

`load` gives a `StoredRun`, which predicts at once and, given the training data again, replays any
step.  Whatever is missing or damaged is said in one sentence.
"""

from __future__ import annotations

import functools
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backlight import nn, optim
from backlight.data import (
    Dataset,
    Preprocessor,
    Standardizer,
    frame_rows,
    is_frame,
    preprocessing_from_dict,
)
from backlight.data.rows import FileRows
from backlight.errors import BacklightError, RunError
from backlight.execute.executors import check_name
from backlight.graph.primitive import Array
from backlight.optim import LBFGS, Optimizer
from backlight.record import Trace
from backlight.tensor import quiet, tensor
from backlight.train.batches import BatchPlan
from backlight.train.callbacks import History
from backlight.train.engine import EVALUATION_BATCH, Engine, TrainingState, check_seed
from backlight.train.objective import LossFunction, Objective, describe_loss
from backlight.train.prepare import Prepared, prepare
from backlight.train.reading import (
    checked,
    compare,
    damaged,
    listed_specs,
    read_arrays,
    read_description,
    read_history,
    read_state,
    specs_of,
)
from backlight.train.run import ReplayedStep, Run
from backlight.train.save import (
    RUN_FILE,
    SNAPSHOTS_FILE,
    WEIGHTS_FILE,
    Json,
    fingerprint,
)
from backlight.train.snapshots import Course, Scales, Snapshots
from backlight.train.step import Arrays, Model


@dataclass(eq=False)
class StoredRun:
    """A run that was read from a directory.

    Attributes
    ----------
    directory : Path
    net : object
        The network with its final parameters.
    configuration : dict
        What ``run.json`` says.
    history, step_history : dict of str to list of float
        As of `Run`.
    parameters : dict of str to ndarray
        The final parameters.
    class_names : tuple of str or None
    preprocessing : dict or None
        What was done to the features (and targets) before training.
    about : dict
        What else was stored with the run.
    objective : Objective or None
        The loss; None for a function of one's own that was not given to `load`.
    """

    directory: Path
    net: Any
    configuration: Json
    history: History
    step_history: History
    parameters: Arrays
    class_names: tuple[str, ...] | None
    preprocessing: Json | None
    about: Json
    objective: Objective | None
    features: Standardizer | Preprocessor | None
    targets: Standardizer | None

    def __repr__(self) -> str:
        return f"<stored run {self.directory.name}: {self.epochs} epochs, {self.steps} steps>"

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return int(self.configuration["steps"])

    @property
    def epochs(self) -> int:
        """How many epochs were completed."""
        return len(self.history["loss"])

    @property
    def health(self) -> History:
        """What the check-ups during training found; see `Run.health`."""
        stored = self.configuration.get("health", {})

        def read() -> History:
            found = {str(key): [float(each) for each in stored[key]] for key in stored}
            if len({len(values) for values in found.values()}) > 1:
                raise ValueError("'health' has columns of different lengths")
            return found

        return checked(self.directory, RUN_FILE, read)

    @property
    def stopped(self) -> str:
        """Why training ended."""
        return str(self.configuration["stopped"])

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The names of the network's inputs after the preprocessing, where they are known."""
        if isinstance(self.features, Preprocessor):
            return self.features.feature_names
        names = self.configuration["data"].get("feature_names")
        return None if names is None else tuple(map(str, names))

    # ── prediction ───────────────────────────────────────────────────────────────────────────

    def outputs(self, X: Any) -> Array:
        """Return the network's outputs for examples, after the preprocessing.

        Parameters
        ----------
        X : array_like (n, ...), Dataset or data frame
            Features as they were before the preprocessing.

        Returns
        -------
        ndarray (n, ...)

        Raises
        ------
        DataError, ShapeError
            When the features are not those of the training.
        """
        rows = self._prepared_features(X)
        parts = []
        with quiet(), nn.running(training=False):
            for start in range(0, max(len(rows), 1), EVALUATION_BATCH):
                parts.append(self.net(tensor(rows[start : start + EVALUATION_BATCH])).value)
        return np.concatenate(parts)

    def probabilities(self, X: Any) -> Array:
        """Return the probability of each class: the softmax (or sigmoid) of the outputs.

        Raises
        ------
        RunError
            When the loss is not one for classes.
        """
        outputs = self.outputs(X).astype(np.float64)
        loss: object = None if self.objective is None else self.objective.function
        while isinstance(loss, functools.partial):
            loss = loss.func
        if loss is nn.cross_entropy or loss is nn.nll:
            powers = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
            shares: Array = powers / powers.sum(axis=-1, keepdims=True)
            return shares
        if loss is nn.binary_cross_entropy_with_logits:
            with quiet():
                chances: Array = nn.sigmoid(tensor(outputs)).value
            return chances
        if loss is nn.binary_cross_entropy:
            found: Array = outputs
            return found
        raise RunError(
            f"The run was trained with {self.configuration['loss']['name']}, which gives no "
            f"probabilities; use outputs."
        )

    def predict(self, X: Any) -> Array:
        """Return predictions: class names (numbers without names), or values in their units.

        Parameters
        ----------
        X : array_like (n, ...) or Dataset
            Features as they were before the preprocessing.
        """
        if self.objective is None or self.objective.targets in ("numbers", "unknown"):
            outputs = self.outputs(X)
            if self.targets is None:
                return outputs
            values: Array = outputs * self.targets.scale + self.targets.mean
            return values
        probabilities = self.probabilities(X)
        if self.objective.targets == "classes":
            codes: Array = probabilities.argmax(axis=-1)
        else:
            codes = (probabilities > 0.5).astype(np.int64)
            codes = codes[:, 0] if codes.ndim == 2 and codes.shape[1] == 1 else codes
        if self.class_names is None or codes.max(initial=0) >= len(self.class_names):
            return codes
        named: Array = np.array(self.class_names)[codes]
        return named

    def _prepared_features(self, X: Any) -> Array:
        if is_frame(X) and isinstance(self.features, Preprocessor):
            X = frame_rows(X, self.features.columns)
        rows = np.asarray(X.X if isinstance(X, Dataset) else X)
        if self.features is not None:
            rows = self.features.apply(rows.astype(np.float64))
        dtype = np.result_type(*(each.dtype for each in self.parameters.values()))
        return np.ascontiguousarray(rows, dtype=dtype)

    # ── replay ───────────────────────────────────────────────────────────────────────────────

    def attach(self, data: Any, *, sample_weights: Any = None) -> Run:
        """Return the run itself, so that its steps can be replayed.

        Parameters
        ----------
        data : (X, y) or Dataset
            The training data, as `fit` was given it or as it was before the preprocessing.
        sample_weights : array_like, optional
            As `fit` was given them.

        Raises
        ------
        RunError
            When the data is not that of the training, or a loss of one's own is missing.
        """
        if self.objective is None:
            raise RunError(
                f"The run {self.directory} was trained with a loss of its own, "
                f"{self.configuration['loss']['name']}; pass it to load as loss=…."
            )
        model = Model(
            self.net,
            specs_of(self.parameters),
            self.objective,
            self._optimizer(),
            executor=self._executor(),
        )
        prepared = self._recognized(model, data, sample_weights)
        arrays = read_arrays(self.directory / SNAPSHOTS_FILE)
        states = [
            read_state(self.directory, each, arrays, self.parameters)
            for each in self.configuration["snapshots"]
        ]
        course = checked(self.directory, RUN_FILE, lambda: self._course(model, prepared, states))
        return Run(
            net=self.net,
            history=self.history,
            step_history=self.step_history,
            stopped=self.stopped,
            best_epoch=self.configuration["best_epoch"],
            parameters=dict(self.parameters),
            course=course,
            checksum=prepared.train.checksum(),
            final_state=states[-1],
            split=self.configuration["split"],
            health=self.health,
            dataset=data if isinstance(data, Dataset) else None,
        )

    def _course(self, model: Model, prepared: Prepared, states: list[TrainingState]) -> Course:
        settings = self.configuration
        seed, n = check_seed(settings["seed"]), len(prepared.train)
        plan = BatchPlan(n, settings["batch_size"], seed, settings["shuffle"])
        engine = Engine(model, prepared.train, plan, seed)
        steps = [each.step for each in states]
        if steps != sorted(set(steps)) or steps[0] != 0 or steps[-1] != self.steps:
            raise ValueError("its snapshots do not go from the first step to the last")
        expected = engine.first(dict(self.parameters))
        for state in states:
            if not _alike(state, expected):
                raise ValueError(f"its snapshot of step {state.step} is not of its optimizer")
        scales = Scales((int(step), float(scale)) for step, scale in settings["scales"])
        return Course(engine, Snapshots(states), scales, self.steps)

    def replay_loss(self, step: int, data: Any, example: int | None = None) -> ReplayedStep:
        """Record the forward pass of a step again; see `Run.replay_loss` and `attach`."""
        return self.attach(data).replay_loss(step, example)

    def replay(self, step: int, data: Any, example: int | None = None) -> Trace:
        """Record everything about a step; see `Run.replay` and `attach`."""
        return self.attach(data).replay(step, example)

    def _executor(self) -> str:
        """Return the executor of the run; before it was stored, it was the reference."""
        name = str(self.configuration.get("executor", "reference"))
        return checked(self.directory, RUN_FILE, lambda: check_name(name))

    def _optimizer(self) -> Optimizer | LBFGS:
        found = checked(
            self.directory, RUN_FILE, lambda: optim.from_dict(self.configuration["optimizer"])
        )
        if not isinstance(found, (Optimizer, LBFGS)):
            raise damaged(self.directory, RUN_FILE, "its optimizer is none")
        return found

    def _recognized(self, model: Model, data: Any, sample_weights: Any) -> Prepared:
        """Return the training examples if they are those of the run, preprocessed or not."""
        expected = self.configuration["data"]
        if expected["weights"] and sample_weights is None:
            raise RunError("The run was trained with sample_weights; pass them as well.")
        assert self.objective is not None
        for given in self._forms(data):
            try:
                found = prepare(
                    given,
                    validation=self.configuration["split"],
                    sample_weights=sample_weights,
                    objective=self.objective,
                    dtype=model.dtype,
                    seed=self.configuration["seed"],
                )
            except BacklightError:  # this form of the data is not the one
                continue
            if fingerprint(found.train) == expected["fingerprint"]:
                return found
        raise RunError(
            f"The data is not what the run {self.directory} was trained on "
            f"({expected['rows']} rows of {expected.get('name', 'arrays')}); its steps can only be "
            f"replayed with the same rows in the same order."
        )

    def _forms(self, data: Any) -> list[Any]:
        forms = [data]
        if isinstance(data, Dataset):
            data = (data.X, data.y)
        pair = isinstance(data, (tuple, list)) and len(data) == 2 and not is_frame(data[0])
        if pair and (self.features is not None or self.targets is not None):
            X, y = (each if isinstance(each, FileRows) else np.asarray(each) for each in data)
            try:
                X = X if self.features is None else self.features.apply(X)
                if self.targets is not None:
                    y = self.targets.apply(y.reshape(len(y), *self.targets.mean.shape))
            except (BacklightError, ValueError):
                return forms
            forms.append((X, y))
        return forms


def _alike(state: TrainingState, expected: TrainingState) -> bool:
    """Tell whether the optimizer's part of a state is of the form that its optimizer needs."""
    slots = {slot: set(arrays) for slot, arrays in state.slots.items()}
    if slots != {slot: set(arrays) for slot, arrays in expected.slots.items()}:
        return False
    if state.lbfgs is None or expected.lbfgs is None:
        return state.lbfgs is expected.lbfgs
    sizes = {each.size for each in (*state.lbfgs.changes, *state.lbfgs.differences)}
    if state.lbfgs.gradient is not None:
        sizes.add(state.lbfgs.gradient.size)
    whole = sum(each.size for each in expected.lbfgs.parameters.values())
    same = set(state.lbfgs.parameters) == set(expected.lbfgs.parameters)
    return same and sizes <= {whole}


def load(
    directory: str | os.PathLike[str],
    *,
    net: Any = None,
    loss: LossFunction | None = None,
) -> StoredRun:
    """Read a run from its directory.

    Parameters
    ----------
    directory : path
        What `save` wrote.
    net : object, optional
        A network to put the parameters into; needed for one of one's own class.
    loss : callable, optional
        A loss of one's own, needed for replaying a run that was trained with it.

    Raises
    ------
    RunError
        When there is no run, or it is damaged, of a newer version, or does not fit the network.
    """
    place = Path(directory)
    description = read_description(place)
    weights = read_arrays(place / WEIGHTS_FILE)
    listed = checked(place, RUN_FILE, lambda: listed_specs(description))
    compare(place, listed, specs_of(weights), WEIGHTS_FILE)
    parameters = {name: weights[name] for name in listed}
    network = _network(place, description) if net is None else net
    mine = {name: each.spec for name, each in nn.parameters(network).items()}
    compare(place, listed, mine, "the network")
    nn.load(network, parameters)
    history, step_history = read_history(place, description)
    preprocessing = description["preprocessing"]
    classes = description["class_names"]
    return StoredRun(
        place,
        network,
        description,
        history,
        step_history,
        parameters,
        None if classes is None else tuple(map(str, classes)),
        preprocessing,
        description["about"],
        _objective(place, description, loss),
        checked(place, RUN_FILE, lambda: _features(preprocessing)),
        checked(place, RUN_FILE, lambda: _targets(preprocessing)),
    )


def _network(place: Path, description: Json) -> Any:
    if description["architecture"] is None:
        raise RunError(
            f"The run {place} holds a network of one's own class, {description['network']}; make "
            f"one and pass it as net=…."
        )
    return checked(place, RUN_FILE, lambda: nn.from_dict(description["architecture"]))


def _objective(place: Path, description: Json, loss: LossFunction | None) -> Objective | None:
    if loss is not None:
        return describe_loss(loss)
    stored = description["loss"]
    if not stored["own"]:
        return None
    name = str(stored["name"])
    if name not in nn.losses.__all__:
        raise damaged(place, RUN_FILE, f"there is no loss {name!r}")
    base: LossFunction = getattr(nn.losses, name)
    function = base
    if stored["options"]:
        function = checked(
            place, RUN_FILE, lambda: functools.partial(base, **dict(stored["options"]))
        )
        checked(
            place, RUN_FILE, lambda: inspect.signature(base).bind(None, None, **stored["options"])
        )
    return checked(place, RUN_FILE, lambda: describe_loss(function))


def _features(preprocessing: Json | None) -> Standardizer | Preprocessor | None:
    stored = None if preprocessing is None else preprocessing.get("features")
    return None if stored is None else preprocessing_from_dict(stored)


def _targets(preprocessing: Json | None) -> Standardizer | None:
    stored = None if preprocessing is None else preprocessing.get("targets")
    return None if stored is None else Standardizer.from_dict(stored)
