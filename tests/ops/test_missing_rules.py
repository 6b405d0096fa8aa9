"""What happens when a derivative is asked for that does not exist or has no meaning."""

from __future__ import annotations

import numpy as np
import pytest
from tests.ops import array_cases
from tests.ops.elementwise_cases import DISCRETE

import backlight as bl
from backlight.differentiate.reverse import contribute, sweep
from backlight.errors import GradientError, MissingRuleError, ShapeError
from backlight.graph.primitive import Kind, Primitive, Registry, Spec
from backlight.tensor import literal, quiet

R = bl.registry()
STOPPED = [name for name, record in R.items() if record.stops_gradient]
HALVE = Primitive(
    "halve", Kind.ELEMENTWISE, lambda x: x, lambda xp, x: x / 2, description="Half of it."
)


@pytest.mark.parametrize("name", [each for each in STOPPED if each in DISCRETE])
def test_asking_a_discrete_function_for_a_derivative_names_it(name: str) -> None:
    numbers = {"boolean": True, "bits": 1, "integer": 1}.get(DISCRETE[name].accepts, 1.0)
    node = R[name](*[bl.tensor(numbers) for _ in DISCRETE[name].points[0]])
    with pytest.raises(MissingRuleError, match=rf"{name} has no derivative rule for its operand 0"):
        contribute(node, 0, literal(1.0))


@pytest.mark.parametrize("name", ["argsort", "argmax", "any", "detach"])
def test_asking_another_function_for_a_derivative_names_it(name: str) -> None:
    case = next(each for each in array_cases.CASES if each.primitive == name)
    node = R[name](*map(bl.tensor, case.arrays()), **case.attributes)
    with pytest.raises(MissingRuleError, match=rf"{name} has no derivative rule for its operand 0"):
        contribute(node, 0, literal(np.ones(node.shape)))


@pytest.mark.parametrize(("name", "attributes"), [
    ("gather", {"axis": 0}), ("scatter_add", {"axis": 0, "size": 3}),
])  # fmt: skip
def test_positions_have_no_derivative(name: str, attributes: dict[str, int]) -> None:
    node = R[name](bl.param([1.0, 2.0]), bl.tensor([0, 1]), **attributes)
    with pytest.raises(MissingRuleError, match=rf"{name} has no derivative rule for its operand 1"):
        contribute(node, 1, literal(np.ones(node.shape)))


def test_the_condition_has_no_derivative() -> None:
    node = R["where"](bl.tensor(True), bl.param(1.0), 2.0)
    with pytest.raises(MissingRuleError, match=r"where has no derivative rule for its operand 0"):
        contribute(node, 0, literal(1.0))


def test_a_sweep_through_a_function_without_rules_names_it() -> None:
    x = bl.param(3.0)
    y = HALVE(x) * 1.0
    with pytest.raises(MissingRuleError, match="halve has no derivative rule"):
        sweep([y], [literal(1.0)], [x])


def test_a_function_of_ones_own_without_rules_names_the_rule() -> None:
    x = bl.param(3.0)
    y = HALVE(x) * 1.0
    with pytest.raises(MissingRuleError, match="halve"):
        y.backward()


def test_no_gradient_passes_where_it_is_stopped() -> None:
    x = bl.param([1.0, 2.0])
    y = R["detach"](x) * x
    done = sweep([y], [literal(np.ones(2))], [x])
    assert done.gradient(x).value.tolist() == [1.0, 2.0]
    assert sweep([R["detach"](x)], [literal(np.ones(2))], [x]).gradient(x) is None


def test_a_wrong_rule_is_caught_by_its_shape() -> None:
    wrong = Primitive(
        "wrong", Kind.MOVE, lambda x: x, lambda xp, x: x,
        transposes=(lambda upstream, y, x: R["sum"](upstream, axes=(0,)),),
    )  # fmt: skip
    with pytest.raises(ShapeError, match=r"wrong.*the record is wrong"):
        R["sum"](wrong(bl.param([1.0, 2.0])), axes=(0,)).backward()


def test_a_wrong_shape_rule_is_caught() -> None:
    wrong = Primitive("wrong", Kind.MOVE, lambda x: Spec((), x.dtype), lambda xp, x: x)
    with pytest.raises(ShapeError, match=r"wrong.*the record is wrong"):
        wrong(bl.tensor([1.0, 2.0]))


def test_a_primitive_needs_a_tensor() -> None:
    with pytest.raises(MissingRuleError, match=r"exp.*bl\.tensor"):
        R["exp"](1.0)


def test_a_name_is_registered_once() -> None:
    own = Registry()
    own.add(HALVE)
    with pytest.raises(MissingRuleError, match="halve"):
        own.add(HALVE)
    own.remove("halve")
    assert not own.view()
    with pytest.raises(TypeError):
        R["exp"] = HALVE  # type: ignore[index]


def test_what_has_no_gradient_says_why() -> None:
    x = bl.param([1.0, 2.0], name="x")
    with pytest.raises(GradientError, match="scalar"):
        (x * 2.0).backward()
    with pytest.raises(GradientError, match="no parameter"):
        (bl.tensor(1.0) * 2.0).backward()
    with pytest.raises(GradientError, match=r"floating-point|no parameter"):
        R["argmax"](x, axes=(0,)).backward()
    with pytest.raises(ShapeError, match="seed"):
        (x * 2.0).backward(np.ones(3))
    with quiet():
        loss = R["sum"](x * x, axes=(0,))
    x.assign([3.0, 4.0])
    with pytest.raises(GradientError, match="assigned"):
        loss.backward()


def test_a_traced_tensor_has_no_gradient_of_its_own() -> None:
    with pytest.raises(GradientError, match="traced"):
        bl.trace(lambda x: (x * x).backward(), 1.0)
