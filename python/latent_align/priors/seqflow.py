"""SeqFlow (Lee et al. 2025, arXiv 2504.14889): couplings inside each token that read the tokens before it.

Blocks are applied from the data to the noise. In each a context network, an LSTM or a causal transformer, reads the
tokens before each token (their embeddings without noise, if points are texts), and couplings transform half of the
token's numbers by the non-linear squared map (Ziegler & Rush 2019, arXiv 1901.10548), whose parameters depend on the
other half and the context:

    u = a + b y + c / (1 + (d y + f)^2)      b = exp(0.4 r1)      d = exp(0.4 r3)      c = k b / d
    k = tanh(0.3 r2) (8 sqrt(3) / 9 - 0.05)

With w = d y + f its slope is b (1 - 2 k w / (1 + w^2)^2). The inverse is the only real root of a cubic equation, in
f64.
"""

import math
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..errors import InputError
from .autoregressive import BlockDesign, Layer
from .base import Bijection, SampleOptions, Shape
from .recurrent import Recurrent

PARAMETERS = 5
LARGEST = 8 * math.sqrt(3) / 9 - 0.05


def _forward(y: Tensor, raw: Tensor) -> Tuple[Tensor, Tensor]:
    """`y` [n, m] under maps of the parameters `raw` [n, 5 m], and the sum of the logarithms of slopes `[n]`."""
    a, r1, r2, r3, f = raw.chunk(PARAMETERS, -1)
    k = LARGEST * torch.tanh(0.3 * r2)
    b, d = torch.exp(0.4 * r1), torch.exp(0.4 * r3)
    w = d * y + f
    hump = 1 / (1 + w.square())
    u = a + b * (y + k / d * hump)
    return u, (0.4 * r1 + torch.log1p(-2 * k * w * hump.square())).sum(-1)


def _inverse(u: Tensor, raw: Tensor) -> Tensor:
    """The y [n, m] whose image is `u`."""
    wide = u.double()
    a, r1, r2, r3, f = raw.double().chunk(PARAMETERS, -1)
    k = LARGEST * torch.tanh(0.3 * r2)
    b, d = torch.exp(0.4 * r1), torch.exp(0.4 * r3)
    return ((_root((wide - a) / b * d + f, k) - f) / d).to(u.dtype)


def _cube_root(x: Tensor) -> Tensor:
    return x.abs().pow(1 / 3).copysign(x)


def _root(s: Tensor, k: Tensor) -> Tensor:
    """The w with w + k / (1 + w^2) = s: the root of w^3 - s w^2 + w + k - s = 0 by Cardano's formula, and polished."""
    p = 1 - s.square() / 3
    q = k - 2 * s / 3 - 2 * s**3 / 27
    discriminant = (q.square() / 4 + p**3 / 27).clamp(min=0)
    larger = -_cube_root((q.abs() / 2 + discriminant.sqrt()).copysign(q))
    smaller = torch.where(larger == 0, torch.zeros_like(p), -p / (3 * larger))
    w = larger + smaller + s / 3
    for _ in range(2):
        hump = 1 / (1 + w.square())
        w = w - (w + k * hump - s) / (1 - 2 * k * w * hump.square())
    return w


class Lstm(nn.Module):
    """An LSTM over the tokens before each."""

    def __init__(self, shape: Shape, config: Dict[str, Any]):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, shape.width))
        self.inner = Recurrent(shape, config["width"], config["layers"])

    def begin(self, n: int) -> List[Any]:
        return self.inner.begin(n)

    def next(self, before: Tensor, state: List[Any], place: int) -> Tensor:
        """The context of token `place` [n, C], given the preceding token `before` [n, d]."""
        return self.inner(before, state, place)

    def all(self, x: Tensor) -> Tensor:
        """The contexts of all tokens of `x` [n, T, d]: [n, T, C]."""
        state = self.begin(len(x))
        before = torch.cat([self.start.expand(len(x), 1, -1), x[:, :-1]], 1)
        return torch.stack([self.next(token, state, place) for place, token in enumerate(before.unbind(1))], 1)


class Transformer(nn.Module):
    """A causal transformer over the tokens before each."""

    def __init__(self, shape: Shape, config: Dict[str, Any]):
        super().__init__()
        channels = config["width"]
        if channels % config["head_width"]:
            raise InputError("its header says a context whose width is no multiple of head_width")
        design = BlockDesign(config["layers"], channels, config["head_width"], False, False, 0.0)
        self.start = nn.Parameter(torch.zeros(1, shape.width))
        self.input = nn.Linear(shape.width, channels)
        self.places = nn.Parameter(torch.zeros(shape.tokens, channels))
        self.layers = nn.ModuleList(Layer(design) for _ in range(config["layers"]))

    def begin(self, n: int) -> List[Any]:
        return [None] * len(self.layers)

    def _read(self, before: Tensor, seen: List[Any], place: int) -> Tensor:
        h = self.input(before) + self.places[place : place + before.shape[1]]
        for number, layer in enumerate(self.layers):
            h, seen[number] = layer(h, seen[number])
        return h

    def next(self, before: Tensor, state: List[Any], place: int) -> Tensor:
        return self._read(before[:, None], state, place)[:, 0]

    def all(self, x: Tensor) -> Tensor:
        before = torch.cat([self.start.expand(len(x), 1, -1), x[:, :-1]], 1)
        return self._read(before, self.begin(len(x)), 0)


CONTEXTS = {"lstm": ("Lstm", Lstm), "transformer": ("Transformer", Transformer)}


class Coupling(nn.Module):
    """One coupling inside each token; `reversed` takes the numbers of a token from the last to the first."""

    def __init__(self, width: int, context: int, hidden: int, reversed: bool):
        super().__init__()
        self.kept, self.reversed = width // 2, reversed
        self.input = nn.Linear(self.kept + context, hidden)
        self.inner = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, PARAMETERS * (width - self.kept))

    def _parts(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """The numbers kept and the others."""
        if self.reversed:
            return x[..., x.shape[-1] - self.kept :], x[..., : x.shape[-1] - self.kept]
        return x[..., : self.kept], x[..., self.kept :]

    def _joined(self, kept: Tensor, others: Tensor) -> Tensor:
        return torch.cat([others, kept] if self.reversed else [kept, others], -1)

    def _read(self, kept: Tensor, context: Tensor) -> Tensor:
        h = silu(self.input(torch.cat([kept, context], -1)))
        return self.output(silu(self.inner(h)))

    def forward(self, x: Tensor, context: Tensor) -> Tuple[Tensor, Tensor]:
        """The images of tokens `x` [..., d], and the logarithm of the slope of each `[...]`."""
        kept, others = self._parts(x)
        others, log_slope = _forward(others, self._read(kept, context))
        return self._joined(kept, others), log_slope

    def inverse(self, x: Tensor, context: Tensor) -> Tensor:
        kept, others = self._parts(x)
        return self._joined(kept, _inverse(others, self._read(kept, context)))


class Block(nn.Module):
    """A context and the couplings that read it."""

    def __init__(self, number: int, shape: Shape, config: Dict[str, Any]):
        super().__init__()
        name, kind = CONTEXTS[config["context"]["kind"]]
        self.context = nn.ModuleDict({name: kind(shape, config["context"])})
        self.reader = name
        self.couplings = nn.ModuleList(
            Coupling(shape.width, config["context"]["width"], config["hidden"], (number + place) % 2 == 1)
            for place in range(config["couplings"])
        )

    def forward(self, x: Tensor, read: Tensor) -> Tuple[Tensor, Tensor]:
        """The images of points `x` [n, T, d], and `log |det|` `[n]`; the context reads `read` [n, T, d]."""
        context = self.context[self.reader].all(read)
        log_det = x.new_zeros(len(x))
        for coupling in self.couplings:
            x, log_slope = coupling(x, context)
            log_det = log_det + log_slope.sum(1)
        return x, log_det

    def begin(self, n: int) -> List[Any]:
        """The token before the first, and an empty state."""
        reader = self.context[self.reader]
        return [reader.start.expand(n, -1), reader.begin(n)]

    def next(self, x: Tensor, state: List[Any], place: int) -> Tensor:
        """The inverse image of token `place` [n, d]; updates `state`."""
        before, read = state
        context = self.context[self.reader].next(before, read, place)
        for coupling in reversed(self.couplings):
            x = coupling.inverse(x, context)
        state[0] = x
        return x


class SeqFlow(Bijection):
    """A sequence of blocks."""

    kind = "seqflow"

    def __init__(self, config: Dict[str, Any], shape: Shape):
        super().__init__(config, shape)
        self.sizes(config, blocks=(1, 64), couplings=(1, 64), hidden=(1, 16_384))
        context = config.get("context")
        if not isinstance(context, dict) or context.get("kind") not in CONTEXTS:
            raise InputError(f"its header says context: {context!r}, expected one of kind {' or '.join(CONTEXTS)}")
        self.sizes(context, width=(1, 16_384), layers=(1, 128))
        if context["kind"] == "transformer":
            self.sizes(context, head_width=(1, 1024))
        if shape.width < 2:
            raise InputError("its header says tokens of 1 number, expected at least 2, of which one half moves the other")
        self.blocks = nn.ModuleList(Block(number, shape, config) for number in range(config["blocks"]))

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        return self.points_of(noise.view(-1, self.shape.tokens, self.shape.width)).flatten(1)

    def _forward(self, rows: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        noise, log_det = self.carried(rows.view(-1, self.shape.tokens, self.shape.width))
        return noise.flatten(1), log_det

    def carried(self, points: Tensor, read: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """`points` [n, T, d] mapped to noise, and `log |det|` `[n]`. Contexts read `read` [n, T, d], or by default the
        input of each block."""
        x = points
        log_det = points.new_zeros(len(points))
        for block in self.blocks:
            x, of_block = block(x, x if read is None else read)
            log_det = log_det + of_block
        return x, log_det

    def points_of(self, noise: Tensor, read: Optional[Callable[[Tensor], Tensor]] = None) -> Tensor:
        """`noise` [n, T, d] mapped to points, token by token. Contexts read `read` of each token [n, d], or by default
        the input of each block."""
        states = [block.begin(len(noise)) for block in self.blocks]
        points = []
        for place, x in enumerate(noise.unbind(1)):
            for block, state in zip(reversed(self.blocks), reversed(states)):
                x = block.next(x, state, place)
            if read is not None:
                seen = read(x)
                for state in states:
                    state[0] = seen
            points.append(x)
        return torch.stack(points, 1)
