"""Nodes: frozen, and the same however they are made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest

from backlight.graph.node import Node, make_node
from backlight.ops.arithmetic import ADD


def test_a_node_made_quickly_is_an_ordinary_one() -> None:
    parts: tuple[Any, ...] = (ADD, (0, 1), {}, (2,), np.dtype(float), "s", True, None, None)
    quick, plain = make_node(*parts), Node(*parts)
    assert type(quick) is Node
    for each in fields(Node):
        assert getattr(quick, each.name) is getattr(plain, each.name)
    with pytest.raises(FrozenInstanceError):
        quick.name = "t"  # type: ignore[misc]
    assert repr(quick) == repr(plain)
    assert quick != plain  # nodes are told apart by identity
