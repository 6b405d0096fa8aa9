"""Callbacks see training as it is, can stop it, and cannot spoil it; nor can an interruption."""

from __future__ import annotations

import numpy as np
import pytest
from tests.train.networks import assert_same, examples, tiny, values

from backlight import nn, optim
from backlight.train import Callback, fit


def train(net, callbacks, epochs=4, **options):
    return fit(net, examples(10), loss=nn.mse, optimizer=optim.SGD(0.1), epochs=epochs,
               batch_size=4, callbacks=callbacks, **options)  # fmt: skip


def test_a_function_is_called_after_every_epoch():
    seen = []
    run = train(tiny(), [lambda state: seen.append((state.epoch, state.step, state.epochs))])
    assert seen == [(0, 3, 4), (1, 6, 4), (2, 9, 4), (3, 12, 4)]
    assert run.stopped == "finished"


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_the_loss_after_an_epoch_is_that_of_its_last_batch(executor):
    X, y = examples(10)
    net, seen = tiny(), []
    weights = list(values(net).values())  # a rate as small as this leaves them as they are
    fit(net, (X, y), loss=nn.mse, optimizer=optim.SGD(1e-12), epochs=2, batch_size=4,
        shuffle=False, callbacks=[lambda state: seen.append(state.loss)],
        executor=executor)  # fmt: skip
    hidden = np.tanh(X @ weights[0].T + weights[1])
    expected = np.mean((hidden @ weights[2].T + weights[3] - y)[8:] ** 2)
    assert seen == pytest.approx([expected] * 2, rel=1e-8)


def test_the_network_has_the_parameters_of_the_moment():
    net = tiny()

    def check(state):
        assert state.net is net
        assert_same(values(net), dict(state.parameters))
        seen.append(values(net))

    seen = []
    run = train(net, [check])
    for epoch, each in enumerate(seen):
        assert_same(each, run.parameters_at(3 * (epoch + 1)))


class Steps:
    def __init__(self, stop_at=None, error=None):
        self.losses = []
        self.stop_at = stop_at
        self.error = error

    def on_step_end(self, state):
        self.losses.append(state.loss)
        if state.step == self.stop_at:
            if self.error is not None:
                raise self.error
            return True
        return None


def test_steps_can_be_watched_and_stopped():
    net, watch = tiny(), Steps(stop_at=5)
    run = train(net, [watch], log_every=1)
    assert run.stopped == "callback" and run.steps == 5 and run.epochs == 1
    assert watch.losses == run.step_history["loss"]
    assert_same(values(net), run.parameters_at(5))


def test_epochs_can_be_stopped():
    run = train(tiny(), [lambda state: state.epoch == 1])
    assert run.stopped == "callback" and run.epochs == 2


def test_only_true_stops():
    assert train(tiny(), [lambda state: 1, lambda state: "yes"]).stopped == "finished"


def test_all_callbacks_are_called_even_when_one_stops():
    seen = []
    train(tiny(), [lambda state: True, lambda state: seen.append(state.epoch)])
    assert seen == [0]


def test_an_interruption_keeps_what_was_learnt():
    net = tiny()
    run = train(net, [Steps(stop_at=7, error=KeyboardInterrupt())])
    assert run.stopped == "interrupted" and run.steps == 7 and run.epochs == 2
    whole = tiny()
    straight = train(whole, [])
    assert_same(values(net), straight.parameters_at(7))
    assert_same(values(net), run.parameters_at(7))


def test_an_interruption_within_a_step_leaves_the_state_before_or_after_it(monkeypatch):
    from backlight.train.engine import Engine

    net = tiny()
    original = Engine.advance
    calls = []

    def advance_and_interrupt(self, *arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(Engine, "advance", advance_and_interrupt)
    run = train(net, [], executor="reference")
    assert run.stopped == "interrupted" and run.steps == 5
    assert_same(values(net), run.parameters_at(5))


def test_an_error_in_a_callback_comes_through_and_the_weights_are_kept():
    net = tiny()
    with pytest.raises(ZeroDivisionError):
        train(net, [Steps(stop_at=7, error=ZeroDivisionError())])
    assert_same(values(net), train(tiny(), []).parameters_at(7))


def test_the_base_class_does_nothing():
    class Own(Callback):
        pass

    assert train(tiny(), [Own()]).stopped == "finished"


def test_a_callback_with_both_methods():
    class Both(Steps):
        epochs = 0

        def on_epoch_end(self, state):
            self.epochs += 1
            assert state.history["loss"][-1] == pytest.approx(
                np.dot(self.losses[-3:], [4, 4, 2]) / 10
            )

    both = Both()
    train(tiny(), [both])
    assert both.epochs == 4 and len(both.losses) == 12
