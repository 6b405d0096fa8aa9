"""``backlight bench``: the time of a training step beside the libraries that are installed here."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import click

from backlight.cli.application import EXIT_CODES, OK, say, usage_error
from backlight.cli.bench_peers import PEERS, Job, serve, thread_variables
from backlight.cli.output import emit_json
from backlight.execute.executors import names as executors

JOBS: Mapping[str, Job] = {
    "small": Job((8, 32, 3), 16, 128),
    "digits": Job((64, 128, 10), 32, 56),
    "mnist": Job((784, 256, 128, 10), 64, 40),
}
OURS = "Backlight"
PAUSE = 0.03
"""Seconds between two turns, in which the threads of the last one come to rest."""


@dataclass(frozen=True)
class Row:
    """What one network took.

    Attributes
    ----------
    network : str
    job : Job
    microseconds : mapping of str to sequence of float
        Per step, by library, one for each round.
    """

    network: str
    job: Job
    microseconds: Mapping[str, Sequence[float]]

    def ratio(self) -> tuple[str, float] | None:
        """Return the fastest other library and how many times as fast Backlight is.

        Examples
        --------
        >>> times = {"Backlight": [1.0, 2.0, 1.0], "JAX": [3.0, 4.0, 2.0]}
        >>> Row("digits", JOBS["digits"], times).ratio()
        ('JAX', 2.0)
        """
        others = {
            name: statistics.median(each)
            for name, each in self.microseconds.items()
            if name != OURS
        }
        if not others or OURS not in self.microseconds:
            return None
        best = min(others, key=others.__getitem__)
        pairs = zip(self.microseconds[best], self.microseconds[OURS], strict=True)
        return best, statistics.median(theirs / ours for theirs, ours in pairs)


@click.command(
    epilog="\b\nExamples:\n  backlight bench\n  backlight bench digits --rounds 9\n\n" + EXIT_CODES
)
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@click.option("--rounds", type=click.IntRange(1, 1000), default=5, help="Turns of each library.")
@click.option(
    "--seconds", type=click.FloatRange(0.001, 60.0), default=0.1, help="Of one turn, about."
)
@click.option(
    "--executor", type=click.Choice(executors()), default="native", help="How Backlight runs."
)
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, help="Threads for every library."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def bench(
    networks: tuple[str, ...],
    rounds: int,
    seconds: float,
    executor: str,
    threads: int,
    as_json: bool,
) -> int:
    """Time training steps of small, digits and mnist (all without NETWORK) in each library.

    JAX, PyTorch and scikit-learn take part where they are installed.  All train the same network
    with Adam in float32 and take turns, each in a process of its own.
    """
    for name in networks:
        if name not in JOBS:
            usage_error(f"there is no network {name!r} here; choose from {', '.join(JOBS)}")
    jobs = {name: replace(JOBS[name], threads=threads) for name in networks or JOBS}
    missing = [name for name, (module, _) in PEERS.items() if not _installed(module)]
    libraries = [OURS, *(name for name in PEERS if name not in missing)]
    if missing:
        say(f"Not installed here, and left out: {', '.join(missing)}.")
    rows = [
        Row(name, job, compare(job, libraries, Effort(rounds, seconds), executor))
        for name, job in jobs.items()
    ]
    if as_json:
        shown = {"executor": executor, "threads": threads}
        emit_json("bench", {**shown, "networks": [_plain(row) for row in rows]})
    else:
        click.echo(table(rows))
    return OK


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@dataclass(frozen=True)
class Effort:
    """How long to measure: turns of each library, and seconds of one, about."""

    rounds: int
    seconds: float


def compare(
    job: Job, libraries: Sequence[str], effort: Effort, executor: str = "native"
) -> dict[str, list[float]]:
    """Return the microseconds of a step, round by round, of each library that can do the job."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes = []
    try:
        for name in libraries:
            pipe, other = context.Pipe()
            process = context.Process(target=serve, args=(name, job, executor, other), daemon=True)
            with _variables(thread_variables(job.threads)):
                process.start()
            other.close()
            pipes[name] = pipe
            processes.append(process)
        epochs: dict[str, int] = {}
        for name, pipe in list(pipes.items()):
            try:
                _turn(pipe, 1)  # compiles
                epochs[name] = max(1, round(effort.seconds / _turn(pipe, 1)))
                _turn(pipe, epochs[name])
            except (EOFError, OSError):
                say(f"{name} failed and is left out.")
                del pipes[name]
        found: dict[str, list[float]] = {name: [] for name in pipes}
        for _ in range(effort.rounds):
            for name, pipe in pipes.items():
                spent = _turn(pipe, epochs[name])
                found[name].append(spent / epochs[name] / job.steps * 1e6)
        return found
    finally:
        for process in processes:
            process.terminate()
            process.join()


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _turn(pipe: Connection, epochs: int) -> float:
    pipe.send(epochs)
    spent = float(pipe.recv())
    time.sleep(PAUSE)
    return spent


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table for people: microseconds per step and the ratio."""
    libraries = list(dict.fromkeys(name for row in rows for name in row.microseconds))
    header = ["microseconds per step", *libraries, "Backlight is"]
    lines = [header]
    for row in rows:
        cells = [f"{row.network} {row.job.title}"]
        for name in libraries:
            times = row.microseconds.get(name)
            cells.append("—" if not times else f"{statistics.median(times):,.4g}")
        found = row.ratio()
        cells.append("—" if found is None else f"{found[1]:.2f} × as fast as {found[0]}")
        lines.append(cells)
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    shown = []
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        shown.append("  ".join([*cells, line[-1]]))
    return "\n".join(shown)


def _plain(row: Row) -> dict[str, object]:
    found = row.ratio()
    return {
        "network": row.network,
        "sizes": row.job.sizes,
        "batch": row.job.batch,
        "microseconds": row.microseconds,
        "best_peer": None if found is None else found[0],
        "ratio": None if found is None else found[1],
    }
