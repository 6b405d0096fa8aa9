"""`fit` on data frames, tables and data in files: what it learns, from which rows, and the bits."""

from __future__ import annotations

import numpy as np
import pytest

import backlight as bl
from backlight import nn
from backlight.data import Preprocessor, from_frame, read_csv
from backlight.data import rows as rows_module
from backlight.data.rows import FileRows, RowWriter
from backlight.errors import DataError, ShapeError, UsageError
from backlight.ops.random import permutation
from backlight.train import load, save
from backlight.train.batches import SPLIT_STREAM

pa = pytest.importorskip("pyarrow")

ROWS = 60
RNG = np.random.default_rng(0)
FRAME = pa.table(
    {
        "size": [None if k % 9 == 0 else float(x) for k, x in enumerate(RNG.normal(5, 2, ROWS))],
        "town": [["Ulm", "Bonn", None][k % 3] for k in range(ROWS)],
        "y": [k % 2 for k in range(ROWS)],
    }
)
NAMES = ("size", "size is missing", "town=Bonn", "town=Ulm", "town is missing")


INPUTS = len(NAMES)


def net(inputs=INPUTS):
    return nn.Sequential(nn.Linear(inputs, 4), nn.Tanh(), nn.Linear(4, 2), seed=0)


def fitted(data, **options):
    return bl.fit(net(), data, loss=nn.cross_entropy, epochs=2, batch_size=8, **options)


def test_a_frame_with_the_name_of_its_target():
    run = fitted((FRAME, "y"))
    assert run.preprocessing.feature_names == NAMES
    data = from_frame(FRAME, "y")
    learnt = Preprocessor.fit(data.X, data.columns)
    np.testing.assert_array_equal(run.course.engine.train.X, learnt.apply(data.X), strict=True)
    assert run.history["loss"] == fitted((learnt.apply(data.X), data.y)).history["loss"]
    assert fitted(data).history["loss"] == run.history["loss"]


def test_pandas_and_polars_are_the_same():
    expected = fitted((FRAME, "y")).history["loss"]
    for name in ("pandas", "polars"):
        library = pytest.importorskip(name)
        frame = FRAME.to_pandas() if name == "pandas" else library.from_arrow(FRAME)
        assert fitted((frame, "y")).history["loss"] == expected


def test_only_the_training_rows_are_learnt_from():
    run = fitted((FRAME, "y"), validation=0.25)
    aside = permutation(0, SPLIT_STREAM, 0, ROWS)[: ROWS // 4]
    kept = np.setdiff1d(np.arange(ROWS), aside)
    sizes = [FRAME["size"][int(k)].as_py() for k in kept]
    there = np.array([each for each in sizes if each is not None], np.float32).astype(float)
    size = run.preprocessing.encodings[0]
    assert size.mean == pytest.approx(there.mean(), rel=1e-12)
    assert size.scale == pytest.approx(there.std(), rel=1e-12)
    assert len(run.course.engine.train) == len(kept)
    # What is in the other rows makes no difference.
    changed = FRAME.set_column(
        0,
        "size",
        pa.array([FRAME["size"][k].as_py() if k in set(kept) else 1e6 for k in range(ROWS)]),
    )
    again = fitted((changed, "y"), validation=0.25)
    assert again.history["loss"] == run.history["loss"]
    assert again.history["validation_loss"] != run.history["validation_loss"]


def test_validation_rows_of_another_frame_are_coded_alike():
    first, second = FRAME.slice(0, 40), FRAME.slice(40)
    second = second.set_column(1, "town", pa.array(["Bonn"] * 19 + ["Rome"]))
    run = fitted((first, "y"), validation=(second, "y"))
    coded = run.preprocessing.apply(
        np.column_stack(
            [
                [np.nan if v is None else v for v in second["size"].to_pylist()],
                [1.0] * 19 + [-1.0],
            ]
        ).astype(np.float32)
    )
    with nn.running(training=False):
        outputs = run.net(coded).value
    right = (outputs.argmax(axis=1) == second["y"].to_numpy()).mean()
    assert run.history["validation_accuracy"][-1] == pytest.approx(right)
    with pytest.raises(DataError, match="no column 'y'"):
        fitted((first, "y"), validation=(second.drop(["y"]), "y"))
    other = read_rows_as_dataset()
    with pytest.raises(DataError, match="other columns or categories"):
        fitted((first, "y"), validation=other)


def read_rows_as_dataset():
    return from_frame(pa.table({"a": [1.0, 2.0, 3.0], "y": [0, 1, 0]}), "y")


def test_the_frame_and_the_network_must_fit():
    with pytest.raises(UsageError, match=r"give the name of the target column"):
        fitted((FRAME, np.zeros(ROWS)))
    with pytest.raises(ShapeError, match="does not take features"):
        bl.fit(net(3), (FRAME, "y"), loss=nn.cross_entropy)


def test_sample_weights_go_with_their_rows():
    weights = np.linspace(1, 2, ROWS)
    run = fitted((FRAME, "y"), sample_weights=weights, validation=0.25)
    aside = permutation(0, SPLIT_STREAM, 0, ROWS)[: ROWS // 4]
    kept = np.setdiff1d(np.arange(ROWS), aside)
    np.testing.assert_array_equal(run.course.engine.train.weights, weights[kept].astype(np.float32))


@pytest.mark.parametrize("validation", [None, 0.25])
def test_a_stored_run_applies_what_was_learnt(tmp_path, validation):
    run = fitted((FRAME, "y"), validation=validation)
    stored = load(save(run, tmp_path / "run"))
    assert stored.feature_names == NAMES
    rows = FRAME.select(["town", "size"])
    data = from_frame(FRAME, "y")
    with nn.running(training=False):
        expected = run.net(run.preprocessing.apply(data.X)).value
    np.testing.assert_allclose(stored.outputs(rows), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stored.outputs(data.X), expected, rtol=1e-5, atol=1e-6)
    assert set(stored.predict(rows)) <= {"0", "1"}
    for given in ((FRAME, "y"), data):
        replayed = stored.attach(given).replay(step=3)
        assert replayed.to_dict() == run.replay(step=3).to_dict()
    with pytest.raises(DataError, match="lacks a column .*: 'size'"):
        stored.outputs(FRAME.select(["town"]))


def test_a_table_of_text_is_prepared(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f"{k},{'ab'[k % 2]},{k % 2}" for k in range(20)]
    path.write_text("n,c,y\n" + "\n".join(lines) + "\n")
    run = bl.fit(net(3), read_csv(path), loss=nn.cross_entropy, epochs=1)
    assert run.preprocessing.feature_names == ("n", "c=a", "c=b")


# ---- data in files ------------------------------------------------------------------------------


def in_file(X):
    with RowWriter(X.shape[1:], X.dtype) as writer:
        writer.write(X)
    return writer.rows()


@pytest.mark.parametrize("executor", ["reference", "native"])
@pytest.mark.parametrize("ahead", [64, 1500, 10**6])
def test_data_in_a_file_gives_the_same_bits(executor, ahead, monkeypatch):
    monkeypatch.setattr("backlight.train.batches.AHEAD_BYTES", ahead)
    X = RNG.normal(size=(203, 5)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    held = in_file(X)
    runs = [
        bl.fit(
            net(5), (data, y), loss=nn.cross_entropy, epochs=3, batch_size=16, validation=0.2,
            executor=executor, seed=5,
        )
        for data in (X, held)
    ]  # fmt: skip
    assert type(runs[1].course.engine.train.X) is FileRows
    for name, each in runs[0].parameters.items():
        np.testing.assert_array_equal(each, runs[1].parameters[name])
    for key in ("loss", "accuracy", "validation_loss"):
        assert runs[0].history[key] == runs[1].history[key]
    for step in (25, 3, 31):
        assert runs[0].replay(step).to_dict() == runs[1].replay(step).to_dict()


def test_a_stored_run_on_data_in_a_file_is_replayed(tmp_path):
    X = RNG.normal(size=(60, 5)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    run = fitted_wide((in_file(X), y))
    stored = load(save(run, tmp_path / "run"))
    for data in (X, in_file(X)):
        assert stored.attach((data, y)).replay(4).to_dict() == run.replay(4).to_dict()


def fitted_wide(data):
    return bl.fit(net(5), data, loss=nn.cross_entropy, epochs=2, batch_size=8)


def test_memory_maps_stay_in_their_file(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "IN_MEMORY_BYTES", 100)
    X = RNG.normal(size=(60, 5)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    np.save(tmp_path / "X.npy", X)
    run = fitted_wide((np.load(tmp_path / "X.npy", mmap_mode="r"), y))
    assert type(run.course.engine.train.X) is FileRows
    assert run.history["loss"] == fitted_wide((X, y)).history["loss"]
    np.save(tmp_path / "X.npy", X.astype(np.float64))
    run = fitted_wide((np.load(tmp_path / "X.npy", mmap_mode="r"), y))
    assert type(run.course.engine.train.X) is FileRows
    assert run.history["loss"] == fitted_wide((X, y)).history["loss"]
    X[7, 2] = np.nan
    np.save(tmp_path / "X.npy", X)
    with pytest.raises(DataError, match="X, row 7, column 2, is nan"):
        fitted_wide((np.load(tmp_path / "X.npy", mmap_mode="r"), y))


def test_a_run_on_data_in_a_file_is_resumed_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("backlight.train.batches.AHEAD_BYTES", 300)
    X = RNG.normal(size=(60, 5)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    whole = fitted_wide((X, y))

    def stop(state):
        raise KeyboardInterrupt

    options = {"loss": nn.cross_entropy, "epochs": 2, "batch_size": 8, "checkpoint": tmp_path / "c"}
    held = in_file(X)
    cut = bl.fit(net(5), (held, y), callbacks=[stop], **options)
    assert cut.stopped == "interrupted" and 0 < cut.steps < whole.steps
    run = bl.fit(net(5), (held, y), resume=True, **options)
    for name, each in whole.parameters.items():
        np.testing.assert_array_equal(each, run.parameters[name])
