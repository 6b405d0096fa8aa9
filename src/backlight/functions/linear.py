"""Linear algebra: matrix products, contractions and Einstein sums, all made from one contraction.

Every function takes tensors or arrays of numbers and gives a tensor; the derivative by each
operand is a contraction of the upstream gradient with the other one.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from itertools import chain

from backlight.errors import ShapeError, UsageError
from backlight.functions.composite import composite
from backlight.functions.manipulation import matrix_transpose
from backlight.functions.operands import Value, integer, one_axis, operand
from backlight.ops.arithmetic import MUL
from backlight.ops.compose import matmul as _matmul
from backlight.ops.compose import permute, reshape
from backlight.ops.contract import CONTRACT
from backlight.ops.move import SLICE
from backlight.ops.reduce import SUM
from backlight.tensor import Tensor, record

__all__ = ["einsum", "matmul", "matrix_transpose", "tensordot", "vecdot"]

Labels = tuple[int, ...]
"""One label for each axis; negative ones stand for axes under an ellipsis."""


def matmul(x1: Value, x2: Value, /) -> Tensor:
    """Return the matrix product Σⱼ x₁[…, i, j]·x₂[…, j, k].

    With the upstream gradient g, the gradients are g·x₂ᵀ and x₁ᵀ·g.

    Parameters
    ----------
    x1 : Tensor of shape (…, m, n) or (n,)
    x2 : Tensor of shape (…, n, p) or (n,)
        Leading axes broadcast; an operand with one axis is a row or a column, which then leaves
        the shape.

    Raises
    ------
    ShapeError
        When the shapes do not fit.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.matmul(bl.tensor([[1.0, 2.0], [3.0, 4.0]]), bl.tensor([1.0, 1.0]))
    Tensor([3., 7.])
    """
    product: Tensor = _matmul(operand("matmul", x1), operand("matmul", x2))
    return product


def tensordot(
    x1: Value, x2: Value, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2
) -> Tensor:
    """Return sums of products over several axes at once.

    Parameters
    ----------
    x1, x2 : Tensor
    axes : int or pair of sequences of int
        The last ``axes`` axes of x1 with the first of x2; or the axes of x1 and those of x2.

    Returns
    -------
    Tensor
        With the other axes of x1, then those of x2.

    Examples
    --------
    >>> import backlight as bl
    >>> bl.tensordot(bl.ones((2, 3, 4)), bl.ones((3, 4, 5)), axes=2).shape
    (2, 5)
    """
    a, b = operand("tensordot", x1), operand("tensordot", x2)
    if isinstance(axes, tuple | list):
        of_a = [one_axis("tensordot", each, a.ndim) for each in axes[0]]
        of_b = [one_axis("tensordot", each, b.ndim) for each in axes[1]]
        if len(of_a) != len(of_b) or len(set(of_a)) + len(set(of_b)) < 2 * len(of_a):
            raise ShapeError(f"tensordot: {axes} must name as many distinct axes of each operand.")
    else:
        count = integer("tensordot", axes)
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise ShapeError(f"tensordot: {a.shape} and {b.shape} do not both have {count} axes.")
        of_a, of_b = list(range(a.ndim - count, a.ndim)), list(range(count))
    left = list(range(a.ndim))
    right = list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(of_a, of_b, strict=True):
        right[j] = left[i]
        if a.shape[i] != b.shape[j]:
            raise ShapeError(
                f"tensordot: axis {i} of {a.shape} and axis {j} of {b.shape} differ in size."
            )
    result = tuple(label for label in (*left, *right) if (label in left) != (label in right))
    return _contracted(a, tuple(left), b, tuple(right), result)


@composite()
def vecdot(x1: Value, x2: Value, /, *, axis: int = -1) -> Tensor:
    """Return Σᵢ x₁[…, i]·x₂[…, i] along an axis.

    Parameters
    ----------
    x1, x2 : Tensor
        Of one size along the axis; the other axes broadcast.
    axis : int
        Counted from the last: −1, −2, … .

    Examples
    --------
    >>> import backlight as bl
    >>> bl.vecdot(bl.tensor([[1.0, 2.0], [3.0, 4.0]]), bl.tensor([1.0, 10.0]))
    Tensor([21., 43.])
    """
    a, b = operand("vecdot", x1), operand("vecdot", x2)
    i, j = one_axis("vecdot", axis, a.ndim), one_axis("vecdot", axis, b.ndim)
    if a.shape[i] != b.shape[j]:
        raise ShapeError(f"vecdot: {a.shape} and {b.shape} differ in size along axis {axis}.")
    # The other axes are labelled from the last one, so that those which broadcast agree.
    left = _with_summed(range(1 - a.ndim, 0), i)
    right = _with_summed(range(1 - b.ndim, 0), j)
    batch = tuple(range(1 - max(a.ndim, b.ndim), 0))
    return _pair(a, left, b, right, batch, batch)


def _with_summed(labels: Sequence[int], position: int) -> Labels:
    """Insert the label 0 of the axis that is summed over."""
    return (*labels[:position], 0, *labels[position:])


@composite()
def einsum(subscripts: str, /, *operands: Value) -> Tensor:
    """Return sums of products over axes named by letters: Einstein's convention.

    Letters that the result does not name are summed over.  Several operands are contracted from
    left to right.  A letter twice in one operand means its diagonal.

    Parameters
    ----------
    subscripts : str
        ``"ij,jk->ik"`` is a matrix product.  Without ``->`` the result has the letters that occur
        once, in alphabetical order.  ``...`` stands for leading axes that broadcast.
    *operands : Tensor

    Raises
    ------
    UsageError
        When the subscripts cannot be read.
    ShapeError
        When they do not fit the shapes.

    Examples
    --------
    >>> import backlight as bl
    >>> a = bl.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> bl.einsum("ij,j->i", a, bl.tensor([1.0, 1.0]))
    Tensor([3., 7.])
    >>> bl.einsum("ii", a)
    Tensor(5.)
    """
    tensors = [operand("einsum", each) for each in operands]
    terms, result = _read(subscripts, [each.ndim for each in tensors])
    _check_sizes(subscripts, tensors, terms)
    made, labels = tensors[0], terms[0]
    made, labels = _diagonal(made, labels)
    for position, (each, term) in enumerate(zip(tensors[1:], terms[1:], strict=True), start=2):
        each, term = _diagonal(each, term)
        later = {*result, *chain.from_iterable(terms[position:])}
        if position == len(tensors):
            return _pair(made, labels, each, term, later, result)
        kept = tuple(dict.fromkeys(x for x in (*labels, *term) if x in later))
        made, labels = _pair(made, labels, each, term, later, kept), kept
    made, labels = _summed(made, labels, set(labels) - set(result))
    ordered: Tensor = permute(made, tuple(labels.index(each) for each in result))
    return ordered


def _read(subscripts: str, ndims: list[int]) -> tuple[list[Labels], Labels]:
    """Return the labels of the axes of every operand and of the result."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ndims):
        raise UsageError(
            f"einsum: {subscripts!r} describes {len(parts)} operands, and {len(ndims)} were given."
        )
    terms = []
    for part, ndim in zip(parts, ndims, strict=True):
        letters = part.replace("...", "", 1)
        hidden = ndim - len(letters)
        if hidden < 0 or (hidden and "..." not in part):
            raise ShapeError(f"einsum: {part!r} does not fit an operand with {ndim} axes.")
        terms.append(_labels(subscripts, part, hidden))
    broadcast = max(-min(term, default=0) for term in terms)
    broadcast = max(broadcast, 0)
    if arrow:
        return terms, _result(subscripts, right, terms, broadcast)
    flat = list(chain.from_iterable(terms))
    once = sorted(each for each in set(flat) if each >= 0 and flat.count(each) == 1)
    return terms, (*range(-broadcast, 0), *once)


def _result(subscripts: str, text: str, terms: list[Labels], broadcast: int) -> Labels:
    """Return the labels of a result that is written out."""
    if broadcast and "..." not in text:
        raise UsageError(f"einsum: the result in {subscripts!r} leaves out '...'; add it.")
    labels = _labels(subscripts, text, broadcast)
    if len(set(labels)) != len(labels) or not set(labels) <= set(chain.from_iterable(terms)):
        raise UsageError(
            f"einsum: the result in {subscripts!r} must name letters of the operands once each."
        )
    return labels


def _labels(subscripts: str, text: str, hidden: int) -> Labels:
    """Return letters as numbers and the axes under an ellipsis as −hidden, …, −1."""
    before, dots, after = text.partition("...")
    if any(each not in string.ascii_letters for each in before + after):
        raise UsageError(f"einsum: {subscripts!r} may hold letters, commas, '...' and '->' only.")
    under = range(-hidden, 0) if dots else range(0)
    # ASCII order, capitals first, is the alphabetical order of an implicit result.
    return (*map(ord, before), *under, *map(ord, after))


def _check_sizes(subscripts: str, tensors: list[Tensor], terms: list[Labels]) -> None:
    sizes: dict[int, int] = {}
    for each, term in zip(tensors, terms, strict=True):
        for size, label in zip(each.shape, term, strict=True):
            known = sizes.setdefault(label, size)
            if known != size and (label >= 0 or 1 not in (known, size)):
                name = chr(label) if label >= 0 else "..."
                raise ShapeError(
                    f"einsum {subscripts!r}: {name!r} has size {known} in one place and {size} in "
                    f"another."
                )
            if label < 0:
                sizes[label] = max(known, size) if 0 not in (known, size) else 0


def _diagonal(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """Take the diagonal over axes that have the same label, until all differ."""
    while len(set(labels)) < len(labels):
        label = next(each for each in labels if labels.count(each) > 1)
        i = labels.index(label)
        j = labels.index(label, i + 1)
        rest = [k for k in range(x.ndim) if k not in (i, j)]
        size = x.shape[i]
        front = tuple(x.shape[k] for k in rest)
        lined = reshape(permute(x, (*rest, i, j)), (*front, size * size))
        x = record(
            SLICE,
            (lined,),
            {
                "starts": (0,) * lined.ndim,
                "stops": lined.shape,
                "steps": (*(1 for _ in rest), size + 1),
            },
        )
        labels = (*(labels[k] for k in rest), label)
    return x, labels


def _summed(x: Tensor, labels: Labels, gone: set[int]) -> tuple[Tensor, Labels]:
    """Sum over the axes with given labels."""
    axes = tuple(k for k, label in enumerate(labels) if label in gone)
    if not axes:
        return x, labels
    return record(SUM, (x,), {"axes": axes}), tuple(each for each in labels if each not in gone)


def _pair(
    a: Tensor,
    left: Labels,
    b: Tensor,
    right: Labels,
    later: set[int] | Labels,
    result: Labels,
) -> Tensor:
    """Contract two operands over the labels that are not needed later."""
    a, left = _without_ones(a, left, b, right)
    b, right = _without_ones(b, right, a, left)
    a, left = _summed(a, left, set(left) - set(right) - set(later))
    b, right = _summed(b, right, set(right) - set(left) - set(later))
    if set(left) & set(right) <= set(later):
        return _product(a, left, b, right, result)
    return _contracted(a, left, b, right, result)


def _without_ones(
    x: Tensor, labels: Labels, other: Tensor, others: Labels
) -> tuple[Tensor, Labels]:
    """Drop the axes of size 1 that meet a longer one, instead of repeating them."""
    kept = [
        k
        for k, label in enumerate(labels)
        if x.shape[k] != 1 or label not in others or other.shape[others.index(label)] == 1
    ]
    narrow = reshape(x, tuple(x.shape[k] for k in kept))
    return narrow, tuple(labels[k] for k in kept)


def _product(a: Tensor, left: Labels, b: Tensor, right: Labels, result: Labels) -> Tensor:
    """Multiply entry by entry, with the axes of both in the order of the result."""
    aligned = []
    for x, labels in ((a, left), (b, right)):
        order = tuple(labels.index(each) for each in result if each in labels)
        moved = permute(x, order)
        sizes = iter(moved.shape)
        aligned.append(reshape(moved, tuple(next(sizes) if k in labels else 1 for k in result)))
    return record(MUL, aligned)


def _contracted(a: Tensor, left: Labels, b: Tensor, right: Labels, result: Labels) -> Tensor:
    """Record one contraction, its labels numbered in the order in which they occur."""
    number = {label: k for k, label in enumerate(dict.fromkeys((*left, *right)))}
    numbered = (tuple(number[each] for each in labels) for labels in (left, right, result))
    names = dict(zip(("left", "right", "result"), numbered, strict=True))
    return record(CONTRACT, (a, b), names)
