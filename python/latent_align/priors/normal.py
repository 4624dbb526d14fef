"""The standard normal distribution, without parameters: the prior of a plain VAE."""

from typing import Optional, Tuple

from torch import Tensor

from ..likelihood import Nll, normal_nll, require_finite
from .base import OdeOptions, Prior, SampleOptions


class Normal(Prior):
    """N(0, I) over points."""

    kind = "normal"

    def velocity(self, x: Tensor, times: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        t = times.to(x.dtype).to(x.device)[:, None, None]
        return (2 * t - 1) / ((1 - t) ** 2 + t * t) * x

    def nll(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Nll:
        return Nll(require_finite(normal_nll(rows)), "exact")

    def to_noise(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Tuple[Tensor, Tensor]:
        return rows, rows.new_zeros(len(rows))

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        return noise
