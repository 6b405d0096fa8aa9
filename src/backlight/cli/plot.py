"""Curves in a terminal: drawn with braille dots, or with plain signs where there are none.

It takes named curves and gives lines of text.  One curve is drawn in dots of 2×4 to a character;
several have a sign of their own each, so that colour is never the only way to tell them apart.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from backlight.draw.words import number_text

SIGNS = "•×+○□△"
PLAIN_SIGNS = "*x+o#^"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EMPTY = 0x2800
_LEAST, _MOST = 30, 100

Points = Sequence[tuple[float, float]]


def speaks_unicode() -> bool:
    """Tell whether stdout can take braille."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def plot(
    curves: Mapping[str, Points],
    *,
    x_label: str = "epoch",
    width: int | None = None,
    height: int = 10,
    log_y: bool = False,
    unicode: bool = True,
) -> list[str]:
    """Draw curves as lines of text.

    Parameters
    ----------
    curves : mapping of str to sequence of (float, float)
        Points that are not finite (or not positive, on a logarithmic axis) are left out.
    x_label : str
    width : int, optional
        In characters; that of the terminal by default.
    height : int
    log_y : bool
    unicode : bool
        Otherwise only ASCII is used.

    Returns
    -------
    list of str
        Without line ends.

    Examples
    --------
    >>> for line in plot({"loss": [(0, 4.0), (1, 2.0), (2, 1.0), (3, 0.0)]}, width=24, height=2,
    ...                  unicode=False):
    ...     print(line)
    4 |*    *
    0 |          *         *
      +----------------------
       epoch 0 to 3: loss *
    """
    kept = {name: _finite(points, log_y) for name, points in curves.items()}
    every = [point for points in kept.values() for point in points]
    if not every:
        return ["(no finite numbers to plot)"]
    if width is None:
        width = shutil.get_terminal_size((80, 24)).columns - 1
    xs, ys = [x for x, _ in every], [_height(y, log_y) for _, y in every]
    low, high = min(ys), max(ys)
    labels = [number_text(_value(each, log_y)) for each in (high, low)]
    margin = max(map(len, labels))
    columns = max(min(width, _MOST) - margin - 3, _LEAST if width > _LEAST + 12 else 8)
    frame = (min(xs), max(xs), low, high)
    if unicode and len(kept) == 1:
        rows, signs = _braille(next(iter(kept.values())), frame, columns, height, log_y), [""]
    else:
        known = SIGNS if unicode else PLAIN_SIGNS
        signs = [f" {known[k % len(known)]}" for k in range(len(kept))]
        rows = _signs(list(kept.values()), [each[1] for each in signs], frame, columns, height,
                      log_y)  # fmt: skip
    bar, corner, dash = ("│", "└", "─") if unicode else ("|", "+", "-")
    lines = []
    for k, row in enumerate(rows):
        label = labels[0] if k == 0 else labels[1] if k == height - 1 else ""
        lines.append(f"{label:>{margin}} {bar}{row.rstrip()}".rstrip())
    lines.append(f"{'':{margin}} {corner}{dash * (columns + 2)}")
    named = ", ".join(f"{name}{sign}" for name, sign in zip(kept, signs, strict=True))
    scale = ", logarithmic" if log_y else ""
    first, last = (number_text(each) for each in frame[:2])
    lines.append(f"{'':{margin}}  {x_label} {first} to {last}: {named}{scale}")
    # Numbers are written with a real minus sign.
    return lines if unicode else [line.replace("−", "-") for line in lines]


def _finite(points: Points, log_y: bool) -> list[tuple[float, float]]:
    return [
        (float(x), float(y))
        for x, y in points
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log_y)
    ]


def _height(y: float, log_y: bool) -> float:
    return math.log10(y) if log_y else y


def _value(height: float, log_y: bool) -> float:
    return 10.0**height if log_y else height


def _places(
    points: Points, frame: tuple[float, ...], columns: int, rows: int, log_y: bool
) -> list[tuple[int, int]]:
    """Return the column and row of each point, the first row on top."""
    left, right, low, high = frame
    found = []
    for x, y in points:
        across = 0.0 if right == left else (x - left) / (right - left)
        # Halves first: the difference of two huge numbers may overflow.
        up = 0.5 if high == low else (_height(y, log_y) / 2 - low / 2) / (high / 2 - low / 2)
        found.append((round(across * (columns - 1)), round((1.0 - up) * (rows - 1))))
    return found


def _braille(
    points: Points, frame: tuple[float, ...], columns: int, rows: int, log_y: bool
) -> list[str]:
    cells = np.full((rows, columns), _EMPTY)
    places = _places(points, frame, 2 * columns, 4 * rows, log_y)
    before = places[:1]
    for place in places:
        for column, row in _between(before[0], place):
            cells[row // 4, column // 2] |= _DOTS[row % 4][column % 2]
        before = [place]
    return ["".join(" " if each == _EMPTY else chr(each) for each in row) for row in cells]


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the dots of a straight line."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    if steps == 0:
        return [end]
    return [
        (
            round(start[0] + (end[0] - start[0]) * k / steps),
            round(start[1] + (end[1] - start[1]) * k / steps),
        )
        for k in range(steps + 1)
    ]


def _signs(
    curves: Sequence[Points],
    signs: Sequence[str],
    frame: tuple[float, ...],
    columns: int,
    rows: int,
    log_y: bool,
) -> list[str]:
    cells = [[" "] * columns for _ in range(rows)]
    for points, sign in zip(curves, signs, strict=True):
        for column, row in _places(points, frame, columns, rows, log_y):
            cells[row][column] = sign
    return ["".join(row) for row in cells]
