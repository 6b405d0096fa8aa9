"""Workers side by side, taking turns: one works, the others sleep.

`Team` starts a process for each library and number of threads.  `take_turns` asks one after the
other for one timed repetition, round after round, so that other work on the machine and changes of
the clock hit all of them alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.networks import Arrays
from benchmarks.worker import environment

ROOT = Path(__file__).resolve().parent.parent
PAUSE = 0.03
"""Seconds between two turns, in which the threads of the last one stop spinning."""

Say = Callable[[str], None]


class AbsentError(Exception):
    """A library is not installed or cannot do what is asked for; the reason in words."""


class Member:
    """One process: a library with a number of threads."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.threads = threads
        self._process: subprocess.Popen[str] | None = None

    def __repr__(self) -> str:
        return f"{self.name}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises
        ------
        AbsentError
            When the library cannot do it.
        """
        process = self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.stop()
            raise AbsentError("its process ended")
        answer: dict[str, Any] = json.loads(line)
        if "absent" in answer or "failed" in answer:
            raise AbsentError(str(answer.get("absent") or answer["failed"]))
        return answer

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function by its dotted name in the process."""
        return self.ask("call", function=function, arguments=arguments)["result"]

    def weights(self) -> Arrays:
        """Return the trained weights."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "weights.npz")
            self.ask("weights", path=path)
            with np.load(path) as found:
                return [found[f"arr_{k}"] for k in range(len(found.files))]

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", self.name, str(self.threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if "BENCHMARKS_DEBUG" in os.environ else subprocess.DEVNULL,
                text=True,
                cwd=ROOT,
                env={**os.environ, **environment(self.threads)},
            )
        return self._process


@dataclass
class Team:
    """The processes of a run; they are started when they are first asked for something."""

    say: Say
    _members: dict[tuple[str, int], Member] = field(default_factory=dict)

    def member(self, name: str, threads: int) -> Member:
        """Return the process for a library and a number of threads."""
        key = (name, threads)
        if key not in self._members:
            self._members[key] = Member(name, threads)
        return self._members[key]

    def __enter__(self) -> Team:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._members.values():
            each.stop()


def take_turns(
    turns: Mapping[str, Callable[[], float]], rounds: int, pause: float = PAUSE
) -> dict[str, list[float]]:
    """Return the seconds of each, round by round; the order is turned by one in each round."""
    names = list(turns)
    found: dict[str, list[float]] = {name: [] for name in names}
    for k in range(rounds):
        first = k % max(len(names), 1)
        for name in names[first:] + names[:first]:
            found[name].append(turns[name]())
            time.sleep(pause)
    return found


def repetitions(seconds: float, wanted: float) -> int:
    """Return how often to repeat what takes so many seconds to take about as many as wanted."""
    return max(1, round(wanted / max(seconds, 1e-9)))


def run_script(
    code: str,
    *arguments: str,
    threads: int = 2,
    variables: Mapping[str, str] | None = None,
    timeout: float = 300.0,
) -> tuple[float, str]:
    """Run Python code in a new process; return the seconds from its start to its end, and stdout.

    Raises
    ------
    AbsentError
        When it fails, with the last line that it said.
    """
    begun = time.perf_counter()
    try:
        found = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=timeout,
            # An installed package brings its bytecode; one that is edited must be let keep it.
            env={
                **os.environ,
                **environment(threads),
                "PYTHONDONTWRITEBYTECODE": "",
                **(variables or {}),
            },
        )
    except subprocess.TimeoutExpired:
        raise AbsentError(f"not done after {timeout:.0f} s") from None
    seconds = time.perf_counter() - begun
    if found.returncode:
        lines = found.stderr.strip().splitlines()
        raise AbsentError(lines[-1] if lines else f"ended with code {found.returncode}")
    return seconds, found.stdout


def cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)


def thread_counts(most: int = 2) -> Sequence[int]:
    """Return the numbers of threads that each library is tried with."""
    return range(1, min(cores(), most) + 1)
