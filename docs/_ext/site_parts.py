"""What the site needs beyond Sphinx: blocks that run, generated parts, links, formulas offline.

Before a page is parsed its blocks of code are run (`run_blocks`), a fault being a warning with the
block's line; then these parts are put in:

    ```{names} backlight.nn          a table of the names, then each one's docstring
    relu
    ```
    ```{command-help} train          what `backlight train --help` prints
    ```
    <!-- include ../../FILE.md -->   a file from outside this folder
"""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import page_blocks
import run_blocks
from click.testing import CliRunner
from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

from backlight.cli.commands import main as command

logger = logging.getLogger(__name__)

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
NAMES = re.compile(r"^```\{names\} (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HELP = re.compile(r"^```\{command-help\} *(.*)\n```$", re.MULTILINE)
OUTPUT = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INCLUDE = re.compile(r"^<!-- include (\S+) -->$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?!\w+:|#)([^)\s]+)\)")
# Pages that are made of files of the project.
PAGES = {"README.md": "index.md", "ARCHITECTURE.md": "design/architecture.md",
         "CHANGELOG.md": "design/changes.md"}  # fmt: skip
WIDTH = 80
READABLE = 100  # characters in a line


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Run a page's blocks and put its generated parts in."""
    path = Path(app.env.doc2path(docname))
    text = source[0]
    excuse = app.config.blocks_not_run.get(docname)
    if excuse:
        text = f"<!-- page not run: {excuse} -->\n\n{text}"
    setup = app.config.blocks_before.get(docname)
    if setup:
        text = f"{page_blocks.HIDDEN}\n{setup.strip()}\n-->\n\n{text}"
    shift = text.count("\n") - source[0].count("\n")
    counts(app, docname, run_blocks.run_page(path, text), shift)
    text = without_steering(text)
    text = anchored(OUTPUT.sub(wrapped, text))
    text = INCLUDE.sub(lambda found: included(path, found[1]), text)
    text = NAMES.sub(lambda found: reference(found[1], found[2].split()), text)
    text = HELP.sub(lambda found: command_help(found[1].split()), text)
    source[0] = LINK.sub(lambda found: relinked(path, found[0], found[1], found[2]), text)


# ---- blocks --------------------------------------------------------------------------------------


def counts(app: Sphinx, docname: str, report: run_blocks.Report, shift: int) -> None:
    """Warn of a page's faults and remember its counts for the end."""
    for line, sentence in report.faults:
        logger.warning("%s", sentence, location=(docname, line - shift), type="blocks")
    total: dict[str, run_blocks.Report] = app.env.__dict__.setdefault("backlight_blocks", {})
    total[docname] = run_blocks.Report(report.ran, report.compared, report.excused)


def finished(app: Sphinx, error: Exception | None) -> None:
    """Say how many blocks ran, and which did not."""
    if error is not None:
        return
    found = set(app.env.found_docs)
    reports = [
        each for name, each in app.env.__dict__.get("backlight_blocks", {}).items() if name in found
    ]
    excused = [each for report in reports for each in report.excused]
    ran, compared = sum(each.ran for each in reports), sum(each.compared for each in reports)
    print(f"{ran} blocks of code ran, {compared} outputs compared, {len(excused)} blocks not run:")
    print("\n".join(f"  {each}" for each in excused))


def without_steering(text: str) -> str:
    """Drop the comments that steer how blocks are run, hidden blocks among them."""
    lines, inside = [], False
    for line in text.split("\n"):
        if line.strip() == page_blocks.HIDDEN:
            inside = True
        elif inside:
            inside = line.strip() != "-->"
        elif not page_blocks.COMMENT.match(line.strip()):
            lines.append(line)
    return "\n".join(lines)


def wrapped(block: re.Match[str]) -> str:
    """Let long lines of an output be broken where they are sentences and not rows of a table."""
    long = [line for line in block[1].split("\n") if len(line) > READABLE]
    if long and all(len(re.findall(r"\S  +\S", line)) <= 1 and "──" not in line for line in long):
        return f"```{{code-block}} text\n:class: wrap\n\n{block[1]}```"
    return block[0]


def anchored(text: str) -> str:
    """Turn links to anchors that are written in HTML into HTML as well."""
    for name in re.findall(r'<a id="([\w-]+)"></a>', text):
        text = re.sub(
            rf"\[`([^`\]]+)`\]\(#{name}\)", rf'<a href="#{name}"><code>\1</code></a>', text
        )
    return text


# ---- generated parts -----------------------------------------------------------------------------


def included(page: Path, name: str) -> str:
    """Return a file from outside, its links turned into links of the page."""
    path = (page.parent / name).resolve()

    def moved(found: re.Match[str]) -> str:
        label, target = found[1], found[2]
        there = (path.parent / target.partition("#")[0]).resolve()
        anchor = "".join(target.partition("#")[1:])
        return f"[{label}]({relative(there, page.parent)}{anchor})"

    return LINK.sub(moved, path.read_text(encoding="utf-8"))


def relative(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, with slashes."""
    return Path(os.path.relpath(path, folder)).as_posix()


def relinked(page: Path, whole: str, label: str, target: str) -> str:
    """Turn a link to a file of the project into one that works on the site."""
    name, mark, anchor = target.partition("#")
    there = (page.parent / name).resolve()
    if there.is_relative_to(DOCS) or not there.is_relative_to(ROOT):
        return whole
    inside = there.relative_to(ROOT).as_posix()
    if inside in PAGES:
        return f"[{label}]({relative(DOCS / PAGES[inside], page.parent)}{mark}{anchor})"
    return whole if there.is_file() and there.suffix == ".py" else label


def reference(module: str, names: list[str]) -> str:
    """Write a table of names and the docstring of each, in reStructuredText."""
    table = "\n".join(f"   {each}" for each in names)
    parts = [f".. currentmodule:: {module}\n\n.. autosummary::\n   :nosignatures:\n\n{table}\n"]
    parts += [documented(module, each) for each in names]
    return "```{eval-rst}\n" + "\n".join(parts) + "\n```"


def documented(module: str, name: str) -> str:
    """Write the directive that shows one name."""
    thing: object = importlib.import_module(module)
    for each in name.split("."):
        thing = getattr(thing, each)
    if isinstance(thing, type):
        kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
        return f".. {kind}:: {name}\n"
    return f".. {'autofunction' if callable(thing) else 'autodata'}:: {name}\n"


def command_help(words: list[str]) -> str:
    """Run `backlight … --help` and write what it prints."""
    done = CliRunner().invoke(
        command, [*words, "--help"], prog_name="backlight", terminal_width=WIDTH
    )
    if done.exit_code:
        raise RuntimeError(f"backlight {' '.join(words)} --help: {done.output}")
    return f"```text\n{done.output.rstrip()}\n```"


def escaped(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Keep the bars of |x| in docstrings from being taken for markup."""
    for number, line in enumerate(lines):
        if "|" in line and not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``|`.*?`)", line)
            lines[number] = "".join(
                part if part.startswith("`") else part.replace("|", r"\|") for part in parts
            )


# ---- formulas ------------------------------------------------------------------------------------


def formula(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula between words as MathML, which browsers show without any script."""
    self.body.append(mathml(node, block=False))
    raise nodes.SkipNode


def formula_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    self.body.append(f'<div class="formula">{mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def mathml(node: nodes.Element, *, block: bool) -> str:
    """Turn LaTeX into MathML."""
    try:
        return str(latex2mathml.tex2mathml(node.astext(), as_block=block))
    except MathError as error:
        logger.warning("%s: %s", error, node.astext(), location=node, type="formula")
        return ""


def setup(app: Sphinx) -> ExtensionMetadata:
    """Hang the parts into Sphinx."""
    app.add_config_value("blocks_not_run", {}, "env", types=[dict])
    app.add_config_value("blocks_before", {}, "env", types=[dict])
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", escaped, priority=100)
    app.connect("build-finished", finished)
    app.add_html_math_renderer("mathml", (formula, None), (formula_block, None))
    return {"version": "1", "env_version": 1, "parallel_read_safe": False}
