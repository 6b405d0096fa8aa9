"""`draw`: the picture of a loss, a recorded run, or a graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from backlight.draw.build import picture_of
from backlight.draw.drawing import Drawing
from backlight.draw.layout import Direction
from backlight.draw.theme import ThemeName
from backlight.errors import UsageError
from backlight.graph.graph import Graph
from backlight.record import Trace, trace_of
from backlight.tensor import Tensor
from backlight.trace import capture


def draw(
    what: Tensor | Trace | Graph,
    *,
    open: Collection[str] = (),
    depth: int | None = None,
    highlight: Iterable[int | str] = (),
    direction: Direction | Literal["auto"] = "auto",
    theme: ThemeName = "auto",
) -> Drawing:
    """Draw a computation: values, gradients and local derivatives where they are known.

    Parameters
    ----------
    what : Tensor, Trace or Graph
        A loss is drawn with its values and gradients, another tensor with its values, a graph
        without numbers.
    open : collection of str
        Paths of modules and composites that are not folded.
    depth : int, optional
        Fold everything inside this many modules and composites.
    highlight : iterable of int or str
        Nodes that are marked, by number or name.
    direction : {"auto", "left-to-right", "top-to-bottom"}
    theme : {"auto", "light", "dark"}

    Returns
    -------
    Drawing
        With ``.svg`` and ``.save(path)``; notebooks show it.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param(1.0, name="w")
    >>> print(bl.draw((w * 3.0 - 2.0) ** 2))
    Computation graph of u: 4 boxes, 3 arrows.
    w (parameter): = 1; ∂u/∂w = 6
    p = w·3 (operation) from w (× 3): = 3; ∂u/∂p = 2
    s = p − 2 (operation) from p (× 1): = 1; ∂u/∂s = 2
    u = s² (result) from s (× 2): = 1; ∂u/∂u = 1
    """
    if isinstance(what, Graph):
        picture = picture_of(what, open=open, depth=depth, highlight=highlight)
        return Drawing(picture, direction, theme)
    if isinstance(what, Tensor) and (not what.tracked or what.shape != ()):
        graph, tensors = capture([what])
        values = [each.known_value for each in tensors]
        picture = picture_of(graph, values, open=open, depth=depth, highlight=highlight)
        return Drawing(picture, direction, theme)
    if not isinstance(what, (Tensor, Trace)):
        raise UsageError(f"bl.draw takes a tensor, a trace or a graph, not {type(what).__name__}.")
    trace = trace_of(what)
    locals_ = {
        (edge.target, edge.position): edge.local for edge in trace.edges if edge.local is not None
    }
    picture = picture_of(
        trace.graph,
        trace.values,
        trace.gradients,
        locals_,
        open=open,
        depth=depth,
        highlight=highlight,
    )
    return Drawing(picture, direction, theme)
