"""The thread that trains: it takes steps while training runs and does single jobs in between.

Everything that touches the engine of a training happens in this one thread, so nothing needs a
lock.  A thread is enough, and not a process: compiled steps run outside of Python's interpreter
lock, in calls of about a fiftieth of a second, so the server goes on answering; what pages read
(parameters, history) needs no copying; and a job such as recording a step sees exactly the state
that training has reached.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from backlight.errors import BacklightError, UsageError
from backlight.studio.asking import Json
from backlight.studio.prediction import prediction
from backlight.studio.training import Trainer

Result = TypeVar("Result")

FASTEST = 20_000.0
"""Steps per second that are taken at most, so that pages can keep up with every number."""
FRAME_SECONDS = 1 / 30
PREDICTION_SECONDS = 0.1
GRADIENT_SECONDS = 0.25
JOB_SECONDS = 120.0

Job = tuple[Callable[[], Any], "Future[Any]"]


class Worker:
    """Trains in a thread of its own.

    Parameters
    ----------
    trainer : Trainer
        Belongs to the thread from now on.
    changed : callable
        Called, from the thread, whenever there is something new to show: with ``True`` when the
        status changed, not only the numbers.
    """

    def __init__(self, trainer: Trainer, changed: Callable[[bool], None]) -> None:
        self.trainer = trainer
        self._changed = changed
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self.running = False
        self.speed: float | None = None
        self.frame: Json | None = None
        self.frames = 0
        self._shown = self._predicted = self._measured = 0.0
        self._due = 0.0
        self._costs = {"prediction": 0.0, "gradients": 0.0}
        self._thread = threading.Thread(target=self._run, name="backlight-training", daemon=True)
        self._thread.start()

    # ── from other threads ───────────────────────────────────────────────────────────────────

    def do(self, job: Callable[[], Result]) -> Result:
        """Run a job in the thread and return what it returns, or raise what it raises."""
        if not self._thread.is_alive():
            raise UsageError("This training has been closed, because another one was opened.")
        future: Future[Result] = Future()
        self._jobs.put((job, future))
        return future.result(timeout=JOB_SECONDS)

    def go(self, until: int | None, speed: float | None) -> None:
        """Start, or go on."""

        def begin() -> None:
            self.trainer.resume(until)
            self.speed = speed
            self.running = True
            self._due = time.perf_counter()

        self.do(begin)
        self._changed(True)

    def pause(self) -> None:
        """Stop taking steps."""

        def halt() -> None:
            self.running = False
            self._show(force=True)

        self.do(halt)
        self._changed(True)

    def take(self, count: int) -> None:
        """Take some steps by hand."""

        def steps() -> None:
            self.running = False
            self.trainer.resume(self.trainer.step + count)
            while self.trainer.stopped is None:
                self._advance(count)
            if self.trainer.step == self.trainer.until:
                self.trainer.stopped = None
            self.trainer.until = None
            self._show(force=True)

        self.do(steps)
        self._changed(True)

    def close(self) -> None:
        """End the thread; jobs that wait are refused."""
        self._jobs.put(None)

    # ── in the thread ────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while True:
            job = self._next()
            if job is None:
                break
            if job is not _NOTHING:
                _fulfil(*job)
                continue
            if self.running:
                self._train()
        while True:
            try:
                waiting = self._jobs.get_nowait()
            except queue.Empty:
                return
            if waiting is not None:
                waiting[1].set_exception(
                    UsageError("This training has been closed, because another one was opened.")
                )

    def _next(self) -> Job | None:
        if not self.running:
            return self._jobs.get()
        wait = self._due - time.perf_counter()
        try:
            return self._jobs.get(timeout=wait) if wait > 0 else self._jobs.get_nowait()
        except queue.Empty:
            return _NOTHING

    def _train(self) -> None:
        speed = min(self.speed or FASTEST, FASTEST)
        taken = self._advance(max(int(speed * FRAME_SECONDS), 1))
        now = time.perf_counter()
        self._due = max(self._due + taken / speed, now - 0.5)
        ended = self.trainer.stopped is not None
        self._show(force=ended)
        if ended:
            self.running = False  # when the last frame is there
        self._changed(ended)

    def _advance(self, most: int) -> int:
        trainer = self.trainer
        try:
            taken = trainer.advance(most)
        except (BacklightError, ArithmeticError, MemoryError) as error:
            trainer.stopped = str(error) or type(error).__name__
            return 0
        if trainer.stopped is not None and "not finite" in trainer.stopped:
            trainer.stopped = trainer.why_not_finite()
        return taken

    def _show(self, *, force: bool) -> None:
        """Make a frame when its time has come; its costly parts come less often."""
        now = time.perf_counter()
        if not force and now - self._shown < FRAME_SECONDS:
            return
        self._shown = now
        wants = now - self._measured > max(GRADIENT_SECONDS, 10 * self._costs["gradients"])
        frame = self.trainer.frame(gradients=force or wants)
        if force or wants:
            self._measured = time.perf_counter()
            self._costs["gradients"] = self._measured - now
        begun = time.perf_counter()
        rests = max(PREDICTION_SECONDS, 5 * self._costs["prediction"])
        if force or begun - self._predicted > rests:
            frame["prediction"] = self._prediction()
            self._predicted = time.perf_counter()
            self._costs["prediction"] = self._predicted - begun
        elif self.frame is not None and self.frame["prediction"] is not None:
            frame["prediction"] = None
        self.frame = frame
        self.frames += 1

    def _prediction(self) -> Json:
        start, state = self.trainer.start, self.trainer.state
        made = prediction(start.task, start.net, state.parameters)
        return {**made, "step": state.step}


def _nothing() -> None:
    """Stands for no job."""


_NOTHING: Job = (_nothing, Future())


def _fulfil(job: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except Exception as error:  # noqa: BLE001 (handed on to the thread that waits for it)
        future.set_exception(error)
    else:
        future.set_result(result)
