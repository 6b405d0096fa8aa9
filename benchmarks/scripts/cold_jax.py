"""A new process trains 64-128-10 on the digits with JAX until it is right on 97 %."""

import sys

import jax
import jax.numpy as jnp
import numpy as np

X, y = (np.asarray(each) for each in np.load(sys.argv[1]).values())
y = y.astype(np.int32)
n, steps = 1437, 44
generator = np.random.default_rng(0)


def layer(inputs, outputs):
    bound = inputs**-0.5
    W = generator.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)
    return W, np.zeros(outputs, np.float32)


def logits(weights, X):
    (W, b), (V, c) = weights
    return jax.nn.relu(X @ W.T + b) @ V.T + c


def loss(weights, X, y):
    logs = jax.nn.log_softmax(logits(weights, X))
    return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1))


def step(state, rows):
    weights, m, v, t = state
    gradients = jax.grad(loss)(weights, X[rows], y[rows])
    tree_map, t = jax.tree_util.tree_map, t + 1
    m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    a, b = 1 - 0.9**t, 1 - 0.999**t
    weights = tree_map(lambda w, m, v: w - 3e-3 * (m / a) / (jnp.sqrt(v / b) + 1e-8), weights, m, v)
    return (weights, m, v, t), None


@jax.jit
def epoch(state, order):
    state, _ = jax.lax.scan(step, state, order)
    return state, jnp.mean(jnp.argmax(logits(state[0], X[n:]), axis=1) == y[n:])


X, y = jnp.asarray(X), jnp.asarray(y)
weights = [layer(64, 128), layer(128, 10)]
zeros = jax.tree_util.tree_map(np.zeros_like, weights)
state = (weights, zeros, zeros, np.float32(0))
for number in range(1, 61):  # noqa: B007 (printed at the end)
    order = generator.permutation(n)[: 32 * steps].astype(np.int32).reshape(steps, 32)
    state, accuracy = epoch(state, order)
    if accuracy >= 0.97:
        break
print(float(accuracy), number)
