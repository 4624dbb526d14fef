"""A prior over pixels in [-1, 1) whose logits follow another prior."""

import math
from typing import Optional, Tuple

import torch
from torch import Tensor

from ..errors import InputError
from ..likelihood import Nll
from .base import OdeOptions, Prior, SampleOptions

# divides logits, so that black and white pixels are about unit spread
SPREAD = 4.0


class OfLogits(Prior):
    """The prior of points x whose `y = ln(p / (1 - p)) / 4`, `p = margin + (1/2 - margin) (x + 1)`, follow `inner`."""

    def __init__(self, inner: Prior, margin: float):
        super().__init__({}, inner.shape)
        self.inner = inner
        self.kind = inner.kind
        self.stepped, self.guided = inner.stepped, inner.guided
        self.margin, self.slope = margin, 0.5 - margin

    def _forward(self, rows: Tensor) -> Tuple[Tensor, Tensor]:
        """Logits [n, D], and `log |det d logit / d row|` `[n]` in nats."""
        log, log_rest = (torch.log(self.margin + self.slope * (1 + x)) for x in (rows, -rows))  # of p and 1 - p
        constant = rows.shape[1] * math.log(self.slope / SPREAD)
        return (log - log_rest) / SPREAD, constant - (log + log_rest).sum(1)

    def velocity(self, x: Tensor, times: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        raise InputError(
            "a prior of logits has no velocity of points, and no density outside [-1, 1]; expected one without "
            "`normalisation.logit`"
        )

    def nll(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Nll:
        logits, log_det = self._forward(rows)
        nll = self.inner.nll(logits, condition, options)
        nll.values = nll.values - log_det
        return nll

    def to_noise(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Tuple[Tensor, Tensor]:
        logits, log_det = self._forward(rows)
        noise, of_logits = self.inner.to_noise(logits, condition, options)
        return noise, of_logits + log_det

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        p = torch.sigmoid(SPREAD * self.inner.from_noise(noise, condition, options))
        return (p - self.margin) / self.slope - 1
