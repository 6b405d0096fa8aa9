"""Each rule: it is used where it should be, and every bit of the result stays."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tests.passes.same import operations, same_meaning, special

import backlight as bl
from backlight.execute.reference import Program
from backlight.graph.check import check
from backlight.ops.arithmetic import ADD, DIV, MUL, POW, SUB
from backlight.ops.contract import CONTRACT
from backlight.ops.convert import CAST, IDENTITY
from backlight.ops.leaf import CONSTANT
from backlight.ops.move import BROADCAST, CONCAT, FLIP, PAD, PERMUTE, RESHAPE, SLICE
from backlight.ops.piecewise import ZEROS_LIKE
from backlight.ops.reduce import MAX, MIN, SUM
from backlight.passes import eliminate_dead, optimize, simplify

X = special()
PAIRS = np.meshgrid(X, X)
F32 = special("float32")
WHOLE = special("int64")
RNG = np.random.default_rng(3)
M = np.round(RNG.standard_normal((3, 4)) * 8)  # whole numbers: no sum of them is rounded
N = np.round(RNG.standard_normal((4, 5)) * 8)
CUBE = np.round(RNG.standard_normal((2, 3, 4)) * 8)


def negative_zero(dtype="float64"):
    return bl.tensor(np.array(-0.0, dtype))


# what is computed, on what, and the operations that are left
EXACT = {
    "x·1": (lambda x: bl.exp(x * 1.0), [X], ["exp"]),
    "1·x": (lambda x: bl.exp(1.0 * x), [X], ["exp"]),
    "x/1": (lambda x: bl.exp(x / 1.0), [X], ["exp"]),
    "x−0": (lambda x: bl.exp(x - 0.0), [X], ["exp"]),
    "x+(−0)": (lambda x: bl.exp(x + negative_zero()), [X], ["exp"]),
    "x+0 stays": (lambda x: 1.0 / (x + 0.0), [X], ["add", "div"]),
    "x−(−0) stays": (lambda x: 1.0 / (x - negative_zero()), [X], ["sub", "div"]),
    "x·0 stays": (lambda x: x * 0.0, [X], ["mul"]),
    "0/x stays": (lambda x: 0.0 / x, [X], ["div"]),
    "x−x stays": (lambda x: x - x, [X], ["sub"]),
    "whole x+0": (lambda x: -(x + 0), [WHOLE], ["neg"]),
    "x¹": (lambda x: bl.exp(x**1.0), [X], ["exp"]),
    "x⁰": (lambda x: bl.sin(x) + x**0.0, [X], ["sin", "add"]),
    "−(−x)": (lambda x: bl.exp(bl.negative(-x)), [X], ["exp"]),
    "¬¬x": (
        lambda x: bl.where(bl.logical_not(bl.logical_not(x > 0)), x, 1.0), [X],
        ["greater", "where"],
    ),
    "¬(a=b)": (lambda x: bl.logical_not(x == 1.0), [X], ["not_equal"]),
    "¬(a<b) stays": (lambda x: bl.logical_not(x < 1.0), [X], ["less", "logical_not"]),
    "where(¬c)": (lambda x: bl.where(bl.logical_not(x > 0), x, 2.0), [X], ["greater", "where"]),
    "where(c,a,a)": (lambda x: bl.exp(bl.where(x > 0, x, x)), [X], ["exp"]),
    "where(true)": (lambda x: bl.exp(bl.where(bl.tensor(True), x, 2.0)), [X], ["exp"]),
    "where(false)": (lambda x: bl.exp(bl.where(bl.tensor(False), 2.0, x)), [X], ["exp"]),
    "||x||": (lambda x: bl.abs(bl.abs(x)), [X], ["abs"]),
    "relu(relu(x))": (lambda x: bl.relu(bl.relu(x)), [X], ["relu"]),
    "max(x,x)": (lambda x: bl.exp(bl.maximum(x, x)), [X], ["exp"]),
    "a+(−b)": (lambda a, b: a + (-b), PAIRS, ["sub"]),
    "(−a)+b": (lambda a, b: (-a) + b, PAIRS, ["sub"]),
    "a−(−b)": (lambda a, b: a - (-b), PAIRS, ["add"]),
    "(−a)·(−b)": (lambda a, b: (-a) * (-b), PAIRS, ["mul"]),
    "(−a)/(−b)": (lambda a, b: (-a) / (-b), PAIRS, ["div"]),
    "(−a)·3": (lambda x: (-x) * 3.0, [X], ["mul"]),
    "x·(−1)": (lambda x: x * -1.0, [X], ["neg"]),
    "x/8": (lambda x: x / 8.0, [X], ["mul"]),
    "x/(−0.25)": (lambda x: x / -0.25, [F32], ["mul"]),
    "x/3 stays": (lambda x: x / 3.0, [X], ["div"]),
    "x/2¹⁰²³ stays": (lambda x: x / 2.0**1023, [X], ["div"]),
    "identity": (lambda x: bl.exp(IDENTITY(x)), [X], ["exp"]),
    "detach": (lambda x: bl.exp(x.detach()), [X], ["exp"]),
    "cast to its own": (lambda x: bl.exp(CAST(x, dtype=x.dtype)), [X], ["exp"]),
    "there and back": (
        lambda x: -CAST(CAST(x, dtype=np.dtype("float64")), dtype=x.dtype), [F32], ["neg"],
    ),
    "back and there stays": (
        lambda x: CAST(CAST(x, dtype=np.dtype("float32")), dtype=x.dtype), [X], ["cast", "cast"],
    ),
    "true as a number": (
        lambda x: CAST(CAST(x > 0, dtype=np.dtype("float64")), dtype=np.dtype("float32")), [X],
        ["greater", "cast"],
    ),
    "int64 through float64 stays": (
        lambda x: CAST(CAST(x, dtype=np.dtype("float64")), dtype=x.dtype), [WHOLE[2:]],
        ["cast", "cast"],
    ),
    "zeros like": (lambda x: ZEROS_LIKE(bl.exp(x)) + x, [X], ["add"]),
    "reshape twice": (
        lambda x: RESHAPE(RESHAPE(x, shape=(4, 3)), shape=(2, 6)), [M], ["reshape"],
    ),
    "reshape and back": (
        lambda x: -RESHAPE(RESHAPE(x, shape=(4, 3)), shape=(3, 4)), [M], ["neg"],
    ),
    "transposed twice": (lambda x: -(x.T.T), [M], ["neg"]),
    "permuted twice": (
        lambda x: PERMUTE(PERMUTE(x, axes=(1, 2, 0)), axes=(1, 0, 2)), [CUBE], ["permute"],
    ),
    "repeated twice": (
        lambda x: BROADCAST(BROADCAST(x, shape=(3, 4)), shape=(2, 3, 4)), [M[0]], ["broadcast"],
    ),
    "widened and repeated": (
        lambda x: BROADCAST(RESHAPE(x, shape=(1, 4)), shape=(3, 4)), [M[0]], ["broadcast"],
    ),
    "repeated for a sum": (lambda x, y: x + BROADCAST(y, shape=(3, 4)), [M, M[0]], ["add"]),
    "repeated before a function": (
        lambda x: bl.sqrt(BROADCAST(x, shape=(50, 4))), [M[0] ** 2], ["sqrt", "broadcast"],
    ),
    "sliced twice": (lambda x: x[1:, ::2][::-1][:, 1:], [CUBE], None),
    "slice of a slice": (
        lambda x: SLICE(SLICE(x, starts=(0, 1), stops=(3, 4), steps=(2, 1)),
                        starts=(1, 0), stops=(2, 3), steps=(1, 2)), [M], ["slice"],
    ),
    "all of it": (
        lambda x: -SLICE(x, starts=(0, 0), stops=(3, 4), steps=(1, 1)), [M], ["neg"],
    ),
    "part of a concatenation": (
        lambda x, y: SLICE(CONCAT(x, y, axis=1), starts=(0, 5), stops=(3, 8), steps=(1, 2)),
        [M, M + 1.0], ["slice"],
    ),
    "one operand concatenated": (lambda x: -CONCAT(x, axis=0), [M], ["neg"]),
    "nothing padded": (
        lambda x: -PAD(x, before=(0, 0), after=(0, 0), between=(0, 0)), [M], ["neg"],
    ),
    "flipped twice": (lambda x: -FLIP(FLIP(x, axes=(0,)), axes=(0,)), [M], ["neg"]),
    "flipped twice, differently": (
        lambda x: FLIP(FLIP(x, axes=(0,)), axes=(1,)), [M], ["flip", "flip"],
    ),
    "one entry flipped": (lambda x: -FLIP(x, axes=(0,)), [M[:1]], ["neg"]),
    "maximum of one": (lambda x: MAX(RESHAPE(x, shape=(X.size, 1)), axes=(1,)), [X], ["identity"]),
    "sum of one": (lambda x: SUM(RESHAPE(x, shape=(X.size, 1)), axes=(1,)), [X], ["add"]),
    "maximum of equals": (
        lambda x: MIN(BROADCAST(x, shape=(7, X.size)), axes=(0,)), [X], ["identity"],
    ),
    "maximum of some equals": (
        lambda x: MAX(BROADCAST(x, shape=(7, 3, 4)), axes=(0, 2)), [M], ["max"],
    ),
    "maximum, repeated": (
        lambda x: MAX(BROADCAST(x, shape=(3, 4)), axes=(1,)), [M[:1]], ["max", "broadcast"],
    ),
    "transposed operands": (lambda x, y: bl.matmul(y.T, x.T), [M, N], ["contract"]),
    "transposed result": (lambda x, y: (x @ y).T, [M, N], ["contract"]),
    "batched, all transposed": (
        lambda x, y: PERMUTE(PERMUTE(x, axes=(0, 2, 1)) @ y, axes=(2, 0, 1)), [CUBE, CUBE],
        ["contract"],
    ),
    "equal numbers": (lambda x: x * bl.tensor(np.full((3, 4), 2.5)), [M], ["mul"]),
    "ones": (lambda x: -(x * bl.tensor(np.ones((3, 4)))), [M], ["neg"]),
    "0 and −0 differ": (lambda x: x * bl.tensor(np.array([0.0, -0.0])), [np.ones(2)], ["mul"]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_rule(name):
    function, values, left = EXACT[name]
    graph = bl.trace(function, *values)
    found = graph
    for _ in range(4):
        found = eliminate_dead(simplify(found, exact=True))
    same_meaning(graph, found, values)
    if left is not None:
        assert operations(found) == left


def test_a_constant_that_repeats_a_number_is_looked_at_whatever_its_size():
    wide = bl.broadcast_to(bl.tensor(np.array(1.0)), (3000, 3000))
    graph = bl.trace(lambda x: -(x * wide), np.zeros((3000, 3000)))
    assert operations(optimize(graph)) == ["neg"]


def test_the_backward_pass_asks_the_result_of_relu_for_the_sign():
    """So that what went into relu need not be kept: the rule that saves a buffer per layer."""

    def loss(x, w, v):
        return bl.sum((bl.relu(x @ w) @ v) ** 2)

    graph = bl.trace(bl.grad(loss, argnums=(1, 2)), M, N, N.T)
    found = optimize(graph, exact=True)
    same_meaning(graph, found, [M, N, N.T])
    names = {k: node.primitive.name for k, node in enumerate(found.nodes)}
    (greater,) = [node for node in found.nodes if node.primitive.name == "greater"]
    assert names[greater.inputs[0]] == "relu"


@pytest.mark.parametrize("uses", [1, 2])
def test_relu_is_asked_only_when_it_is_used_more_than_once(uses):
    def function(x):
        s = x * 3.0
        a = bl.relu(s)
        return a + (a if uses == 2 else 1.0), s > 0

    graph = bl.trace(function, X)
    found = optimize(graph, exact=True)
    same_meaning(graph, found, [X])
    (greater,) = [node for node in found.nodes if node.primitive.name == "greater"]
    assert found.nodes[greater.inputs[0]].primitive.name == ("relu" if uses == 2 else "mul")


# ── rules that round differently ─────────────────────────────────────────────────────────────────

LOOSE = {
    "x²": (lambda x: x**2.0, [X], ["mul"], 1),
    "x³": (lambda x: x**3.0, [X], ["mul", "mul"], 2),
    "1/x": (lambda x: x**-1.0, [X], ["div"], 1),
    "x² of float32": (lambda x: x**2.0, [F32], ["mul"], 1),
    "sum of equals": (
        lambda x: SUM(BROADCAST(x, shape=(37, M.shape[1])), axes=(0,)), [M[0]], ["mul"], 37,
    ),
    "sum of equal whole numbers": (
        lambda x: SUM(BROADCAST(x, shape=(300, 8)), axes=(0,)), [WHOLE], ["mul"], 0,
    ),
    "sum of some equals": (
        lambda x: SUM(BROADCAST(x, shape=(5, 3, 4)), axes=(0, 2)), [M], ["sum", "mul"], 0,
    ),
    "sum over what is not repeated": (
        lambda x: SUM(BROADCAST(x, shape=(5, 3, 4)), axes=(1,)), [M], ["sum", "broadcast"], 0,
    ),
    "product with ones": (
        lambda x: CONTRACT(x, bl.ones((4, 6)), left=(0, 1), right=(1, 2), result=(2, 0)), [M],
        ["sum", "broadcast"], 0,
    ),
    "ones with a product": (
        lambda x: CONTRACT(bl.ones((2, 5)), as_it_is(x), left=(3, 4), right=(4, 0, 1),
                           result=(0, 3, 1)),
        [np.stack([M] * 5)], None, 0,
    ),
}  # fmt: skip


def as_it_is(x):
    return x * 1.0


@pytest.mark.parametrize("name", LOOSE)
def test_loose_rule(name):
    function, values, left, ulps = LOOSE[name]
    graph = bl.trace(function, *values)
    tally: Counter[str] = Counter()
    found = eliminate_dead(simplify(eliminate_dead(simplify(graph, tally=tally))))
    check(found)
    if left is not None:
        assert operations(found) == left
    assert sum(tally.values()) > 0
    (a,), (b,) = Program(found).run(values), Program(graph).run(values)
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    fine = np.isfinite(b)
    np.testing.assert_array_equal(a[~fine], b[~fine])
    if b.dtype.kind == "f":
        apart = np.abs(a[fine].astype(float) - b[fine].astype(float))
        assert np.all(apart <= ulps * np.spacing(np.abs(b[fine])).astype(float))
        np.testing.assert_array_equal(np.signbit(a[fine]), np.signbit(b[fine]))
    else:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", LOOSE)
def test_loose_rules_are_left_out_when_bits_must_stay(name):
    function, values, _, _ = LOOSE[name]
    graph = bl.trace(function, *values)
    same_meaning(graph, optimize(graph, exact=True), values)


def test_nothing_is_done_to_an_operation_that_is_not_pure():
    made = bl.primitive("test_impure", lambda xp, x: x + 1.0, partials=[lambda y, x: 1.0])
    try:
        graph = bl.trace(lambda x: made(bl.broadcast_to(x, (3, 4))) * 2.0, M[0])
        assert optimize(graph) is graph
    finally:
        from backlight.graph.primitive import REGISTRY

        REGISTRY.remove("test_impure")


def test_constants_of_a_graph_are_not_changed():
    array = np.full((3, 4), 2.0)
    graph = bl.trace(lambda x: x + bl.tensor(array), M)
    optimize(graph)
    assert [n.primitive for n in graph.nodes if n.shape == (3, 4) and n.is_leaf][-1] is CONSTANT
    assert ADD in [node.primitive for node in graph.nodes]
    assert {SUB, MUL, DIV, POW}.isdisjoint(node.primitive for node in graph.nodes)
