"""The public result of `explain` for one scalar: a derivation that prints and exports itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from backlight.explain.derive import Definition, Deriver, Step
from backlight.explain.entries import Entry, coordinates, gradient_at, value_at
from backlight.explain.kinks import kink_notes
from backlight.explain.numeric import NumericCheck, check_entry
from backlight.explain.paths import Path, Paths, top_paths
from backlight.explain.remarks import cut_notes, zero_note
from backlight.explain.render import as_html, as_latex, as_text, finite
from backlight.explain.sections import Section, forward_section, partial_of, step_section
from backlight.explain.update import update_section
from backlight.explain.writing import shortest
from backlight.graph.notation import LATEX, UNICODE, Expression, Symbol, format_number
from backlight.record import Trace

SHOWN_PATHS = 3
FEW_LAYERS = 6
"""Layers of a network up to which all are listed by name."""


@dataclass(frozen=True, eq=False)
class Derivation:
    """Why the derivative of a loss by one scalar is the number that it is.

    Attributes
    ----------
    trace : Trace
        The run.
    target : Entry
        The scalar.
    steps : tuple of Step
        Derivatives of inner scalars, those of later layers first; the target's is last.
    definitions : tuple of Definition
        The forward values on the way.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param(1.0, name="w")
    >>> s = w * 3.0 - 2.0
    >>> loss = s**2
    >>> d = bl.explain(loss, w)
    >>> d.value
    6.0
    >>> [factor.value for factor in d.steps[-1].terms[0].factors]
    [3.0, 1.0, 2.0]
    """

    trace: Trace
    target: Entry
    fold: bool = True

    @cached_property
    def _deriver(self) -> Deriver:
        return Deriver(self.trace, self.fold)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps, those of later layers first and the target's last."""
        return tuple(self._deriver.steps(self.target))

    @cached_property
    def definitions(self) -> tuple[Definition, ...]:
        """The forward values of the scalars on the way."""
        return tuple(self._deriver.definitions(list(self.steps)))

    @property
    def value(self) -> float:
        """The derivative: the engine's gradient."""
        value = gradient_at(self.trace, self.target)
        assert value is not None
        return value

    @property
    def name(self) -> str:
        """The scalar in the program's terms, such as ``layers.0.weight[3, 1]``."""
        node = self.trace.graph.nodes[self.target.node]
        index = coordinates(self.target.flat, node.shape)
        return f"{node.name}[{', '.join(map(str, index))}]" if index else node.name

    @cached_property
    def loss_symbol(self) -> Symbol:
        """The loss as a symbol."""
        return self._deriver.formulas.symbol(Entry(self.trace.output, 0))

    @cached_property
    def symbol(self) -> Symbol:
        """The scalar as a symbol."""
        return self._deriver.formulas.symbol(self.target)

    @property
    def left(self) -> Expression:
        """The derivative as an expression, ∂L/∂w."""
        return partial_of(self.loss_symbol, self.symbol)

    @cached_property
    def numeric(self) -> NumericCheck:
        """The finite-difference check of the value."""
        return check_entry(self.trace, self.target, self.value)

    def paths(self, top: int = 10) -> Paths:
        """Return the paths to the loss that contribute most, with their number and the rest.

        Parameters
        ----------
        top : int
            How many to list.

        Returns
        -------
        Paths
            A list of `Path` with ``.count``, ``.total`` and ``.remainder``.
        """
        return top_paths(self.trace, self.target, top)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The derivation as sections of equations."""
        loss = self.loss_symbol
        count = len(self.steps)
        steps = [
            step_section(loss, step, number, count) for number, step in enumerate(self.steps, 1)
        ]
        if count > 1:
            first = steps[0]
            note = (
                "Backward pass: derivatives of later layers come first, because the earlier ones "
                "need them."
            )
            steps[0] = Section(first.title, (note, *first.notes), first.equations, first.stacked)
        gaps = self._deriver.leaves_out(list(self.steps))
        found = [forward_section(self.definitions, gaps=gaps), *steps]
        update = update_section(self.trace, self.target, self.symbol)
        if update is not None:
            found.append(update)
        return tuple(found)

    @property
    def title(self) -> str:
        """The first line: the derivative and its value."""
        return f"{UNICODE.expression(self.left)} = {format_number(shortest(self.value))}"

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """Why the derivative is zero, kinks that it passes and paths that are cut, in sentences."""
        zero = zero_note(self.steps, self.target, self._deriver)
        return (
            *([zero] if zero else ()),
            *kink_notes(self.trace, self.steps, self._deriver),
            *cut_notes(self.trace, self.target, fold=self.fold),
        )

    @cached_property
    def footer(self) -> tuple[str, ...]:
        """Names, remarks, paths and the numeric check in sentences."""
        lines = []
        symbol = UNICODE.expression(self.symbol)
        if symbol != self.name:
            lines.append(f"{symbol} is {self.name}; subscripts count from 1.")
            if self.symbol.superscript:
                lines.append(f"Layers: {'; '.join(self._legend())}.")
        lines.extend(self._deriver.formulas.notes.values())
        lines.extend(self.remarks)
        lines.extend(self._path_lines())
        lines.append(self.badge)
        return tuple(lines)

    def _legend(self) -> list[str]:
        """What the numbers of layers stand for; of many, those that the formulas name."""
        names = self._deriver.symbols.legend
        if len(names) <= FEW_LAYERS:
            return list(names)
        written = as_text("", self.sections, ())
        return [
            each
            for number, each in enumerate(names, 1)
            if UNICODE.expression(Symbol("", "", f"({number})")) in written
        ]

    def _path_lines(self) -> list[str]:
        found = self.paths(SHOWN_PATHS)
        number: float = found.count
        if number <= 1:
            return []
        count = f"{int(number):,}" if number < 2**53 else f"about {format_number(number, 3)}"
        largest = "largest contributions" if found.exhausted else "largest contributions found"
        lines = [f"{count} paths lead from it to the loss; the {largest} are:"]
        for path in found:
            lines.append(f"  {format_number(path.contribution, 6)}  {self._path_text(path)}")
        if number > len(found):
            lines.append(f"  {format_number(found.remainder, 6)}  all the others together")
        return lines

    def _path_text(self, path: Path) -> str:
        """Write a path, with the loss called as it is called in the formulas."""
        nodes = (*path.nodes[:-1], (UNICODE.expression(self.loss_symbol), ()))
        return str(Path(nodes, path.factors, path.contribution))

    @property
    def badge(self) -> str:
        """The numeric check in one line."""
        check = self.numeric
        if check.reason:
            return f"– numeric check: cannot be compared, because {check.reason}."
        mark = "✓" if check.ok else "✗"
        verdict = "agrees" if check.ok else "DISAGREES"
        return (
            f"{mark} numeric check {verdict}: {format_number(check.value, 12)} by central "
            f"differences with step {format_number(check.step, 3)}; relative difference "
            f"{check.relative_error:.1e}, estimated error {check.error:.1e}."
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
        """Return the derivation as plain JSON data, schema ``backlight.derivation`` version 1."""
        write = UNICODE.expression
        paths = self.paths()
        written = {
            "format": "backlight.derivation",
            "version": 1,
            "loss": {
                "name": write(self.loss_symbol),
                "value": value_at(self.trace, Entry(self.trace.output, 0)),
            },
            "target": {
                "name": self.name,
                "symbol": write(self.symbol),
                "value": value_at(self.trace, self.target),
            },
            "derivative": write(self.left),
            "value": self.value,
            "forward": [
                {
                    "symbol": write(each.symbol),
                    "formula": write(each.symbolic),
                    "numbers": write(each.numeric),
                    "value": each.value,
                }
                for each in self.definitions
            ],
            "steps": [self._step_dict(step) for step in self.steps],
            "update": self._update_dict(),
            "paths": {
                "count": paths.count,
                "remainder": paths.remainder,
                "top": [
                    {
                        "nodes": [[name, list(index)] for name, index in path.nodes],
                        "factors": list(path.factors),
                        "contribution": path.contribution,
                    }
                    for path in paths
                ],
            },
            "numeric": {
                "value": self.numeric.value,
                "step": self.numeric.step,
                "error": self.numeric.error,
                "relative_error": self.numeric.relative_error,
                "ok": self.numeric.ok,
                "reason": self.numeric.reason,
            },
            "remarks": list(self.remarks),
            "latex": self.latex(),
        }
        plain: dict[str, Any] = finite(written)
        return plain

    def _update_dict(self) -> list[dict[str, str]]:
        section = update_section(self.trace, self.target, self.symbol)
        write = UNICODE.expression
        return [
            {"symbol": "" if each.left is None else write(each.left),
             "formula": write(each.right[0]),
             "numbers": write(each.right[max(len(each.right) - 2, 0)]),
             "value": write(each.right[-1])}
            for each in (section.equations if section is not None else ())
        ]  # fmt: skip

    def _step_dict(self, step: Step) -> dict[str, Any]:
        write, latex = UNICODE.expression, LATEX.expression
        left = partial_of(self.loss_symbol, step.symbol)
        return {
            "derivative": write(left),
            "latex": latex(left),
            "value": step.value,
            "count": step.count,
            "remainder": step.remainder,
            "terms": [
                {
                    "factors": [
                        {
                            "of": write(factor.of),
                            "by": write(factor.by),
                            "formula": write(factor.symbolic),
                            "numbers": write(factor.numeric),
                            "value": factor.value,
                        }
                        for factor in reversed(term.factors)
                    ],
                    "upstream": None
                    if term.end_symbol is None
                    else {
                        "derivative": write(partial_of(self.loss_symbol, term.end_symbol)),
                        "value": term.end_value,
                    },
                    "contribution": term.contribution,
                }
                for term in step.terms
            ],
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
