"""The alignment loss of latents under a frozen flow (Li et al., arXiv 2506.05240) as used by the pipeline:

`L(y) = E_{t, noise} w(t) || v((1 - t) noise + t y, t) - (y - noise) ||^2`.

The gradient passes through the flow's input and through the target; the flow's weights are frozen.
"""

import math
from dataclasses import dataclass
from typing import Optional, Union

import torch
from torch import Tensor

from .errors import InputError
from .likelihood import Velocity

# the largest ratio of data to noise: truncation costs about 1 / (R s)^2 nats per dimension at scale s
TRUNCATION = 200.0
# the smallest ratio: truncation costs at most r^2 |y|^2 / 2 nats
LEAST_RATIO = 0.01
# the number of times in one loss, each shared by a group of rows: the largest divisor of the rows in this range
FEWEST_TIMES, MOST_TIMES = 16, 64
# the grid of possible times: a midpoint rule with this many nodes is exact relative to training noise
GRID = 1024


@dataclass(frozen=True)
class Weighting:
    """The weighting w(t) and the range of t it integrates over.

    `uniform`: w = 1, t uniform on [0, 1], the paper's. `likelihood`: w = t / (1 - t), log-uniform in w up to
    `truncation`; the loss then estimates the NLL in nats (Kingma & Gao 2023, arXiv 2303.00848).
    """

    name: str = "uniform"
    truncation: float = TRUNCATION

    def __post_init__(self):
        if self.name not in ("uniform", "likelihood"):
            raise InputError(f'found weighting "{self.name}", expected "uniform" or "likelihood"')
        if not 1.0 <= self.truncation <= 1e6:
            raise InputError(
                f"found truncation {self.truncation}, expected 1 to 1e6, a few times the inverse of the smallest scale "
                "of the target, such as 200"
            )

    @property
    def _range(self) -> float:
        return math.log(self.truncation / LEAST_RATIO)

    def times(self, shares: Tensor) -> Tensor:
        """The time at each of `shares` in [0, 1) of the range."""
        if self.name == "uniform":
            return shares
        ratio = LEAST_RATIO * torch.exp(shares * self._range)
        return ratio / (1.0 + ratio)

    def factors(self, times: Tensor) -> Tensor:
        """The factor on the squared error at `times`; its mean over even shares estimates the weighted integral."""
        return torch.ones_like(times) if self.name == "uniform" else times * times * self._range

    def controls(self, times: Tensor) -> Tensor:
        """The control variate at `times`: a standard normal target's exact velocity has an error that grows with the
        noise as `control |noise|^2`."""
        if self.name == "uniform":
            return torch.zeros_like(times)
        square = (times / (1.0 - times)) ** 2
        return self._range * (square / (1.0 + square)) ** 2

    @property
    def offset(self) -> float:
        """Added to the integral per dimension: the mean of the control variate, and the constant of an NLL in nats."""
        if self.name == "uniform":
            return 0.0

        def primitive(r: float) -> float:
            return 0.5 * (math.log1p(r * r) + 1.0 / (1.0 + r * r))

        control_mean = primitive(self.truncation) - primitive(LEAST_RATIO)
        return control_mean + 0.5 * math.log(2 * math.pi) + 0.5 - math.log(self.truncation)


@dataclass(frozen=True)
class Draws:
    """The random numbers of a loss: K shares of the weighting's range, and noise for K groups of m rows.

    Rows [n, D] are repeated for each draw: [draws * n, D] as [K, m, D].
    """

    shares: Tensor
    """`[K]` in [0, 1), f64 on the CPU; stratified."""
    noise: Tensor
    """[K, m, D], N(0, 1)."""

    @classmethod
    def new(cls, rows: Tensor, draws: int, generator: Optional[torch.Generator] = None) -> "Draws":
        """`draws` draws for each of `rows` [n, D]: independent noise, times stratified over the batch."""
        n, width = rows.shape
        if draws < 1 or n < 1:
            raise InputError(f"found {draws} draws for {n} points, expected at least one of each")
        count = draws * n
        # if no number of groups in the range divides the rows, each row has its own time
        groups = next((k for k in range(MOST_TIMES, FEWEST_TIMES - 1, -1) if count % k == 0), count)
        on_cpu = generator if generator is None or generator.device.type == "cpu" else None
        if on_cpu is None and generator is not None:
            # shares are drawn on the CPU: a generator of another device provides the seed
            seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
            on_cpu = torch.Generator().manual_seed(int(seed))
        within = torch.rand(groups, generator=on_cpu, dtype=torch.float64)
        shares = (torch.randperm(groups, generator=on_cpu) + within) / groups
        device = rows.device if generator is None else generator.device
        dtype = torch.promote_types(rows.dtype, torch.float32)
        noise = torch.randn(groups, count // groups, width, generator=generator, device=device, dtype=dtype)
        return cls(shares, noise.to(rows))


def alignment_loss(velocity: Velocity, rows: Tensor, weighting: Weighting, draws: Union[int, Draws], generator) -> Tensor:
    """The loss of `rows` [n, D], a scalar: mean over draws, rows and dimensions."""
    if isinstance(draws, int):
        draws = Draws.new(rows, draws, generator)
    groups, of_group, width = draws.noise.shape
    n = len(rows)
    if width != rows.shape[1] or len(draws.shares) != groups or n == 0 or (groups * of_group) % n:
        raise InputError(
            f"found draws of {len(draws.shares)} shares and noise {list(draws.noise.shape)}, expected [K] and "
            f"[K, m, {rows.shape[1]}] with K m a multiple of the {n} points"
        )
    noise = draws.noise.to(rows)
    y = rows.repeat(groups * of_group // n, 1).reshape(noise.shape)
    # midpoints of equal cells of the weighting's range
    cells = (draws.shares.to("cpu", torch.float64) * GRID).floor().clamp(max=GRID - 1)
    times = weighting.times((cells + 0.5) / GRID)

    def per_group(values: Tensor) -> Tensor:
        return values.to(rows.dtype).to(rows.device).reshape(groups, 1, 1)

    t = per_group(times)
    error = (velocity((1 - t) * noise + t * y, times) - (y - noise)).square()
    if weighting.name == "uniform":
        return error.mean()
    controlled = error * per_group(weighting.factors(times)) - noise.square() * per_group(weighting.controls(times))
    return controlled.mean() + weighting.offset
