"""`backlight train` and `predict` on tables: what is shown, learnt, stored and applied."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from backlight.cli import main
from backlight.data import rows as rows_module
from backlight.data.rows import FileRows

QUICK = ["--hidden", "8", "--epochs", "3"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def trained(*arguments: str) -> dict[str, object]:
    result = invoke("train", *arguments, *QUICK, "--quiet", "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def predicted(*arguments: str) -> list[list[str]]:
    result = invoke("predict", *arguments)
    assert result.exit_code == 0, result.stderr
    return list(csv.reader(io.StringIO(result.stdout)))


def refused(*arguments: str) -> str:
    result = invoke(*arguments)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.stderr and result.stdout == ""
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return sentence


def mixed(path: str = "shop.csv", rows: int = 90) -> Path:
    """Write a table with all kinds of columns, from which ``buys`` can be learnt."""
    lines = ["id,age,town,since,shop,note,buys"]
    for k in range(rows):
        age = "" if k % 10 == 3 else str(20 + k % 31)
        town = ["Ulm", "Bonn", "Kiel"][k % 3]
        lines.append(f"{k},{age},{town},2024-01-{1 + k % 28:02},one,note {k},{'yn'[k % 3 == 0]}")
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Path(path)


def test_the_columns_are_shown() -> None:
    mixed()
    result = invoke("train", "shop.csv", "--target", "buys", *QUICK)
    assert result.exit_code == 0, result.stderr
    shown = result.stderr.splitlines()
    assert shown[0] == "shop: 90 rows, 7 columns, 7 inputs to the network"
    table = [line.split(maxsplit=2) for line in shown[1:10]]
    assert table[0] == ["column", "type", "gaps  becomes"]
    assert table[1] == ["age", "number", "9  scaled; gaps filled with the mean and marked"]
    assert table[2] == ["town", "category", "one of 3: Bonn, Kiel, Ulm"]
    assert "since weekday" in shown[4] and "date" in shown[4]
    assert shown[5].endswith("scaled (the day of the year of 'since')")
    assert [line[:2] for line in table[5:8]] == [
        ["id", "identifier"], ["shop", "constant"], ["note", "text"],
    ]  # fmt: skip
    assert all("left out: " in line[2] for line in table[5:8])
    assert table[8] == ["buys", "target", "one of 2: n, y"]
    assert max(map(len, shown[:10])) <= 100
    assert "7-8-2 network" in result.stdout


def test_the_columns_are_in_the_json_and_the_run() -> None:
    mixed()
    found = trained("shop.csv", "--target", "buys", "--out", "run")
    by_name = {each["name"]: each for each in found["columns"]}
    assert by_name["age"]["missing"] == 9
    assert "left_out" in by_name["id"]
    stored = json.loads(Path("run/run.json").read_text())
    assert stored["preprocessing"]["features"]["kind"] == "table"
    assert found["layers"] == [7, 8, 2]


def test_a_long_table_is_cut() -> None:
    names = [f"c{k}" for k in range(60)]
    rows = [",".join(str((k * r) % 7 + r) for k in range(60)) for r in range(30)]
    Path("wide.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    result = invoke("train", "wide.csv", "--target", "c59", *QUICK)
    assert result.exit_code == 0, result.stderr
    assert "and 40 more" in result.stderr
    assert result.stderr.count("\n") < 40


def test_penguins_as_they_are_known() -> None:
    result = invoke("train", "penguins", "--target", "species", *QUICK)
    assert result.exit_code == 0, result.stderr
    assert "bill_length_mm" in result.stderr and "one of 3: Adelie, Chinstrap" in result.stderr
    assert "4-8-3 network" in result.stdout
    result = invoke("train", "digits", *QUICK)
    assert "1,797 images of 8×8; target one of 10" in result.stderr


def test_prediction_fills_gaps_and_takes_new_categories() -> None:
    mixed()
    trained("shop.csv", "--target", "buys", "--out", "run")
    Path("new.csv").write_text(
        "town,more,age,since\nUlm,1,30,2024-01-05\nRome,2,30,2024-02-05\n,3,,\nBonn,4,NA,2024-01-06\n"
    )
    rows = predicted("run", "new.csv", "--proba")
    assert rows[0] == ["buys", "p(n)", "p(y)"]
    assert len(rows) == 5
    for row in rows[1:]:
        assert row[0] in ("y", "n")
        assert float(row[1]) + float(row[2]) == pytest.approx(1, abs=1e-5)
    # An unknown category is none of the known ones, and that is what an empty cell is here too.
    Path("gap.csv").write_text("age,since,town\n30,2024-02-05,\n30,2024-02-05 10:00,Rome\n")
    gap = predicted("run", "gap.csv", "--proba")
    assert gap[1] == gap[2] == rows[2]


def test_all_missing_columns_are_named() -> None:
    mixed()
    trained("shop.csv", "--target", "buys", "--out", "run")
    Path("new.csv").write_text("twon,Age,since\nUlm,30,\n")
    said = refused("predict", "run", "new.csv")
    assert "'age' (did you mean 'Age'?), 'town' (did you mean 'twon'?)" in said
    Path("new.csv").write_text("town,age,since\nUlm,old,\n")
    assert "line 2, column 'age', holds the text 'old'" in refused("predict", "run", "new.csv")
    Path("new.csv").write_text("town,age,since\nUlm,3,\nUlm,3,5.1.2024\n")
    said = refused("predict", "run", "new.csv")
    assert "line 3, column 'since', holds '5.1.2024' where a date like 2024-05-31 belongs" in said


def test_stored_runs_on_tables_are_looked_at_as_others_are() -> None:
    mixed()
    trained("shop.csv", "--target", "buys", "--out", "run")
    for command in (
        ["explain", "run", "--weight", "layers.0.weight[0,0]", "--step", "1"],
        ["diagnose", "run"],
        ["check", "run"],
    ):
        result = invoke(*command)
        assert result.exit_code == 0, (command, result.output)


def test_several_labels() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    lines = [f"{a},{b},{int(a > 0)},{int(b > 0)}" for a, b in X]
    Path("labels.csv").write_text("a,b,left,up\n" + "\n".join(lines) + "\n")
    result = invoke(
        "train", "labels.csv", "--target", "left,up", "--out", "run", "--lr", "0.1", "--hidden", "8"
    )
    assert result.exit_code == 0, result.stderr
    assert "any of 2: left, up" in result.stderr
    assert "% of rows with all labels right" in result.stdout
    rows = predicted("run", "labels.csv", "--proba")
    assert rows[0] == ["left", "up", "p(left)", "p(up)"]
    right = [
        [int(v) for v in row[:2]] == [a > 0, b > 0] for row, (a, b) in zip(rows[1:], X, strict=True)
    ]
    assert np.mean(right) > 0.8
    assert invoke("check", "run").exit_code == 0


def test_npz_needs_no_target_to_predict() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 3)), np.arange(50) % 2
    np.savez("set.npz", X=X, y=y)
    trained("set.npz", "--out", "run")
    np.savez("new.npz", X=X)
    assert predicted("run", "new.npz") == predicted("run", "set.npz")
    np.savez("narrow.npz", X=X[:, :2])
    assert "has 2 features in a row" in refused("predict", "run", "narrow.npz")
    np.savez("none.npz", Z=X)
    assert "has no array 'X' (it holds 'Z')" in refused("predict", "run", "none.npz")
    np.save("new.npy", X)
    assert predicted("run", "new.npy") == predicted("run", "set.npz")
    Path("gap.csv").write_text("x0,x1,x2\n1,,3\n")
    assert "has no 'x1' in row 0" in refused("predict", "run", "gap.csv")


def test_parquet_in_a_file_is_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    town = [["x", "y", None][k % 3] for k in range(400)]
    parquet.write_table(pa.table({"a": a, "town": town, "y": (a > 0).astype(int)}), "t.parquet")
    options = ["t.parquet", "--target", "y", "--validation", "0.1"]
    here = trained(*options, "--out", "here")
    monkeypatch.setattr(rows_module, "IN_MEMORY_BYTES", 500)
    monkeypatch.setattr("backlight.train.batches.AHEAD_BYTES", 2000)
    seen = []
    gather = FileRows._gather
    monkeypatch.setattr(
        FileRows, "_gather", lambda self, rows: seen.append(0) or gather(self, rows)
    )
    there = trained(*options, "--out", "there")
    assert seen
    for found in (here, there):
        for key in ("seconds", "run"):
            found.pop(key)
        found["history"].pop("seconds")
    assert here == there
    # Which states are kept on the way depends on how many steps a call takes; what is trained not.
    weights = [Path(each, "weights.safetensors").read_bytes() for each in ("here", "there")]
    assert weights[0] == weights[1]
    explain = ["--weight", "layers.0.weight[0,0]", "--step", "5"]
    assert invoke("explain", "there", *explain).stdout == invoke("explain", "here", *explain).stdout
    assert predicted("there", "t.parquet") == predicted("here", "t.parquet")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a;b\n1,5;2,5\n2.5;3,5\n", "a number with a comma"),
        ("id,name,y\n" + "".join(f"{k},n{k},{k % 2}\n" for k in range(40)), "no column to learn"),
        ("a,a,y\n1,2,3\n", "gives the name 'a' to column 1 and to column 2"),
        (b"a,y\n\xe4,1\nx,2\n", "not text in UTF-8"),
    ],
)
def test_tables_that_cannot_be_used(content: str | bytes, says: str) -> None:
    Path("t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert says in refused("train", "t.csv", *QUICK)


def test_the_task_can_be_said_and_is_kept_with_the_run() -> None:
    lines = [f"{k % 17},{k % 5}" for k in range(60)]
    Path("stars.csv").write_text("x,stars\n" + "\n".join(lines) + "\n")
    assert trained("stars.csv", "--out", "classes")["layers"] == [1, 8, 5]
    found = trained("stars.csv", "--task", "regression", "--out", "numbers")
    assert found["layers"] == [1, 8, 1]
    assert predicted("numbers", "stars.csv")[0] == ["stars"]
    weight = "layers.0.weight[0,0]"
    assert invoke("explain", "numbers", "--weight", weight).exit_code == 0
    assert "wrong" not in refused("train", "stars.csv", "--task", "labels")


def test_a_class_of_a_single_row_is_remarked_on() -> None:
    rows = [f"{k},{'ab'[k % 2]}" for k in range(30)]
    Path("rare.csv").write_text("x,y\n" + "\n".join([*rows, "7,c"]) + "\n")
    result = invoke("train", "rare.csv", *QUICK)
    assert "Class 'c' has a single row" in result.stderr


def test_line_ends_in_values_do_not_break_the_table_of_columns() -> None:
    rows = [f'{k},"one\ntwo{k % 3}",{k % 2}' for k in range(30)]
    Path("lines.csv").write_text("x,text,y\n" + "\n".join(rows) + "\n")
    result = invoke("train", "lines.csv", *QUICK)
    assert r"one of 3: one\ntwo0, one\ntwo1" in result.stderr
