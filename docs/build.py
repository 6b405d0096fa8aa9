"""Writes the parts of the documentation that are made from the program itself.

docs/primitives.md comes whole from the registry of primitives; docs/trace-schema.md holds an
example that `Trace.to_json` has written.  The pages of the worked examples have a script of their
own, docs/examples/build.py.

    python docs/build.py           write them
    python docs/build.py --check   only tell which ones are out of date
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import linecache
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import backlight as bl
from backlight.explain.formulas import tensor_expression
from backlight.graph.notation import UNICODE, Apply, Expression, Number, Symbol
from backlight.graph.primitive import Kind, Primitive, Spec
from backlight.ops.leaf import INPUT
from backlight.ops.move import BROADCAST, RESHAPE
from backlight.tensor import Tensor, leaf, quiet
from backlight.trace import history

FOLDER = Path(__file__).resolve().parent
PRIMITIVES = FOLDER / "primitives.md"
SCHEMA = FOLDER / "trace-schema.md"

# ---- primitives ----------------------------------------------------------------------------------

NO_FORMULA = "found by a rule that rearranges entries, so that no formula is short"
KINDS = {
    Kind.ELEMENTWISE: "Entry by entry",
    Kind.REDUCE: "Over whole axes",
    Kind.SCAN: "Running along an axis",
    Kind.CONTRACT: "Sums of products",
    Kind.MOVE: "Moving entries",
    Kind.INDEX: "By integer positions",
    Kind.RANDOM: "Random numbers",
    Kind.LEAF: "Values from outside",
}
INTRODUCTION = """\
# Primitives

<!-- Made by docs/build.py from the registry of primitives. -->

Every computation is a graph of these operations and nothing else. Each is one record in
`src/backlight/ops/`, and `bl.registry()` gives them by name.

The local derivatives are written by running the record's own rule on symbols: `y` is the
operation's result, `x` its operand, and `a`, `b`, `c` are its operands where there are several. A
condition in brackets, such as [x > 0], is 1 where it holds and 0 elsewhere. An operation that is
*linear* in an operand has a rule instead that carries the upstream gradient, `g`, straight back;
where that can be written as a formula, it is. Without an entry under *defined for* the operation
is defined everywhere."""
HEAD = (
    "name", "what it is", "formula", "local derivatives", "defined for", "at kinks and jumps",
    "ONNX",
)  # fmt: skip


def primitives_page() -> str:
    """Write the table of all primitives, one part for each kind."""
    parts = [INTRODUCTION]
    records = [each for each in bl.registry().values() if each.kind is not Kind.CUSTOM]
    for kind, title in KINDS.items():
        rows = [row(each) for each in records if each.kind is kind]
        if rows:
            parts += [f"## {title}", table(HEAD, rows)]
    return "\n\n".join(parts) + "\n"


def row(primitive: Primitive) -> tuple[str, ...]:
    """Describe one primitive."""
    return (
        f"`{primitive.name}`",
        primitive.description,
        formula(primitive),
        derivatives(primitive),
        primitive.domain,
        primitive.kink.convention if primitive.kink else "–",
        primitive.onnx or ("several" if primitive.to_onnx else "–"),
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(each) for each in line) + " |" for line in lines)


def cell(text: str) -> str:
    """Keep what Markdown would take for markup as it is."""
    return re.sub(r"([|*\[\]])", r"\\\1", text)


def operand_count(primitive: Primitive) -> int:
    """Return how many operands a primitive has, found by asking its shape rule."""
    rules = max(len(primitive.partials or ()), len(primitive.transposes or ()))
    if rules or primitive.kind is not Kind.ELEMENTWISE:
        return max(rules, 1)
    for count in (1, 2, 3):
        for dtype in ("float64", "int64", "bool"):
            try:
                primitive.specify(*[Spec((), np.dtype(dtype))] * count)
            except (bl.BacklightError, TypeError):
                continue
            return count
    return 1


def letters(count: int) -> tuple[Symbol, ...]:
    """Name the operands."""
    return tuple(Symbol(each) for each in ("x" if count == 1 else "abcd"[:count]))


def formula(primitive: Primitive) -> str:
    """Write the operation on letters."""
    if primitive.kind in (Kind.LEAF, Kind.RANDOM):
        return ""
    return UNICODE.expression(Apply(primitive.form, letters(operand_count(primitive))))


def derivatives(primitive: Primitive) -> str:
    """Write every local derivative, or say why there is none."""
    if primitive.kind is Kind.LEAF:
        return ""
    if not primitive.differentiable:
        return f"none: {primitive.stops_gradient}" if primitive.stops_gradient else "none"
    names = [each.base for each in letters(operand_count(primitive))]
    return "; ".join(
        f"{derivative(primitive, position)}"
        if len(names) == 1
        else f"by {name}: {derivative(primitive, position)}"
        for position, name in enumerate(names)
    )


def derivative(primitive: Primitive, position: int) -> str:
    """Write one local derivative by running its rule on placeholders."""
    if primitive.partial(position) is None and primitive.transpose(position) is None:
        return "none"
    if primitive.kind not in (Kind.ELEMENTWISE, Kind.REDUCE):
        return "linear"
    dtype = np.dtype(np.float64)
    names = letters(operand_count(primitive))
    attributes: dict[str, Any] = {}
    shape: tuple[int, ...] = ()
    if primitive.kind is Kind.REDUCE:
        attributes, shape = {"axes": (0,)}, (3,)
    with quiet():
        # An operand that no gradient flows to is a condition.
        kinds = [dtype if primitive.flows(k) else np.dtype(bool) for k in range(len(names))]
        operands = [leaf(INPUT, Spec(shape, each)) for each in kinds]
        output, upstream = leaf(INPUT, Spec((), dtype)), leaf(INPUT, Spec((), dtype))
        given: dict[int, Expression] = {
            each.serial: name for each, name in zip(operands, names, strict=True)
        }
        given |= {output.serial: Symbol("y"), upstream.serial: Symbol("g")}
        partial, transpose = primitive.partial(position), primitive.transpose(position)
        if partial is not None:
            result = partial(output, *operands, **attributes)
            return NO_FORMULA if rearranges(result) else written(result, given)
        if wants_dtype(primitive):
            attributes["dtype"] = dtype
        assert transpose is not None
        return f"linear: {written(transpose(upstream, output, *operands, **attributes), given)}"


def wants_dtype(primitive: Primitive) -> bool:
    """Tell whether the operation is told a dtype."""
    try:
        primitive.specify(Spec((), np.dtype(np.float64)), dtype=np.dtype(np.float64))
    except (bl.BacklightError, TypeError):
        return False
    return True


def rearranges(result: Tensor | float) -> bool:
    """Tell whether a rule picks and puts together entries, which no formula would show."""
    if not isinstance(result, Tensor):
        return False
    moves = (each.primitive for each in history([result]) if each.primitive.kind is Kind.MOVE)
    return any(each not in (RESHAPE, BROADCAST) for each in moves)


def written(result: Tensor | float, given: dict[int, Expression]) -> str:
    """Write what a rule has built."""
    if not isinstance(result, Tensor):
        return UNICODE.expression(Number(float(result)))
    return UNICODE.expression(tensor_expression(result, given))


# ---- the trace -----------------------------------------------------------------------------------

PROGRAM = """\
import backlight as bl

w = bl.param(3.0, name="w")
L = w * w
trace = bl.record(L)
"""
BLOCK = re.compile(r"(?<=<!-- example -->\n).*(?=<!-- end of example -->)", re.DOTALL)


def schema_page(page: str) -> str:
    """Put the example into the page on the schema."""
    linecache.cache["example.py"] = (
        len(PROGRAM), None, PROGRAM.splitlines(keepends=True), "example.py"
    )  # fmt: skip
    names: dict[str, Any] = {}
    exec(compile(PROGRAM, "example.py", "exec"), names)
    block = f"\n```python\n{PROGRAM}```\n\n```json\n{compact(names['trace'].to_dict())}\n```\n\n"
    return BLOCK.sub(lambda _: block, page)


def compact(data: Any, depth: int = 0) -> str:
    """Write JSON indented, but what fits into a line in one."""
    line = json.dumps(data, ensure_ascii=False)
    if len(line) + 2 * depth <= 96 or not isinstance(data, dict | list):
        return line
    inner = "  " * (depth + 1)
    if isinstance(data, list):
        items = [inner + compact(each, depth + 1) for each in data]
        return "[\n" + ",\n".join(items) + "\n" + "  " * depth + "]"
    items = [f"{inner}{json.dumps(key)}: {compact(each, depth + 1)}" for key, each in data.items()]
    return "{\n" + ",\n".join(items) + "\n" + "  " * depth + "}"


def files() -> dict[Path, str]:
    """Return the files as they ought to be."""
    return {
        PRIMITIVES: primitives_page(),
        SCHEMA: schema_page(SCHEMA.read_text(encoding="utf-8")),
    }


def example_pages() -> ModuleType:
    """Load docs/examples/build.py, which compares and writes files."""
    spec = importlib.util.spec_from_file_location("example_pages", FOLDER / "examples/build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the docs.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    status: int = example_pages().finish(files(), check=options.check)
    return status


if __name__ == "__main__":
    sys.exit(main())
