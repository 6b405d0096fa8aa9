"""What a network predicts, for the page: a decision boundary, a confusion matrix, a curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from backlight.graph.primitive import Array
from backlight.report.payload import plain
from backlight.studio.asking import Json
from backlight.studio.task import Task
from backlight.train.step import Arrays

MOST_POINTS = 1000
MOST_TABLE_ROWS = 16
MOST_MEASURED = 5000
"""Rows that confusion matrix and metric are computed from."""
EXAMPLES = 24


def prediction(task: Task, net: Any, parameters: Arrays, resolution: int = 40) -> Json:
    """Compute what the prediction panel shows; see docs/studio-protocol.md."""
    data = task.dataset
    rows = np.arange(min(len(data), MOST_MEASURED))
    X = data.X.reshape(len(data), -1)[rows]
    with np.errstate(all="ignore"):
        outputs = task.outputs(net, parameters, X)
        if task.classes is None:
            made = _numbers(task, net, parameters, X, outputs, resolution)
        else:
            made = _classes(task, net, parameters, X, outputs, resolution)
    found: Json = plain(made)
    return found


def _classes(
    task: Task, net: Any, parameters: Arrays, X: Array, outputs: Array, resolution: int
) -> Json:
    probabilities = task.probabilities(outputs)
    predicted = probabilities.argmax(axis=1)
    target = task.dataset.y[: len(X)].astype(np.int64)
    names = list(task.classes or ())
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (target, predicted), 1)
    metric = {
        "name": "accuracy",
        "value": float(np.mean(predicted == target)),
        "rows": len(X),
    }
    common = {"classes": names, "metric": metric}
    if task.plane:
        return {
            "kind": "boundary",
            **common,
            **_grid(task, net, parameters, X, resolution),
            "confusion": {"counts": counts},
        }
    return {
        "kind": "confusion",
        **common,
        "counts": counts,
        "examples": _examples(task, X, target, predicted, probabilities),
    }


def _grid(task: Task, net: Any, parameters: Arrays, X: Array, resolution: int) -> Json:
    ranges = []
    for column in (X[:, 0], X[:, 1]):
        low, high = float(column.min()), float(column.max())
        margin = 0.1 * (high - low) or 1.0
        ranges.append((low - margin, high + margin))
    axes = [np.linspace(low, high, resolution) for low, high in ranges]
    across, up = np.meshgrid(*axes)
    points = np.stack([across.ravel(), up.ravel()], axis=1)
    outputs = task.outputs(net, parameters, points)
    shown = np.linspace(0, len(X) - 1, min(len(X), MOST_POINTS)).astype(int)
    square = (resolution, resolution)
    if task.classes is None:
        values, labels = task.numbers(outputs)[:, 0], None
    else:
        probabilities = task.probabilities(outputs)
        labels = probabilities.argmax(axis=1).reshape(square)
        values = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1)
    return {
        "x": ranges[0],
        "y": ranges[1],
        "resolution": resolution,
        "values": values.reshape(square).round(4),
        "labels": labels,
        "features": list(task.dataset.feature_names),
        "points": {
            "x": X[shown, 0].astype(np.float64).round(5),
            "y": X[shown, 1].astype(np.float64).round(5),
            "target": task.dataset.y[shown],
            "rows": shown,
        },
    }


def _examples(
    task: Task, X: Array, target: Array, predicted: Array, probabilities: Array
) -> list[Json]:
    wrong = np.flatnonzero(predicted != target)[:EXAMPLES]
    right = np.flatnonzero(predicted == target)[: EXAMPLES - len(wrong)]
    image = task.dataset.image_shape is not None
    return [
        {
            "row": int(row),
            "image": X[row].astype(np.float64).round(4) if image else None,
            "target": int(target[row]),
            "predicted": int(predicted[row]),
            "probabilities": probabilities[row].round(5),
        }
        for row in (*wrong, *right)
    ]


def _numbers(
    task: Task, net: Any, parameters: Arrays, X: Array, outputs: Array, resolution: int
) -> Json:
    predicted = task.numbers(outputs)
    target = task.dataset.y.reshape(len(task.dataset), -1)[: len(X)].astype(np.float64)
    metric = {
        "name": "mean absolute error",
        "value": float(np.mean(np.abs(predicted - target))),
        "rows": len(X),
    }
    if len(X) <= MOST_TABLE_ROWS or target.shape[1] > 1:
        rows = [
            {"row": k, "features": X[k], "target": target[k], "predicted": predicted[k]}
            for k in range(min(len(X), MOST_TABLE_ROWS))
        ]
        features = list(task.dataset.feature_names)
        return {"kind": "table", "rows": rows, "metric": metric, "features": features}
    if task.plane:
        made = _grid(task, net, parameters, X, resolution)
        return {"kind": "boundary", "classes": None, "metric": metric, **made, "confusion": None}
    shown = np.linspace(0, len(X) - 1, min(len(X), MOST_POINTS)).astype(int)
    if task.line:
        low, high = float(X.min()), float(X.max())
        line = np.linspace(low, high, 200)
        curve = task.numbers(task.outputs(net, parameters, line[:, None]))[:, 0]
        points = {"x": X[shown, 0], "target": target[shown, 0], "rows": shown}
        return {"kind": "curve", "x": line, "y": curve, "points": points, "metric": metric}
    return {
        "kind": "scatter",
        "target": target[shown, 0],
        "predicted": predicted[shown, 0],
        "rows": shown,
        "metric": metric,
    }


def listed_rows(
    task: Task, net: Any, parameters: Arrays, start: int, count: int, *, wrong: bool = False
) -> Json:
    """List training examples with what the network makes of them."""
    data = task.dataset
    X = data.X.reshape(len(data), -1)
    if not wrong:
        chosen = np.arange(start, min(start + count, len(data)))
        total = len(data)
    else:
        outputs = task.outputs(net, parameters, X)
        if task.classes is None:
            error = np.abs(task.numbers(outputs) - data.y.reshape(len(data), -1)).max(axis=1)
            order = np.argsort(-error, kind="stable")
        else:
            order = np.flatnonzero(task.probabilities(outputs).argmax(axis=1) != data.y)
        chosen, total = order[start : start + count], len(order)
    if not len(chosen):
        return {"rows": [], "total": total}
    outputs = task.outputs(net, parameters, X[chosen])
    if task.classes is None:
        predicted: Array = task.numbers(outputs)
        probabilities: list[Any] = [None] * len(chosen)
    else:
        shares = task.probabilities(outputs)
        predicted = shares.argmax(axis=1)
        probabilities = list(shares.round(5))
    made: Json = plain(
        {
            "rows": [
                {
                    "row": int(row),
                    "features": X[row],
                    "target": data.y[row],
                    "predicted": predicted[k],
                    "probabilities": probabilities[k],
                }
                for k, row in enumerate(chosen)
            ],
            "total": total,
        }
    )
    return made
