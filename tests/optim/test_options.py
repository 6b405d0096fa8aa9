from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import backlight.optim as optim
from backlight.errors import UnknownNameError, UsageError
from backlight.optim import (
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    ByNorm,
    ByValue,
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    ReduceOnPlateau,
    RMSprop,
    Step,
    WarmUp,
    from_dict,
)
from backlight.optim.options import COUNT, POSITIVE, UNIT, Range

EXAMPLES: list[Any] = [
    SGD(0.1, 0.9, True, weight_decay=0.1, clip=ByNorm(2.0)),
    Adam(WarmUp(10, then=Cosine(0.1, 100)), clip=ByValue(0.5)),
    AdamW(ReduceOnPlateau(0.1, higher_is_better=True)),
    RMSprop(Step(0.1, 10), centered=True),
    Adagrad(OneCycle(0.1, 100, shape="linear")),
    Adadelta(Exponential(1.0, 0.99)),
    LBFGS(history=5, line_search="none"),
    Constant(0.1),
    WarmUp(3, then=0.1),
    ByNorm(1.0),
]


@pytest.mark.parametrize("options", EXAMPLES, ids=str)
def test_options_survive_json(options: Any) -> None:
    text = json.dumps(options.to_dict(), allow_nan=False)
    assert from_dict(json.loads(text)) == options


def test_every_class_can_be_made_from_its_name() -> None:
    needed = {
        **{"rate": 0.1, "factor": 0.5, "every": 2, "steps": 3, "peak": 1.0},
        **{"limit": 1.0, "then": 0.1},
    }
    for name in optim._NAMES:
        made = getattr(optim, name)
        fields = {key: needed[key] for key in made.__dataclass_fields__ if key in needed}
        assert from_dict({"name": made.__name__.lower(), **fields}) == made(**fields)
        assert made.__name__ in optim.__all__
    assert from_dict({"name": "adam"}) == Adam()


def test_numpy_numbers_become_plain_ones() -> None:
    written = SGD(np.float64(0.5), momentum=np.float32(0.5)).to_dict()
    assert type(written["learning_rate"]) is float
    assert json.loads(json.dumps(written))["momentum"] == 0.5
    assert Step(0.1, every=np.int64(3))(7).item() == pytest.approx(0.1 * 0.1**2)


@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        ({"name": "Adma"}, UnknownNameError, "There is no 'Adma' in bl.optim; did you mean 'Adam'"),
        ({"name": "?"}, UnknownNameError, "There is no '[?]' in bl.optim; there are Adadelta, "),
        (
            {"name": "Adam", "beta3": 1},
            UnknownNameError,
            "Adam has no option 'beta3'; did you mean 'beta",
        ),
        ({"learning_rate": 0.1}, UsageError, 'Options need a "name"'),
        ({"name": 3}, UsageError, 'Options need a "name"'),
        ({"name": "Cosine", "rate": 0.1}, UsageError, "Cosine needs a value for steps"),
        ({"name": "OneCycle"}, UsageError, "OneCycle needs a value for peak and steps"),
        ({"name": "Adam", "beta1": 2}, UsageError, "beta1 must be .* not 2"),
        ({"name": "SGD", "clip": {"name": "SGD"}}, UsageError, "clip must be ByValue"),
        ({"name": "SGD", "learning_rate": {"name": "SGD"}}, UsageError, "learning_rate must be"),
        ({"name": "SGD", "learning_rate": None}, UsageError, "learning_rate must be"),
        ({"name": "SGD", "learning_rate": [1]}, UsageError, "learning_rate must be"),
        ({"name": "SGD", "nesterov": "yes"}, UsageError, "nesterov must be True or False"),
    ],
)
def test_mistakes_are_named(written: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        from_dict(written)


def test_a_function_of_the_users_own_is_not_stored() -> None:
    with pytest.raises(UsageError, match="SGD: learning_rate is function, which cannot be stored"):
        SGD(lambda step: step).to_dict()


def test_ranges_know_their_ends() -> None:
    assert [UNIT.holds(x) for x in (0, 0.5, 1, -1e-9)] == [True, True, False, False]
    assert [POSITIVE.holds(x) for x in (0.0, 5e-324, np.inf, np.nan)] == [False, True, False, False]
    assert [COUNT.holds(x) for x in (1, 0, 2.0, True, np.int32(4))] == [
        *(True, False, False, False, True)
    ]
    assert str(Range(0.0, 1.0, with_high=True)) == "a finite number of at least 0 and at most 1"
    assert str(Range()) == "a finite number"
