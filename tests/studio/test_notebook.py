"""The notebook: what each object displays, and the widget executed in a real kernel."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import backlight as bl
from backlight.errors import UsageError
from backlight.studio.notebook import answer, page_of, show, subject_of
from backlight.studio.session import Session
from backlight.studio.subjects import TraceSubject

DATA = bl.data.load("moons", n=30)


def network() -> bl.nn.Sequential:
    return bl.nn.Sequential(bl.nn.Linear(2, 3), bl.nn.Tanh(), bl.nn.Linear(3, 2), seed=0)


def trained() -> bl.Run:
    return bl.fit(network(), DATA, loss=bl.nn.cross_entropy, epochs=3, seed=0)


def loss() -> bl.Tensor:
    w = bl.param(1.0, name="w")
    return (w * 3.0 - 2.0) ** 2


# ---- displays ------------------------------------------------------------------------------------


def test_each_object_displays_itself() -> None:
    run = trained()
    kinds = {
        "tensor": (bl.param([1.0, 2.0], name="w"), {"text/html", "text/latex"}),
        "derivation": (bl.explain(loss(), "w"), {"text/html", "text/latex"}),
        "whole": (bl.explain(bl.sum(bl.param([1.0, 2.0], name="v") ** 2), "v"), {"text/html"}),
        "trace": (bl.record(loss()), {"text/html", "image/svg+xml"}),
        "run": (run, {"text/html", "image/svg+xml"}),
        "network": (run.net, {"text/html"}),
    }
    for name, (what, wanted) in kinds.items():
        bundle = what._repr_mimebundle_()
        assert bundle["text/plain"], name
        assert wanted <= set(bundle), name
        if "image/svg+xml" in bundle:
            assert ElementTree.fromstring(bundle["image/svg+xml"]).tag.endswith("svg")


def test_a_tensor_displays_its_value_and_gradient() -> None:
    w = bl.param(3.0, name="w")
    (w * w).backward()
    bundle = w._repr_mimebundle_()
    assert bundle["text/latex"] == "$w = 3$"
    assert "6." in bundle["text/html"] and "gradient" in bundle["text/html"]
    matrix = bl.param([[1.0, -2.0]], name="M")._repr_mimebundle_()["text/latex"]
    assert "pmatrix" in matrix and "1 & -2" in matrix
    assert "text/latex" not in bl.param([float("nan")], name="n")._repr_mimebundle_()
    assert bl.tensor([True, False])._repr_mimebundle_()["text/plain"]
    assert bl.tensor([[]])._repr_mimebundle_()["text/plain"]


def test_names_are_escaped() -> None:
    bundle = bl.param(1.0, name="<script>")._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"]


# ---- the widget ----------------------------------------------------------------------------------


def report_of(page: str) -> dict[str, Any]:
    found = re.search(r'id="backlight-report">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_relays_what_it_has_no_answer_to() -> None:
    session = Session(TraceSubject(bl.record(loss())))
    report = report_of(page_of(session))
    assert report["relay"] and not report["hello"]["state"]["live"]
    assert {each["do"] for each in report["answers"]} == {"trace", "outline"}
    found = answer(session, {"backlight": {"id": 7, "do": "explain", "target": "w"}})
    assert found is not None and found["id"] == 7 and found["ok"]["value"] == 6.0
    at = {"edits": [{"node": "w", "index": [], "value": 0.0}]}
    found = answer(session, {"backlight": {"id": 8, "do": "explain", "target": "w", "at": at}})
    assert found is not None and found["ok"]["value"] == -12.0


@pytest.mark.parametrize(
    "content",
    [
        {"id": 1, "do": "open", "what": {"kind": "formula", "text": "a"}},
        {"id": 1, "do": "train", "action": "start"},
        {"id": 1, "do": "explain", "target": "nothing"},
        {"id": 1},
    ],
)
def test_a_page_in_a_notebook_may_only_look(content: dict[str, Any]) -> None:
    session = Session(TraceSubject(bl.record(loss())))
    found = answer(session, {"backlight": content})
    assert found is not None and found["error"]["message"]
    assert answer(session, "junk") is None and answer(session, {"other": 1}) is None


def test_what_can_be_shown() -> None:
    net = network()
    X, y = DATA.X[:5], DATA.y[:5]
    assert subject_of(loss()).trace is not None
    assert subject_of(net, (X, y), bl.nn.cross_entropy).to_dict()["title"] == "Sequential"
    assert subject_of(trained()).to_dict()["kind"] == "run"
    assert subject_of("a*b", at={"a": 2}).to_dict()["at"] == {"a": 2, "b": 1.0}
    with pytest.raises(UsageError, match="shown on data"):
        subject_of(net)
    for wrong in (3, object(), print):
        with pytest.raises(UsageError, match="a run"):
            subject_of(wrong)


def test_without_the_extra_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from backlight.studio import notebook

    notebook._widget_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(bl.BacklightError, match="backlight\\[notebook\\]"):
        show(loss())
    notebook._widget_class.cache_clear()


CELLS = """
import backlight as bl
from backlight.studio.notebook import show
data = bl.data.load("moons", n=30)
net = bl.nn.Sequential(bl.nn.Linear(2, 3), bl.nn.Tanh(), bl.nn.Linear(3, 2), seed=0)
run = bl.fit(net, data, loss=bl.nn.cross_entropy, epochs=3)
w = bl.param(1.0, name="w")
loss = (w * 3.0 - 2.0) ** 2
---
w
---
bl.explain(loss, w)
---
bl.record(loss)
---
run
---
net
---
show(run)
---
widget = show(loss)
sent = []
widget.send = sent.append
widget._handle_custom_msg({"backlight": {"id": 1, "do": "explain", "target": "w"}}, [])
sent[0]["backlight"]["ok"]["value"]
"""


def test_a_notebook_is_executed(tmp_path: Path) -> None:
    pytest.importorskip("anywidget")
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(each.strip()) for each in CELLS.split("---")]
    book = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [cell.outputs[-1].get("data", {}) for cell in book.cells[1:]]
    tensor, derivation, trace, run, net, widget, value = shown
    for each in (tensor, derivation, trace, run, net):
        assert each["text/plain"] and each["text/html"]
    assert "text/latex" in tensor and "text/latex" in derivation
    assert "image/svg+xml" in trace and "image/svg+xml" in run
    model = widget["application/vnd.jupyter.widget-view+json"]["model_id"]
    state = book.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert report_of(state[model]["state"]["page"])["hello"]["state"]["subject"]["kind"] == "run"
    assert value["text/plain"] == "6.0"
