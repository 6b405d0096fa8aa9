"""Exports of runs: TensorBoard's event files, read by TensorBoard itself, and JSON lines."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from tests.train.networks import classes, tiny

from backlight import nn
from backlight.errors import RunError
from backlight.io.json_lines import json_lines
from backlight.io.tensorboard import crc32c, record_of, scalar_event, write_events
from backlight.train import RunLog, RunStore, fit


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    run = fit(tiny("float32", outputs=3), classes(22, k=3), loss=nn.cross_entropy, epochs=5,
              log_every=3, health=2, store=RunLog(folder, "a"))  # fmt: skip
    with RunStore(folder) as store:
        yield run, store


def test_the_checksum_of_the_rfc():
    # RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and counting up.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_a_record():
    found = record_of(b"abc")
    assert struct.unpack("<Q", found[:8]) == (3,) and found[12:15] == b"abc"
    assert len(found) == 8 + 4 + 3 + 4


def test_a_message_by_hand():
    # Fields: 1 (fixed64), 2 (varint 300), 5 (a summary of one value with tag and fixed32).
    value = b"\x0a\x01x" + b"\x15" + struct.pack("<f", 0.5)
    summary = b"\x0a" + bytes([len(value)]) + value
    by_hand = b"\x09" + struct.pack("<d", 2.0) + b"\x10\xac\x02" + b"\x2a" + bytes([len(summary)])
    assert scalar_event(2.0, 300, {"x": 0.5}) == by_hand + summary


def test_tensorboard_reads_it(stored, tmp_path):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    run, store = stored
    path = write_events(store, store.record("a"), tmp_path / "logs" / "a")
    events = list(loading.LegacyEventFileLoader(str(path)).Load())
    assert events[0].file_version == "brain.Event:2"
    found = {}
    for event in events[1:]:
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    np.testing.assert_array_equal([step for step, _ in found["epoch/loss"]], range(5))
    np.testing.assert_array_equal(
        [value for _, value in found["epoch/loss"]], np.float32(run.history["loss"])
    )
    assert [step for step, _ in found["step/loss"]] == run.step_history["step"]
    assert [step for step, _ in found["health/gradient_norm/layers.0.weight"]] == run.health["step"]
    times = [event.wall_time for event in events]
    assert min(times) == times[0] > 1e9


def test_where_it_cannot_be_written(stored, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write_events(stored[1], stored[1].record("a"), tmp_path / "file" / "a")


def test_json_lines(stored):
    run, store = stored
    rows = [json.loads(line) for line in json_lines(store, store.record("a")).splitlines()]
    assert rows[0]["type"] == "run" and rows[0]["name"] == "a"
    epochs = [row for row in rows if row["type"] == "epoch"]
    assert [row["loss"] for row in epochs] == run.history["loss"]
    assert [row["epoch"] for row in epochs] == list(range(5))
    assert [row["step"] for row in rows if row["type"] == "step"] == run.step_history["step"]
    assert [row["kind"] for row in rows if row["type"] == "event"] == ["started", "stopped"]
