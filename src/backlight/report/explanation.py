"""Derivations as the studio's page reads them: sections of equations with MathML and LaTeX.

It takes a trace and the name of a scalar or a tensor and gives plain JSON data; docs/
studio-protocol.md describes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backlight.errors import UnknownNameError, UsageError
from backlight.explain import explain, flat_index, parse_weight
from backlight.explain.derivation import Derivation
from backlight.explain.render import as_latex, as_text, finite
from backlight.explain.sections import Equation, Section
from backlight.explain.whole import TensorDerivation
from backlight.graph.notation import MATHML, UNICODE, printable
from backlight.record import Trace
from backlight.report.payload import Json, array_payload, plain

Target = str | dict[str, Any]


def find_target(trace: Trace, target: object) -> tuple[int, tuple[int, ...] | None]:
    """Read what is to be explained: a name with or without an index, or a node's position.

    Parameters
    ----------
    trace : Trace
    target : str or dict
        ``"layers.0.weight[3,1]"`` or ``{"node": 4, "index": [3, 1]}``.

    Returns
    -------
    node : int
    index : tuple of int or None
        None for the whole tensor; a tensor of one entry gets its index.

    Raises
    ------
    UsageError, UnknownNameError, ShapeError
    """
    if isinstance(target, str):
        name, index = parse_weight(target)
        node = trace.graph.index(name)
    elif isinstance(target, dict):
        node, index = _position(trace, target)
    else:
        raise UsageError(
            "The target must be a name such as w or layers.0.weight[3,1], or a node's position."
        )
    found = trace.graph.nodes[node]
    if index is not None:
        flat = flat_index(found.name, found.shape, index)
        index = tuple(int(k) for k in np.unravel_index(flat, found.shape)) if found.shape else ()
    elif trace.values[node].size == 1:
        index = (0,) * len(found.shape)
    return node, index


def _position(trace: Trace, target: dict[str, Any]) -> tuple[int, tuple[int, ...] | None]:
    node, index = target.get("node"), target.get("index")
    if type(node) is not int or not 0 <= node < len(trace.graph):
        raise UnknownNameError(
            f"There is no node {str(node)[:40]}; the graph has the nodes 0 to "
            f"{len(trace.graph) - 1}."
        )
    if index is None:
        return node, None
    if not isinstance(index, list) or any(type(each) is not int for each in index):
        raise UsageError("An index is a list of whole numbers.")
    return node, tuple(index)


def target_name(trace: Trace, node: int, index: tuple[int, ...] | None) -> str:
    """Write a target as it is typed, ``layers.0.weight[3,1]``."""
    name = trace.graph.nodes[node].name
    return f"{name}[{','.join(map(str, index))}]" if index else name


def explanation(trace: Trace, target: object, *, fold: bool = True) -> Json:
    """Explain one derivative, or a tensor's gradient as a whole.

    Parameters
    ----------
    trace : Trace
    target : str or dict
        See `find_target`.
    fold : bool
        Show composites as one step.

    Returns
    -------
    dict
        Plain JSON data.

    Raises
    ------
    BacklightError
        When there is no such target, or no gradient reaches it.
    """
    node, index = find_target(trace, target)
    found = trace.graph.nodes[node]
    made: Derivation | TensorDerivation = explain(trace, found.name, index=index, fold=fold)
    update: Section | None = None
    sections = list(made.sections)
    if isinstance(made, Derivation):
        update = next((each for each in sections if each.title.startswith("Update:")), None)
        sections = [each for each in sections if each is not update]
    location = found.location
    derivation = made.to_dict()
    derivation.pop("latex")  # it stands beside the derivation already
    if isinstance(made, TensorDerivation):
        derivation.pop("value")
    return {
        "target": target_name(trace, node, index),
        "node": node,
        "index": None if index is None else list(index),
        "whole": index is None,
        "title": printable(made.title),
        "title_mathml": _title_mathml(made),
        "value": finite(made.value) if isinstance(made, Derivation) else array_payload(made.value),
        "derivation": plain(derivation),
        "sections": [section_payload(each) for each in sections],
        "update": None if update is None else section_payload(update),
        "footer": [printable(line) for line in made.footer if line],
        "badge": printable(made.badge),
        "numeric": _numeric(made),
        "remarks": list(made.remarks) if isinstance(made, Derivation) else [],
        "source": None
        if location is None
        else {
            "file": location.file,
            "line": location.line,
            "function": location.function,
            "text": location.text,
        },
        "text": made.text(),
        "latex": made.latex(),
    }


def _numeric(made: Derivation | TensorDerivation) -> Json | None:
    if not isinstance(made, Derivation):
        return None
    check = made.numeric
    written: Json = finite(
        {
            "value": check.value,
            "step": check.step,
            "error": check.error,
            "relative_error": check.relative_error,
            "ok": bool(check.ok),
            "reason": check.reason,
        }
    )
    return written


def _title_mathml(made: Derivation | TensorDerivation) -> str | None:
    if not isinstance(made, Derivation):
        return None
    value = printable(made.title).rpartition(" = ")[2]
    left = MATHML.expression(made.left)
    return f"<math><mrow>{left}<mo>=</mo><mn>{_escape(value)}</mn></mrow></math>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def section_payload(section: Section) -> Json:
    """Write a section of a derivation."""
    return {
        "title": printable(section.title),
        "notes": [printable(note) for note in section.notes if note],
        "stacked": section.stacked,
        "equations": [equation_payload(each, section.stacked) for each in section.equations],
    }


def equation_payload(equation: Equation, stacked: bool) -> Json:
    """Write one equation as text, LaTeX and MathML."""
    alone = Section("", (), (equation,), stacked)
    text = as_text("", [alone], ()).strip("\n ")
    latex = as_latex("", [alone]).splitlines()[2:-1]
    left = "" if equation.left is None else MATHML.expression(equation.left)
    right = [MATHML.expression(each) for each in equation.right]
    joined = "".join(f"<mo>=</mo>{each}" for each in right)
    return {
        "label": printable(equation.label),
        "remark": printable(equation.remark),
        "left": "" if equation.left is None else UNICODE.expression(equation.left),
        "right": [UNICODE.expression(each) for each in equation.right],
        "text": text,
        "latex": "\n".join(line.strip() for line in latex),
        "mathml": f"<math><mrow>{left}{joined}</mrow></math>",
    }


def paths_payload(trace: Trace, target: object, top: int) -> Json:
    """List the paths of largest contribution from one scalar to the loss.

    Raises
    ------
    UsageError
        When the target has several entries.
    """
    node, index = find_target(trace, target)
    found = trace.graph.nodes[node]
    made = explain(trace, found.name, index=index)
    if isinstance(made, TensorDerivation):
        made.paths()
    paths = made.paths(top)
    between = {(edge.source, edge.target): k for k, edge in enumerate(trace.edges)}
    listed = []
    for path in paths:
        positions = [trace.graph.index(name) for name, _ in path.nodes]
        listed.append(
            {
                "nodes": [[name, list(place)] for name, place in path.nodes],
                "positions": positions,
                "edges": [
                    between.get((positions[k], positions[k + 1])) for k in range(len(positions) - 1)
                ],
                "factors": list(path.factors),
                "contribution": path.contribution,
            }
        )
    written: Json = finite(
        {
            "target": target_name(trace, node, index),
            "count": paths.count,
            "remainder": paths.remainder,
            "total": paths.total,
            "exhausted": paths.exhausted,
            "top": listed,
        }
    )
    return written


LATEX_HEAD = "\\documentclass{article}\n\\usepackage{amsmath}\n\\begin{document}\n"


def latex_document(made: list[str]) -> str:
    """Make a LaTeX document of derivations written as LaTeX.

    Examples
    --------
    >>> latex_document(["x"]).splitlines()[0]
    '\\\\documentclass{article}'
    """
    body = "\n".join(made)
    return f"{LATEX_HEAD}\n{body}\n\\end{{document}}\n"
