"""What is measured in new processes: cold starts, compile times, peak memory, and sizes on disk."""

from __future__ import annotations

import importlib.metadata
import re
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.driver import ROOT, AbsentError, Say, run_script, take_turns

SCRIPTS = ROOT / "benchmarks" / "scripts"

COLD: Mapping[str, str] = {
    "Backlight, trained": "cold_backlight",
    "PyTorch, trained": "cold_pytorch",
    "JAX, trained": "cold_jax",
    "scikit-learn, trained": "cold_sklearn",
}
IMPORTS: Mapping[str, str] = {
    "import torch": "import torch",
    "import jax": "import jax",
    "import sklearn": "import sklearn.neural_network",
    "import backlight": "import backlight",
    "import numpy": "import numpy",
}
PACKAGES: Mapping[str, str] = {
    "Backlight": "backlight",
    "PyTorch": "torch",
    "JAX": "jax",
    "scikit-learn": "scikit-learn",
    "autograd": "autograd",
    "tinygrad": "tinygrad",
    "micrograd": "micrograd",
}


def _script(name: str) -> str:
    return f"exec(compile(open({str(SCRIPTS / (name + '.py'))!r}).read(), {name!r}, 'exec'))"


def _medians(seconds: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    return [{"name": name, "seconds": list(each)} for name, each in seconds.items()]


def cold_starts(say: Say, rounds: int) -> list[dict[str, Any]]:
    """Return the seconds from the start of a process to its end, for training and for imports.

    Backlight appears twice: with nothing in its cache, and again with what that left there.
    """
    from backlight.data import load

    train, test = load("digits").split(test=0.2, seed=0)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        digits = Path(folder) / "digits.npz"
        X = np.concatenate([train.X, test.X]).astype(np.float32)
        np.savez(digits, X=X, y=np.concatenate([train.y, test.y]))
        results: dict[str, str] = {}
        turns: dict[str, Callable[[], float]] = {}
        count = 0

        def trained(name: str, cache: str | None) -> float:
            nonlocal count
            count += 1
            where = cache or str(Path(folder) / f"empty {count}")
            variables = {"XDG_CACHE_HOME": where}
            seconds, said = run_script(_script(COLD[name]), str(digits), variables=variables)
            results[name] = said.strip()
            return seconds

        for name in COLD:
            turns[name] = lambda name=name: trained(name, None)
        kept = str(Path(folder) / "kept")
        turns["Backlight, trained, cached"] = lambda: trained("Backlight, trained", kept)
        for name, code in IMPORTS.items():
            turns[name] = lambda code=code: run_script(code)[0]
        for name in list(turns):
            try:
                turns[name]()  # from disk into memory; and fills the cache that is kept
            except AbsentError as error:
                say(f"  cold start: {name}: {error}")
                found.append({"name": name, "absent": str(error)})
                del turns[name]
        for row in _medians(take_turns(turns, rounds)):
            said = results.get(row["name"].removesuffix(", cached"))
            if said:
                accuracy, epochs = said.split()
                row |= {"accuracy": float(accuracy), "epochs": int(epochs)}
            found.append(row)
    return found


def compile_times(say: Say, rounds: int, networks: Sequence[str]) -> list[dict[str, Any]]:
    """Return the seconds that compiling takes: with an empty cache, and in the next process.

    Before it comes the start of the library, which is given by itself.
    """
    found = []
    for network in networks:
        rows: dict[str, dict[str, Any]] = {}
        for _ in range(rounds):
            for name in ("Backlight", "JAX scan", "PyTorch compile"):
                lists = ("first", "cached", "first_start", "cached_start")
                row = rows.setdefault(
                    name, {"network": network, "name": name} | {each: [] for each in lists}
                )
                if "absent" in row:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    variables = {
                        "XDG_CACHE_HOME": folder,
                        "JAX_COMPILATION_CACHE_DIR": folder + "/jax",
                        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
                        "TORCHINDUCTOR_CACHE_DIR": folder + "/torch",
                    }
                    try:
                        for which in ("first", "cached"):
                            _, said = run_script(
                                _script("compile_time"), name, network, variables=variables
                            )
                            start, seconds = map(float, said.splitlines()[-1].split())
                            row[which].append(seconds)
                            row[f"{which}_start"].append(start)
                    except AbsentError as error:
                        say(f"  compile time: {name}: {error}")
                        row["absent"] = str(error)
        found += rows.values()
    return found


def peak_memory(say: Say, rounds: int, networks: Sequence[str]) -> list[dict[str, Any]]:
    """Return the most memory in bytes that a training process took, the median of a few."""
    found = []
    for network in networks:
        for name in ("Backlight", "PyTorch eager", "JAX scan", "scikit-learn", "autograd"):
            row: dict[str, Any] = {"network": network, "name": name}
            found.append(row)
            try:
                said = [
                    run_script(_script("peak_memory"), name, network, threads=1)[1]
                    for _ in range(rounds)
                ]
            except AbsentError as error:
                say(f"  peak memory: {name}: {error}")
                row["absent"] = str(error)
                continue
            row["bytes"] = statistics.median(float(each.split()[-1]) for each in said)
    return found


def install_sizes() -> list[dict[str, Any]]:
    """Return the bytes on disk of each library with all that it requires, as pip installs it."""
    found = []
    for name, package in PACKAGES.items():
        try:
            packages = sorted(closure(package))
        except importlib.metadata.PackageNotFoundError:
            found.append({"name": name, "absent": "not installed"})
            continue
        sizes = {each: _bytes_of(each) for each in packages}
        found.append({"name": name, "bytes": sum(sizes.values()), "packages": sizes})
    return found


def closure(package: str) -> set[str]:
    """Return a distribution and all that it requires, without extras.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        When the distribution itself is not installed.
    """
    waiting, seen = [_plain(package)], set()
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        try:
            required = importlib.metadata.requires(each) or []
        except importlib.metadata.PackageNotFoundError:
            if each == _plain(package):
                raise
            continue  # for another system
        seen.add(each)
        for line in required:
            if "extra ==" not in line:
                match = re.match(r"[A-Za-z0-9._-]+", line)
                assert match is not None
                waiting.append(_plain(match.group()))
    return seen


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _bytes_of(package: str) -> int:
    if package == "backlight":  # installed from its sources: they are what a wheel holds
        import backlight

        folder = Path(backlight.__file__).parent
        files = [each for each in folder.rglob("*") if "__pycache__" not in each.parts]
        return sum(each.stat().st_size for each in files if each.is_file())
    total = 0
    for entry in importlib.metadata.files(package) or []:
        path = Path(str(entry.locate()))
        if path.is_file() and path.suffix != ".pyc":
            total += path.stat().st_size
    return total
