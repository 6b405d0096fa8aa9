"""What ``backlight bench`` times: the same training in Backlight and in other libraries.

Each function takes a `Job` and gives a function from a number of epochs to the seconds that they
took.  `serve` runs one of them in a process of its own.  The other libraries are imported by name,
because Backlight does not need them.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from backlight.graph.primitive import Array

Epochs = Callable[[int], float]

RATE = 1e-3


@dataclass(frozen=True)
class Job:
    """A classifier with ReLU, cross-entropy and Adam, on random data in float32.

    Attributes
    ----------
    sizes : tuple of int
        Inputs, hidden layers, classes (three or more).
    batch, steps : int
        Examples in a batch, and batches in an epoch.
    threads : int
        For every library.
    """

    sizes: tuple[int, ...]
    batch: int
    steps: int
    threads: int = 1

    @property
    def title(self) -> str:
        """Sizes and batch in words."""
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}"

    def data(self) -> tuple[Array, Array]:
        """Return features of each class's pattern with noise, and the classes."""
        generator = np.random.default_rng(0)
        n, classes = self.batch * self.steps, self.sizes[-1]
        patterns = generator.random((classes, self.sizes[0]), np.float32)
        y = generator.integers(0, classes, n)
        return (patterns[y] + generator.random((n, self.sizes[0]), np.float32)) / 2, y


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that grant libraries so many threads.

    Examples
    --------
    >>> thread_variables(2)["OMP_NUM_THREADS"]
    '2'
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")
    found = dict.fromkeys(names, str(threads))
    if threads == 1:
        found["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return found


def torch_eager(job: Job) -> Epochs:
    """Return PyTorch's usual loop with a fused optimizer."""
    torch: Any = importlib.import_module("torch")
    X, y = (torch.from_numpy(each) for each in job.data())
    layers: list[Any] = []
    for pair in itertools.pairwise(job.sizes):
        layers += [torch.nn.Linear(*pair), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    loss_of = torch.nn.CrossEntropyLoss()

    def run(epochs: int) -> float:
        begun = time.perf_counter()
        for _ in range(epochs):
            for rows in torch.randperm(len(X)).split(job.batch):
                loss = loss_of(net(X[rows]), y[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        return time.perf_counter() - begun

    return run


def jax_scan(job: Job) -> Epochs:
    """Return JAX with an epoch as one compiled scan."""
    jax: Any = importlib.import_module("jax")
    jnp: Any = importlib.import_module("jax.numpy")
    X, y = (jnp.asarray(each) for each in job.data())
    generator = np.random.default_rng(1)
    weights = [
        (generator.normal(0, a**-0.5, (b, a)).astype(np.float32), np.zeros(b, np.float32))
        for a, b in itertools.pairwise(job.sizes)
    ]
    tree_map = jax.tree_util.tree_map

    def loss(weights: Any, X: Any, y: Any) -> Any:
        for W, b in weights[:-1]:
            X = jax.nn.relu(X @ W.T + b)
        logs = jax.nn.log_softmax(X @ weights[-1][0].T + weights[-1][1])
        return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1))

    def step(state: Any, rows: Any) -> Any:
        weights, m, v, t = state
        found, gradients = jax.value_and_grad(loss)(weights, X[rows], y[rows])
        t = t + 1
        m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
        v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
        a, b = 1 - 0.9**t, 1 - 0.999**t
        weights = tree_map(
            lambda w, m, v: w - RATE * (m / a) / (jnp.sqrt(v / b) + 1e-8), weights, m, v
        )
        return (weights, m, v, t), found

    epoch = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
    zeros = tree_map(jnp.zeros_like, weights)
    state: Any = (
        tree_map(jnp.asarray, weights), zeros, tree_map(jnp.zeros_like, weights), jnp.float32(0)
    )  # fmt: skip

    def run(epochs: int) -> float:
        nonlocal state
        begun = time.perf_counter()
        for _ in range(epochs):
            order = generator.permutation(len(X)).astype(np.int32)
            state, losses = epoch(state, order.reshape(job.steps, job.batch))
        jax.block_until_ready((state, losses))
        return time.perf_counter() - begun

    return run


def scikit_learn(job: Job) -> Epochs:
    """Return scikit-learn's classifier."""
    module: Any = importlib.import_module("sklearn.neural_network")
    X, y = job.data()
    net = module.MLPClassifier(
        job.sizes[1:-1],
        alpha=0.0,
        batch_size=job.batch,
        learning_rate_init=RATE,
        tol=0.0,
        n_iter_no_change=10**9,
        random_state=0,
    )
    warnings.simplefilter("ignore")  # not to have converged is meant

    def run(epochs: int) -> float:
        net.set_params(max_iter=epochs)
        begun = time.perf_counter()
        net.fit(X, y)
        return time.perf_counter() - begun

    return run


PEERS: Mapping[str, tuple[str, Callable[[Job], Epochs]]] = {
    "JAX": ("jax", jax_scan),
    "PyTorch": ("torch", torch_eager),
    "scikit-learn": ("sklearn", scikit_learn),
}
"""The module that has to be installed, and what trains with it."""


def serve_backlight(job: Job, executor: str, pipe: Connection) -> None:
    """Train with Backlight in one call of `fit` that waits for its next epochs."""
    import backlight as bl

    wanted = pipe.recv()
    spent, left = 0.0, wanted

    def after_epoch(state: bl.train.RunState) -> bool:
        nonlocal spent, left
        spent, left = spent + state.history["seconds"][-1], left - 1
        if left == 0:
            pipe.send(spent)
            spent, left = 0.0, pipe.recv()
        return bool(left == 0)

    layers: list[bl.nn.Module] = []
    for inputs, outputs in itertools.pairwise(job.sizes):
        layers += [bl.nn.Linear(inputs, outputs), bl.nn.ReLU()]
    bl.fit(
        bl.nn.Sequential(*layers[:-1], seed=0),
        job.data(),
        loss=bl.nn.cross_entropy,
        optimizer=bl.optim.Adam(RATE),
        epochs=10**9,
        batch_size=job.batch,
        callbacks=[after_epoch],
        executor=executor,
        threads=job.threads,
    )


def serve(name: str, job: Job, executor: str, pipe: Connection) -> None:
    """Answer numbers of epochs with seconds until there comes a 0 or nobody asks any more.

    What a library prints or complains of is not shown; a worker that fails closes its pipe.
    """
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    with contextlib.suppress(EOFError, BrokenPipeError):
        if name == "Backlight":
            serve_backlight(job, executor, pipe)
            return
        run = PEERS[name][1](job)
        while epochs := pipe.recv():
            pipe.send(run(epochs))
