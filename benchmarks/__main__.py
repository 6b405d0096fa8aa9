"""Measure Backlight and its peers and write a results file.

python -m benchmarks                  everything, about half an hour
python -m benchmarks --quick          less of everything, under two minutes
python -m benchmarks --only digits cold
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backlight.cli.machine import processor_name
from benchmarks import eager, processes, products, scalars, training
from benchmarks.analysis import best_peer, best_rows, ratio, share_of_limit, verdicts
from benchmarks.driver import ROOT, AbsentError, Say, Team, cores
from benchmarks.networks import FASHION, NETWORKS, RATES, Network, growth, with_optimizer
from benchmarks.worker import PEERS

RESULTS = ROOT / "benchmarks" / "results"
VERSION = 1
FAST_PEERS = ("Backlight", "JAX scan", "PyTorch eager", "scikit-learn")
LIBRARIES = (
    *("backlight", "numpy", "llvmlite", "torch", "jax", "scikit-learn", "autograd", "tinygrad"),
    "micrograd",
)
FULL_BATCH = replace(NETWORKS["xor"], name="xor, one step an epoch", examples=4)


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    quick : bool
    turns : int
        Of every library with the networks of the table, in a full run.
    seconds : float
        Of one turn, about.
    """

    quick: bool
    turns: int = 15
    seconds: float = 0.1

    @property
    def effort(self) -> training.Effort:
        """Of the networks of the table."""
        return (
            training.Effort(3, 0.03, True)
            if self.quick
            else training.Effort(self.turns, self.seconds, self.seconds < 0.1)
        )

    @property
    def rounds(self) -> int:
        """Of what takes a process each time."""
        return 1 if self.quick else 5

    @property
    def peers(self) -> tuple[str, ...]:
        """The libraries to measure."""
        return FAST_PEERS if self.quick else tuple(PEERS)


def measure_networks(team: Team, plan: Plan, names: list[str]) -> dict[str, Any]:
    """Measure the networks of the table with SGD and Adam, and their limits."""
    networks = [NETWORKS[name] for name in names]
    cases = []
    for network in networks:
        for optimizer in ["adam"] if plan.quick else RATES:
            cases.append(_case(team, with_optimizer(network, optimizer), plan))
    team.say("matrix products")
    rounds, wanted = (3, 2e-3) if plan.quick else (9, 5e-3)
    measured = products.best_times(team, networks, rounds, wanted)
    for case in cases:
        network = Network.from_dict(case["network"])
        case["limit_microseconds"] = products.limit_of(network, measured)
    return {"training": cases, "products": measured}


def _case(team: Team, network: Network, plan: Plan, effort: Any = None) -> dict[str, Any]:
    team.say(f"{network.name} {'-'.join(map(str, network.sizes))}, {network.optimizer}")
    case = training.measure(team, network, effort or plan.effort, plan.peers)
    if not case["equal_work"]["agree"]:
        team.say(f"  the losses differ: {case['equal_work']}")
    return case


def measure_fashion(team: Team, plan: Plan) -> dict[str, Any]:
    """Measure epochs of Fashion-MNIST."""
    import backlight as bl

    try:
        bl.data.load("fashion-mnist")
    except bl.DataError as error:
        team.say(f"  {error}")
        return {"fashion": []}
    effort = training.Effort(1 if plan.quick else 5, 0.01)
    return {"fashion": [_case(team, FASHION, plan, effort)]}


def measure_growth(team: Team, plan: Plan) -> dict[str, Any]:
    """Measure networks whose width, depth or batch grows."""
    effort = training.Effort(3, 0.03, True) if plan.quick else training.Effort(7, 0.1)
    quick = Plan(quick=True)  # the fastest form of each library is enough here
    return {"growth": [_case(team, each, quick, effort) for each in growth(plan.quick)]}


def measure_full_batch(team: Team, plan: Plan) -> dict[str, Any]:
    """Measure epochs of a single step, where what surrounds an epoch counts."""
    names = [with_optimizer(FULL_BATCH, each) for each in RATES]
    return {"full_batch": [_case(team, each, Plan(quick=True), plan.effort) for each in names]}


def measure_recording(team: Team, plan: Plan) -> dict[str, Any]:
    """Measure eager recording, and `explain`."""
    member = team.member("Backlight", 1)
    rows: list[Any] = []
    explained: float | None = None
    try:
        for size in (0, 8):
            rows += member.call("benchmarks.recording.measure", size)
        weights = 2 if plan.quick else 7
        batches = (64, 0)
        explained = max(
            member.call("benchmarks.explaining.measure", (784, 256, 128, 10), batch, weights)
            for batch in batches
        )
    except AbsentError as error:
        team.say(f"  recording: {error}")
    rounds = 3 if plan.quick else 11
    return {
        "recording": rows,
        "explain_milliseconds": explained,
        "eager": eager.measure(team, rounds, 0.02),
    }


def measure_scalars(team: Team, plan: Plan) -> dict[str, Any]:
    """Measure graphs of scalars."""
    sizes = [1_000, 10_000] if plan.quick else [1_000, 10_000, 100_000, 1_000_000]
    return {"scalars": scalars.measure(team, sizes, 20.0 if plan.quick else 600.0)}


def _with(key: str, measure: Callable[[Say, int], Any]) -> Callable[[Team, Plan], dict[str, Any]]:
    return lambda team, plan: {key: measure(team.say, plan.rounds)}


PARTS: dict[str, Callable[[Team, Plan], dict[str, Any]]] = {
    "full-batch": measure_full_batch,
    "fashion-mnist": measure_fashion,
    "growth": measure_growth,
    "cold": _with("cold", processes.cold_starts),
    "compile": _with(
        "compile",
        lambda say, rounds: processes.compile_times(
            say, 1 if rounds == 1 else 3, ["digits"] if rounds == 1 else ["digits", "mnist"]
        ),
    ),
    "memory": _with(
        "memory",
        lambda say, rounds: processes.peak_memory(
            say, 1 if rounds == 1 else 3, ["mnist"] if rounds == 1 else ["digits", "mnist"]
        ),
    ),
    "size": _with("size", lambda say, rounds: processes.install_sizes()),
    "recording": measure_recording,
    "scalars": measure_scalars,
}
QUICK = ("cold", "memory", "size", "recording")


def about() -> dict[str, Any]:
    """Return what the numbers depend on, without anything that names the machine or its user."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "machine": {
            "processor": processor_name(),
            "cores": cores(),
            "architecture": platform.machine(),
            "system": platform.system(),
        },
        "python": platform.python_version(),
        "versions": versions,
    }


def table(results: dict[str, Any]) -> str:
    """Return the measurements as lines for a terminal."""
    lines: list[str] = []
    for part in ("training", "full_batch", "fashion", "growth"):
        for case in results.get(part, []):
            lines.append(_line(case))
    if lines:
        lines.insert(0, "µs per step, median of rounds (threads); ratios to the best peer")
    for verdict in verdicts(results):
        if verdict.measured is None and not verdict.detail:
            continue
        value = "—" if verdict.measured is None else f"{verdict.measured:.3g} {verdict.unit}"
        word = {True: "met", False: "NOT MET", None: "open"}[verdict.met]
        lines.append(
            f"{word:<8}{verdict.what}: {value} ({verdict.sense} {verdict.wanted:g}); "
            f"{verdict.detail}"
        )
    return "\n".join(lines)


def _line(case: dict[str, Any]) -> str:
    network = case["network"]
    rows = best_rows(case)
    shown = [
        f"{name} {statistics.median(row['microseconds']):.4g} ({row['threads']})"
        for name, row in rows.items()
    ]
    found = ratio(case, best_peer(case))
    if found is not None:
        shown.append(f"{found:.2f} × the best peer")
    share = share_of_limit(case)
    if share is not None:
        shown.append(f"{100 * share:.0f} % of the limit ({case['limit_microseconds']:.4g} µs)")
    equal = "" if case["equal_work"]["agree"] else "  (LOSSES DIFFER)"
    return f"{network['name']:<10} {network['optimizer']:<5} {'; '.join(shown)}{equal}"


def main() -> None:
    """Measure, write the file, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Backlight beside its peers."
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes")
    parser.add_argument(
        "--only", nargs="+", choices=[*NETWORKS, *PARTS], metavar="PART", default=[],
        help=f"one of {', '.join([*NETWORKS, *PARTS])}",
    )  # fmt: skip
    parser.add_argument("--turns", type=int, default=15, help="of every library (15)")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn, about (0.1)")
    parser.add_argument("--out", type=Path, help="the results file; benchmarks/results/<date>.json")
    options = parser.parse_args()
    plan = Plan(options.quick, options.turns, options.seconds)
    begun = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - begun:5.0f} s] {text}", file=sys.stderr, flush=True)

    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    results: dict[str, Any] = {
        "format": "backlight.benchmarks",
        "version": VERSION,
        "date": today,
        "quick": plan.quick,
        **about(),
    }
    chosen = options.only or [*NETWORKS, *(QUICK if plan.quick else PARTS)]
    networks = [name for name in NETWORKS if name in chosen]
    with Team(say) as team:
        if networks:
            results |= measure_networks(team, plan, networks)
        for name, measure in PARTS.items():
            if name in chosen:
                say(name)
                try:
                    results |= measure(team, plan)
                except AbsentError as error:
                    say(f"  {name} was not measured: {error}")
    results["seconds"] = time.perf_counter() - begun
    results["goals"] = [each.to_dict() for each in verdicts(results)]
    print(table(results))
    path = options.out
    if path is None and not options.only:
        path = RESULTS / f"{today}{'-quick' if plan.quick else ''}.json"
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
        say(f"written to {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")


if __name__ == "__main__":
    main()
