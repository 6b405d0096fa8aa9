"""``backlight check``: the gradients of a formula or a trained run against numerical ones."""

from __future__ import annotations

import click

from backlight.cli import runs
from backlight.cli.application import EXIT_CODES, FAILURE, OK
from backlight.cli.output import emit_json
from backlight.cli.targets import is_run
from backlight.cli.values import Values, check_given, read_values
from backlight.differentiate.check import check_loss
from backlight.differentiate.gradient_report import GradientReport
from backlight.errors import UsageError
from backlight.formula import parse
from backlight.tensor import param

ROWS = 32
"""Rows of the training data that a run is checked on."""


@click.command(
    epilog="\b\nExamples:\n"
    '  backlight check "tanh(w*x)^2" --at w=0.5 --at x=2\n'
    "  backlight check runs/digits-1 --samples 50\n\n"
    + EXIT_CODES
    + " Gradients that disagree are a failure."
)
@click.argument("subject", metavar="FORMULA|RUN")
@click.option("--at", "at", multiple=True, metavar="NAME=VALUE", help="A value; once per name.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    help="How many weights of a run are checked one by one; 50 by default.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0, min_open=True),
    default=1e-6,
    show_default=True,
    help="The relative error that passes.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Chooses the weights.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(
    subject: str,
    at: tuple[str, ...],
    samples: int | None,
    tolerance: float,
    seed: int,
    as_json: bool,
) -> int:
    """Compare gradients with finite differences, in float64, entry by entry.

    FORMULA is typed, with a value for each of its names; RUN is the folder of a trained network.
    """
    about: dict[str, object]
    if is_run(subject, run_options=(samples,), formula_options=at):
        about = {"run": subject}
        report = check_run(subject, samples or 50, tolerance, seed)
    else:
        about = {"formula": subject.strip()}
        report = check_formula(subject, read_values(at), tolerance, seed)
    if as_json:
        emit_json("check", {**about, "report": report.to_dict()})
    else:
        click.echo(str(report))
    return OK if report.ok else FAILURE


def check_formula(text: str, values: Values, tolerance: float, seed: int) -> GradientReport:
    """Check a formula's derivatives by all its names."""
    formula = parse(text)
    check_given(formula.names, values)
    if not formula.names:
        raise UsageError("The formula has no names, so it has no derivative to check.")
    leaves = {name: param(values[name], name) for name in formula.names}
    loss = formula.evaluate(leaves)
    return check_loss(loss, leaves, tolerance=tolerance, seed=seed, samples=100)


def check_run(run: str, samples: int, tolerance: float, seed: int) -> GradientReport:
    """Check the gradients of a trained network on the first rows of its training data."""
    loss, parameters = runs.load(run).loss_of(ROWS)
    return check_loss(loss, parameters, tolerance=tolerance, samples=samples, seed=seed)
