"""Write the tables of a results file into README.md and docs/benchmarks.md, and draw the picture.

    python -m benchmarks.report [RESULTS.json]

It takes the newest file in benchmarks/results that is not a quick one, and replaces what stands
between the two marker comments of each page.  No number is written by hand.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.analysis import OURS, Spread, best_peer, best_rows, ratio, share_of_limit
from benchmarks.driver import ROOT
from benchmarks.picture import picture

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
PICTURE = ROOT / "docs" / "pictures" / "benchmarks.svg"
PAGES = {ROOT / "README.md": "docs/", ROOT / "docs" / "benchmarks.md": ""}
ALTERNATIVE = "Time per training step of five networks in each library"
Results = Mapping[str, Any]


def newest(folder: Path) -> Path | None:
    """Return the newest results file that is not a quick one; the names begin with the date."""
    files = [each for each in folder.glob("*.json") if not each.stem.endswith("-quick")]
    return max(files, default=None)


def replaced(page: str, text: str) -> str:
    """Return a page with other text between its markers.

    Raises
    ------
    ValueError
        When the page does not have both markers, once and in order.

    Examples
    --------
    >>> replaced(f"a\\n{BEGIN}\\nold\\n{END}\\nb\\n", "new") == f"a\\n{BEGIN}\\nnew\\n{END}\\nb\\n"
    True
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"The page must hold {BEGIN} and after it {END}, each once.")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{text.strip()}\n{END}{after}"


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with so many significant digits and no exponent.

    Examples
    --------
    >>> number(1234.5), number(12.34), number(0.01234), number(None)
    ('1,230', '12', '0.012', '—')
    """
    if value is None:
        return "—"
    if value == 0:
        return "0"
    digits = 3 if abs(value) >= 100 else digits
    rounded = float(f"{value:.{digits - 1}e}")
    if abs(rounded) >= 10 ** (digits - 1):
        return f"{rounded:,.0f}"
    places = digits - 1 - int(f"{rounded:e}".split("e")[1])
    return f"{rounded:.{places}f}"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is to the left, the others to the right."""
    lines = ["| " + " | ".join(header) + " |"]
    lines.append("|" + "---|" + "---:|" * (len(header) - 1))
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


# ── the parts of a page ──────────────────────────────────────────────────────────────────────────


def source(results: Results, path: Path) -> str:
    """Say where the numbers come from."""
    machine, versions = results["machine"], results["versions"]
    names = {"torch": "PyTorch", "jax": "JAX", "scikit-learn": "scikit-learn"}
    shown = [f"{name} {versions[key]}" for key, name in names.items() if key in versions]
    few = " This is a quick run; ratios are rough." if results["quick"] else ""
    return (
        f"Measured on {results['date']}: {machine['processor']}, {machine['cores']} cores, Python "
        f"{results['python']}, {', '.join(shown)}; float32; all libraries in turns in one run, "
        f"each with its better number of threads.{few} "
        f"All numbers: `benchmarks/results/{path.name}`."
    )


PEER_COLUMNS = ("JAX scan", "JAX step", "PyTorch eager", "PyTorch compile", "scikit-learn")
MORE_COLUMNS = ("autograd", "tinygrad")


def training_table(cases: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return the table of microseconds per step."""
    measured = {name for case in cases for name in best_rows(case)}
    columns = [name for name in columns if name in measured]
    rows = []
    for case in cases:
        best = best_rows(case)
        network = case["network"]
        cells = [
            f"{network['name']} {'-'.join(map(str, network['sizes']))}, batch {network['batch']}, "
            f"{ {'sgd': 'SGD', 'adam': 'Adam'}[network['optimizer']] }"
        ]
        for name in (OURS, *columns):
            row = best.get(name)
            cells.append("—" if row is None else _spread(row["microseconds"]))
        found, share = ratio(case, best_peer(case)), share_of_limit(case)
        cells.append("—" if found is None else f"{number(found)} ×")
        if "limit_microseconds" in case:
            cells.append("—" if share is None else f"{100 * share:.0f} %")
        rows.append(cells)
    limit = ["of the limit"] if cases and "limit_microseconds" in cases[0] else []
    header = ["network", OURS, *columns, "÷ best peer", *limit]
    return grid(header, rows)


def _spread(values: Sequence[float]) -> str:
    found = Spread.of(values)
    return f"{number(found.median)} ({number(found.least)}–{number(found.most)})"


def goals_table(results: Results) -> str:
    """Return the goals, each with what was measured."""
    words = {True: "met", False: "**not met**", None: "not measured"}
    rows = []
    for each in results["goals"]:
        sense = "≥" if each["sense"] == "at least" else "≤"
        measured = "—" if each["measured"] is None else f"{number(each['measured'])} {each['unit']}"
        goal = f"{sense} {each['wanted']:g} {each['unit']}".strip()
        detail = each["detail"] or "—"
        rows.append([each["what"], goal, measured.strip(), words[each["met"]], detail])
    return grid(["goal", "wanted", "measured", "verdict", "from"], rows)


def _seconds_table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = []
    for row in rows:
        if "seconds" not in row:
            cells.append([row["name"], "—", row.get("absent", "—")])
            continue
        reached = ""
        if "accuracy" in row:
            reached = f"{100 * row['accuracy']:.1f} % after {row['epochs']} epochs"
        cells.append([row["name"], _spread(row["seconds"]), reached])
    return grid(["new process", "seconds (least–most)", ""], cells)


def _compile_table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ("first", "cached", "cached_start")
    cells = [
        [
            f"{row['network']}, {row['name']}",
            *(
                number(1e3 * statistics.median(row[which])) if row.get(which) else "—"
                for which in columns
            ),
        ]
        for row in rows
    ]
    return grid(["", "first time, ms", "cached, ms", "to start before that, ms"], cells)


def _bytes_table(rows: Sequence[Mapping[str, Any]], what: str) -> str:
    cells = [
        [
            ", ".join(filter(None, (row.get("network"), row["name"]))),
            number(row["bytes"] / 1e6, 3) if "bytes" in row else row.get("absent", "—"),
        ]
        for row in rows
    ]
    return grid(["", f"{what}, MB"], cells)


def _eager_table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = []
    for row in rows:
        spent = row["microseconds"]
        cells.append(
            [row["example"]]
            + [_spread(spent[each]) if each in spent else "—" for each in ("Backlight", "PyTorch")]
        )
    return grid(["worked example", "Backlight, µs", "PyTorch eager, µs"], cells)


def _scalars_table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(row["name"] for row in rows))
    sizes = list(dict.fromkeys(row["nodes"] for row in rows))
    found = {(row["name"], row["nodes"]): row for row in rows}
    cells = []
    for name in names:
        line = [name]
        for nodes in sizes:
            row = found.get((name, nodes), {})
            line.append(number(row.get("nanoseconds_per_node")))
        cells.append(line)
    return grid(["nanoseconds per node", *(f"{nodes:,} nodes" for nodes in sizes)], cells)


def short(results: Results, path: Path, folder: str) -> str:
    """Return what the README shows: the table, the picture, where the rest is."""
    parts = [
        training_table(results["training"], ("JAX scan", "PyTorch eager", "scikit-learn")),
        "Microseconds per training step, the optimizer included: median (least–most) of the "
        "rounds. The limit is the time of the step's matrix products at the best rate that any "
        "library reaches for each shape.",
        f"![{ALTERNATIVE}]({folder}pictures/benchmarks.svg)",
        source(results, path),
        f"Goals, met and not met, and everything else: [benchmarks]({folder}benchmarks.md).",
    ]
    return "\n\n".join(parts)


def long(results: Results, path: Path) -> str:
    """Return what docs/benchmarks.md shows: everything."""
    parts = [source(results, path)]

    def section(title: str, key: str, *texts: str) -> None:
        if results.get(key):
            parts.extend([f"## {title}", *texts])

    def part(key: str) -> Any:
        return results.get(key) or []

    everyone = (*PEER_COLUMNS, *MORE_COLUMNS)
    section(
        "Training steps",
        "training",
        "Microseconds per step: median (least–most).",
        training_table(part("training"), everyone),
        f"![{ALTERNATIVE}](pictures/benchmarks.svg)",
    )
    section("Goals", "goals", goals_table(results))
    section(
        "Fashion-MNIST",
        "fashion",
        "Microseconds per step; an epoch has 937 steps.",
        training_table(part("fashion"), everyone),
    )
    section(
        "Epochs of one step",
        "full_batch",
        "All four examples of xor in one batch, thousands of epochs: what surrounds an epoch "
        "counts too.",
        training_table(part("full_batch"), everyone),
    )
    section("Width, depth and batch", "growth", training_table(part("growth"), everyone))
    section(
        "Cold start",
        "cold",
        "A new process trains 64-128-10 on the digits until it is right on 97 % of the held-out "
        "examples, beside processes that only import.",
        _seconds_table(part("cold")),
    )
    section("Compile time", "compile", _compile_table(part("compile")))
    section(
        "Peak memory of a training process", "memory", _bytes_table(part("memory"), "peak memory")
    )
    section(
        "Size on disk, with all that is required", "size", _bytes_table(part("size"), "installed")
    )
    section("Eager recording", "eager", _eager_table(part("eager")))
    section("Graphs of scalars", "scalars", _scalars_table(part("scalars")))
    return "\n\n".join(parts)


def write(path: Path) -> list[Path]:
    """Write both pages and the picture from a results file; return what was written."""
    results = json.loads(path.read_text("utf-8"))
    PICTURE.write_text(picture(results["training"]), "utf-8")
    written = [PICTURE]
    for page, folder in PAGES.items():
        text = short(results, path, folder) if folder else long(results, path)
        page.write_text(replaced(page.read_text("utf-8"), text), "utf-8")
        written.append(page)
    return written


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description="Tables and picture from a results file."
    )
    parser.add_argument("results", nargs="?", type=Path, help="by default the newest one")
    path = parser.parse_args().results or newest(ROOT / "benchmarks" / "results")
    if path is None:
        parser.error("there is no results file yet: run python -m benchmarks")
    for each in write(path):
        print(each.relative_to(ROOT))


if __name__ == "__main__":
    main()
