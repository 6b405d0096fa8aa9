"""The Python script that reproduces what is on the screen, for every kind of subject."""

from __future__ import annotations

from backlight.errors import UsageError
from backlight.studio import tour
from backlight.studio.asking import At
from backlight.studio.subjects import (
    ChapterSubject,
    FormulaSubject,
    LiveSubject,
    RunSubject,
    Subject,
)


def script(subject: Subject, at: At, target: str | None) -> str:
    """Write the script.

    Parameters
    ----------
    subject : Subject
    at : At
    target : str or None
        What is explained at the end; nothing without it.

    Raises
    ------
    UsageError
        For a trace of which nothing else is known.
    """
    if isinstance(subject, FormulaSubject):
        body = _formula(subject)
    elif isinstance(subject, ChapterSubject):
        body = tour.script(subject.chapter) + "trace = bl.record(loss)\n"
    elif isinstance(subject, LiveSubject):
        body = _live(subject, at)
    elif isinstance(subject, RunSubject):
        body = _run(subject, at)
    else:
        raise UsageError(
            "Nothing is known of how this trace was made, so there is no script for it; export it "
            "as JSON and read it with bl.Trace.from_json."
        )
    return f'"""Made by the studio of Backlight."""\n\n{body}{_edits(at)}{_ending(target)}'


def _formula(subject: FormulaSubject) -> str:
    lines = ["import backlight as bl", "from backlight.formula import parse", "", "values = {"]
    for name, value in subject.at.items():
        made = "param" if name in subject.wrt else "tensor"
        lines.append(f'    "{name}": bl.{made}({value!r}, name="{name}"),')
    lines += ["}", f"loss = parse({subject.formula.text!r}).evaluate(values)"]
    return "\n".join([*lines, "trace = bl.record(loss)", ""])


def _live(subject: LiveSubject, at: At) -> str:
    trainer = subject.trainer
    step = trainer.step if at.step is None else at.step
    per_epoch = trainer.engine.plan.per_epoch
    epochs = max(-(-(step + 1) // per_epoch), 1)
    if subject.chapter is not None:
        body = tour.script(subject.chapter).replace("STEPS", str(epochs))
    else:
        config = subject.config
        assert config is not None
        changes = trainer.scales.changes
        lines = ["import numpy as np", "", "import backlight as bl", "", subject.script]
        if len(changes) > 1:
            lines += _schedule(subject, changes)
        lines += [
            "run = bl.fit(",
            "    net,",
            "    (X, y),",
            "    loss=loss,",
            "    optimizer=optimizer,",
            f"    epochs={epochs},",
            f"    batch_size={config.batch_size},",
            f"    seed={config.seed},",
            *([f"    validation={config.validation!r},"] if config.validation else []),
            f'    executor="{trainer.executor}",',
            ")",
        ]
        body = "\n".join(lines) + "\n"
    example = "" if at.example is None else f", example={at.example}"
    return f"{body}trace = run.replay({step}{example})\n"


def _schedule(subject: LiveSubject, changes: tuple[tuple[int, float], ...]) -> list[str]:
    """The changes of the learning rate as a function of the step."""
    base = subject.trainer.start.optimizer.learning_rate
    start = float(base) if isinstance(base, (int, float)) else 1.0
    rates = [(step, start * scale) for step, scale in changes]
    lines = ["", "", "def learning_rate(step):", f"    rate = {rates[0][1]!r}"]
    lines += [f"    rate = bl.where(step < {step}, rate, {rate!r})" for step, rate in rates[1:]]
    more = "" if subject.config is None else _options(subject)
    name = type(subject.trainer.start.optimizer).__name__
    return [*lines, "    return rate", "", "", f"optimizer = bl.optim.{name}(learning_rate{more})"]


def _options(subject: LiveSubject) -> str:
    assert subject.config is not None
    found = ", momentum=0.9" if subject.config.optimizer == "momentum" else ""
    decay = subject.config.weight_decay
    return found + (f", weight_decay={decay!r}" if decay else "")


def _run(subject: RunSubject, at: At) -> str:
    step = at.step if at.step is not None else max(subject.source.steps - 1, 0)
    path = subject.opened.path
    if path is None:
        raise UsageError("The run was not saved, so a script cannot open it; save it first.")
    example = "" if at.example is None else f", example={at.example}"
    return (
        "import backlight as bl\nfrom backlight.cli import runs\n\n"
        f"run = runs.load({str(path)!r}).attach()\n"
        f"trace = run.replay({step}{example})\n"
    )


def _edits(at: At) -> str:
    if not at.edits:
        return ""
    lines = [
        "",
        "from backlight.studio.asking import Edit",
        "from backlight.studio.what_if import what_if",
        "",
    ]
    lines.append("trace = what_if(trace, [")
    lines += [f"    Edit({each.node!r}, {each.index!r}, {each.value!r})," for each in at.edits]
    return "\n".join([*lines, "])", ""])


def _ending(target: str | None) -> str:
    if target is None:
        return "print(trace)\n"
    name, bracket, index = target.partition("[")
    place = f", index=({index.rstrip(']')},)" if bracket else ""
    return f"print(bl.explain(trace, {name!r}{place}))\n"
