"""The derivation of a whole tensor's gradient, in matrix notation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from backlight.differentiate.reverse import contribute
from backlight.errors import UsageError
from backlight.explain.derivation import Derivation
from backlight.explain.entries import Entry
from backlight.explain.formulas import combine
from backlight.explain.numeric import NumericCheck, check_entry
from backlight.explain.render import as_html, as_latex, as_text
from backlight.explain.sections import Equation, Section, partial_of
from backlight.explain.symbols import Symbols, symbols_of
from backlight.graph.notation import (
    ADD,
    UNICODE,
    Apply,
    Expression,
    Form,
    Number,
    Precedence,
    Symbol,
    fence,
    infix,
    postfix,
)
from backlight.graph.primitive import Array, Kind
from backlight.ops.arithmetic import MUL
from backlight.ops.convert import CAST
from backlight.ops.leaf import CONSTANT, INPUT
from backlight.ops.move import PERMUTE
from backlight.record import Edge, Trace, array_text
from backlight.tensor import Tensor, leaf, literal, quiet, record
from backlight.trace import history

MATRIX_PRODUCT = infix("@", r"\,", Precedence.PRODUCT)
HADAMARD = infix("⊙", r"\odot", Precedence.PRODUCT, associative=True)
TRANSPOSE: Form = postfix("ᵀ", r"^{\mathsf{T}}")
IVERSON = fence("[", "]", "[", "]")
DEEPEST = 6
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
            formula = self.gradient_formula(index)
            gradient = self.trace.gradients[index]
            assert gradient is not None
            shown = Symbol(array_text(gradient))
            equations.append(Equation(self._gradient(index), (formula, shown)))
        dropped = len(equations) - 40
        if dropped > 0:
            gap = Equation(None, (Symbol("…"),), f"{dropped:,} more")
            equations = [*equations[:20], gap, *equations[-20:]]
        note = "Gradients of later nodes come first, because the earlier ones need them."
        return (Section("Backward pass", (note,), tuple(equations), True),)

    def gradient_formula(self, index: int, depth: int = 0) -> Expression:
        """Write a node's gradient as the sum of what its uses contribute."""
        terms = []
        for edge in self.trace.outgoing[index]:
            upstream = self._upstream(edge.target, depth)
            terms.append(self._contribution(edge, upstream))
        if not terms:
            return Number(0.0)
        total = terms[0]
        for each in terms[1:]:
            total = Apply(ADD, (total, each))
        return total

    def _upstream(self, target: int, depth: int) -> Expression:
        hidden = target not in self._symbols.visible and target != self.trace.output
        if hidden and depth < DEEPEST and len(self.trace.outgoing[target]) <= 2:
            return self.gradient_formula(target, depth + 1)
        return self._gradient(target)

    def _contribution(self, edge: Edge, upstream: Expression) -> Expression:
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
        given: dict[int, Expression] = {
            each.serial: self._symbol(k)
            for each, k in zip(operands, node.inputs, strict=True)
            if each.known_value is None
        }
        given[above.serial] = upstream
        given[consumer.serial] = self._symbol(edge.target)
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
        checks = self.numeric
        good = sum(each.ok for each in checks)
        worst = max((each.relative_error for each in checks), default=0.0)
        mark = "✓" if good == len(checks) else "✗"
        return (
            f"{mark} numeric check: {good} of the {len(checks)} entries of largest magnitude agree "
            f"with central differences; largest relative difference {worst:.1e}.",
            f"One entry: bl.explain(loss, …, index=(…)) derives it node by node.",
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
        return {
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
                {"value": each.value, "analytic": each.analytic, "step": each.step,
                 "error": each.error, "ok": each.ok}
                for each in self.numeric
            ],  # fmt: skip
            "latex": self.latex(),
        }

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


def matrix_expression(output: Tensor, given: Mapping[int, Expression]) -> Expression:
    """Write what a rule built out of placeholders in matrix notation."""
    known: dict[int, Expression] = dict(given)
    for each in history([output]):
        if each.serial in known:
            continue
        if each.primitive is CONSTANT:
            known[each.serial] = Number(float(each.value.reshape(-1)[0]))
            continue
        arguments = [known[operand.serial] for operand in each.inputs]
        known[each.serial] = _written(each, arguments)
    return known[output.serial]


def _written(tensor: Tensor, arguments: Sequence[Expression]) -> Expression:
    primitive = tensor.primitive
    if primitive is CAST:
        boolean = tensor.inputs[0].dtype.kind == "b"
        return Apply(IVERSON, tuple(arguments)) if boolean else arguments[0]
    if primitive is PERMUTE:
        return Apply(TRANSPOSE, tuple(arguments))
    if primitive.kind is Kind.MOVE and len(arguments) == 1:
        return arguments[0]
    if primitive.kind is Kind.CONTRACT:
        return product_of(tensor, arguments[0], arguments[1])
    if any(isinstance(each, Number) and each.value == 1.0 for each in arguments):
        return combine(primitive, arguments)
    both = all(operand.shape != () for operand in tensor.inputs)
    if primitive is MUL and both:
        return Apply(HADAMARD, tuple(arguments))
    return combine(primitive, arguments)


def product_of(tensor: Tensor, left: Expression, right: Expression) -> Expression:
    """Write a contraction as a matrix product with transposes where it is one."""
    labels = (tensor.attributes["left"], tensor.attributes["right"])
    result = tensor.attributes["result"]
    if any(isinstance(each, Number) and each.value == 1.0 for each in (left, right)):
        return right if isinstance(left, Number) else left
    if len(result) == 2 and len(labels[0]) <= 2 and len(labels[1]) <= 2:
        sides = [(labels[0], left), (labels[1], right)]
        if result[0] not in labels[0]:
            sides.reverse()
        (first, a), (second, b) = sides
        if first[:1] != result[:1]:
            a = Apply(TRANSPOSE, (a,))
        if second[-1:] != result[-1:] or (len(second) == 1 and len(first) == 1):
            b = Apply(TRANSPOSE, (b,))
        return Apply(MATRIX_PRODUCT, (a, b))
    if len(result) == 1 and sorted((len(labels[0]), len(labels[1]))) == [1, 2]:
        vector_first = len(labels[0]) == 1
        matrix_labels = labels[1] if vector_first else labels[0]
        matrix, vector = (right, left) if vector_first else (left, right)
        if matrix_labels[0] == result[0]:
            return Apply(MATRIX_PRODUCT, (matrix, vector))
        return Apply(MATRIX_PRODUCT, (Apply(TRANSPOSE, (matrix,)), vector))
    return Apply(MATRIX_PRODUCT, (left, right))
