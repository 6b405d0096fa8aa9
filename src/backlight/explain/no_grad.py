"""Why a gradient is missing or zero: not connected, cut, integers on the way, or a zero factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backlight.differentiate.reverse import Contribution, carries, dependent, sweep
from backlight.errors import MissingRuleError, UsageError
from backlight.ops.arithmetic import MUL
from backlight.ops.convert import DETACH
from backlight.ops.leaf import CONSTANT, PARAMETER
from backlight.ops.piecewise import RELU, WHERE
from backlight.source import Location
from backlight.tensor import Tensor, literal, quiet
from backlight.trace import capture, history

VERSION = 1
DiagnosisKind = Literal[
    "not connected", "cut", "integer path", "zero", "not finite", "not a parameter", "no rule",
    "fine",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A node where a gradient ends: its name, its operation and the line that recorded it."""

    name: str
    operation: str
    location: Location | None

    def __str__(self) -> str:
        at = self.location
        if at is None:
            return f"{self.operation} ({self.name})"
        return f"{self.operation} ({self.name}, {at}{f': {at.text}' if at.text else ''})"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is the matter with one gradient.

    Attributes
    ----------
    kind : str
        ``"fine"``, ``"zero"``, ``"cut"``, ``"integer path"``, ``"not connected"``,
        ``"not finite"``, ``"not a parameter"`` or ``"no rule"``.
    sentence : str
        What happened and what can be done.
    places : tuple of Place
        The nodes where the gradient ends or becomes zero.
    norm : float or None
        The gradient's Euclidean norm, where there is a gradient.
    """

    kind: DiagnosisKind
    sentence: str
    places: tuple[Place, ...] = ()
    norm: float | None = None

    def __str__(self) -> str:
        return self.sentence

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as JSON-ready data."""
        return {
            "schema": "backlight.gradient_diagnosis",
            "version": VERSION,
            "kind": self.kind,
            "sentence": self.sentence,
            "places": [
                {
                    "name": each.name,
                    "operation": each.operation,
                    "location": None if each.location is None else str(each.location),
                    "line": None if each.location is None else each.location.text,
                }
                for each in self.places
            ],
            "norm": self.norm if self.norm is None or np.isfinite(self.norm) else str(self.norm),
        }


def why_no_grad(loss: Tensor, p: Tensor) -> Diagnosis:
    """Say whether a gradient flows from a loss to a tensor, and if not, where it ends.

    Parameters
    ----------
    loss : Tensor
        With a value, of any shape; the gradient of its sum is meant.
    p : Tensor
        The parameter, or any tensor of the computation.

    Returns
    -------
    Diagnosis
        ``.kind`` and a sentence.

    Raises
    ------
    UsageError
        When an argument is not a tensor or has no value.

    Examples
    --------
    >>> import backlight as bl
    >>> w = bl.param(2.0, name="w")
    >>> why_no_grad(w.detach() * 3.0, w).kind
    'cut'
    """
    for each in (loss, p):
        if not isinstance(each, Tensor) or each.known_value is None:
            raise UsageError("why_no_grad takes a loss tensor and a tensor, both with values.")
    order = history([loss])
    names = _names(loss)
    name = names.get(p.serial) or p.name or "the tensor"
    if not any(each is p for each in order):
        return _not_connected(order, p, name)
    if p.dtype.kind != "f":
        return Diagnosis(
            "integer path",
            f"{name} is {p.dtype}, and only floating-point numbers carry a gradient; convert it "
            f"with bl.astype before it is used.",
            (_place(p, names),),
        )
    try:
        reached = dependent(order, [p])
    except MissingRuleError as error:
        return Diagnosis("no rule", str(error))
    if loss.serial not in reached:
        return _blocked(order, reached, p, name, names)
    return _with_a_path(loss, p, order, reached, name, names)


def _names(loss: Tensor) -> dict[int, str]:
    graph, tensors = capture([loss])
    return {each.serial: node.name for each, node in zip(tensors, graph.nodes, strict=True)}


def _place(tensor: Tensor, names: dict[int, str]) -> Place:
    return Place(names[tensor.serial], tensor.primitive.name, tensor.location)


def _not_connected(order: Sequence[Tensor], p: Tensor, name: str) -> Diagnosis:
    sentence = f"{name} was not used: no operation behind the loss takes it."
    leaves = [each for each in order if not each.inputs]
    own = p.name
    same = next((each for each in leaves if own is not None and each.name == own), None)
    copy = next(
        (
            each
            for each in leaves
            if each.shape == p.shape and p.size > 0 and np.array_equal(each.value, p.value)
            and (p.size > 1 or each.primitive is not CONSTANT)
        ),
        None,
    )  # fmt: skip
    if same is not None:
        sentence += (
            f" Another tensor called {own} was used; it may have been made anew after the "
            f"computation was recorded."
        )
    elif copy is not None:
        place = copy.location
        sentence += (
            f" Another leaf with the same value was used"
            f"{f' ({place}: {place.text})' if place is not None else ''}; .value or float() "
            f"may have taken the number out of the tensor."
        )
    return Diagnosis("not connected", sentence)


def _ends(order: Sequence[Tensor], reached: set[int]) -> list[Tensor]:
    """Return the nodes that use something of p but let no gradient through to it."""
    return [
        each
        for each in order
        if each.serial not in reached
        and any(
            operand.serial in reached and not carries(each, position)
            for position, operand in enumerate(each.inputs)
        )
    ]


def _blocked(
    order: Sequence[Tensor], reached: set[int], p: Tensor, name: str, names: dict[int, str]
) -> Diagnosis:
    ends = _ends(order, reached)
    places = tuple(_place(each, names) for each in ends)
    listed = " and through ".join(str(each) for each in places[:3])
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    if any(each.primitive is DETACH for each in ends):
        return Diagnosis(
            "cut",
            f"Every way from {name} to the loss is cut: it goes through {listed}{more}; remove "
            f"the detach if the gradient is wanted.",
            places,
        )
    if all(each.dtype.kind == "f" for each in ends):
        why = next((each.primitive.stops_gradient for each in ends), "")
        return Diagnosis(
            "cut", f"No gradient passes from {name} through {listed}{more}: {why}.", places
        )
    dtypes = " and ".join(dict.fromkeys("Boolean" if each.dtype.kind == "b" else str(each.dtype)
                                        for each in ends if each.dtype.kind != "f"))  # fmt: skip
    return Diagnosis(
        "integer path",
        f"Every way from {name} to the loss goes through {listed}{more}, whose result is {dtypes} "
        f"and carries no gradient; use a smooth function of {name} instead.",
        places,
    )


def _with_a_path(
    loss: Tensor,
    p: Tensor,
    order: Sequence[Tensor],
    reached: set[int],
    name: str,
    names: dict[int, str],
) -> Diagnosis:
    with quiet():
        done = sweep([loss], [literal(np.ones(loss.shape, loss.dtype))], wrt=[p])
        gradient = done.gradients[p.serial].value
    norm = float(np.linalg.norm(gradient.astype(np.float64).reshape(-1)))
    if not np.all(np.isfinite(gradient)):
        return Diagnosis(
            "not finite",
            f"The gradient of {name} is not finite; bl.find_nonfinite(loss, gradients=True) names "
            f"the first such node.",
            norm=norm,
        )
    if norm == 0:
        uses = {k: v for k, v in done.contributions.items() if k in reached}
        return _zeroed(order, uses, {k: g.value for k, g in done.gradients.items()}, name, names)
    if p.primitive is not PARAMETER and not p.tracked:
        return Diagnosis(
            "not a parameter",
            f"The loss does depend on {name} (gradient norm {norm:.6g}), but backward() computes "
            f"gradients of parameters only; make it with bl.param, or use bl.grad.",
            norm=norm,
        )
    zeros = int(np.count_nonzero(gradient == 0))
    sentence = f"The gradient of {name} is fine: its norm is {norm:.6g}"
    if zeros:
        sentence += f", and {zeros} of its {gradient.size} entries are zero"
    cuts = [each for each in _ends(order, reached) if _is_deliberate_cut(each)]
    if cuts:
        sentence += f"; one further path is cut by {_place(cuts[0], names)}"
    return Diagnosis("fine", sentence + ".", tuple(_place(each, names) for each in cuts), norm)


def _is_deliberate_cut(tensor: Tensor) -> bool:
    """Whether a detach changes the gradient; one with a reason is a harmless stabilisation."""
    return tensor.primitive is DETACH and not tensor.attributes.get("reason")


def _zeroed(
    order: Sequence[Tensor],
    uses: dict[int, list[Contribution]],
    gradients: dict[int, Any],
    name: str,
    names: dict[int, str],
) -> Diagnosis:
    """Find the uses at which a gradient that is not zero becomes zero."""
    found: list[tuple[Tensor, Contribution]] = []
    cancelling: list[Tensor] = []
    for each in order:
        contributions = uses.get(each.serial, [])
        lost = [
            one
            for one in contributions
            if np.any(gradients[one.consumer.serial]) and not np.any(one.value.value)
        ]
        found += [(each, one) for one in lost]
        if not np.any(gradients.get(each.serial, 0.0)) and any(
            np.any(one.value.value) for one in contributions
        ):
            cancelling.append(each)
    places = tuple(_place(one.consumer, names) for _, one in found)
    if not found:
        where = f" at {_place(cancelling[0], names)}" if cancelling else ""
        return Diagnosis(
            "zero",
            f"The gradient of {name} is exactly zero because its contributions cancel{where}.",
            tuple(_place(each, names) for each in cancelling),
            0.0,
        )
    reasons = list(
        dict.fromkeys(
            _zero_reason(each, one, int(np.count_nonzero(gradients[one.consumer.serial])), names)
            for each, one in found
        )
    )
    more = f" (and {len(reasons) - 3} more such places)" if len(reasons) > 3 else ""
    return Diagnosis(
        "zero",
        f"The gradient of {name} is exactly zero: {'; '.join(reasons[:3])}{more}.",
        places,
        0.0,
    )


def _zero_reason(operand: Tensor, use: Contribution, count: int, names: dict[int, str]) -> str:
    consumer = use.consumer
    where = _place(consumer, names)
    source = names[operand.serial]
    if consumer.primitive is RELU:
        entries = "the entry" if count == 1 else f"any of the {count} entries"
        return (
            f"{where} is dead, because {source} is not positive in {entries} that the loss "
            f"depends on"
        )
    if consumer.primitive is WHERE:
        return f"{where} did not select {source} anywhere that the loss depends on"
    if consumer.primitive is MUL:
        other = consumer.inputs[1 - use.position]
        return f"{where} multiplies it by {names[other.serial]}, which is zero there"
    if use.local is not None:
        return f"the local derivative of {where} with respect to {source} is zero there"
    return f"{where} passes nothing of the gradient on to {source}"
