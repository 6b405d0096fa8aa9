"""Diagnosis against computations whose fault is known because it was built in."""

from __future__ import annotations

import json

import numpy as np
import pytest

import backlight as bl
from backlight import nn
from backlight.errors import GradientError, UsageError
from backlight.explain.diagnose import diagnose, find_nonfinite, why_no_grad
from backlight.graph.primitive import Kind, Primitive
from backlight.ops.convert import CAST, DETACH
from backlight.ops.exponential import EXP, LOG, SIGMOID, SQRT
from backlight.ops.index import GATHER
from backlight.ops.piecewise import RELU, WHERE
from backlight.ops.reduce import SUM
from backlight.ops.trigonometric import TANH

pytestmark = pytest.mark.filterwarnings("ignore::backlight.errors.BacklightWarning")

FLOAT = np.dtype(np.float64)
RNG = np.random.default_rng(4)


def total(x):
    return SUM(x, axes=tuple(range(x.ndim)))


# ── find_nonfinite ───────────────────────────────────────────────────────────────────────────────


def test_nothing_to_find():
    assert find_nonfinite(total(bl.param([1.0, 2.0]))) is None
    assert find_nonfinite(total(bl.param([1.0, 2.0])), gradients=True) is None


def test_the_first_node_is_named_with_its_operand_and_its_line():
    x = bl.tensor([[1.0, 2.0], [0.0, 3.0], [4.0, 5.0]], name="x")
    w = bl.param([1.0, 2.0], name="w")
    h = x * w
    logs = LOG(h)
    loss = total(logs)
    found = find_nonfinite(loss)
    assert (found.kind, found.operation, found.name, found.index) == ("inf", "log", "logs", (1, 0))
    assert found.value == -np.inf and found.example == 1 and found.count == 1
    assert [str(each) for each in found.operands] == ["h[1, 0] = 0"]
    assert found.location.text == "logs = LOG(h)"
    text = str(found)
    assert "logs[1, 0] = -inf, made by log from h[1, 0] = 0" in text
    assert "example 1" in text and "logs = LOG(h)" in text
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_leaf_that_is_not_finite_is_named_as_such():
    x = bl.tensor([1.0, np.nan, 2.0], name="x")
    found = find_nonfinite(total(x * bl.param(2.0)))
    assert found.leaf and found.name == "x" and found.kind == "nan" and found.index == (1,)
    assert "before anything is computed" in str(found)
    w = bl.param([1.0, np.inf], name="w")
    assert find_nonfinite(total(w * 2.0)).operation == "parameter"


def test_a_broadcast_operand_is_looked_up_at_its_own_index():
    a, b = bl.tensor([[1.0, 2.0], [3.0, 4.0]], name="a"), bl.tensor([1.0, 0.0], name="b")
    found = find_nonfinite(total(a / b))
    assert found.index == (0, 1)
    assert [str(each) for each in found.operands] == ["a[0, 1] = 2", "b[1] = 0"]


def test_an_overflowing_sum_shows_the_range_of_what_went_in():
    big = np.array([[1.0, 2.0], [1e308, 1.7e308]])
    x = bl.tensor(big, name="x")
    found = find_nonfinite(SUM(x, axes=(1,)))
    assert found.operation == "sum" and found.index == (1,)
    assert "x between 1e+308 and 1.7e+308" in str(found)


def test_an_unselected_infinity_is_not_blamed_for_a_nan():
    x = bl.tensor([0.0, 2.0], name="x")
    y = WHERE(x > 0.0, LOG(x), 0.0)
    found = find_nonfinite(total(y))
    assert found.operation == "log" and not found.reaches_result
    assert "nothing of it was selected" in str(found)
    later = EXP(y * 1e6)
    assert find_nonfinite(total(later)).operation == "exp"


def test_the_backward_pass():
    x = bl.param([4.0, 0.0], name="x")
    root = SQRT(x)
    loss = total(root)
    assert find_nonfinite(loss) is None
    found = find_nonfinite(loss, gradients=True)
    assert (found.phase, found.kind, found.name, found.index) == ("backward", "inf", "x", (1,))
    assert found.operation == "sqrt"
    assert "the local derivative = inf" in str(found)
    assert find_nonfinite(bl.record(loss), gradients=True).name == "x"
    assert find_nonfinite(root, gradients=True).name == "x"


def test_traced_tensors_have_no_values_to_look_at():
    def f(x):
        find_nonfinite(x)
        return x

    with pytest.raises(GradientError, match="traced"):
        bl.trace(f, 1.0)


# ── why_no_grad ──────────────────────────────────────────────────────────────────────────────────


def diagnosis(function, value=(1.0, 2.0)):
    w = bl.param(np.array(value), name="w")
    return why_no_grad(function(w), w)


def test_fine_with_its_norm():
    found = diagnosis(lambda w: total(w * bl.tensor([3.0, 4.0])))
    assert found.kind == "fine" and found.norm == 5
    assert "5" in str(found)


def test_not_connected():
    other = bl.param([5.0, 6.0], name="v")
    found = diagnosis(lambda w: total(other * 2.0))
    assert found.kind == "not connected" and "was not used" in str(found)


def test_not_connected_because_the_number_was_taken_out():
    found = diagnosis(lambda w: total(bl.tensor(w.value) * 2.0))
    assert found.kind == "not connected" and ".value" in str(found)


def test_cut_by_detach_names_the_place():
    found = diagnosis(lambda w: total(w.detach() * 2.0))
    assert found.kind == "cut"
    assert found.places[0].operation == "detach"
    assert found.places[0].location.file == __file__
    assert "w.detach()" in str(found)


def test_a_detach_beside_another_path():
    found = diagnosis(lambda w: total(w * DETACH(w)))
    assert found.kind == "fine" and "further path is cut by detach" in str(found)
    harmless = diagnosis(lambda w: total(w - DETACH(w, reason="the shift cancels exactly")))
    assert harmless.kind == "fine" and "cut" not in str(harmless)


def test_softmax_has_no_cut():
    found = diagnosis(lambda w: nn.softmax(w)[0])
    assert found.kind == "fine" and found.places == ()


def test_integer_paths():
    found = diagnosis(lambda w: total(CAST(w > 1.0, dtype=FLOAT)))
    assert found.kind == "integer path" and "Boolean" in str(found)
    found = diagnosis(lambda w: total(CAST(CAST(w, dtype=np.dtype(np.int64)), dtype=FLOAT)))
    assert found.kind == "integer path" and "int64" in str(found)
    index = bl.tensor([1, 0], name="index")
    chosen = GATHER(bl.param([1.0, 2.0]), index, axis=0)
    found = why_no_grad(total(chosen), index)
    assert found.kind == "integer path" and "index is int64" in str(found)


def test_a_dead_relu():
    found = diagnosis(lambda w: total(RELU(-w)))
    assert found.kind == "zero" and found.norm == 0
    assert found.places[0].operation == "relu"
    assert "any of the 2 entries" in str(found)


def test_a_factor_of_zero():
    mask = bl.tensor([0.0, 0.0], name="mask")
    found = diagnosis(lambda w: total(w * mask))
    assert found.kind == "zero" and "mask, which is zero" in str(found)
    squared = diagnosis(lambda w: total(w**3.0), (0.0, 0.0))
    assert squared.kind == "zero" and "local derivative" in str(squared)


def test_a_branch_that_was_not_selected():
    found = diagnosis(lambda w: total(WHERE(bl.tensor([True, True]), 1.0, w)))
    assert found.kind == "zero" and "did not select w" in str(found)


def test_two_reasons_are_both_named():
    def f(w):
        return total(RELU(-w)) + total(w * 0.0)

    text = str(diagnosis(f))
    assert "relu" in text and "mul" in text


def test_contributions_that_cancel():
    found = diagnosis(lambda w: total(w) - total(w))
    assert found.kind == "zero" and "cancel" in str(found)


def test_some_zero_entries_are_counted():
    found = diagnosis(lambda w: w[0] * 2.0)
    assert found.kind == "fine" and "1 of its 2 entries are zero" in str(found)


def test_a_tensor_that_is_no_parameter():
    x = bl.tensor([1.0, 2.0], name="x")
    found = why_no_grad(total(x * bl.param(3.0)), x)
    assert found.kind == "not a parameter" and "bl.param" in str(found)


def test_an_infinite_gradient():
    assert diagnosis(lambda w: total(SQRT(w)), (0.0, 1.0)).kind == "not finite"


def test_a_primitive_without_rules():
    mystery = Primitive("mystery", Kind.ELEMENTWISE, lambda x: x, lambda xp, x: x * 2.0)
    found = diagnosis(lambda w: total(mystery(w)))
    assert found.kind == "no rule" and "mystery" in str(found)


def test_only_tensors_with_values():
    with pytest.raises(UsageError, match="why_no_grad"):
        why_no_grad(1.0, bl.param(1.0))


def test_a_diagnosis_as_json():
    data = json.loads(json.dumps(diagnosis(lambda w: total(w.detach())).to_dict()))
    assert data["kind"] == "cut" and data["places"][0]["operation"] == "detach"


# ── diagnose ─────────────────────────────────────────────────────────────────────────────────────


def kinds(report):
    return [each.what for each in report.findings]


def batch(features=4, examples=64):
    return RNG.normal(size=(examples, features)).astype(np.float32)


def labels(examples=64, classes=3):
    return RNG.integers(0, classes, examples)


def test_a_healthy_network_has_no_findings():
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), seed=0)
    report = diagnose(nn.cross_entropy(net(batch()), labels()), parameters=nn.parameters(net))
    assert report.ok and report.findings == ()
    assert "No findings" in str(report)
    assert "wrong labels" in " ".join(report.not_checked)


def test_softmax_before_cross_entropy():
    net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(), seed=0)
    report = diagnose(nn.cross_entropy(net(batch()), labels()))
    assert kinds(report) == ["softmax before cross_entropy"]
    assert not report.ok
    net = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(), seed=0)
    again = diagnose(nn.cross_entropy(net(batch()), labels()))
    assert kinds(again) == ["log_softmax before cross_entropy"] and again.ok
    assert diagnose(nn.nll(net(batch()), labels())).findings == ()


def test_softmax_before_nll_and_sigmoid_before_logits():
    net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(), seed=0)
    assert kinds(diagnose(nn.nll(net(batch()), labels()))) == ["softmax before nll"]
    net = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid(), seed=0)
    target = labels(classes=2).astype(np.float32)
    loss = nn.binary_cross_entropy_with_logits(net(batch())[:, 0], target)
    assert kinds(diagnose(loss)) == ["sigmoid before binary_cross_entropy_with_logits"]
    assert diagnose(nn.binary_cross_entropy(net(batch())[:, 0], target)).findings == ()


def test_binary_targets_out_of_range():
    net = nn.Sequential(nn.Linear(4, 1), seed=0)
    target = 2.0 * labels(classes=2).astype(np.float32) - 1.0
    loss = nn.binary_cross_entropy_with_logits(net(batch())[:, 0], target)
    (found,) = diagnose(loss).findings
    assert found.what == "targets out of range" and found.evidence == -1
    right = nn.binary_cross_entropy_with_logits(
        net(batch())[:, 0], np.abs(target), weights=np.full(64, 5.0)
    )
    assert diagnose(right).findings == ()


def test_dead_relu_units():
    weight = bl.param(RNG.normal(size=(4, 6)), name="weight")
    bias = bl.param(np.array([0.0, -100.0, 0.0, -100.0, 0.0, 0.0]), name="bias")
    x = bl.tensor(batch().astype(float), name="x")
    hidden = RELU(x @ weight + bias)
    (found,) = diagnose(total(hidden**2.0)).findings
    assert found.what == "dead relu units" and found.where == "hidden"
    assert found.evidence == pytest.approx(2 / 6) and "units 1, 3" in found.message
    assert found.severity == "warning"
    report = diagnose(total(RELU(hidden - 1e6)))
    assert report.findings[0].severity == "error"
    assert "zero gradient" in kinds(report)


@pytest.mark.parametrize("function", [SIGMOID, TANH])
def test_saturated_units(function):
    weight = bl.param(RNG.normal(size=(4, 5)) * np.array([1, 1, 0.1, 1, 1]), name="weight")
    x = bl.tensor(batch().astype(float), name="x")
    hidden = function(x @ weight + bl.tensor([0.0, 50.0, 0.0, 0.0, -50.0]))
    (found,) = diagnose(total(hidden)).findings
    assert found.what.startswith("saturated") and "units 1, 4" in found.message


def test_vanishing_gradients():
    # Activations stay near ½ while every layer multiplies the gradient by 0.2·σ′ ≤ 0.05.
    x = bl.tensor(batch(8).astype(float), name="x")
    for k in range(8):
        x = SIGMOID(x @ bl.param(0.2 * np.eye(8), name=f"w{k}"))
    (found,) = diagnose(total(x * x) / 64.0).findings
    assert found.what == "vanishing gradients" and found.where == "w0"
    assert found.evidence > 20**3


def test_exploding_gradients():
    first = bl.param(np.eye(4), name="first")
    last = bl.param(np.eye(4) * 1e-3, name="last")
    x = bl.tensor(batch().astype(float), name="x")
    grows = (x @ first) * 1e-8
    loss = total((grows * 1e8) @ last * 1.0) + total(x @ first) * 1e6
    assert kinds(diagnose(loss)) == ["exploding gradients"]


def test_inputs():
    x = batch(3, 32)
    x[:, 1] *= 5000
    x[:, 2] = 7
    net = nn.Sequential(nn.Linear(3, 3), seed=0)
    report = diagnose(nn.cross_entropy(net(x), labels(32)))
    assert set(kinds(report)) == {"inputs that are not normalized", "constant features"}
    constant = next(each for each in report.findings if each.what == "constant features")
    assert constant.severity == "note" and "features 2" in constant.message


def test_nan():
    w = bl.param([1.0, -1.0], name="w")
    report = diagnose(total(LOG(w)))
    assert report.findings[0].what == "nan in the forward pass"
    assert report.findings[0].severity == "error"
    json.dumps(report.to_dict(), allow_nan=False)


def test_unused_parameters():
    used, unused = bl.param(1.0, name="used"), bl.param([1.0, 2.0], name="unused")
    report = diagnose(used * 2.0, parameters={"used": used, "unused": unused})
    assert kinds(report) == ["unused parameter"] and report.findings[0].where == "unused"
    without = diagnose(used * 2.0)
    assert "unused parameters (needs parameters=)" in without.not_checked


def test_one_example_is_not_enough_to_call_a_unit_dead():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), seed=0)
    report = diagnose(nn.cross_entropy(net(batch(4, 1)), labels(1)))
    assert "dead relu units (needs a batch of examples)" in report.not_checked


@pytest.mark.parametrize("wrap", [np.asarray, bl.tensor])
def test_a_network_with_data_is_diagnosed_like_the_loss(wrap):
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), seed=0)
    net.layers[0].bias.assign(np.full(8, -100.0, np.float32))
    report = bl.diagnose(net, (wrap(batch()), wrap(labels())), loss=nn.cross_entropy)
    assert "dead relu units" in kinds(report)
    assert not any("needs a batch" in each for each in report.not_checked)


@pytest.mark.filterwarnings("ignore::backlight.errors.BacklightWarning")
def test_an_infinity_in_the_data_is_named_as_such():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), seed=0)
    X = batch()
    X[7, 2] = np.inf
    first = bl.diagnose(net, (X, labels()), loss=nn.cross_entropy).findings[0]
    assert first.where == "X" and "X[7, 2] is inf" in first.message
    assert first.remedy == "Fill it in or remove it."


def test_a_stored_trace_is_diagnosed_like_the_loss():
    net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(), seed=0)
    loss = nn.cross_entropy(net(batch()), labels())
    assert kinds(diagnose(bl.record(loss))) == kinds(diagnose(loss))


def test_something_else_is_refused():
    with pytest.raises(UsageError, match="recorded loss"):
        diagnose(nn.Linear(2, 2))
