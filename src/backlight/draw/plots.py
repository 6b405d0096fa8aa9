"""Curves as self-contained SVG: the loss of a run, a function and its derivative.

Each curve has a colour, a dash pattern and a marker of its own, and its name beside its end, so
that colour is never the only sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.draw.measure import LINE_SIZE, TITLE_SIZE, shorten, text_width
from backlight.draw.svg import assemble, escape, escape_lines, number
from backlight.draw.theme import DARK, FONT, LIGHT, Palette, ThemeName, themed
from backlight.draw.ticks import Axis, linear_axis, log_axis
from backlight.draw.words import number_text
from backlight.errors import UsageError

_WIDTH, _HEIGHT = 640.0, 380.0
_TOP, _BOTTOM = 44.0, 56.0
_LABEL_ROOM = 180.0
_SAMPLES = 801
_LARGEST = 1e300  # beyond it the width of an axis could overflow
_MOST_POINTS = 1200
_DASHES = ("", "7 4", "2 3", "9 3 2 3")
_MARKER_SHAPES = 6
_MARKERS_A_CURVE = 6

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the curves are drawn."""

    x: Axis
    y: Axis
    left: float
    right: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point in the picture."""
        return (
            self.left + (self.right - self.left) * self.x.share(x),
            _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * self.y.share(y),
        )


def line_plot(
    series: Mapping[str, Points],
    title: str,
    x_label: str,
    y_label: str,
    log_y: bool = False,
    *,
    theme: ThemeName = "auto",
) -> str:
    """Draw named curves, such as the losses of a run.

    Parameters
    ----------
    series : mapping of str to sequence of (float, float)
        The points of each curve in the order in which they are joined.  A point that is not
        finite, or not positive on a logarithmic axis, makes a gap, and the plot says how many
        there are.
    title, x_label, y_label : str
    log_y : bool
        Whether the vertical axis is logarithmic.
    theme : {"auto", "light", "dark"}

    Returns
    -------
    str
        A whole ``<svg>`` element.

    Raises
    ------
    UsageError
        When a point is not a pair, or for another theme.

    Examples
    --------
    >>> svg = line_plot({"training": [(0, 2.3), (1, 0.9)]}, "Loss", "epoch", "loss", log_y=True)
    >>> svg.startswith("<svg") and "training" in svg
    True
    """
    curves = {name: _as_points(name, points) for name, points in series.items()}
    kept = {name: _split(points, log_y) for name, points in curves.items()}
    lost = sum(
        len(points) - sum(len(piece) for piece in kept[name]) for name, points in curves.items()
    )
    note = ""
    if lost:
        why = "not finite or not positive" if log_y else "not finite"
        note = f"{lost:,} of {sum(map(len, curves.values())):,} points are {why} and left out."
    return _plot(kept, title, x_label, y_label, log_y, note, theme)


def function_plot(
    functions: Mapping[str, Callable[[np.ndarray[Any, np.dtype[np.float64]]], Any]],
    title: str,
    *,
    low: float = -4.0,
    high: float = 4.0,
    x_label: str = "x",
    y_label: str = "",
    theme: ThemeName = "auto",
) -> str:
    """Draw functions of one variable, such as an activation and its derivative.

    Parameters
    ----------
    functions : mapping of str to callable
        Each takes an array of float64 and returns an array of the same shape.
    title : str
    low, high : float
        The interval.
    x_label, y_label : str
    theme : {"auto", "light", "dark"}

    Returns
    -------
    str
        A whole ``<svg>`` element.  Where a function jumps, its curve is interrupted.

    Raises
    ------
    UsageError
        When ``low < high`` does not hold, or a function returns another shape.

    Examples
    --------
    >>> import numpy as np
    >>> svg = function_plot({"tanh": np.tanh, "tanh′": lambda x: 1 - np.tanh(x) ** 2}, "tanh")
    >>> svg.count('class="curve')
    2
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"function_plot needs low < high, and got {low} and {high}.")
    x = np.linspace(low, high, _SAMPLES)
    curves: dict[str, list[list[tuple[float, float]]]] = {}
    for name, function in functions.items():
        with np.errstate(all="ignore"):
            y = np.asarray(function(x.copy()), dtype=np.float64)
        if y.shape != x.shape:
            raise UsageError(
                f"The function {name!r} returned shape {y.shape} for shape {x.shape}; it must "
                f"work entry by entry."
            )
        pieces = _split(list(zip(x.tolist(), y.tolist(), strict=True)), log=False)
        curves[name] = [part for piece in pieces for part in _cut_at_jumps(piece)]
    return _plot(curves, title, x_label, y_label, False, "", theme)


def _as_points(name: str, points: Points) -> list[tuple[float, float]]:
    try:
        return [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError):
        raise UsageError(f"The series {name!r} must be a sequence of pairs (x, y).") from None


def _split(points: Points, log: bool) -> list[list[tuple[float, float]]]:
    """Cut a curve where points cannot be drawn."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if abs(x) < _LARGEST and abs(y) < _LARGEST and (y > 0.0 or not log):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _cut_at_jumps(piece: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Cut a finely sampled curve where one step is far larger than the steps around it."""
    heights = [y for _, y in piece]
    span = max(heights) - min(heights)
    parts = [[piece[0]]]
    for k in range(1, len(piece)):
        step = abs(heights[k] - heights[k - 1])
        near = [abs(heights[j] - heights[j - 1]) for j in (k - 1, k + 1) if 0 < j < len(piece)]
        if step > 0.05 * span and step > 5.0 * max(near, default=0.0):
            parts.append([])
        parts[-1].append(piece[k])
    return parts


# ── the picture ──────────────────────────────────────────────────────────────────────────────────


def _plot(
    curves: Mapping[str, list[list[tuple[float, float]]]],
    title: str,
    x_label: str,
    y_label: str,
    log_y: bool,
    note: str,
    theme: ThemeName,
) -> str:
    points = [point for pieces in curves.values() for piece in pieces for point in piece]
    xs = [x for x, _ in points] or [0.0, 1.0]
    ys = [y for _, y in points] or ([1.0] if log_y else [0.0, 1.0])
    x_axis = linear_axis(min(xs), max(xs))
    y_axis = log_axis(min(ys), max(ys)) if log_y else linear_axis(min(ys), max(ys))
    names = {name: shorten(name, _LABEL_ROOM, LINE_SIZE) for name in curves}
    label_width = max((text_width(each, LINE_SIZE) for each in names.values()), default=0.0)
    tick_width = max(text_width(each, LINE_SIZE) for each in y_axis.labels)
    left = 34.0 + tick_width + (LINE_SIZE if y_label else 0.0)
    frame = _Frame(x_axis, y_axis, left, _WIDTH - 46.0 - label_width)
    parts = [*_axes(frame, title, x_label, y_label)]
    for k, pieces in enumerate(curves.values()):
        parts += _curve(frame, pieces, k)
    parts += _names(frame, curves, names)
    height = _HEIGHT
    if not points:
        middle = (frame.left + frame.right) / 2
        parts.append(_text(middle, _HEIGHT / 2 - 24.0, "no points yet", "muted", "middle"))
    if note:
        parts.append(_text(frame.left, _HEIGHT + 4.0, note, "muted", "start"))
        height += 18.0
    words = _describe(curves, x_label, y_label, log_y, note)
    size = (_WIDTH, height)
    return assemble(title, escape_lines(words), "\n".join(parts), size, _rules(theme), "plot")


def _axes(frame: _Frame, title: str, x_label: str, y_label: str) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    shown = shorten(title, _WIDTH - frame.left - 16.0, TITLE_SIZE, bold=True)
    parts = [_text(frame.left, 24.0, shown, "title", "start")]
    for tick, label in zip(frame.y.ticks, frame.y.labels, strict=True):
        y = bottom - (bottom - _TOP) * (tick - frame.y.low) / (frame.y.high - frame.y.low)
        cls = "zero" if tick == 0.0 and not frame.y.log else "grid"
        parts.append(_line(frame.left, y, frame.right, y, cls))
        parts.append(_text(frame.left - 8.0, y + 4.0, label, "muted", "end"))
    for tick, label in zip(frame.x.ticks, frame.x.labels, strict=True):
        x = frame.left + (frame.right - frame.left) * frame.x.share(tick)
        cls = "zero" if tick == 0.0 and frame.x.low < 0.0 else "grid"
        parts.append(_line(x, _TOP, x, bottom, cls))
        parts.append(_text(x, bottom + 18.0, label, "muted", "middle"))
    parts.append(_line(frame.left, bottom, frame.right, bottom, "axis"))
    parts.append(_line(frame.left, _TOP, frame.left, bottom, "axis"))
    middle = (frame.left + frame.right) / 2
    parts.append(_text(middle, bottom + 40.0, x_label, "value", "middle"))
    if y_label:
        half = (bottom + _TOP) / 2
        parts.append(
            f'<text class="value" text-anchor="middle" '
            f'transform="translate(18 {number(half)}) rotate(-90)">{escape(y_label)}</text>'
        )
    return parts


def _curve(frame: _Frame, pieces: Sequence[Points], k: int) -> list[str]:
    """Draw a curve as one path, with a few markers along it."""
    placed = [[frame.at(x, y) for x, y in _thin(piece)] for piece in pieces]
    path = "".join(
        f"{'M' if j == 0 else 'L'}{number(x)} {number(y)}"
        for piece in placed
        for j, (x, y) in enumerate(piece)
    )
    style = f"series{k % len(LIGHT.series)}"
    dash = _DASHES[k % len(_DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    parts = [f'<path class="curve {style}" d="{path}"{dashes}/>'] if path else []
    flat = [point for piece in placed for point in piece]
    count = min(_MARKERS_A_CURVE, len(flat))
    # Different curves get their markers at different places, so that they do not hide each other.
    shift = 0.5 + 0.13 * (k % 4)
    for j in range(count):
        spot = min(int((j + shift) * len(flat) / count), len(flat) - 1)
        parts.append(_marker(*flat[spot], k, style))
    return parts


def _marker(x: float, y: float, k: int, style: str) -> str:
    """Draw the mark of the k-th curve: a disc, square, triangle, diamond, ring or cross."""
    r = 4.0
    shape = k % _MARKER_SHAPES
    if shape in (0, 4):
        cls = f"mark {style}" if shape == 0 else f"ring {style}"
        return f'<circle class="{cls}" cx="{number(x)}" cy="{number(y)}" r="{number(r)}"/>'
    offsets = {
        1: ((-r, -r), (r, -r), (r, r), (-r, r)),
        2: ((0.0, -r - 1), (r + 1, r), (-r - 1, r)),
        3: ((0.0, -r - 1.5), (r + 1.5, 0.0), (0.0, r + 1.5), (-r - 1.5, 0.0)),
        5: ((-r, -r), (0, -1), (r, -r), (1, 0), (r, r), (0, 1), (-r, r), (-1, 0)),
    }[shape]
    corners = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in offsets)
    return f'<polygon class="mark {style}" points="{corners}"/>'


def _thin(piece: Points) -> Points:
    """Keep the ends, least and greatest of each stretch of a curve with very many points."""
    if len(piece) <= _MOST_POINTS:
        return piece
    size = math.ceil(4 * len(piece) / _MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for begin in range(0, len(piece), size):
        stretch = range(begin, min(begin + size, len(piece)))
        low = min(stretch, key=lambda j: piece[j][1])
        high = max(stretch, key=lambda j: piece[j][1])
        kept += [piece[j] for j in sorted({stretch[0], low, high, stretch[-1]})]
    return kept


def _names(
    frame: _Frame,
    curves: Mapping[str, list[list[tuple[float, float]]]],
    names: Mapping[str, str],
) -> list[str]:
    """Write each curve's name beside its end, moved apart where they would overlap."""
    ends = [
        (frame.at(*pieces[-1][-1])[1], k, names[name])
        for k, (name, pieces) in enumerate(curves.items())
        if pieces
    ]
    lowest = _HEIGHT - _BOTTOM
    parts = []
    spots: list[float] = []
    for y, _, _ in sorted(ends):
        spots.append(max(y, spots[-1] + 17.0) if spots else y)
    for j in range(len(spots) - 1, -1, -1):
        spots[j] = min(spots[j], spots[j + 1] - 17.0 if j + 1 < len(spots) else lowest)
    x = frame.right + 14.0
    for spot, (_, k, name) in zip(spots, sorted(ends), strict=True):
        parts.append(_marker(x, spot, k, f"series{k % len(LIGHT.series)}"))
        parts.append(_text(x + 10.0, spot + 4.0, name, "value", "start"))
    return parts


def _describe(
    curves: Mapping[str, list[list[tuple[float, float]]]],
    x_label: str,
    y_label: str,
    log_y: bool,
    note: str,
) -> str:
    """Say in words what the plot shows."""
    scale = ", logarithmic" if log_y else ""
    lines = [f"Across: {x_label}. Up: {y_label or 'value'}{scale}."]
    for name, pieces in curves.items():
        points = [point for piece in pieces for point in piece]
        if not points:
            lines.append(f"{name}: no points.")
            continue
        (x0, y0), (x1, y1) = points[0], points[-1]
        ys = [y for _, y in points]
        lines.append(
            f"{name}: {number_text(y0)} at {number_text(x0)}, {number_text(y1)} at "
            f"{number_text(x1)}, between {number_text(min(ys))} and {number_text(max(ys))}."
        )
    return "\n".join([*lines, note] if note else lines)


def _text(x: float, y: float, text: str, cls: str, anchor: str) -> str:
    return (
        f'<text class="{cls}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, cls: str) -> str:
    ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
    return f'<line class="{cls}" {ends}/>'


def _rules(theme: ThemeName) -> str:
    fixed = (
        f"#@@ text{{font-family:{FONT};font-size:{number(LINE_SIZE)}px}}"
        f"#@@ .title{{font-size:{number(TITLE_SIZE)}px;font-weight:600}}"
        "#@@ .curve{fill:none;stroke-width:2px;stroke-linejoin:round}"
        "#@@ .ring{stroke-width:2px}#@@ .grid{stroke-width:1px}"
        "#@@ .zero,#@@ .axis{stroke-width:1.3px}"
    )
    return fixed + themed(theme, {"light": _colours(LIGHT), "dark": _colours(DARK)})


def _colours(palette: Palette) -> str:
    series = "".join(
        f"#@@ .curve.series{k}{{stroke:{colour}}}#@@ .mark.series{k}{{fill:{colour}}}"
        f"#@@ .ring.series{k}{{stroke:{colour};fill:{palette.paper}}}"
        for k, colour in enumerate(palette.series)
    )
    return (
        f"#@@ .paper{{fill:{palette.paper}}}#@@ text{{fill:{palette.ink}}}"
        f"#@@ .muted{{fill:{palette.muted}}}#@@ .grid{{stroke:{palette.grid}}}"
        f"#@@ .zero,#@@ .axis{{stroke:{palette.line}}}{series}"
    )
