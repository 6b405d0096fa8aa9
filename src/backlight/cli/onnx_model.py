"""A trained run as an ONNX model: what the data needs, the network, and what people read.

Scaling, filled gaps and categories are part of the model, so that it takes rows as they are in the
data and gives what ``backlight predict`` gives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backlight import functions, nn
from backlight.cli.recipe import Recipe
from backlight.data import Preprocessor, Standardizer
from backlight.data.encode import Encoding
from backlight.io.onnx.save import Vocabulary, model_bytes
from backlight.tensor import Tensor

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
UNKNOWN = -1.0
"""The code of a category that training did not see."""


def run_as_onnx(net: Callable[..., Tensor], recipe: Recipe) -> bytes:
    """Return the content of an ONNX file with the whole way from rows to predictions.

    A run on a table has one input of shape (batch, 1) for each column: float64 for numbers, NaN
    where there is none, and text for categories, empty where there is none.  A run on arrays has
    one input ``X`` of shape (batch, features).  The outputs are ``class`` (int64, the position in
    the class names that are stored with the model) and ``probabilities``; for labels only
    ``probabilities``, and for a regression ``prediction`` in the target's own units.

    Raises
    ------
    UsageError
        Without the extra ``onnx``.
    MissingRuleError
        When ONNX has no form for a primitive.
    """
    if isinstance(recipe.features, Preprocessor):
        encodings = recipe.features.encodings
        example = tuple(np.zeros((1, 1), DOUBLE) for _ in encodings)
        inputs = [each.column.name for each in encodings]

        def features(*columns: Tensor) -> Tensor:
            parts = [_encoded(e, x) for e, x in zip(encodings, columns, strict=True)]
            return functions.concat([part for each in parts for part in each], axis=1)

    else:
        scaler = recipe.features
        dtype = SINGLE if scaler is None else DOUBLE
        example = (np.zeros((1, len(recipe.feature_names)), dtype),)
        inputs = ["X"]

        def features(*columns: Tensor) -> Tensor:
            return columns[0] if scaler is None else _scaled(scaler, columns[0])

    def model(*columns: Tensor) -> tuple[Tensor, ...]:
        return _read(recipe, net(features(*columns)))

    return model_bytes(
        model,
        example,
        inputs=inputs,
        outputs=_outputs(recipe),
        vocabularies=_vocabularies(recipe),
        about=_about(recipe),
    )


def _scaled(scaler: Standardizer, rows: Tensor) -> Tensor:
    return functions.astype((rows - scaler.mean) / scaler.scale, SINGLE)


def _encoded(encoding: Encoding, values: Tensor) -> list[Tensor]:
    """The features of one column of coded values (n, 1), as `Encoding.write` has them."""
    gaps = functions.isnan(values)
    if encoding.column.kind == "number":
        scaled = (values - encoding.mean) / encoding.scale
        made = [functions.astype(functions.where(gaps, encoding.fill, scaled), SINGLE)]
    else:
        made = []
        if encoding.kept:
            chosen = functions.equal(values, np.array([encoding.kept], DOUBLE))
            made.append(functions.astype(chosen, SINGLE))
        if encoding.other:
            known = functions.any(
                functions.equal(values, np.array([encoding.kept], DOUBLE)), axis=1, keepdims=True
            )
            rest = functions.logical_not(functions.logical_or(known, gaps))
            made.append(functions.astype(rest, SINGLE))
    if encoding.marked:
        made.append(functions.astype(gaps, SINGLE))
    return made


def _read(recipe: Recipe, outputs: Tensor) -> tuple[Tensor, ...]:
    """What people read of the network's outputs, as `Recipe.predict` has it."""
    if recipe.task == "labels":
        return (nn.sigmoid(outputs),)
    if recipe.class_names is not None:
        return functions.argmax(outputs, axis=1), nn.softmax(outputs, axis=1)
    if recipe.targets is None:
        return (outputs,)
    return (functions.astype(outputs, DOUBLE) * recipe.targets.scale + recipe.targets.mean,)


def _outputs(recipe: Recipe) -> list[str]:
    if recipe.task == "labels":
        return ["probabilities"]
    return ["prediction"] if recipe.class_names is None else ["class", "probabilities"]


def _vocabularies(recipe: Recipe) -> Mapping[str, Vocabulary]:
    return {
        column.name: Vocabulary(
            {"": np.nan} | {word: float(code) for code, word in enumerate(column.categories)},
            UNKNOWN,
        )
        for column in recipe.columns
        if column.kind == "category"
    }


def _about(recipe: Recipe) -> Mapping[str, str]:
    about: dict[str, Any] = {"task": recipe.task, "target": recipe.target_name}
    if recipe.class_names is not None:
        about["class_names"] = list(recipe.class_names)
    if not isinstance(recipe.features, Preprocessor):
        about["feature_names"] = list(recipe.feature_names)
    return {
        name: each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
        for name, each in about.items()
    }
