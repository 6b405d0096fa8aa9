"""What a picture says: formulas, numbers, local derivatives, captions."""

from __future__ import annotations

import time

import numpy as np
import pytest

import backlight as bl
from backlight.draw import Box, Drawing, Edge, Picture, picture_of
from backlight.draw.words import array_text, local_text, name_text, norm, number_text
from backlight.errors import GraphError, UnknownNameError, UsageError
from backlight.graph.graph import Graph
from backlight.graph.scope import open_scope
from backlight.tensor import Tensor
from backlight.trace import capture


def numbers(loss: Tensor) -> tuple[Graph, list[np.ndarray], list[np.ndarray | None]]:
    graph, tensors = capture([loss])
    loss.backward()
    return graph, [each.value for each in tensors], [each.grad for each in tensors]


def one_weight() -> Tensor:
    w = bl.param(1.0, name="w")
    x, y = bl.tensor(1.0, name="x"), bl.tensor(2.0, name="y")
    y_hat = w * x
    s = y_hat - y
    loss = s**2
    return loss


def test_the_first_worked_example() -> None:
    """w = 1, x = 1, y = 2: ŷ = 1, s = −1, loss = 1; ∂loss/∂s = 2s = −2 and so back to w."""
    graph, values, gradients = numbers(one_weight())
    at = graph.index
    factors = {(at("y_hat"), 0): 1.0, (at("s"), 0): 1.0, (at("loss"), 0): np.array(-2.0)}
    picture = picture_of(graph, values, gradients, factors)
    assert picture.describe().splitlines() == [
        "Computation graph of loss: 6 boxes, 5 arrows.",
        "w (parameter): = 1; ∂loss/∂w = −2",
        "x (input): = 1",
        "y (input): = 2",
        "ŷ = w·x (operation) from w (× 1), x: = 1; ∂loss/∂ŷ = −2",
        "s = ŷ − y (operation) from ŷ (× 1), y: = −1; ∂loss/∂s = −2",
        "loss = s² (result) from s (× (−2)): = 1; ∂loss/∂loss = 1",
    ]
    assert picture.gradient_note == "gradient of loss with respect to the box's value"
    assert len(picture.inlined) == 1 and graph.nodes[picture.inlined[0]].is_leaf


def test_without_numbers_shapes_are_shown() -> None:
    graph = bl.trace(lambda W, x: W @ x, np.ones((2, 3), np.float32), np.ones(3, np.float32))
    first, second, product = picture_of(graph).boxes
    assert [line.text for line in first.lines] == ["(2, 3) float32"]
    assert [line.text for line in second.lines] == ["(3,) float32"]
    assert product.title.endswith("= W @ x") and product.kind == "output"


def test_forward_and_backward_lines_are_told_apart_by_words() -> None:
    picture = picture_of(*numbers(one_weight()))
    for box in picture.boxes:
        for line in box.lines:
            assert line.text.startswith({"value": "=", "gradient": "∂"}[line.role])


def test_a_missing_gradient_says_so_and_is_never_zero() -> None:
    w, unused = bl.param(2.0, name="w"), bl.param(3.0, name="unused")
    graph, _ = capture([w * 2.0, unused * 3.0])
    gradients = [np.array(2.0) if node.name == "w" else None for node in graph.nodes]
    texts = {box.title: [line.text for line in box.lines] for box in
             picture_of(graph, gradients=gradients).boxes}  # fmt: skip
    assert texts["unused"] == ["no gradient"]
    assert texts["w"] == ["∂/∂w = 2"]


def test_a_value_used_twice_has_one_arrow_with_both_factors() -> None:
    x = bl.param(3.0, name="x")
    graph, _ = capture([x * x])
    picture = picture_of(graph, locals={(1, 0): 3.0, (1, 1): 4.0})
    assert [edge.label for edge in picture.edges] == ["× 3 and × 4"]


def test_constants_with_several_entries_are_boxes() -> None:
    x = bl.param([1.0, 2.0], name="x")
    graph, _ = capture([x + np.array([3.0, 4.0])])
    constant = next(box for box in picture_of(graph).boxes if box.kind == "constant")
    assert [line.text for line in constant.lines] == ["= [3, 4]"]


def test_a_constant_that_is_the_result_is_drawn() -> None:
    graph = bl.trace(lambda x: 2.0, 1.0)
    assert len(picture_of(graph).boxes) == 2


def layered() -> Tensor:
    h = bl.tensor([1.0, 2.0], name="x")
    for k in range(2):
        w = bl.param([[1.0, 2.0], [3.0, 4.0]], name=f"layers.{k}.weight")
        with open_scope(f"layers.{k}", "module"):
            h = w @ h
            h.name = f"h{k}"
    loss = bl.sum(h)
    return loss


def test_folded_boxes_show_what_leaves_them() -> None:
    picture = picture_of(*numbers(layered()), depth=0)
    box = next(box for box in picture.boxes if box.title == "layers.1")
    assert box.kind == "module"
    # h0 = W x = [5, 11]; h1 = W h0 = [27, 59]; the loss is their sum.
    assert [line.text for line in box.lines] == [
        "1 operation", "h₁ = [27, 59]", "∂loss/∂h₁ = [1, 1]",
    ]  # fmt: skip
    assert "Folded into 2 modules and composites: 2 nodes" in picture.caption


def test_repeated_calls_are_numbered() -> None:
    h = bl.param(1.0, name="h")
    for _ in range(3):
        with open_scope("cell", "module"):
            h = bl.tanh(h)
    picture = picture_of(capture([h])[0], depth=0)
    notes = [box.lines[0].text for box in picture.boxes if box.kind == "module"]
    assert notes == [f"1 operation, call {k} of 3" for k in (1, 2, 3)]


def test_every_node_is_accounted_for() -> None:
    loss = layered()
    graph = numbers(loss)[0]
    for picture in (picture_of(graph), picture_of(graph, depth=0)):
        nodes = sorted([*picture.inlined, *(k for box in picture.boxes for k in box.nodes)])
        assert nodes == list(range(len(graph.nodes)))


def test_highlighted_nodes_and_the_arrows_between_them() -> None:
    graph = numbers(one_weight())[0]
    picture = picture_of(graph, highlight=["w", "y_hat", graph.index("s")])
    assert {box.name or box.title for box in picture.boxes if box.highlighted} == {"w", "ŷ", "s"}
    names = {box.id: box.name or box.title for box in picture.boxes}
    lit = {(names[e.source], names[e.target]) for e in picture.edges if e.highlighted}
    assert lit == {("w", "ŷ"), ("ŷ", "s")}
    with pytest.raises(UnknownNameError, match="no node named 'v'"):
        picture_of(graph, highlight=["v"])


def test_the_wrong_number_of_values_is_refused() -> None:
    graph = numbers(one_weight())[0]
    with pytest.raises(UsageError, match="values has 1 entries and the graph 7 nodes"):
        picture_of(graph, [1.0])
    with pytest.raises(UsageError, match="gradients has 2 entries"):
        picture_of(graph, None, [1.0, None])


@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand_operations() -> None:
    y = bl.param(1.0, name="x")
    for _ in range(100_000):
        y = y + 1e-5
    graph, tensors = capture([y])
    start = time.perf_counter()
    picture = picture_of(graph, [each.value for each in tensors])
    svg = Drawing(picture).svg
    assert time.perf_counter() - start < 20.0
    assert "… 99,940 more …" in svg
    assert "Left out and only counted: 99,940 nodes." in picture.caption
    assert len(picture.boxes) == 62


def test_pictures_are_checked() -> None:
    a, b = Box("a", "a"), Box("b", "b")
    with pytest.raises(GraphError, match="same id"):
        Picture((a, a), ())
    with pytest.raises(GraphError, match="'c', which is not a box"):
        Picture((a,), (Edge("a", "c"),))
    with pytest.raises(GraphError, match="at most one edge"):
        Picture((a, b), (Edge("a", "b"), Edge("a", "b")))
    with pytest.raises(GraphError, match="at most one edge"):
        Picture((a,), (Edge("a", "a"),))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("y_hat", "ŷ"), ("m_hat2", "m̂₂"), ("x_bar", "x̄"), ("w12", "w₁₂"), ("w_12", "w₁₂"),
        ("lambda", "λ"), ("sigma", "σ"), ("omega3", "ω₃"), ("loss", "loss"), ("loss2", "loss2"),
        ("layers.0.weight", "layers.0.weight"), ("w1_11", "w1_11"), ("_hat", "_hat"), ("", ""),
        ("2", "2"), ("é", "é"),
    ],
)  # fmt: skip
def test_names(name: str, text: str) -> None:
    assert name_text(name) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.5, "−0.5"), (np.float32(0.1), "0.1"), (1e-9, "1e−9"), (True, "True"),
        (np.nan, "NaN"), (-np.inf, "−∞"), (123456.0, "1.2346e5"), (12345.0, "12345"),
        ([], "(0,), empty"), (np.zeros((2, 0)), "(2, 0), empty"), ([[1.5]], "[[1.5]]"),
        (np.arange(10), "(10,), 0 … 9"), (np.ones((2, 3), bool), "(2, 3), 6 True"),
        (np.full((2, 3), np.nan), "(2, 3), 6 not finite"), (np.zeros(9), "(9,), ‖·‖ = 0"),
        (np.array([3.0, 4.0, 0, 0, 0]), "(5,), ‖·‖ = 5"),
    ],
)  # fmt: skip
def test_arrays(value: object, text: str) -> None:
    assert array_text(value).replace("1.2346e+5", "1.2346e5") == text


def test_locals() -> None:
    assert local_text(-2.0) == "× (−2)"
    assert local_text(np.full((3, 3), 0.25)) == "× 0.25"
    assert local_text([0.5, -1.0]) == "× [0.5, −1]"
    assert local_text(np.zeros((0, 2))) == "× array (0, 2)"
    assert number_text(np.uint8(7)) == "7"


def test_norm_agrees_with_numpy_and_does_not_overflow() -> None:
    array = np.random.default_rng(0).normal(size=(7, 5))
    assert norm(array) == pytest.approx(np.linalg.norm(array), rel=1e-14)
    assert norm(array * 1e300) == pytest.approx(np.linalg.norm(array) * 1e300, rel=1e-14)
    assert norm(np.float32([3e30, 4e30])) == pytest.approx(5e30, rel=1e-6)
