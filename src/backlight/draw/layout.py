"""From a picture to positions: sizes of boxes, places of boxes, routes of arrows.

Positions are first computed along two abstract axes: the main axis, along which values flow from
layer to layer, and the cross axis inside a layer.  Arrows bend only in the gaps between layers and
run straight past the boxes of a layer, so they never cross a box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from backlight.draw.layers import Network, build_network
from backlight.draw.measure import (
    LINE_SIZE,
    TITLE_SIZE,
    WIDEST,
    printable,
    shorten,
    text_width,
)
from backlight.draw.order import crossings, reduce_crossings
from backlight.draw.picture import Box, Edge, Line, Picture
from backlight.draw.place import Pull, assign_coordinates
from backlight.errors import UsageError

Direction = Literal["left-to-right", "top-to-bottom"]
"""Which way values flow."""

TITLE_HEIGHT = 19.0
LINE_HEIGHT = 17.0
RULE_HEIGHT = 5.0
PADDING = 12.0
MARGIN = 16.0

_LEAST_WIDTH = 52.0
_BOX_GAP = 22.0
_WAY_GAP = 12.0
_CURVE = 38.0
_ARROW = 12.0
_COMFORTABLE_WIDTH = 1500.0
"""A drawing that is not wider than this when it runs from left to right does so."""


class Point(NamedTuple):
    """A place in the picture, in pixels from its top left corner."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class PlacedBox:
    """A box with its rectangle; title and lines are cut to fit."""

    box: Box
    title: str
    lines: tuple[Line, ...]
    x: float
    y: float
    width: float
    height: float
    layer: int


@dataclass(frozen=True, slots=True)
class PlacedEdge:
    """An arrow with its route.

    Attributes
    ----------
    edge : Edge
    knots : tuple of Point
        Where straight and curved pieces meet: straight, curved, straight, …, straight.  A curved
        piece has its control points half-way along the main axis.
    label_at : Point
        The beginning of the label's base line, or its end when values flow from left to right.
    """

    edge: Edge
    knots: tuple[Point, ...]
    label_at: Point


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture with positions.

    Attributes
    ----------
    picture : Picture
    boxes : tuple of PlacedBox
        In the order of the picture's boxes.
    edges : tuple of PlacedEdge
        In the order of the picture's edges.
    width, height : float
        Size in pixels, margins included.
    direction : {"left-to-right", "top-to-bottom"}
    crossings : int
        How often arrows cross.
    """

    picture: Picture
    boxes: tuple[PlacedBox, ...]
    edges: tuple[PlacedEdge, ...]
    width: float
    height: float
    direction: Direction
    crossings: int


def layout(picture: Picture, *, direction: Direction | Literal["auto"] = "auto") -> Layout:
    """Give every box and arrow of a picture its place.

    Parameters
    ----------
    picture : Picture
    direction : {"auto", "left-to-right", "top-to-bottom"}
        Which way values flow; ``"auto"`` goes from left to right when that fits a page and from
        top to bottom for deeper graphs.

    Returns
    -------
    Layout
        The same for the same picture, always.

    Raises
    ------
    GraphError
        When the edges form a cycle.
    UsageError
        For another direction.

    Examples
    --------
    >>> from backlight.draw.picture import Box, Edge, Picture
    >>> picture = Picture((Box("a", "x"), Box("b", "y")), (Edge("a", "b"),))
    >>> placed = layout(picture)
    >>> placed.direction, placed.boxes[0].x < placed.boxes[1].x
    ('left-to-right', True)
    """
    number = {box.id: k for k, box in enumerate(picture.boxes)}
    pairs = [(number[edge.source], number[edge.target]) for edge in picture.edges]
    network = reduce_crossings(build_network(len(number), pairs))
    labels = {pair: printable(edge.label) for pair, edge in zip(pairs, picture.edges, strict=True)}
    if direction == "auto":
        across = _Frame(picture, network, labels, flat=True)
        down = _Frame(picture, network, labels, flat=False)
        comfortable = across.main_size <= max(_COMFORTABLE_WIDTH, down.cross_estimate)
        frame = across if comfortable else down
    elif direction in ("left-to-right", "top-to-bottom"):
        frame = _Frame(picture, network, labels, flat=direction == "left-to-right")
    else:
        raise UsageError(
            f"direction is 'auto', 'left-to-right' or 'top-to-bottom', not {direction!r}."
        )
    return frame.finish()


class _Content(NamedTuple):
    title: str
    lines: tuple[Line, ...]
    width: float
    height: float


def _content(box: Box) -> _Content:
    """Cut a box's text to the widest width and measure it."""
    title = shorten(printable(box.title), WIDEST, TITLE_SIZE, bold=True)
    lines = tuple(
        Line(shorten(printable(each.text), WIDEST, LINE_SIZE), each.role) for each in box.lines
    )
    widths = [text_width(each.text, LINE_SIZE) for each in lines]
    width = max([text_width(title, TITLE_SIZE, bold=True), *widths])
    return _Content(
        title, lines, max(_LEAST_WIDTH, width + 2 * PADDING), text_height(lines) + PADDING
    )


def text_height(lines: Sequence[Line]) -> float:
    """Return the height of a box's title and lines."""
    rule = RULE_HEIGHT if any(each.role == "gradient" for each in lines) else 0.0
    return TITLE_HEIGHT + LINE_HEIGHT * len(lines) + rule


class _Frame:
    """The sizes of everything for one direction, from which positions follow."""

    def __init__(
        self,
        picture: Picture,
        network: Network,
        labels: Mapping[tuple[int, int], str],
        *,
        flat: bool,
    ) -> None:
        self.picture = picture
        self.network = network
        self.labels = labels
        self.flat = flat
        self.contents = [_content(box) for box in picture.boxes]
        self.before, self.after = network.neighbours()
        rank = {vertex: k for layer in network.layers for k, vertex in enumerate(layer)}
        self.entering = [
            sorted(self.before[box], key=rank.__getitem__) for box in range(network.boxes)
        ]
        self.arriving = self._arriving_labels()
        self.origin = {each: route[0] for route in network.routes for each in route[:-1]}
        self.ports: dict[tuple[int, int], float] = {}
        self.main: list[float] = []
        self.cross: list[float] = []
        for box in range(network.boxes):
            self._measure(box)
        self._arrange_layers()

    def _arriving_labels(self) -> dict[tuple[int, int], float]:
        """The width of the label on each last segment into a box."""
        widths: dict[tuple[int, int], float] = {}
        for route, text in zip(self.network.routes, self.labels.values(), strict=True):
            if text:
                widths[route[-2], route[-1]] = text_width(text, LINE_SIZE)
        return widths

    def _spine(self, box: int) -> int | None:
        """Return which entering arrow is the only one that brings a computed value, if one is.

        It enters in the middle of the box's side, so that a long computation runs straight while
        parameters and inputs join it from the side.
        """
        computed = [
            k for k, each in enumerate(self.entering[box]) if self.before[self.origin[each]]
        ]
        if len(self.entering[box]) == 1:
            return 0
        return computed[0] if len(computed) == 1 else None

    def _measure(self, box: int) -> None:
        """Find the size of a box and where on its side each arrow enters."""
        content = self.contents[box]
        entering = self.entering[box]
        widest = max((self.arriving.get((each, box), 0.0) for each in entering), default=0.0)
        if self.flat:
            main, cross = content.width, content.height
            slot, label = (17.0, 0.0) if widest else (8.0, 0.0)
        else:
            main, cross = content.height, content.width
            slot, label = (widest + 16.0, widest + 10.0) if widest else (8.0, 0.0)
        last = len(entering) - 1
        spine = self._spine(box)
        if spine is None:  # arrows and the labels to their right are centred together
            first = -last / 2
            shift = -label / 2
            cross = max(cross, last * slot + label + 16.0)
        else:
            first = -float(spine)
            shift = 0.0
            cross = max(cross, 2 * max(spine * slot, (last - spine) * slot + label) + 16.0)
        reach = max(-first, last + first) if last > 0 else 1.0
        step = max(slot, min(26.0, (cross / 2 - label - 12.0) / reach))
        for k, each in enumerate(entering):
            self.ports[each, box] = (first + k) * step + shift
        self.main.append(main)
        self.cross.append(cross)

    def _arrange_layers(self) -> None:
        """Find where each layer begins and ends, and the room for labels before it."""
        self.starts: list[float] = []
        self.bands: list[float] = []
        self.rooms: list[float] = []
        position = 0.0
        for number, layer in enumerate(self.network.layers):
            boxes = [k for k in layer if k < self.network.boxes]
            band = max((self.main[k] for k in boxes), default=0.0)
            entering = [(source, k) for k in boxes for source in self.entering[k]]
            widest = max((self.arriving.get(pair, 0.0) for pair in entering), default=0.0)
            room = _ARROW + ((widest + 8.0 if self.flat else LINE_HEIGHT + 4.0) if widest else 4.0)
            if number:
                position += _CURVE + self._slant(number) + room
            self.starts.append(position)
            self.bands.append(band)
            self.rooms.append(room)
            position += band
        self.main_size = position + 2 * MARGIN
        self.cross_estimate = max(
            (
                sum(self.cross[k] + _BOX_GAP for k in layer if k < self.network.boxes)
                for layer in self.network.layers
            ),
            default=0.0,
        )

    def _slant(self, number: int) -> float:
        """Extra room for curves between two crowded layers, which would be steep otherwise."""
        busiest = max(len(self.network.layers[number - 1]), len(self.network.layers[number]))
        return min(60.0, 4.0 * max(busiest - 3, 0))

    def _distances(self) -> list[list[float]]:
        found = []
        for layer in self.network.layers:
            halves = [self.cross[k] / 2 if k < self.network.boxes else 0.0 for k in layer]
            gaps = []
            for k in range(len(layer) - 1):
                both_ways = min(layer[k], layer[k + 1]) >= self.network.boxes
                gaps.append(halves[k] + halves[k + 1] + (_WAY_GAP if both_ways else _BOX_GAP))
            found.append(gaps)
        return found

    def _pulls(self) -> tuple[list[list[Pull]], list[list[Pull]]]:
        """What each segment wishes; long arrows insist most on being straight, leaves least."""
        before: list[list[Pull]] = [[] for _ in self.network.layer]
        after: list[list[Pull]] = [[] for _ in self.network.layer]
        boxes = self.network.boxes
        for source, target in self.network.segments:
            way_points = (source >= boxes) + (target >= boxes)
            weight = (1.0, 2.0, 8.0)[way_points]
            straightness = 0
            if self._is_spine(source, target):
                straightness = 1 + way_points
            elif target < boxes and self._spine(target) is not None:
                weight /= 4.0
            port = self.ports.get((source, target), 0.0)
            before[target].append(Pull(source, -port, weight, straightness))
            after[source].append(Pull(target, port, weight, straightness))
        return before, after

    def _is_spine(self, source: int, target: int) -> bool:
        """Whether a segment is what its end hangs on."""
        if target >= self.network.boxes:
            return source >= self.network.boxes or len(self.after[source]) == 1
        spine = self._spine(target)
        return spine is not None and self.entering[target][spine] == source

    def finish(self) -> Layout:
        """Compute all positions."""
        at = assign_coordinates(self.network.layers, *self._pulls(), self._distances())
        boxes = range(self.network.boxes)
        low = min((at[k] - self.cross[k] / 2 for k in boxes), default=0.0)
        way_points = range(self.network.boxes, len(at))
        low = min([low, *(at[k] - 6.0 for k in way_points)])
        at = [each - low + MARGIN for each in at]
        high = max((at[k] + self.cross[k] / 2 for k in boxes), default=MARGIN)
        high = max([high, *(at[k] + 6.0 for k in way_points)]) + MARGIN
        placed = tuple(self._place_box(k, at) for k in boxes)
        edges = tuple(
            self._place_edge(edge, route, at)
            for edge, route in zip(self.picture.edges, self.network.routes, strict=True)
        )
        width, height = (self.main_size, high) if self.flat else (high, self.main_size)
        return Layout(
            self.picture,
            placed,
            edges,
            width,
            height,
            "left-to-right" if self.flat else "top-to-bottom",
            crossings(self.network.layers, self.after),
        )

    def _main_start(self, box: int) -> float:
        """Where a box begins along the main axis: in the middle of its layer's band."""
        number = self.network.layer[box]
        return MARGIN + self.starts[number] + (self.bands[number] - self.main[box]) / 2

    def _place_box(self, box: int, at: Sequence[float]) -> PlacedBox:
        content = self.contents[box]
        main, cross = self._main_start(box), at[box] - self.cross[box] / 2
        x, y = (main, cross) if self.flat else (cross, main)
        width, height = self.main[box], self.cross[box]
        if not self.flat:
            width, height = height, width
        number = self.network.layer[box]
        item = self.picture.boxes[box]
        return PlacedBox(item, content.title, content.lines, x, y, width, height, number)

    def _point(self, main: float, cross: float) -> Point:
        return Point(main, cross) if self.flat else Point(cross, main)

    def _place_edge(self, edge: Edge, route: Sequence[int], at: Sequence[float]) -> PlacedEdge:
        source, target = route[0], route[-1]
        knots = [self._point(self._main_start(source) + self.main[source], at[source])]
        for vertex, following in pairwise(route):
            number = self.network.layer[vertex]
            end = MARGIN + self.starts[number] + self.bands[number]
            knots.append(self._point(end, at[vertex]))
            entry = at[following] + self.ports.get((vertex, following), 0.0)
            begin = MARGIN + self.starts[number + 1] - self.rooms[number + 1]
            knots.append(self._point(begin, entry))
        entry = at[target] + self.ports[route[-2], target]
        tip = self._main_start(target)
        knots.append(self._point(tip, entry))
        if self.flat:
            label_at = Point(tip - _ARROW, entry - (6.0 if edge.highlighted else 4.0))
        else:
            label_at = Point(entry + 6.0, tip - _ARROW)
        return PlacedEdge(edge, tuple(knots), label_at)
