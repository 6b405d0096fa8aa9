"""``backlight predict``: what a stored network says about new rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import click
import numpy as np

from backlight import data
from backlight.cli import runs
from backlight.cli.application import EXIT_CODES, say
from backlight.cli.output import emit_json, write_file
from backlight.cli.recipe import Floats, Recipe


@click.command(
    epilog="\b\nExamples:\n"
    "  backlight predict runs/penguins-1 new.csv\n"
    "  backlight predict runs/penguins-1 new.csv --proba --output predictions.csv\n\n"
    "A CSV file needs the columns that the network was trained on, by their names and in any "
    "order; other columns are ignored.\n\n" + EXIT_CODES
)
@click.argument("run", metavar="RUN")
@click.argument("source", metavar="DATA")
@click.option("--proba", is_flag=True, help="Give the probability of each class as well.")
@click.option("--output", metavar="FILE", help="Write to a file instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def predict(run: str, source: str, proba: bool, output: str | None, as_json: bool) -> None:
    """Predict for the rows of DATA with the network of RUN; CSV unless JSON is asked for.

    DATA is a CSV, NPZ or IDX file, or the name of a set.
    """
    stored = runs.load(run)
    recipe = stored.recipe
    if proba and recipe.class_names is None:
        from backlight.errors import UsageError

        raise UsageError("--proba is for classes, and this run predicts numbers; leave it out.")
    predicted = recipe.predict(stored.net, features(recipe, source))
    header, rows = table(recipe, predicted, proba)
    if as_json:
        document = {
            "run": run,
            "target": recipe.target_name,
            "predictions": [row[0] if len(row) == 1 or recipe.class_names else row for row in rows],
        }
        emit_json("predict", document)
        return
    text = written(header, rows)
    if output is None:
        click.echo(text, nl=False)
    else:
        say(f"Wrote {len(rows)} predictions to {write_file(output, text)}.")
