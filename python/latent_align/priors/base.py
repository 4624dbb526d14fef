"""What every prior offers: a density over points, samples, and the way to noise and back.

A point is T tokens of width d, here a row of D = T d numbers.
"""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import torch
from torch import Tensor, nn

from ..conditions import ConditionKind
from ..errors import InputError
from ..likelihood import Nll, normal_nll, require_finite


@dataclass(frozen=True)
class Shape:
    """The shape of a point: T tokens of width d, and what it is conditioned on."""

    tokens: int
    width: int
    condition: Optional[ConditionKind] = None

    @property
    def elements(self) -> int:
        """D = T d."""
        return self.tokens * self.width


@dataclass(frozen=True)
class OdeOptions:
    """How an ODE is solved where there is one; a closed form asks for none of it."""

    tolerance: float
    probes: Optional[Tensor] = None
    """Directions [n, k, D] of Hutchinson's estimate; the exact divergence without."""


@dataclass(frozen=True)
class SampleOptions:
    """How noise is carried to points."""

    tolerance: float = 1e-4
    """Of a step of an ODE, absolute and relative."""
    steps: Optional[int] = None
    """So many equal steps instead, whatever their error."""
    guidance: float = 1.0
    """How far points lean towards their condition; 1 for the density under it."""


class Prior(nn.Module):
    """A density over rows [n, D]. `condition` is [n, c] as `ConditionKind.encode` makes it, or none."""

    kind: str
    # whether points come of noise by an ODE, in as many steps as one likes
    stepped = False
    # whether they can lean towards their condition by more than it asks
    guided = False

    def __init__(self, config: Dict[str, Any], shape: Shape):
        super().__init__()
        self.shape = shape
        # of the element type and on the device of the weights, which a kind may have none of
        self.register_buffer("place", torch.zeros(()), persistent=False)

    @staticmethod
    def sizes(config: Dict[str, Any], **expected: Tuple[float, float]) -> None:
        """Refuses a header whose numbers are missing or out of range."""
        for name, (least, most) in expected.items():
            value = config.get(name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not least <= value <= most:
                raise InputError(f"its header says {name}: {value!r}, expected {least} to {most}")

    def velocity(self, x: Tensor, times: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        """The velocity [K, m, D] at `x` [K, m, D], group k at `times[k]`, under a row of `condition` [K m, c] each."""
        raise InputError(
            f"a prior of kind {self.kind} has no velocity, expected one with a probability-flow ODE (flow_matching, "
            "mixture, normal); its exact `nll` is differentiable and can be trained against instead"
        )

    def jvps(self, x: Tensor, time: float, directions: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        """The velocity's Jacobian at `x` [n, D] times k directions a point, [n, k, D] or [1, k, D]; where there is an ODE."""
        raise NotImplementedError

    def nll(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Nll:
        """The NLL of each of `rows` in nats, differentiable with respect to them."""
        raise NotImplementedError

    def to_noise(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Tuple[Tensor, Tensor]:
        """Noise [n, D], and `log |det d noise / d row|` `[n]` in nats."""
        raise NotImplementedError

    def from_noise(self, noise: Tensor, condition: Optional[Tensor], options: SampleOptions) -> Tensor:
        """Rows [n, D], the inverse of `to_noise` under the same condition."""
        raise NotImplementedError


class Bijection(Prior):
    """A prior that carries rows to noise in closed form, from which its exact NLL follows."""

    def _forward(self, rows: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        """Noise [n, D], and `log |det d noise / d row|` `[n]` in nats."""
        raise NotImplementedError

    def nll(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Nll:
        noise, log_det = self._forward(rows, condition)
        return Nll(require_finite(normal_nll(noise) - log_det), "exact")

    def to_noise(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Tuple[Tensor, Tensor]:
        noise, log_det = self._forward(rows, condition)
        return noise, require_finite(log_det)
