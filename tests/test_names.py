"""Names that nobody typed: a tensor is called what the program calls it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import backlight as bl
from backlight.source import assigned_name
from backlight.trace import capture


def names(*outputs: Any) -> list[str]:
    return [node.name for node in capture(list(outputs))[0].nodes]


HOLDER = SimpleNamespace()
module_level = bl.param(1.0) * 2.0


def test_at_module_level() -> None:
    assert module_level.name == "module_level"


def test_plain_assignment_in_a_function() -> None:
    w = bl.param(1.0)
    y_hat = w * 2.0
    loss = (y_hat - 1.0) ** 2
    assert (w.name, y_hat.name, loss.name) == ("w", "y_hat", "loss")
    assert names(loss)[0] == "w"
    assert {"y_hat", "loss"} <= set(names(loss))


def test_only_the_last_operation_of_a_line_has_the_name() -> None:
    w = bl.param(2.0)
    y = w * 3.0 + w / 2.0 - 1.0
    assert y.name == "y"
    assert [each.name for each in y.inputs] == [None, None]


def test_in_a_loop_the_names_are_numbered() -> None:
    h = bl.param(1.0)
    for _ in range(3):
        h = bl.tanh(h)
    assert names(h) == ["h", "h2", "h3", "h4"]


def test_chained_assignment_gives_the_first_name() -> None:
    w = bl.param(1.0)
    a = b = w * 2.0
    assert a is b
    assert a.name == "a"


def test_walrus() -> None:
    w = bl.param(1.0)
    if (y := w * 2.0).item() > 0:
        pass
    assert y.name == "y"


def test_augmented_assignment() -> None:
    w = bl.param(1.0)
    total = w * 2.0
    total += 1.0
    assert total.name == "total"
    assert names(total)[-1] == "total2"


def test_annotated_assignment() -> None:
    w = bl.param(1.0)
    y: Any = w * 2.0
    assert y.name == "y"


def test_an_attribute() -> None:
    class Net:
        def __init__(self) -> None:
            self.w = bl.param(1.0)

        def __call__(self, x: Any) -> Any:
            self.h = self.w * x
            return bl.tanh(self.h)

    net = Net()
    out = net(2.0)
    assert (net.w.name, net.h.name, out.name) == ("w", "h", None)


def test_an_attribute_of_another_object() -> None:
    HOLDER.found = bl.param(1.0) * 2.0
    assert HOLDER.found.name == "found"


def test_tuple_unpacking_gives_no_wrong_name() -> None:
    w = bl.param(1.0)
    a, b = w * 2.0, w * 3.0
    assert a.name in (None, "a")
    assert b.name in (None, "b")


def test_a_list_gives_no_names() -> None:
    w = bl.param(1.0)
    made = [w * k for k in (2.0, 3.0)]
    both = [w + 1.0, w + 2.0]
    stored = {"key": w - 1.0}
    assert [each.name for each in (*made, *both, stored["key"])] == [None] * 5


def test_an_item_gives_no_name() -> None:
    w = bl.param(1.0)
    cache: dict[str, Any] = {}
    cache["a"] = w * 2.0
    assert cache["a"].name is None


def test_what_a_function_returns_is_named_by_its_caller_only() -> None:
    def helper(x: Any) -> Any:
        inside = x * 2.0
        return inside + 1.0

    w = bl.param(1.0)
    outer = helper(w)
    assert outer.inputs[0].name == "inside"
    assert outer.name is None  # the helper's line made it, and it has no name there


def test_functions_of_backlight_pass_the_callers_name_on() -> None:
    x = bl.param(np.ones((2, 3)))
    p = bl.nn.softmax(x)
    m = bl.mean(x, axis=0)
    row = x[0]
    t = x.T
    z = x @ t
    assert [each.name for each in (p, m, row, t, z)] == ["p", "m", "row", "t", "z"]
    inner = [node.name for node in capture([p])[0].nodes]
    assert inner.count("p") == 1


def test_arguments_of_a_call_get_no_name() -> None:
    w = bl.param(1.0)
    y = bl.tanh(w * 2.0)
    assert y.inputs[0].name is None
    z = abs(w - 3.0)
    assert z.inputs[0].name is None
    assert z.name == "z"


def test_nonlocal_and_global_names() -> None:
    w = bl.param(1.0)
    found = None

    def inside() -> None:
        nonlocal found
        found = w * 2.0

    inside()
    assert found is not None
    assert found.name == "found"


def test_a_given_name_wins() -> None:
    w = bl.param(1.0, name="weight")
    y = w * 2.0
    y.name = "other"
    assert (w.name, y.name) == ("weight", "other")


def test_comprehension_inside_a_function_call() -> None:
    w = bl.param(1.0)
    total = sum((w * float(k) for k in range(3)), start=bl.tensor(0.0))
    # Python's sum made the last addition on this very line.
    assert total.name in (None, "total")


def test_names_of_a_graph_are_unique_whatever_users_choose() -> None:
    p1 = bl.param(1.0, name="s")
    p2 = bl.param(1.0, name="s")
    s2 = p1 + p2
    s2.name = "s2"
    loss = (p1 + 1.0) * (p2 + 2.0) + (s2 + 3.0) * s2 + bl.param(1.0, name="s1")
    found = names(loss)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("clash", ["s", "p", "L", "L2", "c1", "u", "z", "a", "w", "v1"])
def test_a_users_name_that_looks_like_an_automatic_letter(clash: str) -> None:
    w = bl.param([0.5, -1.0], name=clash)
    x = bl.param(2.0, name="x")
    loss = bl.sum(bl.tanh(w * x + 1.0) ** 2 / (x - 0.5)) - bl.sum(w * w)
    d = bl.explain(loss * 1.0, w, index=1)
    symbols = [each.symbol for each in d.definitions]
    assert len(set(symbols)) == len(symbols)
    assert d.symbol.base == clash
    assert d.symbol not in symbols
    assert d.loss_symbol != d.symbol
    total = sum(term.contribution for term in d.steps[-1].terms)
    assert total == pytest.approx(d.value, rel=1e-12)


def test_layers_of_one_kind_keep_their_symbols_apart() -> None:
    net = bl.nn.Sequential(bl.nn.Linear(2, 2, dtype="float64"), bl.nn.Linear(2, 2, dtype="float64"),
                           seed=0)  # fmt: skip
    x = bl.tensor([1.0, -1.0], name="x")
    d = bl.explain(bl.sum(net(x) ** 2), net, weight="layers.0.weight[0,0]")
    symbols = [each.symbol for each in d.definitions]
    assert len(set(symbols)) == len(symbols)
    values = d._deriver.formulas.values
    assert len(values) == len(set(values))


def test_scopes_of_modules_are_part_of_a_name() -> None:
    net = bl.nn.Sequential(bl.nn.Linear(2, 3), bl.nn.ReLU(), seed=0)
    found = names(net(bl.tensor(np.ones(2, np.float32), name="x")))
    assert {"layers.0.weight", "layers.0.bias", "x"} <= set(found)
    assert all(each.startswith("layers.") or each == "x" for each in found)


def test_a_name_is_looked_up_once_per_line() -> None:
    w = bl.param(1.0)
    y = w * 2.0
    site = y.site
    assert isinstance(site, tuple)
    assert assigned_name(site) == "y"
    assert assigned_name(site) is assigned_name(site)
