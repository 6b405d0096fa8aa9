"""Parameters by name, substitution and loading, for modules, plain classes and containers."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import backlight as bl
from backlight.errors import DtypeError, ShapeError, UnknownNameError, UsageError
from backlight.nn import (
    Linear,
    Module,
    ReLU,
    Sequential,
    load,
    named_modules,
    parameters,
    relu,
    state,
    substitute,
)


class Plain:
    """A network of an ordinary class."""

    def __init__(self):
        self.scale = bl.param(2.0)
        self.fc1 = Linear(2, 3, seed=1)
        self.activation = relu
        self.fc2 = Linear(3, 1, seed=2)

    def __call__(self, x):
        return self.scale * self.fc2(self.activation(self.fc1(x)))


class Slotted:
    __slots__ = ("weight",)

    def __init__(self):
        self.weight = bl.param(3.0)

    def __call__(self, x):
        return self.weight * x


@dataclass(frozen=True)
class Frozen:
    weight: bl.Tensor

    def __call__(self, x):
        return self.weight * x


class Bag:
    """Holds whatever it is given, and adds up its parameters."""

    def __init__(self, **things):
        vars(self).update(things)

    def __call__(self, x=0.0):
        return sum(parameters(self).values(), x)


Pair = namedtuple("Pair", "first second")


def test_a_plain_class_is_a_network():
    assert list(parameters(Plain())) == [
        "scale", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias",
    ]  # fmt: skip
    assert list(named_modules(Plain())) == ["", "fc1", "fc2"]


def test_containers_are_looked_into():
    a, b, c, d = (bl.param(float(k)) for k in range(4))
    net = Bag(parts=[a, {"left": b, 7: (c, Slotted())}], pair=Pair(d, None), number=3, name="x")
    assert list(parameters(net)) == [
        "parts.0", "parts.1.left", "parts.1.7.0", "parts.1.7.1.weight", "pair.0",
    ]  # fmt: skip
    assert list(parameters([a, {"b": b}])) == ["0", "1.b"]


def test_a_shared_parameter_and_a_shared_module_appear_once():
    tied = Linear(2, 2, seed=0)
    net = Bag(encoder=tied, decoder=tied, again=[tied.weight])
    assert list(parameters(net)) == ["encoder.weight", "encoder.bias"]
    assert list(named_modules(net)) == ["", "encoder"]


def test_a_network_may_contain_itself():
    net = Bag(weight=bl.param(1.0))
    net.me = net
    assert list(parameters(net)) == ["weight"]


def test_only_parameters_count():
    net = Bag(data=bl.tensor([1.0]), result=bl.param(1.0) * 2.0, function=relu, kind=ReLU)
    assert parameters(net) == {}
    assert list(named_modules(net)) == [""]


@pytest.mark.parametrize("wrong", [3, "net", None, np.zeros(2), ReLU])
def test_what_cannot_hold_parameters_is_refused(wrong):
    with pytest.raises(UsageError, match="holds parameters"):
        parameters(wrong)


def test_a_bare_parameter_is_no_network():
    with pytest.raises(UsageError, match="not a Tensor"):
        parameters(bl.param(1.0))


def test_two_parameters_cannot_have_one_name():
    with pytest.raises(UsageError, match=r"'parts.1'"):
        parameters(Bag(parts={1: bl.param(1.0), "1": bl.param(2.0)}))


def test_parameters_are_named_by_their_place():
    net = Bag(body=Sequential(Linear(2, 2), seed=0), extra=[bl.param(1.0)])
    parameters(net.body)
    assert net.body.layers[0].weight.name == "layers.0.weight"
    parameters(net)  # seen from further out the name grows
    assert net.body.layers[0].weight.name == "body.layers.0.weight"
    assert net.extra[0].name == "extra.0"


def test_a_name_of_the_users_own_is_kept():
    net = Bag(weight=bl.param(1.0, name="theta"))
    assert list(parameters(net)) == ["weight"]
    assert net.weight.name == "theta"


# ── substitution ─────────────────────────────────────────────────────────────────────────────────


def test_a_network_computes_with_substitutes():
    net = Plain()
    x = np.array([[1.0, -2.0]])
    new = {name: bl.param(np.full(each.shape, 0.5)) for name, each in parameters(net).items()}
    before = net(x).value
    with substitute(net, new):
        # hidden = relu(0.5 - 1 + 0.5) = 0, output = 0.5 * 0.5
        result = net(x)
    assert result.value.tolist() == [[0.25]]
    assert np.array_equal(net(x).value, before)


def holders():
    weight = bl.param(1.0)
    yield Slotted(), "weight"
    yield Frozen(weight), "weight"
    yield Bag(things=[weight]), "things.0"
    yield Bag(things={"w": weight}), "things.w"
    yield Bag(things=(1, weight)), "things.1"
    yield Bag(things=Pair((weight,), 2)), "things.0.0"
    yield Bag(inner=Bag(weight=weight)), "inner.weight"
    yield [weight], "0"


@pytest.mark.parametrize(("net", "name"), list(holders()), ids=lambda value: str(value)[:24])
def test_every_holder_gets_its_parameter_back(net, name):
    old = parameters(net)[name]
    new = bl.param(5.0)
    with substitute(net, {name: new}):
        assert parameters(net)[name] is new
    assert parameters(net)[name] is old
    with pytest.raises(RuntimeError, match="inside"), substitute(net, {name: new}):
        raise RuntimeError("inside")
    assert parameters(net)[name] is old


def test_named_tuples_stay_named_tuples():
    net = Bag(pair=Pair(bl.param(1.0), 2))
    with substitute(net, {"pair.0": bl.tensor(7.0)}):
        assert type(net.pair) is Pair and float(net.pair.first) == 7.0


def test_a_shared_parameter_is_replaced_everywhere():
    shared = bl.param(1.0)
    net = Bag(first=shared, second=[shared], third=(shared,))
    new = bl.tensor(4.0)
    with substitute(net, {"first": new}):
        assert net.first is new and net.second[0] is new and net.third[0] is new
    assert net.first is shared and net.second[0] is shared and net.third[0] is shared


def test_nothing_changes_when_a_substitute_does_not_fit():
    net = Plain()
    old = parameters(net)
    with (
        pytest.raises(UnknownNameError, match=r"no parameter 'fc9'"),
        substitute(net, {"scale": bl.param(1.0), "fc9": bl.param(1.0)}),
    ):
        pass
    with (
        pytest.raises(ShapeError, match=r"'scale' has shape \(\)"),
        substitute(net, {"scale": bl.param([1.0])}),
    ):
        pass
    assert all(parameters(net)[name] is each for name, each in old.items())


def test_the_parameters_of_a_bare_tuple_cannot_be_exchanged():
    with (
        pytest.raises(UsageError, match="bare tuple"),
        substitute((bl.param(1.0),), {"0": bl.tensor(2.0)}),
    ):
        pass


def test_substitution_works_while_tracing():
    net = Plain()

    def run(weights, x):
        with substitute(net, weights):
            return net(x)

    graph = bl.trace(run, state(net), np.zeros((4, 2), np.float32))
    assert len(graph.inputs) == 6  # five parameters and x: nothing was baked in
    assert {node.scope.name for node in graph.nodes if node.scope} >= {"fc1", "fc2"}


# ── state and load ───────────────────────────────────────────────────────────────────────────────


def test_state_and_load_are_inverse():
    source, target = Plain(), Plain()
    source.fc1.weight.assign(np.arange(6.0).reshape(3, 2))
    kept = state(source)
    kept_weight = kept["fc1.weight"].copy()
    load(target, kept)
    kept["fc1.weight"][:] = -1.0  # copies on both sides
    assert np.array_equal(target.fc1.weight.value, kept_weight)
    assert np.array_equal(source.fc1.weight.value, kept_weight)


def test_loading_converts_to_the_parameters_dtype():
    net = Linear(2, 1)
    load(net, {"weight": [[1, 2]], "bias": np.array([0.5])})
    assert net.weight.dtype == np.float32
    assert net.weight.value.tolist() == [[1.0, 2.0]]


def test_loading_says_all_that_is_wrong_and_changes_nothing():
    net = Plain()
    before = state(net)
    arrays = {**state(net), "fc1.weight": np.zeros((2, 3)), "other": np.zeros(1)}
    del arrays["fc2.bias"]
    with pytest.raises(UnknownNameError) as error:
        load(net, arrays)
    for part in ("missing 'fc2.bias'", "unexpected 'other'", "fc1.weight has shape (2, 3)"):
        assert part in str(error.value)
    with pytest.raises(ShapeError, match=r"instead of \(3, 2\)"):
        load(net, {**before, "fc1.weight": np.zeros(6)})
    with pytest.raises(DtypeError, match="fc2.bias holds complex"):
        load(net, {**before, "fc2.bias": np.zeros(1, complex)})
    assert all(np.array_equal(state(net)[name], each) for name, each in before.items())


def test_a_module_offers_the_same_as_methods():
    class Net(Module):
        def __init__(self):
            self.fc = Linear(2, 1, seed=0)

        def __call__(self, x):
            return self.fc(x)

    net = Net()
    assert list(net.parameters()) == list(net.state()) == ["fc.weight", "fc.bias"]
    assert list(net.named_modules()) == ["", "fc"]
    net.load({"fc.weight": [[1.0, 2.0]], "fc.bias": [3.0]})
    assert net([1.0, 1.0]).value.tolist() == [6.0]
