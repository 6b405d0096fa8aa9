"""Holding the garbage collector back."""

from __future__ import annotations

import gc

import pytest

from backlight.graph.collector import collector_held


def test_the_collector_is_held_and_let_go() -> None:
    assert gc.isenabled()
    with collector_held():
        assert not gc.isenabled()
        with collector_held():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_lets_it_go_too() -> None:
    with pytest.raises(KeyError), collector_held():
        raise KeyError
    assert gc.isenabled()


def test_one_that_is_switched_off_stays_so() -> None:
    gc.disable()
    try:
        with collector_held():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
