"""ONNX models: a network's forward graph, one node or a small group of nodes per primitive.

How a primitive is written stands in its record (`Primitive.onnx`, `Primitive.to_onnx`); here are
the emitter that records write with, sizes that depend on the number of rows, and the file.
"""

from __future__ import annotations

from backlight.io.onnx.save import model_bytes, save_onnx

__all__ = ["model_bytes", "save_onnx"]
