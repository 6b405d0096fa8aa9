"""The classic worked examples: published numbers, in the published form, from the scripts.

The expected numbers come from the chain rule written out by hand in double precision, from closed
forms, and from the delta rule in NumPy below.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from tests.examples.running import ROOT, made, output, script

import backlight as bl


def printed(text: str, left: str) -> float:
    """Find the number that a title gives for a derivative."""
    found = re.search(rf"{re.escape(left)} = (−?[\d.]+(?:e[−+]?\d+)?) (?:Forward|Backward)", text)
    assert found is not None, f"there is no derivation of {left}"
    return float(found[1].replace("−", "-"))


def in_order(text: str, *parts: str) -> bool:
    """Tell whether all the parts occur, one after the other."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True


@cache
def example(name: str):
    return script(f"examples/{name}.py")


# ---- 1. one weight -------------------------------------------------------------------------------


def test_one_weight_takes_the_three_steps_one_at_a_time():
    assert in_order(
        output("one_weight"),
        "Step 1: the forward pass",
        "y_hat = w·x = 1·1 = 1",
        "s = y_hat − y = 1 − 2 = −1",
        "L = s² = (−1)² = 1",
        "Step 2: the local gradients",
        "∂L/∂s = 2s = 2·(−1) = −2",
        "∂s/∂y_hat = 1",
        "∂y_hat/∂w = x",
        "Step 3: the backward pass",
        "∂L/∂y_hat = ∂L/∂s · ∂s/∂y_hat",
        "∂L/∂w = ∂L/∂s · ∂s/∂y_hat · ∂y_hat/∂w = 2s · 1 · x = 2·(−1) · 1 · 1 = −2",
        "numeric check agrees",
    )


def test_one_weight_descends_as_the_closed_form_says():
    taken = example("one_weight").descend(bl.param(1.0, name="w"), 30)
    # w − 2 is multiplied by 1 − 2·0.1 in every step.
    assert [weight for _, _, weight in taken] == pytest.approx(
        [2 - 0.8**step for step in range(1, 31)], rel=1e-14
    )
    assert [weight for _, _, weight in taken[:2]] == pytest.approx([1.2, 1.36], rel=1e-15)
    assert in_order(output("one_weight"), "1.2000000", "1.3600000", "1.4880000")


def test_one_weight_can_wait_between_the_steps():
    done = run("one_weight", "--pause", input="\n" * 4)
    assert done.returncode == 0
    assert done.stdout.count("[Enter]") == 4
    assert run("one_weight", "--pause", input="\n").stdout.count("── Step") == 1


# ---- 2. a network node by node -------------------------------------------------------------------


def by_hand() -> tuple[float, list[np.ndarray]]:
    """The loss and the derivatives by all weights, with the four equations of backpropagation."""
    sizes = [3, 3, 3, 2]
    weights = [
        np.array(
            [
                [((3 * j + 5 * k + 7 * layer) % 11 - 5) / 10 for k in range(1, before + 1)]
                for j in range(1, after + 1)
            ]
        )
        for layer, (before, after) in enumerate(pairwise(sizes), start=1)
    ]
    activations = [np.array([0.5, -1.0, 2.0])]
    for weight in weights:
        activations.append(1 / (1 + np.exp(-weight @ activations[-1])))
    error = activations[-1] - [1.0, 0.0]
    delta = 2 * error * activations[-1] * (1 - activations[-1])
    found = []
    for layer in (2, 1, 0):
        found.insert(0, np.outer(delta, activations[layer]))
        delta = weights[layer].T @ delta * activations[layer] * (1 - activations[layer])
    return float(error @ error), found


def test_node_by_node_gives_the_published_numbers():
    text = output("node_by_node")
    loss = re.search(r"L = (0\.\d{10,})", text)
    assert float(loss[1]) == pytest.approx(0.6180362425825663, rel=1e-14)
    assert printed(text, "∂L/∂w₁₂⁽³⁾") == pytest.approx(-0.12173931125565628, rel=1e-14)
    assert printed(text, "∂L/∂a₂⁽²⁾") == pytest.approx(0.07306088997376127, rel=1e-13)
    assert printed(text, "∂L/∂w₂₂⁽²⁾") == pytest.approx(0.012181382894588729, rel=1e-13)
    assert printed(text, "∂L/∂w₁₁⁽¹⁾") == pytest.approx(-0.0013553347477880228, rel=1e-13)
    assert "DISAGREES" not in text


def test_node_by_node_writes_the_published_forms():
    text = output("node_by_node")
    assert in_order(
        text,
        "∂L/∂w₁₂⁽³⁾ = ∂L/∂a₁⁽³⁾ · ∂a₁⁽³⁾/∂z₁⁽³⁾ · ∂z₁⁽³⁾/∂w₁₂⁽³⁾",
        "= 2(a₁⁽³⁾ − y₁) · σ′(z₁⁽³⁾) · a₂⁽²⁾",
        "∂L/∂a₂⁽²⁾ = Σⱼ ∂L/∂aⱼ⁽³⁾ · ∂aⱼ⁽³⁾/∂zⱼ⁽³⁾ · ∂zⱼ⁽³⁾/∂a₂⁽²⁾",
        "= Σⱼ 2(aⱼ⁽³⁾ − yⱼ) · σ′(zⱼ⁽³⁾) · wⱼ₂⁽³⁾",
        "2(a₁⁽³⁾ − y₁) · σ′(z₁⁽³⁾) · w₁₂⁽³⁾",
        "0.101833",
        "2(a₂⁽³⁾ − y₂) · σ′(z₂⁽³⁾) · w₂₂⁽³⁾",
        "−0.0287719",
    )
    # The result is the first factor for a weight of that layer, and is found before it.
    assert in_order(
        text,
        "Step 1 of 2",
        "derivatives of later layers come first",
        "∂L/∂a₂⁽²⁾ = Σⱼ",
        "Step 2 of 2",
        "∂L/∂w₂₂⁽²⁾ = ∂L/∂a₂⁽²⁾ · ∂a₂⁽²⁾/∂z₂⁽²⁾ · ∂z₂⁽²⁾/∂w₂₂⁽²⁾",
        "= ∂L/∂a₂⁽²⁾ · σ′(z₂⁽²⁾) · a₂⁽¹⁾",
    )


def test_the_two_effects_of_a_hidden_activation():
    module = example("node_by_node")
    derivation = bl.explain(module.loss_of(module.network()), "layers.3.a", index=1)
    effects = [term.contribution for term in derivation.steps[-1].terms]
    assert effects == pytest.approx([0.10183279169525045, -0.028771901721489176], rel=1e-13)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_any_weight_of_any_layer(layer):
    module = example("node_by_node")
    net = module.network()
    L = module.loss_of(net)
    _, expected = by_hand()
    for (j, k), value in np.ndenumerate(expected[layer]):
        derivation = bl.explain(L, net, weight=f"layers.{2 * layer}.weight[{j},{k}]")
        assert derivation.value == pytest.approx(value, rel=1e-12)
        assert derivation.numeric.ok
        text = derivation.text()
        assert text.startswith(f"∂L/∂w{'₁₂₃'[j]}{'₁₂₃'[k]}⁽{'¹²³'[layer]}⁾ = ")
        order = [step.entry.node for step in derivation.steps]
        assert order == sorted(order, reverse=True)  # later layers first


def test_node_by_node_takes_a_weight_from_the_command_line():
    done = run("node_by_node", "--weight", "layers.2.weight[1,1]")
    assert done.stdout.startswith("∂L/∂w₂₂⁽²⁾ = 0.01218138289458")
    wrong = run("node_by_node", "--weight", "layers.2.weight[5,1]")
    assert wrong.returncode == 2
    assert "out of range" in wrong.stderr
    assert "Traceback" not in wrong.stderr


# ---- 3. a computation graph, and a classifier ----------------------------------------------------


def test_the_computation_graph_has_a_value_and_a_derivative_everywhere():
    nodes = example("computation_graph").build()
    trace = bl.record(nodes["L"])
    assert {name: float(trace.value(name)) for name in nodes} == {
        "a": 3, "b": 1, "c": -2, "d": 2, "e": 5, "L": -10
    }  # fmt: skip
    assert {name: float(trace.gradient(name)) for name in nodes} == {
        "a": -2, "b": -4, "c": 5, "d": -2, "e": -2, "L": 1
    }  # fmt: skip


def test_the_computation_graph_prints_every_edge():
    assert in_order(
        output("computation_graph"),
        "c → L ∂L/∂c = 5 ∂L/∂L = 1 5",
        "e → L ∂L/∂e = −2 ∂L/∂L = 1 −2",
        "a → e ∂e/∂a = 1 ∂L/∂e = −2 −2",
        "d → e ∂e/∂d = 1 ∂L/∂e = −2 −2",
        "b → d ∂d/∂b = 2 ∂L/∂d = −2 −4",
        "∂L/∂b = ∂L/∂e · ∂e/∂d · ∂d/∂b = c · 1 · 2 = −2 · 1 · 2 = −4",
    )
    picture = made("computation_graph")["computation-graph.svg"]
    for words in ("L = c·e", "e = a + d", "d = 2b", "= −10", "∂L/∂b = −4", "× (−2)"):
        assert words in picture


def test_the_classifier_gives_the_published_numbers():
    module = example("two_layer_classifier")
    net = module.network()
    L = module.loss_of(net)
    trace = bl.record(L)
    assert trace.value("layers.0.s") == pytest.approx([0.02, 0.11], rel=1e-14)
    assert trace.value("layers.2.s") == pytest.approx([0.048], rel=1e-13)
    assert trace.value("layers.3.a") == pytest.approx([0.5119977], abs=5e-8)
    assert L.item() == pytest.approx(0.66943515, abs=5e-9)
    assert trace.gradient("layers.2.s") == pytest.approx([-0.4880023], abs=5e-8)
    assert trace.gradient("layers.2.weight")[0] == pytest.approx(
        [-0.009760046069385638, -0.053680253381621024], rel=1e-13
    )
    assert trace.gradient("layers.0.weight").ravel() == pytest.approx(
        [-0.17080080621424873, 0.0683203224856995, 0.14640069104078463, -0.05856027641631385],
        rel=1e-13,
    )


def test_the_classifier_prints_them():
    text = output("two_layer_classifier")
    assert "L = 0.66943515" in text
    assert printed(text, "∂L/∂z₁⁽²⁾") == pytest.approx(-0.4880023, abs=5e-8)
    assert printed(text, "∂L/∂w₁₁⁽²⁾") == pytest.approx(-0.009760046069385638, rel=1e-13)
    assert printed(text, "∂L/∂w₁₂⁽²⁾") == pytest.approx(-0.053680253381621024, rel=1e-13)
    assert printed(text, "∂L/∂w₁₁⁽¹⁾") == pytest.approx(-0.17080080621424873, rel=1e-13)
    assert "relu′(z₁⁽¹⁾)" in text
    assert "DISAGREES" not in text


POINTS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
LOGISTIC = 1 / (1 + np.exp(-POINTS))
CLOSED_FORMS = {
    "sigmoid": (LOGISTIC, np.exp(-POINTS) / (1 + np.exp(-POINTS)) ** 2),
    "tanh": (np.sinh(POINTS) / np.cosh(POINTS), 1 / np.cosh(POINTS) ** 2),
    "ReLU": (np.array([0, 0, 0, 1, 2.0]), np.array([0, 0, 0, 1, 1.0])),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_derivatives_of_the_activations(name):
    module = example("two_layer_classifier")
    function = module.ACTIVATIONS[name]
    values, slopes = CLOSED_FORMS[name]
    assert function(POINTS).value == pytest.approx(values, rel=1e-14, abs=0)
    assert module.slope(function)(POINTS) == pytest.approx(slopes, rel=1e-14, abs=0)


def test_the_table_of_derivatives():
    rows = example("two_layer_classifier").derivative_table().splitlines()
    assert rows[0].split() == ["z", "sigmoid", "sigmoid′", "tanh", "tanh′", "ReLU", "ReLU′"]
    expected = np.stack([POINTS, *(each for pair in CLOSED_FORMS.values() for each in pair)])
    table = np.array([[float(each) for each in row.split()] for row in rows[1:]])
    assert table == pytest.approx(expected.T, abs=5e-9)
    assert in_order(output("two_layer_classifier"), "g ⊙ (1 − g)", "1 − g²", "[z > 0]", "sigmoid′")


def test_the_plots_of_the_activations():
    files = made("two_layer_classifier")
    for name in ("sigmoid", "tanh", "relu"):
        svg = files[f"derivative-{name}.svg"]
        assert svg.count('class="curve') == 2
        assert "and its derivative" in svg


# ---- 4. accumulated deltas -----------------------------------------------------------------------


def accumulated(first: np.ndarray, second: np.ndarray, iterations: int):
    """The classic procedure: forward, output delta, hidden deltas, changes added up, applied."""
    patterns = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
    labels = np.array([0.0, 1.0, 1.0, 0.0])
    first, second, errors = first.copy(), second.copy(), []
    for _ in range(iterations):
        first_change, second_change = np.zeros_like(first), np.zeros_like(second)
        total = 0.0
        for pattern, label in zip(patterns, labels, strict=True):
            hidden = 1 / (1 + np.exp(-first @ pattern))
            prediction = 1 / (1 + np.exp(-second @ hidden))
            output_error = label - prediction
            output_delta = output_error * prediction * (1 - prediction)
            hidden_delta = second.T @ output_delta * hidden * (1 - hidden)
            first_change += np.outer(hidden_delta, pattern)
            second_change += np.outer(output_delta, hidden)
            total += abs(float(output_error[0]))
        first, second = first + first_change, second + second_change
        errors.append(total / 4)
    return first, second, errors


def test_training_is_the_accumulation_of_deltas():
    module = example("accumulated_deltas")
    net = module.network(seed=3)
    start = [np.array(net[k].weight.value) for k in (0, 2)]
    run = module.train(net, 400)
    first, second, errors = accumulated(*start, 400)
    assert net[0].weight.value == pytest.approx(first, rel=1e-10)
    assert net[2].weight.value == pytest.approx(second, rel=1e-10)
    assert run.history["mean_absolute_error"] == pytest.approx(errors, rel=1e-10)


def test_the_weights_start_between_minus_one_and_one():
    weights = np.concatenate(
        [
            np.ravel(net[k].weight.value)
            for net in (example("accumulated_deltas").network(seed) for seed in range(40))
            for k in (0, 2)
        ]
    )
    assert -1 <= weights.min() < -0.95
    assert 0.95 < weights.max() <= 1
    assert abs(weights.mean()) < 0.1


def test_training_ends_where_it_should():
    text = output("accumulated_deltas")
    lines = re.findall(r"(?<= )([\d,]+) (0\.\d{6}) ((?:[01]\.\d{4} ?){4})", text)
    numbers = [int(number.replace(",", "")) for number, _, _ in lines]
    errors = [float(error) for _, error, _ in lines]
    assert numbers[0] == 1
    assert numbers[-1] == 60_000
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01
    assert [round(float(each)) for each in lines[-1][2].split()] == [0, 1, 1, 0]
    assert "rounded predictions: 0, 1, 1, 0" in text
    assert "(∂loss/∂z⁽¹⁾)ᵀ @ X" in text


def test_progress_is_visible_while_training_goes_on():
    with subprocess.Popen(
        [sys.executable, "examples/accumulated_deltas.py", "--iterations", "200000"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        for line in process.stdout:
            if line.strip().startswith("1,000 "):
                break
        still_going = process.poll() is None
        process.kill()
    assert still_going


def test_iterations_must_be_positive():
    done = run("accumulated_deltas", "--iterations", "0")
    assert done.returncode == 2
    assert "at least 1" in done.stderr


def run(name: str, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess:
    """Run an example with options."""
    return subprocess.run(
        [sys.executable, f"examples/{name}.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        input=input,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
