"""The commands of ``backlight``, put together."""

from __future__ import annotations

import click

from backlight import __version__
from backlight.cli.application import EXIT_CODES, Application
from backlight.cli.bench import bench
from backlight.cli.check import check
from backlight.cli.diagnose import diagnose
from backlight.cli.doctor import doctor
from backlight.cli.explain import explain
from backlight.cli.export import export
from backlight.cli.predict import predict
from backlight.cli.run_commands import runs
from backlight.cli.studio import studio
from backlight.cli.train import train

__all__ = ["main"]


@click.group(
    name="backlight",
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n"
    "  backlight train digits --epochs 20\n"
    '  backlight explain "(w*x - y)**2" --at w=1 --at x=1 --at y=2 --wrt w\n\n' + EXIT_CODES,
)
@click.version_option(__version__, prog_name="backlight")
def main() -> None:
    """Neural networks that one can see through."""


for command in (train, predict, explain, check, diagnose, runs, studio, export, bench, doctor):
    main.add_command(command)
