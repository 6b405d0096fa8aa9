"""Nested containers: dicts, lists and tuples, taken apart into leaves and put together again.

The order is fixed: dictionaries by sorted key, sequences by position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backlight.errors import UsageError

DEEPEST = 100
"""Containers nested more deeply are refused, which also catches those that hold themselves."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The shape of a nested container with its leaves taken out.

    Attributes
    ----------
    kind : type
        ``dict``, ``list``, ``tuple`` (or a named tuple's type), or ``object`` for a leaf.
    keys : tuple
        The sorted keys of a dictionary.
    children : tuple of Tree
    """

    kind: type
    keys: tuple[Any, ...] = ()
    children: tuple[Tree, ...] = ()


LEAF = Tree(object)


def flatten(value: Any, *, depth: int = 0) -> tuple[list[Any], Tree]:
    """Return the leaves of a nested container and its shape.

    Examples
    --------
    >>> leaves, tree = flatten({"b": [2, 3], "a": 1})
    >>> leaves, unflatten(tree, leaves)
    ([1, 2, 3], {'a': 1, 'b': [2, 3]})
    """
    if depth > DEEPEST:
        raise UsageError(f"An argument nests containers more than {DEEPEST} deep; flatten it.")
    if isinstance(value, dict):
        keys: tuple[Any, ...] = tuple(sorted(value, key=str))
        parts: Sequence[Any] = [value[key] for key in keys]
    elif isinstance(value, (list, tuple)):
        keys, parts = (), value
    else:
        return [value], LEAF
    leaves: list[Any] = []
    children = []
    for part in parts:
        found, tree = flatten(part, depth=depth + 1)
        leaves.extend(found)
        children.append(tree)
    kind = dict if isinstance(value, dict) else type(value)
    return leaves, Tree(kind, keys, tuple(children))


def unflatten(tree: Tree, leaves: Sequence[Any]) -> Any:
    """Put leaves back into a container's shape; the inverse of `flatten`."""
    return _filled(tree, iter(leaves))


# No function inside the other: it would refer to itself and keep the leaves alive with it.
def _filled(tree: Tree, values: Iterator[Any]) -> Any:
    if tree is LEAF or tree.kind is object:
        return next(values)
    parts = [_filled(child, values) for child in tree.children]
    if tree.kind is dict:
        return dict(zip(tree.keys, parts, strict=True))
    if hasattr(tree.kind, "_fields"):
        return tree.kind(*parts)
    return tree.kind(parts)


def leaf_names(tree: Tree, root: str) -> list[str]:
    """Return a readable path for each leaf: ``batch[0]``, ``weights.w1``."""
    if tree is LEAF or tree.kind is object:
        return [root]
    names: list[str] = []
    for position, child in enumerate(tree.children):
        if tree.kind is dict:
            key = tree.keys[position]
            part = f"{root}.{key}" if str(key).isidentifier() else f"{root}[{key!r}]"
        else:
            part = f"{root}[{position}]"
        names.extend(leaf_names(child, part))
    return names


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to every leaf of a nested container."""
    leaves, tree = flatten(value)
    return unflatten(tree, [function(leaf) for leaf in leaves])
