"""The normalisation of features: a feature x [D] becomes the point (x - mean) matrix [d]."""

from pathlib import Path
from typing import Dict, Optional

import torch
from torch import Tensor

from .errors import InputError
from .files import find, read_tensors

FILE = "normalisation.safetensors"


class Normaliser:
    """An affine map from features to the width d of a token, stored and computed in f64 (f32 on a device without
    f64)."""

    def __init__(self, mean: Tensor, matrix: Tensor):
        self.mean, self.matrix = mean, matrix
        self._inverse: Optional[Tensor] = None

    @classmethod
    def load(cls, path: Path) -> "Normaliser":
        """Reads `normalisation.safetensors`, or that file in a folder."""
        file = find(path, "pretrain-flow", FILE)
        tensors: Dict[str, Tensor] = read_tensors(file)
        shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
        mean, matrix = tensors.get("mean"), tensors.get("matrix")
        fits = mean is not None and matrix is not None and matrix.dim() == 2 and mean.shape == matrix.shape[:1]
        if not fits or mean.dtype != torch.float64 or matrix.dtype != torch.float64:
            raise InputError(f"{file}: found {shapes}, expected `mean` [D] and `matrix` [D, d] in f64")
        return cls(mean, matrix)

    @property
    def input_width(self) -> int:
        """D."""
        return self.matrix.shape[0]

    @property
    def output_width(self) -> int:
        """d."""
        return self.matrix.shape[1]

    def apply(self, features: Tensor) -> Tensor:
        """Features [..., D] as points [..., d]."""
        x = self._wide(features, self.input_width, "features")
        return (x - self.mean.to(x)) @ self.matrix.to(x)

    def undo(self, points: Tensor) -> Tensor:
        """Points [..., d] as features [..., D], if d = D and the matrix is invertible."""
        x = self._wide(points, self.output_width, "points")
        if self._inverse is None:
            self._inverse = self._inverted()
        return x @ self._inverse.to(x) + self.mean.to(x)

    def log_abs_det(self) -> Optional[float]:
        """`ln |det matrix|` in nats; none if the map is not invertible."""
        if self.input_width != self.output_width:
            return None
        log = float(torch.linalg.slogdet(self.matrix).logabsdet)
        return log if log > -float("inf") else None

    def _inverted(self) -> Tensor:
        if self.log_abs_det() is None:
            raise InputError(
                f"the normalisation takes features of width {self.input_width} to points of width {self.output_width} "
                "and is not invertible; work with points, or pretrain the flow without "
                "`normalisation.projection`"
            )
        return torch.linalg.inv(self.matrix)

    def _wide(self, x: Tensor, width: int, what: str) -> Tensor:
        if x.dim() < 1 or x.shape[-1] != width:
            raise InputError(f"found {what} {list(x.shape)}, expected [..., {width}]")
        return x.to(torch.float32 if x.device.type == "mps" else torch.float64)
