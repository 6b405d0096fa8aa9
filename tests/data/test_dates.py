"""Dates as features: against Python's own calendar, in every form, from text and from Arrow."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from backlight.data import (
    Column,
    Preprocessor,
    from_frame,
    preprocessing_from_dict,
    read,
    read_rows,
)
from backlight.data.dates import PARTS, parts_of, parts_of_texts
from backlight.data.dates import read as read_date
from backlight.errors import DataError

DATES = [
    datetime.datetime(1969, 12, 31, 23, 59, 30), datetime.datetime(1970, 1, 1),
    datetime.datetime(1900, 3, 1, 6), datetime.datetime(2000, 2, 29, 12, 30),
    datetime.datetime(2024, 12, 31, 18, 45), datetime.datetime(1583, 1, 1),
    datetime.datetime(2100, 3, 1),
]  # fmt: skip


def by_calendar(date):
    hour = date.hour + date.minute / 60 + date.second / 3600
    return [date.year, date.month, date.weekday(), date.timetuple().tm_yday, hour]


def test_parts_are_those_of_the_calendar():
    expected = [by_calendar(each) for each in DATES]
    np.testing.assert_allclose(parts_of(np.array(DATES, "datetime64[us]")), expected, rtol=1e-15)
    for layout, form in (
        ("ymd", "%Y-%m-%d %H:%M:%S"), ("ymd", "%Y/%m/%dT%H:%M:%S.000Z"),
        ("dmy", "%d.%m.%Y %H:%M:%S+02:00"), ("mdy", "%m/%d/%Y %H:%M:%S"),
    ):  # fmt: skip
        texts = [each.strftime(form) for each in DATES]
        found, wrong = parts_of_texts(texts, layout)
        assert wrong is None
        np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize(
    "text",
    ["2024-02-30", "2023-02-29", "24-01-01", "2024-1", "2024-01/02", "2024-01-01 25:00",
     "2024-01-01 10:60", "2024-01-01 10:00:60", "0000-01-01", "x"],
)  # fmt: skip
def test_what_is_no_date(text):
    assert read_date(text, "ymd") is None


def table(tmp_path, values, name="t.csv"):
    path = tmp_path / name
    lines = [f"{value},{k % 7 + 0.5}" for k, value in enumerate(values)]
    path.write_text("when,y\n" + "\n".join(lines) + "\n")
    return path


def days(form, count=60):
    first = datetime.date(2023, 12, 1)
    return [(first + datetime.timedelta(k)).strftime(form) for k in range(count)]


@pytest.mark.parametrize(
    ("form", "layout"), [("%Y-%m-%d", "ymd"), ("%d.%m.%Y", "dmy"), ("%m/%d/%Y", "mdy"),
                         ("%d/%m/%Y", "dmy")],
)  # fmt: skip
def test_the_order_of_day_and_month_is_found_out(tmp_path, form, layout):
    # The first days leave it open: more rows than are read at once, so that it shows late.
    texts = [days(form, 12)[0]] * 5000 + days(form)
    data = read(table(tmp_path, texts))
    assert data.feature_names == ("when year", "when month", "when weekday", "when yearday")
    assert {(each.date, each.layout) for each in data.columns} == {("when", layout)}
    first = datetime.date(2023, 12, 1)
    wanted = by_calendar(datetime.datetime.combine(first, datetime.time()) + datetime.timedelta(59))
    np.testing.assert_array_equal(data.X[-1], np.float32(wanted[:4]))


def test_what_stays_unclear_is_left_out(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"{k % 12 + 1}/{k % 7 + 1}/2024,{k},{k % 3 + 0.5}" for k in range(60)]
    path.write_text("when,x,y\n" + "\n".join(rows) + "\n")
    data = read(path)
    assert data.feature_names == ("x",)
    (out,) = data.left_out
    assert out.kind == "date" and "day and month cannot be told apart" in out.reason


def test_a_column_that_is_dates_at_first_only_is_text(tmp_path):
    path = table(tmp_path, days("%Y-%m-%d", 30) * 200 + ["soon"])
    (column,) = read(path).columns
    assert (column.kind, len(column.categories)) == ("category", 31)


def test_gaps_are_marked_once_and_learnt_from_the_training_rows(tmp_path):
    data = read(table(tmp_path, ["", *days("%Y-%m-%d")]))
    learnt = Preprocessor.fit(data.X[:20], data.columns)
    assert [name for name in learnt.feature_names if "missing" in name] == ["when year is missing"]
    scaled = learnt.apply(data.X[:20])
    assert abs(scaled[:, -1].mean()) < 1e-6 and scaled[0, -1] == 0
    again = preprocessing_from_dict(learnt.to_dict())
    assert again.columns == tuple(
        Column(each.name, date="when", part=each.part, layout="ymd") for each in data.columns
    )
    np.testing.assert_array_equal(again.apply(data.X), learnt.apply(data.X))


def test_rows_to_predict_for_may_have_the_columns_in_any_order(tmp_path):
    data = read(table(tmp_path, days("%d.%m.%Y")))
    wanted = [data.columns[3], Column("x"), data.columns[1]]
    path = tmp_path / "new.csv"
    path.write_text("x,when\n1.5,29.2.2024\n2.5,\n3,2024-02-01\n")
    found = read_rows(path, wanted)
    np.testing.assert_array_equal(
        found, np.float32([[60, 1.5, 2], [np.nan, 2.5, np.nan], [32, 3, 2]])
    )
    with pytest.raises(DataError, match="'when'"):
        read_rows(table(tmp_path, ["x"], "other.csv"), [Column("w", date="gone", part="year")])


@pytest.mark.parametrize("kind", ["timestamp", "zone", "date32", "dictionary", "text"])
def test_arrow(kind):
    pa = pytest.importorskip("pyarrow")
    moments = [None, *(datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=31 * k)
                       for k in range(60))]  # fmt: skip
    if kind == "text":
        column = pa.array([each and each.isoformat(sep=" ") for each in moments])
    else:
        to = {"zone": pa.timestamp("ms", "UTC"), "date32": pa.date32()}
        column = pa.array(moments, to.get(kind, pa.timestamp("ns")))
        column = column.dictionary_encode() if kind == "dictionary" else column
    frame = pa.table({"when": column, "y": [k % 7 + 0.5 for k in range(61)]})
    data = from_frame(frame, "y")
    parts = PARTS[1:] if kind != "date32" else PARTS[1:4]
    assert data.feature_names == tuple(f"when {part}" for part in parts)
    expected = [by_calendar(each)[1 : 1 + len(parts)] for each in moments[1:]]
    np.testing.assert_array_equal(data.X[1:], np.float32(expected))
    assert np.isnan(data.X[0]).all()
    np.testing.assert_array_equal(from_frame(frame.slice(0, 9), "y", like=data).X, data.X[:9])


def test_a_constant_date_says_nothing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("when,x,y\n" + "".join(f"2024-01-05,{k},{k}.5\n" for k in range(9)))
    (out,) = read(path).left_out
    assert (out.name, out.kind) == ("when", "constant") and "one date" in out.reason
