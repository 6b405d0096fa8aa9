"""What runs the programs of the documentation notices what it should, and nothing else."""

from __future__ import annotations

import pytest
from tests.examples.running import ROOT, script

BLOCKS = script("docs/_ext/run_blocks.py")


def page(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("1 row", "1 row", True),
        ("1 row", "2 row", False),
        ("loss 0.25", "loss 0.26", True),  # one in the last digit
        ("loss 0.25", "loss 0.27", False),
        ("loss 0.25", "loss 0.25000001", True),
        ("loss 123.45", "loss 123.50", True),  # one in a thousand
        ("loss −0.25", "loss 0.25", False),
        ("1,797 rows", "1,797 rows", True),
        ("1,797 rows", "1,798 rows", False),
        ("a … c", "a whole lot c", True),
        ("a … c", "a whole\nlot c", False),
        ("a\n…\nc", "a\nb\nb\nc", True),
        ("a\n…\nc", "a\nb", False),
        ("a", "a  \n\n", True),
        ("w.x (a|b)*", "w.x (a|b)*", True),
        ("w.x", "wax", False),
        ("1e-5", "1.2e-5", False),
        ("0.1", "0.2", False),
        ("∂L/∂w = −2", "∂L/∂w = −2", True),
    ],
)
def test_outputs_are_compared(shown, printed, same):
    assert BLOCKS.agrees(shown, printed) is same


def test_blocks_share_a_namespace_and_a_folder(tmp_path):
    path = page(
        tmp_path,
        "```python\nx = 2\nopen('kept.txt', 'w').write('here\\n')\n```\n\n"
        "Prose.\n\n```python\nprint(x + 1)\n```\n\n```text\n3\n```\n\n"
        "```console\n$ cat kept.txt\n```\n\n```text\nhere\n```\n",
    )
    report = BLOCKS.run_page(path)
    assert (report.ran, report.compared, report.faults) == (3, 2, [])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["page.md"]


def test_a_wrong_output_is_a_fault_with_its_line(tmp_path):
    report = BLOCKS.run_page(
        page(tmp_path, "# Page\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n")
    )
    ((line, sentence),) = report.faults
    assert line == 4
    assert sentence == "shown:   2\nprinted: 1"


def test_a_program_that_fails_is_a_fault(tmp_path):
    text = "```python\nprint(1)\n```\n\n```python\n1 / 0\n```\n"
    ((line, sentence),) = BLOCKS.run_page(page(tmp_path, text)).faults
    assert line == 6
    assert "ZeroDivisionError" in sentence


def test_an_error_that_is_expected_is_compared(tmp_path):
    text = "<!-- raises KeyError -->\n\n```python\n{}['a']\n```\n\n```text\nKeyError: 'a'\n```\n"
    report = BLOCKS.run_page(page(tmp_path, text))
    assert (report.ran, report.compared, report.faults) == (1, 1, [])
    quiet = text.replace("{}['a']", "pass")
    assert "should end with KeyError" in BLOCKS.run_page(page(tmp_path, quiet)).faults[0][1]


def test_what_is_not_run_is_counted_with_its_reason(tmp_path):
    text = "<!-- not run: needs a key -->\n\n```python\ninput()\n```\n\n```python\npass\n```\n"
    report = BLOCKS.run_page(page(tmp_path, text))
    assert report.ran == 1
    assert report.excused == ["page.md:4: needs a key"]


def test_a_hidden_block_runs_and_is_not_shown(tmp_path):
    text = "<!-- run\nsecret = 7\n-->\n\n```python\nprint(secret)\n```\n\n```text\n7\n```\n"
    report = BLOCKS.run_page(page(tmp_path, text))
    assert (report.ran, report.faults) == (2, [])


def test_a_command_that_fails_or_is_not_ours_is_a_fault(tmp_path):
    assert (
        "status 2"
        in BLOCKS.run_page(page(tmp_path, "```console\n$ ls missing\n```\n")).faults[0][1]
    )
    assert "not run by" in BLOCKS.run_page(page(tmp_path, "```console\n$ rm x\n```\n")).faults[0][1]
    expected = "<!-- raises status 2 -->\n\n```console\n$ ls missing\n```\n"
    assert BLOCKS.run_page(page(tmp_path, expected)).faults == []


def test_a_picture_has_to_be_what_the_program_draws(tmp_path):
    text = (
        "```python\nopen('one.svg', 'w').write('<svg>12</svg>')\n```\n\n![One](pictures/one.svg)\n"
    )
    path = page(tmp_path, text)
    assert "pictures/one.svg is not what" in BLOCKS.run_page(path).faults[0][1]
    BLOCKS.write(path, BLOCKS.run_page(path))
    assert (tmp_path / "pictures/one.svg").read_text(encoding="utf-8") == "<svg>12</svg>"
    assert BLOCKS.run_page(path).faults == []


def test_writing_puts_the_output_into_the_page_and_keeps_what_agrees(tmp_path):
    text = "```python\nprint('new', 0.5)\n```\n\n```text\nold\n```\n"
    path = page(tmp_path, text)
    BLOCKS.write(path, BLOCKS.run_page(path))
    assert path.read_text(encoding="utf-8") == text.replace("old", "new 0.5")
    kept = text.replace("old", "new …")
    BLOCKS.write(page(tmp_path, kept), BLOCKS.run_page(path))
    assert path.read_text(encoding="utf-8") == kept


def test_an_output_below_prose_belongs_to_nobody(tmp_path):
    text = "```python\nprint(1)\n```\n\nA file looks like this:\n\n```text\n2\n```\n"
    assert BLOCKS.run_page(page(tmp_path, text)).compared == 0


def test_the_landing_page_runs():
    report = BLOCKS.run_page(ROOT / "docs/index.md")
    assert (report.compared, report.faults) == (1, [])
