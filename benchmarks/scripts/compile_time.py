"""Prints how many seconds a library takes to start, and then to make a training step ready.

python benchmarks/scripts/compile_time.py LIBRARY NETWORK, in a new process

Starting is importing what it takes to train and to compile, and what a compiler does once in every
process.  Compiling is all from a network of parameters to a step that can be called: tracing,
differentiating, and machine code, made or found on disk.
"""

import sys
import time

import numpy as np

from benchmarks.networks import NETWORKS, data_of, first_weights

network = NETWORKS[sys.argv[2]]
X, y = data_of(network)


def backlight() -> tuple[float, float]:
    begun = time.perf_counter()
    import backlight as bl
    import backlight.execute.native.program
    from backlight.execute.native.engine import host

    host()  # starts LLVM
    few = np.zeros((2, 1))
    bl.fit(  # loads what trains, and compiles nothing
        bl.nn.Linear(1, 1),
        (few, few),
        loss=bl.nn.mse,
        optimizer=bl.optim.SGD(0.1),
        epochs=0,
        executor="reference",
    )
    if not cached():
        import backlight.execute.native.lower  # code that is kept does not need it
    started = time.perf_counter()
    from benchmarks.peers.native import make_network, optimizer_of

    net = make_network(network)
    rows = slice(2 * network.batch)  # how many there are makes no difference to a step
    ready = time.perf_counter()
    bl.fit(
        net,
        (X[rows], y[rows]),
        loss=bl.nn.cross_entropy,
        optimizer=optimizer_of(network),
        metrics=None,
        epochs=0,  # everything but the steps
        batch_size=network.batch,
        executor="native",
    )
    return started - begun, time.perf_counter() - ready


def cached() -> bool:
    """Whether an earlier process has left machine code."""
    from backlight.execute.native.cache import code_cache

    return code_cache().size() > 0


def jax() -> tuple[float, float]:
    begun = time.perf_counter()
    import jax.numpy as jnp

    jnp.zeros(1).block_until_ready()  # starts XLA
    started = time.perf_counter()
    from benchmarks.peers.xla import Scan

    training = Scan(network, True)
    ready = time.perf_counter()
    training.epoch.lower(training.state, training.X, training.y, training.order()).compile()
    return started - begun, time.perf_counter() - ready


def torch() -> tuple[float, float]:
    begun = time.perf_counter()
    import torch  # noqa: F401 (it is what is timed)

    started = time.perf_counter()
    from benchmarks.peers.pytorch import compiled

    training = compiled(network, 1, True)
    rows = np.arange(network.batch)
    ready = time.perf_counter()
    training.loss(training.X[rows], training.y[rows]).backward()
    return started - begun, time.perf_counter() - ready


first_weights(network)
print(*{"Backlight": backlight, "JAX scan": jax, "PyTorch compile": torch}[sys.argv[1]]())
