"""What makes two training runs the same: everything that their numbers depend on, as plain data.

It takes what `fit` has prepared and gives a dict that checkpoints store, so that going on with
another network, other data or other options is noticed, and named.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from backlight.errors import RunError
from backlight.train.callbacks import EarlyStopping
from backlight.train.engine import Engine
from backlight.train.prepare import Prepared
from backlight.train.save import Json, architecture, fingerprint, loss_dict


def identify(
    engine: Engine,
    prepared: Prepared,
    early_stopping: EarlyStopping | None,
    log_every: int | None,
) -> Json:
    """Return everything that a run's numbers depend on, the number of epochs and threads aside.

    Parameters
    ----------
    engine : Engine
    prepared : Prepared
    early_stopping : EarlyStopping or None
    log_every : int or None
    """
    model, plan = engine.model, engine.plan
    validation = prepared.validation
    found = {
        "network": architecture(model.net) or type(model.net).__name__,
        "parameters": [
            [name, list(spec.shape), spec.dtype.name] for name, spec in model.specs.items()
        ],
        "loss": loss_dict(model.objective.function, model.objective.name),
        "optimizer": model.optimizer.to_dict(),
        "metrics": [each.name for each in model.metrics],
        "training rows": len(engine.train),
        "training data": fingerprint(engine.train),
        "validation data": None if validation is None else fingerprint(validation),
        "batch_size": plan.batch_size,
        "shuffle": plan.shuffle,
        "seed": engine.seed,
        "early_stopping": None if early_stopping is None else dataclasses.asdict(early_stopping),
        "log_every": log_every,
        "gradient_norms": engine.norm,
        "executor": model.executor,
    }
    plain: Json = json.loads(json.dumps(found))  # tuples become lists, as they come back
    return plain


def flat(value: object, prefix: str = "") -> dict[str, str]:
    """Write nested plain data as one level of names and texts, to be compared."""
    if isinstance(value, dict) and value:
        found: dict[str, str] = {}
        for key, each in value.items():
            found |= flat(each, f"{prefix}{key}.")
        return found
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        found = {}
        for k, each in enumerate(value):
            found |= flat(each, f"{prefix}{k}.")
        return found
    return {prefix.rstrip("."): "none" if value is None else str(value)}


def check_same(folder: Path, saved: Json, now: Json) -> None:
    """Raise unless what is to be trained is what the checkpoint was made of.

    Raises
    ------
    RunError
        Naming everything that differs.
    """
    before, after = flat(saved), flat(now)
    differing = [
        f"{name} is {_short(after.get(name))} and was {_short(before.get(name))}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
    if differing:
        more = f"; and {len(differing) - 6} more" if len(differing) > 6 else ""
        raise RunError(
            f"The checkpoints in {folder} are of another training run: "
            f"{'; '.join(differing[:6])}{more}; train with what they were made with, or choose "
            f"another folder."
        )


def _short(text: str | None) -> str:
    text = "missing" if text is None else text
    return text if len(text) <= 70 else f"{text[:60]} …"
