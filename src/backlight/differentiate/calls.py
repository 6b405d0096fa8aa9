"""Calls of a function with variables in place of its arguments: what all transforms share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.differentiate.reverse import sweep
from backlight.errors import GradientError, ShapeError, UsageError
from backlight.graph.pytree import LEAF, Tree, flatten, unflatten
from backlight.ops.convert import CAST, IDENTITY
from backlight.ops.piecewise import ZEROS_LIKE
from backlight.tensor import Tensor, as_tensor, quiet, record, tensor
from backlight.trace import argument_names, as_output

Function = Callable[..., Any]


@dataclass(frozen=True)
class Call:
    """The arguments of a call with variables in place of the differentiated ones.

    Attributes
    ----------
    arguments : tuple
        What the function is called with.
    variables : list of Tensor
        The identity nodes of all differentiated leaves, in the order of their containers.
    trees : tuple of Tree
        The container of each differentiated argument.
    """

    arguments: tuple[Any, ...]
    variables: list[Tensor]
    trees: tuple[Tree, ...]

    def shape(self, values: Sequence[Any], single: bool) -> Any:
        """Put one value per variable into the arguments' containers."""
        waiting = iter(values)
        parts = tuple(
            unflatten(tree, [next(waiting) for _ in range(_count(tree))]) for tree in self.trees
        )
        return parts[0] if single else parts


def _count(tree: Tree) -> int:
    if tree is LEAF or tree.kind is object:
        return 1
    return sum(_count(child) for child in tree.children)


def check_function(function: object, what: str) -> None:
    """Raise unless a transform was given a function, not its result."""
    if not callable(function):
        remedy = (
            "; put the computation into a function, or call .backward() on the result"
            if isinstance(function, Tensor)
            else ""
        )
        raise UsageError(f"bl.{what} takes a function, not {type(function).__name__}{remedy}.")


def positions_of(argnums: int | Sequence[int], count: int, what: str) -> tuple[int, ...]:
    """Return argument numbers as distinct non-negative ones, or raise."""
    listed = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    found = []
    for each in listed:
        if isinstance(each, bool) or not isinstance(each, int) or not -count <= each < count:
            raise UsageError(
                f"{what}: argnums names argument {each!r}, and the function was called with "
                f"{count} positional argument{'s'[: count != 1]}; they count from 0."
            )
        found.append(each % count)
    if not found or len(set(found)) != len(found):
        raise UsageError(f"{what}: argnums={argnums!r} must name one or more different arguments.")
    return tuple(found)


def prepare(
    function: Function, arguments: tuple[Any, ...], positions: Sequence[int], what: str
) -> Call:
    """Replace the chosen arguments by variables, and arrays elsewhere by tensors."""
    names = argument_names(function, arguments)
    passed: list[Any] = []
    by_position: dict[int, tuple[list[Tensor], Tree]] = {}
    for position, (argument, labels) in enumerate(zip(arguments, names, strict=True)):
        leaves, tree = flatten(argument)
        if position not in positions:
            passed.append(unflatten(tree, [_constant(each) for each in leaves]))
            continue
        variables = [_variable(each, name, what) for each, name in zip(leaves, labels, strict=True)]
        by_position[position] = variables, tree
        passed.append(unflatten(tree, variables))
    chosen = [by_position[position] for position in positions]
    return Call(
        tuple(passed),
        [each for variables, _ in chosen for each in variables],
        tuple(tree for _, tree in chosen),
    )


def _constant(value: Any) -> Any:
    return tensor(value) if isinstance(value, (np.ndarray, np.generic)) else value


def _variable(value: Any, name: str, what: str) -> Tensor:
    start = value if isinstance(value, Tensor) else tensor(value, name)
    if start.dtype.kind != "f":
        raise GradientError(
            f"{what} cannot differentiate with respect to {name}, which is {start.dtype}; pass "
            f"floating-point numbers."
        )
    variable = record(IDENTITY, (start,))
    variable.name = name
    return variable


def scalar(function: Function, call: Call, options: dict[str, Any], what: str) -> Tensor:
    """Call a function that has to return one number."""
    returned = function(*call.arguments, **options)
    if isinstance(returned, (dict, list, tuple)):
        raise GradientError(
            f"{what} needs a function that returns one scalar, and this one returns a "
            f"{type(returned).__name__}; see bl.vjp or bl.jacobian."
        )
    return as_output(returned)


def pull(outputs: Sequence[Tensor], seeds: Sequence[Tensor], call: Call) -> list[Tensor]:
    """Return one gradient per variable: zeros where no path leads to it."""
    with quiet():
        done = sweep(outputs, seeds, wrt=call.variables, keep=False)
        found = [done.gradient(each) for each in call.variables]
        return [
            record(ZEROS_LIKE, (variable,)) if gradient is None else gradient
            for variable, gradient in zip(call.variables, found, strict=True)
        ]


def results_of(returned: Any, what: str) -> tuple[Any, list[Tensor], Tree]:
    """Return what a function returned with tensors as leaves, the leaves, and the container."""
    leaves, tree = flatten(returned)
    outputs = [as_output(each) for each in leaves]
    for each in outputs:
        if each.dtype.kind != "f":
            raise GradientError(
                f"{what} needs floating-point results, and {each.name or 'one'} is {each.dtype}."
            )
    return unflatten(tree, outputs), outputs, tree


def matching(values: Any, tree: Tree, like: Sequence[Tensor], what: str) -> list[Tensor]:
    """Return the leaves of a container as tensors of the shapes and dtypes of others."""
    leaves, own = flatten(values)
    if len(leaves) != len(like) or _outline(own) != _outline(tree):
        raise UsageError(
            f"The {what} must be nested as what it belongs to is: {len(like)} "
            f"tensor{'s'[: len(like) != 1]}, not {len(leaves)} in another container."
        )
    found = []
    for leaf_value, other in zip(leaves, like, strict=True):
        each = as_tensor(leaf_value)
        if each.shape != other.shape:
            raise ShapeError(
                f"A {what} has shape {each.shape} where {other.name or 'what it belongs to'} has "
                f"{other.shape}; they must match."
            )
        if each.dtype != other.dtype:
            each = record(CAST, (each,), {"dtype": other.dtype})
        found.append(each)
    return found


def _outline(tree: Tree) -> Any:
    """The nesting without the difference between a list and a tuple."""
    if tree is LEAF or tree.kind is object:
        return None
    return (tree.keys, tuple(_outline(child) for child in tree.children))
