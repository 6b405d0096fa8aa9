"""Stored runs as the commands see them: where they go, and how to look at their steps again."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from backlight import data, nn
from backlight import train as training
from backlight.cli.parts import divide
from backlight.cli.recipe import Floats, Recipe
from backlight.data import Dataset
from backlight.data.target import Task
from backlight.errors import RunError, TrainingError, UsageError
from backlight.tensor import Tensor
from backlight.train import Checkpoints, Run, RunLog, StoredRun
from backlight.train.checkpoints import found_in

RUNS_FOLDER = "runs"


@dataclass(frozen=True)
class Origin:
    """Which rows a run was trained on, as they were asked for.

    Attributes
    ----------
    source : str
        The name of a set, or the absolute path of a file.
    target : str or None
    test : float or None
    validation : float
    seed : int
        Of the division.
    fingerprint : str
        Of the whole data set.
    task : str or None
        What the target was said to be.
    """

    source: str
    target: str | None
    test: float | None
    validation: float
    seed: int
    fingerprint: str
    task: Task | None = None


@dataclass(frozen=True, eq=False)
class Loaded:
    """A stored run, how its data was prepared, and where that came from."""

    stored: StoredRun
    recipe: Recipe
    origin: Origin

    @property
    def net(self) -> Any:
        """The network with its final parameters."""
        return self.stored.net

    def training_rows(self) -> tuple[Floats, npt.NDArray[Any]]:
        """Read the training rows again, as the network saw them.

        Raises
        ------
        RunError
            When the data has changed.
        DataError
            When it cannot be read.
        """
        origin = self.origin
        dataset = data.read(origin.source, origin.target, task=origin.task)
        if dataset.fingerprint() != origin.fingerprint:
            raise RunError(
                f"The data of {origin.source} has changed since the run was trained; bring the "
                "old data back, or train again."
            )
        train = divide(dataset, origin.test, origin.validation, origin.seed).train
        return self.recipe.inputs(train.X), self.recipe.wanted(train.y)

    def loss_of(self, rows: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Record the loss of the first training rows with the final parameters.

        Returns
        -------
        loss : Tensor
        parameters : mapping of str to Tensor
        """
        X, y = self.training_rows()
        parameters = nn.parameters(self.net)
        with nn.running(training=False):
            loss = self.recipe.loss(self.net(X[:rows]), y[:rows])
        loss.name = "loss"
        return loss, parameters

    def attach(self) -> Run:
        """Return the run with its training rows, so that any step can be replayed."""
        return self.stored.attach(self.training_rows())


def load(directory: str) -> Loaded:
    """Read a run that ``backlight train`` has saved.

    Raises
    ------
    RunError
        When there is none, it is damaged, or it was saved by another program.
    """
    stored = training.load(directory)
    recipe = Recipe.from_dict(stored.about.get("recipe"))
    origin = stored.about.get("origin")
    names = {each.name for each in dataclasses.fields(Origin)}
    if not isinstance(origin, Mapping) or set(origin) | {"task"} != names:
        raise RunError(
            f"The run {directory} does not say which data it was trained on; it was not saved by "
            "backlight train, or is damaged."
        )
    return Loaded(stored, recipe, Origin(**origin))


def save(
    run: Run,
    place: Path,
    *,
    dataset: Dataset,
    recipe: Recipe,
    origin: Origin,
    summary: Mapping[str, object],
    overwrite: bool,
) -> Path:
    """Write a run to its place, and the folders around it; on failure leave no trace."""
    made = _make_folders(place.parent)
    try:
        saved = training.save(
            run,
            place,
            data=dataset,
            preprocessing={
                part: None if learnt is None else learnt.to_dict()
                for part, learnt in (("features", recipe.features), ("targets", recipe.targets))
            },
            class_names=recipe.class_names,
            about={
                "recipe": recipe.to_dict(),
                "origin": dataclasses.asdict(origin),
                "summary": dict(summary),
            },
            overwrite=overwrite,
        )
    except BaseException:
        for folder in made:
            folder.rmdir()
        raise
    with training.RunStore(place.parent) as store:
        store.change(store.record(place.name).id, {"directory": place.name})
    if run.stopped != "interrupted":  # there is nothing left to go on with
        shutil.rmtree(checkpoint_folder(place), ignore_errors=True)
    return saved


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those around it; return the new ones, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RunError(f"The folder {folder} cannot be made ({reason}); choose another.") from error
    return missing


def check_place(out: str, overwrite: bool) -> Path:
    """Return the place for a run, once it is known, before training, that it can be used.

    Raises
    ------
    UsageError
        When something is there already, or nothing can be written there.
    """
    place = Path(out)
    if os.path.lexists(place):
        empty = place.is_dir() and not any(place.iterdir())
        if not empty and not training.is_run(place):
            raise UsageError(
                f"--out {out} is there already and is not a run, so it is left alone; choose "
                "another place."
            )
        if not empty and not overwrite:
            raise UsageError(
                f"--out {out} holds a run already; choose another place, or add --overwrite."
            )
    around = next(each for each in place.absolute().parents if each.exists())
    if not around.is_dir() or not os.access(around, os.W_OK):
        raise UsageError(f"--out {out} cannot be made in {around}; choose another place.")
    return place


def place_for(out: str | None, stem: str, *, overwrite: bool, resume: bool) -> Path:
    """Return where a run is to be saved, or is to go on.

    Without ``out`` it is the first free place ``runs/stem-1``, ``runs/stem-2``, …, and to go on
    the last of these that was interrupted.

    Raises
    ------
    UsageError
        As for `check_place`, and when there is nothing to go on with.
    """
    if not resume and out is None:
        return _next_place(stem)
    if not resume:
        place = check_place(str(out), overwrite)
        if not overwrite and found_in(checkpoint_folder(place)):
            raise UsageError(
                f"--out {out} was not trained to its end; go on with --resume, or begin anew with "
                "--overwrite."
            )
        return place
    last = Path(out) if out is not None else _last_interrupted(stem)
    if last is None or not found_in(checkpoint_folder(last)):
        where = f"{RUNS_FOLDER}/{stem}-N" if last is None else str(last)
        done = last is not None and training.is_run(last)
        why = "it has ended" if done else "it has no checkpoints"
        raise UsageError(
            f"There is no run to go on with at {where} ({why}); train without --resume, or name "
            f"the run with --out."
        )
    return check_place(str(last), True)


def _next_place(stem: str) -> Path:
    number = 1
    while any(map(os.path.lexists, _places(stem, number))):
        number += 1
    return check_place(str(_places(stem, number)[0]), False)


def _last_interrupted(stem: str) -> Path | None:
    numbers = []
    for path in Path(RUNS_FOLDER).glob("*.checkpoints"):
        match = re.fullmatch(rf"{re.escape(stem)}-([1-9][0-9]{{0,8}})\.checkpoints", path.name)
        if match:
            numbers.append(int(match[1]))
    return _places(stem, max(numbers))[0] if numbers else None


def _places(stem: str, number: int) -> tuple[Path, Path]:
    place = Path(RUNS_FOLDER, f"{stem}-{number}")
    return place, checkpoint_folder(place)


def checkpoint_folder(place: Path) -> Path:
    """Return the folder of a run's checkpoints while it is trained: ``NAME.checkpoints``."""
    return place.with_name(f"{place.name}.checkpoints")


def checkpoints(place: Path, seconds: float, afresh: bool) -> Checkpoints:
    """Return where the checkpoints of a run go; ``afresh`` removes those of an earlier one."""
    folder = checkpoint_folder(place)
    if afresh:
        shutil.rmtree(folder, ignore_errors=True)
    return Checkpoints(folder, every_seconds=seconds)


def log(place: Path, name: str) -> RunLog:
    """Return the entry of a run on a data set of a name in the store beside it.

    The place is free, so an entry of that name is of a run that is gone.
    """
    return RunLog(place.parent, place.name, replace=True, data=name.removesuffix(" (train)"))


@contextmanager
def training_at(place: Path) -> Iterator[None]:
    """Remove the checkpoints of a run whose training failed: going on would fail again."""
    try:
        yield
    except TrainingError:
        shutil.rmtree(checkpoint_folder(place), ignore_errors=True)
        raise


def give_up(place: Path) -> None:
    """Leave no trace of a run that took no step."""
    shutil.rmtree(checkpoint_folder(place), ignore_errors=True)
    with training.RunStore(place.parent) as store:
        store.forget(place.name)


def shown(place: Path | str) -> str:
    """Write a path as it is typed in a shell."""
    return shlex.quote(str(place))
