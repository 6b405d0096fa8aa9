"""Data: bundled and generated sets, readers of files, splits and preprocessing.

`load` takes the name of a set, `read` a path, `from_frame` a data frame, `as_dataset` the
program's own arrays; each gives a `Dataset`, which splits exactly by a seed.  `Standardizer` (for
arrays) and `Preprocessor` (for tables) are learnt from one and applied to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backlight.late import import_late

if TYPE_CHECKING:
    from backlight.data.arrays import as_dataset
    from backlight.data.columns import Column, LeftOut
    from backlight.data.csv_file import read_csv, read_features
    from backlight.data.dataset import Dataset
    from backlight.data.encode import Preprocessor, preprocessing_from_dict
    from backlight.data.frames import frame_rows, from_frame, is_frame
    from backlight.data.idx_file import read_idx
    from backlight.data.npy_file import read_npy
    from backlight.data.npz_file import read_npz
    from backlight.data.parquet_file import read_parquet
    from backlight.data.preprocess import Standardizer
    from backlight.data.sources import load, names, read, read_rows
    from backlight.data.target import Task
else:
    import_late(
        __name__,
        {
            "backlight.data.arrays": ("as_dataset",),
            "backlight.data.columns": ("Column", "LeftOut"),
            "backlight.data.csv_file": ("read_csv", "read_features"),
            "backlight.data.dataset": ("Dataset",),
            "backlight.data.encode": ("Preprocessor", "preprocessing_from_dict"),
            "backlight.data.frames": ("frame_rows", "from_frame", "is_frame"),
            "backlight.data.idx_file": ("read_idx",),
            "backlight.data.npy_file": ("read_npy",),
            "backlight.data.npz_file": ("read_npz",),
            "backlight.data.parquet_file": ("read_parquet",),
            "backlight.data.preprocess": ("Standardizer",),
            "backlight.data.sources": ("load", "names", "read", "read_rows"),
            "backlight.data.target": ("Task",),
        },
    )

__all__ = [
    "Dataset",
    "Column",
    "LeftOut",
    "Task",
    "load",
    "names",
    "read",
    "read_rows",
    "read_csv",
    "read_features",
    "read_idx",
    "read_npz",
    "read_npy",
    "read_parquet",
    "as_dataset",
    "from_frame",
    "frame_rows",
    "is_frame",
    "Standardizer",
    "Preprocessor",
    "preprocessing_from_dict",
]
