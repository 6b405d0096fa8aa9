"""From positions to SVG: one self-contained text, with its style, legend and description.

Nothing outside the file is referred to.  The same layout always gives the same text, and every
rule and id carries a mark made from the contents, so that several drawings fit on one page.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from itertools import pairwise

from backlight.draw.layout import (
    LINE_HEIGHT,
    MARGIN,
    PADDING,
    RULE_HEIGHT,
    TITLE_HEIGHT,
    Layout,
    PlacedBox,
    PlacedEdge,
    Point,
    text_height,
)
from backlight.draw.measure import LINE_SIZE, TITLE_SIZE, printable, text_width
from backlight.draw.picture import KIND_WORDS, BoxKind
from backlight.draw.theme import DARK, FONT, LIGHT, Palette, ThemeName, themed

_LEAST_WIDTH = 340.0
_FITS_A_PAGE = 1200.0
_ROUND: dict[BoxKind, float] = {"leaf-input": 17.0, "leaf-parameter": 4.0, "constant": 4.0}
_KINDS: tuple[BoxKind, ...] = tuple(KIND_WORDS)


def number(value: float) -> str:
    """Write a coordinate with at most one decimal."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def escape(text: str) -> str:
    """Write text so that it is only text inside XML, whatever it holds."""
    return html.escape(printable(text), quote=True)


def to_svg(layout: Layout, theme: ThemeName = "auto") -> str:
    """Write a layout as SVG.

    Parameters
    ----------
    layout : Layout
    theme : {"auto", "light", "dark"}
        ``"auto"`` holds both themes and follows the viewer's ``prefers-color-scheme``.

    Returns
    -------
    str
        A whole ``<svg>`` element, without an XML declaration, so that it can stand in HTML.

    Raises
    ------
    UsageError
        For another theme.

    Examples
    --------
    >>> from backlight.draw.layout import layout
    >>> from backlight.draw.picture import Box, Picture
    >>> to_svg(layout(Picture((Box("a", "x < 1"),), ())))[:4]
    '<svg'
    """
    footer, footer_width, footer_height = _footer(layout)
    width = max(layout.width, footer_width, _LEAST_WIDTH)
    height = layout.height + footer_height
    body = "\n".join(
        [
            f'<g transform="translate({number((width - layout.width) / 2)} 0)">',
            *_arrows(layout),
            *(_box(each) for each in layout.boxes),
            *(_label(each, layout) for each in layout.edges if each.edge.label),
            f'</g><g transform="translate(0 {number(layout.height)})">',
            *footer,
            "</g>",
        ]
    )
    words = escape_lines(layout.picture.describe())
    return assemble(layout.picture.title, words, body, (width, height), _rules(theme), "drawing")


def assemble(
    title: str,
    description: str,
    body: str,
    size: tuple[float, float],
    rules: str,
    what: str,
) -> str:
    """Put title, description, style and body into one ``<svg>`` element.

    Parameters
    ----------
    title : str
        Not yet escaped.
    description, body : str
        Escaped.
    rules : str
        A style sheet; every ``@@`` in it is replaced by the drawing's own id.
    size : pair of float
    what : str
        Names the element's class: ``drawing`` or ``plot``.
    """
    title = escape(title)
    digest = hashlib.sha256("\n".join((title, description, body, rules)).encode()).hexdigest()
    mark = f"backlight-{digest[:10]}"
    width, height = (number(each) for each in size)
    fit = ' style="max-width:100%;height:auto"' if size[0] <= _FITS_A_PAGE else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{mark}" class="backlight-{what}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"{fit} role="img" '
        f'aria-labelledby="{mark}-title" aria-describedby="{mark}-desc">\n'
        f'<title id="{mark}-title">{title}</title>\n'
        f'<desc id="{mark}-desc">{description}</desc>\n'
        f"<style>{rules.replace('@@', mark)}</style>\n"
        f'<rect class="paper" width="{width}" height="{height}"/>\n'
        f"{body}\n</svg>\n"
    )


def escape_lines(text: str) -> str:
    """Escape text but keep its lines apart."""
    return "\n".join(escape(line) for line in text.splitlines())


# ── style ────────────────────────────────────────────────────────────────────────────────────────


def _rules(theme: ThemeName) -> str:
    fixed = (
        f"#@@ text{{font-family:{FONT};font-size:{number(LINE_SIZE)}px}}"
        f"#@@ .title{{font-size:{number(TITLE_SIZE)}px;font-weight:600}}"
        "#@@ .gradient,#@@ .label{font-style:italic}"
        "#@@ .label{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}"
        "#@@ .box{stroke-width:1.4px}#@@ .leaf-parameter{stroke-width:2.4px}"
        "#@@ .output{stroke-width:3px}#@@ .constant{stroke-dasharray:5 3}"
        "#@@ .elided{stroke-dasharray:2 3}"
        "#@@ .rule{stroke-width:1px;stroke-dasharray:3 3}"
        "#@@ .edge{fill:none;stroke-width:1.5px}#@@ .edge.lit{stroke-width:3.4px}"
        "#@@ .box.lit{stroke-width:4px}"
    )
    return fixed + themed(theme, {"light": _colours(LIGHT), "dark": _colours(DARK)})


def _colours(palette: Palette) -> str:
    kinds = "".join(
        f"#@@ .{kind}{{fill:{palette.fill[kind]};stroke:{palette.border[kind]}}}" for kind in _KINDS
    )
    return (
        f"#@@ .paper{{fill:{palette.paper}}}#@@ text{{fill:{palette.ink}}}"
        f"#@@ .note{{fill:{palette.muted}}}#@@ .gradient{{fill:{palette.gradient}}}"
        f"#@@ .label{{fill:{palette.gradient};stroke:{palette.paper}}}"
        f"#@@ .rule{{stroke:{palette.gradient}}}"
        f"#@@ .edge{{stroke:{palette.line}}}#@@ .head{{fill:{palette.line}}}"
        f"{kinds}"
        f"#@@ .edge.lit,#@@ .box.lit{{stroke:{palette.highlight}}}"
        f"#@@ .head.lit{{fill:{palette.highlight}}}"
    )


# ── boxes ────────────────────────────────────────────────────────────────────────────────────────


def _box(placed: PlacedBox) -> str:
    lit = placed.box.highlighted
    top = placed.y + (placed.height - text_height(placed.lines)) / 2
    middle = placed.x + placed.width / 2
    whole = "\n".join((placed.box.title, *(line.text for line in placed.box.lines)))
    parts = [
        f"<g><title>{escape_lines(whole)}</title>",
        _outline(placed.box.kind, placed.x, placed.y, placed.width, placed.height, lit=lit),
        _text(middle, top + 14.5, placed.title, "title"),
    ]
    base = top + TITLE_HEIGHT
    ruled = False
    for line in placed.lines:
        if line.role == "gradient" and not ruled:
            x = (number(placed.x + PADDING / 2), number(placed.x + placed.width - PADDING / 2))
            y = number(base + 3.0)
            parts.append(f'<line class="rule" x1="{x[0]}" y1="{y}" x2="{x[1]}" y2="{y}"/>')
            base += RULE_HEIGHT
            ruled = True
        parts.append(_text(middle, base + 13.0, line.text, line.role))
        base += LINE_HEIGHT
    return "".join([*parts, "</g>"])


def _outline(
    kind: BoxKind, x: float, y: float, width: float, height: float, *, lit: bool = False
) -> str:
    """Draw a box's shape: folded ones look like a stack of sheets, inputs have round ends."""
    radius = min(_ROUND.get(kind, 8.0), height / 2)
    cls = f"box {kind} lit" if lit else f"box {kind}"
    sheets = ((4.0, 4.0), (0.0, 0.0)) if kind in ("module", "composite", "elided") else ((0, 0),)
    return "".join(
        f'<rect class="{cls}" x="{number(x + dx)}" y="{number(y + dy)}" width="{number(width)}" '
        f'height="{number(height)}" rx="{number(radius)}"/>'
        for dx, dy in sheets
    )


def _text(x: float, y: float, text: str, cls: str, anchor: str = "middle") -> str:
    return (
        f'<text class="{cls}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


# ── arrows ───────────────────────────────────────────────────────────────────────────────────────


def edge_path(knots: Sequence[Point], *, flat: bool) -> str:
    """Write an arrow's route as SVG path data: straight and curved pieces in turn."""
    parts = [f"M{number(knots[0].x)} {number(knots[0].y)}"]
    for k, (start, end) in enumerate(pairwise(knots)):
        straight = start.y == end.y if flat else start.x == end.x
        if k % 2 == 0 or straight:
            parts.append(f"L{number(end.x)} {number(end.y)}")
            continue
        if flat:
            half = (start.x + end.x) / 2
            first, second = Point(half, start.y), Point(half, end.y)
        else:
            half = (start.y + end.y) / 2
            first, second = Point(start.x, half), Point(end.x, half)
        points = " ".join(f"{number(p.x)} {number(p.y)}" for p in (first, second, end))
        parts.append(f"C{points}")
    return "".join(parts)


def _arrows(layout: Layout) -> list[str]:
    """Draw all arrows, highlighted ones on top, the trunk that several share only once."""
    flat = layout.direction == "left-to-right"
    drawn: dict[tuple[str, bool], set[tuple[Point, ...]]] = {}
    parts = []
    for placed in sorted(layout.edges, key=lambda each: each.edge.highlighted):
        knots = placed.knots
        known = drawn.setdefault((placed.edge.source, placed.edge.highlighted), set())
        # Pieces alternate between straight and curved, so a path may begin at every other knot.
        begin = max((k for k in range(0, len(knots) - 2, 2) if knots[: k + 1] in known), default=0)
        known.update(knots[: k + 1] for k in range(0, len(knots) - 1, 2))
        parts.append(_arrow(knots[begin:], flat=flat, lit=placed.edge.highlighted))
    return parts


def _arrow(knots: Sequence[Point], *, flat: bool, lit: bool) -> str:
    tip = knots[-1]
    size = 9.0 if lit else 7.0
    half = size / 2
    if flat:
        short = Point(tip.x - size + 1.0, tip.y)
        corners = (tip, Point(tip.x - size, tip.y - half), Point(tip.x - size, tip.y + half))
    else:
        short = Point(tip.x, tip.y - size + 1.0)
        corners = (tip, Point(tip.x - half, tip.y - size), Point(tip.x + half, tip.y - size))
    points = " ".join(f"{number(each.x)},{number(each.y)}" for each in corners)
    path = edge_path([*knots[:-1], short], flat=flat)
    mark = " lit" if lit else ""
    return f'<path class="edge{mark}" d="{path}"/><polygon class="head{mark}" points="{points}"/>'


def _label(placed: PlacedEdge, layout: Layout) -> str:
    anchor = "end" if layout.direction == "left-to-right" else "start"
    return _text(placed.label_at.x, placed.label_at.y, placed.edge.label, "label", anchor)


# ── legend and caption ───────────────────────────────────────────────────────────────────────────


def _footer(layout: Layout) -> tuple[list[str], float, float]:
    """Return the legend and caption, and the width and height that they take."""
    room = max(layout.width, _LEAST_WIDTH, 560.0 if len(layout.boxes) > 3 else 0.0) - 2 * MARGIN
    parts: list[str] = []
    x, y, widest = MARGIN, 8.0, 0.0
    for sample, sample_width, text in _legend(layout):
        wide = sample_width + 7.0 + text_width(text, LINE_SIZE)
        if x > MARGIN and x + wide > MARGIN + room:
            x, y = MARGIN, y + 22.0
        parts.append(f'<g transform="translate({number(x)} {number(y)})">{sample}</g>')
        parts.append(_text(x + sample_width + 7.0, y + 12.5, text, "note", "start"))
        widest = max(widest, x + wide)
        x += wide + 20.0
    y += 22.0
    for line in wrap(layout.picture.caption, room, LINE_SIZE):
        parts.append(_text(MARGIN, y + 13.0, line, "value", "start"))
        widest = max(widest, MARGIN + text_width(line, LINE_SIZE))
        y += LINE_HEIGHT
    return parts, widest + MARGIN, y + MARGIN / 2


def _legend(layout: Layout) -> list[tuple[str, float, str]]:
    """List the samples, their widths and meanings, of what occurs in the picture."""
    picture = layout.picture
    present = {box.kind for box in picture.boxes}
    entries = [
        (_outline(kind, 1.0, 1.0, 22.0, 14.0), 28.0, KIND_WORDS[kind])
        for kind in _KINDS
        if kind in present
    ]
    if picture.gradient_note:
        sample = _text(0.0, 12.5, "∂", "gradient", "start")
        entries.append((sample, 9.0, picture.gradient_note))
    if any(edge.label for edge in picture.edges):
        sample = _text(0.0, 12.5, "× 2", "label", "start")
        entries.append(
            (sample, 22.0, "local derivative of an arrow's end with respect to its start")
        )
    if any(edge.highlighted for edge in picture.edges) or any(b.highlighted for b in picture.boxes):
        sample = '<path class="edge lit" d="M0 8L26 8"/>'
        entries.append((sample, 26.0, "highlighted"))
    return entries


def wrap(text: str, room: float, size: float) -> list[str]:
    """Break a text into lines that are not wider than ``room``."""
    lines: list[str] = []
    current = ""
    for word in text.split():
        longer = f"{current} {word}" if current else word
        if current and text_width(longer, size) > room:
            lines.append(current)
            longer = word
        current = longer
    return [*lines, current] if current else lines
