"""How long one derivation takes: `explain` of a weight, its text included, from a cold trace.

The network is 784-256-128-10 with ReLU and cross-entropy, on a batch of 64 and on one example,
and a wider one of a million weights.  Each number is the median over several weights of a layer;
every weight gets a trace of its own, so that nothing is kept from the one before.  The goal is
50 ms after `bl.record` for any weight of the first network.

Run: ``python benchmarks/explaining.py``
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
import tracemalloc

import numpy as np

import backlight as bl

GOAL = 50.0


def network(sizes: tuple[int, ...]) -> bl.nn.Sequential:
    layers: list[object] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [bl.nn.Linear(fan_in, fan_out), bl.nn.ReLU()]
    return bl.nn.Sequential(*layers[:-1], seed=0)


def data(sizes: tuple[int, ...], batch: int) -> tuple[bl.Tensor, bl.Tensor]:
    """A batch of random examples, or one example without a batch axis for 0."""
    generator = np.random.default_rng(0)
    shape = (batch, sizes[0]) if batch else (sizes[0],)
    classes = generator.integers(0, sizes[-1], batch) if batch else 3
    X = bl.tensor(generator.random(shape).astype(np.float32), name="X")
    return X, bl.tensor(classes, name="y")


def measure(sizes: tuple[int, ...], batch: int, weights: int) -> float:
    """Print one line per layer and return the slowest median in milliseconds."""
    net = network(sizes)
    X, y = data(sizes, batch)
    slowest = 0.0
    for layer in range(len(sizes) - 1):
        recorded, explained = [], []
        for k in range(weights + 1):
            loss = bl.nn.cross_entropy(net(X), y)
            start = time.perf_counter()
            trace = bl.record(loss)
            middle = time.perf_counter()
            row, column = (7 * k + 1) % sizes[layer + 1], (31 * k + 3) % sizes[layer]
            bl.explain(trace, weight=f"layers.{2 * layer}.weight[{row},{column}]").text()
            recorded.append(middle - start)
            explained.append(time.perf_counter() - middle)
        median = 1000 * statistics.median(explained[1:])
        slowest = max(slowest, median)
        name = "-".join(map(str, sizes))
        print(
            f"{name:<22} {f'batch {batch}' if batch else 'one example':<12} layer {layer + 1}: "
            f"record {1000 * statistics.median(recorded[1:]):7.1f} ms   "
            f"explain {median:7.1f} ms   slowest {1000 * max(explained[1:]):7.1f} ms"
        )
    return slowest


def memory(sizes: tuple[int, ...], batch: int) -> float:
    """The most that one derivation of a first-layer weight allocates, in MB."""
    net = network(sizes)
    X, y = data(sizes, batch)
    trace = bl.record(bl.nn.cross_entropy(net(X), y))
    tracemalloc.start()
    bl.explain(trace, weight="layers.0.weight[1,3]").text()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=7, help="weights per layer")
    weights = parser.parse_args().weights
    usual = (784, 256, 128, 10)
    slowest = max(measure(usual, batch, weights) for batch in (64, 0))
    measure((784, 1024, 256, 10), 64, max(weights // 2, 1))
    print(f"memory: {memory(usual, 64):.1f} MB for a first-layer weight of 784-256-128-10")
    print(f"slowest median {slowest:.1f} ms, goal {GOAL:.0f} ms")


if __name__ == "__main__":
    main()
