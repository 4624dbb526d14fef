"""safetensors files of f32, read without a library."""

import json
from pathlib import Path

import numpy as np
import torch


def read_tensors(path):
    """The f32 tensors of a safetensors file, by name."""
    raw = Path(path).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, about in json.loads(raw[8:start]).items():
        if name == "__metadata__":
            continue
        if about["dtype"] != "F32":
            raise ValueError(f"{path}: `{name}` is {about['dtype']}, expected F32")
        first, end = about["data_offsets"]
        values = np.frombuffer(raw[start + first : start + end], np.float32)
        tensors[name] = torch.tensor(values.reshape(about["shape"]))
    return tensors


class Shown:
    """The folder of the program's inputs and results of a job."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def file(self, name):
        return self.folder / f"{name}.safetensors"

    def tensors(self, name):
        """Weights, or the like, by name."""
        return read_tensors(self.file(name))

    @property
    def given(self):
        """The inputs that replace random draws."""
        return self.tensors("given")
