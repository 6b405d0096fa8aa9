"""Sections written as plain text, as LaTeX and as HTML with MathML."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from backlight.explain.sections import Equation, Section
from backlight.graph.notation import LATEX, MATHML, UNICODE, latex_escape, printable

WIDTH = 96


def finite(data: Any) -> Any:
    """Return JSON data with NaN and infinities as the strings that the trace schema uses."""
    if isinstance(data, dict):
        return {key: finite(each) for key, each in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(each) for each in data]
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if data != data else "Infinity" if data > 0 else "-Infinity"
    return data


def as_text(title: str, sections: Sequence[Section], footer: Sequence[str]) -> str:
    """Write sections as plain text with Unicode mathematics."""
    lines = [title, ""]
    for section in sections:
        lines.append(section.title)
        lines.extend(f"  {note}" for note in section.notes if note)
        for equation in section.equations:
            lines.extend(f"  {line}" for line in _text_lines(equation, section.stacked))
        lines.append("")
    lines.extend(footer)
    return "\n".join(map(printable, lines)).rstrip() + "\n"


def _text_lines(equation: Equation, stacked: bool) -> list[str]:
    left = "" if equation.left is None else UNICODE.expression(equation.left)
    head = f"{equation.label}{left}" if equation.label else left
    parts = [UNICODE.expression(each) for each in equation.right]
    remark = f"   ({equation.remark})" if equation.remark else ""
    indent = "  " if equation.label else ""
    sign = ": " if equation.label else " = "
    if equation.label in ("total",):
        head, sign = "", "= "
    one = f"{indent}{head}{sign}{' = '.join(parts)}{remark}"
    if not stacked and len(one) <= WIDTH:
        return [one]
    pad = " " * (len(indent) + len(head))
    lines = []
    for number, part in enumerate(parts):
        start = f"{pad} = " if number else f"{indent}{head}{sign}"
        first, *rest = wrapped(part, WIDTH - len(start))
        lines.append(start + first)
        lines.extend(f"{' ' * (len(start) - 2)}{each}" for each in rest)
    lines[-1] += remark
    return lines


def wrapped(text: str, width: int) -> list[str]:
    """Break a long sum before its plus and minus signs, a long chain of factors before its dots.

    Nothing is broken inside brackets, and a sum with Σ not at all.

    Examples
    --------
    >>> wrapped("a·b + (c + d) − e", 12)
    ['a·b', '+ (c + d)', '− e']
    >>> wrapped("cos(a) · cos(b) · (c + d)", 16)
    ['cos(a) · cos(b)', '· (c + d)']
    """
    if len(text) <= width or text.startswith("Σ"):
        return [text]
    lines: list[str] = []
    for line in _joined(_split(text, (" + ", " − ")), width):
        lines += [line] if len(line) <= width else _joined(_split(line, (" · ",)), width)
    return lines


def _split(text: str, signs: tuple[str, ...]) -> list[str]:
    """Cut a text before every sign outside of brackets."""
    pieces, depth, start = [], 0, 0
    for place, each in enumerate(text):
        depth += (each in "([⌊⌈") - (each in ")]⌋⌉")
        if depth == 0 and place > start and text[place : place + 3] in signs:
            pieces.append(text[start:place])
            start = place + 1
    return [*pieces, text[start:]]


def _joined(pieces: list[str], width: int) -> list[str]:
    """Put as many pieces into each line as have room."""
    lines = [pieces[0]]
    for piece in pieces[1:]:
        if len(lines[-1]) + 1 + len(piece) <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(piece)
    return lines


def as_latex(title: str, sections: Sequence[Section]) -> str:
    """Write the equations of sections as LaTeX ``align*`` environments."""
    blocks = []
    for section in sections:
        if not section.equations:
            continue
        rows = []
        for equation in section.equations:
            left = "" if equation.left is None else LATEX.expression(equation.left)
            if equation.label and equation.left is None:
                left = rf"\text{{{latex_escape(equation.label)}}}"
            elif equation.label:
                left = rf"\text{{{latex_escape(equation.label)}}}{left}"
            parts = [LATEX.expression(each) for each in equation.right]
            joint = r" \\" + "\n  &= " if section.stacked else " = "
            rows.append(f"  {left} &= {joint.join(parts)}")
        body = " \\\\\n".join(rows)
        blocks.append(f"% {printable(section.title)}\n\\begin{{align*}}\n{body}\n\\end{{align*}}")
    return "\n".join(blocks) + "\n"


def as_html(title: str, sections: Sequence[Section], footer: Sequence[str]) -> str:
    """Write sections as an HTML fragment with MathML."""
    parts = [f'<section class="backlight-derivation"><h3>{_safe(title)}</h3>']
    for section in sections:
        parts.append(f"<h4>{_safe(section.title)}</h4>")
        parts.extend(f"<p>{_safe(note)}</p>" for note in section.notes if note)
        rows = [_html_row(each) for each in section.equations]
        if rows:
            parts.append(f"<div>{''.join(rows)}</div>")
    parts.extend(f"<p>{_safe(line)}</p>" for line in footer if line)
    parts.append("</section>")
    return "\n".join(parts)


def _html_row(equation: Equation) -> str:
    left = "" if equation.left is None else MATHML.expression(equation.left)
    label = f"<mtext>{_safe(equation.label)}&#160;</mtext>" if equation.label else ""
    right = "".join(f"<mo>=</mo>{MATHML.expression(each)}" for each in equation.right)
    remark = f" <small>{_safe(equation.remark)}</small>" if equation.remark else ""
    return f"<p><math><mrow>{label}{left}{right}</mrow></math>{remark}</p>"


def _safe(text: str) -> str:
    return html.escape(printable(text))
