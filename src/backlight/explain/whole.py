"""The derivation of a whole tensor's gradient, in matrix notation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from backlight.differentiate.reverse import contribute
from backlight.errors import UsageError
from backlight.explain.derivation import Derivation
from backlight.explain.entries import Entry
from backlight.explain.known_whole import known_gradient
from backlight.explain.matrices import Written, add, matrix_expression
from backlight.explain.numeric import NumericCheck, check_entry
from backlight.explain.remarks import cut_notes
from backlight.explain.render import as_html, as_latex, as_text, finite
from backlight.explain.sections import Equation, Section, distinct, partial_of
from backlight.explain.symbols import Symbols, symbols_of
from backlight.explain.writing import DIGITS, constant
from backlight.graph.notation import UNICODE, Expression, Number, Symbol, format_number
from backlight.graph.primitive import Array, Kind
from backlight.ops.leaf import CONSTANT, INPUT
from backlight.record import Edge, Trace, array_text
from backlight.tensor import leaf, literal, quiet, record

DEEPEST = 6
MOST_TERMS = 6
"""Uses of one tensor whose contributions are written out."""
CHECKED = 3
"""Entries that are compared with finite differences: those of largest magnitude."""


@dataclass(frozen=True, eq=False)
class TensorDerivation:
    """Why the gradient of a loss by a whole tensor is what it is.

    Attributes
    ----------
    trace : Trace
    node : int
        The tensor's node.

    Examples
    --------
    >>> import backlight as bl
    >>> W = bl.param([[1.0, 2.0], [3.0, 4.0]], name="W")
    >>> x = bl.tensor([1.0, -1.0], name="x")
    >>> h = W @ x
    >>> d = bl.explain(bl.sum(h * h), W)
    >>> d.value
    array([[-2.,  2.],
           [-2.,  2.]])
    """

    trace: Trace
    node: int
    fold: bool = True

    @property
    def value(self) -> Array:
        """The gradient: the engine's."""
        value = self.trace.gradients[self.node]
        assert value is not None
        return value

    @property
    def name(self) -> str:
        """The tensor in the program's terms."""
        return self.trace.graph.nodes[self.node].name

    def entry(self, *index: int) -> Derivation:
        """Return the derivation of one entry."""
        shape = self.value.shape
        flat = int(np.ravel_multi_index(index, shape)) if shape else 0
        return Derivation(self.trace, Entry(self.node, flat), self.fold)

    @cached_property
    def _symbols(self) -> Symbols:
        return symbols_of(self.trace, fold=self.fold)

    def _symbol(self, node: int) -> Symbol:
        base = self._symbols.bases[node]
        letter = base.base
        # Matrices get capitals where the letter is the textbook's own.
        if letter == "w" and len(self.trace.graph.nodes[node].shape) == 2 and base.superscript:
            letter = "W"
        return Symbol(letter, "", base.superscript)

    def _gradient(self, node: int) -> Expression:
        if node == self.trace.output:
            return Number(1.0)
        return partial_of(self._symbol(self.trace.output), self._symbol(node))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The derivation as one section: later gradients first."""
        graph = self.trace.graph
        between = graph.downstream(self.node) & graph.upstream(self.trace.output)
        equations = []
        for index in sorted(between, reverse=True):
            if index == self.trace.output or self.trace.gradients[index] is None:
                continue
            if index not in self._symbols.visible and index != self.node:
                continue
            formula = self.gradient_formula(index).expression
            gradient = self.trace.gradients[index]
            assert gradient is not None
            number = format_number(float(gradient), DIGITS) if gradient.ndim == 0 else ""
            shown = Symbol(number or array_text(gradient))
            equations.append(Equation(self._gradient(index), distinct(formula, shown)))
        dropped = len(equations) - 40
        if dropped > 0:
            gap = Equation(None, (Symbol("…"),), f"{dropped:,} more")
            equations = [*equations[:20], gap, *equations[-20:]]
        notes = (
            "Gradients of later nodes come first, because the earlier ones need them.",
            "Names stand for whole arrays; ⊙ and functions go entry by entry, @ is for matrices.",
        )
        return (Section("Backward pass", notes, tuple(equations), True),)

    def gradient_formula(self, index: int, depth: int = 0) -> Written:
        """Write a node's gradient as the sum of what its uses contribute."""
        if self.fold and (short := known_gradient(self.trace, index, self._symbol)):
            return short
        edges = self.trace.outgoing[index]
        shape = self.trace.graph.nodes[index].shape
        gap = [Written(Symbol("…"), shape)] if len(edges) > MOST_TERMS else []
        shown = (*edges[: MOST_TERMS - 1], edges[-1]) if gap else edges
        terms = [self._contribution(edge, self._upstream(edge.target, depth)) for edge in shown]
        return add([*terms[:-1], *gap, *terms[-1:]])

    def _upstream(self, target: int, depth: int) -> Written:
        if target == self.trace.output:
            return Written(Number(1.0), ())
        hidden = target not in self._symbols.visible
        if hidden and depth < DEEPEST and len(self.trace.outgoing[target]) <= 2:
            return self.gradient_formula(target, depth + 1)
        return Written(self._gradient(target), self.trace.graph.nodes[target].shape)

    def _operand(self, index: int, depth: int = 0) -> Written:
        """Write a forward value: its symbol when it is shown, what it is made of otherwise."""
        node = self.trace.graph.nodes[index]
        if node.primitive is CONSTANT and node.shape == ():
            return Written(constant(float(self.trace.values[index])), ())
        made = node.primitive.kind is Kind.ELEMENTWISE and node.inputs
        if index in self._symbols.visible or depth >= DEEPEST or not made:
            return Written(self._symbol(index), node.shape)
        operands = [self._operand(k, depth + 1) for k in node.inputs]
        with quiet():
            leaves = [leaf(INPUT, self.trace.graph.nodes[k].spec) for k in node.inputs]
            again = record(node.primitive, leaves, node.attributes)
        given = {each.serial: made for each, made in zip(leaves, operands, strict=True)}
        return matrix_expression(again, given)

    def _contribution(self, edge: Edge, upstream: Written) -> Written:
        """Run one backward rule on placeholders and write what it builds."""
        graph = self.trace.graph
        node = graph.nodes[edge.target]
        with quiet():
            operands = []
            for k in node.inputs:
                operand = graph.nodes[k]
                number = operand.primitive is CONSTANT and operand.shape == ()
                operands.append(
                    literal(self.trace.values[k]) if number else leaf(INPUT, operand.spec)
                )
            if all(each.known_value is not None for each in operands):
                operands[edge.position] = leaf(INPUT, graph.nodes[edge.source].spec)
            consumer = record(node.primitive, operands, node.attributes)
            above = leaf(INPUT, node.spec)
            value = contribute(consumer, edge.position, above).value
        given = {
            each.serial: self._operand(k)
            for each, k in zip(operands, node.inputs, strict=True)
            if each.known_value is None
        }
        given[above.serial] = upstream
        given[consumer.serial] = self._operand(edge.target)
        return matrix_expression(value, given)

    @cached_property
    def numeric(self) -> tuple[NumericCheck, ...]:
        """Finite-difference checks of the entries of largest magnitude."""
        flat = self.value.reshape(-1)
        largest = np.argsort(-np.abs(flat), kind="stable")[:CHECKED]
        return tuple(
            check_entry(self.trace, Entry(self.node, int(k)), float(flat[k])) for k in largest
        )

    def paths(self, top: int = 10) -> None:
        """Paths lead from single scalars; say which one."""
        raise UsageError(
            f"Paths lead from one scalar to the loss, and {self.name} has {self.value.size} "
            f"entries; choose one with index=."
        )

    @property
    def title(self) -> str:
        """The first line: the gradient and its value."""
        return f"{UNICODE.expression(self._gradient(self.node))} = {array_text(self.value)}"

    @cached_property
    def footer(self) -> tuple[str, ...]:
        """Names and the numeric check in sentences."""
        return (
            *cut_notes(self.trace, Entry(self.node, 0), fold=self.fold),
            self.badge,
            self._one_entry(),
        )

    def _one_entry(self) -> str:
        """Say how to ask for the derivation of one entry."""
        first = (0,) * self.value.ndim
        entry = f"{self.name}[{','.join(map(str, first))}]"
        return (
            f"One entry is derived node by node: bl.explain(…, index={first}), or {entry} on the "
            f"command line."
        )

    @property
    def badge(self) -> str:
        """The numeric check in one line."""
        checks = self.numeric
        if not checks:
            return "– numeric check: there are no entries to compare."
        reasons = [each.reason for each in checks if each.reason]
        if len(reasons) == len(checks):
            return f"– numeric check: cannot be compared, because {reasons[0]}."
        compared = [each for each in checks if not each.reason]
        good = sum(each.ok for each in compared)
        worst = max(each.relative_error for each in compared)
        mark = "✓" if good == len(compared) else "✗"
        which = (
            "entries" if len(compared) == self.value.size else "compared entries, the largest ones,"
        )
        return (
            f"{mark} numeric check: {good} of {len(compared)} {which} agree with central "
            f"differences; largest relative difference {worst:.1e}."
        )

    def text(self) -> str:
        """Write the derivation as plain text with Unicode mathematics."""
        return as_text(self.title, self.sections, self.footer)

    def latex(self) -> str:
        """Write the equations as LaTeX (needs amsmath)."""
        return as_latex(self.title, self.sections)

    def html(self) -> str:
        """Write the derivation as an HTML fragment with MathML."""
        return as_html(self.title, self.sections, self.footer)

    def to_dict(self) -> dict[str, Any]:
        """Return the derivation as plain JSON data, schema ``backlight.gradient`` version 1."""
        write = UNICODE.expression
        written = {
            "format": "backlight.gradient",
            "version": 1,
            "target": self.name,
            "shape": list(self.value.shape),
            "value": self.value.tolist(),
            "steps": [
                {
                    "derivative": "" if each.left is None else write(each.left),
                    "formula": write(each.right[0]),
                }
                for section in self.sections
                for each in section.equations
            ],
            "numeric": [
                {
                    "value": each.value,
                    "analytic": each.analytic,
                    "step": each.step,
                    "error": each.error,
                    "ok": each.ok,
                    "reason": each.reason,
                }
                for each in self.numeric
            ],
            "latex": self.latex(),
        }
        plain: dict[str, Any] = finite(written)
        return plain

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<derivation of {self.title}>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return {
            "text/plain": self.text(),
            "text/html": self.html(),
            "text/latex": self.latex(),
        }
