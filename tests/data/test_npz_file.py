"""Reading NPZ archives: what NumPy saved, and everything that can be wrong with it."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backlight.data import read_npz
from backlight.errors import DataError

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
Y = np.array([0, 1, 1])


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        path = tmp_path / "t.npz"
        np.savez(path, **arrays)
        return path

    return save


def failure(path, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_npz(path, **options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """Write an array file by hand: magic, version, length of the header, header, data."""
    text = header.encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(f"{name}.npy", content)
    return path


def saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
def test_reads_what_numpy_saved(tmp_path, writer):
    path = tmp_path / "pair.npz"
    writer(path, X=X, y=Y)
    data = read_npz(path)
    np.testing.assert_array_equal(data.X, X.astype(np.float32), strict=True)
    np.testing.assert_array_equal(data.y, Y.astype(np.int64), strict=True)
    assert data.feature_names == ("x0", "x1")
    assert data.class_names == ("0", "1")
    assert data.name == "pair"


def test_byte_orders_and_fortran_order(save):
    data = read_npz(save(X=np.asfortranarray(X.astype(">f8")), y=Y.astype(">i2")))
    np.testing.assert_array_equal(data.X, X.astype(np.float32), strict=True)
    np.testing.assert_array_equal(data.y, Y)


@pytest.mark.parametrize(
    ("y", "task", "names"),
    [
        (np.array([0.0, 1.0, 1.0]), "regression", None),
        (np.array([True, False, True]), "classification", ("False", "True")),
        (np.array(["b", "ä", "b"]), "classification", ("b", "ä")),
        (np.array([b"b", b"a", b"b"]), "classification", ("a", "b")),
        (np.array(["b", "a", "b"], dtype=">U1"), "classification", ("a", "b")),
        (np.array([[1], [2], [2]]), "classification", ("1", "2")),
        (np.array([10, 20, 30]), "regression", None),
    ],
)
def test_the_dtype_says_what_the_target_is(save, y, task, names):
    data = read_npz(save(X=X, y=y))
    assert data.task == task
    assert data.class_names == names


def test_task_overrides(save):
    assert read_npz(save(X=X, y=Y), task="regression").y.dtype == np.float32
    data = read_npz(save(X=X, y=np.array([0.0, 2.5, 0.0])), task="classification")
    assert data.class_names == ("0", "2.5")


def test_train_and_test_arrays_of_images(save):
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    data = read_npz(
        save(
            x_train=images,
            y_train=np.array([3, 5, 3]),
            x_test=images[:2] + 1,
            y_test=np.array([5, 5]),
        )
    )
    np.testing.assert_array_equal(data.X, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
    assert data.image_shape == (2, 2)
    assert data.feature_names[1] == "pixel_0_1"
    assert data.test is not None
    np.testing.assert_array_equal(data.test.X, [[1, 2, 3, 4], [5, 6, 7, 8]])
    # The codes of the test set are those of the training set.
    np.testing.assert_array_equal(data.test.y, [1, 1])
    assert data.test.class_names == data.class_names == ("3", "5")


def test_target_by_name(save):
    path = save(X=X, price=np.array([1.5, 2.5, 3.5]), y=Y)
    assert read_npz(path, target="price").task == "regression"
    assert "(did you mean 'price'?)" in failure(path, target="prize")


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"a": X, "b": Y}, ["'X' and 'y'", "it holds 'a', 'b'"]),
        ({"X": X}, ["'X' and 'y'", "it holds 'X'"]),
        ({}, ["it holds no arrays"]),
        ({"X": X, "y": Y[:2]}, ["3 rows", "(2,)"]),
        ({"X": X[:1], "y": Y[:1]}, ["two or more rows"]),
        ({"X": X[:, :0], "y": Y}, ["one or more features"]),
        ({"X": np.float64(1), "y": Y}, ["shape ()"]),
        ({"X": X[:, 0], "y": Y}, ["two or more dimensions"]),
        ({"X": X.astype(complex), "y": Y}, ["complex128"]),
        ({"X": np.array([["1"], ["2"], ["3"]]), "y": Y}, ["not numeric"]),
        ({"X": np.where(X == 4, np.nan, X), "y": Y}, ["row 1, column 1, is nan (1 value"]),
        ({"X": np.where(X > 3, np.inf, X), "y": Y}, ["row 1, column 1, is inf (3 values"]),
        ({"X": X, "y": np.array([1.0, np.nan, 2.0])}, ["y, row 1 is NaN or infinite"]),
        ({"X": X, "y": np.array([4, 4, 4])}, ["single class, '4'"]),
        (
            {"X": X * 1e300, "y": Y},
            ["row 0, column 0, holds a number that is too large for float32"],
        ),
        ({"X": X, "y": np.array([b"\xff", b"a", b"b"])}, ["not valid Unicode"]),
        ({"X": X, "y": np.array(["\ud800", "a", "b"])}, ["not valid Unicode"]),
        ({"X": X, "y": np.array(["", "", ""])}, ["single class, ''"]),
        ({"X": X, "y": np.array([object()] * 3)}, ["'y' as Python objects", "never unpickled"]),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:, :1].repeat(3, 1), "y_test": Y},
            ["belong together"],
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
            ["row 1, holds '2', which is none of the classes '0', '1'"],
        ),
    ],
)
def test_bad_arrays_are_named(save, arrays, parts):
    message = failure(save(**arrays))
    for part in ["t.npz", *parts]:
        assert part in message


def test_one_hot_rows_are_explained(save):
    path = save(X=X, y=np.eye(3))
    assert read_npz(path).y.shape == (3, 3)  # a regression with three outputs
    assert "argmax" in failure(path, task="classification")


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("an object was unpickled",)

    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    bomb = npy(header, pickle.dumps(Bomb()))
    path = archive(tmp_path / "bomb.npz", X=bomb, y=saved(Y))
    assert "never unpickled" in failure(path)


def test_not_an_archive(tmp_path, save):
    path = tmp_path / "other.npz"
    path.write_bytes(b"")
    assert "is empty" in failure(path)
    path.write_bytes(b"a,b\n1,2\n")
    assert "no readable NPZ archive" in failure(path)
    whole = save(X=X, y=Y).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "no readable NPZ archive" in failure(path)
    assert "does not exist" in failure(tmp_path / "absent.npz")
    assert "is a folder" in failure(tmp_path)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        # 2 ** 60 numbers must be refused before memory is taken for them.
        (f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**60}, 2), }}", "less data"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }", "more data"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-3, -2), }", "negative length"),
        ("{'descr': '<U0', 'fortran_order': False, 'shape': (3, 2), }", "neither numbers"),
        ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3, 2), }", "neither numbers"),
        ("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (3, 2), }", "neither numbers"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2)", "no readable"),
        ("((((((", "no readable"),
        ("'" + "a" * 20_000 + "'", "header is too long"),
        ("", "no readable"),
    ],
)
def test_hostile_headers(tmp_path, header, part):
    path = archive(tmp_path / "bad.npz", X=npy(header + "\n", bytes(48)), y=saved(Y))
    assert part in failure(path)


def test_other_versions_of_the_header(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }\n"
    member = npy(header, X.tobytes(), (2, 0))
    data = read_npz(archive(tmp_path / "v2.npz", X=member, y=saved(Y)))
    np.testing.assert_array_equal(data.X, X)
    message = failure(archive(tmp_path / "v9.npz", X=npy(header, b"", (9, 0)), y=saved(Y)))
    assert "no readable" in message


def test_a_bomb_is_refused_by_what_it_claims(tmp_path):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2), }\n"
    path = archive(tmp_path / "bomb.npz", X=npy(header, bytes(50_000_000)), y=saved(Y))
    assert path.stat().st_size < 100_000
    assert "more data" in failure(path)


quiet = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check_fuzz(tmp_path, content: bytes) -> None:
    path = tmp_path / "fuzz.npz"
    path.write_bytes(content)
    message = ""
    try:
        data = read_npz(path)
    except DataError as error:
        message = str(error)
    else:
        assert np.isfinite(data.X).all()
    assert "\n" not in message


@quiet
@given(content=st.binary(max_size=300), zipped=st.booleans())
def test_random_bytes_give_a_data_error(tmp_path, content, zipped):
    check_fuzz(tmp_path, (b"PK\x03\x04" if zipped else b"") + content)


@quiet
@given(
    compressed=st.booleans(),
    changes=st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6
    ),
    cut=st.integers(0, 50),
)
def test_damaged_archives_give_data_or_a_data_error(tmp_path, compressed, changes, cut):
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, X=X, y=Y)
    content = bytearray(out.getvalue())
    for place, value in changes:
        content[place % len(content)] = value
    check_fuzz(tmp_path, bytes(content[: len(content) - cut]))


@quiet
@given(header=st.binary(max_size=120) | st.text("{}()[]:,' 0123descrfortanshpu<f8", max_size=90))
def test_random_array_headers_give_data_or_a_data_error(tmp_path, header):
    text = header if isinstance(header, bytes) else header.encode()
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(48)
    check_fuzz(tmp_path, archive(tmp_path / "made.npz", X=member, y=saved(Y)).read_bytes())


@quiet
@given(
    descr=st.sampled_from(["<f8", ">i4", "|b1", "<U3", "|S2", "|V8", "|O", "<c8", "<f2", "<f16"]),
    shape=st.lists(st.integers(-2, 4) | st.just(2**62), max_size=4).map(tuple),
    fortran=st.booleans(),
    data=st.binary(max_size=96),
)
def test_odd_array_headers_give_data_or_a_data_error(tmp_path, descr, shape, fortran, data):
    member = npy(repr({"descr": descr, "fortran_order": fortran, "shape": shape}) + "\n", data)
    check_fuzz(tmp_path, archive(tmp_path / "made.npz", X=member, y=saved(Y)).read_bytes())
    check_fuzz(tmp_path, archive(tmp_path / "made.npz", X=saved(X), y=member).read_bytes())
