"""Compiling on a second thread, beside the compilation that `engine` runs.

An `Aside` takes functions that write modules and gives their machine code when it is asked for.
LLVM lets two threads work at once that have contexts and target machines of their own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from backlight.execute.native.engine import (
    UNFINISHED,
    ObjectCode,
    Pipeline,
    compile_text,
    host,
    own_machine,
    target_machine,
    written,
)

if TYPE_CHECKING:
    from llvmlite import ir

_LOCK = threading.Lock()


@cache
def _machine_aside() -> Any:
    """Return a target machine for whoever holds `_LOCK`."""
    return target_machine()


class Aside:
    """Modules that another thread writes and compiles, one after the other; who waits helps.

    To be made and asked with `LOCK` held.

    Parameters
    ----------
    writers : sequence of callable
        Each returns a module.  They must not ask for `LOCK`, which whoever waits for them holds.
    pipeline : Pipeline
    """

    def __init__(self, writers: Sequence[Callable[[], ir.Module]], pipeline: Pipeline) -> None:
        host()  # while nobody waits for this one
        self._pipeline = pipeline
        self._waiting = deque(enumerate(writers))
        self._made: dict[int, ObjectCode] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work_aside, name="backlight compiles")
        UNFINISHED.append(self.wait)
        # Without a thread, because the system has none to give, whoever waits does it all.
        with suppress(RuntimeError):
            self._thread.start()

    def _work_aside(self) -> None:
        with _LOCK:
            self._work(_machine_aside())

    def _work(self, machine: Any) -> None:
        while self._waiting and self._error is None:
            try:
                number, write = self._waiting.popleft()
            except IndexError:  # the other thread took the last one
                return
            try:
                self._made[number] = compile_text(written(write()), self._pipeline, machine)
            except BaseException as error:  # noqa: BLE001 (it is raised again where it is waited for)
                self._error = error

    def wait(self) -> None:
        """Help, and return when all is compiled."""
        if self.wait in UNFINISHED:
            self._work(own_machine())
            if self._thread.ident is not None:
                self._thread.join()
            UNFINISHED.remove(self.wait)

    def results(self) -> list[ObjectCode]:
        """Wait, and return the machine code of each module, in order.

        Raises
        ------
        CompileError
            When LLVM did not accept one.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        return [self._made[number] for number in sorted(self._made)]
