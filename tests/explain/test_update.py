"""What the optimizer makes of a gradient, against the published rules worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from tests.explain.reading import read

import backlight as bl
from backlight.graph.notation import UNICODE, Apply, Number

PLACE = (1, 2)
WEIGHT = f"layers.0.weight[{PLACE[0]},{PLACE[1]}]"
GENERATOR = np.random.default_rng(3)
X = GENERATOR.normal(size=(12, 3))
Y = X @ np.array([[1.0], [-2.0], [0.5]])


def fitted(optimizer: object) -> bl.Run:
    net = bl.nn.Sequential(
        bl.nn.Linear(3, 4, dtype="float64"), bl.nn.Tanh(), bl.nn.Linear(4, 1, dtype="float64"),
        seed=0,
    )  # fmt: skip
    return bl.fit(
        net, (X, Y), loss=bl.nn.mse, optimizer=optimizer, epochs=2, batch_size=4, seed=0,
        progress=False, executor="reference",
    )  # fmt: skip


def update_of(run: bl.Run, step: int) -> dict[str, float]:
    """The values of the update section by symbol, after checking each line of arithmetic."""
    d = bl.explain(run.replay(step=step), weight=WEIGHT)
    section = d.sections[-1]
    assert section.title.startswith("Update")
    values: dict[str, float] = {}
    for equation in section.equations:
        found, sign = equation.right[-1], 1.0
        if isinstance(found, Apply) and found.form.shape == "prefix":  # a minus and a number
            (found,), sign = found.arguments, -1.0
        assert isinstance(found, Number)
        if len(equation.right) > 1 and sign > 0:  # −delta with its number is the number already
            numbers = read(UNICODE.expression(equation.right[-2]))
            assert numbers == pytest.approx(found.value, rel=1e-4)
        values[UNICODE.expression(equation.left)] = sign * found.value
    assert d.to_dict()["update"][-1]["symbol"] == "w_new"
    return values


def weights(run: bl.Run, steps: int) -> list[float]:
    return [float(run.replay(step=k).value("layers.0.weight")[PLACE]) for k in range(steps)]


def gradients(run: bl.Run, steps: int) -> list[Mapping[str, np.ndarray]]:
    found = []
    for k in range(steps):
        trace = run.replay(step=k)
        found.append({name: trace.gradient(name) for name in trace.parameters})
    return found


def test_momentum_with_clipping_by_norm() -> None:
    run = fitted(bl.optim.SGD(0.1, momentum=0.9, clip=bl.optim.ByNorm(0.5)))
    velocity = 0.0
    for each in gradients(run, 4):
        norm = math.sqrt(sum(float(np.sum(g * g)) for g in each.values()))
        clipped = float(each["layers.0.weight"][PLACE]) * 0.5 / max(norm, 0.5)
        velocity = 0.9 * velocity + clipped
        change = -0.1 * velocity
    values = update_of(run, 3)
    assert values["g_norm"] == pytest.approx(norm, rel=1e-9)
    assert values["g"] == pytest.approx(float(each["layers.0.weight"][PLACE]), rel=1e-12)
    assert values["g′"] == pytest.approx(clipped, rel=1e-9)
    assert values["v"] == pytest.approx(velocity, rel=1e-9)
    assert values["Δw"] == pytest.approx(change, rel=1e-9)
    before, after = weights(run, 5)[3:]
    assert values["w_new"] == pytest.approx(after, rel=1e-12)
    assert after - before == pytest.approx(change, rel=1e-9)
    assert [*values] == ["g", "g_norm", "clip_factor", "g′", "v", "Δw", "w_new"]


def test_adam() -> None:
    run = fitted(bl.optim.Adam(0.01))
    m = v = 0.0
    for t, each in enumerate(gradients(run, 4), 1):
        g = float(each["layers.0.weight"][PLACE])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        change = -0.01 * m_hat / (math.sqrt(v_hat) + 1e-8)
    values = update_of(run, 3)
    wanted = {"g": g, "m": m, "v": v, "m̂": m_hat, "v̂": v_hat, "Δw": change}
    for name, value in wanted.items():
        assert values[name] == pytest.approx(value, rel=1e-9), name
    assert values["w_new"] == pytest.approx(weights(run, 5)[4], rel=1e-12)


@pytest.mark.parametrize("optimizer", [
    bl.optim.SGD(0.1), bl.optim.SGD(0.1, clip=bl.optim.ByValue(0.05)),
    bl.optim.SGD(bl.optim.Cosine(rate=0.1, steps=9, final=0.0), momentum=0.9, nesterov=True),
    bl.optim.Adam(0.01, weight_decay=0.01), bl.optim.AdamW(0.01), bl.optim.RMSprop(0.01),
    bl.optim.Adagrad(0.1), bl.optim.Adadelta(),
])  # fmt: skip
def test_every_rule_ends_at_the_next_steps_weight(optimizer: object) -> None:
    run = fitted(optimizer)
    values = update_of(run, 2)
    before, after = weights(run, 4)[2:]
    assert values["w_new"] == pytest.approx(after, rel=1e-12)
    assert values["Δw"] == pytest.approx(after - before, rel=1e-9)
    text = bl.explain(run.replay(step=2), weight=WEIGHT).text()
    assert "w stands for w₂₃⁽¹⁾" in text
    assert text.index("Backward pass") < text.index("Update: what")


def test_an_entry_of_an_inner_value_has_no_update() -> None:
    run = fitted(bl.optim.SGD(0.1))
    d = bl.explain(run.replay(step=0), "layers.0.z", index=(0, 0))
    assert not any(section.title.startswith("Update") for section in d.sections)
