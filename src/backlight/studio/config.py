"""What a live training is made of: data, layers, optimizer, read from the page and checked.

`read_config` takes what the page sent and gives a `Configuration`; `set_up` makes the network,
the task and the optimizer of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from backlight import data, nn, optim
from backlight.data import Dataset, Preprocessor, Standardizer
from backlight.data.messages import did_you_mean
from backlight.errors import UnknownNameError, UsageError
from backlight.studio import asking
from backlight.studio.asking import Json
from backlight.studio.task import Task
from backlight.tensor import Tensor

MOST_LAYERS = 8
WIDEST = 1024
MOST_PARAMETERS = 2_000_000
MOST_ROWS = 10_000
"""Rows of a generated set."""

ACTIVATIONS: Mapping[str, type[nn.Module]] = MappingProxyType(
    {
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "softplus": nn.Softplus,
    }
)
OPTIMIZERS: Mapping[str, Callable[..., optim.Optimizer]] = MappingProxyType(
    {
        "sgd": optim.SGD,
        "momentum": lambda rate, **options: optim.SGD(rate, momentum=0.9, **options),
        "adam": optim.Adam,
        "adamw": optim.AdamW,
        "rmsprop": optim.RMSprop,
        "adagrad": optim.Adagrad,
        "adadelta": optim.Adadelta,
    }
)
WRITTEN_OPTIMIZERS: Mapping[str, str] = MappingProxyType(
    {
        "sgd": "SGD({rate}{more})",
        "momentum": "SGD({rate}, momentum=0.9{more})",
        "adam": "Adam({rate}{more})",
        "adamw": "AdamW({rate}{more})",
        "rmsprop": "RMSprop({rate}{more})",
        "adagrad": "Adagrad({rate}{more})",
        "adadelta": "Adadelta({rate}{more})",
    }
)
LOSSES: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"cross_entropy": nn.cross_entropy, "mse": nn.mse}
)
GENERATED = ("xor", "spiral", "moons", "circles", "sine")
DEFAULT_ROWS: Mapping[str, int] = MappingProxyType({"xor": 200})


@dataclass(frozen=True)
class Configuration:
    """A live training, as the page shows it; see docs/studio-protocol.md."""

    data: str = "spiral"
    rows: int | None = None
    noise: float | None = None
    layers: tuple[int, ...] = (8, 8)
    activation: str = "tanh"
    loss: str = "auto"
    optimizer: str = "adam"
    learning_rate: float = 0.03
    batch_size: int | None = 32
    weight_decay: float = 0.0
    dropout: float = 0.0
    validation: float = 0.0
    bias: bool = True
    seed: int = 0
    standardize: bool = True
    dtype: str = "float32"

    def to_dict(self) -> Json:
        """Return plain data for the page."""
        return {**asdict(self), "layers": list(self.layers)}


@dataclass(frozen=True, eq=False)
class SetUp:
    """Everything that a live training starts from."""

    config: Configuration
    task: Task
    net: Any
    loss: Callable[..., Tensor]
    optimizer: optim.Optimizer
    script: str
    """Python that makes ``net``, ``data``, ``loss`` and ``optimizer``."""


def read_config(
    given: object, uploads: Mapping[str, Dataset], start: Configuration | None = None
) -> Configuration:
    """Read a configuration, or changes of one.

    Parameters
    ----------
    given : dict
        What the page sent.
    uploads : mapping of str to Dataset
        Data sets by their id.
    start : Configuration, optional
        What holds for fields that are not given.

    Raises
    ------
    UsageError, UnknownNameError
        Naming the field and what it may be.

    Examples
    --------
    >>> read_config({"layers": [4]}, {}).layers
    (4,)
    """
    if not isinstance(given, Mapping):
        raise UsageError("A configuration is an object with data, layers, optimizer and so on.")
    base = Configuration() if start is None else start
    known = base.to_dict()
    for name in given:
        if name not in known:
            raise UnknownNameError(
                f"A configuration has no field {str(name)[:40]!r}{did_you_mean(str(name), known)}."
            )
    merged = {**known, **given}
    found = replace(
        base,
        data=_data_name(merged["data"], uploads),
        rows=asking.whole(merged, "rows", None, least=4, most=MOST_ROWS),
        noise=None if merged["noise"] is None else asking.number(merged, "noise", least=0, most=10),
        layers=_layers(merged["layers"]),
        activation=asking.choice(merged, "activation", "tanh", tuple(ACTIVATIONS)),
        loss=asking.choice(merged, "loss", "auto", ("auto", *LOSSES)),
        optimizer=asking.choice(merged, "optimizer", "adam", tuple(OPTIMIZERS)),
        learning_rate=asking.number(merged, "learning_rate", above=0.0, most=1e6),
        batch_size=asking.whole(merged, "batch_size", None, least=1, most=10**6),
        weight_decay=asking.number(merged, "weight_decay", least=0.0, most=1e6),
        dropout=asking.number(merged, "dropout", least=0.0, most=0.95),
        validation=asking.number(merged, "validation", least=0.0, most=0.9),
        bias=asking.flag(merged, "bias", True),
        seed=asking.count(merged, "seed", 0, most=2**31),
        standardize=asking.flag(merged, "standardize", True),
        dtype=asking.choice(merged, "dtype", "float32", ("float32", "float64")),
    )
    return found


def _data_name(name: object, uploads: Mapping[str, Dataset]) -> str:
    known = (*data.names(), *uploads)
    if not isinstance(name, str) or name not in known:
        hint = did_you_mean(str(name)[:60], known)
        raise UnknownNameError(
            f"There is no data set {str(name)[:60]!r}{hint}; there are {', '.join(known)}."
        )
    return name


def _layers(given: object) -> tuple[int, ...]:
    widths = list(given) if isinstance(given, (list, tuple)) else None
    if widths is None or len(widths) > MOST_LAYERS:
        raise UsageError(f"Layers must be a list of at most {MOST_LAYERS} widths, such as [8, 8].")
    for width in widths:
        if type(width) is not int or not 1 <= width <= WIDEST:
            raise UsageError(
                f"A layer has from 1 to {WIDEST} units; {str(width)[:20]} is not possible."
            )
    return tuple(widths)


def load_data(config: Configuration, uploads: Mapping[str, Dataset]) -> Dataset:
    """Load the data set of a configuration."""
    if config.data in uploads:
        return uploads[config.data]
    if config.data not in GENERATED:
        return data.load(config.data)
    options: dict[str, Any] = {"seed": config.seed}
    rows = config.rows or DEFAULT_ROWS.get(config.data)
    if rows is not None:
        options["n"] = rows
    if config.noise is not None:
        options["noise"] = config.noise
    return data.load(config.data, **options)


def set_up(config: Configuration, uploads: Mapping[str, Dataset]) -> SetUp:
    """Make the network, the task and the optimizer of a configuration.

    Raises
    ------
    UsageError
        When the network would be too large, or the loss does not fit the data.
    """
    dataset = load_data(config, uploads)
    if dataset.task == "labels":
        raise UsageError(
            f"{dataset.name} has several labels for each row, which the studio does not train on; "
            f"use backlight train."
        )
    classes = dataset.class_names
    numbers = dataset.y.reshape(len(dataset), -1)
    regression = classes is None
    task = Task(
        dataset,
        _learnt(dataset, config.standardize),
        Standardizer.fit(numbers.astype(np.float64)) if regression and config.standardize else None,
        config.dtype,
    )
    name = config.loss
    if name == "auto":
        name = "mse" if regression else "cross_entropy"
    if (name == "cross_entropy") == regression:
        kind = "numbers" if regression else "classes"
        raise UsageError(
            f"The loss {name} does not fit {dataset.name}, whose targets are {kind}; choose "
            f"{'mse' if regression else 'cross_entropy'} or auto."
        )
    outputs = numbers.shape[1] if classes is None else len(classes)
    sizes = (task.seen, *config.layers, outputs)
    total = sum(a * b + config.bias * b for a, b in pairwise(sizes))
    if total > MOST_PARAMETERS:
        raise UsageError(
            f"A network of {total:,} parameters is too large for the studio; choose narrower "
            f"layers, for at most {MOST_PARAMETERS:,}."
        )
    rule = OPTIMIZERS[config.optimizer](config.learning_rate, weight_decay=config.weight_decay)
    return SetUp(
        config, task, _network(config, sizes), LOSSES[name], rule, _script(config, sizes, name)
    )


def _learnt(dataset: Dataset, standardize: bool) -> Standardizer | Preprocessor | None:
    """What is done to the features, learnt from the rows; images stay between 0 and 1."""
    if dataset.columns is not None:
        return Preprocessor.fit(dataset.X, dataset.columns, scale=standardize)
    if standardize and dataset.image_shape is None:
        return Standardizer.fit(dataset.X.reshape(len(dataset), -1))
    return None


def _network(config: Configuration, sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for position, (before, after) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(before, after, bias=config.bias, dtype=config.dtype))
        if position < len(sizes) - 2:
            layers.append(ACTIVATIONS[config.activation]())
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
    return nn.Sequential(*layers, seed=config.seed)


def _script(config: Configuration, sizes: tuple[int, ...], loss: str) -> str:
    """Write the Python that makes the same things."""
    options = "" if config.bias else ", bias=False"
    options += "" if config.dtype == "float32" else f", dtype={config.dtype!r}"
    layers = []
    for position, (before, after) in enumerate(pairwise(sizes)):
        layers.append(f"    bl.nn.Linear({before}, {after}{options}),")
        if position < len(sizes) - 2:
            layers.append(f"    bl.nn.{ACTIVATIONS[config.activation].__name__}(),")
            if config.dropout:
                layers.append(f"    bl.nn.Dropout({config.dropout!r}),")
    load = [repr(config.data)]
    if config.data in GENERATED:
        rows = config.rows or DEFAULT_ROWS.get(config.data)
        load += [f"n={rows}"] * (rows is not None)
        load += [f"noise={config.noise!r}"] * (config.noise is not None)
        load += [f"seed={config.seed}"]
    reader = f"bl.data.load({', '.join(load)})"
    if config.data not in data.names():
        reader = 'bl.data.read("YOUR_FILE.csv")  # the file that was uploaded'
    more = f", weight_decay={config.weight_decay!r}" if config.weight_decay else ""
    rule = WRITTEN_OPTIMIZERS[config.optimizer].format(rate=repr(config.learning_rate), more=more)
    targets = "y = data.y"
    if loss == "mse":
        targets = "y = data.y.reshape(len(data), -1).astype(np.float64)"
        if config.standardize:
            targets += "\ny = bl.data.Standardizer.fit(y).apply(y)"
    return "\n".join(
        [
            f"data = {reader}",
            *_script_features(config),
            targets,
            "net = bl.nn.Sequential(",
            *layers,
            f"    seed={config.seed},",
            ")",
            f"loss = bl.nn.{loss}",
            f"optimizer = bl.optim.{rule}",
        ]
    )


def _script_features(config: Configuration) -> list[str]:
    """Write how the features become what the network sees."""
    if config.data not in data.names():
        return [
            f"learnt = bl.data.Preprocessor.fit(data.X, data.columns, scale={config.standardize})",
            f"X = learnt.apply(data.X).astype(np.{config.dtype})",
        ]
    lines = ["X = data.X.reshape(len(data), -1)"]
    if config.standardize and config.data not in ("digits", "fashion-mnist"):
        lines.append("X = bl.data.Standardizer.fit(X).apply(X.astype(np.float64))")
    return [*lines, f"X = X.astype(np.{config.dtype})"]
