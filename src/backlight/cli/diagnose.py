"""``backlight diagnose``: what ails a trained network."""

from __future__ import annotations

import click

from backlight.cli import runs
from backlight.cli.application import EXIT_CODES, FAILURE, OK
from backlight.cli.output import emit_json
from backlight.explain.diagnose import diagnose as examine
from backlight.explain.diagnose import with_health
from backlight.train.health import findings

ROWS = 512


@click.command(
    epilog="\b\nExamples:\n  backlight diagnose runs/digits-1\n"
    "  backlight diagnose runs/digits-1 --examples 20\n\n"
    + EXIT_CODES
    + " A finding graded as an error counts as a failure; warnings and notes do not."
)
@click.argument("run", metavar="RUN")
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the N training rows that are hardest; wrong labels are often among them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def diagnose(run: str, examples: int | None, as_json: bool) -> int:
    """Look for dead and saturated units, vanishing gradients and the like.

    One backward pass is recorded, on the first rows of the training data with the final weights,
    and the check-ups that were made during training are read; what was not looked at is said as
    well.
    """
    loaded = runs.load(run)
    loss, parameters = loaded.loss_of(ROWS)
    report = examine(loss, parameters=parameters)
    health = loaded.stored.health
    report = with_health(report, findings(health), len(health.get("step", ())))
    hardest = None if examples is None else loaded.attach().hardest(examples)
    if as_json:
        found: dict[str, object] = {"run": run, "rows": ROWS, "report": report.to_dict()}
        if hardest is not None:
            found["hardest"] = hardest.to_dict()
        emit_json("diagnose", found)
    else:
        click.echo(str(report))
        if hardest is not None:
            click.echo(f"\nThe hardest training rows, counted from 0:\n{hardest}")
    return FAILURE if any(each.severity == "error" for each in report.findings) else OK
