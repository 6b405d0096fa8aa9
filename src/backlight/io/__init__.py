"""Files of other programs: PyTorch's state dicts, ONNX models, TensorBoard's event files."""

from __future__ import annotations

from backlight.io.onnx import save_onnx
from backlight.io.state_dict import load_state_dict, save_state_dict, state_dict

__all__ = ["load_state_dict", "save_onnx", "save_state_dict", "state_dict"]
