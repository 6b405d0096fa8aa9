"""What a notebook shows of an object: plain text always, and HTML, SVG or LaTeX where sensible.

Each function takes an object and gives a MIME bundle, a dictionary from media type to text.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

from backlight.draw import draw, line_plot
from backlight.graph.notation import LATEX, Number, latex_name
from backlight.record import Trace, array_text
from backlight.report.static import trace_table
from backlight.tensor import Tensor

MOST_NODES = 400
"""Graphs of more nodes are shown as a table alone."""
MOST_ENTRIES = 36
"""Tensors of at most this many entries are written as a matrix."""

Bundle = dict[str, str]


def _rows(pairs: Sequence[tuple[str, str]]) -> str:
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for name, text in pairs
    )
    return f"<table><tbody>{cells}</tbody></table>"


def tensor_display(tensor: Tensor) -> Bundle:
    """Show a tensor: its value, its gradient, and the line that recorded it.

    Examples
    --------
    >>> import backlight as bl
    >>> sorted(tensor_display(bl.param(1.0, name="w")))
    ['text/html', 'text/latex', 'text/plain']
    """
    pairs = [("tensor", f"{tensor.name or 'unnamed'}: {tensor.spec}")]
    made = {"text/plain": repr(tensor)}
    value = tensor.known_value
    pairs.append(("value", "traced, so it has none" if value is None else array_text(tensor.value)))
    gradient = tensor.grad
    if tensor.tracked:
        pairs.append(("gradient", "not computed" if gradient is None else array_text(gradient)))
    if tensor.location is not None:
        pairs.append(("recorded at", f"{tensor.location}: {tensor.location.text}"))
    made["text/html"] = _rows(pairs)
    if value is not None and tensor.dtype.kind == "f":
        latex = _latex(np.asarray(tensor.value))
        if latex is not None:
            left = f"{latex_name(tensor.name)} = " if tensor.name else ""
            made["text/latex"] = f"${left}{latex}$"
    return made


def _latex(array: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> str | None:
    """Write a number, a vector or a small matrix."""
    if array.ndim > 2 or not 0 < array.size <= MOST_ENTRIES or not np.isfinite(array).all():
        return None
    if array.ndim == 0:
        return LATEX.expression(Number(float(array), 6))
    grid = array.reshape(-1, array.shape[-1])
    rows = [" & ".join(LATEX.expression(Number(float(each), 6)) for each in row) for row in grid]
    return r"\begin{pmatrix}" + r" \\ ".join(rows) + r"\end{pmatrix}"


def trace_display(trace: Trace) -> Bundle:
    """Show a trace: its drawing and its table."""
    made = {"text/plain": str(trace), "text/html": trace_table(trace, longest=100)}
    if len(trace.graph) <= MOST_NODES:
        svg = draw(trace).svg
        made["image/svg+xml"] = svg
        made["text/html"] = (
            f'<div style="overflow-x:auto">{svg}</div>'
            f"<details><summary>every number</summary>{made['text/html']}</details>"
        )
    return made


def history_display(
    plain: str, history: Mapping[str, Sequence[float]], facts: Sequence[tuple[str, str]]
) -> Bundle:
    """Show a training run: its loss curve and a few facts."""
    made = {"text/plain": plain, "text/html": _rows(facts)}
    curves = {
        name: list(enumerate(history[name], start=1))
        for name in ("loss", "validation_loss")
        if history.get(name)
    }
    if curves and max(map(len, curves.values())) > 1:
        svg = line_plot(curves, "Loss while training", "epoch", "loss")
        made["image/svg+xml"] = svg
        made["text/html"] = svg + made["text/html"]
    return made


def network_display(plain: str) -> Bundle:
    """Show a network: the table of its modules."""
    title, *lines = plain.split("\n")
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align:left">{html.escape(cell.strip())}</td>'
            for cell in line.strip().split("  ")
            if cell.strip()
        )
        + "</tr>"
        for line in lines
    )
    head = f"<p><strong>{html.escape(title)}</strong></p>"
    return {
        "text/plain": plain,
        "text/html": f"{head}<table><tbody>{rows}</tbody></table>" if rows else head,
    }
