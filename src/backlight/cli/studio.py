"""``backlight studio``: the page on which one sees backpropagation happen."""

from __future__ import annotations

from pathlib import Path

import click

from backlight.cli.application import EXIT_CODES, say
from backlight.cli.output import emit_json


@click.command(
    epilog="\b\nExamples:\n"
    "  backlight studio\n"
    "  backlight studio runs/digits-1\n"
    '  backlight studio "(w*x - y)**2" --at w=1 --at x=1 --at y=2\n\n' + EXIT_CODES
)
@click.argument("subject", metavar="[RUN|FORMULA]", required=False)
@click.option("--at", "at", multiple=True, metavar="NAME=VALUE", help="A value; once per name.")
@click.option("--port", type=click.IntRange(1, 65535), help="By default the first free from 8377.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--executor",
    type=click.Choice(["native", "reference"]),
    default="native",
    help="What trains: machine code (where it can be made), or NumPy.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as one JSON document.")
def studio(
    subject: str | None,
    at: tuple[str, ...],
    port: int | None,
    no_browser: bool,
    executor: str,
    as_json: bool,
) -> None:
    """Open the studio: step through a formula, watch a network train, take a run apart.

    Without an argument it opens on the first worked example.  The page is only reachable from
    this machine, by the address that is printed; Ctrl-C ends it.
    """
    # Imported here, because only this command needs them.
    from backlight.cli.opening import open_run, open_subject
    from backlight.studio.serve import check_extra, serve
    from backlight.studio.session import Session

    check_extra()
    opened = None if subject is None else open_subject(subject, at)
    session = Session(opened, folder=Path.cwd(), opener=open_run, executor=executor)

    def announce(url: str) -> None:
        if as_json:
            emit_json("studio", {"url": url})
        else:
            click.echo(f"The studio is open at {url}")
            say("Press Ctrl-C to close it.")

    serve(session, port=port, browser=not no_browser, announce=announce)
    say("The studio is closed.")
