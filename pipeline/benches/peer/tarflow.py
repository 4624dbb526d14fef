"""TarFlow in PyTorch, as somebody who wants it fast writes it."""

import math

import torch
from torch import nn
from torch.nn import functional as F

NORM_EPSILON = 1e-6


class Layer(nn.Module):
    def __init__(self, channels, head_width):
        super().__init__()
        self.heads = channels // head_width
        self.norm1, self.norm2 = (nn.LayerNorm(channels, eps=NORM_EPSILON) for _ in range(2))
        self.qkv, self.projection = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.fc1, self.fc2 = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)

    def forward(self, h):  # [n, m, C]
        n, m, channels = h.shape
        q, k, v = self.qkv(self.norm1(h)).view(n, m, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.projection(seen.transpose(1, 2).reshape(n, m, channels))
        return h + self.fc2(F.gelu(self.fc1(self.norm2(h))))


class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        channels = size["channels"]
        self.input = nn.Linear(size["width"], channels)
        self.positions = nn.Parameter(0.01 * torch.randn(size["tokens"] - 1, channels))
        self.layers = nn.ModuleList(Layer(channels, size["head_width"]) for _ in range(size["layers"]))
        self.output = nn.Linear(channels, 2 * size["width"])
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x):  # [n, T, d] -> noise, log|det| [n]
        h = self.input(x[:, :-1]) + self.positions
        for layer in self.layers:
            h = layer(h)
        log_scale, shift = self.output(h).chunk(2, -1)
        z = (x[:, 1:] - shift) * torch.exp(-log_scale)
        return torch.cat([x[:, :1], z], 1), -log_scale.flatten(1).sum(1)


class TarFlow(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.blocks = nn.ModuleList(Block(size) for _ in range(size["blocks"]))

    def forward(self, x):
        """The NLL [n] of points [n, T, d] in nats."""
        log_det = x.new_zeros(len(x))
        for number, block in enumerate(self.blocks):
            if number % 2:
                x = x.flip(1)
            x, of_block = block(x)
            if number % 2:
                x = x.flip(1)
            log_det = log_det + of_block
        x = x.flatten(1)
        return 0.5 * x.square().sum(1) + 0.5 * x.shape[1] * math.log(2 * math.pi) - log_det
