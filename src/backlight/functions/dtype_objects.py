"""The dtypes of tensors and the constants of the standard, under their standard names."""

from __future__ import annotations

import builtins
import math

import numpy as np

bool = np.dtype(builtins.bool)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
uint16 = np.dtype(np.uint16)
uint32 = np.dtype(np.uint32)
uint64 = np.dtype(np.uint64)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)

e = math.e
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi
