"""Layers, activations, losses and starting values for neural networks.

A network is any object that can be called and holds parameters; `Module` and `Sequential` make
that convenient.
"""

from __future__ import annotations

from backlight.nn import init
from backlight.nn.activations import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from backlight.nn.layers import Dropout, Flatten, Linear
from backlight.nn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber,
    l1,
    mse,
    nll,
    squared_error,
)
from backlight.nn.module import Mode, Module, describe, mode, running
from backlight.nn.sequential import Sequential, from_dict, initialize
from backlight.nn.tree import load, named_modules, parameters, state, substitute

__all__ = [
    # networks
    "Module", "Sequential", "Linear", "Dropout", "Flatten", "from_dict", "initialize", "init",
    "parameters", "named_modules", "substitute", "state", "load", "describe",
    "running", "mode", "Mode",
    # activations
    "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus", "Sigmoid", "Tanh", "Softmax",
    "LogSoftmax",
    "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh", "softmax",
    "log_softmax",
    # losses
    "squared_error", "mse", "l1", "huber", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "cross_entropy", "nll",
]  # fmt: skip
