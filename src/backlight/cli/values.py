"""Reads what is typed behind ``--at`` and ``--wrt``: ``w=1``, ``x=[1, 2, 3]``, ``w[0,2]``.

Each reader takes the text and gives NumPy values or a name with an index; none evaluates code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from backlight.errors import UsageError

MAX_LENGTH = 20_000
MAX_DEPTH = 8

Values = Mapping[str, npt.NDArray[np.float64]]
Nested = float | list["Nested"]

_PART = re.compile(r"\s*(?:(?P<sign>[\[\],])|(?P<number>[^\[\],\s]+))\s*")
_INDEXED = re.compile(r"(?P<name>[^\[\]]+?)\s*(?:\[(?P<index>[^\[\]]*)\])?\s*")


def read_values(assignments: Iterable[str]) -> dict[str, npt.NDArray[np.float64]]:
    """Read ``name=value`` pairs into float64 scalars and arrays.

    Raises
    ------
    UsageError
        When a pair has no ``=``, a name stands twice, or a value is not a finite number or a
        rectangular nested list of them.

    Examples
    --------
    >>> read_values(["w=1", "x=[[1, 2], [3, 4]]"])["x"].shape
    (2, 2)
    """
    found: dict[str, npt.NDArray[np.float64]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name or not text.strip():
            raise UsageError(
                f"--at {assignment[:60]} is not of the form name=value; write, for example, "
                "--at w=1 or --at x=[1,2,3]."
            )
        if name in found:
            raise UsageError(f"--at gives {name!r} twice; give each name one value.")
        found[name] = _array(name, text)
    return found


def _array(name: str, text: str) -> npt.NDArray[np.float64]:
    if len(text) > MAX_LENGTH:
        raise UsageError(
            f"The value of {name!r} has {len(text)} characters; give at most {MAX_LENGTH}."
        )
    nested = _nested(name, text)
    try:
        array = np.array(nested, dtype=np.float64)
    except ValueError:
        raise UsageError(
            f"The value of {name!r} is ragged; give rows of equal length, as in [[1,2],[3,4]]."
        ) from None
    if not np.isfinite(array).all():
        raise UsageError(f"The value of {name!r} is not finite; give ordinary numbers.")
    return array


def _nested(name: str, text: str) -> Nested:
    """Read a number or nested lists of numbers, with a stack instead of recursion."""
    whole: list[Nested] = []
    stack: list[list[Nested]] = [whole]
    position, wants_value = 0, True
    while position < len(text):
        found = _PART.match(text, position)
        if found is None:
            break
        position = found.end()
        sign, number = found["sign"], found["number"]
        if number is not None and wants_value:
            stack[-1].append(_number(name, number))
            wants_value = False
        elif sign == "[" and wants_value:
            if len(stack) > MAX_DEPTH:
                raise UsageError(
                    f"The value of {name!r} is nested too deeply; use at most {MAX_DEPTH} axes."
                )
            inner: list[Nested] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif sign == "]" and len(stack) > 1 and (not wants_value or not stack[-1]):
            stack.pop()
            wants_value = False
        elif sign == "," and len(stack) > 1 and not wants_value:
            wants_value = True
        else:
            break
    else:
        if len(stack) == 1 and len(whole) == 1:
            return whole[0]
    raise UsageError(
        f"The value {text.strip()[:60]!r} of {name!r} cannot be read; give a number or a list "
        "such as [1,2,3] or [[1,2],[3,4]]."
    )


def _number(name: str, text: str) -> float:
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        raise UsageError(
            f"The value of {name!r} has {text[:40]!r} where a number belongs; write 1, -2.5 or "
            "1e-3."
        ) from None


def read_entry(text: str, option: str) -> tuple[str, tuple[int, ...] | None]:
    """Read a name with or without an index.

    Raises
    ------
    UsageError
        When the index is not made of whole numbers.

    Examples
    --------
    >>> read_entry("layers.0.weight[3, 1]", "--weight")
    ('layers.0.weight', (3, 1))
    >>> read_entry("w", "--wrt")
    ('w', None)
    """
    found = _INDEXED.fullmatch(text.strip())
    if found is not None and found["index"] is None:
        return found["name"], None
    if found is not None:
        parts = [each.strip() for each in found["index"].split(",")]
        if all(re.fullmatch(r"-?[0-9]{1,9}", each) for each in parts):
            return found["name"], tuple(int(each) for each in parts)
    raise UsageError(
        f"{option} {text[:60]} is not a name with whole numbers in brackets; write, for example, "
        f"{option} layers.0.weight[3,1]."
    )


def check_given(names: Sequence[str], values: Values) -> None:
    """Raise unless every name of a formula has its value, and only those have.

    Raises
    ------
    UsageError
        Naming the names and what to type.
    """
    missing = [name for name in names if name not in values]
    if missing:
        remedy = " ".join(f"--at {name}=…" for name in missing)
        listed = ", ".join(repr(name) for name in missing)
        run = "" if values else " (or, where a run was meant, give the folder it was saved to)"
        raise UsageError(f"The formula needs values for {listed}; add {remedy}{run}.")
    unknown = [name for name in values if name not in names]
    if unknown:
        known = ", ".join(repr(name) for name in names) or "none"
        raise UsageError(
            f"--at gives {unknown[0]!r}, which is not in the formula; its names are {known}."
        )
