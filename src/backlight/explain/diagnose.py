"""What ails a network: common faults found in one recorded run of its loss.

It looks at values, gradients and the shape of the computation, gives each fault a number as
evidence and a remedy, and says what it did not look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.errors import UsageError
from backlight.explain.faults import CHECKS, Finding, Patient
from backlight.explain.no_grad import Diagnosis, why_no_grad
from backlight.explain.nonfinite import NonFinite, batch_size, find_nonfinite
from backlight.record import Trace, trace_of
from backlight.tensor import Tensor

__all__ = [
    "Diagnosis", "Finding", "NonFinite", "Report", "diagnose", "find_nonfinite", "why_no_grad",
    "with_health",
]  # fmt: skip

VERSION = 1
_ORDER: Mapping[str, int] = {"error": 0, "warning": 1, "note": 2}
_CHANGES = "how any of this changes during training"
_RATE = "the learning rate and the optimizer"
_NEVER = (
    _RATE,
    "overfitting and the split of the data",
    "wrong labels",
    "class balance",
    _CHANGES,
)


@dataclass(frozen=True)
class Report:
    """All faults that were found, the gravest first, and what was and was not looked at.

    Attributes
    ----------
    findings : tuple of Finding
    checked, not_checked : tuple of str
    checkups : int
        How many check-ups during training were looked at.
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]
    checkups: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing worse than a note was found."""
        return all(each.severity == "note" for each in self.findings)

    def __str__(self) -> str:
        count = len(self.findings)
        where = "one recorded step"
        if self.checkups:
            where += f" and {self.checkups} check-up{'s' * (self.checkups != 1)} during training"
        lines = [f"{count or 'No'} finding{'s' * (count != 1)} in {where}."]
        lines += [f"  {each}" for each in self.findings]
        lines.append(f"Looked at: {', '.join(self.checked)}.")
        lines.append(f"Did not look at: {', '.join(self.not_checked)}.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        return {
            "schema": "backlight.diagnosis",
            "version": VERSION,
            "ok": self.ok,
            "findings": [
                {
                    "severity": each.severity,
                    "what": each.what,
                    "where": each.where,
                    "evidence": each.evidence if np.isfinite(each.evidence) else str(each.evidence),
                    "message": each.message,
                    "remedy": each.remedy,
                }
                for each in self.findings
            ],
            "checked": list(self.checked),
            "not_checked": list(self.not_checked),
            "checkups": self.checkups,
        }


def diagnose(loss: Tensor | Trace, *, parameters: Mapping[str, Tensor] | None = None) -> Report:
    """Look for common faults in one recorded run of a network and its loss.

    Parameters
    ----------
    loss : Tensor or Trace
        A scalar with a value, computed from a batch; 100 examples or more say most.
    parameters : mapping of str to Tensor, optional
        All parameters of the network by name, so that unused ones can be named.

    Returns
    -------
    Report
        ``.findings``, ``.not_checked``; printing it gives the text.

    Raises
    ------
    GradientError
        When the loss is not a scalar with a value or depends on no parameter.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param(2.0, name="w")
    >>> diagnose(w * w, parameters={"w": w, "u": bl.param(1.0)}).findings[0].what
    'unused parameter'
    """
    if not isinstance(loss, (Tensor, Trace)):
        raise UsageError(
            f"diagnose takes a recorded loss or a trace, not a {type(loss).__name__}; compute the "
            f"loss of a batch first."
        )
    trace = trace_of(loss)
    patient = Patient(trace, parameters or {}, batch_size(trace.graph))
    findings: list[Finding] = []
    checked, skipped = [], []
    for name, (check, needs) in CHECKS.items():
        if needs == "examples" and (patient.examples or 0) < 2:
            skipped.append(f"{name} (needs a batch of examples)")
        elif needs == "parameters" and not parameters:
            skipped.append(f"{name} (needs parameters=)")
        else:
            checked.append(name)
            findings += check(patient)
    findings.sort(key=lambda each: _ORDER[each.severity])
    return Report(tuple(findings), tuple(checked), (*skipped, *_NEVER))


def with_health(report: Report, findings: Sequence[Finding], checkups: int) -> Report:
    """Add what the check-ups during training showed to a report on one step.

    Parameters
    ----------
    report : Report
    findings : sequence of Finding
        Of the check-ups.
    checkups : int
        How many there were; without any the report stays as it is.
    """
    if not checkups:
        return report
    every = sorted((*report.findings, *findings), key=lambda each: _ORDER[each.severity])
    return Report(
        tuple(every),
        (*report.checked, "units, updates and gradients over time"),
        tuple(each for each in report.not_checked if each not in (_CHANGES, _RATE)),
        checkups,
    )
