"""States kept along a run, so that any step can be reached again by taking a few steps.

The last two and a bounded number of earlier ones are kept: whenever there are too many of those,
every other one is dropped and from then on only every other one is added.  States share their
arrays with the run, so keeping one copies nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from backlight.errors import RunError
from backlight.train.engine import Engine, TrainingState

MOST_SNAPSHOTS = 16
MOST_BYTES = 256 * 2**20


class Snapshots:
    """States by step, a bounded number of them.

    Parameters
    ----------
    kept : iterable of TrainingState
        In the order of their steps, the first of them from before the first step.
    """

    def __init__(self, kept: Iterable[TrainingState] = ()) -> None:
        self._kept = list(kept)
        self._every = 1
        # The last two: a run is asked most about its last step, which starts from the first.
        self._recent: tuple[TrainingState, ...] = ()

    @property
    def states(self) -> tuple[TrainingState, ...]:
        """What is kept, in the order of the steps."""
        last = self._kept[-1].step if self._kept else -1
        return (*self._kept, *(each for each in self._recent if each.step > last))

    def offer(self, state: TrainingState) -> None:
        """Keep a state if its turn has come, and the last two in any case."""
        self._recent = (*self._recent[-1:], state)
        if state.step % self._every:
            return
        self._kept.append(state)
        if len(self._kept) <= 2:
            return
        room = max(min(MOST_SNAPSHOTS, MOST_BYTES // max(state.nbytes, 1)), 2)
        while len(self._kept) > room:
            self._every *= 2
            self._kept = [each for each in self._kept if each.step % self._every == 0]

    def forget_after(self, step: int) -> None:
        """Drop the states after a step, which is to be gone on from."""
        self._kept = [each for each in self._kept if each.step <= step]
        self._recent = tuple(each for each in self._recent if each.step <= step)

    def before(self, step: int) -> TrainingState:
        """Return the last state at or before a step.

        Raises
        ------
        RunError
            When there is none.
        """
        states = self.states
        place = bisect_right(states, step, key=lambda state: state.step)
        if place == 0:
            raise RunError(f"The run keeps no state from before step {step}; train it again.")
        return states[place - 1]


class Scales:
    """The factor on the learning rate, which changes now and then, by step."""

    def __init__(self, changes: Iterable[tuple[int, float]] = ()) -> None:
        self._changes = list(changes) or [(0, 1.0)]

    @property
    def changes(self) -> tuple[tuple[int, float], ...]:
        """From which step on which factor held."""
        return tuple(self._changes)

    @property
    def last(self) -> float:
        """The factor that holds now."""
        return self._changes[-1][1]

    def set(self, step: int, scale: float) -> None:
        """Let another factor hold from a step on."""
        if scale != self.last:
            self._changes.append((step, scale))

    def at(self, step: int) -> float:
        """Return the factor that held at a step."""
        place = bisect_right(self._changes, step, key=lambda change: change[0])
        return self._changes[max(place - 1, 0)][1]


class Course:
    """The course of a run: it can be entered again at any step.

    Parameters
    ----------
    engine : Engine
    snapshots : Snapshots
    scales : Scales
    steps : int
        How many steps were taken.
    """

    def __init__(self, engine: Engine, snapshots: Snapshots, scales: Scales, steps: int) -> None:
        self.engine = engine
        self.snapshots = snapshots
        self.scales = scales
        self.steps = steps
        self._latest: TrainingState | None = None

    def state_at(self, step: int) -> TrainingState:
        """Return the state before a step, by taking the steps since the nearest snapshot again.

        Raises
        ------
        RunError
            When the run has no such step.
        """
        if not 0 <= step <= self.steps:
            raise RunError(
                f"The run took {self.steps} steps, so a state exists before the steps 0 to "
                f"{self.steps}, not before {step}."
            )
        state = self.snapshots.before(step)
        if self._latest is not None and state.step < self._latest.step <= step:
            state = self._latest
        while state.step < step:
            state, _ = self.engine.advance(state, self.scales.at(state.step))
        self._latest = state
        return state
