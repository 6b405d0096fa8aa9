"""The table that ``backlight train`` shows of its data: what each column is and what becomes of it.

It takes a data set and what was learnt from its training rows, and gives text or plain data.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from backlight.cli.recipe import Recipe
from backlight.data import Dataset, Preprocessor
from backlight.data.columns import Column
from backlight.data.encode import sources
from backlight.data.messages import listed

MOST_SHOWN = 20
LONGEST_NAME = 32

Line = tuple[str, str, str, str]


def columns_text(dataset: Dataset, recipe: Recipe) -> str:
    """Write what the columns are and what becomes of them, for people.

    Parameters
    ----------
    dataset : Dataset
        All of its rows.
    recipe : Recipe
        Learnt from the training rows.
    """
    name = dataset.name
    if dataset.image_shape is not None:
        height, width = dataset.image_shape
        return f"{name}: {len(dataset):,} images of {height}×{width}; target {_target(recipe)}."
    lines = _features(dataset, recipe)
    shown = lines if len(lines) <= MOST_SHOWN else lines[: MOST_SHOWN - 1]
    rest = len(lines) - len(shown)
    if rest:
        shown = [*shown, ("…", "", "", f"and {rest} more")]
    out = [(each.name, each.kind, "", f"left out: {each.reason}") for each in dataset.left_out]
    if len(out) > MOST_SHOWN:
        out = [*out[: MOST_SHOWN - 1], ("…", "", "", f"and {len(out) - MOST_SHOWN + 1} more")]
    target = (dataset.target_name, "target", "", _target(recipe))
    read = sources(dataset.columns) if dataset.columns is not None else dataset.feature_names
    count = len(read) + len(dataset.left_out) + 1
    inputs = len(recipe.input_names)
    return "\n".join(
        [
            f"{name}: {len(dataset):,} rows, {count} columns, {inputs} "
            f"{'input' if inputs == 1 else 'inputs'} to the network",
            *_aligned([("column", "type", "gaps", "becomes"), *shown, *out, target]),
            *dataset.remarks,
            *_rare_classes(dataset),
        ]
    )


def _rare_classes(dataset: Dataset) -> list[str]:
    """Name the classes that have one row, which cannot be both learnt from and tested."""
    if dataset.task != "classification" or dataset.class_names is None:
        return []
    counts = np.bincount(dataset.y.astype(np.int64), minlength=len(dataset.class_names))
    rare = [name for name, count in zip(dataset.class_names, counts, strict=True) if count == 1]
    if not rare:
        return []
    what = "Class" if len(rare) == 1 else "Classes"
    has = "has a single row" if len(rare) == 1 else "have a single row each"
    return [f"{what} {listed(rare)} {has}, which is too few to learn and to test a class."]


def columns_dict(dataset: Dataset, recipe: Recipe) -> list[dict[str, object]]:
    """Return the same as plain data."""
    found: list[dict[str, object]] = [
        {"name": name, "kind": kind, "missing": int(gaps.replace(",", "") or 0), "becomes": what}
        for name, kind, gaps, what in _features(dataset, recipe)
    ]
    return found + [
        {"name": each.name, "kind": each.kind, "left_out": each.reason} for each in dataset.left_out
    ]


def _features(dataset: Dataset, recipe: Recipe) -> list[Line]:
    if dataset.columns is None or not isinstance(recipe.features, Preprocessor):
        what = "as it is" if recipe.features is None else "scaled"
        return [(name, "number", "", what) for name in dataset.feature_names]
    return [
        (each.name, "date" if each.date else each.kind, _gaps(each), _what(encoding.summary, each))
        for each, encoding in zip(dataset.columns, recipe.features.encodings, strict=True)
    ]


def _gaps(column: Column) -> str:
    return f"{column.missing:,}" if column.missing else ""


def _what(summary: str, column: Column) -> str:
    return f"{summary} ({column.remark})" if column.remark else summary


def _target(recipe: Recipe) -> str:
    names = recipe.class_names
    if names is None:
        scaled = "numbers" if recipe.outputs == 1 else f"{recipe.outputs} numbers"
        return scaled if recipe.targets is None else f"{scaled}, scaled"
    some = ", ".join(names[:4]) + ", …" * (len(names) > 4)
    kind = "any of" if recipe.task == "labels" else "one of"
    return f"{kind} {len(names)}: {some}"


def _aligned(lines: Sequence[Line]) -> list[str]:
    cut = [(_short(name), kind, gaps, _printable(what)) for name, kind, gaps, what in lines]
    widths = [max(len(line[k]) for line in cut) for k in range(3)]
    room = max(shutil.get_terminal_size((100, 24)).columns, 60)
    made = []
    for name, kind, gaps, what in cut:
        start = f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {gaps:>{widths[2]}}  "
        left = room - len(start)
        made.append(start + (what if len(what) <= left else what[: left - 1] + "…"))
    return made


def _printable(text: str) -> str:
    """Write line ends and other signs that would break the table as \\n and so on."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _short(name: str) -> str:
    plain = name if name.isprintable() else repr(name)
    return plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1] + "…"
