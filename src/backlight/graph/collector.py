"""Python's garbage collector, held while graphs are built.

A graph is millions of small objects that all stay; the collector looks through them again and
again for rings that are not there, and takes a third of the time.  `collector_held` keeps it out
of a block of code.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_held() -> Iterator[None]:
    """Do not look for unreachable rings of objects inside the block.

    What is not in a ring is freed at once as ever.  Blocks may lie inside each other.  When two
    threads hold the collector at once, it starts again when the first of them is done.

    Examples
    --------
    >>> import gc
    >>> with collector_held():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
