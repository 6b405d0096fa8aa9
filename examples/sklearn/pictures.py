"""A sheet of small pictures as one SVG file: images, points and curves in rows of panels.

It takes panels and gives text; images are embedded as PNG, made with the standard library.
"""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

SIZE, GAP, HEAD = 150, 14, 22
BLUE, WHITE, RED = (33, 102, 172), (250, 250, 250), (178, 24, 43)
DASHES = ("", "6 3", "2 2", "8 2 2 2", "4 1", "1 3", "10 4")
COLOURS = ("#1b6ca8", "#c4453c", "#2e7d32", "#8e44ad", "#b8860b", "#00838f", "#6d4c41")


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes
    ----------
    title : str
    image : ndarray of shape (rows, columns) or None
        From −1 (blue) by 0 (white) to 1 (red).
    points : sequence of (x, y, class)
        Places from 0 to 1, y upward.
    curves : mapping of str to sequence of float
        Drawn over their positions, all to one scale.
    note : str
        Above it, to the right.
    """

    title: str = ""
    image: np.ndarray | None = None
    points: Sequence[tuple[float, float, int]] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    note: str = ""


def sheet(
    rows: Sequence[tuple[str, Sequence[Panel]]], title: str, legend: Sequence[str] = ()
) -> str:
    """Return an SVG of rows of panels, each row with its name, if it has one, above it."""
    across = max(len(each) for _, each in rows)
    width = GAP + across * (SIZE + GAP)
    parts, top = [], 48
    for k, name in enumerate(legend):
        x = GAP + (k % 4) * 180
        y = top + 18 * (k // 4)
        parts.append(f'<path d="M{x} {y}h22" {_stroke(k)}/>')
        parts.append(_text(x + 28, y + 4, name))
    top += 18 * -(-len(legend) // 4) + 8
    for name, panels in rows:
        if name:
            parts.append(_text(GAP, top + 12, name, weight="bold"))
            top += HEAD
        for k, panel in enumerate(panels):
            parts.append(_panel(panel, GAP + k * (SIZE + GAP), top))
        top += SIZE + HEAD + GAP
    head = _text(GAP, 22, title, size=16, weight="bold")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" '
        f'height="{top}" font-family="sans-serif"><title>{html.escape(title)}</title>'
        f'<rect width="100%" height="100%" fill="white"/>{head}{"".join(parts)}</svg>\n'
    )


def _panel(panel: Panel, x: float, y: float) -> str:
    parts = [f'<g transform="translate({x} {y})">', _text(0, 12, panel.title)]
    parts.append(_text(SIZE, 12, panel.note, anchor="end", weight="bold"))
    parts.append(f'<g transform="translate(0 {HEAD - 4})">')
    if panel.image is not None:
        parts.append(
            f'<image width="{SIZE}" height="{SIZE}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" href="{_png(panel.image)}"/>'
        )
    for px, py, group in panel.points:
        fill = COLOURS[1] if group else COLOURS[0]
        parts.append(
            f'<circle cx="{SIZE * px:.1f}" cy="{SIZE * (1 - py):.1f}" r="2.4" fill="{fill}" '
            f'stroke="white" stroke-width=".6"/>'
        )
    parts += _curves(panel.curves)
    parts.append(f'<rect width="{SIZE}" height="{SIZE}" fill="none" stroke="#888"/>')
    return "".join([*parts, "</g></g>"])


def _curves(curves: Mapping[str, Sequence[float]]) -> list[str]:
    if not curves:
        return []
    longest = max(len(each) for each in curves.values())
    high = max(max(each) for each in curves.values())
    found = []
    for k, each in enumerate(curves.values()):
        places = " ".join(
            f"{SIZE * i / max(longest - 1, 1):.1f},{SIZE * (1 - value / high):.1f}"
            for i, value in enumerate(each)
        )
        found.append(f'<polyline points="{places}" fill="none" {_stroke(k)}/>')
    return found


def _stroke(k: int) -> str:
    """A colour and a dash pattern, so that colour is not the only sign."""
    return f'stroke="{COLOURS[k]}" stroke-width="1.5" stroke-dasharray="{DASHES[k]}"'


def _text(
    x: float, y: float, text: str, size: int = 12, anchor: str = "start", weight: str = "normal"
) -> str:
    if not text:
        return ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{html.escape(text)}</text>'
    )


def _png(image: np.ndarray) -> str:
    """Return an image as a data address."""
    share = np.clip(np.asarray(image, float), -1.0, 1.0)[..., None]
    end = np.where(share < 0, np.array(BLUE), np.array(RED))
    pixels = (np.array(WHITE) + np.abs(share) * (end - np.array(WHITE))).astype(np.uint8)
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()
