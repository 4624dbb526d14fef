"""safetensors files of f32, read and written without a library."""

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


def write_tensors(path, tensors):
    """Writes tensors by name as f32."""
    header, start, parts = {}, 0, []
    for name, tensor in tensors.items():
        part = tensor.detach().float().cpu().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, start + len(part)]}
        start += len(part)
        parts.append(part)
    about = json.dumps(header).encode()
    about += b" " * (-len(about) % 8)
    Path(path).write_bytes(len(about).to_bytes(8, "little") + about + b"".join(parts))


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

    def write(self, found, gradient):
        write_tensors(self.file("found-there"), found)
        write_tensors(self.file("gradient-there"), gradient)
