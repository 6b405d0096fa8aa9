"""The studio's page inside a notebook, as an anywidget (extra ``notebook``).

`show` takes a loss, a trace, a run, a network with data, or a typed formula and gives a widget;
what the page asks is answered by the notebook's kernel.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from backlight.errors import BacklightError, UsageError
from backlight.nn import parameters as parameters_of
from backlight.record import Trace, trace_of
from backlight.report.build import ReportContent, report_data
from backlight.report.bundle import bundle
from backlight.report.payload import plain
from backlight.studio.asking import At, Json
from backlight.studio.catalogue import catalogue
from backlight.studio.serve import MissingExtraError
from backlight.studio.session import MESSAGE_LIMIT, Session
from backlight.studio.stored import OpenedRun, from_run
from backlight.studio.subjects import FormulaSubject, RunSubject, Subject, TraceSubject
from backlight.tensor import Tensor, as_tensor
from backlight.train import Run, StoredRun

if TYPE_CHECKING:
    import anywidget

READING = frozenset(
    ("state", "trace", "entries", "explain", "paths", "check", "outline", "prediction", "rows",
     "scalars", "script")
)  # fmt: skip
"""What a page in a notebook may ask: to look, not to open or to train."""

# Puts the page into a frame of its own and hands messages from one side to the other.
SCRIPT = """
function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.title = "Backlight";
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.style.width = "100%";
  frame.style.border = "1px solid #8888";
  frame.style.borderRadius = "6px";
  frame.style.height = `${model.get("height")}px`;
  frame.srcdoc = model.get("page");
  const asked = (event) => {
    if (event.source === frame.contentWindow && event.data && event.data.backlight) {
      model.send({ backlight: event.data.backlight });
    }
  };
  const answered = (message) => frame.contentWindow?.postMessage(message, "*");
  window.addEventListener("message", asked);
  model.on("msg:custom", answered);
  el.append(frame);
  return () => {
    window.removeEventListener("message", asked);
    model.off("msg:custom", answered);
  };
}
export default { render };
"""


def show(
    what: Tensor | Trace | Run | StoredRun | str | Any,
    data: tuple[Any, Any] | None = None,
    *,
    loss: Callable[..., Tensor] | None = None,
    at: Mapping[str, Any] | None = None,
    height: int = 720,
) -> anywidget.AnyWidget:
    """Show the studio's page in a notebook.

    Parameters
    ----------
    what : Tensor, Trace, Run, StoredRun, str or network
        A loss, one recorded run of it, a training run, a formula, or a network, which needs
        ``data`` and ``loss``.
    data : pair of array_like, optional
        A batch (X, y) for a network.
    loss : callable, optional
        The loss for a network, such as `backlight.nn.cross_entropy`.
    at : mapping of str to number or nested list, optional
        The values of a formula's names; 1 by default.
    height : int
        In pixels.

    Returns
    -------
    anywidget.AnyWidget

    Raises
    ------
    MissingExtraError
        Without the extra ``notebook``.
    UsageError
        When ``what`` is none of these, or a network comes without data and a loss.
    """
    if type(height) is not int or not 100 <= height <= 5000:
        raise UsageError(f"height must be a whole number from 100 to 5000, not {height!r}.")
    subject = subject_of(what, data, loss, at)
    made: anywidget.AnyWidget = _widget_class()(Session(subject), height)
    return made


def subject_of(
    what: Any,
    data: tuple[Any, Any] | None = None,
    loss: Callable[..., Tensor] | None = None,
    at: Mapping[str, Any] | None = None,
) -> Subject:
    """Return what the page will be about; see `show`."""
    if isinstance(what, str):
        return FormulaSubject(what, dict(at or {}))
    if isinstance(what, Run):
        return RunSubject(from_run(what))
    if isinstance(what, StoredRun):
        reason = "A stored run shows its final weights; stored.attach(data) gives its steps."
        return RunSubject(OpenedRun(what.directory.name, what.directory, None, what, None, reason))
    if isinstance(what, (Tensor, Trace)):
        return TraceSubject(trace_of(what))
    if not callable(what) or not parameters_of(what):
        raise UsageError(
            f"The studio shows a loss, a trace, a run, a network or a formula, not "
            f"{type(what).__name__}."
        )
    if data is None or loss is None:
        raise UsageError(
            "A network is shown on data: pass a batch and its loss, as in "
            "show(net, (X, y), loss=bl.nn.cross_entropy)."
        )
    X, y = data
    return TraceSubject(trace_of(loss(what(as_tensor(X)), as_tensor(y))), type(what).__name__)


def page_of(session: Session) -> str:
    """Make the page of a session, which asks the kernel for everything that it needs."""
    subject = session.subject
    content = ReportContent(
        subject=subject.to_dict(),
        task=None if subject.task is None else subject.task.to_dict(),
        training=subject.training(),
        scalars={**session.scalars(), "session": 0},
        answers=_first(session),
        catalogue=catalogue(session),
    )
    data = {**report_data(content, []), "relay": True}
    return bundle(data, title=f"Backlight: {subject.to_dict().get('title') or ''}")


def _first(session: Session) -> list[Json]:
    """What the page asks first, so that it has something to show at once."""
    at = session.subject.resolved(At()).to_dict()
    found: list[Json] = []
    for name in ("trace", "outline"):
        try:
            ok = {**session.handle({"do": name, "at": at}), "session": 0}
        except BacklightError as error:
            found.append({"do": name, "at": at, "error": {"message": str(error)}})
        else:
            found.append({"do": name, "at": at, "ok": ok})
    return found


def answer(session: Session, content: object) -> Json | None:
    """Answer a message of the page, or return None when it is not one."""
    request = content.get("backlight") if isinstance(content, Mapping) else None
    if not isinstance(request, Mapping):
        return None
    number = request.get("id")
    if request.get("do") not in READING:
        message = "A notebook shows what is there; open it with backlight studio to do more."
        return {"id": number, "error": {"message": message}}
    try:
        if len(json.dumps(request)) > MESSAGE_LIMIT:
            raise UsageError("The message is too large.")
        return {"id": number, "ok": {**plain(session.handle(request)), "session": 0}}
    except BacklightError as error:
        return {"id": number, "error": {"message": str(error)}}


@lru_cache(maxsize=1)
def _widget_class() -> Any:
    """Make the widget's class, when the extra is there."""
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise MissingExtraError(
            "The studio in a notebook needs the extra 'notebook': pip install "
            "'backlight[notebook]'."
        ) from error

    class StudioWidget(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
        """The studio's page in a frame."""

        _esm = SCRIPT
        page = traitlets.Unicode().tag(sync=True)
        height = traitlets.Int(720).tag(sync=True)

        def __init__(self, session: Session, height: int) -> None:
            super().__init__(page=page_of(session), height=height)
            self.session = session
            self.on_msg(self._asked)

        def _asked(self, widget: object, content: object, buffers: object) -> None:
            found = answer(self.session, content)
            if found is not None:
                self.send({"backlight": found})

    return StudioWidget
