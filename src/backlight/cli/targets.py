"""Tells a run from a formula, for the commands that take either."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from backlight.cli.runs import RUNS_FOLDER
from backlight.errors import RunError, UsageError
from backlight.formula.functions import is_reserved

_WORDS = re.compile(r"[\w.-]+(?:[/\\][\w.-]+)*")
"""What a run may be called, alone or in folders."""
_SHORT = re.compile(r"[\d.]+|(?:[^\W\d]|[\d.]+)(?:[-/](?:[^\W\d]|[\d.]+))+")
"""Numbers, and one-letter names with operators between them, such as w/x: formulas."""


def is_run(
    subject: str, *, run_options: Sequence[object], formula_options: Sequence[object]
) -> bool:
    """Tell whether a command's argument is the folder of a run; otherwise it is a formula.

    Parameters
    ----------
    subject : str
        The argument.
    run_options, formula_options : sequence
        The values of the options that belong to either; None when not given.

    Raises
    ------
    RunError
        When a run is meant and there is no such folder.
    UsageError
        When options of a formula are given with a run, or with options of a run.
    """
    for_formula = any(each is not None for each in formula_options)
    for_run = any(each is not None for each in run_options)
    if for_run and for_formula:
        raise UsageError(
            "Options of a run (--weight, --step, --example, --samples) and of a formula (--at, "
            "--wrt) exclude each other; leave one kind out."
        )
    if for_run:
        if not os.path.isdir(subject):
            raise RunError(_missing(subject))
        return True
    if for_formula:
        if os.path.isdir(subject):
            raise UsageError(
                f"{subject} is the folder of a run, and --at and --wrt belong to a formula; name "
                "one of the run's weights with --weight, as in --weight 'layers.0.weight[0,0]'."
            )
        return False
    if os.path.isdir(subject):
        return True
    if _looks_like_a_path(subject):
        raise RunError(_missing(subject))
    word = _WORDS.fullmatch(subject) and not _SHORT.fullmatch(subject)
    if word and not is_reserved(subject):  # of a function, the formula's own sentence says more
        raise RunError(_neither(subject))
    return False


def _neither(subject: str) -> str:
    there = os.path.join(RUNS_FOLDER, subject)
    hint = f"; did you mean {there}?" if os.path.isdir(there) else ""
    return (
        f"{subject[:200]!r} is neither a run (there is no folder {os.path.abspath(subject)[:400]}) "
        f"nor a formula with its values{hint or '; list the runs with backlight runs list'}"
        f"{' Or' if hint else ', or'} put a formula into quotes with its values behind --at."
    )


def _missing(subject: str) -> str:
    what = "is a file" if os.path.exists(subject) else "does not exist"
    return (
        f"The run {subject[:200]!r} {what}; give the folder that backlight train has saved, or "
        "put a formula into quotes with its values behind --at."
    )


def _looks_like_a_path(subject: str) -> bool:
    if subject.startswith(("/", "./", "../", "~", ".\\")) or os.path.exists(subject):
        return True
    folder = os.path.dirname(subject)
    return bool(folder) and os.path.isdir(folder)
