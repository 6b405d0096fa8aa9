"""Plain pages without scripts: headings, figures, tables and terminal output, safely escaped.

It takes text, pictures and traces and gives one HTML page, or the parts that one is made of.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from backlight.draw.run import draw
from backlight.record import Trace, array_text

STYLE = """
:root { color-scheme: light dark;
  --ink: #1b1f24; --paper: #ffffff; --soft: #57606a; --line: #d0d7de; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9da7b3; --line: #30363d; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
h3 { font-size: 1.05rem; } h4 { font-size: 1rem; color: var(--soft); margin-bottom: .2rem; }
figure { margin: 1rem 0; overflow-x: auto; } figcaption { color: var(--soft); }
pre { overflow-x: auto; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: 6px;
      font: 13px/1.45 ui-monospace, monospace; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block;
        overflow-x: auto; }
th, td { text-align: left; padding: .2rem .8rem; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
math { font-size: 1.05rem; } section p { margin: .25rem 0; overflow-x: auto; }
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One section of a report: a heading and HTML that is already escaped."""

    title: str
    body: str


def page(title: str, parts: Sequence[Part]) -> str:
    """Put parts together to one self-contained page."""
    body = "\n".join(f"<h2>{html.escape(part.title)}</h2>\n{part.body}" for part in parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def figure(svg: str, caption: str) -> str:
    """Put a picture with its caption into a page."""
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def text_block(text: str) -> str:
    """Put terminal output into a page."""
    return f"<pre>{html.escape(text)}</pre>"


def trace_table(trace: Trace, *, longest: int = 300) -> str:
    """Write a trace as an HTML table: node, operation, value, gradient."""
    rows = []
    nodes = trace.graph.nodes
    for index, node in enumerate(nodes[:longest]):
        if node.is_leaf and not node.named and node.shape == ():
            continue
        operands = ", ".join(nodes[k].name for k in node.inputs)
        gradient = trace.gradients[index]
        cells = (
            node.name,
            f"{node.primitive.name}({operands})" if node.inputs else node.primitive.name,
            array_text(trace.values[index]),
            "not computed" if gradient is None else array_text(gradient),
        )
        rows.append("<tr>" + "".join(f"<td>{html.escape(each)}</td>" for each in cells) + "</tr>")
    more = len(nodes) - longest
    note = f"<p>{more:,} more nodes are not listed.</p>" if more > 0 else ""
    head = "".join(
        f'<th scope="col">{each}</th>' for each in ("node", "operation", "value", "gradient")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{note}"


def trace_page(trace: Trace) -> str:
    """Write a trace as one page: its drawing and its table."""
    name = trace.graph.nodes[trace.output].name
    about = "; ".join(f"{key} {value}" for key, value in trace.about.items())
    parts = [
        Part("The graph", figure(draw(trace).svg, "Values (=) and gradients (∂) of each node.")),
        Part("Every number", trace_table(trace)),
    ]
    return page(f"{name}{f' — {about}' if about else ''}", parts)
