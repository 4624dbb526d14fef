"""Likelihoods and samples by the probability-flow ODE (Chen et al. 2018, arXiv 1806.07366).

`log p(y) = log N(x_0; 0, I) - int_0^1 div v(x_t, t) dt` along the trajectory that ends in `x_1 = y`. The trajectory is
solved first; the divergence is integrated along it by a quadrature with as many nodes as each point needs.
"""

import math
from dataclasses import dataclass
from typing import Callable, Iterator, List, Optional, Protocol, Tuple

import numpy as np
import torch
from torch import Tensor

from . import quadrature
from .errors import InputError, NumericalError
from .ode import Trajectory, dormand_prince, in_equal_steps, on_grid

# velocity [K, m, D] at rows [K, m, D] and times [K]
Velocity = Callable[[Tensor, Tensor], Tensor]

# rows (points times their tangents) per evaluation
ROWS_PER_EVALUATION = 8192
# the tolerance of a step of a trajectory relative to that of the NLL
TRAJECTORY = 1e-4


@dataclass
class Nll:
    """Negative log-likelihoods of points."""

    values: Tensor
    """In nats, one per point, in the coordinates of the given points."""
    kind: str
    """`exact`: in closed form. `ode`: through an ODE, to a tolerance."""
    errors: Optional[Tensor] = None
    """The standard error of each over the probes of an estimated divergence; none without random probes."""
    settled: Optional[Tensor] = None
    """For an ODE: whether the integral of each point converged to the tolerance."""


def normal_nll(rows: Tensor) -> Tensor:
    """`-log N(x; 0, I)` of each row [n, D]: `[n]`, in nats."""
    return 0.5 * rows.square().sum(1) + 0.5 * rows.shape[1] * math.log(2 * math.pi)


def require_finite(values: Tensor) -> Tensor:
    """`values` `[n]` if all are finite."""
    bad = ~torch.isfinite(values)
    if bool(bad.any()):
        raise NumericalError(f"the NLL of point {int(bad.nonzero()[0])} is not finite")
    return values


def divergence_probes(divergence: str, probes: "int | Tensor", rows: Tensor, generator) -> Optional[Tensor]:
    """Rademacher directions [n, k, D] of Hutchinson's estimate; none for the exact divergence.

    `probes` is their number per point, or the directions themselves.
    """
    if divergence == "exact":
        return None
    if divergence != "hutchinson":
        raise InputError(f'found divergence "{divergence}", expected "exact" or "hutchinson"')
    n, width = rows.shape
    if isinstance(probes, Tensor):
        if probes.dim() != 3 or probes.shape[0] != n or probes.shape[2] != width or probes.shape[1] < 2:
            raise InputError(f"found probes {list(probes.shape)}, expected [{n}, k, {width}] with k at least 2")
        return probes.to(rows)
    if probes < 2:
        raise InputError(f"found {probes} probes, expected 2 or more: a standard error takes two")
    device = rows.device if generator is None else generator.device
    signs = torch.randint(0, 2, (n, probes, width), generator=generator, device=device)
    return (2 * signs - 1).to(rows)


class Velocities(Protocol):
    """A velocity, which suffices for mapping noise to points."""

    def velocity(self, x: Tensor, times: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        """The velocity [K, m, D] at `x` [K, m, D], group k at `times[k]`, each row with its row of `condition` [K m,
        c]."""


class VelocityField(Velocities, Protocol):
    """A velocity with Jacobian-vector products for its divergence."""

    def jvps(self, x: Tensor, time: float, directions: Tensor, condition: Optional[Tensor] = None) -> Tensor:
        """The Jacobian of the velocity at `x` [n, D], all at `time`, times k directions per point: [n, k, D], or [1, k,
        D] for the same at every point."""


class ProbabilityFlow:
    """The ODE `dx/dt = v(x, t)` from noise at t = 0 to points at t = 1, on rows [n, D]."""

    def __init__(self, field: VelocityField, condition: Optional[Tensor] = None):
        """The ODE of `field`, each row with its row of `condition` [n, c]."""
        self._field, self._condition = field, condition

    def velocity(self, x: Tensor, time: float) -> Tensor:
        """The velocity [n, D] at `x` [n, D], all at `time`."""
        return self._field.velocity(x[None], torch.tensor([time], dtype=torch.float64), self._condition)[0]

    def divergence(self, x: Tensor, time: float, probes: Optional[Tensor]) -> Tensor:
        """The exact divergence [n, 1] at `x` [n, D] by D forward-mode tangents, or its estimate by each of `probes`
        [n, k, D] as [n, k]: `e . J e` (Hutchinson 1989; Grathwohl et al. 2019, arXiv 1810.01367)."""
        if probes is None:
            axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
            jacobians = self._field.jvps(x, time, axes[None], self._condition)
            return jacobians.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
        return (self._field.jvps(x, time, probes, self._condition) * probes).sum(2)

    def of(self, chosen) -> "ProbabilityFlow":
        """The same for some of the rows, a slice or indices."""
        return ProbabilityFlow(self._field, None if self._condition is None else self._condition[chosen])

    def nll(self, rows: Tensor, tolerance: float, probes: Optional[Tensor] = None) -> Nll:
        """The NLL of each of `rows` [n, D], differentiable with respect to `rows` through every step of the solver."""
        wants_graph = torch.is_grad_enabled() and rows.requires_grad
        values, errors, settled = [], [], []
        # a graph keeps every evaluation of a solve
        at_once = ROWS_PER_EVALUATION // 64 if wants_graph else ROWS_PER_EVALUATION
        for chunk, x, of_chunk in _chunks(rows, probes, at_once):
            noise, integrals, found = self.of(chunk).to_noise_and_integrals(x, tolerance, of_chunk, wants_graph)
            nll = normal_nll(noise)[:, None].to(integrals.dtype) + integrals
            values.append(nll.mean(1))
            settled.append(found)
            if of_chunk is not None:
                errors.append(nll.detach().std(1) / math.sqrt(nll.shape[1]))
        return Nll(
            require_finite(_joined(values, rows)),
            "ode",
            _joined(errors, rows) if errors else None,
            torch.cat(settled).to(rows.device) if settled else rows.new_ones(0, dtype=torch.bool),
        )

    def to_noise(self, rows: Tensor, tolerance: float, probes: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """Rows [n, D] mapped to noise [n, D], and `log |det d noise / d row|` `[n]` in nats."""
        ends, log_dets = [], []
        for chunk, x, of_chunk in _chunks(rows, probes, ROWS_PER_EVALUATION):
            noise, integrals, _ = self.of(chunk).to_noise_and_integrals(x, tolerance, of_chunk, False)
            ends.append(noise)
            log_dets.append(-integrals.mean(1))
        return (torch.cat(ends) if ends else rows), require_finite(_joined(log_dets, rows))

    def from_noise(self, noise: Tensor, tolerance: float, steps: Optional[int] = None) -> Tensor:
        """Noise [n, D] mapped to rows [n, D]; with the absolute and relative `tolerance` of a step, or this many equal
        `steps`."""
        with torch.no_grad():
            if steps is None:
                return dormand_prince(self.velocity, noise, 0.0, 1.0, tolerance).end
            return in_equal_steps(self.velocity, noise, 0.0, 1.0, steps)

    def to_noise_and_integrals(
        self, x: Tensor, tolerance: float, probes: Optional[Tensor], wants_graph: bool
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Noise [n, D], integrals of the divergence [n, q] in f64 on the CPU (without a graph), and whether each
        converged `[n]`. With a graph, steps and nodes are chosen without gradients and then fixed."""
        with torch.no_grad():
            trajectory, integrals = self._solve(x.detach(), tolerance, probes)
        settled = torch.from_numpy(integrals.settled)
        if not wants_graph:
            return trajectory.end, torch.from_numpy(integrals.values).to(**_wide(x)), settled
        replayed = on_grid(self.velocity, x, 1.0, 0.0, trajectory.grid)
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        for index, weight in enumerate(quadrature.weights(integrals.intervals)):
            position = quadrature.node(index, integrals.intervals)
            total = total + float(weight) * self.divergence(replayed.at(position), 1.0 - position, probes)
        return replayed.end, total, settled

    def _solve(
        self, x: Tensor, tolerance: float, probes: Optional[Tensor]
    ) -> Tuple[Trajectory, quadrature.Integrals]:
        step, rounding = (1e-13, 1e-14) if x.dtype == torch.float64 else (1e-6, 1e-6)
        # interpolated between steps, a trajectory must be more accurate than the integral along it
        trajectory = dormand_prince(self.velocity, x, 1.0, 0.0, max(TRAJECTORY * tolerance, step))

        def evaluate(position: float, points: np.ndarray) -> np.ndarray:
            at, of_points, flow = trajectory.at(position), probes, self
            if len(points) < len(x):
                chosen = torch.from_numpy(points).to(x.device)
                at, flow = at[chosen], self.of(chosen)
                of_points = None if probes is None else probes[chosen]
            return flow.divergence(at, 1.0 - position, of_points).cpu().numpy().astype(np.float64)

        columns = 1 if probes is None else probes.shape[1]
        return trajectory, quadrature.integrate(len(x), columns, tolerance, rounding, evaluate)


def _wide(like: Tensor) -> dict:
    """The element type and device of long sums: f64 if the device has it."""
    dtype = torch.float32 if like.device.type == "mps" else torch.float64
    return {"dtype": dtype, "device": like.device}


def _joined(parts: List[Tensor], like: Tensor) -> Tensor:
    return torch.cat(parts).to(like.dtype) if parts else like.new_zeros(0)


def _chunks(
    rows: Tensor, probes: Optional[Tensor], at_once: int
) -> Iterator[Tuple[slice, Tensor, Optional[Tensor]]]:
    """Chunks of rows [n, D] with at most `at_once` rows including tangents: the slice, the rows, and their probes."""
    tangents = rows.shape[1] if probes is None else probes.shape[1]
    size = max(at_once // (tangents + 1), 1)
    for start in range(0, len(rows), size):
        chunk = slice(start, start + size)
        yield chunk, rows[chunk], None if probes is None else probes[chunk]
