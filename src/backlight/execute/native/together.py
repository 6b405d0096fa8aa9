"""Calling one function on several threads at once; `team` writes what they do inside it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

TEAM_BYTES = 192
"""The team's memory: how many have arrived, which round it is, and whether one found a fault; each
in a cache line of its own."""


def run_team(work: Callable[[int, int, int], int], threads: int) -> list[int]:
    """Call a function on several threads at once, this one among them; return all results.

    Parameters
    ----------
    work : callable
        Takes the thread's number, how many there are, and the address of the team's memory; it
        must let others run Python, as calls of compiled code do.
    threads : int
        How many; fewer when the system has no more threads to give.
    """
    memory = np.zeros(TEAM_BYTES + 64, np.uint8)
    team = memory.ctypes.data + -memory.ctypes.data % 64
    if threads == 1:
        return [work(0, 1, team)]
    results = [0] * threads
    complete = threading.Event()
    size = 0

    def member(thread: int) -> None:
        complete.wait()
        if thread < size:
            results[thread] = work(thread, size, team)

    helpers = [threading.Thread(target=member, args=(k,), daemon=True) for k in range(1, threads)]
    started = []
    for each in helpers:
        try:
            each.start()
        except RuntimeError:  # the system has no more threads to give
            break
        started.append(each)
    size = len(started) + 1
    complete.set()
    try:
        results[0] = work(0, size, team)
    finally:
        for each in started:
            each.join()
    return results[:size]
