"""Round numbers for the axes of plots, linear and logarithmic."""

from __future__ import annotations

import math
from typing import NamedTuple

from backlight.graph.notation import format_number

_MANY_DECADES = 7


class Axis(NamedTuple):
    """The range of an axis and its marks.

    Attributes
    ----------
    low, high : float
        The ends; powers of ten's exponents when `log` is set.
    ticks : tuple of float
        Where marks are, in the same unit.
    labels : tuple of str
    log : bool
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    log: bool

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies, from 0 to 1.

        Examples
        --------
        >>> linear_axis(0.0, 10.0).share(2.5), log_axis(1.0, 100.0).share(10.0)
        (0.25, 0.5)
        """
        place = math.log10(value) if self.log else value
        return (place - self.low) / (self.high - self.low)


def linear_axis(low: float, high: float, marks: int = 6) -> Axis:
    """Return an axis from one round number to another that holds a range.

    The steps are 1, 2 or 5 times a power of ten (Heckbert 1990, "Nice numbers for graph labels").

    Parameters
    ----------
    low, high : float
        Finite, in either order.
    marks : int
        About how many marks there are.

    Examples
    --------
    >>> linear_axis(0.13, 0.94).labels
    ('0', '0.2', '0.4', '0.6', '0.8', '1')
    """
    low, high = min(low, high), max(low, high)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        slack = 0.5 * abs(low) if low else 1.0
        low, high = low - slack, high + slack
    # Each end is divided before subtracting, so that ±1e308 do not overflow.
    step = _nice(high / max(marks - 1, 1) - low / max(marks - 1, 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(k * step for k in range(first, last + 1))
    return Axis(
        ticks[0], ticks[-1], ticks, tuple(_label(k, step) for k in range(first, last + 1)), False
    )


def log_axis(low: float, high: float) -> Axis:
    """Return a logarithmic axis from one power of ten to another that holds a range.

    Parameters
    ----------
    low, high : float
        Positive and finite.

    Examples
    --------
    >>> log_axis(0.02, 3.0).labels
    ('0.01', '0.1', '1', '10')
    """
    first = math.floor(math.log10(min(low, high)) + 1e-9)
    last = math.ceil(math.log10(max(low, high)) - 1e-9)
    last = max(last, first + 1)
    step = math.ceil((last - first) / _MANY_DECADES)
    last = first + step * math.ceil((last - first) / step)
    exponents = range(first, last + 1, step)
    labels = tuple(_power(each) for each in exponents)
    return Axis(float(first), float(last), tuple(map(float, exponents)), labels, True)


def _nice(step: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is near a step."""
    power = 10.0 ** math.floor(math.log10(step))
    share = step / power
    factor = 1.0 if share < 1.5 else 2.0 if share < 3.5 else 5.0 if share < 7.5 else 10.0
    return factor * power


def _label(count: int, step: float) -> str:
    value = count * step
    if 10_000 <= abs(value) < 1e9:
        return f"{value:,.0f}".replace("-", "−")
    return format_number(value, 10) if count else "0"


def _power(exponent: int) -> str:
    if -4 <= exponent <= 5:
        return format_number(10.0**exponent, 6)
    return f"1e{exponent}".replace("-", "−")
