"""From measurements to ratios and verdicts: medians, the best peer, the limit, the goals.

Everything here is arithmetic on a results file; nothing is measured.  A ratio between two libraries
is the median over rounds of the ratio within a round, above 1 where Backlight is faster.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

OURS = "Backlight"
Case = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """What the rounds gave.

    Attributes
    ----------
    median, least, most : float
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


def best_rows(case: Case) -> dict[str, Mapping[str, Any]]:
    """Return for each library that ran its row with the best number of threads, by the median."""
    found: dict[str, Mapping[str, Any]] = {}
    for row in case["rows"]:
        if not row.get("microseconds"):
            continue
        before = found.get(row["name"])
        if before is None or _median(row) < _median(before):
            found[row["name"]] = row
    return found


def _median(row: Mapping[str, Any]) -> float:
    return statistics.median(row["microseconds"])


def best_peer(case: Case) -> str | None:
    """Return the fastest library beside Backlight, or None without one."""
    peers = {name: _median(row) for name, row in best_rows(case).items() if name != OURS}
    return min(peers, key=peers.__getitem__, default=None)


def ratio(case: Case, peer: str | None) -> float | None:
    """Return how many times as fast as a peer Backlight is, or None where one did not run.

    Examples
    --------
    >>> ours = {"name": "Backlight", "threads": 1, "microseconds": [1.0, 2.0, 1.0]}
    >>> theirs = {"name": "JAX scan", "threads": 1, "microseconds": [3.0, 4.0, 2.0]}
    >>> ratio({"rows": [ours, theirs]}, "JAX scan")
    2.0
    """
    rows = best_rows(case)
    if peer is None or peer not in rows or OURS not in rows:
        return None
    pairs = zip(rows[peer]["microseconds"], rows[OURS]["microseconds"], strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


def share_of_limit(case: Case) -> float | None:
    """Return the limit divided by Backlight's time: 1 where only the products take time."""
    row = best_rows(case).get(OURS)
    if row is None or "limit_microseconds" not in case:
        return None
    return float(case["limit_microseconds"]) / _median(row)


@dataclass(frozen=True)
class Verdict:
    """A goal with what was measured.

    Attributes
    ----------
    what : str
    sense : {"at least", "at most"}
    wanted : float
    measured : float or None
        None when it was not measured.
    unit : str
    detail : str
        Which numbers it comes from.
    """

    what: str
    sense: Literal["at least", "at most"]
    wanted: float
    measured: float | None
    unit: str
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is met; None when it was not measured."""
        if self.measured is None:
            return None
        if self.sense == "at least":
            return self.measured >= self.wanted
        return self.measured <= self.wanted

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**asdict(self), "met": self.met}


SPEED: Mapping[str, Mapping[str, float]] = {
    "xor": {"best peer": 5.0, "PyTorch eager": 300.0},
    "tab": {"best peer": 2.5, "PyTorch eager": 20.0, "scikit-learn": 15.0},
    "digits": {"best peer": 2.5, "PyTorch eager": 20.0, "scikit-learn": 15.0},
    "mnist": {"best peer": 1.5},
    "wide": {"best peer": 1.2},
}
LIMITS: Mapping[str, float] = {"mnist": 0.70, "wide": 0.80}


def verdicts(results: Mapping[str, Any]) -> list[Verdict]:
    """Judge every goal; where SGD and Adam differ, the worse one counts."""
    found = [*_speed(results.get("training", []))]
    found += _processes(results)
    found += _recording(results)
    found.append(_scalars(results.get("scalars", [])))
    return found


def _speed(cases: Sequence[Case]) -> list[Verdict]:
    found: list[Verdict] = []
    for name, goals in SPEED.items():
        own = [case for case in cases if case["network"]["name"] == name]
        for against, wanted in goals.items():
            measured: dict[str, float] = {}
            for case in own:
                peer = best_peer(case) if against == "best peer" else against
                value = ratio(case, peer)
                if value is not None:
                    measured[f"{case['network']['optimizer'].upper()} {value:.2f} × {peer}"] = value
            found.append(
                Verdict(
                    f"{name}: speed against {'the ' if against == 'best peer' else ''}{against}",
                    "at least",
                    wanted,
                    min(measured.values(), default=None),
                    "×",
                    ", ".join(measured),
                )
            )
        if name in LIMITS:
            shares = {
                case["network"]["optimizer"].upper(): value
                for case in own
                if (value := share_of_limit(case)) is not None
            }
            found.append(
                Verdict(
                    f"{name}: share of the limit",
                    "at least",
                    LIMITS[name],
                    min(shares.values(), default=None),
                    "",
                    ", ".join(f"{key} {value:.2f}" for key, value in shares.items()),
                )
            )
    return found


def _named(rows: Sequence[Mapping[str, Any]], name: str, **more: Any) -> Mapping[str, Any]:
    for row in rows:
        if row["name"] == name and all(row[key] == value for key, value in more.items()):
            return row
    return {}


def _processes(results: Mapping[str, Any]) -> list[Verdict]:
    cold = results.get("cold", [])
    ours, torch = _named(cold, "Backlight, trained"), _named(cold, "import torch")
    share = None
    detail = ""
    if ours.get("seconds") and torch.get("seconds"):
        pairs = zip(ours["seconds"], torch["seconds"], strict=True)
        share = statistics.median(a / b for a, b in pairs)
        a, b = (statistics.median(each["seconds"]) for each in (ours, torch))
        detail = f"{a:.2f} s and {b:.2f} s"
        again = _named(cold, "Backlight, trained, cached")
        if again.get("seconds"):
            detail += f"; {statistics.median(again['seconds']):.2f} s with a filled cache"
    found = [
        Verdict("cold start to 97 % ÷ import torch", "at most", 0.5, share, "×", detail),
    ]
    compiled = [row for row in results.get("compile", []) if row["name"] == OURS]
    for which, wanted in (("first", 150.0), ("cached", 20.0)):
        times = {
            row["network"]: 1e3 * statistics.median(row[which])
            for row in compiled
            if row.get(which)
        }
        found.append(
            Verdict(
                f"compile time, {'first time' if which == 'first' else 'cached'}",
                "at most",
                wanted,
                max(times.values(), default=None),
                "ms",
                ", ".join(f"{name} {value:.0f} ms" for name, value in times.items()),
            )
        )
    memory = results.get("memory", [])
    shares = {}
    for row in memory:
        torch = _named(memory, "PyTorch eager", network=row["network"])
        if row["name"] == OURS and "bytes" in row and "bytes" in torch:
            shares[row["network"]] = row["bytes"] / torch["bytes"]
    found.append(
        Verdict(
            "peak memory ÷ PyTorch's",
            "at most",
            0.5,
            max(shares.values(), default=None),
            "×",
            ", ".join(f"{name} {value:.2f}" for name, value in shares.items()),
        )
    )
    return found


def _recording(results: Mapping[str, Any]) -> list[Verdict]:
    overheads = [row["overhead_us"] for row in results.get("recording", [])]
    found = [
        Verdict(
            "recording: overhead of an operation on small arrays",
            "at most",
            5.0,
            statistics.median(overheads) if overheads else None,
            "µs",
            f"median; the most is {max(overheads):.1f} µs" if overheads else "",
        )
    ]
    shares = {}
    for row in results.get("eager", []):
        spent = row["microseconds"]
        if {"Backlight", "PyTorch"} <= spent.keys():
            pairs = zip(spent["Backlight"], spent["PyTorch"], strict=True)
            shares[row["example"]] = statistics.median(a / b for a, b in pairs)
    found.append(
        Verdict(
            "worked examples, forward and backward ÷ PyTorch eager",
            "at most",
            0.5,
            max(shares.values(), default=None),
            "×",
            ", ".join(f"{name} {value:.2f}" for name, value in shares.items()),
        )
    )
    explained = results.get("explain_milliseconds")
    found.append(
        Verdict("explain one weight of 235k, the slowest layer", "at most", 50.0, explained, "ms")
    )
    return found


def _scalars(rows: Sequence[Mapping[str, Any]]) -> Verdict:
    what = "1,000,000 scalars compiled, per node, against micrograd"
    ours = _named(rows, "Backlight compiled", nodes=1_000_000)
    theirs = _named(rows, "micrograd", nodes=1_000_000)
    key = "nanoseconds_per_node"
    if key in ours and key in theirs:
        detail = f"{ours[key]:.2f} ns and {theirs[key]:.0f} ns"
        return Verdict(what, "at least", 100.0, theirs[key] / ours[key], "×", detail)
    done = [row["nodes"] for row in rows if row["name"] == "Backlight compiled" and key in row]
    details = [ours["absent"]] if "absent" in ours else []
    if done:
        largest = max(done)
        a = _named(rows, "Backlight compiled", nodes=largest)
        b = _named(rows, "micrograd", nodes=largest)
        beside = f" and {b[key]:.0f} ns" if key in b else ""
        details.append(f"at {largest:,} nodes {a[key]:.1f} ns{beside}")
    detail = "; ".join(details)
    return Verdict(what, "at least", 100.0, None, "×", detail)
