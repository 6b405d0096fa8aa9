from __future__ import annotations

import os

import numpy as np
import pytest
from click.testing import CliRunner

from backlight.cli import main
from backlight.cli.bench import JOBS, Effort, Row, compare, table
from backlight.cli.bench_peers import PEERS, Job

SMALL = Job((3, 4, 3), 4, 2)


def test_a_ratio_is_the_median_within_rounds_against_the_fastest():
    times = {"Backlight": [1, 10, 6], "JAX": [2, 30, 60], "PyTorch": [100, 100, 100]}
    assert Row("digits", JOBS["digits"], times).ratio() == ("JAX", 3)


def test_alone_there_is_no_ratio():
    row = Row("digits", JOBS["digits"], {"Backlight": [1.5]})
    assert row.ratio() is None
    assert "digits 64-128-10, batch 32" in table([row]) and "1.5" in table([row])


def test_every_class_has_examples():
    for job in JOBS.values():
        X, y = job.data()
        assert X.dtype == np.float32 and len(X) == len(y) == job.batch * job.steps
        assert set(y) == set(range(job.sizes[-1]))


def test_backlight_is_timed_in_a_process_of_its_own():
    before = dict(os.environ)
    found = compare(SMALL, ["Backlight"], Effort(2, 1e-3), "reference")
    assert list(found) == ["Backlight"] and len(found["Backlight"]) == 2
    assert min(found["Backlight"]) > 0
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_trains(name):
    module, make = PEERS[name]
    pytest.importorskip(module)
    assert make(SMALL)(2) > 0


def test_an_unknown_network_is_a_usage_error():
    found = CliRunner().invoke(main, ["bench", "nothing"])
    assert found.exit_code == 2
    assert "choose from small, digits, mnist" in found.output
