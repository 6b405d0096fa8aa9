"""The classic examples, with their numbers worked out by hand and in the textbook's form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import backlight as bl
from backlight.explain.derive import Step
from backlight.graph.notation import UNICODE

TIGHT = 1e-12


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def test_one_weight_and_a_squared_error() -> None:
    w, x, y = bl.param(1.0, name="w"), bl.tensor(1.0, name="x"), bl.tensor(2.0, name="y")
    d = bl.explain((w * x - y) ** 2, w)
    assert d.value == -2.0
    (term,) = d.steps[-1].terms
    factors = list(reversed(term.factors))
    assert [UNICODE.expression(each.symbolic) for each in factors] == ["2s", "1", "x"]
    assert [each.value for each in factors] == [-2.0, 1.0, 1.0]
    assert d.title == "∂L/∂w = −2"
    assert d.text().splitlines()[:13] == [
        "∂L/∂w = −2",
        "",
        "Forward pass: the values",
        "  p = w·x = 1·1 = 1",
        "  s = p − y = 1 − 2 = −1",
        "  L = s² = (−1)² = 1",
        "",
        "Backward pass",
        "  ∂L/∂w = ∂L/∂s · ∂s/∂p · ∂p/∂w",
        "        = 2s · 1 · x",
        "        = 2·(−1) · 1 · 1",
        "        = −2",
        "",
    ]
    assert d.numeric.ok
    assert d.numeric.value == pytest.approx(-2, rel=1e-9)


# ── a network, node by node ──────────────────────────────────────────────────────────────────────

INPUT, TARGET = [0.5, -1.0, 2.0], [1.0, 0.0]
SIZES = (3, 3, 3, 2)
WEIGHTS = [
    [[(((3 * j + 5 * k + 7 * layer) % 11) - 5) / 10 for k in range(1, SIZES[layer - 1] + 1)]
     for j in range(1, SIZES[layer] + 1)]
    for layer in (1, 2, 3)
]  # fmt: skip


def forward() -> tuple[list[list[float]], list[list[float]]]:
    """The sums z and activations a of every layer; the input is the first of the activations."""
    z, a = [], [list(INPUT)]
    for weights in WEIGHTS:
        z.append([sum(w * x for w, x in zip(row, a[-1], strict=True)) for row in weights])
        a.append([sigmoid(each) for each in z[-1]])
    return z, a


def deltas() -> tuple[list[list[float]], list[list[float]]]:
    """∂L/∂z and ∂L/∂a of every layer, by the formulas of the textbook."""
    _, a = forward()
    by_a = [[2 * (a[3][j] - TARGET[j]) for j in range(2)]]
    by_z = []
    for layer in (3, 2, 1):
        by_z.insert(0, [g * s * (1 - s) for g, s in zip(by_a[0], a[layer], strict=True)])
        if layer > 1:
            by_a.insert(0, [
                sum(by_z[0][j] * WEIGHTS[layer - 1][j][k] for j in range(SIZES[layer]))
                for k in range(SIZES[layer - 1])
            ])  # fmt: skip
    return by_z, by_a


@pytest.fixture(scope="module")
def trace() -> bl.Trace:
    layers: list[object] = []
    for fan_in, fan_out in itertools.pairwise(SIZES):
        layers += [bl.nn.Linear(fan_in, fan_out, bias=False, dtype="float64"), bl.nn.Sigmoid()]
    net = bl.nn.Sequential(*layers)
    for number, weights in enumerate(WEIGHTS):
        net.parameters()[f"layers.{2 * number}.weight"].assign(weights)
    x, y = bl.tensor(INPUT, name="x"), bl.tensor(TARGET, name="y")
    loss = bl.nn.squared_error(net(x), y)
    return bl.record(loss)


def test_the_loss(trace: bl.Trace) -> None:
    _, a = forward()
    by_hand = sum((a[3][j] - TARGET[j]) ** 2 for j in range(2))
    assert by_hand == pytest.approx(0.6180362425825663, rel=1e-14)
    assert float(trace.values[trace.output]) == pytest.approx(by_hand, rel=TIGHT)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_every_weight_of_every_layer(trace: bl.Trace, layer: int) -> None:
    by_z, _ = deltas()
    _, a = forward()
    for j in range(SIZES[layer]):
        for k in range(SIZES[layer - 1]):
            d = bl.explain(trace, weight=f"layers.{2 * layer - 2}.weight[{j},{k}]")
            assert d.value == pytest.approx(by_z[layer - 1][j] * a[layer - 1][k], rel=TIGHT)
            assert d.numeric.ok
            level = "⁽" + "¹²³"[layer - 1] + "⁾"
            lower = "₁₂₃"[j] + "₁₂₃"[k]
            assert UNICODE.expression(d.left) == f"∂loss/∂w{lower}{level}"
            nodes = [step.entry.node for step in d.steps]
            assert nodes == sorted(nodes, reverse=True)


def symbolic(step: Step) -> list[list[str]]:
    return [
        [UNICODE.expression(factor.symbolic) for factor in reversed(term.factors)]
        for term in step.terms
    ]


def test_the_form_for_the_output_layer(trace: bl.Trace) -> None:
    z, a = forward()
    d = bl.explain(trace, weight="layers.4.weight[0,1]")
    assert d.value == pytest.approx(-0.12173931125565628, rel=TIGHT)
    assert len(d.steps) == 1
    assert symbolic(d.steps[0]) == [["2(a₁⁽³⁾ − y₁)", "σ′(z₁⁽³⁾)", "a₂⁽²⁾"]]
    slope = sigmoid(z[2][0]) * (1 - sigmoid(z[2][0]))
    wanted = [2 * (a[3][0] - 1.0), slope, a[2][1]]
    found = [factor.value for factor in reversed(d.steps[0].terms[0].factors)]
    assert found == pytest.approx(wanted, rel=TIGHT)


def test_an_activation_is_summed_over_the_nodes_of_the_next_layer(trace: bl.Trace) -> None:
    index = next(k for k, node in enumerate(trace.graph.nodes) if node.name == "layers.3.a")
    d = bl.explain(trace, trace.graph.nodes[index].name, index=1)
    assert d.value == pytest.approx(0.07306088997376127, rel=TIGHT)
    (step,) = d.steps
    assert [term.contribution for term in step.terms] == pytest.approx(
        [0.10183279169525045, -0.028771901721489176], rel=TIGHT
    )
    assert symbolic(step) == [
        ["2(a₁⁽³⁾ − y₁)", "σ′(z₁⁽³⁾)", "w₁₂⁽³⁾"],
        ["2(a₂⁽³⁾ − y₂)", "σ′(z₂⁽³⁾)", "w₂₂⁽³⁾"],
    ]
    text = d.text()
    assert "Σⱼ ∂loss/∂aⱼ⁽³⁾ · ∂aⱼ⁽³⁾/∂zⱼ⁽³⁾ · ∂zⱼ⁽³⁾/∂a₂⁽²⁾" in text
    assert "Σⱼ 2(aⱼ⁽³⁾ − yⱼ) · σ′(zⱼ⁽³⁾) · wⱼ₂⁽³⁾" in text


def test_a_hidden_weight_is_nested(trace: bl.Trace) -> None:
    _, by_a = deltas()
    d = bl.explain(trace, weight="layers.2.weight[1,1]")
    assert d.value == pytest.approx(0.012181382894588729, rel=TIGHT)
    assert [UNICODE.expression(step.symbol) for step in d.steps] == ["a₂⁽²⁾", "w₂₂⁽²⁾"]
    assert d.steps[0].value == pytest.approx(by_a[1][1], rel=TIGHT)
    (term,) = d.steps[1].terms
    assert term.end == d.steps[0].entry
    assert term.end_value == d.steps[0].value
    text = d.text()
    assert "∂loss/∂w₂₂⁽²⁾ = ∂loss/∂a₂⁽²⁾ · ∂a₂⁽²⁾/∂z₂⁽²⁾ · ∂z₂⁽²⁾/∂w₂₂⁽²⁾" in text
    assert "= ∂loss/∂a₂⁽²⁾ · σ′(z₂⁽²⁾) · a₂⁽¹⁾" in text
    assert "derivatives of later layers come first" in text


def test_one_layer_further_back(trace: bl.Trace) -> None:
    d = bl.explain(trace, weight="layers.0.weight[0,0]")
    assert d.value == pytest.approx(-0.0013553347477880228, rel=TIGHT)
    assert [UNICODE.expression(step.symbol) for step in d.steps] == [
        "a₁⁽²⁾", "a₂⁽²⁾", "a₃⁽²⁾", "a₁⁽¹⁾", "w₁₁⁽¹⁾",
    ]  # fmt: skip
    assert d.paths().count == 6
    assert sum(path.contribution for path in d.paths()) == pytest.approx(d.value, rel=TIGHT)


# ── backward differentiation, and a two-layer classifier ─────────────────────────────────────────


def test_a_graph_with_named_nodes() -> None:
    a, b, c = bl.param(3.0, name="a"), bl.param(1.0, name="b"), bl.param(-2.0, name="c")
    d = 2.0 * b
    e = a + d
    L = c * e
    wanted = {c: 5.0, e: -2.0, a: -2.0, d: -2.0, b: -4.0}
    for tensor, value in wanted.items():
        assert bl.explain(L, tensor).value == value
    derivation = bl.explain(L, b)
    assert symbolic(derivation.steps[0]) == [["c", "1", "2"]]
    assert "∂L/∂b = ∂L/∂e · ∂e/∂d · ∂d/∂b" in derivation.text()


def test_a_classifier_with_relu_and_cross_entropy() -> None:
    x = bl.tensor([0.5, -0.2], name="x")
    W1 = bl.param([[0.1, 0.4], [-0.3, 0.2]], name="W1")
    b1 = bl.param([0.05, 0.3], name="b1")
    W2 = bl.param([[0.7, -0.6]], name="W2")
    b2 = bl.param([0.1], name="b2")
    h = bl.relu(W1 @ x + b1)
    z2 = W2 @ h + b2
    loss = bl.nn.binary_cross_entropy(bl.sigmoid(z2), bl.tensor([1.0], name="y"))
    assert loss.item() == pytest.approx(0.66943515, abs=5e-9)
    by_z = sigmoid(0.048) - 1.0
    assert bl.explain(loss, z2, index=0).value == pytest.approx(by_z, rel=1e-12)
    wanted = {
        (W2, (0, 0)): -0.009760046069385638, (W2, (0, 1)): -0.053680253381621024,
        (W1, (0, 0)): -0.17080080621424873, (W1, (0, 1)): 0.0683203224856995,
        (W1, (1, 0)): 0.14640069104078463, (W1, (1, 1)): -0.05856027641631385,
    }  # fmt: skip
    for (tensor, index), value in wanted.items():
        d = bl.explain(loss, tensor, index=index)
        assert d.value == pytest.approx(value, rel=1e-12)
        assert d.numeric.ok
        assert sum(path.contribution for path in d.paths()) == pytest.approx(value, rel=1e-12)


# ── batches ──────────────────────────────────────────────────────────────────────────────────────


def batch_of(count: int) -> tuple[bl.Tensor, dict[str, bl.Tensor], np.ndarray]:
    generator = np.random.default_rng(5)
    net = bl.nn.Sequential(
        bl.nn.Linear(3, 2, dtype="float64"), bl.nn.Tanh(), bl.nn.Linear(2, 1, dtype="float64"),
        seed=0,
    )  # fmt: skip
    X = generator.normal(size=(count, 3))
    y = generator.normal(size=(count, 1))
    L = bl.nn.mse(net(bl.tensor(X, name="X")), bl.tensor(y, name="y"))
    return L, net.parameters(), X


def test_the_sum_over_the_examples_of_a_batch() -> None:
    L, parameters, X = batch_of(3)
    d = bl.explain(L, parameters["layers.0.weight"], index=(1, 2))
    (step,) = d.steps
    assert step.count == 3
    assert [term.factors[0].of.case for term in step.terms] == ["1", "2", "3"]
    assert [term.factors[0].value for term in step.terms] == pytest.approx(list(X[:, 2]))
    text = d.text()
    assert "acts on the loss in 3 ways" in text
    assert "Σᵢ 1/3·2(z₁⁽²⁾⟨i⟩ − y₁⟨i⟩) · w₁₂⁽²⁾ · tanh′(z₂⁽¹⁾⟨i⟩) · X₃⟨i⟩" in text


def test_a_large_batch_lists_the_largest_terms_and_the_rest() -> None:
    L, parameters, _ = batch_of(40)
    d = bl.explain(L, parameters["layers.0.weight"], index=(0, 0))
    step = d.steps[-1]
    assert (step.count, len(step.terms)) == (40, 4)
    per_example = [path.contribution for path in d.paths(top=40)]
    listed = sorted((abs(term.contribution) for term in step.terms), reverse=True)
    assert listed == pytest.approx([abs(each) for each in per_example[:4]], rel=1e-9)
    assert step.remainder == pytest.approx(sum(per_example[4:]), rel=1e-9)
    text = d.text()
    assert "36 more" in text
    assert "Σᵢ ∂L/∂z₁⁽¹⁾⟨i⟩ · X₁⟨i⟩" in text


def test_a_batch_of_one_example_has_no_marks() -> None:
    L, parameters, _ = batch_of(1)
    assert "⟨" not in bl.explain(L, parameters["layers.0.weight"], index=(0, 0)).text()
