"""Dormand-Prince 5(4): an explicit Runge-Kutta pair with adaptive steps (Dormand & Prince 1980; step control as in
Hairer, Norsett & Wanner, II.4), the method and the tolerances of the pipeline's own solver.

All points of a batch share one step size. Between the ends of a step the solution is the pair's continuous extension of
order four (Hairer, Norsett & Wanner, II.6).
"""

import bisect
from dataclasses import dataclass
from typing import Callable, List, Tuple

import torch
from torch import Tensor

from .errors import NumericalError

# dx/dt [n, d] at x [n, d] and a time
Slope = Callable[[Tensor, float], Tensor]

C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
A = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# fifth-order weights minus fourth-order weights
E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# weights of the slopes in the last coefficient of the continuous extension
D = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)
# the largest number of steps
MOST_STEPS = 10_000


@dataclass
class Step:
    """One step, as the coefficients of its continuous extension."""

    position: float
    share: float
    coefficients: Tuple[Tensor, ...]


@dataclass
class Trajectory:
    """A solution [n, d] over a whole interval; positions are fractions of it, so that both directions are alike."""

    steps: List[Step]
    end: Tensor
    grid: List[float]
    """Where the steps end."""

    def at(self, position: float) -> Tensor:
        """The points [n, d] at `position`."""
        if position >= 1.0:
            return self.end
        step = self.steps[bisect.bisect_right(self.grid, position)]
        s = (position - step.position) / step.share
        c0, c1, c2, c3, c4 = step.coefficients
        r = 1.0 - s
        return c0 + c1 * s + c2 * (s * r) + c3 * (s * s * r) + c4 * (s * s * r * r)


class Interval:
    """`slope` between two times, either of which may be larger."""

    def __init__(self, slope: Slope, start: float, end: float):
        self.slope, self.start, self.span = slope, start, end - start

    def slope_at(self, x: Tensor, position: float) -> Tensor:
        return self.slope(x, self.start + position * self.span)

    def step(self, x: Tensor, first: Tensor, position: float, share: float) -> Tuple[Tensor, List[Tensor]]:
        """One step of size `share`: the next points and the seven slopes, the last of them at the next points."""
        slopes, following = [first], x
        for stage in range(1, 7):
            following = _advance(x, share * self.span, A[stage], slopes)
            slopes.append(self.slope_at(following, position + C[stage] * share))
        return following, slopes

    def extension(self, x: Tensor, following: Tensor, slopes: List[Tensor], position: float, share: float) -> Step:
        """The continuous extension of a step."""
        h = share * self.span
        difference = following - x
        bend = slopes[0] * h - difference
        fourth = _advance(torch.zeros_like(x), h, D, slopes)
        return Step(position, share, (x, difference, bend, difference - slopes[6] * h - bend, fourth))


def dormand_prince(slope: Slope, x: Tensor, start: float, end: float, tolerance: float) -> Trajectory:
    """Integrates `slope` from `start` to `end` (either may be larger) from the points `x` [n, d].

    `tolerance` is the largest local error of a step, absolute plus relative: root mean square over the entries of a
    point, the largest over points.
    """
    interval = Interval(slope, start, end)
    first = interval.slope_at(x, 0.0)
    position, step, rejected = 0.0, 0.01, 0
    steps: List[Step] = []
    grid: List[float] = []
    while position < 1.0:
        time = start + position * interval.span
        if len(grid) + rejected >= MOST_STEPS or step < 1e-9:
            raise NumericalError(
                f"the ODE solver stopped at t = {time:.6f} after {len(grid)} steps (step size {step:.1e}): the velocity "
                f"is not smooth enough for tolerance {tolerance:g} in this precision; loosen the tolerance"
            )
        is_last = position + step >= 1.0
        share = 1.0 - position if is_last else step
        following, slopes = interval.step(x, first, position, share)
        error = _error_share(x, following, share * interval.span, slopes, tolerance)
        is_finite = error < float("inf")
        if not is_finite and share < 1e-6:
            raise NumericalError(f"the ODE solution is not finite at t = {time:.6f}")
        factor = min(max(0.9 * max(error, 1e-10) ** -0.2, 0.2), 5.0) if is_finite else 0.1
        if error <= 1.0:
            steps.append(interval.extension(x, following, slopes, position, share))
            x, first = following, slopes[6]
            position = 1.0 if is_last else position + share
            grid.append(position)
            step = share * factor
        else:
            rejected += 1
            step = share * min(factor, 0.9)
    return Trajectory(steps, x, grid)


def on_grid(slope: Slope, x: Tensor, start: float, end: float, grid: List[float]) -> Trajectory:
    """Integrates over steps that end at the positions `grid`, without control of the error."""
    interval = Interval(slope, start, end)
    first, position = interval.slope_at(x, 0.0), 0.0
    steps = []
    for stop in grid:
        share = stop - position
        following, slopes = interval.step(x, first, position, share)
        steps.append(interval.extension(x, following, slopes, position, share))
        x, first, position = following, slopes[6], stop
    return Trajectory(steps, x, list(grid))


def in_equal_steps(slope: Slope, x: Tensor, start: float, end: float, steps: int) -> Tensor:
    """The end point of `x` [n, d] after this many equal steps, without error control: six evaluations each, and one at
    the start."""
    interval = Interval(slope, start, end)
    first, position = interval.slope_at(x, 0.0), 0.0
    for stop in ((step + 1) / steps for step in range(steps)):
        x, slopes = interval.step(x, first, position, stop - position)
        first, position = slopes[6], stop
    return x


def _advance(x: Tensor, h: float, weights: Tuple[float, ...], slopes: List[Tensor]) -> Tensor:
    """`h sum_i weights[i] slopes[i]`, added to `x`."""
    for weight, slope in zip(weights, slopes):
        if weight != 0.0:
            x = x + slope * (h * weight)
    return x


def _error_share(before: Tensor, after: Tensor, h: float, slopes: List[Tensor], tolerance: float) -> float:
    """The local error of a step relative to the tolerance."""
    error = _advance(torch.zeros_like(before), h, E, slopes)
    size = torch.maximum(before.abs(), after.abs())
    share = error / (size * tolerance + tolerance)
    return float(share.square().mean(1).max().sqrt())
