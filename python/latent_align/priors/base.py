"""The interface of priors: a density over points, samples, and the map to noise and back.

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
    """The shape of a point: T tokens of width d, and its condition."""

    tokens: int
    width: int
    condition: Optional[ConditionKind] = None

    @property
    def elements(self) -> int:
        """D = T d."""
        return self.tokens * self.width


@dataclass(frozen=True)
class OdeOptions:
    """Options of the ODE solver; unused by priors in closed form."""

    tolerance: float
    probes: Optional[Tensor] = None
    """Directions [n, k, D] of Hutchinson's estimate; none for the exact divergence."""


@dataclass(frozen=True)
class SampleOptions:
    """Options for mapping noise to points."""

    tolerance: float = 1e-4
    """The tolerance of an ODE step, absolute and relative."""
    steps: Optional[int] = None
    """This many equal steps instead, without error control."""
    guidance: float = 1.0
    """The guidance scale; 1 for the density under the condition."""


class Prior(nn.Module):
    """A density over rows [n, D]. `condition` is [n, c] from `ConditionKind.encode`, or none."""

    kind: str
    # whether points are computed from noise by an ODE, with any number of steps
    stepped = False
    # whether the prior supports guidance
    guided = False

    def __init__(self, config: Dict[str, Any], shape: Shape):
        super().__init__()
        self.shape = shape
        # has the element type and the device of the weights; a kind may have no weights
        self.register_buffer("place", torch.zeros(()), persistent=False)

    @staticmethod
    def sizes(config: Dict[str, Any], **expected: Tuple[float, float]) -> None:
        """Refuses a header with numbers that are missing or out of range."""
        for name, (least, most) in expected.items():
            value = config.get(name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not least <= value <= most:
                raise InputError(f"its header says {name}: {value!r}, expected {least} to {most}")

    def velocity(self, x: Tensor, times: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        """The velocity [K, m, D] at `x` [K, m, D], group k at `times[k]`, each row with its row of `condition` [K m,
        c]."""
        raise InputError(
            f"a prior of kind {self.kind} has no velocity, expected one with a probability-flow ODE (flow_matching, "
            "mixture, normal); its exact `nll` is differentiable and can be trained against instead"
        )

    def jvps(self, x: Tensor, time: float, directions: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        """The velocity's Jacobian at `x` [n, D] times k directions per point, [n, k, D] or [1, k, D]; for priors with
        an ODE."""
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
    """A prior that maps rows to noise in closed form, which gives its exact NLL."""

    def _forward(self, rows: Tensor, condition: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        """Noise [n, D], and `log |det d noise / d row|` `[n]` in nats."""
        raise NotImplementedError

    def nll(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Nll:
        noise, log_det = self._forward(rows, condition)
        return Nll(require_finite(normal_nll(noise) - log_det), "exact")

    def to_noise(self, rows: Tensor, condition: Optional[Tensor], options: OdeOptions) -> Tuple[Tensor, Tensor]:
        noise, log_det = self._forward(rows, condition)
        return noise, require_finite(log_det)
