"""A coupling flow over whole points, optionally conditional (RealNVP, Dinh et al. 2017,
arXiv 1605.08803; with splines, Durkan et al. 2019, arXiv 1906.04032).

A layer keeps half of the D elements and transforms the others elementwise, with parameters computed from the kept half
and the condition c:

    affine      shift, raw = MLP(kept, c)     s = bound tanh(raw / bound)      y = x exp(s) + shift      log dy/dx = s
    splines     numbers = MLP(kept, c)        y = spline(x)

It maps points to noise; the inverse is equally exact and fast.
"""

from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..errors import InputError
from ..streams import kept_by
from .base import Bijection, SampleOptions, Shape
from .splines import Splines

# the largest logarithm of an affine map's scale
BOUND = 2.0


class Affine:
    """Moves elements by `x exp(s) + shift`."""

    numbers = 2

    @staticmethod
    def _read(raw: Tensor) -> Tuple[Tensor, Tensor]:
        return raw[:, 0], BOUND * torch.tanh(raw[:, 1] / BOUND)

    def forward(self, x: Tensor, raw: Tensor) -> Tuple[Tensor, Tensor]:
        """Elements `x` [n, m] moved by `raw` [n, numbers, m], and the logarithms of the slopes [n, m]."""
        shift, log_scale = self._read(raw)
        return x * log_scale.exp() + shift, log_scale

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        shift, log_scale = self._read(raw)
        return (y - shift) * torch.exp(-log_scale)


class Layer(nn.Module):
    """One coupling layer."""

    def __init__(self, kept: List[bool], columns: int, width: int, depth: int, transform: Any):
        super().__init__()
        keeps = sum(kept)
        sizes = [keeps + columns] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.last = nn.Linear(width, transform.numbers * (len(kept) - keeps))
        self.transform = transform
        self.register_buffer("kept", torch.tensor(kept), persistent=False)

    def forward(self, x: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        """Points `x` [n, D] mapped towards noise, and `log |det|` `[n]`."""
        moved, log_slope = self.transform.forward(x[:, ~self.kept], self._read(x, condition))
        return self._put(x, moved), log_slope.sum(1)

    def inverse(self, y: Tensor, condition: Optional[Tensor]) -> Tensor:
        moved = self.transform.inverse(y[:, ~self.kept], self._read(y, condition))
        return self._put(y, moved)

    def _read(self, x: Tensor, condition: Optional[Tensor]) -> Tensor:
        """The parameters of the transforms of the moved elements [n, numbers, moved]."""
        h = x[:, self.kept]
        if condition is not None:
            h = torch.cat([h, condition], 1)
        for layer in self.hidden:
            h = silu(layer(h))
        return self.last(h).unflatten(1, (self.transform.numbers, -1))

    def _put(self, x: Tensor, moved: Tensor) -> Tensor:
        places = (~self.kept).nonzero().squeeze(1)
        return x.index_copy(1, places, moved)


class Coupling(Bijection):
    """Coupling layers after an elementwise affine map."""

    kind = "coupling"

    def __init__(self, config: Dict[str, Any], shape: Shape):
        super().__init__(config, shape)
        self.sizes(config, layers=(2, 256), width=(1, 16_384), depth=(1, 64))
        splines = config.get("splines")
        transform = Affine() if splines is None else Splines(splines, self.sizes)
        elements = shape.elements
        if elements < 2:
            raise InputError("its header says points of 1 number, expected at least 2, of which one half moves the other")
        columns = shape.condition.columns if shape.condition else 0
        self.log_scale = nn.Parameter(torch.zeros(1, elements))
        self.shift = nn.Parameter(torch.zeros(1, elements))
        self.layers = nn.ModuleList(
            Layer(kept_by(number, elements), columns, config["width"], config["depth"], transform)
            for number in range(config["layers"])
        )

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        y = noise
        for layer in reversed(self.layers):
            y = layer.inverse(y, condition)
        return (y - self.shift) * torch.exp(-self.log_scale)

    def _forward(self, x: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        log_det = self.log_scale.sum().expand(len(x))
        x = x * self.log_scale.exp() + self.shift
        for layer in self.layers:
            x, of_layer = layer(x, condition)
            log_det = log_det + of_layer
        return x, log_det
