"""A mixture of Gaussians with full covariances, fitted by maximum likelihood; density and velocity have closed forms.

Component k has a weight, a mean m and a lower-triangular factor L of its precision, whose diagonal is positive:

    log N = sum_i log L_ii - |L (x - m)|^2 / 2 - D/2 log 2 pi

The interpolant `(1 - t) noise + t data` is Gaussian given k, of mean `t m` and covariance `S = (1 - t)^2 I + t^2 C`, so

    u_k(x, t) = m + (t C - (1 - t) I) S^-1 (x - t m),      v = sum_k p(k | x_t = x) u_k

Points are mapped to noise and back by the probability-flow ODE of that velocity.
"""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from ..likelihood import Nll, ProbabilityFlow, require_finite
from .base import OdeOptions, Prior, SampleOptions, Shape


@dataclass
class Conditional:
    """The terms of the components for points [K, m, D] at K times."""

    velocity: Tensor
    """u_k [K, m, D]."""
    score: Tensor
    """g_k = -S^-1 (x - t m) [K, m, D]."""
    slope: Tensor
    """(t C - (1 - t) I) S^-1 in the eigenbasis of C [K, 1, D]."""


def _weighted(gamma: Tensor, of_components: List[Tensor]) -> Tensor:
    """The mean of `of_components` by the weights `gamma` [..., components]."""
    return sum(gamma[..., k, None] * values for k, values in enumerate(of_components))


class Mixture(Prior):
    """K Gaussians in D dimensions."""

    kind = "mixture"
    stepped = True

    def __init__(self, config: Dict[str, Any], shape: Shape):
        super().__init__(config, shape)
        self.sizes(config, components=(1, 4096))
        count, elements = config["components"], shape.elements
        self.logits = nn.Parameter(torch.zeros(1, count))
        self.means = nn.Parameter(torch.zeros(count, elements))
        # lower triangles; the diagonal holds its logarithm, the upper triangle is not used
        self.factors = nn.Parameter(torch.zeros(count, elements, elements))

    def nll(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Nll:
        log_diagonal = self.factors.diagonal(dim1=1, dim2=2)
        whitened = (rows - self.means[:, None]) @ self._lower().transpose(1, 2)  # [K, n, D]
        square = whitened.square().sum(2).T  # [n, K]
        constant = 0.5 * self.shape.elements * math.log(2 * math.pi)
        joint = self.logits.log_softmax(1) + log_diagonal.sum(1) - 0.5 * square - constant
        return Nll(require_finite(-joint.logsumexp(1)), "exact")

    def velocity(self, x: Tensor, times: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        gamma, conditionals = self._conditionals(x, times)
        return _weighted(gamma, [c.velocity for c in conditionals])

    def jvps(self, x: Tensor, time: float, directions: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        # J p = sum_k gamma_k [ (t C - (1 - t) I) S^-1 p + (u_k - v) (g_k . p) ]
        gamma, conditionals = self._conditionals(x[:, None], torch.full((len(x),), time, dtype=torch.float64))
        velocity = _weighted(gamma, [c.velocity for c in conditionals])  # [n, 1, D]
        _, _, _, bases = self._eigen()
        along = [
            (directions @ basis * c.slope) @ basis.T
            + (c.velocity - velocity) * (directions * c.score).sum(2, keepdim=True)
            for c, basis in zip(conditionals, bases)
        ]
        return _weighted(gamma, along)

    def to_noise(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Tuple[Tensor, Tensor]:
        return ProbabilityFlow(self).to_noise(rows, options.tolerance, options.probes)

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        return ProbabilityFlow(self).from_noise(noise, options.tolerance, options.steps)

    def _conditionals(self, x: Tensor, times: Tensor) -> Tuple[Tensor, "List[Conditional]"]:
        """`p(k | x_t = x)` [K, m, components], and the terms of each component for `x` [K, m, D] at `times` `[K]`."""
        t = times.to(x.dtype).to(x.device)[:, None, None]
        log_joints: List[Tensor] = []
        conditionals: List[Conditional] = []
        for log_weight, mean, eigenvalues, basis in zip(*self._eigen()):
            variance = (1 - t) ** 2 + t * t * eigenvalues  # [K, 1, D], all in the eigenbasis of C
            slope = (t * eigenvalues - (1 - t)) / variance
            z = (x - t * mean) @ basis
            quadratic = (z.square() / variance + variance.log()).sum(2, keepdim=True)
            log_joints.append(log_weight - 0.5 * quadratic)
            conditionals.append(Conditional((z * slope) @ basis.T + mean, -(z / variance) @ basis.T, slope))
        return torch.cat(log_joints, 2).softmax(2), conditionals

    def _lower(self) -> Tensor:
        diagonal = self.factors.diagonal(dim1=1, dim2=2)
        return self.factors.tril(-1) + torch.diag_embed(diagonal.exp())

    def _eigen(self) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-weights, means, and eigenvalues and eigenvectors of the covariances (L^T L)^-1; cached while the weights
        are unchanged."""
        weights = (self.logits, self.means, self.factors)
        key = [(w.data_ptr(), w._version, w.dtype) for w in weights]
        if getattr(self, "_kept_key", None) != key:
            with torch.no_grad():
                lower = self._lower().to("cpu", torch.float64)
                inverse = torch.linalg.solve_triangular(lower, torch.eye(lower.shape[1]).to(lower), upper=False)
                eigenvalues, basis = torch.linalg.eigh(inverse @ inverse.transpose(1, 2))
                log_weights = self.logits.double().cpu().log_softmax(1)[0]
                found = (log_weights, self.means, eigenvalues.clamp(min=0.0), basis)
                self._kept = tuple(tensor.detach().to(self.means.dtype).to(self.means.device) for tensor in found)
            self._kept_key = key
        return self._kept
