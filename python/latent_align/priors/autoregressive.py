"""Autoregressive flows over tokens: TarFlow (Zhai et al. 2024, arXiv 2412.06329) and STARFlow (Gu et al. 2025,
arXiv 2506.06276).

Blocks are applied from the data to the noise; every second one reads the tokens in reverse order. In a block a causal
transformer computes a log-scale a and a shift mu of each token from the tokens before it and a condition c:

    a_i, mu_i = transformer(x_0 .. x_{i-1}, c)          z_i = (x_i - mu_i) exp(-a_i)
    log |det dz / dx| = - sum of all a_i

Without a start token the first token of a block is unchanged.
"""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, softplus

from ..errors import InputError
from .base import Bijection, SampleOptions, Shape

EPSILON = 1e-6
EXPANSION = 4
INVERSE_SOFTPLUS_OF_1 = math.log(math.e - 1)
# the ratio of the fastest to the slowest rotary angle
ROTARY_BASE = 10_000.0


@dataclass(frozen=True)
class BlockDesign:
    """The configuration of a block."""

    layers: int
    channels: int
    head_width: int
    star: bool
    """STARFlow's: a start token, rotary positions, a last norm and softplus scales."""
    conditional: bool
    soft_clip: float


def _rotated(x: Tensor, start: int) -> Tensor:
    """Rotates `x` [n, heads, m, head width], whose first token is at position `start`."""
    half = x.shape[-1] // 2
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    steps = torch.arange(half, dtype=wide, device=x.device)
    positions = torch.arange(start, start + x.shape[2], dtype=wide, device=x.device)
    angles = positions[:, None] * torch.exp(steps * (-math.log(ROTARY_BASE) / half))
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Layer(nn.Module):
    """Causal attention, then an MLP."""

    def __init__(self, design: BlockDesign):
        super().__init__()
        channels = design.channels
        self.heads, self.rotary = channels // design.head_width, design.star
        self.norm1 = nn.LayerNorm(channels, eps=EPSILON)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.projection = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels, eps=EPSILON)
        self.fc1 = nn.Linear(channels, EXPANSION * channels)
        self.fc2 = nn.Linear(EXPANSION * channels, channels)

    def forward(self, h: Tensor, seen: Optional[Tuple[Tensor, Tensor]]) -> Tuple[Tensor, Tuple[Tensor, Tensor]]:
        """Applies the layer to tokens `h` [n, m, C] that follow those with the keys and values `seen`; also returns all
        keys and values."""
        n, m, channels = h.shape
        qkv = self.qkv(self.norm1(h)).view(n, m, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = qkv.unbind(0)
        before = seen[0].shape[2] if seen else 0
        if self.rotary:
            queries, keys = _rotated(queries, before), _rotated(keys, before)
        if seen:
            keys, values = torch.cat([seen[0], keys], 2), torch.cat([seen[1], values], 2)
        logits = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[-1])
        hidden = torch.ones(m, before + m, dtype=torch.bool, device=h.device).triu(before + 1)
        attended = logits.masked_fill(hidden, -math.inf).softmax(-1) @ values
        h = h + self.projection(attended.transpose(1, 2).reshape(n, m, channels))
        return h + self.fc2(gelu(self.fc1(self.norm2(h)))), (keys, values)


class LastNorm(nn.Module):
    """RMSNorm."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, h: Tensor) -> Tensor:
        """`h` [n, m, C]."""
        return h * (h.square().mean(-1, keepdim=True) + EPSILON).rsqrt() * self.weight


class Block(nn.Module):
    """One block of the flow."""

    def __init__(self, design: BlockDesign, shape: Shape):
        super().__init__()
        channels, width = design.channels, shape.width
        self.design, self.tokens = design, shape.tokens
        self.input = nn.Linear(width, channels)
        self.start = nn.Parameter(torch.zeros(1, width)) if design.star else None
        self.positions = None if design.star else nn.Parameter(torch.zeros(shape.tokens - 1, channels))
        columns = shape.condition.columns if shape.condition and design.conditional else 0
        self.condition = nn.Linear(columns, channels, bias=False) if columns else None
        self.layers = nn.ModuleList(Layer(design) for _ in range(design.layers))
        self.last_norm = LastNorm(channels) if design.star else None
        self.output = nn.Linear(channels, 2 * width)

    def read(self, tokens: Tensor, condition: Optional[Tensor], seen: List[Any]) -> Tuple[Tensor, Tensor]:
        """Log-scale and shift of the token after each of `tokens` [n, m, d], which follow those `seen`."""
        start = seen[0][0].shape[2] if seen[0] else 0
        h = self.input(tokens)
        if self.positions is not None:
            h = h + self.positions[start : start + tokens.shape[1]]
        if self.condition is not None and condition is not None:
            h = h + self.condition(condition)[:, None]
        for number, layer in enumerate(self.layers):
            h, seen[number] = layer(h, seen[number])
        if self.last_norm is not None:
            h = self.last_norm(h)
        out = self.output(h)
        bound = self.design.soft_clip
        if bound > 0:
            out = bound * torch.tanh(out / bound)
        log_scale, shift = out.chunk(2, -1)
        if self.design.star:
            log_scale = softplus(log_scale + INVERSE_SOFTPLUS_OF_1).log()
        return log_scale, shift

    def _started(self, x: Tensor) -> Tensor:
        """The start token [n, 1, d], or no token [n, 0, d]."""
        if self.start is None:
            return x[:, :0]
        return self.start.expand(len(x), 1, -1)

    def _fresh(self) -> List[Any]:
        return [None] * len(self.layers)

    def affine(self, x: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        """Log-scale and shift [n, T, d] of each token of `x` [n, T, d], in the block's own order."""
        before = torch.cat([self._started(x), x[:, :-1]], 1)
        out = self.read(before, condition, self._fresh())
        if self.start is not None:
            return out
        none = torch.zeros_like(x[:, :1])
        return torch.cat([none, out[0]], 1), torch.cat([none, out[1]], 1)

    def invert(self, z: Tensor, under: List[Optional[Tensor]], lean: Any) -> Tensor:
        """The inverse image [n, T, d] of `z`, token by token."""
        if self.condition is None:
            under = under[:1]
        seen = [self._fresh() for _ in under]
        previous, tokens = self._started(z), []
        for i in range(z.shape[1]):
            token = z[:, i : i + 1]
            if previous.shape[1]:
                read = [self.read(previous, c, s) for c, s in zip(under, seen)]
                log_scale, shift = read[0] if len(read) == 1 else lean(*read)
                token = token * log_scale.exp() + shift
            tokens.append(token)
            previous = token
        return torch.cat(tokens, 1)


class Autoregressive(Bijection):
    """A sequence of blocks."""

    guided = True

    def __init__(self, config: Dict[str, Any], shape: Shape):
        super().__init__(config, shape)
        designs = self.designs(config)
        if any(design.channels % design.head_width for design in designs):
            raise InputError("its header says channels that are no multiple of head_width")
        self.blocks = nn.ModuleList(Block(design, shape) for design in designs)

    def designs(self, config: Dict[str, Any]) -> List[BlockDesign]:
        """From the data to the noise."""
        raise NotImplementedError

    def lean(self, given: Tuple[Tensor, Tensor], none: Tuple[Tensor, Tensor], w: float) -> Tuple[Tensor, Tensor]:
        """Guided log-scale and shift: extrapolated by w = guidance - 1 from `none` beyond those `given` a condition."""
        raise NotImplementedError

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        under = [condition]
        if options.guidance != 1 and condition is not None:
            none = torch.zeros_like(condition)
            none[:, -1] = 1
            under.append(none)
        x = noise.view(-1, self.shape.tokens, self.shape.width)
        for number, block in reversed(list(enumerate(self.blocks))):
            x = _in_order(number, x)
            x = block.invert(x, under, lambda given, none: self.lean(given, none, options.guidance - 1))
            x = _in_order(number, x)
        return x.flatten(1)

    def _forward(self, rows: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        x = rows.view(-1, self.shape.tokens, self.shape.width)
        log_det = rows.new_zeros(len(rows))
        for number, block in enumerate(self.blocks):
            x = _in_order(number, x)
            log_scale, shift = block.affine(x, condition)
            log_det = log_det - log_scale.flatten(1).sum(1)
            x = _in_order(number, (x - shift) * torch.exp(-log_scale))
        return x.flatten(1), log_det


def _in_order(number: int, x: Tensor) -> Tensor:
    """`x` [n, T, d] in the order in which block `number` reads it, and back."""
    return x.flip(1) if number % 2 else x


class TarFlow(Autoregressive):
    """Equal blocks."""

    kind = "tarflow"

    def __init__(self, config: Dict[str, Any], shape: Shape):
        if shape.tokens < 2:
            raise InputError("its header says points of 1 token, expected at least 2")
        super().__init__(config, shape)

    def designs(self, config: Dict[str, Any]) -> List[BlockDesign]:
        self.sizes(
            config, blocks=(1, 64), layers=(1, 128), channels=(1, 16_384), head_width=(1, 1024), soft_clip=(0, math.inf)
        )
        block = BlockDesign(
            config["layers"], config["channels"], config["head_width"], False, True, config["soft_clip"]
        )
        return [block] * config["blocks"]

    def lean(self, given: Tuple[Tensor, Tensor], none: Tuple[Tensor, Tensor], w: float) -> Tuple[Tensor, Tensor]:
        a, mu = (c + w * (c - u) for c, u in zip(given, none))
        return a, mu


class StarFlow(Autoregressive):
    """A deep block next to the noise, the only conditional one, and shallow ones next to the data."""

    kind = "starflow"

    def designs(self, config: Dict[str, Any]) -> List[BlockDesign]:
        self.sizes(
            config, shallow_blocks=(0, 64), shallow_layers=(1, 128), deep_layers=(1, 128), channels=(1, 16_384),
            head_width=(2, 1024), soft_clip=(0, math.inf),
        )

        def block(layers: int, conditional: bool) -> BlockDesign:
            return BlockDesign(layers, config["channels"], config["head_width"], True, conditional, config["soft_clip"])

        return [block(config["shallow_layers"], False)] * config["shallow_blocks"] + [block(config["deep_layers"], True)]

    def lean(self, given: Tuple[Tensor, Tensor], none: Tuple[Tensor, Tensor], w: float) -> Tuple[Tensor, Tensor]:
        ratio = 2 * (given[0] - none[0])
        s = torch.exp(ratio if w < 0 else ratio.clamp(max=0))
        q = 1 + w - w * s
        return given[0] - 0.5 * q.log(), given[1] + w * s / q * (given[1] - none[1])
