"""`fit`: train a network on data, step by step, exactly and repeatably.

It takes a network, examples, a loss and an optimizer and gives a `Run`.  Everything that a step
depends on is a function of the seed and the step's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from backlight.errors import UsageError
from backlight.execute.executors import check_name
from backlight.nn import parameters as parameters_in
from backlight.optim import LBFGS, Adam, Optimizer
from backlight.tensor import Tensor
from backlight.train.batches import BatchPlan
from backlight.train.callbacks import EarlyStopping, Hooks
from backlight.train.engine import Engine, check_seed, is_rule
from backlight.train.health import Checkups
from backlight.train.loop import Loop
from backlight.train.metrics import MetricFunction, resolve
from backlight.train.objective import LossFunction, describe_loss
from backlight.train.prepare import Prepared, check_outputs, prepare
from backlight.train.run import Run
from backlight.train.runlog import RunLog
from backlight.train.standing import Settings
from backlight.train.step import Model, predicted_spec

if TYPE_CHECKING:
    from backlight.train.checkpoints import Checkpoints, Keeper, PathLike


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
    metrics: Sequence[str | MetricFunction] | None = (),
    callbacks: Sequence[Any] = (),
    early_stopping: EarlyStopping | None = None,
    shuffle: bool = True,
    seed: int = 0,
    progress: bool = False,
    log_every: int | None = None,
    gradient_norms: bool = False,
    executor: str = "native",
    threads: int | None = None,
    checkpoint: Checkpoints | PathLike | None = None,
    resume: bool = False,
    store: RunLog | PathLike | None = None,
    health: bool | int = True,
) -> Run:
    """Train a network.

    Parameters
    ----------
    net : object
        A `backlight.nn.Module` or any callable object that holds parameters.  It has the trained
        parameters afterwards, also when training is interrupted.
    data : (X, y), (frame, "target") or Dataset
        One example a row.  X is cast to the network's dtype; y holds class numbers or real
        numbers.  The arrays are not copied unless they have to be cast.  Memory maps of more than
        64 MiB are read a few rows at a time.  Of a data frame with the name of its target, or of
        a `Dataset` read from a table, columns are scaled, encoded and filled in as
        `backlight.data.Preprocessor` learns it from the training examples; the run keeps that as
        ``run.preprocessing``, whose ``feature_names`` are the network's inputs.
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
    metrics : sequence of str or callable, or None
        Names (``"accuracy"``, ``"mean_absolute_error"``, ``"mean_squared_error"``) or functions
        of prediction and target that return the mean over a batch.  The accuracy is measured
        unasked with losses for classes; None measures nothing but the loss.
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
        How steps are run: ``"native"`` compiles the whole loop to machine code, ``"reference"`` is
        NumPy, the definition of what a step means.
    threads : int, optional
        How many threads an executor may use; the reference leaves that to NumPy.
    checkpoint : Checkpoints or path, optional
        A folder for checkpoints; a path stands for ``Checkpoints(path)``: one a minute, one at
        the start and one at the end.  SIGTERM then stops training as Ctrl-C does.
    resume : bool
        Go on from the newest whole checkpoint, bit for bit as if training had never stopped; from
        the beginning where there is none.  Network, data and options must be the same, the number
        of epochs and threads aside.  Callbacks are not part of a checkpoint.
    store : RunLog or path, optional
        A folder with a run store, in which the run is entered while it is trained; see
        `backlight.train.RunStore`.
    health : bool or int
        Check-ups of gradients, updates and units in ``run.health``: True makes one now and then,
        within a fiftieth of the training time; a number one after every so many epochs.

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
    RunError
        When no checkpoint can be written, another process trains there, or what is to be resumed
        is damaged or of another training.

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
    settings = Settings(
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
    checkups = Checkups(health)
    log = RunLog.of(store)
    keeper = None if checkpoint is None else _keeper(checkpoint, bool(resume))
    if resume and keeper is None:
        raise UsageError("resume=True needs checkpoint=, the folder of what is to be gone on from.")
    tensors = _parameters(net)
    objective = describe_loss(loss)
    model = Model(
        net,
        {name: each.spec for name, each in tensors.items()},
        objective,
        chosen,
        () if metrics is None else resolve(metrics, objective.accuracy),
        check_name(executor),
        threads,
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
    with ExitStack() as open_things:
        recorder = None
        if keeper is not None:
            open_things.enter_context(keeper)
        if log is not None:
            # Here, because SQLite takes a while to load and few runs need it.
            from backlight.train.recorder import Recorder

            recorder = open_things.enter_context(Recorder(log, settings.epochs))
        loop = Loop(settings, engine, prepared, tensors, early_stopping, keeper, recorder, checkups)
        return loop.run()


def _keeper(checkpoint: Checkpoints | PathLike, resume: bool) -> Keeper:
    """Return what will keep checkpoints, from how they were asked for."""
    # Here, because few runs need it.
    from backlight.train.checkpoints import Checkpoints, Keeper

    chosen = Checkpoints.of(checkpoint)
    assert chosen is not None, "it was asked for"
    return Keeper(chosen, resume)


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
