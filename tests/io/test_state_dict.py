"""State dicts from and to PyTorch: matched by structure, checked, and the same outputs."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save as to_bytes
from safetensors.numpy import save_file

from backlight import nn
from backlight.errors import BacklightError, DataError, ShapeError, UnknownNameError, UsageError
from backlight.io import load_state_dict, save_state_dict, state_dict


def network(seed=0):
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 3),
        seed=seed,
    )  # fmt: skip


class Own(nn.Module):
    """With names as people give them in PyTorch."""

    def __init__(self):
        self.features = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), seed=0)
        self.head = nn.Linear(5, 2, seed=1)

    def __call__(self, x):
        return self.head(self.features(x))


def test_a_networks_own_names_and_pytorchs():
    net, other = network(0), network(1)
    load_state_dict(other, nn.state(net))
    np.testing.assert_array_equal(other(np.ones((2, 4))).value, net(np.ones((2, 4))).value)
    names = list(state_dict(net))
    assert names == ["0.weight", "0.bias", "2.0.weight", "2.0.bias", "3.weight", "3.bias"]
    assert list(state_dict(Own())) == [
        "features.0.weight", "features.0.bias", "head.weight", "head.bias",
    ]  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "encoder.body."])
def test_prefixes_of_wrappers(tmp_path, prefix):
    net, other = network(0), network(1)
    save_file({prefix + name: each for name, each in state_dict(net).items()}, tmp_path / "f")
    found = load_state_dict(other, tmp_path / "f")
    assert found["layers.2.layers.0.weight"] == f"{prefix}2.0.weight"
    np.testing.assert_array_equal(other(np.ones((2, 4))).value, net(np.ones((2, 4))).value)


def test_other_names_are_matched_in_order_where_only_one_fits():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8),
                        nn.ReLU(), nn.Linear(8, 2), seed=0)  # fmt: skip
    rng = np.random.default_rng(0)
    given_shapes = {"fc1": (8, 4), "fc2": (8, 8), "fc10": (8, 8), "fc11": (2, 8)}
    arrays = {}
    for name, shape in given_shapes.items():
        arrays[f"{name}.bias"] = rng.normal(size=shape[0])
        arrays[f"{name}.weight"] = rng.normal(size=shape)
    found = load_state_dict(net, arrays)
    assert [found[f"layers.{k}.weight"] for k in (0, 2, 4, 6)] == [
        "fc1.weight", "fc2.weight", "fc10.weight", "fc11.weight",
    ]  # fmt: skip
    alike = {re.sub("fc2", "a_first", re.sub("fc10", "b_second", k)): v for k, v in arrays.items()}
    with pytest.raises(UnknownNameError):
        load_state_dict(net, alike)


def test_layers_that_are_alike_are_not_guessed():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False), seed=0)
    arrays = {"encode.weight": np.eye(3), "decode.weight": 2 * np.eye(3)}
    before = nn.state(net)
    with pytest.raises(UnknownNameError, match="do not say which belongs where"):
        load_state_dict(net, arrays)
    for name, each in nn.state(net).items():
        np.testing.assert_array_equal(each, before[name])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda d: d.pop("3.bias"), UnknownNameError, r"it lacks 3.bias \(3,\)"),
        (lambda d: d.update(extra=np.zeros(2)), UnknownNameError, r"no place for extra \(2,\)"),
        (
            lambda d: d.update({"3.weight": np.zeros((8, 3))}),
            ShapeError,
            r"3.weight has shape \(8, 3\) and layers.3.weight \(3, 8\)",
        ),
        (lambda d: d.update({"3.bias": np.zeros(3, bool)}), BacklightError, "bool"),
    ],
)
def test_what_does_not_fit_is_named(change, error, says):
    arrays = state_dict(network(0))
    change(arrays)
    other = network(1)
    before = nn.state(other)
    with pytest.raises(error, match=says) as caught:
        load_state_dict(other, arrays)
    assert "\n" not in str(caught.value)
    for name, each in nn.state(other).items():
        np.testing.assert_array_equal(each, before[name])


def test_files_that_are_none(tmp_path):
    net = network()
    with pytest.raises(DataError, match="cannot be read"):
        load_state_dict(net, tmp_path / "none")
    for content, says in (
        (b"", "no safetensors"),
        (b"PK\x03\x04 a zip", "pickle of PyTorch; write it anew"),
        (b"\x80\x02 a pickle", "pickle of PyTorch"),
        (to_bytes({"a": np.zeros(3)})[:-4], "no safetensors"),
    ):
        (tmp_path / "f").write_bytes(content)
        with pytest.raises(DataError, match=says):
            load_state_dict(net, tmp_path / "f")
    with pytest.raises(UsageError):
        load_state_dict(net, 3)
    with pytest.raises(UsageError, match="no parameters"):
        load_state_dict(nn.Sequential(nn.ReLU()), {})
    with pytest.raises(DataError, match="cannot be written"):
        save_state_dict(net, tmp_path / "no" / "f")


tried = []


@given(st.data())
def test_fuzzed_files_are_refused_or_loaded(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzzed") / "f"
    content = bytearray(to_bytes(state_dict(network())))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content), 700) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content)
    tried.append(0)
    try:
        load_state_dict(network(), path)
    except BacklightError:
        return


def test_the_fuzzing_did_something():
    assert len(tried) >= 50


# ---- against PyTorch ----------------------------------------------------------------------------


def torch_network(torch):
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.ReLU(),
        torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh()), torch.nn.Linear(8, 3),
    )  # fmt: skip


def test_pytorchs_weights_give_pytorchs_outputs(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as torch_save

    torch.manual_seed(0)
    model = torch_network(torch)
    torch_save(model.state_dict(), tmp_path / "model.safetensors")
    net = network()
    load_state_dict(net, tmp_path / "model.safetensors")
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(net(x).value, expected, rtol=1e-5, atol=1e-6)
    again = network(2)
    load_state_dict(again, model.state_dict())
    np.testing.assert_array_equal(again(x).value, net(x).value)


def test_pytorch_loads_what_is_saved(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    net = network(3)
    model = torch_network(torch)
    model.load_state_dict(load_file(save_state_dict(net, tmp_path / "net.safetensors")))
    x = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    with torch.no_grad():
        found = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, net(x).value, rtol=1e-5, atol=1e-6)
