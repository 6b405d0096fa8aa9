"""The primitives: one record each, one file per family.

`registry` gives all of them by name.  Adding a primitive means writing one record here (or, in a
program of one's own, calling `backlight.primitive`); nothing else has to know its name.
"""

from __future__ import annotations

from collections.abc import Mapping

from backlight.graph.primitive import REGISTRY, Primitive
from backlight.ops import (  # noqa: F401 (importing a family registers its records)
    arithmetic,
    contract,
    convert,
    exponential,
    index,
    leaf,
    logical,
    move,
    piecewise,
    random,
    reduce,
    trigonometric,
)

__all__ = ["registry"]


def registry() -> Mapping[str, Primitive]:
    """Return every registered primitive by name, as a read-only mapping.

    Examples
    --------
    >>> registry()["exp"].kind
    <Kind.ELEMENTWISE: 'elementwise'>
    """
    return REGISTRY.view()
