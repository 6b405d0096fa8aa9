"""Backlight: backpropagation that one can see through.

Write a computation in ordinary Python.  Backlight records its graph, runs it forward, knows the
local derivative at every node, runs it backward by the chain rule, and shows every number on the
way.
"""

from __future__ import annotations

from backlight.graph.graph import Graph
from backlight.ops import registry
from backlight.tensor import Tensor, param, tensor
from backlight.trace import trace

__version__ = "0.1.0.dev0"
__all__ = ["Graph", "Tensor", "param", "registry", "tensor", "trace"]
