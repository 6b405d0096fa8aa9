"""`diagnose` for whatever a person has at hand: a loss, a trace, a run, or a network with data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backlight.errors import UsageError
from backlight.explain import diagnose as faults
from backlight.explain.diagnose import Report
from backlight.nn import parameters as parameters_of
from backlight.record import Trace
from backlight.tensor import Tensor, tensor
from backlight.train.health import findings
from backlight.train.run import Run


def diagnose(
    what: Any,
    data: tuple[Any, Any] | None = None,
    *,
    loss: Callable[..., Tensor] | None = None,
    parameters: Mapping[str, Tensor] | None = None,
) -> Report:
    """Look for common faults in a network and its loss.

    Parameters
    ----------
    what : Tensor, Trace, Run or network
        A recorded loss; a trace of one; a run, whose last step and check-ups are looked at; or a
        network, which
        needs ``data`` and ``loss``.
    data : pair of array_like, optional
        A batch (X, y) for a network; 100 examples or more say most.
    loss : callable, optional
        The loss for a network, such as `backlight.nn.cross_entropy`.
    parameters : mapping of str to Tensor, optional
        With a recorded loss: all parameters of the network by name, so that unused ones are named.

    Returns
    -------
    Report
        ``.findings`` and ``.not_checked``; printing it gives the text.

    Raises
    ------
    UsageError
        When a network comes without data and a loss.

    Examples
    --------
    >>> import backlight as bl
    >>> net = bl.nn.Sequential(bl.nn.Linear(2, 3), bl.nn.ReLU(), bl.nn.Linear(3, 2), seed=0)
    >>> xor = bl.data.load("xor")
    >>> report = bl.diagnose(net, (xor.X, xor.y), loss=bl.nn.cross_entropy)
    >>> isinstance(report.findings, tuple)
    True
    """
    if isinstance(what, Run):
        replayed = what.replay_loss(what.steps - 1)
        report = faults.diagnose(replayed.loss, parameters=replayed.parameters)
        return faults.with_health(report, findings(what.health), len(what.health.get("step", ())))
    if isinstance(what, (Tensor, Trace)):
        return faults.diagnose(what, parameters=parameters)
    if not callable(what):
        raise UsageError(
            f"bl.diagnose takes a loss, a trace, a run or a network, not {type(what).__name__}."
        )
    if data is None or loss is None:
        raise UsageError(
            "A network is diagnosed on data: pass a batch and its loss, as in "
            "bl.diagnose(net, (X, y), loss=bl.nn.cross_entropy)."
        )
    X, y = data
    recorded = loss(what(_batch(X, "X")), _batch(y, "y"))
    return faults.diagnose(recorded, parameters=parameters_of(what))


def _batch(data: Any, name: str) -> Tensor:
    """Return data as a leaf whose first axis counts the examples, which no constant has."""
    return data if isinstance(data, Tensor) else tensor(data, name)
