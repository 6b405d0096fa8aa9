"""``backlight runs``: what was trained, how it went, what differs, and files for other tools."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from pathlib import Path

import click

from backlight.cli import plot as terminal
from backlight.cli.application import EXIT_CODES, OK, say, usage_error
from backlight.cli.output import emit_json
from backlight.cli.run_table import (
    ago,
    best,
    coloured,
    find,
    folder_of,
    last,
    metric_text,
    network_text,
    open_store,
    table,
)
from backlight.cli.runs import checkpoint_folder
from backlight.draw.plots import line_plot
from backlight.errors import RunError, UsageError
from backlight.files import write_text
from backlight.io.json_lines import json_lines
from backlight.io.tensorboard import write_events
from backlight.train.durable import Lock
from backlight.train.identity import flat
from backlight.train.metrics import higher_is_better
from backlight.train.save import is_run
from backlight.train.store import Record, RunStore

IN_HELP = "The folder of the runs; runs by default."


@click.group(
    epilog="\b\nExamples:\n"
    "  backlight runs list\n"
    "  backlight runs show digits-1\n"
    "  backlight runs compare digits-1 digits-2 --svg losses.svg\n\n" + EXIT_CODES
)
def runs() -> None:
    """List, look at, compare, export and delete trained runs.

    What was trained is entered in runs/backlight.sqlite3, which any SQL tool can read.
    """


@runs.command("list", epilog="\b\nExample:\n  backlight runs list\n\n" + EXIT_CODES)
@click.option("--in", "folder", metavar="DIR", help=IN_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_runs(folder: str | None, as_json: bool) -> int:
    """List all runs, the oldest first."""
    with open_store(folder_of((), folder)) as store:
        records = store.records()
        if as_json:
            emit_json(
                "runs",
                {"runs": [{**each.to_dict(), "last": last(store, each)} for each in records]},
            )
            return OK
        if not records:
            click.echo("There are no runs yet; train one with backlight train DATA.")
            return OK
        header = ("name", "status", "epochs", "loss", "score", "optimizer", "time", "started")
        rows = [_row(store, each) for each in records]
    lines = table(header, rows, right=("epochs", "loss", "score", "time"))
    for line, record in zip(["", *lines[1:]], [None, *records], strict=True):
        if record is None:
            click.echo(lines[0])
        else:
            click.echo(line.replace(f" {record.status} ", f" {coloured(record.status)} ", 1))
    return OK


def _row(store: RunStore, record: Record) -> tuple[str, ...]:
    numbers = last(store, record)
    loss = "validation_loss" if "validation_loss" in numbers else "loss"
    score = next(
        (
            name
            for name in ("validation_accuracy", "accuracy")
            if name in numbers
        ),
        None,
    )  # fmt: skip
    return (
        record.name,
        record.status,
        str(record.values["epochs"]),
        metric_text(loss, numbers[loss]) if loss in numbers else "",
        "" if score is None else metric_text(score, numbers[score]),
        str(record.values["optimizer"]),
        ago(record.values["seconds"]),
        str(record.values["started"])[:16].replace("T", " "),
    )


@runs.command(
    epilog="\b\nExamples:\n  backlight runs show digits-1\n"
    "  backlight runs show digits-1 --metric accuracy --svg accuracy.svg\n\n" + EXIT_CODES
)
@click.argument("name", metavar="RUN")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="What to plot; the loss.")
@click.option("--log", "log_y", is_flag=True, help="A logarithmic axis.")
@click.option("--svg", type=click.Path(dir_okay=False), help="Write the plot to a file.")
@click.option("--in", "folder", metavar="DIR", help=IN_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(
    name: str,
    metrics: tuple[str, ...],
    log_y: bool,
    svg: str | None,
    folder: str | None,
    as_json: bool,
) -> int:
    """Show one run: what was trained, how it went, and what happened on the way."""
    with open_store(folder_of((name,), folder)) as store:
        record = find(store, name)
        history = store.metrics(record)
        steps, health = store.metrics(record, "step"), store.metrics(record, "health")
        events = store.events(record)
    chosen = metrics or tuple(each for each in ("loss", "validation_loss") if each in history)
    sources = {**health, **steps, **history}
    curves = {each: sources[_known(each, sources)] for each in chosen}
    if svg is not None:
        _write_plot(svg, curves, record.name, chosen, log_y)
    if as_json:
        emit_json(
            "run",
            {
                **record.to_dict(),
                "epoch_metrics": history,
                "step_metrics": steps,
                "health": health,
                "events": [vars(each) for each in events],
            },
        )
        return OK
    for line in _about(record):
        click.echo(line)
    if history:
        click.echo("")
        rows = [
            (
                each,
                metric_text(each, values[-1][1]),
                _best_text(each, [value for _, value in values]),
            )
            for each, values in history.items()
            if each not in ("seconds", "learning_rate")
        ]
        for line in table(("metric", "last", "best"), rows, right=("last", "best")):
            click.echo(line)
    if any(curves.values()):
        click.echo("")
        for line in terminal.plot(curves, log_y=log_y, unicode=terminal.speaks_unicode()):
            click.echo(line)
    if events:
        click.echo("")
        for event in events[-12:]:
            step = "" if event.step is None else f"step {event.step}"
            click.echo(f"{event.time[:19].replace('T', ' ')}  {step:<12} {event.kind}: "
                       f"{event.message}")  # fmt: skip
    return OK


def _known(metric: str, known: dict[str, list[tuple[int, float]]]) -> str:
    if metric not in known:
        listed = ", ".join(known) or "none"
        raise UsageError(f"There is no metric {metric!r}; there are {listed}.")
    return metric


def _about(record: Record) -> list[str]:
    values = record.values
    code = values["code"]
    modified = ", with changes" if values["modified"] else ""
    rows = [
        ("run", f"{record.name} ({coloured(record.status)})"),
        ("network", f"{_network(record)}; {values['parameters']:,} parameters"),
        ("loss", values["loss"]),
        ("optimizer", values["optimizer"]),
        ("data", f"{values['data'] or 'arrays'}, {values['rows']:,} rows"),
        ("batch size", "all rows" if values["batch_size"] is None else values["batch_size"]),
        ("seed", values["seed"]),
        ("trained", f"{values['epochs']} epochs, {values['steps']:,} steps, "
         f"{ago(values['seconds']) or 'unknown time'}"
         + (f" ({values['stopped']})" if values["stopped"] else "")),
        ("started", str(values["started"])[:19].replace("T", " ")),
        ("made with", ", ".join(f"{key} {each}" for key, each in values["environment"].items())),
        ("code", "unknown" if code is None else f"commit {code[:12]}{modified}"),
    ]  # fmt: skip
    return [f"{name:<11} {value}" for name, value in rows]


def _network(record: Record) -> str:
    return network_text(record.values["configuration"].get("network", record.values["network"]))


def _best_text(name: str, values: list[float]) -> str:
    found = best(values, higher_is_better(name))
    return "" if found is None else metric_text(name, found)


def _write_plot(
    path: str,
    curves: dict[str, list[tuple[int, float]]],
    title: str,
    metrics: tuple[str, ...],
    log_y: bool,
) -> None:
    label = ", ".join(metrics).replace("_", " ")
    write_text(path, line_plot(curves, title, "epoch", label, log_y) + "\n")
    say(f"Wrote {path}.")


@runs.command(
    epilog="\b\nExample:\n  backlight runs compare digits-1 digits-2 --metric accuracy\n\n"
    + EXIT_CODES
)
@click.argument("names", nargs=-1, metavar="RUN RUN...")
@click.option("--metric", metavar="NAME", help="What to compare; the loss that both have.")
@click.option("--log", "log_y", is_flag=True, help="A logarithmic axis.")
@click.option("--svg", type=click.Path(dir_okay=False), help="Write the plot to a file.")
@click.option("--in", "folder", metavar="DIR", help=IN_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(
    names: tuple[str, ...],
    metric: str | None,
    log_y: bool,
    svg: str | None,
    folder: str | None,
    as_json: bool,
) -> int:
    """Compare runs: what differs between them, and their curves."""
    if len(set(names)) < 2:
        usage_error("compare needs two different runs or more.")
    with open_store(folder_of(names, folder)) as store:
        records = [find(store, name) for name in names]
        histories = [store.metrics(each) for each in records]
    common = [each for each in histories[0] if all(each in other for other in histories)]
    if metric is None:
        metric = next((each for each in ("validation_loss", "loss") if each in common), None)
    if metric is None or metric not in common:
        raise UsageError(
            f"The runs have no metric {metric!r} in common; they share {', '.join(common) or '-'}."
        )
    differing = _differences(records)
    curves = {each.name: history[metric] for each, history in zip(records, histories, strict=True)}
    if svg is not None:
        _write_plot(svg, curves, "Comparison", (metric,), log_y)
    if as_json:
        emit_json(
            "comparison",
            {
                "runs": [each.name for each in records],
                "differences": differing,
                "metrics": {
                    each.name: history for each, history in zip(records, histories, strict=True)
                },
            },
        )
        return OK
    rows = [(key, *values) for key, values in differing.items()] or [
        ("(the same configuration)", *("" for _ in records))
    ]
    for name in common:
        if name not in ("seconds", "learning_rate"):
            rows.append((f"{name}, last", *(metric_text(name, h[name][-1][1]) for h in histories)))
            rows.append((f"{name}, best", *(_best_text(name, [v for _, v in h[name]])
                                            for h in histories)))  # fmt: skip
    rows.append(("time", *(ago(each.values["seconds"]) for each in records)))
    shortened = [tuple(_shortened(cell) for cell in row) for row in rows]
    for line in table(("", *(each.name for each in records)), shortened):
        click.echo(line)
    click.echo("")
    click.echo(metric.replace("_", " "))
    for line in terminal.plot(curves, log_y=log_y, unicode=terminal.speaks_unicode()):
        click.echo(line)
    return OK


def _shortened(cell: str) -> str:
    return cell if len(cell) <= 40 else f"{cell[:39]}…"


def _differences(records: list[Record]) -> dict[str, list[str]]:
    """Return the parts of the configuration that are not the same in all runs."""
    flats = []
    for each in records:
        configuration = dict(each.values["configuration"])
        network = network_text(configuration.pop("network", each.values["network"]))
        configuration.pop("parameters", None)
        flats.append(
            {"network": network, "data": str(each.values["data"] or "arrays")}
            | flat(configuration)
            | {f"environment.{key}": t for key, t in flat(each.values["environment"]).items()}
            | {"code": str(each.values["code"])}
        )
    keys = list(dict.fromkeys(key for each in flats for key in each))
    return {
        key: [each.get(key, "–") for each in flats]
        for key in keys
        if len({each.get(key) for each in flats}) > 1
    }


@runs.command(epilog="\b\nExample:\n  backlight runs delete digits-1 --yes\n\n" + EXIT_CODES)
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--in", "folder", metavar="DIR", help=IN_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def delete(names: tuple[str, ...], yes: bool, folder: str | None, as_json: bool) -> int:
    """Delete runs for good: their entries, their folders and their checkpoints."""
    with open_store(folder_of(names, folder)) as store:
        if store.read_only:
            raise RunError(f"The run store {store.path} cannot be written to.")
        records = list({record.id: record for record in (find(store, n) for n in names)}.values())
        for record in records:
            if record.status == "running":
                raise RunError(f"The run {record.name} is being trained; stop that first.")
        if not yes:
            listed = ", ".join(each.name for each in records)
            if not sys.stdin.isatty():
                usage_error(f"Nothing was deleted; add --yes to delete {listed}.")
            if not click.confirm(f"Delete {listed} for good?", err=True):
                say("Nothing was deleted.")
                return OK
        for record in records:
            _delete(store, record)
    if as_json:
        emit_json("deleted", {"runs": [each.name for each in records]})
    else:
        click.echo(f"Deleted {', '.join(each.name for each in records)}.")
    return OK


def _delete(store: RunStore, record: Record) -> None:
    """Remove the folders first: an entry without a folder can still be deleted again."""
    directory = record.values["directory"] or record.name
    place = store.directory / os.path.basename(directory)
    checkpoints = checkpoint_folder(place)
    if checkpoints.is_dir() and not checkpoints.is_symlink():
        with Lock(checkpoints, f"The run {record.name}"):
            shutil.rmtree(checkpoints, ignore_errors=True)
    if is_run(place) and not place.is_symlink():
        doomed = place.with_name(f".{place.name}-{secrets.token_hex(4)}.old")
        try:
            place.rename(doomed)
            shutil.rmtree(doomed)
        except OSError as error:
            raise RunError(
                f"The run {record.name} cannot be deleted ({error.strerror or error})."
            ) from error
    store.forget(record.name)


@runs.command(
    epilog="\b\nExamples:\n  backlight runs export digits-1 --tensorboard logs\n"
    "  backlight runs export digits-1 --jsonl - | head\n\n" + EXIT_CODES
)
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option("--tensorboard", metavar="DIR", help="Write event files to DIR/RUN.")
@click.option("--jsonl", metavar="FILE", help="Write JSON lines to a file; - is stdout.")
@click.option("--in", "folder", metavar="DIR", help=IN_HELP)
def export(
    names: tuple[str, ...], tensorboard: str | None, jsonl: str | None, folder: str | None
) -> int:
    """Write runs for other tools: TensorBoard's event files, or JSON lines."""
    if (tensorboard is None) == (jsonl is None):
        usage_error("Say one of --tensorboard DIR and --jsonl FILE.")
    with open_store(folder_of(names, folder)) as store:
        records = [find(store, name) for name in names]
        if tensorboard is not None:
            for record in records:
                say(f"Wrote {write_events(store, record, Path(tensorboard) / record.name)}.")
            return OK
        text = "".join(json_lines(store, record) for record in records)
    if jsonl == "-":
        click.echo(text, nl=False)
    else:
        say(f"Wrote {write_text(str(jsonl), text)}.")
    return OK
