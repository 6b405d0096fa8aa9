from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize

import backlight as bl
from backlight.errors import TrainingError, UsageError
from backlight.optim import LBFGS, LBFGSState
from backlight.optim.lbfgs import descent_direction
from backlight.optim.line_search import Trial, Wolfe, strong_wolfe


def rosenbrock(p: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
    return float(optimize.rosen(p["x"])), {"x": optimize.rosen_der(p["x"])}


class Quadratic:
    """½·xᵀ·A·x − bᵀ·x with eigenvalues of A spread over four powers of ten."""

    def __init__(self, size: int) -> None:
        generator = np.random.default_rng(size)
        turn, _ = np.linalg.qr(generator.normal(size=(size, size)))
        self.A = turn @ np.diag(np.logspace(-2, 2, size)) @ turn.T
        self.b = generator.normal(size=size)
        self.solution = np.linalg.solve(self.A, self.b)

    def __call__(self, p: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
        x = np.concatenate([p["a"].reshape(-1), p["b"]])
        gradient = self.A @ x - self.b
        first = p["a"].size
        return (
            float(0.5 * x @ self.A @ x - self.b @ x),
            {
                "b": gradient[first:],  # in another order than the parameters
                "a": gradient[:first].reshape(p["a"].shape),
            },
        )


@pytest.mark.parametrize("size", [2, 10, 50])
def test_rosenbrock(size: int) -> None:
    start = np.full(size, -1.2)
    start[1::2] = 1.0
    result = LBFGS(history=10).minimize(rosenbrock, {"x": start}, steps=500)
    assert result.converged and result.reason == "the gradient is within its tolerance"
    # Their stopping point and ours are both within tolerance of the solution (1, …, 1), or of the
    # other minimum that the function has from four dimensions on.
    theirs = optimize.minimize(
        optimize.rosen, start, jac=optimize.rosen_der, method="L-BFGS-B",
        options={"gtol": 1e-6, "ftol": 0.0, "maxcor": 10},
    )  # fmt: skip
    np.testing.assert_allclose(result.parameters["x"], theirs.x, rtol=1e-5, atol=1e-5)
    assert result.evaluations <= 2 * theirs.nfev
    np.testing.assert_array_equal(start[1::2], 1.0)


def test_quadratic() -> None:
    quadratic = Quadratic(9)
    start = {"a": np.zeros((2, 3)), "b": np.zeros(3)}
    result = LBFGS(gradient_tolerance=1e-9, change_tolerance=0.0).minimize(quadratic, start, 500)
    found = np.concatenate([result.parameters["a"].reshape(-1), result.parameters["b"]])
    np.testing.assert_allclose(found, quadratic.solution, rtol=1e-6)


def test_the_direction_is_that_of_the_bfgs_matrix() -> None:
    """The two loops give the same as BFGS matrices multiplied out (equation 6.17)."""
    generator = np.random.default_rng(0)
    A = np.diag(np.arange(1.0, 6.0))
    changes = tuple(generator.normal(size=(3, 5)))
    differences = tuple(A @ s for s in changes)
    s, y = changes[-1], differences[-1]
    H = (s @ y) / (y @ y) * np.eye(5)
    for s, y in zip(changes, differences, strict=True):
        left = np.eye(5) - np.outer(s, y) / (s @ y)
        H = left @ H @ left.T + np.outer(s, s) / (s @ y)
    gradient = generator.normal(size=5)
    found = descent_direction(gradient, changes, differences)
    np.testing.assert_allclose(found, -H @ gradient, rtol=1e-12)
    np.testing.assert_array_equal(descent_direction(gradient, (), ()), -gradient)


def test_iterations_can_be_resumed() -> None:
    start = {"x": np.array([-1.2, 1.0])}
    seen: list[LBFGSState] = []
    whole = LBFGS().minimize(rosenbrock, start, 20, callback=seen.append)
    assert [state.iteration for state in seen] == list(range(1, whole.iterations + 1))
    state = seen[6]
    for expected in seen[7:]:
        state = LBFGS().iterate(state, rosenbrock)
        np.testing.assert_array_equal(state.parameters["x"], expected.parameters["x"])
    again = LBFGS().minimize(rosenbrock, start, 20)
    np.testing.assert_array_equal(again.parameters["x"], whole.parameters["x"])


def test_a_finished_state_stays_as_it_is() -> None:
    result = LBFGS().minimize(rosenbrock, {"x": np.ones(2)}, 5)
    assert (result.iterations, result.evaluations, result.converged) == (0, 1, True)
    assert LBFGS().iterate(result.state, rosenbrock) is result.state


def test_the_loss_never_rises_and_the_history_is_limited() -> None:
    losses = []

    def keep(state: LBFGSState) -> None:
        losses.append(state.loss)
        assert len(state.changes) == len(state.differences) <= 3

    start = {"x": np.array([-1.2, 1.0, 0.5])}
    LBFGS(history=3).minimize(rosenbrock, start, 100, callback=keep)
    assert losses == sorted(losses, reverse=True)


def test_each_line_satisfies_the_wolfe_conditions() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = generator.uniform(0.1, 3.0, size=3)

        def wave(x: float, a: float = a, b: float = b, c: float = c) -> Trial[None]:
            value = a * (x - 2.0) ** 2 + b * np.sin(c * x)
            return Trial(x, value, 2.0 * a * (x - 2.0) + b * c * np.cos(c * x), None)

        start = wave(0.0)
        if start.slope >= 0:
            continue
        for first in (1e-3, 1.0, 1e3):
            found = strong_wolfe(wave, Wolfe(start, 1e-4, 0.5), first, 60)
            assert found is not None and found.length > 0
            assert found.loss <= start.loss + 1e-4 * found.length * start.slope
            assert abs(found.slope) <= 0.5 * abs(start.slope)


def test_a_line_search_steps_back_from_where_nothing_is_finite() -> None:
    def barrier(x: float) -> Trial[None]:
        if x >= 0.1:
            return Trial(x, np.inf, np.nan, None)
        return Trial(x, -np.log(0.1 - x) - 100.0 * x, 1.0 / (0.1 - x) - 100.0, None)

    found = strong_wolfe(barrier, Wolfe(barrier(0.0), 1e-4, 0.1), 1.0, 30)
    assert found is not None
    assert found.length == pytest.approx(0.09, abs=2e-3)  # 1/(0.1 − x) = 100


def test_a_line_search_that_runs_out_gives_the_best_it_has() -> None:
    def ramp(x: float) -> Trial[None]:
        return Trial(x, -x, -1.0, None)

    found = strong_wolfe(ramp, Wolfe(ramp(0.0), 1e-4, 0.9), 1.0, 4)
    assert found is not None and found.length == 8.0

    def wall(x: float) -> Trial[None]:
        return Trial(x, x, -1.0, None)  # its slope does not say the truth

    assert strong_wolfe(wall, Wolfe(wall(0.0), 1e-4, 0.9), 1.0, 10) is None


def test_a_wrong_gradient_ends_with_a_reason() -> None:
    def wrong(p: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
        return float(p["x"] @ p["x"]), {"x": -2.0 * p["x"]}

    result = LBFGS().minimize(wrong, {"x": np.ones(2)}, 10)
    assert not result.converged and result.reason == "the line search found no lower loss"
    np.testing.assert_array_equal(result.parameters["x"], 1.0)


def test_without_a_line_search_steps_have_the_given_length() -> None:
    # ½·x²: the first change is at most 1, times ½; from then on H = 1 is known and x is halved.
    def bowl(p: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
        return float(0.5 * p["x"] @ p["x"]), {"x": p["x"]}

    seen: list[float] = []
    LBFGS(line_search="none", learning_rate=0.5).minimize(
        bowl, {"x": np.array([4.0])}, 3, callback=lambda s: seen.append(float(s.parameters["x"][0]))
    )
    assert seen == pytest.approx([3.5, 1.75, 0.875])


def test_float32_parameters_stay_float32() -> None:
    dtypes = set()

    def bowl(p: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
        dtypes.add(p["x"].dtype)
        return float(np.sum((p["x"] - 3) ** 2)), {"x": 2 * (p["x"] - 3)}

    result = LBFGS().minimize(bowl, {"x": np.zeros((2, 2), np.float32)}, 50)
    assert dtypes == {np.dtype(np.float32)}
    np.testing.assert_allclose(result.parameters["x"], 3.0, rtol=1e-6)


def test_on_a_loss_of_tensors() -> None:
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(20, 3)), generator.normal(size=20)

    def value_and_grad(p: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        w, b = bl.param(p["w"]), bl.param(p["b"])
        residual = bl.tensor(X) @ w + b - bl.tensor(y)
        loss = residual @ residual
        loss.backward()
        return loss.item(), {"w": w.grad, "b": b.grad}

    result = LBFGS().minimize(value_and_grad, {"w": np.zeros(3), "b": np.zeros(())}, 100)
    expected, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(20)]), y, rcond=None)
    np.testing.assert_allclose(result.parameters["w"], expected[:3], rtol=1e-6)
    assert result.parameters["b"].shape == ()
    assert float(result.parameters["b"]) == pytest.approx(expected[3], rel=1e-6)


def test_mistakes_are_named() -> None:
    with pytest.raises(UsageError, match="LBFGS: history must be an integer of at least 1, not 0"):
        LBFGS(history=0)
    with pytest.raises(UsageError, match="line_search must be 'strong-wolfe' or 'none'"):
        LBFGS(line_search="armijo")
    with pytest.raises(UsageError, match="decrease must be below curvature"):
        LBFGS(decrease=0.9, curvature=0.1)
    with pytest.raises(UsageError, match="steps must be an integer of at least 1, not 0"):
        LBFGS().minimize(rosenbrock, {"x": np.ones(2)}, 0)
    with pytest.raises(UsageError, match="needs at least one parameter"):
        LBFGS().start({})
    with pytest.raises(UsageError, match="x is int64; parameters must be floating-point"):
        LBFGS().start({"x": np.array([1, 2])})
    with pytest.raises(UsageError, match="gave no gradient for x"):
        LBFGS().minimize(lambda p: (1.0, {}), {"x": np.ones(2)}, 1)
    with pytest.raises(UsageError, match=r"gave x, of shape \(2,\), a gradient of shape \(3,\)"):
        LBFGS().minimize(lambda p: (1.0, {"x": np.ones(3)}), {"x": np.ones(2)}, 1)
    with pytest.raises(TrainingError, match="the loss is nan and 1 entries of its gradient"):
        LBFGS().minimize(lambda p: (np.nan, {"x": np.array([1, np.inf])}), {"x": np.ones(2)}, 1)
    with pytest.raises(TrainingError, match='a loss of inf; use line_search="strong-wolfe"'):
        LBFGS(line_search="none").minimize(
            lambda p: (1.0 if p["x"][0] == 1 else np.inf, {"x": np.ones(1)}), {"x": np.ones(1)}, 1
        )
