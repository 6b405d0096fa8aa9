"""What the page is about: a formula, a chapter of the tour, a live training, a run, or a trace.

Every subject gives a trace for an `At`, and says what it is in plain JSON data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backlight.errors import FormulaError, RunError, UsageError
from backlight.explain.render import finite
from backlight.formula import parse
from backlight.graph.primitive import Array
from backlight.nn import named_modules
from backlight.nn.module import Module
from backlight.record import Trace, record
from backlight.report.outline import outline
from backlight.report.payload import norm, plain
from backlight.source import Location
from backlight.studio.asking import At, Json
from backlight.studio.config import Configuration
from backlight.studio.replay import step_trace
from backlight.studio.stored import OpenedRun
from backlight.studio.task import Task
from backlight.studio.tour import Chapter
from backlight.studio.training import Trainer
from backlight.studio.worker import Worker
from backlight.tensor import Tensor, param, quiet, tensor
from backlight.train.step import Arrays


class Subject(ABC):
    """What the page is about."""

    live = False
    task: Task | None = None

    @abstractmethod
    def to_dict(self) -> Json:
        """Describe it for the page."""

    @abstractmethod
    def trace(self, at: At) -> Trace:
        """Record the numbers that are looked at, without edits."""

    def resolved(self, at: At) -> At:
        """Fill in the step that is meant when none is given."""
        return At(None, None, at.edits)

    def training(self) -> Json | None:
        """Say where training stands, if there is any."""
        return None

    def network(self, step: int | None) -> tuple[Any, Arrays]:
        """Return the network and its parameters before a step.

        Raises
        ------
        UsageError
            When there is no network.
        """
        raise UsageError("This has no network whose predictions could be shown.")

    def outline(self, trace: Trace | None) -> Json:
        """List modules and parameters."""
        if trace is None:
            raise UsageError("There is nothing to outline.")
        return outline(trace)

    def apply(self, job: Callable[[], Any]) -> Any:
        """Run a job where it may touch the network."""
        return job()

    def close(self) -> None:  # noqa: B027 (most subjects hold nothing)
        """Let go of what it holds."""


FORMULA = Location("<formula>", 1, "")
"""Where the leaves of a typed formula come from, as the formula's own values say."""


class FormulaSubject(Subject):
    """A typed formula at values.

    Parameters
    ----------
    text : str
    at : mapping of str to number or nested list
        Names that are missing get 1.
    wrt : list of str, optional
        The names that are differentiated by; all by default.

    Raises
    ------
    FormulaError
        When the text does not parse, or its value is no single number.
    """

    def __init__(self, text: str, at: Mapping[str, Any], wrt: list[str] | None = None) -> None:
        self.formula = parse(text)
        if not self.formula.names:
            raise FormulaError("The formula has no names, so there is nothing to differentiate by.")
        unknown = [name for name in at if name not in self.formula.names]
        self.at = {name: at.get(name, 1.0) for name in self.formula.names}
        self.dropped = unknown
        known = list(self.formula.names)
        self.wrt = known if wrt is None else wrt
        wrong = [name for name in self.wrt if name not in known]
        if wrong or not self.wrt:
            raise FormulaError(
                f"{', '.join(map(str, wrong)) or 'Nothing'} is not a name of the formula; its "
                f"names are {', '.join(known)}."
            )
        self._trace = record(self.loss())

    def loss(self) -> Tensor:
        """Evaluate the formula."""
        leaves = {
            name: param(value, name) if name in self.wrt else tensor(_floats(value), name)
            for name, value in self.at.items()
        }
        for leaf in leaves.values():
            leaf.site = FORMULA  # not the line of whatever thread makes them
        with quiet(), np.errstate(all="ignore"):
            loss = self.formula.evaluate(leaves)
        if loss.shape:
            raise FormulaError(
                f"The formula's value has the shape {loss.shape}, and only a single number can be "
                f"differentiated here; put sum(…) or mean(…) around it."
            )
        return loss

    def to_dict(self) -> Json:
        return {
            "kind": "formula",
            "text": self.formula.text,
            "at": plain(self.at),
            "wrt": self.wrt,
            "title": self.formula.text,
        }

    def trace(self, at: At) -> Trace:
        return self._trace


def _floats(value: Any) -> Array:
    return np.asarray(value, np.float64)


class TraceSubject(Subject):
    """A trace by itself."""

    def __init__(self, trace: Trace, title: str = "") -> None:
        self._trace = trace
        self.title = title or trace.graph.nodes[trace.output].name

    def to_dict(self) -> Json:
        return {"kind": "trace", "title": self.title}

    def trace(self, at: At) -> Trace:
        return self._trace


class ChapterSubject(Subject):
    """A chapter of the tour that is one computation."""

    def __init__(self, chapter: Chapter) -> None:
        assert chapter.build is not None
        self.chapter = chapter
        self._trace = record(chapter.loss())

    def to_dict(self) -> Json:
        return chapter_dict(self.chapter)

    def trace(self, at: At) -> Trace:
        return self._trace


def chapter_dict(chapter: Chapter) -> Json:
    """Describe a chapter with its sentences."""
    sentences = [each.to_dict() for each in chapter.sentences]
    return {"kind": "example", **chapter.describe(), "sentences": sentences}


class LiveSubject(Subject):
    """A network that trains while the page watches.

    Parameters
    ----------
    trainer : Trainer
    changed : callable
        Told when there is something new; see `Worker`.
    config : Configuration, optional
        None for a chapter of the tour.
    chapter : Chapter, optional
    script : str
        Python that makes the same network.
    """

    live = True

    def __init__(
        self,
        trainer: Trainer,
        changed: Callable[[bool], None],
        *,
        config: Configuration | None = None,
        chapter: Chapter | None = None,
        script: str = "",
    ) -> None:
        self.trainer = trainer
        self.worker = Worker(trainer, changed)
        self.config = config
        self.chapter = chapter
        self.script = script
        self.task = trainer.start.task

    def to_dict(self) -> Json:
        config = None if self.config is None else self.config.to_dict()
        if self.chapter is not None:
            return {**chapter_dict(self.chapter), "config": config}
        return {"kind": "live", "config": config, "title": self._title()}

    def _title(self) -> str:
        assert self.task is not None and self.config is not None
        outputs = len(self.task.classes or ("y",))
        sizes = "-".join(map(str, (self.task.seen, *self.config.layers, outputs)))
        return f"{self.task.dataset.name}: {sizes}"

    def training(self) -> Json:
        return {
            **self.trainer.status(),
            "running": self.worker.running,
            "speed": self.worker.speed,
        }

    def resolved(self, at: At) -> At:
        step = self.trainer.step if at.step is None else at.step
        return At(step, at.example, at.edits)

    def trace(self, at: At) -> Trace:
        found: Trace = self.worker.do(lambda: self.trainer.trace(at.step, at.example))
        return found if self.chapter is None else self.chapter.located(found)

    def network(self, step: int | None) -> tuple[Any, Arrays]:
        return self.trainer.start.net, self.trainer.state_before(step).parameters

    def outline(self, trace: Trace | None) -> Json:
        found = super().outline(trace)
        return with_labels(found, self.trainer.start.net)

    def apply(self, job: Callable[[], Any]) -> Any:
        return self.worker.do(job)

    def close(self) -> None:
        self.worker.close()


class RunSubject(Subject):
    """A trained run, at any of its steps."""

    def __init__(self, opened: OpenedRun) -> None:
        self.opened = opened
        self.task = opened.task
        source = opened.run if opened.run is not None else opened.stored
        if source is None:
            raise RunError("There is no run here; give the folder that backlight train has saved.")
        self.source = source

    @property
    def replayable(self) -> bool:
        """Whether steps can be taken again."""
        return self.opened.run is not None and self.opened.run.steps > 0

    @property
    def deleted(self) -> bool:
        """Whether the folder has gone meanwhile."""
        return self.opened.path is not None and not self.opened.path.is_dir()

    def to_dict(self) -> Json:
        made: Json = finite(
            {
                "kind": "run",
                "path": None if self.opened.path is None else str(self.opened.path),
                "name": self.opened.name,
                "title": self.opened.name,
                "steps": self.source.steps,
                "epochs": self.source.epochs,
                "history": self.source.history,
                "stopped": self.source.stopped,
                "replayable": self.replayable,
                "reason": self.opened.reason,
            }
        )
        return made

    def training(self) -> Json:
        run, history = self.opened.run, self.source.history
        per_epoch = 1 if run is None else run.course.engine.plan.per_epoch
        made: Json = plain(
            {
                "running": False,
                "step": self.source.steps,
                "steps": self.source.steps,
                "epoch": self.source.epochs,
                "steps_per_epoch": per_epoch,
                "speed": None,
                "learning_rate": _last(history.get("learning_rate")),
                "executor": None if run is None else run.model.executor,
                "fallback": None,
                "stopped": None,
                "loss": _last(history.get("loss")),
                "parameters": sum(each.size for each in self.source.parameters.values()),
                "metrics": [],
                "rows": None if run is None else len(run.course.engine.train),
            }
        )
        return made

    def scalars(self) -> Json:
        """The history of the epochs, each at its last step."""
        history = {name: list(each) for name, each in self.source.history.items()}
        epochs = len(history.get("loss", []))
        every = max(self.source.steps // max(epochs, 1), 1)
        nothing: list[float | None] = [None] * epochs
        metrics = {
            name: each
            for name, each in history.items()
            if name not in ("loss", "learning_rate", "seconds") and len(each) == epochs
        }
        made: Json = plain(
            {
                "from": 0,
                "every": every,
                "step": [every * (k + 1) - 1 for k in range(epochs)],
                "loss": history.get("loss", []),
                "gradient_norm": nothing,
                "learning_rate": history.get("learning_rate", nothing),
                "metrics": metrics,
            }
        )
        return made

    def resolved(self, at: At) -> At:
        step = max(self.source.steps - 1, 0) if at.step is None else at.step
        return At(step, at.example, at.edits)

    def _run(self) -> Any:
        if self.opened.run is None:
            raise RunError(self.opened.reason or "The steps of this run cannot be replayed.")
        return self.opened.run

    def trace(self, at: At) -> Trace:
        run, step = self._run(), at.step or 0
        if step > run.steps:
            raise RunError(
                f"The run took {run.steps} steps, so there is no step {step}; the last is "
                f"{run.steps - 1}."
            )
        state = run.course.state_at(step)
        return step_trace(run.course.engine, state, run.course.scales.at(step), at.example)

    def network(self, step: int | None) -> tuple[Any, Arrays]:
        if step is None or step >= self.source.steps or self.opened.run is None:
            return self.source.net, self.source.parameters
        return self.source.net, self.opened.run.course.state_at(step).parameters

    def outline(self, trace: Trace | None) -> Json:
        if trace is not None:
            return with_labels(outline(trace), self.source.net)
        parameters = [
            {"name": name, "node": None, "shape": list(each.shape), "size": int(each.size),
             "norm": norm(each), "gradient_norm": None, "largest": None, "trained": True}
            for name, each in self.source.parameters.items()
        ]  # fmt: skip
        total = sum(int(each.size) for each in self.source.parameters.values())
        return {"total": total, "modules": [], "parameters": parameters}


def _last(values: list[float] | None) -> float | None:
    return values[-1] if values else None


def with_labels(found: Json, net: Any) -> Json:
    """Say in an outline what each module is."""
    modules = named_modules(net)
    for each in found["modules"]:
        module = modules.get(each["name"])
        if isinstance(module, Module):
            each["label"] = module.label()
    return found
