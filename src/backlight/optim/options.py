"""What all options of optimizers have in common: their ranges and their form as plain JSON.

A class lists the range of each number in `ranges` and calls `check_ranges` when it is made;
`to_dict` and `from_dict` turn any of them into a dictionary of numbers and strings and back.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

from backlight.errors import UnknownNameError, UsageError

Json = dict[str, Any]
"""A JSON object: strings to numbers, strings, None and further objects."""

Option = TypeVar("Option")


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """The numbers that an option may take; always finite ones.

    Attributes
    ----------
    low, high : float
        The ends.
    with_low, with_high : bool
        Whether the ends themselves are allowed.
    whole : bool
        Whether it must be an integer.
    """

    low: float = -math.inf
    high: float = math.inf
    with_low: bool = True
    with_high: bool = False
    whole: bool = False

    def holds(self, value: object) -> bool:
        """Tell whether a value is a number in this range.

        Examples
        --------
        >>> UNIT.holds(0.9), UNIT.holds(1.0), UNIT.holds("0.9")
        (True, False, False)
        """
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        number = float(value)
        if not math.isfinite(number):
            return False
        above = number > self.low or (self.with_low and number == self.low)
        below = number < self.high or (self.with_high and number == self.high)
        return above and below

    def __str__(self) -> str:
        kind = "an integer" if self.whole else "a finite number"
        ends = []
        if math.isfinite(self.low):
            ends.append(f"of at least {self.low:g}" if self.with_low else f"above {self.low:g}")
        if math.isfinite(self.high):
            ends.append(f"at most {self.high:g}" if self.with_high else f"below {self.high:g}")
        return " ".join((kind, " and ".join(ends))).rstrip()


POSITIVE = Range(0.0, with_low=False)
NOT_NEGATIVE = Range(0.0)
UNIT = Range(0.0, 1.0)
"""From 0 to below 1: the share of the past that a running average keeps."""
COUNT = Range(1, whole=True)


def check_ranges(options: object, ranges: Mapping[str, Range]) -> None:
    """Raise unless each option of an object lies in its range.

    Raises
    ------
    UsageError
        Naming the class, the option, its range and what was given.

    Examples
    --------
    >>> from backlight.optim import Adam
    >>> Adam(beta1=1.5)
    Traceback (most recent call last):
    backlight.errors.UsageError: Adam: beta1 must be a finite number of at least 0 and below 1, \
not 1.5.
    """
    for name, allowed in ranges.items():
        value = getattr(options, name)
        if not allowed.holds(value):
            raise UsageError(f"{type(options).__name__}: {name} must be {allowed}, not {value!r}.")


def check_choice(options: object, name: str, choices: Iterable[str]) -> None:
    """Raise unless an option is one of a few words.

    Raises
    ------
    UsageError
    """
    value = getattr(options, name)
    listed = tuple(choices)
    if value not in listed:
        raise UsageError(
            f"{type(options).__name__}: {name} must be {' or '.join(map(repr, listed))}, "
            f"not {value!r}."
        )


def check_flag(options: object, name: str) -> None:
    """Raise unless an option is True or False.

    Raises
    ------
    UsageError
    """
    value = getattr(options, name)
    if not isinstance(value, (bool, np.bool_)):
        raise UsageError(f"{type(options).__name__}: {name} must be True or False, not {value!r}.")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known name, and otherwise all of them.

    Examples
    --------
    >>> suggestion("Adm", ["Adam", "SGD"])
    "; did you mean 'Adam'?"
    >>> suggestion("?", ["Adam", "SGD"])
    '; there are Adam, SGD.'
    """
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    if close:
        return f"; did you mean {by_folded[close[0]]!r}?"
    return f"; there are {', '.join(by_folded.values())}."


def to_dict(options: object) -> Json:
    """Return the name of an option class and its values as plain JSON.

    Parameters
    ----------
    options : dataclass instance
        An optimizer, a schedule or a way of clipping.

    Raises
    ------
    UsageError
        When a value is a function of the user's own, which JSON cannot hold.

    Examples
    --------
    >>> from backlight.optim import Exponential
    >>> to_dict(Exponential(0.1, 0.5))
    {'name': 'Exponential', 'rate': 0.1, 'factor': 0.5}
    """
    written: Json = {"name": type(options).__name__}
    for field in dataclasses.fields(options):  # type: ignore[arg-type]  # always a dataclass
        written[field.name] = _plain(getattr(options, field.name), field.name, options)
    return written


def _plain(value: object, name: str, owner: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(type(value), "to_dict"):
        return to_dict(value)
    raise UsageError(
        f"{type(owner).__name__}: {name} is {type(value).__name__}, which cannot be stored; use "
        f"one of the schedules or ways of clipping in bl.optim."
    )


def read(written: Mapping[str, Any], classes: Mapping[str, type[Any]]) -> Any:
    """Make the object that `to_dict` described.

    Parameters
    ----------
    written : mapping
        With the key ``"name"``; capital and small letters are the same.
    classes : mapping of str to type
        The classes that there are.

    Raises
    ------
    UnknownNameError
        When there is no such class or option.
    UsageError
        When a value is out of its range.
    """
    name = written.get("name")
    if not isinstance(name, str):
        raise UsageError(
            'Options need a "name", as in {"name": "SGD", "learning_rate": 0.1}; it is missing.'
        )
    by_folded = {each.casefold(): each for each in classes}
    found = by_folded.get(name.casefold())
    if found is None:
        raise UnknownNameError(f"There is no {name!r} in bl.optim{suggestion(name, classes)}")
    known = [field.name for field in dataclasses.fields(classes[found])]
    values = {}
    for key, value in written.items():
        if key == "name":
            continue
        if key not in known:
            raise UnknownNameError(f"{found} has no option {key!r}{suggestion(key, known)}")
        values[key] = read(value, classes) if isinstance(value, Mapping) else value
    try:
        return classes[found](**values)
    except TypeError:
        needed = [
            field.name
            for field in dataclasses.fields(classes[found])
            if field.default is dataclasses.MISSING and field.name not in values
        ]
        raise UsageError(f"{found} needs a value for {' and '.join(needed)}.") from None
