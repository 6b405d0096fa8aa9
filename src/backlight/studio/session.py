"""One session of the studio: what is open, and the answer to every request of a page.

A session takes messages that are already parsed and gives plain JSON data or raises a
`BacklightError`; pages, sockets and threads are the server's business.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backlight.data import Dataset
from backlight.record import Trace
from backlight.studio import tour
from backlight.studio.asking import At, Json, read_at
from backlight.studio.breakpoints import Breakpoint
from backlight.studio.config import (
    Configuration,
    set_up,
)
from backlight.studio.stored import Opener, open_plain
from backlight.studio.subjects import (
    ChapterSubject,
    LiveSubject,
    RunSubject,
    Subject,
)
from backlight.studio.tour import CHAPTERS, Chapter
from backlight.studio.training import Start, Trainer
from backlight.studio.what_if import what_if

MOST_UPLOADS = 8
KEPT_TRACES = 6
MESSAGE_LIMIT = 1 << 20
UPLOAD_LIMIT = 8 << 20
HISTORY_LISTED = 4000


class Session:
    """What is open in the studio.

    Parameters
    ----------
    subject : Subject, optional
        The first chapter of the tour by default.
    folder : Path
        Where runs are looked for.
    opener : callable
        Opens the folder of a run.
    executor : {"native", "reference"}

    Attributes
    ----------
    number : int
        Grows whenever something is opened or starts anew.
    changed : callable
        Called, from any thread, when there is something new for the pages.
    """

    def __init__(
        self,
        subject: Subject | None = None,
        *,
        folder: Path | None = None,
        opener: Opener = open_plain,
        executor: str = "native",
    ) -> None:
        self.folder = Path.cwd() if folder is None else folder
        self.opener = opener
        self.executor = executor
        self.number = 1
        self.states = 0  # how often the state has changed
        self.notices: deque[tuple[int, Json]] = deque(maxlen=50)
        self.changed: Callable[[], None] = _nobody
        self.breakpoints: tuple[Breakpoint, ...] = ()
        self.uploads: dict[str, Dataset] = {}
        self._uploaded = 0
        self._noticed = 0
        self._missed: set[str] = set()
        self._traces: OrderedDict[str, Trace] = OrderedDict()
        self._lock = threading.RLock()
        first = next(iter(CHAPTERS.values()))
        self.subject: Subject = self.chapter(first) if subject is None else subject

    # ── what all pages see ───────────────────────────────────────────────────────────────────

    def now(self) -> tuple[Subject, int]:
        """Return what is open, and its number."""
        with self._lock:
            return self.subject, self.number

    def state(self) -> Json:
        """Return the state; see docs/studio-protocol.md."""
        changes, (subject, number) = self.states, self.now()  # not fewer changes than are in it
        return {
            "session": number,
            "changes": changes,
            "subject": subject.to_dict(),
            "live": subject.live,
            "training": subject.training(),
            "breakpoints": [each.to_dict() for each in self.breakpoints],
            "task": None if subject.task is None else subject.task.to_dict(),
        }

    def scalars(self, start: int = 0, end: int | None = None, most: int = HISTORY_LISTED) -> Json:
        """Return the history of the steps so far."""
        subject, number = self.now()
        if isinstance(subject, RunSubject):
            return {"session": number, **subject.scalars()}
        if not isinstance(subject, LiveSubject):
            return {"session": number, **NO_SCALARS}
        history = subject.trainer.history
        found = history.spread(start, len(history) if end is None else end, most)
        return {"session": number, **found}

    def tell(self, level: str, message: str) -> None:
        """Say a sentence on every page."""
        with self._lock:
            self._noticed += 1
            self.notices.append((self._noticed, {"level": level, "message": message}))
        self.changed()

    def new_state(self) -> None:
        """Let every page have the state anew."""
        with self._lock:
            self.states += 1
        self.changed()

    def _worker_changed(self, status: bool) -> None:
        if status:
            self.new_state()
        else:
            self.changed()

    # ── opening ──────────────────────────────────────────────────────────────────────────────

    def put(self, subject: Subject) -> Json:
        """Open something in place of what is open, and return the state."""
        with self._lock:
            old, self.subject = self.subject, subject
            self.number += 1
            self._traces.clear()
            if isinstance(subject, LiveSubject):
                subject.trainer.breakpoints = self.breakpoints
                if isinstance(old, LiveSubject):
                    subject.worker.speed = old.worker.speed
        old.close()
        self.new_state()
        return self.state()

    def chapter(self, chapter: Chapter, seed: int = 1) -> Subject:
        """Make a chapter of the tour; the seed is that of the one that trains."""
        if chapter.build is not None:
            return ChapterSubject(chapter)
        trainer = Trainer(tour.accumulated_deltas(seed), self.executor)
        return LiveSubject(trainer, self._worker_changed, chapter=chapter)

    def live(self, config: Configuration) -> Subject:
        """Make a live training of a configuration."""
        made = set_up(config, self.uploads)
        start = Start(
            made.net, made.task, made.loss, made.optimizer, config.batch_size, config.seed,
            validation=config.validation,
        )  # fmt: skip
        trainer = Trainer(start, self.executor)
        return LiveSubject(trainer, self._worker_changed, config=config, script=made.script)

    def open_run(self, path: str) -> Subject:
        """Open the folder of a run, which must be inside the folder of the studio or named by hand.

        Raises
        ------
        RunError
            When there is none.
        """
        place = Path(path)
        return RunSubject(self.opener(str(place if place.is_absolute() else self.folder / place)))

    def add_upload(self, dataset: Dataset) -> str:
        """Keep a data set that was uploaded, and return its id."""
        with self._lock:
            self._uploaded += 1
            name = f"upload-{self._uploaded}"
            self.uploads[name] = dataset
            while len(self.uploads) > MOST_UPLOADS:
                self.uploads.pop(next(iter(self.uploads)))
        self.new_state()
        return name

    # ── looking ──────────────────────────────────────────────────────────────────────────────

    def at(self, given: object) -> tuple[Subject, int, At]:
        """Read which numbers are meant, and of which subject."""
        subject, number = self.now()
        self._look_after(subject)
        return subject, number, subject.resolved(read_at(given))

    def _look_after(self, subject: Subject) -> None:
        if isinstance(subject, RunSubject) and subject.deleted:
            path = str(subject.opened.path)
            if path not in self._missed:
                self._missed.add(path)
                self.tell(
                    "warning",
                    f"The run {subject.opened.name} was deleted meanwhile; what has been read of "
                    f"it is still shown.",
                )

    def trace_at(self, subject: Subject, number: int, at: At) -> Trace:
        """Return the trace of some numbers, recording it once."""
        key = f"{number} {at.key}"
        with self._lock:
            if key in self._traces:
                self._traces.move_to_end(key)
                return self._traces[key]
        trace = what_if(subject.trace(at), at.edits)
        with self._lock:
            self._traces[key] = trace
            while len(self._traces) > KEPT_TRACES:
                self._traces.popitem(last=False)
        return trace

    def looked(self, request: Mapping[str, Any]) -> tuple[Subject, Trace, Json]:
        """Return the subject, the trace that a request is about, and what its answer repeats."""
        subject, number, at = self.at(request.get("at"))
        trace = self.trace_at(subject, number, at)
        return subject, trace, {"session": number, "at": at.to_dict()}

    # ── requests ─────────────────────────────────────────────────────────────────────────────

    def handle(self, request: Mapping[str, Any]) -> Json:
        """Answer a request.

        Raises
        ------
        BacklightError
            With one sentence for the page.
        """
        from backlight.studio.requests import answer  # here, because requests are about sessions

        return answer(self, request)

    def close(self) -> None:
        """End what runs."""
        self.subject.close()


NO_SCALARS: Json = {
    "from": 0,
    "end": 0,
    "every": 1,
    "step": [],
    "loss": [],
    "gradient_norm": [],
    "learning_rate": [],
    "metrics": {},
}


def _nobody() -> None:
    """Nobody listens yet."""
