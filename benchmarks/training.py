"""Training steps: microseconds per step of every library on one network, and the network's limit.

First every library trains from the same weights on the batches in the given order; all must reach
the same loss, or they did not do the same work.  Then each trains on, shuffled, in turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.driver import AbsentError, Member, Team, repetitions, take_turns, thread_counts
from benchmarks.networks import Network, data_of, first_weights, loss_of
from benchmarks.worker import PEERS

TOLERANCE = 5e-3
"""How far losses may lie apart, relative to how far the loss went down."""

ONE_THREAD = {"autograd", "tinygrad", "JAX step"}
"""Ways that are tried with one thread only: more never helped, or the faster form is tried."""

SMALL = 5_000_000
"""Operations in a step below which a network counts as small."""

CHECKED_STEPS = 50


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Turns of every library.
    seconds : float
        Of one turn, about.
    small_on_one : bool
        Try small networks with one thread only: more have never helped them.
    """

    rounds: int
    seconds: float
    small_on_one: bool = False

    def threads(self, name: str, network: Network) -> Sequence[int]:
        """Return the numbers of threads to try a library with."""
        small = self.small_on_one and network.operations < SMALL
        return [1] if small or name in ONE_THREAD else thread_counts()


def measure(
    team: Team, network: Network, effort: Effort, names: Sequence[str] = tuple(PEERS)
) -> dict[str, Any]:
    """Return what each library took on a network, as the results file holds it."""
    X, y = data_of(network)
    start = loss_of(network, first_weights(network), X, y)
    rows: list[dict[str, Any]] = []
    ready: dict[str, tuple[Member, int, dict[str, Any]]] = {}
    for name in names:
        for threads in effort.threads(name, network):
            row: dict[str, Any] = {"name": name, "threads": threads}
            rows.append(row)
            member = team.member(name, threads)
            try:
                row["loss"] = _trained_loss(member, network, X, y)
                epochs = _prepare(member, network, effort)
            except AbsentError as error:
                row["absent"] = str(error)
                team.say(f"  {network.name} {network.optimizer}: {member}: {error}")
                continue
            ready[repr(member)] = (member, epochs, row)
    turns = {key: _turn(*each) for key, each in ready.items()}
    for key, seconds in take_turns(turns, effort.rounds).items():
        _, epochs, row = ready[key]
        if "absent" in row:
            continue
        row["microseconds"] = [each / epochs / network.steps * 1e6 for each in seconds]
    for member, _, row in ready.values():
        if "absent" not in row:
            member.ask("close")
    return {
        "network": network.to_dict(),
        "weights": network.weights,
        "operations": network.operations,
        "first_loss": start,
        "rows": rows,
        "equal_work": agreement(start, [row["loss"] for row in rows if "loss" in row]),
    }


def _turn(member: Member, epochs: int, row: dict[str, Any]) -> Callable[[], float]:
    """Return a timed turn; one that fails says so in the row, and the others go on."""

    def turn() -> float:
        if "absent" in row:
            return math.nan
        try:
            return float(member.ask("run", epochs=epochs)["seconds"])
        except AbsentError as error:
            row["absent"] = str(error)
            return math.nan

    return turn


def _checked_epochs(network: Network) -> int:
    return -(-CHECKED_STEPS // network.steps)


def _trained_loss(member: Member, network: Network, X: np.ndarray, y: np.ndarray) -> float:
    member.ask("prepare", network=network.to_dict(), shuffle=False)
    member.ask("run", epochs=_checked_epochs(network))
    return loss_of(network, member.weights(), X, y)


def _prepare(member: Member, network: Network, effort: Effort) -> int:
    """Make it ready and warm, and return how many epochs a turn has."""
    member.ask("prepare", network=network.to_dict(), shuffle=True)
    member.ask("run", epochs=1)  # compiles
    seconds = member.ask("run", epochs=1)["seconds"]
    epochs = repetitions(seconds, effort.seconds)
    if epochs > 1:
        member.ask("run", epochs=max(epochs // 2, 1))
    return epochs


def agreement(start: float, losses: Sequence[float]) -> dict[str, Any]:
    """Tell whether losses are the same, and how far apart they lie.

    Examples
    --------
    >>> agreement(2.0, [1.0, 1.001])["agree"], agreement(2.0, [1.0, 1.5])["agree"]
    (True, False)
    """
    if not losses:
        return {"agree": True, "spread": 0.0}
    middle = float(np.median(losses))
    far = max(abs(each - middle) for each in losses)
    scale = max(abs(start - middle), 0.05 * abs(start))
    return {"agree": bool(far <= TOLERANCE * scale), "spread": far / scale, "loss": middle}
