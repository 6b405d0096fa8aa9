"""Reading what a page has sent: every argument checked for type and size before it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backlight.errors import UsageError

MOST_EDITS = 64
MOST_VALUES = 4096
"""Numbers in one typed value."""
DEEPEST_VALUE = 4
LONGEST_TEXT = 20_000

Json = dict[str, Any]


@dataclass(frozen=True)
class Edit:
    """One entry of a leaf that a what-if changes."""

    node: str | int
    index: tuple[int, ...]
    value: float

    def to_dict(self) -> Json:
        """Return plain data, as it was sent."""
        return {"node": self.node, "index": list(self.index), "value": self.value}


@dataclass(frozen=True)
class At:
    """Which numbers are looked at: a step, perhaps one example, perhaps with other values."""

    step: int | None = None
    example: int | None = None
    edits: tuple[Edit, ...] = ()

    def to_dict(self) -> Json:
        """Return plain data, as it was sent."""
        return {
            "step": self.step,
            "example": self.example,
            "edits": [each.to_dict() for each in self.edits],
        }

    @property
    def key(self) -> str:
        """A text that is the same for the same numbers."""
        return json.dumps(self.to_dict(), sort_keys=True)


def read_at(given: object) -> At:
    """Read the ``at`` of a request.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> read_at({"step": 3}).step
    3
    """
    if given is None:
        return At()
    if not isinstance(given, Mapping):
        raise UsageError("at must be an object with step, example and edits.")
    edits = given.get("edits") or []
    if not isinstance(edits, list) or len(edits) > MOST_EDITS:
        raise UsageError(f"edits must be a list of at most {MOST_EDITS} changed values.")
    return At(
        whole(given, "step", None, least=0),
        whole(given, "example", None, least=0),
        tuple(_edit(each) for each in edits),
    )


def _edit(given: object) -> Edit:
    if not isinstance(given, Mapping):
        raise UsageError("An edit is an object with node, index and value.")
    node, index = given.get("node"), given.get("index", [])
    if isinstance(node, bool) or not isinstance(node, (str, int)):
        raise UsageError("An edit names its node, or gives the node's position.")
    if not isinstance(index, list) or any(type(each) is not int for each in index):
        raise UsageError("The index of an edit is a list of whole numbers.")
    return Edit(node, tuple(index), number(given, "value"))


def number(
    given: Mapping[str, Any],
    name: str,
    default: float | None = None,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float | None = None,
) -> float:
    """Read a finite number from a message.

    Raises
    ------
    UsageError
        When it is missing and has no default, or is out of its range.
    """
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"{_words(name)} must be a number, not {_shown(value)}.")
    if not least <= value <= most or (above is not None and value <= above):
        lower = f"above {above:g}" if above is not None else f"from {least:g}"
        raise UsageError(f"{_words(name)} must be {lower} to {most:g}, not {value:g}.")
    return float(value)


def whole(
    given: Mapping[str, Any],
    name: str,
    default: int | None,
    *,
    least: int = 0,
    most: int = 2**53,
) -> int | None:
    """Read a whole number, or None where nothing is given.

    Raises
    ------
    UsageError
    """
    value = given.get(name)
    if value is None:
        return default
    if type(value) is not int or not least <= value <= most:
        raise UsageError(
            f"{_words(name)} must be a whole number from {least:,} to {most:,}, not "
            f"{_shown(value)}."
        )
    return value


def count(
    given: Mapping[str, Any], name: str, default: int, *, least: int = 0, most: int = 2**53
) -> int:
    """Read a whole number that has a default.

    Raises
    ------
    UsageError
    """
    found = whole(given, name, default, least=least, most=most)
    return default if found is None else found


def text(given: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Read a text of bounded length.

    Raises
    ------
    UsageError
    """
    value = given.get(name, default)
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise UsageError(f"{_words(name)} must be a text of at most {LONGEST_TEXT:,} characters.")
    return value


def flag(given: Mapping[str, Any], name: str, default: bool) -> bool:
    """Read yes or no.

    Raises
    ------
    UsageError
    """
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise UsageError(f"{_words(name)} must be true or false, not {_shown(value)}.")
    return value


def choice(given: Mapping[str, Any], name: str, default: str, options: tuple[str, ...]) -> str:
    """Read one of a few words.

    Raises
    ------
    UsageError
    """
    value = given.get(name, default)
    if value not in options:
        raise UsageError(
            f"{_words(name)} must be one of {', '.join(options)}, not {_shown(value)}."
        )
    return str(value)


def values(given: object) -> dict[str, Any]:
    """Read the values of a formula's names: numbers, or nested lists of them.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> values({"w": 1, "x": [1.0, 2.0]})
    {'w': 1.0, 'x': [1.0, 2.0]}
    """
    if not isinstance(given, Mapping):
        raise UsageError("The values of a formula are an object: a number for each name.")
    found: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(name, str) or len(name) > 100:
            raise UsageError("The name of a value is too long.")
        found[name] = _value(name, value, [0], 0)
    return found


def _value(name: str, value: object, so_far: list[int], depth: int) -> Any:
    if isinstance(value, list):
        if depth >= DEEPEST_VALUE:
            raise UsageError(f"The value of {name} is nested too deeply; use at most 4 axes.")
        made = [_value(name, each, so_far, depth + 1) for each in value]
        if len({len(each) if isinstance(each, list) else -1 for each in made}) > 1:
            raise UsageError(f"The value of {name} is ragged; give rows of equal length.")
        return made
    so_far[0] += 1
    if so_far[0] > MOST_VALUES:
        raise UsageError(f"The value of {name} has more than {MOST_VALUES} numbers; give fewer.")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"The value of {name} holds {_shown(value)} where a number belongs.")
    return float(value)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(value: object) -> str:
    found = repr(value)
    return found if len(found) <= 40 else f"{found[:38]}…"
