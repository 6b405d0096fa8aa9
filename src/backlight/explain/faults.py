"""The checks of a network's health: each looks for one fault in a recorded run.

A check takes the run and yields findings, each with the number that shows it and a remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backlight.explain.nonfinite import find_nonfinite
from backlight.graph.node import Node
from backlight.graph.primitive import Kind, Primitive
from backlight.graph.scope import Scope
from backlight.ops.convert import CAST, IDENTITY
from backlight.ops.exponential import SIGMOID
from backlight.ops.leaf import INPUT
from backlight.ops.piecewise import RELU
from backlight.ops.trigonometric import TANH
from backlight.record import Trace
from backlight.tensor import Tensor

Severity = Literal["error", "warning", "note"]

FLAT = 0.01
"""A sigmoid or tanh unit counts as saturated where its local derivative is below this share of
its largest one ..."""
MOSTLY = 0.95
"""... for this share of the examples."""
FAR_APART = 1e4
"""Gradient sizes of layers further apart than this vanish or explode."""
UNEVEN = 100.0
"""Input features whose sizes differ more than this, or that are larger than this, are uneven."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
    what : str
        The kind of fault, such as ``"dead relu units"``.
    where : str
        The node, layer or parameter.
    evidence : float
        The number that shows it; the message says what it measures.
    message : str
        One sentence with the evidence.
    remedy : str
        What to do.
    """

    severity: Severity
    what: str
    where: str
    evidence: float
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.what} at {self.where}: {self.message} {self.remedy}"


@dataclass(frozen=True)
class Patient:
    """What the checks look at."""

    trace: Trace
    parameters: Mapping[str, Tensor]
    examples: int | None

    def nodes(self, primitive: Primitive) -> Iterator[tuple[int, Node]]:
        """Yield the nodes of one primitive outside backward passes."""
        for index, node in enumerate(self.trace.graph.nodes):
            if node.primitive is primitive and not _in(node.scope, "backward"):
                yield index, node


def _in(scope: Scope | None, kind: str) -> bool:
    while scope is not None:
        if scope.kind == kind:
            return True
        scope = scope.parent
    return False


# ── values ───────────────────────────────────────────────────────────────────────────────────────


def _nonfinite(patient: Patient) -> Iterator[Finding]:
    found = find_nonfinite(patient.trace, gradients=True)
    if found is not None:
        severity: Severity = "error" if found.reaches_result else "note"
        yield Finding(
            severity,
            f"{found.kind} in the {found.phase} pass",
            found.name,
            found.value,
            str(found).partition("\n")[0],
            "Fill it in or remove it."
            if found.leaf and found.phase == "forward"
            else "Keep the operand inside the operation's domain, or clip it.",
        )


def _units(patient: Patient, index: int) -> Any:
    """Return a node's values with one row per example (or position) and one column per unit."""
    value = patient.trace.values[index]
    if value.ndim < 2 or value.shape[0] != patient.examples or value.size == 0:
        return None
    return value.reshape(-1, value.shape[-1])


def _dead(patient: Patient) -> Iterator[Finding]:
    for index, node in patient.nodes(RELU):
        units = _units(patient, index)
        if units is None:
            continue
        dead = np.flatnonzero(np.all(units <= 0, axis=0))
        if dead.size:
            share = dead.size / units.shape[1]
            yield Finding(
                "error" if share == 1 else "warning",
                "dead relu units",
                node.name,
                share,
                f"{dead.size} of {units.shape[1]} units are 0 for all {units.shape[0]} examples "
                f"(units {_some(dead)}).",
                "Lower the learning rate, check the initialization and the scale of the inputs, "
                "or use leaky_relu.",
            )


def _saturated(patient: Patient) -> Iterator[Finding]:
    slopes: tuple[tuple[Primitive, Callable[[Any], Any]], ...] = (
        (SIGMOID, lambda y: 4 * y * (1 - y)),
        (TANH, lambda y: 1 - y**2),
    )
    for primitive, slope in slopes:
        for index, node in patient.nodes(primitive):
            units = None if _in(node.scope, "composite") else _units(patient, index)
            if units is None:
                continue
            flat = np.mean(slope(units.astype(np.float64)) < FLAT, axis=0)
            stuck = np.flatnonzero(flat >= MOSTLY)
            if stuck.size:
                share = stuck.size / units.shape[1]
                yield Finding(
                    "warning",
                    f"saturated {primitive.name} units",
                    node.name,
                    share,
                    f"{stuck.size} of {units.shape[1]} units are flat for at least {MOSTLY:.0%} "
                    f"of {units.shape[0]} examples (units {_some(stuck)}).",
                    "Scale the inputs, start from smaller weights, or use relu in hidden layers.",
                )


def _some(units: Any) -> str:
    listed = ", ".join(str(each) for each in units[:8])
    return listed + (", …" if len(units) > 8 else "")


def _inputs(patient: Patient) -> Iterator[Finding]:
    """Look at the columns of the inputs that weights are multiplied with."""
    for index, node in enumerate(patient.trace.graph.nodes):
        value = patient.trace.values[index]
        if (
            node.primitive is not INPUT
            or value.ndim != 2
            or value.dtype.kind != "f"
            or value.shape[0] != patient.examples
            or 0 in value.shape
            or not _feeds_a_product(patient, index)
            or not np.all(np.isfinite(value))
        ):
            continue
        columns = value.astype(np.float64)
        spread, size = np.std(columns, axis=0), np.max(np.abs(columns), axis=0)
        if value.shape[0] >= 8:
            constant = np.flatnonzero(spread == 0)
            if constant.size:
                yield Finding(
                    "note",
                    "constant features",
                    node.name,
                    constant.size / value.shape[1],
                    f"{constant.size} of {value.shape[1]} features have the same value in all "
                    f"{value.shape[0]} examples (features {_some(constant)}).",
                    "Drop them, or check how they were read.",
                )
        varying = spread[spread > 0]
        ratio = float(np.max(varying) / np.min(varying)) if varying.size else 1.0
        largest = float(np.max(size))
        if largest > UNEVEN or ratio > UNEVEN:
            yield Finding(
                "warning",
                "inputs that are not normalized",
                node.name,
                max(largest, ratio),
                f"The largest entry is {largest:.3g}, and the features' standard deviations differ "
                f"by a factor of {ratio:.3g}.",
                "Standardize each feature to mean 0 and standard deviation 1.",
            )


def _feeds_a_product(patient: Patient, index: int) -> bool:
    nodes = patient.trace.graph.nodes
    return any(
        nodes[user].primitive.kind is Kind.CONTRACT
        for user, _ in patient.trace.graph.consumers[index]
    )


# ── gradients ────────────────────────────────────────────────────────────────────────────────────


def _layers(patient: Patient) -> Iterator[Finding]:
    """Compare the sizes of the weights' gradients from the first layer to the last."""
    trace = patient.trace
    found = []
    for name, index in trace.parameters.items():
        gradient = trace.gradients[index]
        if gradient is None or gradient.ndim < 2 or not np.all(np.isfinite(gradient)):
            continue
        users = [user for user, _ in trace.graph.consumers[index]]
        size = float(np.sqrt(np.mean(gradient.astype(np.float64) ** 2)))
        found.append((min(users, default=index), name, size))
    found.sort()
    sizes = [(name, size) for _, name, size in found if size > 0]
    if len(sizes) < 2:
        return
    (first, first_size), (last, last_size) = sizes[0], sizes[-1]
    for what, ratio, remedy in (
        ("vanishing gradients", last_size / first_size,
         "Use relu or normalization, another initialization, or fewer layers."),
        ("exploding gradients", first_size / last_size,
         "Clip the gradients, start from smaller weights, or lower the learning rate."),
    ):  # fmt: skip
        if ratio > FAR_APART:
            yield Finding(
                "warning",
                what,
                first,
                ratio,
                f"A typical gradient of {first} is {first_size:.3g} and of {last} "
                f"{last_size:.3g}: a factor of {ratio:.3g}.",
                remedy,
            )


def _zero_gradients(patient: Patient) -> Iterator[Finding]:
    for name, index in patient.trace.parameters.items():
        gradient = patient.trace.gradients[index]
        if gradient is not None and gradient.size and not np.any(gradient):
            yield Finding(
                "warning",
                "zero gradient",
                name,
                0.0,
                f"All {gradient.size} entries of its gradient are exactly 0.",
                "bl.why_no_grad(loss, parameter) names the factor that is zero.",
            )


def _unused(patient: Patient) -> Iterator[Finding]:
    trace = patient.trace
    for name, parameter in patient.parameters.items():
        labels = {name, parameter.name}
        at = next((trace.parameters[each] for each in labels if each in trace.parameters), None)
        if at is None or trace.gradients[at] is None:
            yield Finding(
                "error",
                "unused parameter",
                name,
                float(parameter.size),
                f"No gradient of the loss reaches its {parameter.size} entries.",
                "Use it in the network, or remove it; bl.why_no_grad(loss, parameter) says more.",
            )


# ── the shape of the computation ─────────────────────────────────────────────────────────────────

_MISTAKEN: tuple[tuple[str, str, Severity, str, str], ...] = (
    ("softmax", "cross_entropy", "error",
     "cross_entropy takes logits and applies its own softmax, so here it is applied twice.",
     "Remove the softmax before the loss."),
    ("log_softmax", "cross_entropy", "note",
     "cross_entropy applies log_softmax itself; doing it twice changes nothing but costs time.",
     "Remove the log_softmax before the loss, or use nll."),
    ("softmax", "nll", "error",
     "nll takes log-probabilities and is given probabilities.",
     "Use log_softmax before nll, or cross_entropy on the logits."),
)  # fmt: skip


def _mistaken_losses(patient: Patient) -> Iterator[Finding]:
    """Find outputs of one kind that are fed into a loss that takes another."""
    graph = patient.trace.graph
    reported: set[tuple[int, str]] = set()
    for node in graph.nodes:
        for scope in () if node.scope is None else node.scope.chain():
            if scope.kind != "composite":
                continue
            for operand in node.inputs:
                source = graph.nodes[_behind_moves(patient, operand)]
                if source.scope is not None and scope in source.scope.chain():
                    continue
                for finding in _mistakes(source, scope):
                    key = (id(scope), finding.message)
                    if key not in reported:
                        reported.add(key)
                        yield finding


def _behind_moves(patient: Patient, index: int) -> int:
    """Go back over reshapes, conversions and their like to the node that made the numbers."""
    nodes = patient.trace.graph.nodes
    while True:
        node = nodes[index]
        passing = node.primitive.kind is Kind.MOVE or node.primitive in (CAST, IDENTITY)
        if not passing or len(node.inputs) != 1:
            return index
        index = node.inputs[0]


def _mistakes(source: Node, loss: Scope) -> Iterator[Finding]:
    inside = {each.name for each in source.scope.chain() if each.kind == "composite"} if (
        source.scope is not None
    ) else set()  # fmt: skip
    for made, taken, severity, message, remedy in _MISTAKEN:
        if loss.name == taken and made in inside and taken not in inside:
            yield Finding(severity, f"{made} before {taken}", source.name, 1.0, message, remedy)
    if loss.name == "binary_cross_entropy_with_logits" and source.primitive is SIGMOID:
        yield Finding(
            "error",
            "sigmoid before binary_cross_entropy_with_logits",
            source.name,
            1.0,
            "The loss takes logits and applies its own sigmoid, so here it is applied twice.",
            "Remove the sigmoid before the loss, or use binary_cross_entropy.",
        )


def _targets(patient: Patient) -> Iterator[Finding]:
    """Look for targets of a binary loss outside 0 to 1."""
    trace = patient.trace
    seen: set[int] = set()
    for node in trace.graph.nodes:
        scope = _binary_loss(node)
        if scope is None or id(scope) in seen:
            continue
        leaves = [k for k in node.inputs if trace.graph.nodes[k].primitive is INPUT]
        data = [k for k in leaves if trace.values[k].size]
        if not data:
            continue
        seen.add(id(scope))  # the target comes first; sample weights are multiplied on later
        value = trace.values[data[0]]
        low, high = float(np.min(value)), float(np.max(value))
        if low < 0 or high > 1:
            yield Finding(
                "error",
                "targets out of range",
                trace.graph.nodes[data[0]].name,
                low if low < 0 else high,
                f"A binary cross-entropy takes targets from 0 to 1, and these run from {low:.3g} "
                f"to {high:.3g}.",
                "Code the classes as 0 and 1, or use cross_entropy for more than two.",
            )


def _binary_loss(node: Node) -> Scope | None:
    for scope in () if node.scope is None else node.scope.chain():
        if scope.kind == "composite" and scope.name.startswith("binary_cross_entropy"):
            return scope
    return None


CHECKS: Mapping[str, tuple[Callable[[Patient], Iterator[Finding]], str]] = {
    "NaN and infinity": (_nonfinite, ""),
    "dead relu units": (_dead, "examples"),
    "saturated sigmoid and tanh units": (_saturated, "examples"),
    "vanishing and exploding gradients": (_layers, ""),
    "parameters with zero gradient": (_zero_gradients, ""),
    "unused parameters": (_unused, "parameters"),
    "losses fed with the wrong kind of output": (_mistaken_losses, ""),
    "ranges of binary targets": (_targets, ""),
    "scale of the inputs": (_inputs, "examples"),
}
"""What is looked for: the check, and what it needs besides the run (examples, parameters)."""
