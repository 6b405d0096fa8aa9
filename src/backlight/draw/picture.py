"""What a drawing shows, before any position is chosen: boxes, arrows and words.

A `Picture` knows nothing of graphs or SVG.  `backlight.draw.build` makes one from a graph,
`backlight.draw.layout` gives every box a place, and `backlight.draw.svg` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from backlight.errors import GraphError

BoxKind = Literal[
    "leaf-parameter",
    "leaf-input",
    "constant",
    "operation",
    "module",
    "composite",
    "output",
    "elided",
]
"""What a box stands for; ``elided`` is many nodes that are only counted."""

Role = Literal["value", "gradient", "note"]
"""Whether a line of text belongs to the forward pass, the backward pass or neither."""

KIND_WORDS: dict[BoxKind, str] = {
    "leaf-parameter": "parameter",
    "leaf-input": "input",
    "constant": "constant",
    "operation": "operation",
    "module": "module, folded",
    "composite": "composite, folded",
    "output": "result",
    "elided": "left out, counted",
}
"""How each kind is called in legends and descriptions."""


class Line(NamedTuple):
    """One line of text below a box's title."""

    text: str
    role: Role = "note"


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a picture.

    Attributes
    ----------
    id : str
        Unique in the picture; edges refer to it.
    title : str
        The formula or name.
    lines : tuple of Line
        The numbers below it.
    kind : BoxKind
    group : tuple of str
        Names of the modules and composites around it, outermost first.
    nodes : tuple of int
        The graph's nodes that the box stands for.
    highlighted : bool
    name : str
        What the descriptions of other boxes call it; the title when empty.
    """

    id: str
    title: str
    lines: tuple[Line, ...] = ()
    kind: BoxKind = "operation"
    group: tuple[str, ...] = ()
    nodes: tuple[int, ...] = ()
    highlighted: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow along which a value goes forward.

    Attributes
    ----------
    source, target : str
        Ids of boxes.
    label : str
        The local derivative, such as ``× 2``; empty when it is not known.
    highlighted : bool
    """

    source: str
    target: str
    label: str = ""
    highlighted: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes, arrows and words, without positions.

    Attributes
    ----------
    boxes : tuple of Box
    edges : tuple of Edge
        At most one from one box to another.
    title : str
        What the picture is of.
    caption : str
        What the picture leaves out, if anything.
    gradient_note : str
        What the gradient lines mean; empty when there are none.
    inlined : tuple of int
        The graph's nodes that are written inside formulas instead of drawn.

    Raises
    ------
    GraphError
        When two boxes share an id or an edge refers to a box that is not there.

    Examples
    --------
    >>> picture = Picture((Box("a", "x"), Box("b", "y = 2x")), (Edge("a", "b", "× 2"),))
    >>> print(picture.describe())
    Computation graph: 2 boxes, 1 arrow.
    x (operation)
    y = 2x (operation) from x (× 2)
    """

    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    title: str = "Computation graph"
    caption: str = ""
    gradient_note: str = ""
    inlined: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        names = {box.id for box in self.boxes}
        if len(names) != len(self.boxes):
            raise GraphError("Two boxes of the picture have the same id; give each its own.")
        seen: set[tuple[str, str]] = set()
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in names:
                    raise GraphError(f"The picture has an edge to {end!r}, which is not a box.")
            if edge.source == edge.target or (edge.source, edge.target) in seen:
                raise GraphError(
                    f"The picture needs at most one edge from {edge.source!r} to {edge.target!r}, "
                    f"and none from a box to itself; merge their labels."
                )
            seen.add((edge.source, edge.target))

    def describe(self, longest: int = 400) -> str:
        """Return the picture in words, one line a box, for screen readers and terminals."""
        names = {box.id: box.name or box.title for box in self.boxes}
        sources: dict[str, list[str]] = {box.id: [] for box in self.boxes}
        for edge in self.edges:
            label = f" ({edge.label})" if edge.label else ""
            sources[edge.target].append(names[edge.source] + label)
        head = f"{self.title}: {_many(len(self.boxes), 'box', 'boxes')}, "
        lines = [head + f"{_many(len(self.edges), 'arrow', 'arrows')}."]
        if self.caption:
            lines.append(self.caption)
        for box in self.boxes[:longest]:
            origin = f" from {', '.join(sources[box.id])}" if sources[box.id] else ""
            numbers = "; ".join(line.text for line in box.lines)
            mark = ", highlighted" if box.highlighted else ""
            text = f"{box.title} ({KIND_WORDS[box.kind]}{mark}){origin}"
            lines.append(f"{text}: {numbers}" if numbers else text)
        if len(self.boxes) > longest:
            lines.append(f"… {len(self.boxes) - longest:,} more boxes …")
        return "\n".join(lines)


def _many(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"
