"""``backlight train``: from a data set to a trained, scored and stored network."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from backlight import data, optim
from backlight.cli import runs
from backlight.cli.application import EXIT_CODES, INTERRUPTED, OK, say, usage_error
from backlight.cli.columns import columns_dict, columns_text
from backlight.cli.output import emit_json
from backlight.cli.parts import Parts, divide
from backlight.cli.recipe import ACTIVATIONS, Recipe, read_hidden
from backlight.data.target import Task
from backlight.train import EarlyStopping, Run, fit

OPTIMIZERS = {
    each.__name__.lower(): each.__name__
    for each in (
        optim.Adam, optim.AdamW, optim.SGD, optim.RMSprop, optim.Adagrad, optim.Adadelta
    )
}  # fmt: skip
LEAST_STEPS, LEAST_EPOCHS, MOST_EPOCHS = 1000, 30, 1000
MOST_STEPS = 30_000
MANY_ROWS, VERY_MANY_ROWS = 10_000, 1_000_000


@click.command(
    epilog="\b\nExamples:\n"
    "  backlight train digits\n"
    "  backlight train prices.csv --target price --hidden 64,32 --epochs 200\n"
    "  backlight train visits.parquet --target returned\n\n"
    "Classes are trained with cross-entropy, with one output for each; numbers with the mean "
    "squared error of the standardized target; several columns of 0 and 1 as labels, each with a "
    "cross-entropy of its own. Columns of a table are shown with what becomes of them: numbers "
    "are scaled, categories get one input for each value, gaps are filled with the mean and "
    "marked, all as the training rows alone have it; a category that training did not see counts "
    "as none of the known ones. Images keep their pixels from 0 to 1.\n\n"
    "Parquet, Arrow and .npy files may be larger than memory: they are read through a temporary "
    "file in the folder TMPDIR.\n\n" + EXIT_CODES
)
@click.argument("source", metavar="DATA")
@click.option(
    "--target",
    metavar="COLUMN",
    help="What to predict, or several divided by commas; the last column by default.",
)
@click.option(
    "--task",
    type=click.Choice(["classification", "regression", "labels"]),
    help="What the target is; by default its values say it.",
)
@click.option(
    "--hidden",
    default="128,64",
    show_default=True,
    metavar="WIDTHS",
    help="Widths of the hidden layers, or none.",
)
@click.option(
    "--activation", type=click.Choice(list(ACTIVATIONS)), default="relu", show_default=True
)
@click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), default="adam", show_default=True)
@click.option("--lr", type=float, help="Learning rate; the optimizer's own by default.")
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help=f"By default {LEAST_EPOCHS}; more for few rows, to make {LEAST_STEPS} steps, and fewer "
    f"for many, to make no more than {MOST_STEPS:,}.",
)
@click.option(
    "--batch-size",
    metavar="N|full",
    help="Rows per step; 32 by default, 128 from 10,000 rows on, 1024 from a million on.",
)
@click.option("--test", type=float, help="Share of the rows for the final score; 0.2 by default.")
@click.option("--validation", type=float, help="Share of the training rows to watch; 0 by default.")
@click.option(
    "--early-stopping",
    type=click.IntRange(min=1),
    metavar="N",
    help="Stop after N epochs without a better validation loss, and keep the best.",
)
@click.option("--dropout", type=click.FloatRange(0.0, 1.0, max_open=True), default=0.0)
@click.option("--weight-decay", type=click.FloatRange(min=0.0), help="Pull towards small weights.")
@click.option(
    "--clip-norm", type=click.FloatRange(min=0.0, min_open=True), help="Longest gradient allowed."
)
@click.option("--no-standardize", is_flag=True, help="Leave features and target as they are.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True)
@click.option("--out", metavar="DIR", help="Where to save the run; runs/DATA-N by default.")
@click.option("--overwrite", is_flag=True, help="Replace the run that is there.")
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted or killed.")
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(min=0.0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How often what was reached is saved while training.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def train(
    source: str,
    target: str | None,
    task: Task | None,
    hidden: str,
    activation: str,
    optimizer: str,
    lr: float | None,
    epochs: int | None,
    batch_size: str | None,
    test: float | None,
    validation: float | None,
    early_stopping: int | None,
    dropout: float,
    weight_decay: float | None,
    clip_norm: float | None,
    no_standardize: bool,
    seed: int,
    out: str | None,
    overwrite: bool,
    resume: bool,
    checkpoint_every: float,
    quiet: bool,
    as_json: bool,
) -> int:
    """Train a network on DATA and save it.

    DATA is the name of a set (digits, penguins, fashion-mnist, xor, spiral, moons, circles,
    sine), or a CSV, Parquet, Arrow, NPZ, .npy or IDX file, or a folder with the files of MNIST.
    """
    widths = read_hidden(hidden)
    rule = _optimizer(optimizer, lr, weight_decay, clip_norm)
    per_step = _batch_size(batch_size)
    _check_share("--test", test)
    _check_share("--validation", validation)
    if early_stopping is not None and validation is None:
        validation = 0.1
    if early_stopping is not None and not validation:
        usage_error("--early-stopping watches validation rows; give --validation a share above 0.")
    place = runs.place_for(out, _stem(source), overwrite=overwrite, resume=resume)

    dataset = data.read(source, target, task=task)
    parts = divide(dataset, test, validation or 0.0, seed)
    recipe = Recipe.learn(parts.train, standardize=not no_standardize)
    net = recipe.network(widths, activation, dropout, seed)
    rows = len(parts.train)
    chosen = per_step if per_step is not None else _rows_per_step(rows)
    if epochs is None:
        epochs = _epochs(1 if chosen == 0 else -(-rows // chosen))
    if not quiet:
        say(columns_text(dataset, recipe))
    began = time.perf_counter()
    with runs.training_at(place):
        run = fit(
            net,
            (recipe.inputs(parts.train.X), recipe.wanted(parts.train.y)),
            loss=recipe.loss,
            optimizer=rule,
            epochs=epochs,
            batch_size=chosen or None,
            validation=None
            if parts.validation is None
            else (recipe.inputs(parts.validation.X), recipe.wanted(parts.validation.y)),
            early_stopping=None
            if early_stopping is None
            else EarlyStopping(patience=early_stopping),
            seed=seed,
            progress=not quiet,
            checkpoint=runs.checkpoints(place, checkpoint_every, overwrite and not resume),
            resume=resume,
            store=runs.log(place, parts.train.name),
        )
    seconds = time.perf_counter() - began
    if run.stopped == "interrupted" and run.steps == 0:
        runs.give_up(place)
        raise KeyboardInterrupt
    summary = Summary(
        recipe=recipe,
        run=run,
        parts=parts,
        columns=columns_dict(dataset, recipe),
        widths=widths,
        seconds=seconds,
        scores=recipe.score(net, parts.test or parts.train),
    )
    origin = runs.Origin(
        source=source if source in data.names() else os.path.abspath(source),
        target=target,
        test=test,
        validation=validation or 0.0,
        seed=seed,
        fingerprint=dataset.fingerprint(),
        task=task,
    )
    saved = runs.save(
        run,
        place,
        dataset=parts.train,
        recipe=recipe,
        origin=origin,
        summary=summary.to_dict(),
        overwrite=overwrite or resume,
    )
    if as_json:
        emit_json("train", {"run": str(saved), **summary.to_dict(), "history": run.history})
    else:
        click.echo(summary.text(saved))
    if run.stopped == "interrupted":
        say("Interrupted; the run was saved as far as it came, and --resume goes on with it.")
        return INTERRUPTED
    return OK


@dataclass(frozen=True)
class Summary:
    """What training came to, for people and as JSON."""

    recipe: Recipe
    run: Run
    parts: Parts
    columns: Sequence[Mapping[str, object]]
    widths: tuple[int, ...]
    seconds: float
    scores: Mapping[str, float]

    @property
    def layers(self) -> list[int]:
        """The number of features, of each layer's units, and of outputs."""
        return [len(self.recipe.input_names), *self.widths, self.recipe.outputs]

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(each.size for each in self.run.parameters.values())

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON."""
        parts = self.parts
        return {
            "data": parts.train.name.removesuffix(" (train)"),
            "task": self.recipe.task,
            "columns": self.columns,
            "layers": self.layers,
            "parameters": self.parameters,
            "rows": {
                "train": len(parts.train),
                "validation": 0 if parts.validation is None else len(parts.validation),
                "test": 0 if parts.test is None else len(parts.test),
            },
            "epochs": self.run.epochs,
            "steps": self.run.steps,
            "stopped": self.run.stopped,
            "seconds": round(self.seconds, 3),
            "scored_on": "train" if parts.test is None else "test",
            "scores": dict(self.scores),
        }

    def text(self, saved: Path) -> str:
        """Write the summary for people, with what to try next."""
        rows = len(self.parts.train)
        held = self.parts.test
        where = "on the training rows" if held is None else f"on {len(held):,} held-out rows"
        sizes = "-".join(str(each) for each in self.layers)
        place = runs.shown(saved)
        return "\n".join(
            [
                f"Trained a {sizes} network ({self.parameters:,} parameters) on {rows:,} rows for "
                f"{self.run.epochs} epoch{'s'[: self.run.epochs != 1]} in {self.seconds:.1f} s "
                f"({self.run.stopped}).",
                f"{_scores(self.scores, held is not None)} {where}.",
                f"Saved to {place}.",
                "",
                "Next:",
                f"  backlight explain {place} --weight 'layers.0.weight[0,0]'",
                f"  backlight diagnose {place}",
                f"  backlight predict {place} DATA",
            ]
        )


def _scores(scores: Mapping[str, float], held_out: bool) -> str:
    start = "Test " if held_out else "Training "
    if "all_labels" in scores:
        return (
            f"{start}accuracy {100 * scores['accuracy']:.2f} % of labels, "
            f"{100 * scores['all_labels']:.2f} % of rows with all labels right,"
        )
    if "accuracy" in scores:
        return f"{start}accuracy {100 * scores['accuracy']:.2f} %"
    parts = [f"R² {scores['r2']:.4f}"] if "r2" in scores else []
    return start + ", ".join([*parts, f"RMSE {scores['rmse']:.6g}"])


def _rows_per_step(rows: int) -> int:
    return 1024 if rows >= VERY_MANY_ROWS else 128 if rows >= MANY_ROWS else 32


def _epochs(steps: int) -> int:
    """Choose a number of epochs by the number of steps that one takes."""
    wanted = min(max(LEAST_EPOCHS, -(-LEAST_STEPS // steps)), MOST_EPOCHS)
    return min(wanted, max(MOST_STEPS // steps, 2))


def _optimizer(
    name: str, lr: float | None, weight_decay: float | None, clip_norm: float | None
) -> optim.Optimizer:
    options: dict[str, object] = {"name": OPTIMIZERS[name]}
    if lr is not None:
        options["learning_rate"] = lr
    if weight_decay is not None:
        options["weight_decay"] = weight_decay
    if clip_norm is not None:
        options["clip"] = optim.ByNorm(clip_norm).to_dict()
    rule: optim.Optimizer = optim.from_dict(options)
    return rule


def _batch_size(text: str | None) -> int | None:
    """Read the batch size: None when not given, 0 for the full batch."""
    if text is None:
        return None
    if text.lower() == "full":
        return 0
    if re.fullmatch(r"[1-9][0-9]{0,8}", text):
        return int(text)
    usage_error(f"--batch-size {text[:40]} is neither a whole number from 1 on nor the word full.")


def _check_share(option: str, share: float | None) -> None:
    if share is not None and not 0.0 <= share < 1.0:
        usage_error(f"{option} {share:g} is not a share; give a number from 0 to below 1.")


def _stem(source: str) -> str:
    """Return a short plain word for a data set, for the name of its run."""
    stem = Path(source).name.split(".")[0]
    return re.sub(r"[^\w-]+", "-", stem).strip("-")[:40] or "data"
