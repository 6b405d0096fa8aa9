"""ONNX models, run by ONNX Runtime, and by ONNX's own evaluator where that lacks an operator."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from tests.nn import test_contract as contract
from tests.ops.array_cases import CASES
from tests.ops.elementwise_cases import DISCRETE, SMOOTH
from tests.ops.running import apply

import backlight as bl
from backlight import nn
from backlight.errors import DataError, MissingRuleError, ShapeError, UsageError
from backlight.graph import primitive
from backlight.io import save_onnx
from backlight.io.onnx import model_bytes
from backlight.tensor import quiet

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

NotImplemented_ = onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented
REGISTRY = dict(bl.registry())  # as it was before any test added to it
WITHOUT = {"atan2", "nextafter", "bitwise_left_shift", "bitwise_right_shift"}
"""Elementwise primitives of which ONNX has neither an operator nor a short equivalent."""


def run(content, *arrays):
    """Run a model on arrays and return its outputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    model = onnx.load_from_string(content)
    names = [each.name for each in model.graph.input]
    feed = dict(zip(names, arrays, strict=True))
    try:
        session = onnxruntime.InferenceSession(content, options)
    except NotImplemented_:
        from onnx.reference import ReferenceEvaluator

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return [np.asarray(each) for each in ReferenceEvaluator(model).run(None, feed)]
    return session.run(None, feed)


def exported(function, *arrays, batch=False):
    return run(model_bytes(function, arrays, batch=batch), *arrays)


# ── primitives ───────────────────────────────────────────────────────────────────────────────────


def one_primitive(primitive, attributes):
    return lambda *operands: primitive(*operands, **attributes)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_primitives_of_whole_arrays(case):
    arrays = case.arrays("float32")
    function = one_primitive(REGISTRY[case.primitive], case.attributes)
    if any(case.attributes.get("between", ())):
        with pytest.raises(MissingRuleError, match="pad .*between them"):
            exported(function, *arrays)
        return
    (found,) = exported(function, *arrays)
    wanted = apply(REGISTRY[case.primitive], arrays, case.attributes)
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(SMOOTH.keys() - WITHOUT))
def test_smooth_primitives(name, dtype):
    with np.errstate(over="ignore"):
        points = np.array(SMOOTH[name].points).astype(dtype).T
    (found,) = exported(one_primitive(REGISTRY[name], {}), *points)
    wanted = apply(REGISTRY[name], list(points))
    assert found.dtype == wanted.dtype
    # ONNX's own evaluator works out erf in single precision.
    tolerance = 1e-5 if dtype == "float32" else 1e-7 if name == "erf" else 1e-12
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * 1e-3)


@pytest.mark.parametrize("name", sorted(DISCRETE.keys() - WITHOUT))
def test_discrete_primitives(name):
    case = DISCRETE[name]
    dtype = {"boolean": bool, "bits": "int64"}.get(case.accepts, "float32")
    with np.errstate(over="ignore"):
        points = np.array(case.points, "float64").astype(dtype).T
    points = list(points)
    (found,) = exported(one_primitive(REGISTRY[name], {}), *points)
    wanted = apply(REGISTRY[name], points)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", sorted(k for k, p in REGISTRY.items() if p.special))
def test_special_values(name):
    if name in WITHOUT or REGISTRY[name].kind.value != "elementwise" or name == "where":
        return
    record = REGISTRY[name]
    operands = np.array([arguments for arguments, _ in record.special], "float32").T
    (found,) = exported(one_primitive(record, {}), *operands)
    wanted = np.array([result for _, result in record.special], "float32")
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["add", "maximum", "remainder", "floor_divide", "less", "pow"])
@pytest.mark.parametrize("dtypes", [("int32", "int64"), ("int64", "int64"), ("float32", "float64")])
def test_operands_of_several_dtypes(name, dtypes):
    a = np.array([7, -7, 7, -7, 0]).astype(dtypes[0])
    b = np.array([2, 2, 3, 3, 1] if name == "pow" else [2, 2, -3, -3, 1]).astype(dtypes[1])
    (found,) = exported(one_primitive(REGISTRY[name], {}), a, b)
    wanted = apply(REGISTRY[name], [a, b])
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_every_primitive_has_a_form_or_is_known_to_have_none():
    leaves = {name for name, each in REGISTRY.items() if each.kind.value in ("leaf", "random")}
    without = {
        name
        for name, each in REGISTRY.items()
        if each.onnx is None and each.to_onnx is None and each.kind.value != "custom"
    }
    assert without == WITHOUT | leaves - {"constant"}


# ── networks ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", contract.DTYPES)
@pytest.mark.parametrize("kind", contract.MODULES, ids=lambda k: k.__name__)
def test_every_module_for_any_number_of_rows(kind, dtype):
    net = contract.build(kind, dtype)
    content = model_bytes(net, (contract.data(dtype),))
    for rows in (1, 4, 9):
        x = contract.data(dtype, rows)
        (found,) = run(content, x)
        wanted = net(x).value
        assert found.dtype == wanted.dtype and found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("function", contract.FUNCTIONS, ids=lambda f: f.__name__)
def test_every_activation_function_at_the_ends(function):
    x = np.array([[-np.inf, -100.0, -1e-4, 0.0], [1e-4, 3.0, 100.0, 80.0]], np.float32)
    (found,) = exported(function, x)
    with quiet():
        wanted = function(x).value
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("loss", contract.LOSSES, ids=lambda f: f.__name__)
def test_every_loss(loss):
    arguments = contract.loss_arguments(loss, "float32")
    (found,) = exported(loss, *arguments)
    np.testing.assert_allclose(found, loss(*arguments).value, rtol=1e-5)


def test_a_deep_network_in_the_runtime_itself():
    layers = [nn.Linear(3, 3), nn.Tanh()] * 60
    net = nn.Sequential(*layers, seed=0)
    x = contract.data("float32", 7)
    session = onnxruntime.InferenceSession(model_bytes(net, (x,)))
    np.testing.assert_allclose(session.run(None, {"x": x})[0], net(x).value, rtol=1e-5)


class TwoInputs:
    """Nested inputs and outputs, sizes that depend on the rows, and both dtypes."""

    def __init__(self):
        self.inner = nn.Linear(2, 3, seed=0)

    def __call__(self, parts, weight):
        hidden = bl.reshape(self.inner(parts["a"]), (-1,))
        halves = bl.reshape(hidden, (parts["a"].shape[0] * 3, 1))[1:]
        spread = bl.zeros((parts["a"].shape[0], 3), dtype=bl.float32) + self.inner(parts["a"])
        return {"halves": halves, "same": weight, "both": (spread, spread)}


def test_nested_inputs_and_outputs_and_sizes_of_rows():
    net = TwoInputs()
    example = {"a": np.zeros((1, 2), np.float32)}, np.zeros((1,))
    content = model_bytes(net, example)
    model = onnx.load_from_string(content)
    assert [each.name for each in model.graph.input] == ["parts.a", "weight"]
    assert [each.name for each in model.graph.output] == [
        "output.both[0]", "output.both[1]", "output.halves", "output.same"
    ]  # fmt: skip
    shapes = [
        [each.dim_param or each.dim_value for each in out.type.tensor_type.shape.dim]
        for out in model.graph.output
    ]
    assert shapes == [["batch", 3], ["batch", 3], ["3*batch-1", 1], ["batch"]]
    a, w = contract.data("float32", 5)[:, :2], np.arange(5.0)
    found = run(content, a, w)
    made = net({"a": bl.tensor(a)}, bl.tensor(w))
    for one, wanted in zip(found, (*made["both"], made["halves"], made["same"]), strict=True):
        np.testing.assert_allclose(one, wanted.value, rtol=1e-6)


def test_dropout_is_off():
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), seed=0)
    x = contract.data("float32")
    with nn.running(training=True, seed=0, step=0):
        content = model_bytes(net, (x,))
    np.testing.assert_allclose(run(content, x)[0], net(x).value, rtol=1e-6)


# ── what cannot be written ───────────────────────────────────────────────────────────────────────


def test_the_primitive_is_named(tmp_path):
    x = np.ones((2, 3), np.float32)

    def turned(x):
        angle = bl.atan2(x, x)
        return angle * 2

    with pytest.raises(MissingRuleError, match=r"primitive atan2 \(node angle, .*test_onnx.py"):
        save_onnx(turned, tmp_path / "a.onnx", x)
    with pytest.raises(MissingRuleError, match="Floor.* does not take int64"):
        model_bytes(lambda n: REGISTRY["floor"](n), (np.ones(3, np.int64),))
    assert list(tmp_path.iterdir()) == []


def test_a_users_own_primitive_is_named():
    cube = bl.primitive("onnx_cube", lambda xp, x: x**3, partials=[lambda y, x: 3.0 * x**2])
    try:
        with pytest.raises(MissingRuleError, match="onnx_cube .*no operator of the same meaning"):
            model_bytes(cube, (np.ones(3),))
    finally:
        primitive.REGISTRY.remove("onnx_cube")


def test_a_users_own_primitive_can_say_how_it_is_written():
    swish = bl.primitive(
        "onnx_swish",
        lambda xp, x: x / (1 + xp.exp(-x)),
        partials=[lambda y, x: bl.sigmoid(x) + y * (1 - bl.sigmoid(x))],
        to_onnx=lambda e, x: x * e.node("Sigmoid", x),
    )
    try:
        (found,) = exported(swish, np.array([-2.0, 0.0, 3.0]))
    finally:
        primitive.REGISTRY.remove("onnx_swish")
    np.testing.assert_allclose(found, [-0.238405844, 0, 2.857722380], rtol=1e-8)


def test_what_depends_on_the_rows_otherwise_is_refused():
    x = np.ones((4, 3), np.float32)
    with pytest.raises(UsageError, match="batch=False"):
        model_bytes(lambda x: bl.mean(x, axis=0), (x,))
    (found,) = exported(lambda x: bl.mean(x, axis=0), x)
    np.testing.assert_allclose(found, [1, 1, 1])
    with pytest.raises(UsageError, match="different things for different numbers of rows"):
        model_bytes(lambda x: x * 2 if x.shape[0] == 101 else x, (x,))


def test_bad_calls(tmp_path):
    with pytest.raises(ShapeError, match="no rows"):
        save_onnx(lambda x: x * 2, tmp_path / "a.onnx", 1.0)
    with pytest.raises(UsageError, match="example"):
        save_onnx(lambda x: x * 2, tmp_path / "a.onnx")
    with pytest.raises(DataError, match="cannot be written"):
        save_onnx(lambda x: x * 2, tmp_path / "nowhere" / "a.onnx", np.ones(3))
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UsageError, match=r"pip install 'backlight\[onnx\]'"):
        save_onnx(lambda x: x * 2, tmp_path / "a.onnx", np.ones(3))


def test_the_file(tmp_path):
    net = nn.Sequential(nn.Linear(2, 1), seed=0)
    path = tmp_path / "net.onnx"
    path.write_text("old")
    assert save_onnx(net, path, np.zeros((1, 2), np.float32)) == path
    assert path.read_bytes() == model_bytes(net, (np.zeros((7, 2), np.float32),))
    names = {each.name for each in onnx.load(path).graph.initializer}
    assert {"layers.0.weight", "layers.0.bias"} <= names
