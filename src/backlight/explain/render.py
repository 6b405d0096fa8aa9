"""Sections written as plain text, as LaTeX and as HTML with MathML."""

from __future__ import annotations

import html
from collections.abc import Sequence

from backlight.explain.sections import Equation, Section
from backlight.graph.notation import LATEX, MATHML, UNICODE, latex_escape

WIDTH = 96


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
    return "\n".join(lines).rstrip() + "\n"


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
    lines = [f"{indent}{head}{sign}{parts[0]}"]
    lines.extend(f"{pad} = {part}" for part in parts[1:])
    lines[-1] += remark
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
        blocks.append(
            f"% {section.title}\n\\begin{{align*}}\n{body}\n\\end{{align*}}"
        )
    return "\n".join(blocks) + "\n"


def as_html(title: str, sections: Sequence[Section], footer: Sequence[str]) -> str:
    """Write sections as an HTML fragment with MathML."""
    parts = [f'<section class="backlight-derivation"><h3>{html.escape(title)}</h3>']
    for section in sections:
        parts.append(f"<h4>{html.escape(section.title)}</h4>")
        parts.extend(f"<p>{html.escape(note)}</p>" for note in section.notes if note)
        rows = [_html_row(each) for each in section.equations]
        if rows:
            parts.append(f"<div>{''.join(rows)}</div>")
    parts.extend(f"<p>{html.escape(line)}</p>" for line in footer if line)
    parts.append("</section>")
    return "\n".join(parts)


def _html_row(equation: Equation) -> str:
    left = "" if equation.left is None else MATHML.expression(equation.left)
    label = f"<mtext>{html.escape(equation.label)}&#160;</mtext>" if equation.label else ""
    right = "".join(f"<mo>=</mo>{MATHML.expression(each)}" for each in equation.right)
    remark = f" <small>{html.escape(equation.remark)}</small>" if equation.remark else ""
    return f"<p><math><mrow>{label}{left}{right}</mrow></math>{remark}</p>"
