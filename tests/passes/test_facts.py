"""Every algebraic fact that a record claims, tried on special values, bit for bit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.passes.same import same_bits, special

from backlight.errors import BacklightError
from backlight.graph.primitive import NO_FACTS, Kind, Primitive, Spec
from backlight.ops import registry

CLAIMS = {name: each for name, each in registry().items() if each.facts is not NO_FACTS}
DTYPES = ("float64", "float32", "int64", "int8", "uint8", "bool")


def operands(primitive: Primitive, count: int) -> Iterator[list[np.ndarray]]:
    """Special values in every dtype that the operation takes, each with each."""
    tried = 0
    for dtype in map(np.dtype, DTYPES):
        try:
            primitive.specify(*[Spec((3,), dtype)] * count)
        except (BacklightError, TypeError):
            continue
        values = special(dtype)
        pairs = np.array(list(itertools.product(values, repeat=count)), dtype=dtype)
        tried += 1
        yield [pairs[:, k].copy() for k in range(count)]
    assert tried, f"{primitive.name} takes none of the dtypes that were tried"


def run(primitive: Primitive, *values: np.ndarray, **attributes: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(primitive.evaluate(np, *values, **attributes))


def claiming(*names: str, kind: Kind | None = Kind.ELEMENTWISE) -> list[str]:
    return [
        name
        for name, each in CLAIMS.items()
        if (kind is None or each.kind is kind)
        and any(getattr(each.facts, fact) not in (None, False) for fact in names)
    ]


@pytest.mark.parametrize("name", claiming("commutative"))
def test_commutative(name):
    primitive = CLAIMS[name]
    for a, b in operands(primitive, 2):
        same_bits(run(primitive, a, b), run(primitive, b, a))


@pytest.mark.parametrize("name", claiming("left_identity", "right_identity"))
def test_identity_operand(name):
    primitive = CLAIMS[name]
    facts = primitive.facts
    for (x,) in ([each[0]] for each in operands(primitive, 2)):
        for position, identity in enumerate((facts.left_identity, facts.right_identity)):
            if identity is None:
                continue
            other = np.full_like(x, identity)
            pair = (other, x) if position == 0 else (x, other)
            same_bits(run(primitive, *pair), x)


def test_a_wrong_identity_would_be_found():
    """Plus zero is not an identity of addition: −0 + 0 is 0."""
    with pytest.raises(AssertionError):
        same_bits(run(registry()["add"], np.array([-0.0]), np.array([0.0])), np.array([-0.0]))


@pytest.mark.parametrize("name", claiming("involution"))
def test_involution(name):
    primitive = CLAIMS[name]
    for (x,) in operands(primitive, 1):
        same_bits(run(primitive, run(primitive, x)), x)


def test_flipping_twice_changes_nothing():
    x = np.arange(24.0).reshape(2, 3, 4)
    flip = registry()["flip"]
    assert claiming("involution", kind=Kind.MOVE) == ["flip"]
    same_bits(run(flip, run(flip, x, axes=(0, 2)), axes=(0, 2)), x)


@pytest.mark.parametrize("name", claiming("idempotent"))
def test_idempotent(name):
    primitive = CLAIMS[name]
    count = 2 if primitive.facts.associative else 1
    for values in operands(primitive, count):
        x = values[0]
        if count == 2:
            same_bits(run(primitive, x, x), x)
        else:
            once = run(primitive, x)
            same_bits(run(primitive, once), once)


@pytest.mark.parametrize("name", claiming("idempotent", kind=Kind.REDUCE))
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("count", [1, 2, 33])
def test_a_reduction_of_equal_entries_gives_the_entry(name, dtype, count):
    x = special(dtype)
    repeated = np.broadcast_to(x[:, None], (x.size, count))
    same_bits(run(CLAIMS[name], repeated, axes=(1,)), x)


@pytest.mark.parametrize("name", claiming("transparent"))
def test_transparent(name):
    for (x,) in operands(CLAIMS[name], 1):
        same_bits(run(CLAIMS[name], x), x)


@pytest.mark.parametrize("name", claiming("keeps_positive"))
def test_keeps_positive(name):
    for (x,) in operands(CLAIMS[name], 1):
        same_bits(run(CLAIMS[name], x) > 0, x > 0)


@pytest.mark.parametrize("name", claiming("associative"))
def test_associative_for_real_numbers(name):
    primitive = CLAIMS[name]
    x = np.arange(-6, 7)
    values = (x, x * 3, x + 5) if _takes(primitive, "int64") else (x > 0, x > 2, x < -1)
    a, b, c = (np.ravel(each) for each in np.meshgrid(*values))
    same_bits(run(primitive, run(primitive, a, b), c), run(primitive, a, run(primitive, b, c)))


def _takes(primitive: Primitive, dtype: str) -> bool:
    try:
        primitive.specify(Spec((3,), np.dtype(dtype)), Spec((3,), np.dtype(dtype)))
    except BacklightError:
        return False
    return True


@pytest.mark.parametrize("name", claiming("inverse", kind=None))
def test_inverse(name):
    primitive, back = CLAIMS[name], registry()[str(CLAIMS[name].facts.inverse)]
    x = np.array([1e-8, 0.3, 1.0, 2.5, 1e8])
    np.testing.assert_allclose(run(back, run(primitive, x)), x, rtol=1e-14)


def test_users_operations_are_not_taken_for_pure():
    import backlight as bl
    from backlight.graph.primitive import REGISTRY

    assert all(each.pure for each in CLAIMS.values())
    try:
        made = bl.primitive("test_pure", lambda xp, x: x, partials=[lambda y, x: 1.0])
        assert not made.primitive.pure
        made = bl.primitive("test_pure", lambda xp, x: x, partials=[lambda y, x: 1.0], pure=True)
        assert made.primitive.pure
    finally:
        REGISTRY.remove("test_pure")
