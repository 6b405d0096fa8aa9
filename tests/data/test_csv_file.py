"""Reading tables: files and arrays written by hand, and everything that can be wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backlight.data import Column, read_csv, read_features
from backlight.data.csv_file import read_csv_rows
from backlight.errors import DataError, UsageError

GOOD = "a,b,kind\n1,2.5,yes\n-3,4e1,no\n.5,0,yes\n"


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def failure(path, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_csv(path, **options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_reads_numbers_and_text_classes(write):
    data = read_csv(write(GOOD))
    np.testing.assert_array_equal(
        data.X, np.array([[1, 2.5], [-3, 40], [0.5, 0]], dtype=np.float32), strict=True
    )
    np.testing.assert_array_equal(data.y, np.array([1, 0, 1], dtype=np.int64), strict=True)
    assert data.feature_names == ("a", "b")
    assert data.target_name == "kind"
    assert data.class_names == ("no", "yes")
    assert data.task == "classification"
    assert data.name == "t"


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\n\n"),
        "\n  \n" + GOOD,
        "\ufeff" + GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace(",", "|"),
        GOOD.replace(",", " , "),
        '"a","b","kind"\n"1","2.5","yes"\n"-3","4e1","no"\n".5","0","yes"\n',
        '"a";"b";"kind"\n"1";"2.5";"yes"\n"-3";"4e1";"no"\n".5";"0";"yes"\n',
    ],
)
def test_other_spellings_of_the_same_table(write, content):
    data, plain = read_csv(write(content)), read_csv(write(GOOD, "plain.csv"))
    np.testing.assert_array_equal(data.X, plain.X)
    np.testing.assert_array_equal(data.y, plain.y)
    assert data.fingerprint() == plain.fingerprint()


def test_quoted_cells_may_hold_delimiters_quotes_and_line_ends(write):
    text = 'x,"the ""kind"", of"\n1,"a,b"\n2,"a\nb"\n3,"say ""a"""\n4,oops,5\n'
    message = failure(write(text))
    assert "line 6, has 3 fields where line 1 has 2" in message
    data = read_csv(write(text.replace(",5", "")))
    assert data.target_name == 'the "kind", of'
    assert data.class_names == ("a\nb", "a,b", "oops", 'say "a"')


def test_names_beyond_ascii(write):
    data = read_csv(write("größe,вид\n1,да\n2,нет\n"))
    assert data.feature_names == ("größe",)
    assert data.class_names == ("да", "нет")


def test_a_first_row_of_numbers_is_data(write):
    data = read_csv(write("1,2,0\n3,4,1\n"))
    assert data.feature_names == ("column_1", "column_2")
    assert data.target_name == "column_3"
    np.testing.assert_array_equal(data.X, [[1, 2], [3, 4]])


def test_target_can_be_any_column(write):
    data = read_csv(write("y,a,b\n0,1,2\n1,3,4\n"), target="y")
    np.testing.assert_array_equal(data.X, [[1, 2], [3, 4]])
    data = read_csv(write("a,y,b\n1,0,2\n3,1,4\n"), target="y")
    np.testing.assert_array_equal(data.X, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(data.y, [0, 1])


@pytest.mark.parametrize(
    ("column", "task", "names"),
    [
        (["0", "1", "1"], "classification", ("0", "1")),
        (["-1", "1", "1"], "classification", ("-1", "1")),
        (["2.0", "10", "2"], "classification", ("2", "10")),
        (["1", "2", "3"], "regression", None),
        (["1", "2", "3", "1", "2", "3"], "classification", ("1", "2", "3")),
        (["0.5", "1", "0.5", "1"], "regression", None),
        ([str(i % 20) for i in range(40)], "classification", None),
        ([str(i % 21) for i in range(42)], "regression", None),
    ],
)
def test_rule_for_the_target(write, column, task, names):
    data = read_csv(write("x,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(column))))
    assert data.task == task
    if names is not None:
        assert data.class_names == names
        assert [data.class_names[code] for code in data.y] == [
            str(int(float(cell))) for cell in column
        ]
    if task == "regression":
        np.testing.assert_array_equal(data.y, np.array(column, dtype=np.float32), strict=True)


def test_task_overrides_the_rule(write):
    path = write("x,y\n1,0\n2,1\n3,1\n")
    assert read_csv(path, task="regression").y.dtype == np.float32
    path = write("x,y\n1,0.5\n2,1\n3,2.5\n")
    assert read_csv(path, task="classification").class_names == ("0.5", "1", "2.5")
    path = write("x,y\n1,1\n2,2\n3,unknown\n")
    assert read_csv(path, task="classification").class_names == ("1", "2", "unknown")


def test_float64_keeps_what_float32_cannot(write):
    path = write("x,y\n1e300,0.1\n2,0.2\n")
    data = read_csv(path, dtype="float64")
    assert data.X.dtype == data.y.dtype == np.float64
    assert data.X[0, 0] == 1e300
    assert data.y[0] == 0.1
    assert "line 2, column 'x', holds a number that is too large for float32" in failure(path)
    # Python's own sum of these overflows, though each of them is finite.
    wide = read_csv(write("a,b,y\n1.5e308,1.5e308,1\n0,0,2\n"), dtype="float64")
    assert wide.X[0].tolist() == [1.5e308, 1.5e308]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["t.csv is empty"]),
        ("\n\n", ["t.csv is empty"]),
        ("a,b\n", ["0 rows", "below its header", "two or more"]),
        ("a,b\n1,2\n", ["1 row of data", "two or more"]),
        ("a,b\n1,2\n1,2,3\n", ["line 3", "3 fields where line 1 has 2"]),
        ("a,b,c\n1,2,0\n\n1,2\n", ["line 4", "2 fields where line 1 has 3"]),
        ("a,b\n1,2\nred,2\n", ["line 3", "column 'a'", "'red'", "number"]),
        ("a,b\n1,2\n1_000,2\n", ["line 3", "'1_000'"]),
        ("a,b\n1,2\n" + "z" * 500 + ",2\n", ["line 3", "'" + "z" * 40 + "…'"]),
        ("a,b,c\n1,,0\n1,NA,1\n", ["no column to learn from", "'b': it has no value in any row"]),
        ("a,b,c\n1,-inf,0\n1,3,1\n", ["line 2, column 'b', is infinite"]),
        ("a,b\n1,0\n2,\n", ["1 row of data with a target", "two or more"]),
        ("a;b\n1,500;0\n2,500;1\n", ["line 2, column 'a'", "'1,500'", "or for thousands"]),
        ("a;b;c\n1,5;0;0.5\n2,5;1;1.5\n", ["line 2, column 'a'", "'1,5'", "decimal point"]),
        ("a;b;\n1;0;\n2;1;x\n", ["no name for column 3", "line 3 has 'x' in it"]),
        ("a,b\n1,x\n1,y\n", ["'a': it is 1 in every row"]),
        ("a,b\n1,0.5\n2,inf\n", ["line 3, column 'b', is infinite"]),
        ("a,b\n1,yes\n2,yes\n", ["column 'b'", "single class, 'yes'"]),
        ("a,b\n1,7\n2,7\n", ["column 'b'", "single class, '7'"]),
        ("a,b\n1,7.5\n2,7\n3,oops\n", ["line 4, column 'b', holds the text 'oops'"]),
        ("a,b,a\n1,2,3\n1,2,4\n", ["line 1", "'a' to column 1 and to column 3"]),
        ("a,,b\n1,2,3\n3,4,5\n", ["line 1, has no name for column 2"]),
        ("5.1,3.5,setosa\n4.9,3,virginica\n", ["line 1, should name the columns"]),
        ("a\n1\n2\n", ["single column 'a'"]),
        ("a b\n1 2\n2 3\n", ["single column 'a b'", "delimiter"]),
        (b"a,b\n1,\xff\n2,3\n", ["line 2, is not text in UTF-8"]),
        ("a,b\n1,2\n3,4\n".encode("utf-16")[:-1], ["no whole text in UTF-16"]),
        (b"a,b\n1,\0\n2,3\n", ["binary file"]),
        ('a,b\n1,2\n"3,4\n5,6\n', ["line 3, breaks the rules of quoting"]),
        ('a,b\n1,2\n"3"x,4\n', ["line 3, breaks the rules of quoting"]),
        ("a,b\n1,2\n" + "9" * 200_000 + ",4\n", ["line 3, breaks the rules of quoting or length"]),
        (
            "a,b\n" + "".join(f"{i},name{i}\n" for i in range(30)),
            ["column 'b'", "different text in each of the 30 rows"],
        ),
    ],
)
def test_bad_content_is_named(write, content, parts):
    message = failure(write(content))
    for part in parts:
        assert part in message


def test_missing_target_lists_the_columns(write):
    message = failure(write(GOOD), target="kimd")
    assert "no column 'kimd' (did you mean 'kind'?)" in message
    assert "'a', 'b', 'kind'" in message
    wide = ",".join(f"c{i}" for i in range(100))
    message = failure(write(wide + "\n" + wide.replace("c", "") + "\n"), target="nothing")
    assert "and 92 more" in message
    assert len(message) < 300


def test_text_is_no_regression_target(write):
    message = failure(write(GOOD), task="regression")
    assert "line 2, column 'kind', holds the text 'yes'" in message


def test_missing_file_suggests_a_neighbour(tmp_path, write):
    write(GOOD, "train.csv")
    message = failure(tmp_path / "trian.csv")
    assert "does not exist (did you mean 'train.csv'?)" in message
    assert "no folder" in failure(tmp_path / "nowhere" / "train.csv")
    assert "is a folder" in failure(tmp_path)
    assert "cannot be read" in failure("a\0b")
    assert "cannot be read" in failure("x" * 5000)
    assert "device or a pipe" in failure("/dev/null")


def test_unreadable_file(write, monkeypatch):
    path = write(GOOD)

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be opened (Permission denied)" in failure(path)


@pytest.mark.parametrize(
    "options", [{"delimiter": ""}, {"delimiter": ",,"}, {"task": "guess"}, {"dtype": "int8"}]
)
def test_impossible_options(write, options):
    with pytest.raises(UsageError, match="give"):
        read_csv(write(GOOD), **options)


def test_delimiter_can_be_given(write):
    data = read_csv(write("a b kind\n1 2 x\n3 4 y\n"), delimiter=" ")
    np.testing.assert_array_equal(data.X, [[1, 2], [3, 4]])


def test_read_features_takes_columns_by_name(write):
    path = write(GOOD)
    np.testing.assert_array_equal(
        read_features(path, ["b", "a"]),
        np.array([[2.5, 1], [40, -3], [0, 0.5]], dtype=np.float32),
        strict=True,
    )
    one_row = write("b,a\n1,2\n", "one.csv")
    np.testing.assert_array_equal(read_features(one_row, ["a"]), [[2]])
    with pytest.raises(DataError, match=r"lacks columns .*: 'c', 'd'; it has 'a', 'b', 'kind'"):
        read_features(path, ["c", "a", "d"])
    with pytest.raises(DataError, match="line 3, column 'a', has no value .1 such cell"):
        read_features(write("a,b\n1,2\n,3\n", "gap.csv"), ["a"])
    with pytest.raises(DataError, match="line 2, column 'kind', holds the text 'yes'"):
        read_features(path, ["kind"])
    with pytest.raises(DataError, match="no row of data"):
        read_features(write("a,b\n", "none.csv"), ["a"])


quiet = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quiet
@given(content=st.binary(max_size=400))
def test_random_bytes_give_data_or_a_data_error(tmp_path, content):
    check_fuzz(tmp_path, content)


@quiet
@given(content=st.text(alphabet='ab1290.,;\t|"\n\r e-N_é\0', max_size=200))
def test_random_tables_give_data_or_a_data_error(tmp_path, content):
    check_fuzz(tmp_path, content.encode())


def check_fuzz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fuzz.csv"
    path.write_bytes(content)
    message = ""
    try:
        data = read_csv(path)
    except DataError as error:
        message = str(error)
    else:
        assert not np.isinf(data.X).any()
        assert len(data) >= 2
    assert "\n" not in message


@quiet
@given(
    values=st.lists(
        st.lists(
            st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2
        ),
        min_size=2,
        max_size=20,
    ),
    labels=st.data(),
)
def test_what_the_csv_module_writes_comes_back(tmp_path, values, labels):
    texts = labels.draw(
        st.lists(
            st.text(
                st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8
            ).map(lambda text: "k" + text + "k"),
            min_size=len(values),
            max_size=len(values),
        ).filter(lambda texts: len(set(texts)) > 1)
    )
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["a", "b", "label"])
    writer.writerows([*row, text] for row, text in zip(values, texts, strict=True))
    path = tmp_path / "round.csv"
    path.write_bytes(out.getvalue().encode())
    table = np.array(values, dtype=np.float32)
    varies = (table != table[0]).any(axis=0)
    if not varies.any():
        assert "in every row" in failure(path)
        return
    data = read_csv(path)
    np.testing.assert_array_equal(data.X, table[:, varies], strict=True)
    assert [data.class_names[code] for code in data.y] == texts


def test_reads_what_pandas_writes(write):
    pandas = pytest.importorskip("pandas")
    table = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    frame = pandas.DataFrame(table, columns=list("abcd"))
    frame["kind"] = np.where(table[:, 0] > 0, "plus", "minus")
    path = write("", "frame.csv")
    frame.to_csv(path, index=False)
    data = read_csv(path)
    np.testing.assert_array_equal(data.X, table, strict=True)
    np.testing.assert_array_equal(data.y, frame["kind"].astype("category").cat.codes)
    frame.to_csv(path)
    again = read_csv(path)
    assert [each.name for each in again.left_out] == ["index"]
    np.testing.assert_array_equal(again.X, table)


# ---- what spreadsheets and other programs write --------------------------------------------------

PLAIN = "a,b,kind\n0.5,1200,x\n-1.25,3,y\n7,1000.5,x\n"


@pytest.mark.parametrize(
    "text",
    [
        "a;b;kind\n0,5;1.200;x\n-1,25;3;y\n7;1.000,5;x\n",
        "\ufeffsep=;\na;b;kind\n0,5;1200;x\n-1,25;3;y\n7;1000,5;x\n",
        "a\tb\tkind\n0,5\t1200\tx\n-1,25\t3\ty\n7\t1000,5\tx\n",
        "sep=;\na;b;kind\n0.5;1200;x\n-1.25;3;y\n7;1000.5;x\n",
        "# written by a program\n# in 2024, again\n" + PLAIN,
        PLAIN.replace("\n", ",\n"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    ],
)
def test_the_same_table_as_other_programs_write_it(write, text):
    data, plain = read_csv(write(text)), read_csv(write(PLAIN, "plain.csv"))
    np.testing.assert_array_equal(data.X, plain.X, strict=True)
    assert (data.class_names, data.feature_names) == (plain.class_names, plain.feature_names)
    assert data.remarks == (
        ("Numbers were read with a decimal comma.",) if b"0,5" in data_bytes(text) else ()
    )


def data_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def test_rows_to_predict_for_may_have_decimal_commas_too(write):
    found = read_csv_rows(write("b;a\n0,5;1.234,5\n;2\n"), [Column("a"), Column("b")])
    np.testing.assert_array_equal(found, np.float32([[1234.5, 0.5], [2, np.nan]]))


def test_remarks_are_told_from_a_header_that_begins_with_one(write):
    data = read_csv(write("# a,b\n1,0.5\n2,1.5\n"))
    assert data.feature_names == ("# a",)


def test_an_empty_cell_in_quotes_is_a_row(write):
    found = read_csv_rows(write('a\n1\n""\n\n  \n2\n'), [Column("a")])
    np.testing.assert_array_equal(found, np.float32([[1], [np.nan], [2]]))


@pytest.mark.parametrize(
    ("cells", "kind", "why"),
    [
        ([str(2**62 + k) for k in range(60)], "constant", "no number tells such large ones apart"),
        ([f"{k} %" for k in range(60)], "text", "'0 %'"),
        ([f"${k}.50" for k in range(60)], "text", "numbers with other signs"),
        ([f"+49 30 {k}-x" for k in range(60)], "text", "60 different texts"),
    ],
)
def test_what_is_said_of_columns_left_out(write, cells, kind, why):
    lines = [f"{cell},{k % 7},{k % 2}" for k, cell in enumerate(cells)]
    (out,) = read_csv(write("odd,x,y\n" + "\n".join(lines))).left_out
    assert out.kind == kind and why in out.reason


def test_numbers_that_are_nearly_alike_are_remarked_on(write):
    lines = [f"{1_700_000_000 + 60 * k},{k % 7},{k % 2}" for k in range(60)]
    time, x = read_csv(write("time,x,y\n" + "\n".join(lines))).columns
    assert "nearly alike" in time.remark and x.remark == ""
