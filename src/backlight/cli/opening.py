"""What the studio and the exports open: a formula, or a run with its training data."""

from __future__ import annotations

from pathlib import Path

from backlight import data
from backlight.cli import runs
from backlight.cli.parts import divide
from backlight.cli.targets import is_run
from backlight.cli.values import check_given, read_values
from backlight.errors import BacklightError
from backlight.formula import parse
from backlight.studio.stored import OpenedRun
from backlight.studio.subjects import FormulaSubject, RunSubject, Subject
from backlight.studio.task import Task


def open_subject(text: str, at: tuple[str, ...]) -> Subject:
    """Open what was named on the command line: a run's folder, or a formula."""
    if is_run(text, run_options=(), formula_options=at):
        return RunSubject(open_run(text))
    values = read_values(at)
    if values:
        check_given(parse(text).names, values)
    return FormulaSubject(text, {name: each.tolist() for name, each in values.items()})


def open_run(path: str) -> OpenedRun:
    """Open a run that ``backlight train`` has saved, with its training data where it is found.

    Without the data the final weights are all that can be shown, and ``reason`` says so.

    Raises
    ------
    RunError
        When there is no run.
    """
    loaded = runs.load(path)
    place = Path(path)
    try:
        run = loaded.attach()
        origin = loaded.origin
        whole = data.read(origin.source, origin.target, task=origin.task)
        dataset = divide(whole, origin.test, origin.validation, origin.seed).train
    except (BacklightError, OSError) as error:
        reason = f"The steps cannot be replayed: {error}"
        return OpenedRun(place.name, place, None, loaded.stored, None, reason)
    recipe = loaded.recipe
    task = Task(dataset, recipe.features, recipe.targets)
    if dataset.task == "labels":  # no panel shows several labels at once
        return OpenedRun(place.name, place, run, loaded.stored, None)
    return OpenedRun(place.name, place, run, loaded.stored, task)
