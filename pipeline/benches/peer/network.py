"""The velocity network in PyTorch, with the parameter names of `flow.safetensors`."""

import math

import torch
from torch import nn
from torch.nn import functional as F

NORM_EPSILON = 1e-6


class TimeEmbedding(nn.Module):
    def __init__(self, width, frequencies, scale):
        super().__init__()
        half = frequencies // 2
        steps = torch.arange(half) / half
        self.register_buffer("angles", scale * torch.exp(-math.log(10_000) * steps), persistent=False)
        self.fc1, self.fc2 = nn.Linear(frequencies, width), nn.Linear(width, width)

    def forward(self, t):  # [..., 1] -> [..., width]
        angles = t * self.angles
        waves = torch.cat([angles.cos(), angles.sin()], -1)
        return F.silu(self.fc2(F.silu(self.fc1(waves))))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)
        self.modulation = nn.Linear(width, 3 * width)

    def forward(self, h, modulation):
        shift, scale, gate = modulation.chunk(3, -1)
        inner = self.norm(h) * (1 + scale) + shift
        return h + gate * self.fc2(F.silu(self.fc1(inner)))


class Output(nn.Module):
    def __init__(self, width, dimensions):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON, elementwise_affine=False)
        self.modulation, self.linear = nn.Linear(width, 2 * width), nn.Linear(width, dimensions)

    def forward(self, h, modulation):
        shift, scale = modulation.chunk(2, -1)
        return self.linear(self.norm(h) * (1 + scale) + shift)


class Velocity(nn.Module):
    """v(x, t) of points x [..., d] at times t [..., 1], which broadcast.

    The modulations, which depend on time alone, are more than half of the arithmetic: times [k, 1, 1] for [k, m, d]
    compute them once for m points, a table of `modulations` only once.
    """

    def __init__(self, dimensions, width, blocks, frequencies, time_scale):
        super().__init__()
        self.time = TimeEmbedding(width, frequencies, time_scale)
        self.input = nn.Linear(dimensions, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.output = Output(width, dimensions)

    def layers(self):
        return [*self.blocks, self.output]

    def modulations(self, t):
        """Of each block [..., 3 width], and of the output [..., 2 width]."""
        c = self.time(t)
        return [layer.modulation(c) for layer in self.layers()]

    def modulated(self, x, modulations):
        h = self.input(x)
        for layer, modulation in zip(self.layers(), modulations):
            h = layer(h, modulation)
        return h

    def forward(self, x, t):
        return self.modulated(x, self.modulations(t))
