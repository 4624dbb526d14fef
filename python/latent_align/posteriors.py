"""The posteriors q(z|x): what an encoder's outputs say of the latents of each row.

All are Gaussians. `linear_iaf` and `householder` draw from a diagonal one and tie the numbers of a row together by a
linear map whose determinant is 1 or -1, so that densities are those before the map.
"""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Protocol, Tuple

import torch
from torch import Tensor, nn

from .errors import InputError

# log-variances are confined to +- this
LOG_VARIANCE = 15.0
# added to |v|^2, so that a vector of zeros reflects nothing
LEAST_SQUARE = 1e-12


class LinearMap(Protocol):
    """A linear map of each row [B, M], M = T d, whose determinant is 1 or -1."""

    def apply(self, rows: Tensor) -> Tensor:
        """What the rows [B, M] become."""

    def undo(self, rows: Tensor) -> Tensor:
        """The rows [B, M] that become these."""


@dataclass
class Encoding:
    """What the encoder says of each row: T tokens of width d, in the space of the flow it was aligned with."""

    mean: Tensor
    """The latent, or the mean of its posterior [B, T, d]."""
    log_variance: Optional[Tensor] = None
    """The log-variance of a diagonal Gaussian, learned or fixed [B, T, d]: the posterior itself, or what `map` is applied to;
    none where latents have no noise."""
    start: Optional[Tensor] = None
    """The mean of that Gaussian [B, T, d], where there is a `map`."""
    map: Optional[LinearMap] = None
    """Of `linear_iaf` and `householder`: what ties the numbers of a row together."""

    def draw(self, generator: Optional[torch.Generator] = None, noise: Optional[Tensor] = None) -> Tensor:
        """Latents [B, T, d]: the mean itself, or a draw from the posterior, with `noise` [B, T, d] from N(0, 1) if given.
        Differentiable with respect to what the encoder gave."""
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
        before, mean = latents.to(self.mean), self.mean
        if self.map is not None and self.start is not None:
            before, mean = self.map.undo(before.flatten(1)).reshape(mean.shape), self.start
        square = (before - mean).square() / self.log_variance.exp()
        return -0.5 * (square + self.log_variance + math.log(2 * math.pi)).flatten(1).sum(1)


class Posterior(nn.Module):
    """A kind of posterior over rows of `shape` (T, d). Its own weights, if any, are among the autoencoder's."""

    def __init__(self, config: Dict[str, Any], shape: Tuple[int, int]):
        super().__init__()
        self.shape = shape
        self.elements = shape[0] * shape[1]

    @property
    def others(self) -> int:
        """Numbers a row that it takes from the encoder besides the means."""
        return 0

    def forward(self, means: Tensor, others: Tensor) -> Encoding:
        """The posterior of each row of `means` [B, M], given `others` [B, k]."""
        raise NotImplementedError

    def _tokens(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), *self.shape)

    def _mapped(self, means: Tensor, log_variances: Tensor, by: LinearMap) -> Encoding:
        start, log_variance = self._tokens(means), self._tokens(log_variances.clamp(-LOG_VARIANCE, LOG_VARIANCE))
        return Encoding(self._tokens(by.apply(means)), log_variance, start, by)


class Deterministic(Posterior):
    """One latent a row."""

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


class Triangular:
    """A lower-triangular matrix [B, M, M] for each row, 1 on its diagonal."""

    def __init__(self, matrix: Tensor):
        self.matrix = matrix

    def apply(self, rows: Tensor) -> Tensor:
        return (self.matrix @ rows[:, :, None])[:, :, 0]

    def undo(self, rows: Tensor) -> Tensor:
        solved = torch.linalg.solve_triangular(self.matrix, rows[:, :, None], upper=False, unitriangular=True)
        return solved[:, :, 0]


class LinearIaf(Posterior):
    """Linear inverse autoregressive flow (Tomczak & Welling 2017, arXiv 1706.02326): `z = L z_0`, L a convex combination of
    K triangular matrices that the encoder gives."""

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


class Reflections:
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
    """Householder flow (Tomczak & Welling 2016, arXiv 1611.09630): the encoder gives the first vector to reflect along, a
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


KINDS = {
    "deterministic": Deterministic,
    "gaussian": Gaussian,
    "fixed_noise": FixedNoise,
    "linear_iaf": LinearIaf,
    "householder": Householder,
}


def _whole(config: Dict[str, Any], key: str, most: int) -> int:
    value = config.get(key)
    if not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"its header says posterior.{key}: {value!r}, expected 1 to {most}")
    return value
