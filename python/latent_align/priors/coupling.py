"""An affine coupling flow over whole points, conditional where conditions are given (RealNVP, Dinh et al. 2017,
arXiv 1605.08803).

A layer leaves half of the D elements as they are and moves the others by what it reads from that half and from the
condition c:

    shift, raw = MLP(kept x, c)          s = bound tanh(raw / bound)
    y = kept x + moved (x exp(s) + shift)              log |det dy / dx| = sum over moved of s

Points go through it to noise; the inverse is as exact and as quick.
"""

from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..errors import InputError
from ..streams import kept_by
from .base import Bijection, SampleOptions, Shape

# the largest logarithm of a layer's scale
BOUND = 2.0


class Layer(nn.Module):
    """One coupling layer."""

    def __init__(self, inputs: int, width: int, depth: int, kept: List[bool]):
        super().__init__()
        sizes = [inputs] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.shift = nn.Linear(width, len(kept))
        self.raw = nn.Linear(width, len(kept))
        self.register_buffer("kept", torch.tensor(kept), persistent=False)

    def forward(self, x: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        """Shift and log-scale of the moved elements, zero at the kept ones, each [n, D]."""
        moved = (~self.kept).to(x.dtype)
        h = x * self.kept.to(x.dtype)
        if condition is not None:
            h = torch.cat([h, condition], 1)
        for layer in self.hidden:
            h = silu(layer(h))
        return self.shift(h) * moved, BOUND * torch.tanh(self.raw(h) / BOUND) * moved


class Coupling(Bijection):
    """Coupling layers after an elementwise affine map."""

    kind = "coupling"

    def __init__(self, config: Dict[str, Any], shape: Shape):
        super().__init__(config, shape)
        self.sizes(config, layers=(2, 256), width=(1, 16_384), depth=(1, 64))
        elements = shape.elements
        if elements < 2:
            raise InputError("its header says points of 1 number, expected at least 2, of which one half moves the other")
        inputs = elements + (shape.condition.columns if shape.condition else 0)
        self.log_scale = nn.Parameter(torch.zeros(1, elements))
        self.shift = nn.Parameter(torch.zeros(1, elements))
        self.layers = nn.ModuleList(
            Layer(inputs, config["width"], config["depth"], kept_by(number, elements))
            for number in range(config["layers"])
        )

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        y = noise
        for layer in reversed(self.layers):
            shift, log_scale = layer(y, condition)
            y = (y - shift) * torch.exp(-log_scale)
        return (y - self.shift) * torch.exp(-self.log_scale)

    def _forward(self, x: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        log_det = self.log_scale.sum().expand(len(x))
        x = x * self.log_scale.exp() + self.shift
        for layer in self.layers:
            shift, log_scale = layer(x, condition)
            log_det = log_det + log_scale.sum(1)
            # kept elements have neither shift nor scale
            x = x * log_scale.exp() + shift
        return x, log_det
