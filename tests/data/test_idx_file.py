"""Reading IDX files: bytes written by hand, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backlight.data import read_idx
from backlight.data.idx_file import read_idx_array
from backlight.errors import DataError


def idx(code: int, shape: tuple[int, ...], data: bytes) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


PIXELS = bytes([0, 51, 102, 153, 204, 255, 0, 255, 5, 10, 15, 20])  # three images of 2 × 2
IMAGES = idx(8, (3, 2, 2), PIXELS)
LABELS = idx(8, (3,), bytes([7, 2, 7]))


def failure(*arguments) -> str:
    with pytest.raises(DataError) as caught:
        read_idx(*arguments)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


@pytest.fixture
def write(tmp_path):
    def write(images: bytes = IMAGES, labels: bytes = LABELS):
        (tmp_path / "i").write_bytes(images)
        (tmp_path / "l").write_bytes(labels)
        return tmp_path / "i", tmp_path / "l"

    return write


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_images_and_labels(write, pack):
    data = read_idx(*write(pack(IMAGES), pack(LABELS)))
    expected = np.array(
        [[0, 0.2, 0.4, 0.6], [0.8, 1, 0, 1], [1 / 51, 2 / 51, 3 / 51, 4 / 51]], dtype=np.float32
    )
    np.testing.assert_allclose(data.X, expected, rtol=1e-7, atol=0)
    assert data.X.dtype == np.float32
    np.testing.assert_array_equal(data.y, np.array([1, 0, 1], dtype=np.int64), strict=True)
    assert data.class_names == ("2", "7")
    assert data.image_shape == (2, 2)
    assert data.feature_names == ("pixel_0_0", "pixel_0_1", "pixel_1_0", "pixel_1_1")
    assert data.test is None


@pytest.mark.parametrize(
    ("code", "form"), [(0x08, "B"), (0x09, "b"), (0x0B, "h"), (0x0C, "i"), (0x0D, "f"), (0x0E, "d")]
)
def test_every_type_is_big_endian(tmp_path, code, form):
    path = tmp_path / "a.idx"
    path.write_bytes(idx(code, (2, 3), struct.pack(f">6{form}", 0, 1, 2, 3, 4, 100)))
    array = read_idx_array(path)
    np.testing.assert_array_equal(array, [[0, 1, 2], [3, 4, 100]])
    assert array.dtype == np.dtype(form)
    assert array.dtype.isnative


def test_types_other_than_bytes_are_not_scaled(write):
    data = read_idx(*write(idx(0x0E, (3, 1), struct.pack(">3d", 0.5, -2, 300))))
    np.testing.assert_array_equal(data.X, [[0.5], [-2], [300]])
    assert data.image_shape is None
    assert data.feature_names == ("x0",)


def test_float64(tmp_path, write):
    assert read_idx(*write(), dtype="float64").X[0, 1] == 51 / 255


@pytest.mark.parametrize("style", ["-idx", ".idx"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reads_a_folder_and_finds_labels(tmp_path, style, suffix):
    pack = gzip.compress if suffix else bytes
    few = idx(8, (2, 2, 2), PIXELS[:8]), idx(8, (2,), bytes([7, 7]))
    for part, (images, labels) in {"train": (IMAGES, LABELS), "t10k": few}.items():
        (tmp_path / f"{part}-images{style}3-ubyte{suffix}").write_bytes(pack(images))
        (tmp_path / f"{part}-labels{style}1-ubyte{suffix}").write_bytes(pack(labels))
    data = read_idx(tmp_path)
    assert (len(data), len(data.test)) == (3, 2)
    np.testing.assert_array_equal(data.test.y, [1, 1])  # 7 is the second of the classes 2 and 7
    assert data.test.class_names == data.class_names
    alone = read_idx(tmp_path / f"train-images{style}3-ubyte{suffix}")
    assert alone.fingerprint() == data.fingerprint()


def test_bad_folders(tmp_path):
    assert "lacks train-images-idx3-ubyte and train-labels" in failure(tmp_path)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(IMAGES)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(LABELS)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(8, (3,), bytes([7, 2, 9])))
    assert "row 2, holds '9', which is none of the classes '2', '7'" in failure(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(LABELS)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(8, (3, 1, 4), PIXELS))
    assert "belong together" in failure(tmp_path)


@pytest.mark.parametrize(
    ("images", "part"),
    [
        (b"", "is empty"),
        (b"\0\0", "not an IDX file"),
        (b"a,b\n1,2\n", "not an IDX file (it begins with 61 2c 62 0a"),
        (idx(0x0A, (3, 2, 2), PIXELS), "not an IDX file"),
        (b"\1" + IMAGES[1:], "not an IDX file"),
        (bytes([0, 0, 8, 0]), "0 dimensions"),
        (idx(8, (1,) * 255, b"\0"), "255 dimensions"),
        (IMAGES[:10], "truncated within its header"),
        (IMAGES[:-1], "announces 12 bytes of data but it holds 11"),
        (IMAGES + b"\0", "goes on after the 12 bytes"),
        (idx(8, (0, 2, 2), b""), "which is none"),
        (idx(8, (2**32 - 1, 0), b""), "which is none"),
        (idx(8, (3,), b"abc"), "one dimension, as labels have"),
        (idx(8, (2, 2, 2), PIXELS[:8]), "2 images but"),
        (idx(0x0D, (3, 1), struct.pack(">3f", 1, np.nan, 2)), "row 1, column 0, is nan"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bad_images_are_named(write, images, part, pack):
    assert part in failure(*write(pack(images) if images else images))


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (idx(8, (3, 1), b"abc"), "2 dimensions of uint8"),
        (idx(0x0D, (3,), struct.pack(">3f", 1, 2, 3)), "1 dimension of float32"),
        (idx(8, (2,), b"ab"), "3 images but"),
        (idx(8, (3,), b"aaa"), "single class, '97'"),
    ],
)
def test_bad_labels_are_named(write, labels, part):
    assert part in failure(*write(labels=labels))


def test_missing_files(tmp_path, write):
    images, _ = write()
    assert "given without labels" in failure(images)
    assert "does not exist" in failure(tmp_path / "absent", tmp_path / "l")
    assert "does not exist" in failure(images, tmp_path / "absent")
    assert "is a folder" in failure(images, tmp_path)
    single = write(idx(8, (1, 2, 2), PIXELS[:4]), idx(8, (1,), b"a"))
    assert "single image" in failure(*single)


def test_damaged_gzip(write):
    packed = gzip.compress(IMAGES)
    assert "ends too early" in failure(*write(packed[:-6]))
    assert "is damaged" in failure(*write(packed[:-6] + b"\0\0" + packed[-4:]))
    assert "is damaged" in failure(*write(packed[:12] + b"\xff\xff\xff" + packed[15:]))
    assert "is damaged" in failure(*write(b"\x1f\x8b\x09" + packed[3:]))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_memory_is_not_taken_for_what_a_header_claims(write, pack):
    files = write(pack(idx(8, (2**31, 28, 28), PIXELS)))
    tracemalloc.start()
    try:
        assert "truncated" in failure(*files)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_bomb_is_read_no_further_than_its_header_claims(write):
    files = write(gzip.compress(IMAGES + bytes(50_000_000)))
    tracemalloc.start()
    try:
        assert "goes on after" in failure(*files)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


quiet = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check_fuzz(tmp_path, images: bytes, labels: bytes) -> None:
    (tmp_path / "i").write_bytes(images)
    (tmp_path / "l").write_bytes(labels)
    message = ""
    try:
        data = read_idx(tmp_path / "i", tmp_path / "l")
    except DataError as error:
        message = str(error)
    else:
        assert np.isfinite(data.X).all()
    assert "\n" not in message


@quiet
@given(
    content=st.binary(max_size=200), magic=st.sampled_from([b"", b"\0\0\x08\x03", b"\x1f\x8b\x08"])
)
def test_random_bytes_give_a_data_error(tmp_path, content, magic):
    check_fuzz(tmp_path, magic + content, LABELS)
    check_fuzz(tmp_path, IMAGES, magic + content)


@quiet
@given(
    shape=st.lists(st.integers(0, 3) | st.just(2**32 - 1), min_size=1, max_size=20),
    code=st.sampled_from([8, 9, 11, 12, 13, 14]),
    data=st.binary(max_size=100),
    zipped=st.booleans(),
)
def test_random_headers_give_data_or_a_data_error(tmp_path, shape, code, data, zipped):
    content = idx(code, tuple(shape), data)
    check_fuzz(tmp_path, gzip.compress(content) if zipped else content, LABELS)


@quiet
@given(changes=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_gzip_gives_data_or_a_data_error(tmp_path, changes):
    content = bytearray(gzip.compress(IMAGES))
    for place, value in changes:
        content[place % len(content)] = value
    check_fuzz(tmp_path, bytes(content), LABELS)
