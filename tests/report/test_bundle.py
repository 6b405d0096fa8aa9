"""One file of the page and its data: modules in order, nothing from outside, nothing unescaped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import backlight as bl
from backlight.errors import DataError, UsageError
from backlight.report import bundle as bundling
from backlight.report.bundle import LOADER, bundle, embedded, sources

INDEX = """<!doctype html>
<html lang="en"><head><title>Old</title>
<link rel="stylesheet" href="./style.css">
<script type="module" src="./app.js"></script>
</head><body><main></main></body></html>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vendor").mkdir()
    files = {
        "index.html": INDEX,
        "style.css": "main { color: red }",
        "app.js": 'import { a } from "./a.js";\nimport "./b.js";\nexport default a;\n',
        "a.js": "import {v as w}from'./vendor/v.js'\nexport const a = w;\n",
        "b.js": 'import { a } from "./a.js";\nexport * from "./vendor/v.js";\n',
        "vendor/v.js": "export const v = 1;\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_modules_stand_after_what_they_import(folder: Path) -> None:
    made = sources("app.js", folder)
    assert list(made)[-1] == "app.js" and set(made) == {"app.js", "a.js", "b.js", "vendor/v.js"}
    order = list(made)
    assert order.index("vendor/v.js") < order.index("a.js") < order.index("b.js")
    assert 'from"backlight:vendor/v.js"' in made["a.js"]
    assert 'from "backlight:a.js"' in made["b.js"]


def test_circles_missing_files_and_script_tags_are_said(folder: Path) -> None:
    (folder / "vendor" / "v.js").write_text('import "../app.js";')
    with pytest.raises(DataError, match="circle"):
        sources("app.js", folder)
    (folder / "vendor" / "v.js").write_text("const t = '</script>';")
    with pytest.raises(DataError, match="script tag"):
        sources("app.js", folder)
    (folder / "vendor" / "v.js").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        sources("app.js", folder)
    (folder / "a.js").write_text('import "../../secret.js";')
    with pytest.raises(DataError, match="outside"):
        sources("app.js", folder)


def test_the_page_refers_to_nothing_outside(folder: Path) -> None:
    page = bundle({"answers": []}, title="A <b> & c", folder=folder)
    assert "A &lt;b&gt; &amp; c" in page and "<title>Old</title>" not in page
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "main { color: red }" in page
    assert page.index('data-module="vendor/v.js"') < page.index('data-module="app.js"')
    assert LOADER in page


def test_data_cannot_break_out_of_its_tag() -> None:
    text = embedded({"a": "</script><script>alert(1)</script><!--", "b": "\u2028é"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><script>alert(1)</script><!--", "b": "\u2028é"}


def test_names_of_the_user_are_escaped_in_the_whole_report() -> None:
    w = bl.param(2.0, name="</script><img src=x onerror=alert(1)>")
    from backlight.report.build import trace_report

    page = trace_report(bl.record(w * w))
    assert "<img" not in page


def test_a_trace_is_saved_in_each_form(tmp_path: Path) -> None:
    w = bl.param(2.0, name="w")
    trace = bl.record((w * 3.0 - 1.0) ** 2)
    page = trace.save(tmp_path / "run.html").read_text("utf-8")
    found = re.search(r'id="backlight-report">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    report = json.loads(found[1])
    assert report["hello"]["state"]["subject"]["kind"] == "trace"
    explained = [each for each in report["answers"] if each["do"] == "explain"]
    assert "w" in {each["target"] for each in explained}
    assert all("ok" in each for each in explained)
    assert "<noscript>" in page
    assert "default-src &#x27;none&#x27;" in page  # whatever the sources name, nothing is fetched
    assert trace.save(tmp_path / "run.svg").read_text("utf-8").startswith("<svg")
    with pytest.raises(UsageError, match=r"\.json, \.html or \.svg"):
        trace.save(tmp_path / "run.pdf")


def test_without_the_page_a_plain_page_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "page_folder", lambda: tmp_path)
    w = bl.param(2.0, name="w")
    page = bl.record(w * w).save(tmp_path / "run.html").read_text("utf-8")
    assert "<table>" in page and "backlight-report" not in page
