"""Results on stdout: versioned JSON documents with numbers that JSON can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import click
import numpy as np

JSON_VERSION = 1

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


def emit_json(command: str, data: Mapping[str, object]) -> None:
    """Print one versioned JSON document: ``{"format": "backlight.<command>", "version": 1, …}``.

    Numbers that JSON lacks become the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
    """
    document = {"format": f"backlight.{command}", "version": JSON_VERSION, **data}
    click.echo(json.dumps(plain(document), ensure_ascii=False, indent=2, allow_nan=False))


def plain(value: object) -> Json:
    """Return what JSON can hold: arrays as lists, NumPy's numbers as Python's.

    Examples
    --------
    >>> plain({"a": np.array([1.0, np.nan])})
    {'a': [1.0, 'NaN']}
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [plain(each) for each in value]
    return str(value)
