"""Data sets by name and files by kind."""

from __future__ import annotations

import csv
import gzip
import struct
from collections import Counter
from importlib import resources

import numpy as np
import pytest

from backlight.data import load, names, read
from backlight.errors import DataError, UnknownNameError, UsageError

BUNDLED = resources.files("backlight.data") / "bundled"


def test_every_name_loads():
    for name in names():
        if name != "fashion-mnist":
            data = load(name)
            assert data.name == name
            assert data.source
            assert np.isfinite(data.X).all()


def test_digits():
    data = load("digits")
    assert data.X.shape == (1797, 64)
    assert data.X.dtype == np.float32
    assert (data.X.min(), data.X.max()) == (0, 1)
    assert data.image_shape == (8, 8)
    # The class counts of the testing set, as the UCI repository publishes them.
    published = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    np.testing.assert_array_equal(np.bincount(data.y), published)


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    ours = load("digits")
    np.testing.assert_array_equal(ours.X * 16, theirs.data)
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert list(ours.feature_names) == list(theirs.feature_names)


def test_penguins():
    data = load("penguins")
    assert data.X.shape == (342, 4)
    assert data.class_names == ("Adelie", "Chinstrap", "Gentoo")
    # 152, 68 and 124 birds were recorded; an Adelie and a Gentoo penguin were not measured.
    np.testing.assert_array_equal(np.bincount(data.y), [151, 68, 123])
    np.testing.assert_array_equal(data.X[0], np.array([39.1, 18.7, 181, 3750], np.float32))
    assert "the 2 that lack any" in data.source


def test_the_bundled_penguins_keep_every_column_and_gap():
    birds = list(csv.DictReader((BUNDLED / "penguins.csv").read_text("utf-8").splitlines()))
    assert len(birds) == 344
    assert Counter(bird["species"] for bird in birds) == {
        "Adelie": 152,
        "Gentoo": 124,
        "Chinstrap": 68,
    }
    assert Counter(bird["sex"] for bird in birds) == {"male": 168, "female": 165, "NA": 11}
    assert {bird["island"] for bird in birds} == {"Biscoe", "Dream", "Torgersen"}


def test_every_bundled_file_states_its_source():
    files = {file.name for file in BUNDLED.iterdir() if not file.name.startswith("_")}
    for file in files:
        if not file.endswith(".SOURCE.txt"):
            text = (BUNDLED / f"{file.split('.')[0]}.SOURCE.txt").read_text("utf-8")
            for heading in ("Title", "Authors", "Licence", "Changes"):
                assert f"\n{heading}" in text


def test_unknown_name():
    with pytest.raises(UnknownNameError, match=r"did you mean 'penguins'\?") as caught:
        load("penguin")
    assert "'digits'" in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"did you mean 'digits'\?"):
        read("Digits")


def test_unknown_option():
    with pytest.raises(UsageError, match=r"no option 'clases' \(did you mean 'classes'\?\)"):
        load("spiral", clases=3)
    with pytest.raises(UsageError, match="it has no options"):
        load("digits", n=3)


def test_read_finds_the_reader(tmp_path):
    table = "a,b\n1,0\n2,1\n"
    for name in ("t.csv", "t.CSV", "t.txt", "t.data"):
        (tmp_path / name).write_text(table)
        assert len(read(tmp_path / name)) == 2
    # A tab divides the cells of a .tsv file, whatever else stands in its header.
    (tmp_path / "t.tsv").write_text("a,x,y\tb\n1\t0\n2\t1\n")
    assert read(str(tmp_path / "t.tsv"), target="b").feature_names == ("a,x,y",)
    np.savez(tmp_path / "t.npz", X=np.eye(2), y=[0.5, 1.5])
    assert read(tmp_path / "t.npz", dtype="float64").X.dtype == np.float64
    (tmp_path / "t.npz").rename(tmp_path / "archive")
    assert read(tmp_path / "archive").task == "regression"
    images = b"\0\0\x08\x03" + struct.pack(">III", 2, 1, 1) + b"\0\xff"
    labels = b"\0\0\x08\x01" + struct.pack(">I", 2) + b"\0\1"
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    for path in (tmp_path, tmp_path / "train-images-idx3-ubyte.gz"):
        np.testing.assert_array_equal(read(path).X, [[0], [1]])
    assert read("digits").fingerprint() == load("digits").fingerprint()


def test_a_name_stands_before_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xor").write_text("a,b\n1,0\n2,1\n3,1\n")
    assert len(read("xor")) == 4
    with pytest.raises(DataError, match="of a kind that cannot be read"):
        read("./xor")
    (tmp_path / "prices.csv").write_text("a,b\n1,0\n2,1\n")
    with pytest.raises(UnknownNameError, match=r"did you mean 'prices.csv'\?"):
        read("prices")
    with pytest.raises(
        DataError, match=r"price.csv does not exist \(did you mean 'prices.csv'\?\)"
    ):
        read("price.csv")


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("t.parquet", b"PAR1", "no readable Parquet file"),
        ("t.xyz", b"PAR1", "no readable Parquet file"),
        ("t.xyz", b"ARROW1\0\0", "no readable Arrow file"),
        ("t.xyz", b"\x93NUMPY\1\0", "no readable .npy file"),
        ("t.csv.gz", b"\x1f\x8b", "unpack it with gunzip"),
        ("t.xyz", b"", "convert it to CSV"),
        ("t.xyz", b"abc", "convert it to CSV"),
        ("t.xyz", b"PK\3\4", "no readable NPZ"),
        ("t.xyz", b"\0\0\x08\x03", "given without labels"),
    ],
)
def test_files_without_a_reader(tmp_path, name, content, part):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert part in str(caught.value)


def test_odd_paths():
    for path in ("", "a\0b", "./a\0b", "no/such/file.csv", "x" * 5000 + ".csv"):
        with pytest.raises((DataError, UnknownNameError)) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"target": "y"}, {"task": "regression"}])
def test_options_without_meaning(tmp_path, options):
    for path in ("digits", tmp_path):
        with pytest.raises(UsageError, match="has its target already|has the target 'digit', not"):
            read(path, **options)
    assert read("digits", "digit").target_name == "digit"
    with pytest.raises(UsageError, match="is float32"):
        read("digits", dtype="float64")
