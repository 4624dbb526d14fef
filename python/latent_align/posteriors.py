"""The posteriors q(z|x), given by the encoder's outputs for each row.

All start from a diagonal Gaussian. `linear_iaf` and `householder` apply a linear map to a row whose determinant is 1 or
-1, so that densities are unchanged; `planar`, `radial` and `iaf` apply nonlinear maps, whose log-determinants are
subtracted.
"""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Protocol, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid, silu, softplus

from .errors import InputError

# log-variances are clamped to +- this
LOG_VARIANCE = 15.0
# added to |v|^2, so that a zero vector gives no reflection
LEAST_SQUARE = 1e-12


class Map(Protocol):
    """An invertible map of each row [B, M], M = T d."""

    def apply(self, rows: Tensor) -> Tensor:
        """The images of the rows [B, M]."""

    def undo(self, rows: Tensor) -> Tensor:
        """The inverse images of the rows [B, M]."""

    def log_determinant(self, rows: Tensor) -> Tensor:
        """`log |det|` of the map's Jacobian at the rows [B, M]: `[B]`."""


@dataclass
class Encoding:
    """The posterior of each row: T tokens of width d, in the space of the flow it was aligned with."""

    mean: Tensor
    """The latent, or the mean of its posterior [B, T, d]."""
    log_variance: Optional[Tensor] = None
    """The log-variance of a diagonal Gaussian, learned or fixed [B, T, d]: the posterior itself, or the input of `map`;
    none if latents have no noise."""
    start: Optional[Tensor] = None
    """The mean of that Gaussian [B, T, d], if there is a `map`."""
    map: Optional[Map] = None
    """The map applied to a row; none for a diagonal Gaussian."""

    def draw(self, generator: Optional[torch.Generator] = None, noise: Optional[Tensor] = None) -> Tensor:
        """Latents [B, T, d]: the mean itself, or a draw from the posterior, with `noise` [B, T, d] from N(0, 1) if given.
        Differentiable with respect to the encoder's outputs."""
        if self.log_variance is None:
            return self.mean
        if noise is None:
            device = self.mean.device if generator is None else generator.device
            noise = torch.randn(self.mean.shape, generator=generator, device=device, dtype=self.mean.dtype)
        scaled = torch.exp(0.5 * self.log_variance) * noise.to(self.mean)
        if self.map is None or self.start is None:
            return self.mean + scaled
        return self.map.apply((self.start + scaled).flatten(1)).reshape(self.mean.shape)

    def log_density(self, latents: Tensor) -> Tensor:
        """`log q(z|x)` in nats of `latents` [B, T, d], each row under its own posterior: `[B]`."""
        if self.log_variance is None:
            raise InputError("found a posterior without noise, which has no density, expected one with noise")
        if latents.shape != self.mean.shape:
            raise InputError(f"found latents {list(latents.shape)}, expected {list(self.mean.shape)}")
        before, mean, log_determinant = latents.to(self.mean), self.mean, 0.0
        if self.map is not None and self.start is not None:
            rows = self.map.undo(before.flatten(1))
            before, mean, log_determinant = rows.reshape(mean.shape), self.start, self.map.log_determinant(rows)
        square = (before - mean).square() / self.log_variance.exp()
        log_density = -0.5 * (square + self.log_variance + math.log(2 * math.pi)).flatten(1).sum(1)
        return log_density - log_determinant


class Posterior(nn.Module):
    """A kind of posterior over rows of `shape` (T, d). Its own weights, if any, are among the autoencoder's."""

    def __init__(self, config: Dict[str, Any], shape: Tuple[int, int]):
        super().__init__()
        self.shape = shape
        self.elements = shape[0] * shape[1]

    @property
    def others(self) -> int:
        """The number of encoder outputs per row in addition to the means."""
        return 0

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        """The posterior of each row of `means` [B, M], given `others` [B, k]."""
        raise NotImplementedError

    def _tokens(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), *self.shape)

    def _mapped(self, means: Tensor, log_variances: Tensor, by: Map) -> Encoding:
        start, log_variance = self._tokens(means), self._tokens(log_variances.clamp(-LOG_VARIANCE, LOG_VARIANCE))
        return Encoding(self._tokens(by.apply(means)), log_variance, start, by)


class Deterministic(Posterior):
    """One latent per row."""

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        return Encoding(self._tokens(means))


class Gaussian(Posterior):
    """A diagonal Gaussian."""

    @property
    def others(self) -> int:
        return self.elements

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        return Encoding(self._tokens(means), self._tokens(others.clamp(-LOG_VARIANCE, LOG_VARIANCE)))


class FixedNoise(Posterior):
    """Noise of one fixed standard deviation."""

    def __init__(self, config: Dict[str, Any], shape: Tuple[int, int]):
        super().__init__(config, shape)
        scale = config.get("scale")
        if not isinstance(scale, (int, float)) or not 0.0 < scale < math.inf:
            raise InputError(f"its header says posterior.scale: {scale!r}, expected a positive number")
        self.log_variance = 2.0 * math.log(scale)

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        mean = self._tokens(means)
        return Encoding(mean, torch.full_like(mean, self.log_variance))


class Rigid:
    """A map whose determinant is 1 or -1."""

    def log_determinant(self, rows: Tensor) -> Tensor:
        return rows.new_zeros(len(rows))


class Triangular(Rigid):
    """A lower-triangular matrix [B, M, M] for each row, 1 on its diagonal."""

    def __init__(self, matrix: Tensor):
        self.matrix = matrix

    def apply(self, rows: Tensor) -> Tensor:
        return (self.matrix @ rows[:, :, None])[:, :, 0]

    def undo(self, rows: Tensor) -> Tensor:
        solved = torch.linalg.solve_triangular(self.matrix, rows[:, :, None], upper=False, unitriangular=True)
        return solved[:, :, 0]


class LinearIaf(Posterior):
    """Linear inverse autoregressive flow (Tomczak & Welling 2017, arXiv 1706.02326): `z = L z_0`, L a convex
    combination of K triangular matrices from the encoder."""

    def __init__(self, config: Dict[str, Any], shape: Tuple[int, int]):
        super().__init__(config, shape)
        self.matrices = _whole(config, "matrices", 64)

    @property
    def below_diagonal(self) -> int:
        """Numbers below the diagonal of a matrix."""
        return self.elements * (self.elements - 1) // 2

    @property
    def others(self) -> int:
        logits = self.matrices if self.matrices > 1 else 0
        return self.elements + self.matrices * self.below_diagonal + logits

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        numbers = self.matrices * self.below_diagonal
        log_variances, below, logits = others.split([self.elements, numbers, others.shape[1] - self.elements - numbers], 1)
        if self.matrices > 1:
            below = (below.reshape(len(below), self.matrices, -1) * logits.softmax(1)[:, :, None]).sum(1)
        # row by row below the diagonal
        row, column = torch.tril_indices(self.elements, self.elements, -1, device=below.device)
        matrix = torch.eye(self.elements, dtype=below.dtype, device=below.device).repeat(len(below), 1, 1)
        matrix[:, row, column] = below
        return self._mapped(means, log_variances, Triangular(matrix))


class Reflections(Rigid):
    """Reflections of each row along vectors [B, M], one after another."""

    def __init__(self, vectors: List[Tensor]):
        self.vectors = vectors

    def apply(self, rows: Tensor) -> Tensor:
        return self._reflected(rows, self.vectors)

    def undo(self, rows: Tensor) -> Tensor:
        # a reflection undoes itself
        return self._reflected(rows, self.vectors[::-1])

    @staticmethod
    def _reflected(rows: Tensor, vectors: List[Tensor]) -> Tensor:
        for v in vectors:
            along = (v * rows).sum(1, keepdim=True) / (v.square().sum(1, keepdim=True) + LEAST_SQUARE)
            rows = rows - 2.0 * v * along
        return rows


class Householder(Posterior):
    """Householder flow (Tomczak & Welling 2016, arXiv 1611.09630): the encoder gives the first reflection vector, and a
    linear layer each further one."""

    def __init__(self, config: Dict[str, Any], shape: Tuple[int, int]):
        super().__init__(config, shape)
        steps = _whole(config, "steps", 256)
        self.next = nn.ModuleList(nn.Linear(self.elements, self.elements) for _ in range(steps - 1))

    @property
    def others(self) -> int:
        return 2 * self.elements

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        log_variances, vector = others.split(self.elements, 1)
        vectors = [vector]
        for layer in self.next:
            vectors.append(layer(vectors[-1]))
        return self._mapped(means, log_variances, Reflections(vectors))


class OfSteps:
    """A map of several steps, each with its own log-determinant."""

    def __init__(self, steps: List[Map]):
        self.steps = steps

    def apply(self, rows: Tensor) -> Tensor:
        for step in self.steps:
            rows = step.apply(rows)
        return rows

    def undo(self, rows: Tensor) -> Tensor:
        for step in reversed(self.steps):
            rows = step.undo(rows)
        return rows

    def log_determinant(self, rows: Tensor) -> Tensor:
        total = rows.new_zeros(len(rows))
        for step in self.steps:
            total = total + step.log_determinant(rows)
            rows = step.apply(rows)
        return total


class Bend:
    """One planar step of each row: `z + u' tanh(w . z + b)`, u' such that `w . u' = softplus(w . u) - 1`."""

    def __init__(self, u: Tensor, w: Tensor, b: Tensor):
        product = (w * u).sum(1, keepdim=True)
        self.least = softplus(product)
        self.along = u + w * (self.least - 1.0 - product) / (w.square().sum(1, keepdim=True) + LEAST_SQUARE)
        self.direction, self.offset = w, b

    def apply(self, rows: Tensor) -> Tensor:
        return rows + self.along * self._h(rows)

    def log_determinant(self, rows: Tensor) -> Tensor:
        square = self._h(rows).square()
        return (square + (1.0 - square) * self.least).log()[:, 0]

    def undo(self, rows: Tensor) -> Tensor:
        # with p = w . z before the step: p + (w . u') tanh(p + b) is w . z after it, and grows with p
        after = (self.direction * rows).sum(1, keepdim=True)
        factor = (self.direction * self.along).sum(1, keepdim=True)
        with torch.no_grad():
            low, high = after - factor.abs(), after + factor.abs()
            for _ in range(80):
                middle = (low + high) / 2
                above = middle + factor * torch.tanh(middle + self.offset) > after
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
            found = (low + high) / 2
        # one step of Newton's method, which also gives the root its gradient
        h = torch.tanh(found + self.offset)
        found = found - (found + factor * h - after) / (1.0 + factor * (1.0 - h.square()))
        return rows - self.along * torch.tanh(found + self.offset)

    def _h(self, rows: Tensor) -> Tensor:
        return torch.tanh((self.direction * rows).sum(1, keepdim=True) + self.offset)


class Planar(Posterior):
    """Planar flow (Rezende & Mohamed 2015, arXiv 1505.05770) with parameters from the encoder."""

    def __init__(self, config: Dict[str, Any], shape: Tuple[int, int]):
        super().__init__(config, shape)
        self.steps = _whole(config, "steps", 256)

    @property
    def others(self) -> int:
        return self.elements + self.steps * (2 * self.elements + 1)

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        log_variances, *parts = others.split([self.elements, *[self.elements, self.elements, 1] * self.steps], 1)
        steps = [Bend(*parts[3 * i : 3 * i + 3]) for i in range(self.steps)]
        return self._mapped(means, log_variances, OfSteps(steps))


class Spread:
    """One radial step of each row: a radial expansion or contraction around a point."""

    def __init__(self, centre: Tensor, a: Tensor, b: Tensor):
        self.centre, self.alpha, self.least = centre, softplus(a), softplus(b)

    def apply(self, rows: Tensor) -> Tensor:
        return self.centre + (rows - self.centre) * self._factor(self._distance(rows))

    def log_determinant(self, rows: Tensor) -> Tensor:
        r = self._distance(rows)
        outward = (r * (r + 2.0 * self.alpha) + self.alpha * self.least) / (self.alpha + r).square()
        return ((rows.shape[1] - 1) * self._factor(r).log() + outward.log())[:, 0]

    def undo(self, rows: Tensor) -> Tensor:
        # the step maps r to r (r + least) / (alpha + r)
        more = self._distance(rows) - self.least
        r = (more + (more.square() + 4.0 * self.alpha * (more + self.least)).sqrt()) / 2
        return self.centre + (rows - self.centre) / self._factor(r)

    def _distance(self, rows: Tensor) -> Tensor:
        return ((rows - self.centre).square().sum(1, keepdim=True) + LEAST_SQUARE).sqrt()

    def _factor(self, r: Tensor) -> Tensor:
        return (r + self.least) / (self.alpha + r)


class Radial(Posterior):
    """Radial flow (Rezende & Mohamed 2015, arXiv 1505.05770) with parameters from the encoder."""

    def __init__(self, config: Dict[str, Any], shape: Tuple[int, int]):
        super().__init__(config, shape)
        self.steps = _whole(config, "steps", 256)

    @property
    def others(self) -> int:
        return self.elements + self.steps * (self.elements + 2)

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        log_variances, *parts = others.split([self.elements, *[self.elements, 1, 1] * self.steps], 1)
        steps = [Spread(*parts[3 * i : 3 * i + 3]) for i in range(self.steps)]
        return self._mapped(means, log_variances, OfSteps(steps))


class Masked(nn.Module):
    """A masked network: the outputs for a number depend only on the numbers before it and on a context."""

    def __init__(self, size: int, widths: List[int]):
        super().__init__()
        sizes = [size, *widths, 2 * size]
        self.context = nn.Linear(widths[0], widths[0], bias=False)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        # the number of leading inputs that a unit depends on
        units = [torch.arange(width) * size // width for width in widths]
        outputs = torch.arange(size).repeat(2)
        masks = [torch.arange(size) < units[0][:, None]]
        masks += [before <= after[:, None] for before, after in zip(units, [*units[1:], outputs])]
        for index, mask in enumerate(masks):
            self.register_buffer(f"mask{index}", mask, persistent=False)

    def forward(self, rows: Tensor, context: Tensor) -> Tuple[Tensor, Tensor]:
        """Two outputs for each number of `rows` [B, M]."""
        x = rows
        for index, layer in enumerate(self.layers):
            x = linear(x if index == 0 else silu(x), layer.weight * getattr(self, f"mask{index}"), layer.bias)
            if index == 0:
                x = x + self.context(context)
        first, second = x.chunk(2, 1)
        return first, second


class Pass:
    """One step of inverse autoregressive flow of each row: `g z + (1 - g) m`, g and m from the numbers before each."""

    # added to s: g starts at sigmoid(2)
    KEPT = 2.0

    def __init__(self, network: Masked, context: Tensor, backwards: bool):
        self.network, self.context, self.backwards = network, context, backwards

    def apply(self, rows: Tensor) -> Tensor:
        log_kept, m = self._of(rows)
        return log_kept.exp() * (rows - m) + m

    def log_determinant(self, rows: Tensor) -> Tensor:
        return self._of(rows)[0].sum(1)

    def undo(self, rows: Tensor) -> Tensor:
        # the first number depends only on the context, each further one also on those before it
        before = rows
        for _ in range(rows.shape[1]):
            log_kept, m = self._of(before)
            before = (rows - m) * torch.exp(-log_kept) + m
        return before

    def _of(self, rows: Tensor) -> Tuple[Tensor, Tensor]:
        s, m = self.network(self._turned(rows), self.context)
        return logsigmoid(self._turned(s) + self.KEPT), self._turned(m)

    def _turned(self, rows: Tensor) -> Tensor:
        return rows.flip(1) if self.backwards else rows


class Iaf(Posterior):
    """Inverse autoregressive flow (Kingma et al. 2016, arXiv 1606.04934) with a context from the encoder."""

    def __init__(self, config: Dict[str, Any], shape: Tuple[int, int]):
        super().__init__(config, shape)
        steps, widths = _whole(config, "steps", 64), config.get("widths")
        if not isinstance(widths, list) or not widths or not all(isinstance(n, int) and 1 <= n <= 4096 for n in widths):
            raise InputError(f"its header says posterior.widths: {widths!r}, expected a list of widths of 1 to 4096")
        self.context = widths[0]
        self.networks = nn.ModuleList(Masked(self.elements, widths) for _ in range(steps))

    @property
    def others(self) -> int:
        return self.elements + self.context

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        log_variances, context = others.split([self.elements, self.context], 1)
        steps = [Pass(network, context, index % 2 == 1) for index, network in enumerate(self.networks)]
        return self._mapped(means, log_variances, OfSteps(steps))


KINDS = {
    "deterministic": Deterministic,
    "gaussian": Gaussian,
    "fixed_noise": FixedNoise,
    "linear_iaf": LinearIaf,
    "householder": Householder,
    "planar": Planar,
    "radial": Radial,
    "iaf": Iaf,
}


def _whole(config: Dict[str, Any], key: str, most: int) -> int:
    value = config.get(key)
    if not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"its header says posterior.{key}: {value!r}, expected 1 to {most}")
    return value
