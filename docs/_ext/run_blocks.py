"""Runs the code blocks of the documentation and compares what they print with what is shown.

A page's blocks of Python run in order in one namespace, its console blocks in the same temporary
folder.  A block of `text` directly below a block is what it must print; there "…" stands for
anything, and numbers with decimals may differ in their last digit or by one in a thousand.  What a
block draws under the name of a picture of the page must be that picture.

Comments in the page steer it:

    <!-- not run: REASON -->           the next block is left out, and counted
    <!-- page not run: REASON -->      all blocks of the page are
    <!-- raises SomeError -->          the next block ends with this error, whose text is compared
    <!-- raises status 1 -->           the next command ends with this exit status
    <!-- within 0.05 -->               numbers that the next block prints may differ by 5 %
    <!-- run                           runs a block that readers do not see
    code
    -->

    python docs/_ext/run_blocks.py docs            every page below docs
    python docs/_ext/run_blocks.py --write PAGE    put what was printed and drawn into the page
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import linecache
import os
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from page_blocks import NUMBER, Block, agrees, blocks_of, tidy

PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+\.svg)\)|^ *```\{(?:image|figure)\} (\S+\.svg)", re.M)
# What a console block may call; the rest has to say why it is not run.
PROGRAMS = ("backlight", "python", "ls", "cat", "head", "sed", "sqlite3")
SECONDS = 300

# Estimates of rounding errors differ from machine to machine; --write leaves them out.
NOISE = re.compile(
    r"by central differences with step .*|largest relative difference .*"
    r"|(?<= in )[\d.]+ m?s\b|[\d.]+ s  \d{4}-\d\d-\d\d \d\d:\d\d"
)


@dataclass
class Report:
    """What became of a page: counts, and a line number and a sentence for each fault."""

    ran: int = 0
    compared: int = 0
    excused: list[str] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    outputs: dict[int, str] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)


# ---- running -------------------------------------------------------------------------------------


def run_page(path: Path, text: str | None = None) -> Report:
    """Run the blocks of a page in a process of their own.

    Parameters
    ----------
    path : pathlib.Path
        The page, in Markdown.
    text : str, optional
        What it says, when that is not what the file says.

    Returns
    -------
    Report
    """
    text = path.read_text(encoding="utf-8") if text is None else text
    found = blocks_of(text)
    report = Report(
        excused=[f"{path.name}:{each.line}: {each.excuse}" for each in found if each.excuse]
    )
    live = [each for each in found if not each.excuse]
    if not live:
        return report
    with tempfile.TemporaryDirectory(prefix="backlight-docs-") as folder:
        results, failure = run_blocks(live, path, Path(folder))
        if failure:
            report.faults.append((live[min(len(results), len(live) - 1)].line, failure))
        for block, printed in zip(live, results, strict=False):
            report.ran += 1
            report.outputs[block.line] = printed
            if block.expected is not None:
                report.compared += 1
                if not agrees(block.expected, printed, block.within):
                    report.faults.append((block.line, difference(block, printed)))
        for first, second in PICTURE.findall(text):
            drawn = Path(folder, Path(first or second).name)
            if drawn.is_file():
                report.pictures[first or second] = drawn.read_text(encoding="utf-8")
    for name, drawing in report.pictures.items():
        there = path.parent / name
        if not there.is_file() or not same_drawing(there.read_text(encoding="utf-8"), drawing):
            report.faults.append((1, f"the picture {name} is not what the page's program draws"))
    return report


def run_blocks(blocks: Sequence[Block], path: Path, folder: Path) -> tuple[list[str], str]:
    """Run blocks in a child process; return what each printed, and what went wrong."""
    job = {
        "page": path.name,
        "blocks": [[each.language, each.code, each.line, each.raises] for each in blocks],
    }
    environment = clean_environment(folder)
    with tempfile.TemporaryDirectory(prefix="backlight-docs-") as private:
        results = Path(private, "results.jsonl")
        try:
            done = subprocess.run(
                [sys.executable, str(Path(__file__).resolve()), "--child", str(results)],
                input=json.dumps(job), cwd=folder, env=environment, capture_output=True,
                encoding="utf-8", check=False, timeout=SECONDS,
            )  # fmt: skip
            failure = done.stderr.strip() if done.returncode else ""
        except subprocess.TimeoutExpired:
            failure = f"the page takes longer than {SECONDS} seconds"
        printed = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return [json.loads(each) for each in printed], failure


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the environment of the blocks: no colour, 80 columns, and our own commands first."""
    here = str(Path(sys.executable).parent)
    own = {
        "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1", "NO_COLOR": "1", "TERM": "dumb",
        "COLUMNS": "80", "PATH": os.pathsep.join([here, os.environ.get("PATH", "")]),
        "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    passed = {k: v for k, v in os.environ.items() if k not in {"PYTHONWARNINGS", "FORCE_COLOR"}}
    return passed | own


def child(results: Path) -> int:
    """Run the blocks that standard input describes; write what each printed, line by line."""
    job = json.load(sys.stdin)
    sys.path.insert(0, "")
    names: dict[str, object] = {"__name__": "__main__"}
    with results.open("w", encoding="utf-8") as file:
        for number, (language, code, _, raises) in enumerate(job["blocks"], start=1):
            try:
                if language == "console":
                    printed = run_console(code, raises)
                else:
                    printed = run_python(code, names, f"{job['page']}-{number}.py", raises)
            except BlockError as error:
                print(error, file=sys.stderr)
                return 1
            file.write(json.dumps(printed) + "\n")
            file.flush()
    return 0


class BlockError(Exception):
    """A block failed, with what it said."""


def run_python(code: str, names: dict[str, object], name: str, raises: str) -> str:
    """Run one block of Python; return what it printed, with the error that it should end with."""
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    output = io.StringIO()
    error_name = ""
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            exec(compile(code, name, "exec"), names)
        except Exception as error:  # noqa: BLE001 - any error of the page's code is its finding
            error_name = type(error).__name__
            if error_name != raises:
                said = "".join(traceback.format_exception(error, limit=-3))
                raise BlockError(f"{output.getvalue()}{said}") from None
            print(f"{error_name}: {error}", file=output)
    if raises and not error_name:
        raise BlockError(f"the block should end with {raises}, and does not")
    return output.getvalue()


def commands_of(code: str) -> list[str]:
    r"""Return the commands behind the prompts of a console block, joined over "\\"."""
    joined = code.replace("\\\n", " ")
    return [line[2:].strip() for line in joined.split("\n") if line.startswith("$ ")]


def run_console(code: str, raises: str = "") -> str:
    """Run the commands of one console block; return what they printed.

    Raises
    ------
    BlockError
        When there is no command, or one that the documentation should not run.
    """
    commands = commands_of(code)
    if not commands:
        raise BlockError("a console block needs lines that begin with '$ '")
    printed = ""
    for command in commands:
        program = shlex.split(command, comments=True)[0]
        if program not in PROGRAMS:
            raise BlockError(f"'{program}' is not run by the documentation: mark it 'not run'")
        done = subprocess.run(
            command, shell=True, executable="/bin/sh", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False,
        )  # fmt: skip
        printed += done.stdout
        if raises != f"status {done.returncode}" and (done.returncode or raises):
            raise BlockError(f"'{command}' ends with status {done.returncode}:\n{done.stdout}")
    return printed


def difference(block: Block, printed: str) -> str:
    """Say where an output differs from what is shown."""
    shown = block.expected or ""
    for number, line in enumerate(tidy(shown).split("\n"), start=1):
        lines = tidy(printed).split("\n")
        if line.strip() == "…":
            break
        there = lines[number - 1] if number <= len(lines) else "(nothing)"
        if not agrees(line, there, block.within):
            return f"shown:   {line}\nprinted: {there}"
    return f"shown:\n{tidy(shown)}\nprinted:\n{tidy(printed)}"


def same_drawing(old: str, new: str) -> bool:
    """Tell whether two pictures show the same: equal words, and nearly equal numbers."""

    def parts(text: str) -> tuple[str, list[float]]:
        plain = re.sub(r"backlight-[0-9a-f]{10}", "", text)
        numbers = [float(each.replace("−", "-").replace(",", "")) for each in NUMBER.findall(plain)]
        return NUMBER.sub("#", plain), numbers

    (words, numbers), (new_words, new_numbers) = parts(old), parts(new)
    return words == new_words and all(
        abs(a - b) <= 1.0 + 0.01 * max(abs(a), abs(b))
        for a, b in zip(numbers, new_numbers, strict=True)
    )


# ---- writing -------------------------------------------------------------------------------------


def rewritten(text: str, outputs: Mapping[int, str]) -> str:
    """Put what was printed into a page, where it is not what is shown."""
    lines = text.split("\n")
    for block in reversed(blocks_of(text)):
        printed = outputs.get(block.line)
        if (
            printed is None
            or block.expected is None
            or agrees(block.expected, printed, block.within)
        ):
            continue
        start, end = block.span
        lines[start:end] = NOISE.sub("…", tidy(printed)).split("\n")
    return "\n".join(lines)


def write(path: Path, report: Report) -> None:
    """Write the outputs and the pictures of a page."""
    text = path.read_text(encoding="utf-8")
    new = rewritten(text, report.outputs)
    if new != text:
        path.write_text(new, encoding="utf-8", newline="\n")
        print(f"wrote: {path}")
    for name, drawing in report.pictures.items():
        there = path.parent / name
        if not there.is_file() or not same_drawing(there.read_text(encoding="utf-8"), drawing):
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_text(drawing, encoding="utf-8", newline="\n")
            print(f"wrote: {there}")


def pages_below(paths: Sequence[Path]) -> list[Path]:
    """Return the pages that are named, or lie in the folders that are."""
    return [
        page for path in paths for page in (sorted(path.rglob("*.md")) if path.is_dir() else [path])
    ]


def main() -> int:
    """Run pages and print what is wrong with them."""
    parser = argparse.ArgumentParser(description="Run the code blocks of the documentation.")
    parser.add_argument("pages", nargs="*", type=Path, help="pages, or folders of pages")
    parser.add_argument("--write", action="store_true", help="put the outputs into the pages")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        return child(options.child)
    ran = compared = faults = 0
    excused: list[str] = []
    for page in pages_below(options.pages):
        report = run_page(page)
        ran, compared = ran + report.ran, compared + report.compared
        excused += report.excused
        if options.write:
            write(page, report)
            continue
        faults += len(report.faults)
        for line, sentence in report.faults:
            print(f"{page}:{line}: {sentence}")
    print(f"{ran} blocks ran, {compared} outputs compared, {len(excused)} not run:")
    print("\n".join(f"  {each}" for each in excused))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
