"""Flow matching: the AdaLN residual network that Li et al. take from MAR (arXiv 2406.11838), and its
probability-flow ODE.

    c = W silu(W embed(scale t))                       time embedding   [K, width]
    h = W x                                            input            [K, m, width]
    for each block:
        shift, scale, gate = W silu(c)                 modulation       [K, 3 width]
        h = h + gate * W silu(W (norm(h) * (1 + scale) + shift))
    shift, scale = W silu(c)
    v = W (norm(h) * (1 + scale) + shift)              output           [K, m, d]

Terms that depend on time alone are computed once for each of K groups of points. A conditional network adds a linear
layer of the conditions [n, c] to the time embedding, before its last silu; points without a condition have "none".
"""

import math
from typing import Any, Dict, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from ..likelihood import Nll, ProbabilityFlow
from .base import OdeOptions, Prior, SampleOptions, Shape

EPSILON = 1e-6


def _norm(h: Tensor) -> Tuple[Tensor, Tensor]:
    """`h` [..., width] standardised, and the inverse of its standard deviation [..., 1]."""
    centred = h - h.mean(-1, keepdim=True)
    inverse = (centred.square().mean(-1, keepdim=True) + EPSILON).rsqrt()
    return centred * inverse, inverse


def _norm_tangents(normed: Tensor, inverse: Tensor, tangents: Tensor) -> Tensor:
    """Tangents [n, k, width] through the norm that gave `normed` [n, 1, width]."""
    along = (tangents * normed).mean(-1, keepdim=True)
    return (tangents - tangents.mean(-1, keepdim=True) - normed * along) * inverse


def _silu_slope(x: Tensor) -> Tensor:
    s = x.sigmoid()
    return s * (1 + x * (1 - s))


class TimeEmbedding(nn.Module):
    """Sinusoids of time, then two linear layers."""

    def __init__(self, frequencies: int, scale: float, width: int):
        super().__init__()
        self.frequencies, self.scale = frequencies, scale
        self.fc1 = nn.Linear(frequencies, width)
        self.fc2 = nn.Linear(width, width)

    def forward(self, times: Tensor) -> Tensor:
        """The embedding [K, 1, width] of `times` `[K]`, before silu; sinusoids are computed in f64 if available."""
        weight = self.fc1.weight
        half = self.frequencies // 2
        wide = torch.float32 if times.device.type == "mps" else torch.float64
        steps = torch.arange(half, dtype=wide, device=times.device)
        angles = self.scale * times.to(wide)[:, None] * torch.exp(steps * (-math.log(10_000) / half))
        waves = torch.cat([angles.cos(), angles.sin()], 1)
        waves = waves.to(weight.dtype).to(weight.device)
        return self.fc2(silu(self.fc1(waves)))[:, None]


class Block(nn.Module):
    """One residual block."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 3 * width)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """`h` [K, m, width], `c` [K, 1, width] -> [K, m, width]."""
        shift, scale, gate = self.modulation(c).chunk(3, -1)
        inner = self.norm(h) * (1 + scale) + shift
        return h + gate * self.fc2(silu(self.fc1(inner)))

    def tangents(self, h: Tensor, tangents: Tensor, c: Tensor) -> Tuple[Tensor, Tensor]:
        """`h` [n, 1, width] and its tangents [n, k, width] (or [1, k, width], the same at every point), after the
        block."""
        shift, scale, gate = self.modulation(c).chunk(3, -1)
        normed, inverse = _norm(h)
        before = self.fc1((normed * self.norm.weight + self.norm.bias) * (1 + scale) + shift)
        inner = _norm_tangents(normed, inverse, tangents) * (self.norm.weight * (1 + scale))
        inner = (inner @ self.fc1.weight.T) * _silu_slope(before)
        return h + gate * self.fc2(silu(before)), tangents + gate * (inner @ self.fc2.weight.T)


class Output(nn.Module):
    """The last layer. Its norm has no weights."""

    def __init__(self, width: int, dimensions: int):
        super().__init__()
        self.modulation = nn.Linear(width, 2 * width)
        self.linear = nn.Linear(width, dimensions)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        """`h` [K, m, width], `c` [K, 1, width] -> [K, m, d]."""
        shift, scale = self.modulation(c).chunk(2, -1)
        return self.linear(layer_norm(h, h.shape[-1:], eps=EPSILON) * (1 + scale) + shift)

    def tangents(self, h: Tensor, tangents: Tensor, c: Tensor) -> Tensor:
        """Tangents of the velocity [n, k, d] from those of `h` [n, 1, width]."""
        _, scale = self.modulation(c).chunk(2, -1)
        return (_norm_tangents(*_norm(h), tangents) * (1 + scale)) @ self.linear.weight.T


class FlowMatching(Prior):
    """A velocity network v(x, t); t = 0 is noise, t = 1 data."""

    kind = "flow_matching"
    stepped = True
    guided = True

    def __init__(self, config: Dict[str, Any], shape: Shape):
        super().__init__(config, shape)
        network = config.get("network") or {}
        self.sizes(network, width=(1, 16_384), blocks=(1, 256), frequencies=(4, 16_384), time_scale=(1e-300, 1e300))
        width = network["width"]
        self.time = TimeEmbedding(network["frequencies"], network["time_scale"], width)
        self.input = nn.Linear(shape.elements, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(network["blocks"]))
        self.output = Output(width, shape.elements)
        # without a bias: "none" has its own column
        self.condition = nn.Linear(shape.condition.columns, width, bias=False) if shape.condition else None

    def _embedded(self, times: Tensor, condition: Optional[Tensor]) -> Tensor:
        """silu of the embedding of `times` `[K]` and of conditions [K m, c]: [K, m, width]; [K, 1, width] without those."""
        embedded = self.time(times)
        if self.condition is None:
            return silu(embedded)
        if condition is None:
            return silu(embedded + self.condition.weight[:, -1])
        of_points = self.condition(condition)
        return silu(embedded + of_points.reshape(len(times), -1, of_points.shape[1]))

    def velocity(self, x: Tensor, times: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        c = self._embedded(times, condition)
        h = self.input(x)
        for block in self.blocks:
            h = block(h, c)
        return self.output(h, c)

    def jvps(self, x: Tensor, time: float, directions: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        # forward mode: tangents are extra rows of the same matrix products
        c = self._embedded(torch.tensor([time], dtype=torch.float64), condition).transpose(0, 1)
        h, tangents = self.input(x)[:, None], directions @ self.input.weight.T
        for block in self.blocks:
            h, tangents = block.tangents(h, tangents, c)
        return self.output.tangents(h, tangents, c)

    def nll(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Nll:
        return ProbabilityFlow(self, condition).nll(rows, options.tolerance, options.probes)

    def to_noise(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Tuple[Tensor, Tensor]:
        return ProbabilityFlow(self, condition).to_noise(rows, options.tolerance, options.probes)

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        field = self if options.guidance == 1.0 else Guided(self, options.guidance)
        return ProbabilityFlow(field, condition).from_noise(noise, options.tolerance, options.steps)


class Guided:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): the velocity `none + guidance (under - none)`,
    where `under` is with the condition and `none` without."""

    def __init__(self, field: FlowMatching, guidance: float):
        self._field, self._guidance = field, guidance

    def velocity(self, x: Tensor, times: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        none = self._field.velocity(x, times)
        return none + (self._field.velocity(x, times, condition) - none) * self._guidance
