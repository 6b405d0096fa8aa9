"""Data: bundled and generated sets, readers of files, splits and preprocessing.

`load` takes the name of a set, `read` a path, `as_dataset` the program's own arrays; each gives
a `Dataset`, which splits exactly by a seed.  `Standardizer` is learnt from one and applied to
others.
"""

from __future__ import annotations

from backlight.data.arrays import as_dataset
from backlight.data.csv_file import read_csv, read_features
from backlight.data.dataset import Dataset
from backlight.data.idx_file import read_idx
from backlight.data.npz_file import read_npz
from backlight.data.preprocess import Standardizer
from backlight.data.sources import load, names, read
from backlight.data.target import Task

__all__ = [
    "Dataset",
    "Task",
    "load",
    "names",
    "read",
    "read_csv",
    "read_features",
    "read_idx",
    "read_npz",
    "as_dataset",
    "Standardizer",
]
