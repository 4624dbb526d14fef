"""TarFlow in optimised PyTorch."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from job import BATCHES, Job, adamw, gradients

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


    def after(self, h, keys, values, at, mask):
        """One token `h` [n, 1, C] after `at` others, whose keys and values [n, heads, T, c] are in the buffers.

        With a `mask` [1, T] of those that it sees, `at` is a tensor [1]: one compiled graph serves all positions.
        """
        n, _, channels = h.shape
        q, k, v = self.qkv(self.norm1(h)).view(n, 1, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if mask is None:
            keys[:, :, at], values[:, :, at] = k[:, :, 0], v[:, :, 0]
            keys, values = keys[:, :, : at + 1], values[:, :, : at + 1]
        else:
            keys.index_copy_(2, at, k)
            values.index_copy_(2, at, v)
        seen = F.scaled_dot_product_attention(q, keys, values, mask)
        h = h + self.projection(seen.transpose(1, 2).reshape(n, 1, channels))
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


    def next(self, token, caches, at, mask):
        """Log-scale and shift [n, 1, d] of the token after `token` [n, 1, d] at position `at`."""
        h = self.input(token) + self.positions[at]
        for layer, (keys, values) in zip(self.layers, caches):
            h = layer.after(h, keys, values, at, mask)
        return self.output(h).chunk(2, -1)


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


class Tarflow(Job):
    """One training step of a TarFlow: forward, backward, fused AdamW."""

    def __init__(self, task, device, mode):
        size = task["size"]
        self.network, self.done = TarFlow(size).to(device), 0
        self.nll = mode.compile(self.network)
        self.optimiser = adamw(self.network.parameters())
        self.rows = torch.randn(BATCHES, size["batch"], size["tokens"], size["width"], device=device)
        self.how = "fused attention and AdamW"

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        self.nll(self.rows[self.done % BATCHES]).mean().backward()
        self.optimiser.step()
        self.done += 1

    def show(self, shown):
        rows = self.read(shown)
        loss = self.nll(rows).mean()
        return {"loss": loss.view(1)}, gradients(loss, dict(self.network.named_parameters()))

    def read(self, shown):
        """Takes the weights; the rows that are given [n, T, d]."""
        self.network.load_state_dict(shown.tensors("model"))
        return shown.given["rows"].view_as(self.rows[0]).to(self.rows)


class Nll(Tarflow):
    """The NLLs of points, without autograd."""

    @torch.inference_mode()
    def step(self):
        self.nll(self.rows[self.done % BATCHES]).cpu()
        self.done += 1

    def show(self, shown):
        rows = self.read(shown)
        with torch.inference_mode():
            return {"nll": self.nll(rows)}, {}


class Samples(Job):
    """Samples, token by token: keys and values are in preallocated buffers."""

    def __init__(self, task, device, mode):
        self.size = size = task["size"]
        self.network = TarFlow(size).to(device).requires_grad_(False)
        self.next = [mode.compile(block.next) for block in self.network.blocks]
        heads = size["channels"] // size["head_width"]
        buffer = lambda: torch.zeros(size["batch"], heads, size["tokens"], size["head_width"], device=device)
        self.caches = [(buffer(), buffer()) for _ in range(size["layers"])]
        self.noise = torch.randn(size["batch"], size["tokens"], size["width"], device=device)
        # where each token goes and what it sees
        self.places = [(at, None) for at in range(size["tokens"] - 1)]
        if mode.compiled:
            all_places = torch.arange(size["tokens"], device=device)
            self.places = [(all_places[at : at + 1].clone(), all_places[None] <= at) for at, _ in self.places]
        self.how = "cached keys and values, without autograd"

    @torch.inference_mode()
    def draw(self, noise):
        x = noise
        for number in reversed(range(len(self.next))):
            if number % 2:
                x = x.flip(1)
            tokens = [x[:, :1]]
            for at, (place, mask) in enumerate(self.places):
                log_scale, shift = self.next[number](tokens[-1], self.caches, place, mask)
                tokens.append(x[:, at + 1 : at + 2] * log_scale.exp() + shift)
            x = torch.cat(tokens, 1)
            if number % 2:
                x = x.flip(1)
        return x

    def step(self):
        self.draw(self.noise).cpu()

    def show(self, shown):
        self.network.load_state_dict(shown.tensors("model"))
        return {"samples": self.draw(shown.given["noise"].view_as(self.noise).to(self.noise)).flatten()}, {}
