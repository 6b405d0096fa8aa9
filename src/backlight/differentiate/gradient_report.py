"""What a gradient check found: every compared number, the kinks, the verdict, as text and JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

VERSION = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """One derivative, computed by the records and numerically.

    Attributes
    ----------
    argument : str
        The argument's name.
    index : tuple of int or None
        The entry of the argument; None for a random direction through all entries.
    output : str
        Which output, or which random combination of the outputs.
    mode : str
        ``"reverse"`` or ``"forward"``.
    order : int
        1 for the function, 2 for its gradient.
    analytic, numeric : float
        The derivative by the records, and by differences.
    step : float
        The smallest step of the differences.
    error : float
        How far ``numeric`` may be off, by its own account.
    relative_error : float
        What the two differ by beyond ``error``, over the larger of them.
    kink : bool
        Whether the point is a kink and the analytic value lies between the one-sided ones.
    """

    argument: str
    index: tuple[int, ...] | None
    output: str
    mode: str
    order: int
    analytic: float
    numeric: float
    step: float
    error: float
    relative_error: float
    kink: bool = False

    @property
    def place(self) -> str:
        """The argument with its index, as one would write it."""
        if self.index is None:
            return f"{self.argument} (a random direction)"
        if not self.index:
            return self.argument
        return f"{self.argument}[{', '.join(map(str, self.index))}]"


@dataclass(frozen=True, slots=True)
class KinkPoint:
    """An entry at which the function has no derivative.

    Attributes
    ----------
    argument, index, output
        As in `Comparison`.
    analytic : float
        What the gradient uses.
    left, right : float
        The one-sided derivatives.
    convention : str
        What the records of the operations there say, in words.
    """

    argument: str
    index: tuple[int, ...] | None
    output: str
    analytic: float
    left: float
    right: float
    convention: str


@dataclass(frozen=True)
class GradientReport:
    """The result of a gradient check.

    Attributes
    ----------
    comparisons : tuple of Comparison
    kinks : tuple of KinkPoint
    checked, total : int
        How many entries were checked one by one, of how many there are.
    tolerance : float
        The relative error that passes.
    seed : int
        Chose the entries and directions.
    """

    comparisons: tuple[Comparison, ...]
    kinks: tuple[KinkPoint, ...]
    checked: int
    total: int
    tolerance: float
    seed: int

    @property
    def ok(self) -> bool:
        """Whether every derivative agrees; one taken at a kink may lie between the two sides."""
        return not self.failures

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """The comparisons that disagree, worst first."""
        wrong = [each for each in self.comparisons if not self._passes(each)]
        return tuple(sorted(wrong, key=lambda each: -each.relative_error))

    @property
    def unresolved(self) -> tuple[Comparison, ...]:
        """Comparisons whose numeric side is too rough to confirm a hundred times the tolerance."""
        return tuple(
            each
            for each in self.comparisons
            if not each.kink
            and math.isfinite(each.numeric)
            and each.analytic != 0  # that a derivative vanishes can never be confirmed relatively
            and each.error > 100 * self.tolerance * max(abs(each.analytic), abs(each.numeric))
        )

    @property
    def max_relative_error(self) -> float:
        """The largest relative error away from kinks; 0 when there is nothing to compare."""
        return max((each.relative_error for each in self.comparisons if not each.kink), default=0.0)

    @property
    def worst(self) -> Comparison | None:
        """The comparison with the largest relative error, or None when there is none."""
        smooth = [each for each in self.comparisons if not each.kink] or list(self.comparisons)
        return max(smooth, key=lambda each: each.relative_error, default=None)

    def _passes(self, each: Comparison) -> bool:
        return each.kink or each.relative_error <= self.tolerance

    def __str__(self) -> str:
        lines = [self._headline()]
        shown = self.failures[:10] or tuple(
            sorted(self.comparisons, key=lambda each: -each.relative_error)[:5]
        )
        if shown:
            lines += ["", *_table(shown, self._passes)]
        left_out = len(self.failures) - len(shown)
        if left_out > 0:
            lines.append(f"… and {left_out} more that disagree")
        for kink in self.kinks[:5]:
            place = f"{kink.argument}{list(kink.index) if kink.index else ''}"
            lines.append(
                f"kink at {place}: {kink.left:.6g} from the left, {kink.right:.6g} from the right, "
                f"{kink.analytic:.6g} used ({kink.convention})"
            )
        if len(self.kinks) > 5:
            lines.append(f"… and {len(self.kinks) - 5} more kinks")
        undefined = sum(not math.isfinite(each.numeric) for each in self.comparisons)
        if undefined:
            lines.append(
                f"{undefined} numeric derivatives are not finite, because the function is not "
                f"finite there or right beside it; choose a point inside its domain"
            )
        if self.unresolved:
            lines.append(
                f"{len(self.unresolved)} numeric derivatives are too rough to confirm a relative "
                f"error of {100 * self.tolerance:g}; where they pass, it is within their own error"
            )
        return "\n".join(lines)

    def _headline(self) -> str:
        verdict = "The gradients agree" if self.ok else "The gradients DISAGREE"
        some = "" if self.checked == self.total else f", chosen with seed {self.seed}"
        return (
            f"{verdict}: {self.checked} of {self.total} entries checked{some}, largest relative "
            f"error {self.max_relative_error:.2g} (tolerance {self.tolerance:g})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data; numbers that are not finite become strings."""
        return {
            "schema": "backlight.gradient_report",
            "version": VERSION,
            "ok": self.ok,
            "checked": self.checked,
            "total": self.total,
            "tolerance": self.tolerance,
            "seed": self.seed,
            "max_relative_error": _json(self.max_relative_error),
            "unresolved": len(self.unresolved),
            "worst": None if self.worst is None else self._comparison(self.worst),
            "comparisons": [self._comparison(each) for each in self.comparisons],
            "kinks": [
                {
                    "argument": each.argument,
                    "index": None if each.index is None else list(each.index),
                    "output": each.output,
                    "analytic": _json(each.analytic),
                    "left": _json(each.left),
                    "right": _json(each.right),
                    "convention": each.convention,
                }
                for each in self.kinks
            ],
        }

    def _comparison(self, each: Comparison) -> dict[str, Any]:
        return {
            "argument": each.argument,
            "index": None if each.index is None else list(each.index),
            "output": each.output,
            "mode": each.mode,
            "order": each.order,
            "analytic": _json(each.analytic),
            "numeric": _json(each.numeric),
            "step": _json(each.step),
            "error": _json(each.error),
            "relative_error": _json(each.relative_error),
            "kink": each.kink,
            "ok": self._passes(each),
        }


def _json(number: float) -> float | str:
    return number if math.isfinite(number) else str(number)


def _table(rows: tuple[Comparison, ...], passes: Any) -> list[str]:
    header = ("derivative", "mode", "analytic", "numeric", "± error", "relative error", "")
    cells = [header]
    for each in rows:
        order = "" if each.order == 1 else ", 2nd order"
        cells.append(
            (
                f"∂{each.output}/∂{each.place}",
                f"{each.mode}{order}",
                f"{each.analytic:.10g}",
                f"{each.numeric:.10g}",
                f"{each.error:.1e}",
                f"{each.relative_error:.1e}",
                "kink" if each.kink else "ok" if passes(each) else "WRONG",
            )
        )
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
