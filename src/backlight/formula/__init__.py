"""Formulas that people type, such as ``(w*x - y)**2``, read by a small grammar and never by `eval`.

`parse` takes a text of bounded length and depth and gives a `Formula`; `Formula.evaluate` takes a
tensor for each of its names and records the computation, node by node.  Its functions are the
registered elementwise primitives and reductions, by their own names.

Grammar, from loose to tight: ``;`` between statements, ``name =``, comparisons (inside ``where``
only), ``+ −``, ``* /``, a sign, ``^`` or ``**`` (from the right), then numbers, names, calls,
brackets, ``|x|`` and ``√x``.
"""

from __future__ import annotations

from backlight.formula.functions import function_names
from backlight.formula.nodes import Formula
from backlight.formula.parser import MAX_DEPTH, MAX_LENGTH, MAX_NODES, parse

__all__ = ["Formula", "MAX_DEPTH", "MAX_LENGTH", "MAX_NODES", "function_names", "parse"]
