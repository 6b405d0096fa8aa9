"""A parsed formula: its nodes, operands first, and how they are recorded on tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backlight.errors import BacklightError, FormulaError
from backlight.formula.functions import COMPOSITES
from backlight.formula.tokens import did_you_mean, listed, message
from backlight.graph.primitive import Kind, Primitive
from backlight.source import Location
from backlight.tensor import Tensor, as_tensor, record
from backlight.trace import history

_PLACE = Location("<formula>", 1, "")


@dataclass(frozen=True, slots=True)
class Number:
    """A number written in the formula."""

    value: float
    start: int


@dataclass(frozen=True, slots=True)
class Name:
    """A free variable."""

    name: str
    start: int


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation on earlier nodes, given by their positions."""

    primitive: Primitive
    operands: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function made of several primitives, by its name, on one earlier node."""

    function: str
    operand: int
    start: int


@dataclass(frozen=True, slots=True)
class Count:
    """The number of entries of an earlier node."""

    operand: int
    start: int


Node = Number | Name | Apply | Call | Count


@dataclass(frozen=True)
class Formula:
    """A parsed formula.

    Attributes
    ----------
    text : str
        As it was typed, without surrounding blanks.
    names : tuple of str
        The free variables, in order of appearance.
    nodes : tuple of Number, Name, Apply, Call or Count
        In an order in which operands come first; the last statement's node is `result`.
    assigned : mapping of int to str
        The names of intermediate results, by the node that they stand for.
    result : int
        The node whose value the formula has.
    """

    text: str
    names: tuple[str, ...]
    nodes: tuple[Node, ...]
    assigned: Mapping[int, str]
    result: int

    def __str__(self) -> str:
        return self.text

    def evaluate(self, values: Mapping[str, Tensor]) -> Tensor:
        """Record the computation on tensors, one node for each operation as it is written.

        Parameters
        ----------
        values : mapping of str to Tensor
            One for each of `names`: parameters (`backlight.param`) or data (`backlight.tensor`).

        Returns
        -------
        Tensor

        Raises
        ------
        FormulaError
            When a name has no value, a value has no name in the formula, or shapes or dtypes do
            not fit at some operation.

        Examples
        --------
        >>> import backlight as bl
        >>> from backlight.formula import parse
        >>> formula = parse("p = w*x; (p - y)**2")
        >>> formula.names
        ('w', 'x', 'y')
        >>> w = bl.param(1.0, name="w")
        >>> loss = formula.evaluate({"w": w, "x": bl.tensor(1.0), "y": bl.tensor(2.0)})
        >>> loss.backward()
        >>> float(loss), float(w.grad)
        (1.0, -2.0)
        """
        self._check_names(values)
        made: list[Tensor | float] = []
        for index, node in enumerate(self.nodes):
            value = self._value(node, made, values)
            name = self.assigned.get(index)
            if name is not None or index == self.result:
                value = as_tensor(value)
            if name is not None and isinstance(value, Tensor):
                value.name = name
            made.append(value)
        return as_tensor(made[self.result])

    def _check_names(self, values: Mapping[str, Tensor]) -> None:
        missing = [name for name in self.names if name not in values]
        if missing:
            several = "values" if len(missing) > 1 else "a value"
            raise FormulaError(f"The formula needs {several} for {listed(missing)}.")
        unknown = [name for name in values if name not in self.names]
        if unknown:
            known = f"its names are {listed(self.names)}" if self.names else "it has no names"
            hint = did_you_mean(unknown[0], self.names)
            raise FormulaError(f"The formula has no name {unknown[0]!r}{hint}; {known}.")

    def _value(
        self, node: Node, made: Sequence[Tensor | float], values: Mapping[str, Tensor]
    ) -> Tensor | float:
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Name):
            return values[node.name]
        if isinstance(node, Count):
            return float(as_tensor(made[node.operand]).size)
        if isinstance(node, Call):
            return self._call(node, as_tensor(made[node.operand]))
        operands = [made[k] for k in node.operands]
        try:
            if node.primitive.kind is Kind.REDUCE:
                whole = as_tensor(operands[0])
                tensor = record(node.primitive, (whole,), {"axes": tuple(range(whole.ndim))})
            else:
                tensor = record(node.primitive, operands)
        except BacklightError as error:
            reason = str(error).rstrip(".")
            raise FormulaError(message(self.text, node.start, reason)) from error
        # The formula is where it comes from, not the line of the program that evaluates it.
        tensor.site = _PLACE
        return tensor

    def _call(self, node: Call, operand: Tensor) -> Tensor:
        try:
            result = COMPOSITES[node.function](operand)
        except BacklightError as error:
            reason = str(error).rstrip(".")
            raise FormulaError(message(self.text, node.start, reason)) from error
        for each in history([result]):
            if each.serial > operand.serial and each.inputs:
                each.site = _PLACE
        return result
