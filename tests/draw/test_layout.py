"""Layout: boxes apart, arrows forward and around boxes, crossings not more than before."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backlight.draw import Box, Edge, Line, Picture, layout
from backlight.draw.layers import assign_layers, build_network, topological_order
from backlight.draw.layout import Layout, PlacedEdge, Point
from backlight.draw.order import crossings, inversions, reduce_crossings
from backlight.draw.place import Wish, spread
from backlight.errors import GraphError, UsageError

Pairs = list[tuple[int, int]]


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[int, Pairs]:
    count = draw(st.integers(1, 24))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    edges = draw(st.lists(pairs, max_size=50))
    return count, sorted({(min(p), max(p)) for p in edges if p[0] != p[1]})


def picture(count: int, edges: Pairs, label: str = "") -> Picture:
    boxes = tuple(
        Box(str(k), f"v{k} = {'w' * (k % 9)}", (Line("= 1", "value"),) * (k % 3))
        for k in range(count)
    )
    return Picture(boxes, tuple(Edge(str(a), str(b), label) for a, b in edges))


def random_edges(count: int, degree: int, seed: int) -> Pairs:
    chance = random.Random(seed)
    found = {
        (chance.randrange(max(0, k - 40), k), k) for k in range(1, count) for _ in range(degree)
    }
    return sorted(found)


def overlap(placed: Layout) -> list[tuple[str, str]]:
    return [
        (a.box.id, b.box.id)
        for a, b in itertools.combinations(placed.boxes, 2)
        if a.x < b.x + b.width - 1e-6
        and b.x < a.x + a.width - 1e-6
        and a.y < b.y + b.height - 1e-6
        and b.y < a.y + a.height - 1e-6
    ]


def points_along(edge: PlacedEdge, flat: bool) -> list[Point]:
    """Sample the curve that the docstring of `PlacedEdge` describes."""
    found = []
    for k, (p, q) in enumerate(itertools.pairwise(edge.knots)):
        if k % 2 == 0:
            first, second = p, q
        elif flat:
            first, second = Point((p.x + q.x) / 2, p.y), Point((p.x + q.x) / 2, q.y)
        else:
            first, second = Point(p.x, (p.y + q.y) / 2), Point(q.x, (p.y + q.y) / 2)
        for step in range(21):
            t = step / 20
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            ends = (p, first, second, q)
            found.append(
                Point(
                    sum(w * e.x for w, e in zip(weights, ends, strict=True)),
                    sum(w * e.y for w, e in zip(weights, ends, strict=True)),
                )
            )
    return found


def through_boxes(placed: Layout) -> list[str]:
    flat = placed.direction == "left-to-right"
    return [
        f"{edge.edge} through {box.box.id}"
        for edge in placed.edges
        for point in points_along(edge, flat)
        for box in placed.boxes
        if box.x + 0.5 < point.x < box.x + box.width - 0.5
        and box.y + 0.5 < point.y < box.y + box.height - 0.5
    ]


@given(acyclic(), st.sampled_from(["left-to-right", "top-to-bottom", "auto"]))
def test_nothing_overlaps_and_everything_is_inside(graph: tuple[int, Pairs], direction) -> None:
    count, edges = graph
    placed = layout(picture(count, edges, "× 2"), direction=direction)
    assert overlap(placed) == []
    assert through_boxes(placed) == []
    for box in placed.boxes:
        assert box.x >= 0 and box.y >= 0
        assert box.x + box.width <= placed.width and box.y + box.height <= placed.height
    for edge in placed.edges:
        for point in edge.knots:
            assert 0 <= point.x <= placed.width and 0 <= point.y <= placed.height


@given(acyclic())
def test_all_arrows_go_forward(graph: tuple[int, Pairs]) -> None:
    count, edges = graph
    placed = layout(picture(count, edges), direction="left-to-right")
    layer = {box.box.id: box.layer for box in placed.boxes}
    assert len(placed.boxes) == count and len(placed.edges) == len(edges)
    for edge in placed.edges:
        assert layer[edge.edge.source] < layer[edge.edge.target]
        across = [point.x for point in edge.knots]
        assert across == sorted(across)
        source = next(b for b in placed.boxes if b.box.id == edge.edge.source)
        target = next(b for b in placed.boxes if b.box.id == edge.edge.target)
        assert edge.knots[0].x == source.x + source.width
        assert edge.knots[-1].x == pytest.approx(target.x)
        assert target.y <= edge.knots[-1].y <= target.y + target.height


@given(st.lists(st.integers(0, 9), max_size=30))
def test_inversions_are_counted_as_the_definition_says(numbers: list[int]) -> None:
    assert inversions(numbers) == sum(a > b for a, b in itertools.combinations(numbers, 2))


def crossings_by_definition(layers: list[list[int]], segments: Pairs) -> int:
    place = {v: (number, k) for number, layer in enumerate(layers) for k, v in enumerate(layer)}
    return sum(
        place[a][0] == place[c][0] and (place[a][1] - place[c][1]) * (place[b][1] - place[d][1]) < 0
        for (a, b), (c, d) in itertools.combinations(segments, 2)
    )


@given(acyclic())
def test_ordering_never_adds_crossings(graph: tuple[int, Pairs]) -> None:
    network = build_network(*graph)
    sorted_network = reduce_crossings(network)
    before = crossings_by_definition(network.layers, network.segments)
    after = crossings_by_definition(sorted_network.layers, network.segments)
    assert after <= before
    assert crossings(sorted_network.layers, network.neighbours()[1]) == after
    assert [sorted(each) for each in sorted_network.layers] == [sorted(e) for e in network.layers]


def test_a_graph_that_can_be_drawn_without_crossings_is() -> None:
    # Two trees and a ladder, numbered so that the given order crosses.
    tree = [(7, 3), (0, 3), (6, 4), (1, 4), (5, 2), (3, 2), (4, 2)]
    ladder = [(0, 3), (1, 2), (3, 5), (2, 4)]
    for count, edges in ((8, tree), (6, ladder)):
        assert layout(picture(count, edges)).crossings == 0


def test_random_graphs_cross_much_less_than_unsorted() -> None:
    network = build_network(120, random_edges(120, 2, seed=5))
    before = crossings_by_definition(network.layers, network.segments)
    after = crossings_by_definition(reduce_crossings(network).layers, network.segments)
    assert after < 0.5 * before


def test_layers_are_as_short_as_the_longest_path() -> None:
    edges = [(0, 1), (1, 2), (2, 3), (0, 3), (4, 3)]
    assert assign_layers(5, edges) == [0, 1, 2, 3, 2]


@given(acyclic())
def test_topological_order(graph: tuple[int, Pairs]) -> None:
    count, edges = graph
    order = topological_order(count, edges)
    assert sorted(order) == list(range(count))
    assert all(order.index(a) < order.index(b) for a, b in edges)


def test_a_cycle_is_refused() -> None:
    assert topological_order(3, [(0, 1), (1, 0), (1, 2)]) == []
    boxes = (Box("a", "a"), Box("b", "b"))
    with pytest.raises(GraphError, match="cycle"):
        layout(Picture(boxes, (Edge("a", "b"), Edge("b", "a"))))


def test_a_chain_is_straight_and_long_arrows_too() -> None:
    edges = [(k, k + 1) for k in range(9)]
    placed = layout(picture(10, edges), direction="top-to-bottom")
    assert len({round(box.x + box.width / 2, 6) for box in placed.boxes}) == 1
    skip = layout(picture(10, [*edges, (0, 9)]), direction="top-to-bottom")
    long = skip.edges[-1].knots
    assert len({round(point.x, 6) for point in long[3:-3]}) == 1


def test_a_chain_stays_straight_beside_its_parameters() -> None:
    edges = sorted([(k, k + 1) for k in range(7)] + [(8 + k, k + 1) for k in range(7)])
    placed = layout(picture(15, edges), direction="top-to-bottom")
    centres = {round(box.x + box.width / 2, 6) for box in placed.boxes[1:8]}
    assert len(centres) == 1


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 5)), min_size=1, max_size=6),
    st.lists(st.integers(1, 20), min_size=5, max_size=5),
)
def test_spread_is_optimal(wishes: list[tuple[int, int]], distances: list[int]) -> None:
    gaps = [float(each) for each in distances[: len(wishes) - 1]]
    found = spread([Wish(float(p), float(w)) for p, w in wishes], gaps)

    def fits(places: list[float]) -> bool:
        steps = zip(itertools.pairwise(places), gaps, strict=True)
        return all(b - a >= gap - 1e-9 for (a, b), gap in steps)

    assert fits(found)

    def cost(places: list[float]) -> float:
        return sum(w * (x - p) ** 2 for x, (p, w) in zip(places, wishes, strict=True))

    # The optimum of a convex problem: no feasible shift of neighbours together is better.
    for begin in range(len(found)):
        for end in range(begin + 1, len(found) + 1):
            for step in (-0.01, 0.01):
                moved = [x + step * (begin <= k < end) for k, x in enumerate(found)]
                assert not fits(moved) or cost(moved) >= cost(found) - 1e-9


def test_direction() -> None:
    short = picture(3, [(0, 1), (1, 2)])
    deep = picture(40, [(k, k + 1) for k in range(39)])
    assert layout(short).direction == "left-to-right"
    assert layout(deep).direction == "top-to-bottom"
    assert layout(short, direction="top-to-bottom").direction == "top-to-bottom"
    with pytest.raises(UsageError, match="direction is"):
        layout(short, direction="sideways")


def test_an_empty_picture_and_a_single_box() -> None:
    assert layout(Picture((), ())).boxes == ()
    assert len(layout(picture(1, [])).boxes) == 1


def test_three_hundred_boxes_take_seconds_at_most() -> None:
    import time

    start = time.perf_counter()
    placed = layout(picture(300, random_edges(300, 2, seed=1)))
    assert time.perf_counter() - start < 10.0
    assert overlap(placed) == []


def test_labels_do_not_touch_boxes_or_each_other() -> None:
    from backlight.draw.measure import LINE_SIZE, text_width

    edges = [(0, 3), (1, 3), (2, 3), (3, 5), (4, 5), (5, 6)]
    for direction in ("left-to-right", "top-to-bottom"):
        placed = layout(picture(7, edges, "× 0.12345"), direction=direction)
        rectangles = []
        for edge in placed.edges:
            width = text_width(edge.edge.label, LINE_SIZE)
            x = edge.label_at.x - (width if direction == "left-to-right" else 0.0)
            rectangles.append((x, edge.label_at.y - 10.0, x + width, edge.label_at.y))
        boxes = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in placed.boxes]
        for one, other in [
            *itertools.combinations(rectangles, 2),
            *itertools.product(rectangles, boxes),
        ]:
            apart = (
                one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            )
            assert apart
