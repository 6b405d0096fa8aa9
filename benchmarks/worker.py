"""A process that does one library's work when it is asked to, and sleeps otherwise.

    python -m benchmarks.worker NAME THREADS

It reads one request a line on stdin, ``{"do": "prepare", …}``, and answers each with one line on
stdout.  A library has a process of its own so that its threads and its memory disturb no other;
what limits its threads is set before it is imported, by `environment`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from benchmarks.networks import Arrays, Network


class Trainer(Protocol):
    """A network on its data, ready to be trained by one library."""

    def run(self, epochs: int) -> float:
        """Train so many epochs more and return the seconds that they took."""
        ...

    def weights(self) -> Arrays:
        """Return W₁, b₁, … as `first_weights` has them."""
        ...

    def close(self) -> None:
        """Let go of everything."""


class NotHereError(Exception):
    """What is asked for is not installed here, or the library cannot do it; the reason in words."""


def environment(threads: int) -> dict[str, str]:
    """Return the variables that grant every library so many threads."""
    count = str(threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "CPU_COUNT")
    found = dict.fromkeys(names, count)
    found["JAX_PLATFORMS"] = "cpu"
    found["DEV"] = "CPU"
    if threads == 1:
        found["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return found


PEERS: Mapping[str, tuple[str, str]] = {
    "Backlight": ("benchmarks.peers.native", "train"),
    "JAX scan": ("benchmarks.peers.xla", "scan"),
    "JAX step": ("benchmarks.peers.xla", "step"),
    "PyTorch eager": ("benchmarks.peers.pytorch", "eager"),
    "PyTorch compile": ("benchmarks.peers.pytorch", "compiled"),
    "scikit-learn": ("benchmarks.peers.sklearn_mlp", "train"),
    "autograd": ("benchmarks.peers.hips", "train"),
    "tinygrad": ("benchmarks.peers.tiny", "train"),
}
"""For each way of training: the module and the function that makes a `Trainer`."""


def trainer(name: str, network: Network, threads: int, shuffle: bool) -> Trainer:
    """Return a library's trainer with the first weights.

    Raises
    ------
    NotHereError
        When the library is not installed or lacks something.
    """
    module, function = PEERS[name]
    try:
        make = getattr(importlib.import_module(module), function)
    except ImportError as error:
        raise NotHereError(f"{error.name or 'it'} is not installed") from error
    found: Trainer = make(network, threads, shuffle)
    return found


class Worker:
    """Answers requests; see the module's text."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.threads = threads
        self.trainer: Trainer | None = None
        self.calls: dict[str, Any] = {}

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked for."""
        do = request["do"]
        if do == "prepare":
            network = Network.from_dict(request["network"])
            self.close()
            self.trainer = trainer(self.name, network, self.threads, request["shuffle"])
            return {}
        if do == "run":
            assert self.trainer is not None
            return {"seconds": self.trainer.run(request["epochs"])}
        if do == "weights":
            import numpy as np

            assert self.trainer is not None
            np.savez(request["path"], *self.trainer.weights())
            return {}
        if do == "call":
            # Anything else: a function of a module, kept in the process between its calls.
            key = request["function"]
            if key not in self.calls:
                module, _, function = key.rpartition(".")
                self.calls[key] = getattr(importlib.import_module(module), function)
            return {"result": self.calls[key](*request.get("arguments", ()))}
        if do == "close":
            self.close()
            return {}
        raise ValueError(f"A worker cannot {do!r}.")

    def close(self) -> None:
        """Let go of what was prepared."""
        if self.trainer is not None:
            self.trainer.close()
        self.trainer = None
        gc.collect()


def serve(name: str, threads: int, requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more."""
    worker = Worker(name, threads)
    for line in requests:
        try:
            answer = worker.answer(json.loads(line))
        except NotHereError as error:
            answer = {"absent": str(error)}
        except ImportError as error:
            answer = {"absent": f"{error.name or 'a library'} is not installed"}
        except Exception as error:  # noqa: BLE001 (whatever a library raises ends its part only)
            traceback.print_exc(file=sys.stderr)
            said = str(error).strip().splitlines()
            answer = {"failed": f"{type(error).__name__}: {said[0] if said else 'no message'}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    # Libraries print on stdout now and then; the answers keep the real one for themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.argv[1], int(sys.argv[2]), sys.stdin, answers)


if __name__ == "__main__":
    # By its full name, so that the exceptions that others import from here are the same ones.
    from benchmarks import worker

    worker.main()
