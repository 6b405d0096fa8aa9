"""Damaged files of every kind give data or one sentence: no other error, no hang, no other file."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backlight.data import Column, Preprocessor, preprocessing_from_dict, read, read_rows
from backlight.errors import BacklightError

N = 12
NUMBERS = np.arange(N * 3, dtype=np.float64).reshape(N, 3)
LABELS = np.arange(N) % 2


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, X=NUMBERS, y=LABELS)
    return out.getvalue()


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.column_stack([NUMBERS, LABELS]))
    return out.getvalue()


def csv() -> bytes:
    rows = [f"{a},{b},{'xyz'[k % 3]},{k % 2}" for k, (a, b, _) in enumerate(NUMBERS)]
    return "\n".join(["a,b,c,y", *rows]).encode()


def table():
    pa = pytest.importorskip("pyarrow")
    return pa.table(
        {
            "a": NUMBERS[:, 0],
            "b": [None if k % 3 == 0 else "xy"[k % 2] for k in range(N)],
            "y": LABELS,
        }
    )


def parquet() -> bytes:
    held = table()
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(held, out)
    return out.getvalue()


def arrow() -> bytes:
    held = table()
    import pyarrow as pa

    out = io.BytesIO()
    with pa.ipc.new_file(out, held.schema) as writer:
        writer.write_table(held)
    return out.getvalue()


def idx() -> dict[str, bytes]:
    images = bytes([0, 0, 8, 3]) + np.array([N, 2, 2], ">u4").tobytes() + bytes(range(4 * N))
    labels = bytes([0, 0, 8, 1]) + np.array([N], ">u4").tobytes() + bytes(LABELS.tolist())
    return {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels}


KINDS = {
    "t.csv": csv, "t.npz": npz, "t.npy": npy, "t.parquet": parquet, "t.arrow": arrow,
}  # fmt: skip
COLUMNS = [Column("a"), Column("b", "category", ("x", "y"))]


@st.composite
def damage(draw, length: int):
    """Some bytes to change, and where to cut."""
    flips = draw(st.lists(st.tuples(st.integers(0, length - 1), st.integers(0, 255)), max_size=4))
    return flips, draw(st.one_of(st.just(length), st.integers(0, length)))


def damaged(content: bytes, how) -> bytes:
    flips, end = how
    changed = bytearray(content)
    for place, value in flips:
        changed[place] = value
    return bytes(changed[:end])


def attempt(folder: Path, name: str) -> None:
    """Read a file, and as for a prediction; whatever it holds must be well formed."""
    before = sorted(os.listdir(folder))
    for reading in (lambda: read(folder / name).X, lambda: read_rows(folder / name, COLUMNS)):
        try:
            found = reading()
        except BacklightError as error:
            message = str(error)
            if "\n" in message or not message.endswith("."):
                raise AssertionError(message) from error
        else:
            assert len(found) and found.dtype == np.float32 and not np.isinf(found).any()
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("name", KINDS)
def test_flips_and_cuts(name, tmp_path):
    content = KINDS[name]()
    (tmp_path / name).write_bytes(content)
    attempt(tmp_path, name)
    assert len(read(tmp_path / name)) == N

    @settings(max_examples=150, deadline=2000)
    @given(how=damage(len(content)))
    def check(how):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(damaged(content, how))
            attempt(Path(folder), name)

    check()


@pytest.mark.parametrize("part", idx())
def test_flips_and_cuts_of_idx(part):
    files = idx()

    @settings(max_examples=150, deadline=2000)
    @given(how=damage(len(files[part])))
    def check(how):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                content = damaged(content, how) if name == part else content
                (Path(folder) / name).write_bytes(content)
            attempt(Path(folder), "train-images-idx3-ubyte")

    check()


@settings(max_examples=200, deadline=2000)
@given(
    content=st.binary(max_size=300),
    start=st.sampled_from(
        [b"", b"PAR1", b"ARROW1\0\0", b"\x93NUMPY\x01\0", b"PK\x03\x04", b"\0\0"]
    ),
    name=st.sampled_from([*KINDS, "t.idx", "t.bin"]),
)
def test_bytes_from_nowhere(content, start, name):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(start + content)
        attempt(Path(folder), name)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=2000)
@given(
    place=st.sampled_from(
        ["name", "kind", "categories", "mean", "scale", "fill", "kept", "other", "marked"]
    ),
    value=ANYTHING,
)
def test_stored_preprocessing_may_say_anything(place, value):
    X = np.array([[1.0, 0], [np.nan, 1], [3, 1]])
    stored = Preprocessor.fit(X, COLUMNS).to_dict()
    stored["columns"][1][place] = value
    try:
        again = preprocessing_from_dict(stored)
        assert np.isfinite(again.apply(X)).all()
    except BacklightError:
        pass
    with contextlib.suppress(BacklightError):
        preprocessing_from_dict(value)
