"""Writes the pages of the worked examples: runs each script of `examples/` and keeps what it says.

A page is the script's own story (its docstring), its pictures, and its output, cut at the
headings.  Nothing on a page is written by hand, so a page cannot say what the program does not.

    python docs/examples/build.py           write the pages and pictures
    python docs/examples/build.py --check   only tell which ones are out of date
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
HEADING = re.compile(r"^── (.+) ──$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One script and its page.

    Attributes
    ----------
    script : str
        The script's name without its ending.
    pictures : mapping of str to str
        Files that it draws, with what they show; the first one stands at the top of the page.
    """

    script: str
    pictures: Mapping[str, str] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """The name of the page's file."""
        return self.script.replace("_", "-") + ".md"


EXAMPLES = (
    Example(
        "one_weight",
        {"one-weight.svg": "The graph of (w·x − y)²: a value and a gradient at every node"},
    ),
    Example(
        "node_by_node",
        {"node-by-node.svg": "The network as a graph: values going down, gradients coming up"},
    ),
    Example(
        "computation_graph",
        {"computation-graph.svg": "The graph of c·(a + 2b) with a local derivative on every edge"},
    ),
    Example(
        "two_layer_classifier",
        {
            "two-layer-classifier.svg": "The classifier as a graph, every value and gradient",
            "derivative-sigmoid.svg": "The sigmoid and its derivative, which is at most 1/4",
            "derivative-tanh.svg": "The hyperbolic tangent and its derivative, which is at most 1",
            "derivative-relu.svg": "ReLU and its derivative, which jumps from 0 to 1 at 0",
        },
    ),
    Example(
        "accumulated_deltas",
        {"accumulated-deltas.svg": "The mean absolute error over 60,000 iterations"},
    ),
)


def run_script(script: str, *arguments: str) -> str:
    """Run one script of `examples/` and return what it prints.

    Raises
    ------
    RuntimeError
        With what it wrote to standard error, when it fails.
    """
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{script}.py"), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"examples/{script}.py failed:\n{done.stderr}")
    return done.stdout


def build(example: Example) -> dict[str, str]:
    """Run one example and return its files, page and pictures, by name."""
    with tempfile.TemporaryDirectory() as folder:
        output = run_script(example.script, "--pictures", folder)
        files = {name: Path(folder, name).read_text(encoding="utf-8") for name in example.pictures}
    source = (ROOT / "examples" / f"{example.script}.py").read_text(encoding="utf-8")
    files[example.page] = page(example, source, output)
    return files


def page(example: Example, source: str, output: str) -> str:
    """Put the story, the pictures and the output together."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    title, _, story = docstring.partition("\n\n")
    prose, _, usage = story.rpartition("\n\n")
    first, *others = [f"![{text}]({name})" for name, text in example.pictures.items()]
    parts = [
        f"# {title.rstrip('.')}",
        f"<!-- Made by docs/examples/build.py from examples/{example.script}.py. -->",
        prose,
        first,
        "<!-- page not run: this page is written by the program, and a test compares it -->",
        f"The program is [examples/{example.script}.py](../../examples/{example.script}.py):",
        fenced(re.sub(r"^    ", "", usage, flags=re.MULTILINE), "console"),
        "It prints:",
        *sections(output),
        *others,
        "[All examples](../tutorial/index.md#the-worked-examples-in-full)",
    ]
    return "\n\n".join(parts) + "\n"


def sections(output: str) -> list[str]:
    """Turn what a script printed into headings and blocks."""
    before, *rest = HEADING.split(output)
    parts = [fenced(before)] if before.strip() else []
    for title, text in zip(rest[::2], rest[1::2], strict=True):
        parts += [f"## {title}", fenced(text)]
    return parts


def fenced(text: str, language: str = "text") -> str:
    """Write text as a block of code."""
    lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return f"```{language}\n{lines}\n```"


# ---- comparing with what is there ----------------------------------------------------------------

NUMBER = re.compile(r"[-−]?\d+(?:,\d{3})*(?:\.\d*)?(?:e[-−+]?\d+)?")
# Estimates of rounding errors, and names made from content, differ from machine to machine.
NOISE = re.compile(
    r"relative difference [^ ,.]+(?:\.\d+)?(?:e[-−+]?\d+)?|estimated error \S+"
    r"|by central differences with step \S+|backlight-[0-9a-f]{10}"
)


def same(old: str, new: str, tolerance: float = 1e-6) -> bool:
    """Tell whether two files say the same: equal words, and numbers equal up to rounding."""
    (old_words, old_numbers), (new_words, new_numbers) = parsed(old), parsed(new)
    return old_words == new_words and all(
        abs(a - b) <= tolerance * max(abs(a), abs(b)) + 1e-9
        for a, b in zip(old_numbers, new_numbers, strict=True)
    )


def parsed(text: str) -> tuple[str, list[float]]:
    """Take a text apart into its words and its numbers."""
    quiet = NOISE.sub("", text)
    numbers = [float(found.replace("−", "-").replace(",", "")) for found in NUMBER.findall(quiet)]
    return " ".join(NUMBER.sub("#", quiet).split()), numbers


def outdated(files: Mapping[Path, str]) -> list[Path]:
    """Return the files that are missing or say something else."""
    return [
        path
        for path, text in files.items()
        if not path.is_file() or not same(path.read_text(encoding="utf-8"), text)
    ]


def finish(files: Mapping[Path, str], *, check: bool) -> int:
    """Write the files that have changed, or only name them; return the exit status."""
    changed = outdated(files)
    for path in changed:
        print(f"{'out of date' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(files[path], encoding="utf-8", newline="\n")
    return 1 if check and changed else 0


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description="Write the pages of the worked examples.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    files = {FOLDER / name: text for example in EXAMPLES for name, text in build(example).items()}
    return finish(files, check=options.check)


if __name__ == "__main__":
    sys.exit(main())
