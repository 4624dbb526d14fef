"""Monotonic rational-quadratic splines (Durkan et al. 2019, arXiv 1906.04032): on [-bound, bound] a number is mapped by
pieces between knots, each a quotient of two quadratics; outside it is unchanged."""

import math
from typing import Any, Callable, NamedTuple, Tuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softmax, softplus

from ..errors import InputError

# the smallest share of a piece in width and height, and the smallest slope at a knot
LEAST = 1e-3


class Pieces(NamedTuple):
    """The pieces that contain the numbers, each [n, m]."""

    x: Tensor
    width: Tensor
    y: Tensor
    height: Tensor
    left: Tensor
    """The slope at the left knot."""
    right: Tensor


class Splines:
    """Moves elements by splines of `bins` pieces."""

    def __init__(self, config: Any, sizes: Callable[..., None]):
        if not isinstance(config, dict):
            raise InputError(f"its header says splines: {config!r}, expected bins and bound")
        sizes(config, bins=(2, 128), bound=(1e-30, 1e3))
        self.bins: int = config["bins"]
        self.bound: float = config["bound"]
        self.numbers = 3 * self.bins - 1

    def forward(self, x: Tensor, raw: Tensor) -> Tuple[Tensor, Tensor]:
        """Elements `x` [n, m] moved by `raw` [n, numbers, m], and the logarithms of the slopes [n, m]."""
        inside = x.clamp(-self.bound, self.bound)
        piece = self._pieces(inside, raw, 0)
        slope = piece.height / piece.width
        r = (inside - piece.x) / piece.width
        both = r * (1 - r)
        denominator = slope + (piece.left + piece.right - 2 * slope) * both
        y = piece.y + piece.height * (slope * r**2 + piece.left * both) / denominator
        rise = piece.right * r**2 + 2 * slope * both + piece.left * (1 - r) ** 2
        return y + (x - inside), 2 * (slope.log() - denominator.log()) + rise.log()

    def inverse(self, y: Tensor, raw: Tensor) -> Tensor:
        inside = y.clamp(-self.bound, self.bound)
        piece = self._pieces(inside, raw, 1)
        slope = piece.height / piece.width
        above = inside - piece.y
        bent = above * (piece.left + piece.right - 2 * slope)
        a = piece.height * (slope - piece.left) + bent
        b = piece.height * piece.left - bent
        c = -slope * above
        r = 2 * c / (-b - (b**2 - 4 * a * c).clamp(min=0).sqrt())
        return piece.x + r * piece.width + (y - inside)

    def _pieces(self, values: Tensor, raw: Tensor, axis: int) -> Pieces:
        """The pieces that contain `values`, along the axis x (0) or y (1)."""
        sizes = [self._sizes(raw[:, from_ : from_ + self.bins]) for from_ in (0, self.bins)]
        knots = [pad(size.cumsum(1), (0, 0, 1, 0)) - self.bound for size in sizes]
        # softplus(raw + shift) + LEAST is 1 at 0
        slopes = softplus(raw[:, 2 * self.bins :] + math.log(math.expm1(1 - LEAST))) + LEAST
        slopes = pad(slopes, (0, 0, 1, 1), value=1.0)
        piece = (knots[axis][:, 1:-1] <= values[:, None]).sum(1, keepdim=True)

        def pick(of: Tensor, offset: int = 0) -> Tensor:
            return of.gather(1, piece + offset).squeeze(1)

        return Pieces(pick(knots[0]), pick(sizes[0]), pick(knots[1]), pick(sizes[1]), pick(slopes), pick(slopes, 1))

    def _sizes(self, raw: Tensor) -> Tensor:
        """Sizes of pieces [n, K, m], which add up to the length of [-bound, bound]."""
        shares = LEAST + (1 - LEAST * self.bins) * softmax(raw, 1)
        return 2 * self.bound * shares
