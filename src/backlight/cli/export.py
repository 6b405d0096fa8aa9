"""``backlight export``: a trained run as a report, a drawing, a derivation, data or weights."""

from __future__ import annotations

import click

from backlight.cli.application import EXIT_CODES, say
from backlight.cli.output import emit_json


@click.command(
    epilog="\b\nExamples:\n"
    "  backlight export runs/digits-1 --to report.html\n"
    "  backlight export runs/digits-1 --to weights.safetensors\n"
    "  backlight export runs/digits-1 --to model.onnx\n"
    "  backlight export runs/digits-1 --to why.tex --weight layers.0.weight[3,1] --step 128\n\n"
    "FILE ends in .html (the studio's page with its data, in one file that needs no network), "
    ".svg (the graph of a step), .tex (derivations), .json (a step with every number), .csv (the "
    "history), .safetensors (the weights) or .onnx (a model that takes rows as the data has them "
    "and predicts, for programs that run ONNX).\n\n" + EXIT_CODES
)
@click.argument("run", metavar="RUN")
@click.option("--to", "to", required=True, metavar="FILE", help="Where to; the ending says what.")
@click.option("--step", type=click.IntRange(min=0), help="The training step; the last by default.")
@click.option("--example", type=click.IntRange(min=0), help="One training row alone.")
@click.option("--weight", metavar="NAME[J,K]", help="The weight that is derived (.tex, .html).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def export(
    run: str, to: str, step: int | None, example: int | None, weight: str | None, as_json: bool
) -> None:
    """Write a trained run to a file, in the format that the file's ending asks for."""
    from backlight.cli.exporting import export_run  # here, because only this command needs it

    place = export_run(run, to, step, example, weight)
    if as_json:
        emit_json("export", {"run": run, "file": str(place), "bytes": place.stat().st_size})
    else:
        say(f"Wrote {place}.")
