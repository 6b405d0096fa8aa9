"""``backlight explain``: the derivation of one derivative, of a typed formula or a trained run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import click

from backlight.cli import runs
from backlight.cli.application import EXIT_CODES, say, usage_error
from backlight.cli.output import emit_json
from backlight.cli.targets import is_run
from backlight.cli.values import Values, check_given, read_entry, read_values
from backlight.data.messages import did_you_mean
from backlight.errors import UsageError
from backlight.explain import Derivation
from backlight.explain import explain as derive
from backlight.explain.whole import TensorDerivation
from backlight.files import write_text
from backlight.formula import Formula, parse
from backlight.tensor import Tensor, param, tensor
from backlight.trace import history


@dataclass(frozen=True)
class Explained:
    """A derivation and what it is of, as the JSON document says it."""

    derivation: Derivation | TensorDerivation
    about: Mapping[str, object]


@click.command(
    epilog="\b\nExamples:\n"
    '  backlight explain "(w*x - y)**2" --at w=1 --at x=1 --at y=2 --wrt w\n'
    "  backlight explain runs/digits-1 --weight layers.0.weight[3,1]\n\n"
    "A formula has + - * / ^, names, numbers, functions such as exp, tanh, max and sum, |x|, and "
    "where(x > 0, a, b); parts can be named, as in 'p = w*x; (p - y)^2'. A value is a number or a "
    "list such as [1,2,3].\n\n" + EXIT_CODES
)
@click.argument("subject", metavar="FORMULA|RUN")
@click.option("--at", "at", multiple=True, metavar="NAME=VALUE", help="A value; once per name.")
@click.option("--wrt", metavar="NAME", help="By which name to differentiate, such as w or w[0,2].")
@click.option("--weight", metavar="NAME[J,K]", help="The weight of a run to explain.")
@click.option("--step", type=click.IntRange(min=0), help="The training step; the last by default.")
@click.option(
    "--example",
    type=click.IntRange(min=0),
    help="One training row alone, instead of the step's batch.",
)
@click.option("--latex", is_flag=True, help="Print LaTeX.")
@click.option("--html", type=click.Path(dir_okay=False), help="Write a web page to a file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def explain(
    subject: str,
    at: tuple[str, ...],
    wrt: str | None,
    weight: str | None,
    step: int | None,
    example: int | None,
    latex: bool,
    html: str | None,
    as_json: bool,
) -> None:
    """Derive one derivative: the factors in symbols, then with numbers, then its value.

    FORMULA is typed, such as "(w*x - y)**2", and read by a small grammar; RUN is the folder of
    a trained network.
    """
    if latex and as_json:
        usage_error("--latex and --json exclude each other; choose one.")
    if is_run(subject, run_options=(weight, step, example), formula_options=(wrt, *at)):
        explained = explain_run(subject, weight, step, example)
    else:
        explained = explain_formula(subject, read_values(at), wrt)
    derivation = explained.derivation
    if html is not None:
        say(f"Wrote {write_text(html, page(derivation.html()))}.")
    if as_json:
        emit_json("explain", {**explained.about, "derivation": derivation.to_dict()})
    elif latex:
        click.echo(derivation.latex().rstrip())
    elif html is None:
        click.echo(derivation.text().rstrip())


def page(fragment: str) -> str:
    """Make a whole page of a fragment of HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>Backlight: a derivation</title></head>\n<body>\n{fragment}\n</body>\n</html>\n"
    )


def explain_formula(text: str, values: Values, wrt: str | None) -> Explained:
    """Derive the derivative of a formula by one of its names, at values."""
    formula = parse(text)
    check_given(formula.names, values)
    name, index = _wanted(formula, wrt)
    inner = name in formula.assigned.values()
    leaves: dict[str, Tensor] = {
        each: param(values[each], each) if inner or each == name else tensor(values[each], each)
        for each in formula.names
    }
    loss = formula.evaluate(leaves)
    if loss.shape:
        raise UsageError(
            f"The formula's value has the shape {loss.shape}, and only a single number has one "
            f"derivation; put sum(…) or mean(…) around it."
        )
    target = _named(loss, name) if inner else leaves[name]
    _check_index(name, index, target.shape)
    about = {
        "formula": formula.text,
        "at": {each: values[each] for each in formula.names},
        "wrt": name,
        "index": index,
    }
    return Explained(derive(loss, target, index=index), about)


def _wanted(formula: Formula, wrt: str | None) -> tuple[str, tuple[int, ...] | None]:
    """Return the name to differentiate by and the index in it."""
    known = (*formula.names, *formula.assigned.values())
    if not formula.names:
        raise UsageError("The formula has no names, so there is nothing to differentiate by.")
    if wrt is None:
        if len(formula.names) > 1:
            listed = ", ".join(formula.names)
            raise UsageError(
                f"The formula has several names ({listed}); choose one, as in "
                f"--wrt {formula.names[0]}."
            )
        return formula.names[0], None
    name, index = read_entry(wrt, "--wrt")
    if name not in known:
        hint = did_you_mean(name, known)
        listed = ", ".join(known)
        raise UsageError(
            f"--wrt {name} is not a name in the formula{hint}; its names are {listed}."
        )
    return name, index


def _named(loss: Tensor, name: str) -> Tensor:
    found = next((each for each in history([loss]) if each.name == name), None)
    if found is None:
        raise UsageError(f"--wrt {name}: the formula's value does not depend on {name}.")
    return found


def _check_index(name: str, index: tuple[int, ...] | None, shape: tuple[int, ...]) -> None:
    if index is None:  # the whole tensor
        return
    if len(index) != len(shape):
        raise UsageError(
            f"{name} has the shape {shape} and takes {len(shape)} "
            f"{'index' if len(shape) == 1 else 'indices'}, not {len(index)}."
        )
    for axis, (k, size) in enumerate(zip(index, shape, strict=True)):
        if not -size <= k < size:
            raise UsageError(
                f"Index {k} is out of range for axis {axis} of {name}, whose shape is {shape}; "
                f"it runs from 0 to {size - 1}."
            )


def explain_run(run: str, weight: str | None, step: int | None, example: int | None) -> Explained:
    """Derive the gradient of one weight of a trained network at one step of its training."""
    loaded = runs.load(run)
    parameters = loaded.stored.parameters
    if weight is None:
        listed = ", ".join(f"{name} {each.shape}" for name, each in list(parameters.items())[:8])
        raise UsageError(f"Say which weight to explain with --weight; the run has {listed}.")
    name, index = read_entry(weight, "--weight")
    if name not in parameters:
        hint = did_you_mean(name, parameters)
        listed = ", ".join(list(parameters)[:8])
        raise UsageError(f"The run has no weight {name!r}{hint}; it has {listed}.")
    _check_index(name, index, parameters[name].shape)
    attached = loaded.attach()
    last = attached.steps - 1
    if step is not None and step > last:
        raise UsageError(f"--step {step} is beyond the run, whose steps are 0 to {last}.")
    rows = loaded.stored.configuration["data"]["rows"]
    if example is not None and example >= rows:
        raise UsageError(
            f"--example {example} is beyond the training rows, which are 0 to {rows - 1}."
        )
    chosen = last if step is None else step
    trace = attached.replay(chosen, example)
    about = {"run": run, "weight": name, "index": index, "step": chosen, "example": example}
    return Explained(derive(trace, name, index=index), about)
