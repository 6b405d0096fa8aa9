"""The picture of a results file: time per training step, a line per network, a mark per library.

It takes the cases of the table and gives a self-contained SVG that follows the reader's light or
dark theme; a library is told by the shape of its mark and by its name in the key, not by colour
alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.analysis import best_rows

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 190, 24, 74, 34
LIBRARIES = {
    "Backlight": "circle",
    "JAX scan": "square",
    "PyTorch eager": "diamond",
    "PyTorch compile": "triangle",
    "scikit-learn": "cross",
}
STYLE = """
svg { font: 13px system-ui, sans-serif; }
text { fill: #1f2933; } .quiet { fill: #52606d; } .line { stroke: #cbd2d9; }
.limit { stroke: #52606d; stroke-width: 2; }
.m0 { fill: #b3261e; stroke: #b3261e; } .m1 { fill: #1b66c9; stroke: #1b66c9; }
.m2 { fill: none; stroke: #8a5a00; stroke-width: 2; }
.m3 { fill: none; stroke: #6d3fb0; stroke-width: 2; }
.m4 { fill: none; stroke: #00695c; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f4f8; } .quiet { fill: #bcccdc; } .line { stroke: #486581; }
.limit { stroke: #bcccdc; }
.m0 { fill: #ff8a80; stroke: #ff8a80; } .m1 { fill: #82b1ff; stroke: #82b1ff; }
.m2 { stroke: #ffcc66; } .m3 { stroke: #c9a7ff; } .m4 { stroke: #5fd3c1; } }
"""


def picture(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the SVG; a case that has no measurement is left out."""
    shown = [case for case in cases if best_rows(case)]
    times = [value for case in shown for value in _times(case).values()]
    times += [case["limit_microseconds"] for case in shown if "limit_microseconds" in case]
    low = 10.0 ** math.floor(math.log10(min(times, default=1.0)))
    high = 10.0 ** math.ceil(math.log10(max(times, default=10.0)))
    height = TOP + ROW * len(shown) + 44
    span = math.log(max(high / low, 10.0))

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / low) / span

    described = "; ".join(
        f"{_label(case)}: " + ", ".join(f"{k} {v:.3g}" for k, v in _times(case).items())
        for case in shown
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="title description">',
        "<title id='title'>Microseconds per training step</title>",
        f"<desc id='description'>{escape(described)}</desc>",
        f"<style>{STYLE}</style>",
        '<text x="8" y="20" font-weight="600">Microseconds per training step (less is better)'
        "</text>",
        *_key(shown),
    ]
    decade = low
    while decade <= high * 1.001:
        at = x(decade)
        parts.append(
            f'<line class="line" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 10}" y2="{height - 36}"/>'
            f'<text class="quiet" x="{at:.1f}" y="{height - 16}" text-anchor="middle">'
            f"{decade:,g}</text>"
        )
        decade *= 10
    for k, case in enumerate(shown):
        y = TOP + ROW * k + ROW / 2
        parts.append(f'<text x="8" y="{y + 4:.1f}">{escape(_label(case))}</text>')
        parts.append(f'<line class="line" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        if "limit_microseconds" in case:
            at = x(case["limit_microseconds"])
            parts.append(
                f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 11}" y2="{y + 11}"/>'
            )
        for name, value in reversed(_times(case).items()):
            parts.append(_mark(name, x(value), y))
    return "\n".join([*parts, "</svg>", ""])


def _times(case: Mapping[str, Any]) -> dict[str, float]:
    rows = best_rows(case)
    return {
        name: statistics.median(rows[name]["microseconds"]) for name in LIBRARIES if name in rows
    }


def _label(case: Mapping[str, Any]) -> str:
    network = case["network"]
    optimizer = {"sgd": "SGD", "adam": "Adam"}[network["optimizer"]]
    return f"{network['name']}, {optimizer}"


def _key(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [name for name in LIBRARIES if any(name in _times(case) for case in cases)]
    parts, at = [], 14.0
    for name in names:
        parts.append(_mark(name, at, 42))
        parts.append(f'<text x="{at + 12:.1f}" y="46">{escape(name)}</text>')
        at += 34 + 7.2 * len(name)
    if any("limit_microseconds" in case for case in cases):
        parts.append(f'<line class="limit" x1="{at}" x2="{at}" y1="32" y2="52"/>')
        parts.append(f'<text x="{at + 8:.1f}" y="46">the limit</text>')
    return parts


def _mark(name: str, x: float, y: float) -> str:
    kind = LIBRARIES[name]
    css = f'class="m{list(LIBRARIES).index(name)}"'
    if kind == "circle":
        return f'<circle {css} cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
    if kind == "square":
        return f'<rect {css} x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>'
    corners = {
        "diamond": [(0, -7), (7, 0), (0, 7), (-7, 0)],
        "triangle": [(0, -6), (6, 5), (-6, 5)],
    }.get(kind)
    if corners is not None:
        points = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in corners)
        return f'<polygon {css} points="{points}"/>'
    return f'<path {css} d="M{x - 5:.1f},{y - 5:.1f}l10,10m0,-10l-10,10"/>'
