"""``backlight diagnose``: what ails a trained network."""

from __future__ import annotations

import click

from backlight.cli import runs
from backlight.cli.application import EXIT_CODES, FAILURE, OK
from backlight.cli.output import emit_json
from backlight.explain.diagnose import diagnose as examine

ROWS = 512


@click.command(
    epilog="\b\nExample:\n  backlight diagnose runs/digits-1\n\n"
    + EXIT_CODES
    + " A finding graded as an error counts as a failure; warnings and notes do not."
)
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def diagnose(run: str, as_json: bool) -> int:
    """Look for dead and saturated units, vanishing gradients and the like.

    One backward pass is recorded, on the first rows of the training data with the final weights;
    what was not looked at is said as well.
    """
    loss, parameters = runs.load(run).loss_of(ROWS)
    report = examine(loss, parameters=parameters)
    if as_json:
        emit_json("diagnose", {"run": run, "rows": ROWS, "report": report.to_dict()})
    else:
        click.echo(str(report))
    return FAILURE if any(each.severity == "error" for each in report.findings) else OK
