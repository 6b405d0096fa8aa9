"""Weights to and from PyTorch: state dicts as safetensors files, matched by structure.

In PyTorch the second layer of a ``Sequential`` is called ``1.weight`` and here
``layers.1.weight``; a linear layer's weight has shape (out, in) in both.  `load_state_dict` finds
which array belongs to which parameter, or says in one sentence why it cannot.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import load as from_safetensors
from safetensors.numpy import save as to_safetensors

from backlight import nn
from backlight.data.messages import reason
from backlight.errors import DataError, DtypeError, ShapeError, UnknownNameError, UsageError
from backlight.graph.primitive import Array
from backlight.train.durable import write_durably

_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What wrappers put before every name: DataParallel, torch.compile, and habits."""

PathLike = str | os.PathLike[str]


def load_state_dict(net: Any, source: PathLike | Mapping[str, ArrayLike]) -> dict[str, str]:
    """Give a network the weights of a state dict.

    Parameters
    ----------
    net : object
        A network; its parameters keep their dtypes.
    source : path or mapping of str to array_like
        A safetensors file, such as ``safetensors.torch.save_file(model.state_dict(), path)``
        writes, or the arrays by name.

    Returns
    -------
    dict of str to str
        For each parameter of the network, the name of the array that it got.

    Raises
    ------
    DataError
        When the file cannot be read or is none.
    UnknownNameError
        When arrays are missing or left over, or which belongs where is not certain.
    ShapeError
        When names fit and shapes do not.

    Notes
    -----
    Names are compared after leaving out what one side adds: ``layers`` for the layers of a
    `Sequential`, and prefixes such as ``module.``.  When the names differ altogether, parameters
    are matched in order, provided that only one order of the layers fits; after an error the
    network is as it was.

    Examples
    --------
    >>> import numpy as np
    >>> net = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> load_state_dict(net, {"0.weight": np.array([[1.0, 2.0]]), "0.bias": np.array([3.0])})
    {'layers.0.weight': '0.weight', 'layers.0.bias': '0.bias'}
    >>> net([1.0, 1.0])
    Tensor([6.])
    """
    arrays = _read(Path(source)) if isinstance(source, (str, os.PathLike)) else _plain(source)
    known = nn.parameters(net)
    if not known:
        raise UsageError(f"{type(net).__name__} has no parameters to load.")
    shapes = {name: each.shape for name, each in known.items()}
    found = match(_torch_names(net), shapes, {name: each.shape for name, each in arrays.items()})
    for given in found.values():
        if arrays[given].dtype.kind not in "iuf":
            raise DtypeError(
                f"The array {given} holds {arrays[given].dtype}, not real numbers; convert it."
            )
    nn.load(net, {name: arrays[given] for name, given in found.items()})
    return found


def state_dict(net: Any) -> dict[str, Array]:
    """Return copies of a network's weights under the names that PyTorch would give them.

    Examples
    --------
    >>> list(state_dict(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), seed=0)))
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    names = _torch_names(net)
    return {names[name]: array for name, array in nn.state(net).items()}


def save_state_dict(net: Any, path: PathLike) -> Path:
    """Write a network's weights as a safetensors file that PyTorch loads.

    Parameters
    ----------
    net : object
    path : path
        Replaced when it exists; written whole or not at all.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        When it cannot be written.

    Notes
    -----
    In PyTorch: ``model.load_state_dict(safetensors.torch.load_file(path))``.
    """
    target = Path(path)
    arrays = {name: np.ascontiguousarray(each) for name, each in state_dict(net).items()}
    try:
        write_durably(target, to_safetensors(arrays))
    except OSError as error:
        raise DataError(
            f"{target} cannot be written ({reason(error)}); choose another place."
        ) from error
    return target


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def _torch_names(net: Any) -> dict[str, str]:
    """Return what each parameter would be called in PyTorch: without ``layers`` of sequences."""
    sequences = {
        name for name, module in nn.named_modules(net).items() if isinstance(module, nn.Sequential)
    }
    found = {}
    for name in nn.parameters(net):
        parts = name.split(".")
        kept = [
            part
            for k, part in enumerate(parts)
            if not (part == "layers" and ".".join(parts[:k]) in sequences)
        ]
        found[name] = ".".join(kept)
    if len(set(found.values())) < len(found):
        return {name: name for name in found}
    return found


def match(
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    given: Mapping[str, tuple[int, ...]],
) -> dict[str, str]:
    """Find the array of each parameter.

    Parameters
    ----------
    names : mapping of str to str
        The parameters of the network, and what they would be called in PyTorch.
    shapes, given : mapping of str to tuple of int
        Of the parameters and of the arrays.

    Raises
    ------
    UnknownNameError, ShapeError
    """
    for rename in (lambda name: name, lambda name: names[name]):
        for prefix in ("", *_prefixes(list(given))):
            found = {name: prefix + rename(name) for name in names}
            if set(found.values()) == set(given):
                _check_shapes(found, shapes, given)
                return found
    return _by_structure(names, shapes, given)


def _prefixes(given: Sequence[str]) -> list[str]:
    """Return what all names begin with, as far as it is a wrapper or a module."""
    first, last = min(given), max(given)  # what these share, all between them share
    same = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    common = first[:same]
    whole = common[: common.rfind(".") + 1]
    found = [prefix for prefix in _WRAPPERS if common.startswith(prefix)]
    return [*dict.fromkeys([whole, *found])] if whole else []


def _check_shapes(
    found: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    given: Mapping[str, tuple[int, ...]],
) -> None:
    wrong = [
        f"{array} has shape {given[array]} and {name} {shapes[name]}"
        for name, array in found.items()
        if given[array] != shapes[name]
    ]
    if wrong:
        raise ShapeError(
            f"The state dict does not fit the network: {'; '.join(wrong[:6])}"
            f"{f'; and {len(wrong) - 6} more' if len(wrong) > 6 else ''}."
        )


Layer = tuple[tuple[str, tuple[int, ...]], ...]


def _by_structure(
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    given: Mapping[str, tuple[int, ...]],
) -> dict[str, str]:
    """Match layers by what they hold, when no two orders of them would do."""
    mine, theirs = _layers(shapes), _layers(given)
    ordered = sorted(theirs, key=_natural)
    if [_kind(mine[each], shapes) for each in mine] != [
        _kind(theirs[each], given) for each in ordered
    ]:
        raise _misfit(names, shapes, given)
    for kind in {_kind(theirs[each], given) for each in theirs}:
        alike = [each for each in ordered if _kind(theirs[each], given) == kind]
        if len({re.sub(r"\d+", "#", each) for each in alike}) > 1:
            raise UnknownNameError(
                f"The layers {', '.join(alike)} of the state dict are alike, and their names do "
                f"not say which belongs where; rename them to those of the network "
                f"({', '.join(names.values())})."
            )
    found = {}
    for layer, other in zip(mine, ordered, strict=True):
        for own, array in zip(sorted(mine[layer]), sorted(theirs[other]), strict=True):
            found[own] = array
    return {name: found[name] for name in names}


def _layers(names: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the parameters of each layer, in order of the layers' first ones."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition(".")[0], []).append(name)
    return found


def _kind(names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> Layer:
    return tuple(sorted((name.rpartition(".")[2], shapes[name]) for name in names))


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Order numbers within names by their size."""
    return [
        (0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part
    ]


def _misfit(
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    given: Mapping[str, tuple[int, ...]],
) -> UnknownNameError:
    missing = [f"{names[each]} {shapes[each]}" for each in names if names[each] not in given]
    expected = set(names.values())
    extra = [f"{each} {shape}" for each, shape in given.items() if each not in expected]
    parts = [
        f"{what} {', '.join(each[:6])}{f' and {len(each) - 6} more' if len(each) > 6 else ''}"
        for what, each in (("it lacks", missing), ("the network has no place for", extra))
        if each
    ]
    return UnknownNameError(f"The state dict does not fit the network: {'; '.join(parts)}.")


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def _read(path: Path) -> dict[str, Array]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({reason(error)}); check the path.") from error
    try:
        found: dict[str, Array] = from_safetensors(content)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        pickled = content[:2] == b"PK" or content[:1] == b"\x80"
        hint = (
            "it is a pickle of PyTorch; write it anew with safetensors.torch.save_file("
            "model.state_dict(), path)"
            if pickled
            else f"{str(error)[:100].rstrip('.')}; NumPy must know its dtypes"
        )
        raise DataError(f"{path} is no safetensors file that can be read: {hint}.") from error
    return found


def _plain(source: Mapping[str, ArrayLike]) -> dict[str, Array]:
    if not isinstance(source, Mapping):
        raise UsageError(
            f"A state dict must be a path or a mapping of names to arrays, not "
            f"{type(source).__name__}."
        )
    found = {}
    for name, value in source.items():
        detach = getattr(value, "detach", None)  # a tensor of PyTorch's that carries gradients
        found[str(name)] = np.asarray(value if detach is None else detach())
    return found
