"""Prints the seconds from a library's being imported to its first training step being possible.

python benchmarks/scripts/compile_time.py LIBRARY NETWORK, in a new process
"""

import sys
import time

import numpy as np

from benchmarks.networks import NETWORKS, data_of, first_weights

network = NETWORKS[sys.argv[2]]
X, y = data_of(network)


def backlight() -> float:
    import backlight as bl
    from benchmarks.peers.native import make_network, optimizer_of

    net = make_network(network)
    begun = time.perf_counter()
    bl.fit(
        net,
        (X, y),
        loss=bl.nn.cross_entropy,
        optimizer=optimizer_of(network),
        epochs=0,  # everything but the steps
        batch_size=network.batch,
        executor="native",
    )
    return time.perf_counter() - begun


def jax() -> float:
    import jax.numpy as jnp

    from benchmarks.peers.xla import Scan

    jnp.zeros(1).block_until_ready()  # starts XLA, which is not compiling
    training = Scan(network, True)
    begun = time.perf_counter()
    training.epoch.lower(training.state, training.X, training.y, training.order()).compile()
    return time.perf_counter() - begun


def torch() -> float:
    from benchmarks.peers.pytorch import compiled

    training = compiled(network, 1, True)
    rows = np.arange(network.batch)
    begun = time.perf_counter()
    training.loss(training.X[rows], training.y[rows]).backward()
    return time.perf_counter() - begun


first_weights(network)
print({"Backlight": backlight, "JAX scan": jax, "PyTorch compile": torch}[sys.argv[1]]())
