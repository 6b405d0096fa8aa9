"""``backlight predict``: what a stored network says about new rows."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence

import click
import numpy as np

from backlight import data
from backlight.cli import runs
from backlight.cli.application import EXIT_CODES, say, usage_error
from backlight.cli.output import emit_json
from backlight.cli.recipe import ROWS_AT_ONCE, Floats, Recipe
from backlight.errors import DataError
from backlight.files import write_text

Row = list[str | float]


@click.command(
    epilog="\b\nExamples:\n"
    "  backlight predict runs/penguins-1 new.csv\n"
    "  backlight predict runs/penguins-1 new.csv --proba --output predictions.csv\n\n"
    "A table needs the columns that the network was trained on, by name and in any order; others "
    "are left alone. Gaps are filled in as in training, and a category that training did not see "
    "counts as none of the known ones. Of a set with test rows of its own, those are predicted.\n\n"
    + EXIT_CODES
)
@click.argument("run", metavar="RUN")
@click.argument("source", metavar="DATA")
@click.option("--proba", is_flag=True, help="Give the probability of each class as well.")
@click.option("--output", metavar="FILE", help="Write to a file instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def predict(run: str, source: str, proba: bool, output: str | None, as_json: bool) -> None:
    """Predict for the rows of DATA with the network of RUN, as CSV.

    DATA is a CSV, Parquet, Arrow, NPZ, .npy or IDX file, or the name of a set.
    """
    stored = runs.load(run)
    recipe = stored.recipe
    if proba and recipe.class_names is None:
        usage_error("--proba is for classes, and this run predicts numbers; leave it out.")
    if as_json and output is not None:
        usage_error("--output writes CSV; leave out --json, or send the JSON to a file with >.")
    predicted = recipe.predict(stored.net, features(recipe, source))
    header, rows = table(recipe, predicted, proba)
    if as_json:
        emit_json("predict", {"run": run, "columns": header, "rows": rows})
    elif output is None:
        click.echo(as_csv(header, rows), nl=False)
    else:
        say(f"Wrote {len(rows)} predictions to {write_text(output, as_csv(header, rows))}.")


def features(recipe: Recipe, source: str) -> Floats:
    """Read the features that a network was trained on, in its order.

    Raises
    ------
    DataError
        When the data cannot be read, or lacks some of them; their names are given.
    """
    rows: Floats = data.read_rows(source, recipe.columns)
    if not isinstance(recipe.features, data.Preprocessor):
        _check_whole(rows, recipe.feature_names, source)
    return rows


def _check_whole(rows: Floats, names: Sequence[str], source: str) -> None:
    """Refuse gaps where training had none and so says nothing about them."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        gaps = np.isnan(rows[start : start + ROWS_AT_ONCE])
        if gaps.any():
            row, column = np.argwhere(gaps)[0].tolist()
            raise DataError(
                f"{os.path.basename(source)} has no {names[column]!r} in row {start + row} (from "
                "0 on), and the network was trained on data without gaps; fill it in."
            )


def table(recipe: Recipe, predicted: Floats, proba: bool) -> tuple[list[str], list[Row]]:
    """Make a header and rows of predictions."""
    if recipe.class_names is None:
        count = recipe.outputs
        names = [recipe.target_name] if count == 1 else _numbered(recipe.target_name, count)
        return names, [[float(f"{number:.9g}") for number in row] for row in predicted]
    if recipe.task == "labels":
        return _labels(recipe, predicted, proba)
    header = [recipe.target_name]
    if proba:
        header += [f"p({name})" for name in recipe.class_names]
    rows: list[Row] = []
    for row in predicted:
        chosen: Row = [recipe.class_names[int(row.argmax())]]
        rows.append(chosen + [float(f"{number:.6g}") for number in row] if proba else chosen)
    return header, rows


def _labels(recipe: Recipe, predicted: Floats, proba: bool) -> tuple[list[str], list[Row]]:
    """One column of 0 and 1 for each label, and its probability."""
    names = list(recipe.class_names or ())
    found: list[Row] = []
    for row in predicted:
        labels: Row = [int(number > 0.5) for number in row]
        found.append(labels + [float(f"{number:.6g}") for number in row] if proba else labels)
    return names + [f"p({name})" for name in names] * proba, found


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}[{k}]" for k in range(count)]


def as_csv(header: Sequence[str], rows: Sequence[Row]) -> str:
    """Write a table as CSV with one line for each row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
