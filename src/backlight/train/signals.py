"""SIGTERM during training: like Ctrl-C, so that what was reached is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminating(wanted: bool) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block when the process is asked to end.

    Only in the main thread, and only where nobody else handles the signal.

    Parameters
    ----------
    wanted : bool
        Otherwise nothing is changed.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (wanted and main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL):
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
