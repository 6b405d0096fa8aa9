"""Tables of mixed columns, by whichever door they come in: CSV, Parquet, Arrow, data frames."""

from __future__ import annotations

import builtins
import datetime

import numpy as np
import pytest

from backlight.data import Column, from_frame, is_frame, read, read_rows
from backlight.data import rows as rows_module
from backlight.data.rows import FileRows
from backlight.errors import DataError, UsageError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
feather = pytest.importorskip("pyarrow.feather")

ROWS = 30
TOWNS = [["Ulm", "Bonn", "Kiel", None][k % 4] for k in range(ROWS)]
SIZES = [None if k % 7 == 3 else k * 1.5 for k in range(ROWS)]
TABLE = {
    "user_id": list(range(ROWS)),
    "size": SIZES,
    "town": TOWNS,
    "when": [datetime.date(2024, 1, 1 + k % 28) for k in range(ROWS)],
    "unit": ["cm"] * ROWS,
    "gone": [None] * ROWS,
    "remark": [f"remark number {k}" for k in range(ROWS)],
    "count": [k % 5 for k in range(ROWS)],
    "kind": [None if k == 5 else ["no", "yes"][k % 3 == 0] for k in range(ROWS)],
}
KEPT = [k for k in range(ROWS) if k != 5]


def arrow_table():
    return pa.table({**TABLE, "gone": pa.array([None] * ROWS, pa.float64())})


@pytest.fixture(
    params=["csv", "parquet", "arrow", "feather", "stream", "pandas", "polars", "lazy", "pyarrow"]
)
def mixed(request, tmp_path):
    """Read the same table through one of the doors."""
    door = request.param
    table = arrow_table()
    path = tmp_path / f"t.{door}"
    if door == "csv":
        import csv

        with path.open("w", newline="") as out:
            csv.writer(out).writerow(TABLE)
            csv.writer(out).writerows(zip(*TABLE.values(), strict=True))
    elif door == "parquet":
        parquet.write_table(table, path, row_group_size=7)
    elif door == "arrow":
        with pa.ipc.new_file(path, table.schema) as out:
            for start in range(0, ROWS, 7):
                out.write_table(table.slice(start, 7))
    elif door == "stream":
        path = tmp_path / "t.arrow"
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table)
    elif door == "feather":
        feather.write_feather(table, str(path))
    else:
        if door == "pandas":
            pytest.importorskip("pandas")
            frame = table.to_pandas()
        elif door in ("polars", "lazy"):
            polars = pytest.importorskip("polars")
            frame = polars.from_arrow(table)
            frame = frame.lazy() if door == "lazy" else frame
        else:
            frame = table
        assert is_frame(frame)
        return from_frame(frame, "kind")
    return read(path, "kind")


def test_every_door_gives_the_same(mixed):
    assert mixed.feature_names == ("size", "town", "when weekday", "when yearday", "count")
    size, town, *_ = mixed.columns
    assert (size.kind, size.missing) == ("number", sum(SIZES[k] is None for k in KEPT))
    assert (town.kind, town.categories) == ("category", ("Ulm", "Bonn", "Kiel"))
    assert town.missing == sum(TOWNS[k] is None for k in KEPT)
    expected = np.array(
        [
            [
                np.nan if SIZES[k] is None else SIZES[k],
                np.nan if TOWNS[k] is None else ["Ulm", "Bonn", "Kiel"].index(TOWNS[k]),
                TABLE["when"][k].weekday(),
                TABLE["when"][k].timetuple().tm_yday,
                k % 5,
            ]
            for k in KEPT
        ],
        np.float32,
    )
    np.testing.assert_array_equal(mixed.X, expected, strict=True)
    assert [mixed.class_names[code] for code in mixed.y] == [TABLE["kind"][k] for k in KEPT]
    assert {each.name: each.kind for each in mixed.left_out} == {
        "user_id": "identifier", "unit": "constant", "gone": "empty",
        "remark": "text",
    }  # fmt: skip
    assert mixed.remarks == ("1 row has no 'kind' and is left out.",)


def write(tmp_path, name="t.parquet", **columns):
    path = tmp_path / name
    parquet.write_table(pa.table(columns), path)
    return path


def test_rows_to_predict_for_are_coded_as_in_training(tmp_path):
    columns = [Column("town", "category", ("Ulm", "Bonn")), Column("size")]
    rows = {"size": [1.5, None, 3.0], "town": ["Bonn", "Rome", None], "more": ["x", "y", "z"]}
    expected = np.array([[1, 1.5], [-1, np.nan], [np.nan, 3]], np.float32)
    path = write(tmp_path, **rows)
    np.testing.assert_array_equal(read_rows(path, columns), expected, strict=True)
    csv = tmp_path / "t.csv"
    csv.write_text("size,more,town\n1.5,x,Bonn\n,y,Rome\n3,z,\n")
    np.testing.assert_array_equal(read_rows(csv, columns), expected, strict=True)
    for file in (path, csv):
        with pytest.raises(DataError, match=r"lacks columns .*: 'age', 'sizes' .did you mean"):
            read_rows(file, [*columns, Column("age"), Column("sizes")])
        with pytest.raises(DataError, match=r"column 'more', holds"):
            read_rows(file, [Column("more")])


@pytest.mark.parametrize(
    ("values", "task", "names"),
    [
        ([0, 1] * 5, "classification", ("0", "1")),
        ([0.5, 1.5] * 5, "regression", None),
        ([0.0, 1.0] * 5, "regression", None),
        ([True, False] * 5, "classification", ("False", "True")),
        (["b", "a"] * 5, "classification", ("a", "b")),
        ([1, None] + [2] * 8, "classification", ("1", "2")),
        (list(range(10)), "regression", None),
    ],
)
def test_the_target_is_inferred(tmp_path, values, task, names):
    data = read(write(tmp_path, a=list(range(10, 110, 10)), y=values), "y")
    assert (data.task, data.class_names) == (task, names)


def test_several_targets(tmp_path):
    path = write(tmp_path, a=[1.0, 2.0, 3.0], b=[0, 1, 1], c=[0, 1, 0], d=[1.5, 2.5, 3.5])
    csv = tmp_path / "t.csv"
    csv.write_text("a,b,c,d\n1,0,0,1.5\n2,1,1,2.5\n3,1,0,3.5\n")
    for file in (path, csv):
        labels = read(file, "b,c")
        assert (labels.task, labels.class_names) == ("labels", ("b", "c"))
        np.testing.assert_array_equal(labels.y, [[0, 0], [1, 1], [1, 0]])
        numbers = read(file, ["c", "d"])
        assert (numbers.task, numbers.class_names) == ("regression", None)
        np.testing.assert_array_equal(numbers.y, [[0, 1.5], [1, 2.5], [0, 3.5]])
        assert numbers.target_name == "c, d"


def test_types_that_cannot_be_used_are_left_out_aloud(tmp_path):
    data = read(
        write(
            tmp_path,
            a=[1.0, 2.0, 3.0],
            lists=[[1], [2], [3]],
            raw=[b"a", b"b", b"c"],
            y=[0, 1, 0],
        )
    )
    assert data.feature_names == ("a",)
    assert {each.name: each.kind for each in data.left_out} == {"lists": "other", "raw": "other"}
    with pytest.raises(DataError, match=r"column 'lists', holds list.*cannot be a target"):
        read(tmp_path / "t.parquet", "lists")


def test_arrows_own_types(tmp_path):
    import decimal

    path = tmp_path / "t.parquet"
    parquet.write_table(
        pa.table(
            {
                "half": pa.array([1, 2, None, 4], pa.float32()).cast(pa.float16()),
                "small": pa.array([1, 2, 3, None], pa.uint8()),
                "yes": pa.array([True, None, False, True]),
                "money": pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("3"), None]),
                "word": pa.array(["a", "b", "a", None]).dictionary_encode(),
                "a.b": pa.array([1.0, 2.0, 3.0, 4.0]),
                "y": pa.array([0, 1, 0, 1]),
            }
        ),
        path,
    )
    data = read(path, "y")
    np.testing.assert_array_equal(
        data.X,
        np.array(
            [
                [1, 1, 1, 1.25, 0, 1],
                [2, 2, np.nan, np.nan, 1, 2],
                [np.nan, 3, 0, 3, 0, 3],
                [4, np.nan, 1, np.nan, np.nan, 4],
            ]
        ),
    )


def test_pandas_frames_with_their_own_types():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "n": pandas.array([1, 2, None, 4], dtype="Int64"),
            "c": pandas.Categorical(["lo", "hi", "lo", None], categories=["lo", "mid", "hi"]),
            "o": ["x", None, "y", "x"],
            "y": [1.5, 2.5, 3.5, 4.5],
        }
    )
    data = from_frame(frame, "y")
    assert [each.kind for each in data.columns] == ["number", "category", "category"]
    assert data.task == "regression"
    with pytest.raises(DataError, match="give its columns one type each"):
        from_frame(pandas.DataFrame({"a": [1, "x", 2.5], "y": [1, 2, 3]}), "y")
    with pytest.raises(DataError, match="no rows"):
        from_frame(frame[:0], "y")
    with pytest.raises(DataError, match=r"no column 'z'.*'n', 'c', 'o', 'y'"):
        from_frame(frame, "z")


def bad(tmp_path, content, name="t.parquet"):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def test_files_that_cannot_be_used(tmp_path):
    whole = write(tmp_path, a=[1.0, 2.0], y=[0, 1]).read_bytes()
    assert "is empty" in bad(tmp_path, b"")
    assert "no readable Parquet file" in bad(tmp_path, whole[:-9])
    assert "no readable Parquet file" in bad(tmp_path, b"PAR1" + b"\0" * 50 + b"PAR1")
    assert "no readable Arrow file" in bad(tmp_path, b"ARROW1\0\0nonsense", "t.arrow")
    assert "no column beside its target" in bad(tmp_path, write(tmp_path, a=[1, 2]).read_bytes())
    assert "in every row" in bad(tmp_path, write(tmp_path, a=[1, 1], y=[1, 2]).read_bytes())
    assert "holds 1 row" in bad(tmp_path, write(tmp_path, a=[1], y=[1]).read_bytes())
    infinite = write(tmp_path, a=[1.0, np.inf], y=[1, 2]).read_bytes()
    assert "column 'a', is infinite in row 1" in bad(tmp_path, infinite)
    huge = write(tmp_path, a=[1.0, 1e300], y=[1, 2]).read_bytes()
    assert "too large for float32" in bad(tmp_path, huge)
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(DataError, match="is a folder where a Parquet file"):
        read(tmp_path / "folder.parquet")
    table = pa.Table.from_arrays([pa.array([1, 2])] * 3, names=["a", "a", "y"])
    parquet.write_table(table, tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="more than one column called 'a'"):
        read(tmp_path / "twice.parquet")
    with pytest.raises(UsageError, match="task='guess'"):
        read(tmp_path / "twice.parquet", task="guess")


def test_without_pyarrow_one_sentence_names_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path, a=[1.0, 2.0], y=[0, 1])
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.split(".")[0] in ("pyarrow", "narwhals"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(
        DataError, match=r"needs? the extra 'data': pip install 'backlight\[data\]'"
    ):
        read(path)
    with pytest.raises(DataError, match=r"need the extra 'data'"):
        from_frame(pa.table({"a": [1]}), "a")


@pytest.mark.parametrize("together", [1, 32])
def test_large_tables_lie_in_a_file_and_are_the_same(tmp_path, monkeypatch, together):
    rng = np.random.default_rng(0)
    path = write(
        tmp_path,
        a=rng.normal(size=500),
        b=[["x", "y", None][k % 3] for k in range(500)],
        y=[None if k % 50 == 0 else k % 2 for k in range(500)],
    )
    here = read(path)
    monkeypatch.setattr(rows_module, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr("backlight.data.arrow_table.ROWS_AT_ONCE", 64)
    monkeypatch.setattr("backlight.data.arrow_table.COLUMNS_AT_ONCE", together)
    there = read(path)
    assert type(here.X) is np.ndarray and type(there.X) is FileRows
    np.testing.assert_array_equal(np.asarray(there.X), here.X)
    assert there.fingerprint() == here.fingerprint()
    for mine, theirs in zip(here.split(0.3, 4), there.split(0.3, 4), strict=True):
        assert type(theirs.X) is FileRows
        assert mine.fingerprint() == theirs.fingerprint()


def test_wide_tables(tmp_path):
    wide = {f"c{k}": [k, k + 1.0, k + 2] for k in range(2000)}
    assert read(write(tmp_path, **wide, y=[0, 1, 0])).X.shape == (3, 2000)
    csv = tmp_path / "wide.csv"
    rows = [",".join(str(value) for value in row) for row in zip(*wide.values(), strict=True)]
    csv.write_text(",".join(wide) + "\n" + "\n".join(rows) + "\n")
    assert read(csv).X.shape == (3, 1999)
    with pytest.raises(DataError, match=r"'c1'.*and 1992 more") as caught:
        read(csv, "nothing")
    assert len(str(caught.value)) < 300


def test_a_target_without_values_is_named(tmp_path):
    path = write(tmp_path, x=[1, 2, 3], y=pa.nulls(3))
    with pytest.raises(DataError, match="0 rows of data with a value of 'y'"):
        read(path)


def test_times_of_day_and_durations_are_no_dates(tmp_path):
    path = write(tmp_path, t=pa.array([1, 2], pa.time32("s")), d=pa.array([1, 2], pa.duration("s")),
                 x=[1, 2], y=[0, 1])  # fmt: skip
    data = read(path)
    assert {each.name: each.kind for each in data.left_out} == {"t": "other", "d": "other"}


def test_a_column_of_dates_cannot_become_numbers(tmp_path):
    path = write(tmp_path, when=[5])
    with pytest.raises(DataError, match="'when', holds int64 where dates belong"):
        read_rows(path, [Column("when year", date="when", part="year")])
    text = write(tmp_path, when=["2024-01-05", "soon"])
    with pytest.raises(DataError, match="holds 'soon' in row 1"):
        read_rows(text, [Column("when year", date="when", part="year", layout="ymd")])
