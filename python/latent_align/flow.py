"""A trained prior and the normalisation of its points."""

import math
from typing import Optional, Tuple, Union

import torch
from torch import Tensor, nn

from .alignment import TRUNCATION, Draws, Weighting, alignment_loss
from .conditions import ConditionKind
from .errors import InputError
from .files import StrPath, find, load_weights, read_header, read_tensors
from .layout import Layout, Noise
from .likelihood import Nll, divergence_probes
from .normaliser import Normaliser
from .priors import KINDS, OdeOptions, OfLogits, Prior, SampleOptions, Shape

FILE = "flow.safetensors"
FORMAT = "latent-align flow 1"
REMEDY = "pretrain the flow again"


class Flow(nn.Module):
    """A density over points of T tokens of width d, frozen.

    Points are `[..., d]` for T = 1, and `[..., T, d]` for several tokens; `...` is any number of axes, such as `[B, T]`
    of an autoencoder's latents. They are in the flow's space, as given by `normalise`. Everything is computed on the
    flow's device (`flow.to("cuda")`) and in the element type of its weights. Gradients reach points, never weights.
    """

    def __init__(self, prior: Prior, normaliser: Normaliser, layout: Optional[Layout] = None):
        super().__init__()
        self.prior = prior
        self.normaliser = normaliser
        self.layout = layout or Layout(prior.shape.tokens)

    @classmethod
    def load(cls, path: StrPath, device: Union[str, torch.device] = "cpu", dtype: torch.dtype = torch.float32) -> "Flow":
        """The flow in `path`: a run's folder such as `artifacts/runs/digits`, an artifact of `pretrain-flow`, or a
        folder of `latent-align export safetensors`. `dtype` is that of the weights: f64 for the most precise
        likelihoods."""
        file = find(path, "pretrain-flow", FILE)
        header = read_header(file, FORMAT, REMEDY)
        kind = header.get("kind", "flow_matching")  # older files have no kind
        if kind not in KINDS:
            raise InputError(
                f"{file}: its prior is of kind {kind!r}, which this version of the package does not know; it knows "
                f"{', '.join(KINDS)}. Install the package that goes with the program that wrote it"
            )
        try:
            Prior.sizes(header, dimensions=(1, 65_536))
            Prior.sizes({"tokens": 1, **header}, tokens=(1, 65_536))
            condition = ConditionKind.of(header.get("condition"), file)
            shape = Shape(header.get("tokens", 1), header["dimensions"], condition)
            with torch.random.fork_rng(devices=[]):  # replaced weights must not consume random numbers
                prior = KINDS[kind](header, shape)
        except InputError as error:
            raise InputError(f"{file}: {error}; {REMEDY}") from None
        load_weights(prior, read_tensors(file), file)
        layout = Layout.of(header.get("layout", {}), shape.tokens, file)
        if layout.logit is not None:
            prior = OfLogits(prior, layout.logit)
        flow = cls(prior, Normaliser.load(file.parent), layout)
        return flow.to(device=device, dtype=dtype)

    @property
    def kind(self) -> str:
        """The kind of prior: `flow_matching`, `mixture`, `coupling`, `normal`."""
        return self.prior.kind

    @property
    def tokens(self) -> int:
        """T, the tokens of a point."""
        return self.prior.shape.tokens

    @property
    def width(self) -> int:
        """d, the width of a token."""
        return self.prior.shape.width

    @property
    def condition(self) -> Optional[ConditionKind]:
        """The kind of condition of points; without a condition, methods use the condition "none"."""
        return self.prior.shape.condition

    def velocity(self, x: Tensor, t: Union[float, Tensor], condition: Optional[Tensor] = None) -> Tensor:
        """The velocity dx/dt of the probability-flow ODE at points `x`, in their shape; t = 0 is noise, t = 1 data.

        `t` is a number, or of the shape of the first axes of `x`: `[n]` for points `[n, d]`, or `[K]` for groups `[K,
        m, d]` that share a time, so that terms that depend on time alone are computed once per group.
        """
        rows, leading = self._rows(x, "points")
        t = torch.as_tensor(t, dtype=torch.float64 if not isinstance(t, Tensor) else None)
        if t.shape != leading[: t.dim()]:
            raise InputError(f"found times {list(t.shape)} for points {list(x.shape)}, expected the first axes of those")
        times = t.reshape(-1)
        groups = rows.reshape(times.numel(), -1, rows.shape[1])
        encoded = None if condition is None else self._condition(condition, rows)
        return self.prior.velocity(groups, times, encoded).reshape(x.shape)

    def forward(self, x: Tensor, t: Union[float, Tensor], condition: Optional[Tensor] = None) -> Tensor:
        """As `velocity`."""
        return self.velocity(x, t, condition)

    def alignment_loss(
        self,
        latents: Tensor,
        weighting: str = "uniform",
        draws: Union[int, Draws] = 4,
        truncation: float = TRUNCATION,
        generator: Optional[torch.Generator] = None,
    ) -> Tensor:
        """The alignment loss of `latents` (points) as a scalar, to be added to a training loss: mean over draws, points
        and dimensions. Differentiable with respect to `latents`.

        `weighting` is `uniform` (Li et al.) or `likelihood`, under which the loss estimates the NLL in nats per
        dimension;
        `truncation` is the largest ratio t / (1 - t) of the latter. `draws` is the number of (t, noise) draws per point
        from `generator`, or the draws themselves. The loss has no entropy term: a large weight contracts latents onto
        modes.
        """
        rows, _ = self._rows(latents, "latents")
        return alignment_loss(self.prior.velocity, rows, Weighting(weighting, truncation), draws, generator)

    def nll(
        self,
        points: Tensor,
        condition: Optional[Tensor] = None,
        tolerance: float = 1e-5,
        divergence: str = "exact",
        probes: Union[int, Tensor] = 8,
        generator: Optional[torch.Generator] = None,
    ) -> Nll:
        """The NLL of each point in nats, of shape `...`, as points of the flow's space.

        Exact for a prior in closed form. For flow matching through the ODE: `tolerance` is the error of the integral in
        nats (in f32 1e-7 at best, in f64 1e-12); `divergence` is `exact`, or `hutchinson` for many dimensions with
        `probes` Rademacher probes per point (or the directions [n, k, D] themselves), which gives standard errors.
        Differentiable with respect to points, for an ODE at the cost of a graph through hundreds of evaluations; call
        it under `torch.no_grad()` if no gradient is needed. Add `-log_abs_det()` for an NLL of features.

        `condition`, for conditional flows: labels `[n]` or embeddings [n, c] of the n points in order.
        """
        rows, leading = self._rows(points, "points")
        options = self._options(rows, tolerance, divergence, probes, generator)
        found = self.prior.nll(rows, self._condition(condition, rows), options)

        def shaped(values: Optional[Tensor]) -> Optional[Tensor]:
            return None if values is None else values.reshape(leading)

        return Nll(found.values.reshape(leading), found.kind, shaped(found.errors), shaped(found.settled))

    def sample(
        self,
        count: int,
        condition: Optional[Tensor] = None,
        temperature: float = 1.0,
        tolerance: float = 1e-4,
        generator: Optional[torch.Generator] = None,
        guidance: float = 1.0,
        steps: Optional[int] = None,
    ) -> Tensor:
        """`count` samples [count, d], or [count, T, d] for points of several tokens, in the flow's space.

        `temperature` is the standard deviation of the noise: 1 for the prior's own distribution, less for likelier
        samples.
        `condition`, `tolerance`, `guidance` and `steps` are those of `from_noise`.
        """
        dtype, device = self._place()
        where = device if generator is None else generator.device
        noise = torch.randn(count, self.prior.shape.elements, generator=generator, device=where, dtype=dtype)
        noise = temperature * noise.to(device).reshape(count, *self._tail())
        return self.from_noise(noise, condition, tolerance, guidance, steps)

    def to_noise(
        self, points: Tensor, condition: Optional[Tensor] = None, tolerance: float = 1e-5
    ) -> Tuple[Tensor, Tensor]:
        """Points mapped to noise of the same shape, N(0, I) if they follow the prior; and `log |det d noise / d point|`
        in nats, of shape `...`. The NLL is that of the noise minus this. Without gradients."""
        rows, leading = self._rows(points, "points")
        with torch.no_grad():
            noise, log_det = self.prior.to_noise(rows, self._condition(condition, rows), OdeOptions(tolerance))
        return noise.reshape(points.shape), log_det.reshape(leading)

    def from_noise(
        self,
        noise: Tensor,
        condition: Optional[Tensor] = None,
        tolerance: float = 1e-4,
        guidance: float = 1.0,
        steps: Optional[int] = None,
    ) -> Tensor:
        """Noise mapped to points of the same shape: the inverse of `to_noise`. Without gradients.

        `tolerance` is that of the ODE's steps, absolute and relative; `steps` takes this many equal steps instead, six
        evaluations of the velocity each. `guidance` is the scale of classifier-free guidance: 1 is the density under
        the condition (flow matching only). Kinds in closed form take neither steps nor guidance.
        """
        rows, _ = self._rows(noise, "noise")
        if steps is not None and not (self.prior.stepped and steps >= 1):
            expected = "1 or more" if self.prior.stepped else f"none: a prior of kind {self.kind} is in closed form"
            raise InputError(f"found steps {steps}, expected {expected}")
        if guidance != 1.0 and not (self.prior.guided and condition is not None and math.isfinite(guidance)):
            known = self.prior.guided
            expected = "a condition for the guidance, or 1" if known else f"1: a prior of kind {self.kind} has no guidance"
            raise InputError(f"found guidance {guidance}, expected {expected}")
        options = SampleOptions(tolerance, steps, guidance)
        with torch.no_grad():
            points = self.prior.from_noise(rows, self._condition(condition, rows), options)
        return points.reshape(noise.shape)

    def normalise(self, features: Tensor) -> Tensor:
        """Features [..., D], as in the data, as points [..., d]: `(feature - mean) matrix`, computed in f64. Points of
        a flow of images [..., C, H, W] are patches [..., T, d], as are those of features that are split into tokens."""
        rows = self.normaliser.apply(self.layout.rows(features))
        return self.layout.points(rows).to(self._place()[0])

    def denormalise(self, points: Tensor) -> Tensor:
        """Points as features in the shape of the data, if the normalisation is invertible (it has no projection)."""
        rows = self.normaliser.undo(self.layout.undo_points(points))
        return self.layout.undo_rows(rows).to(self._place()[0])

    @property
    def noise(self) -> Optional[Noise]:
        """The noise added to features in training and for likelihoods; none for most flows."""
        return self.layout.noise

    def noisy_points(self, features: Tensor, generator: Optional[torch.Generator] = None) -> Tensor:
        """As `normalise`, with the noise of training: uniform on [0, 1) for discrete levels, or Gaussian in the flow's
        space."""
        noise = self.noise
        if noise is None:
            return self.normalise(features)
        if noise.kind == "uniform":
            u = torch.rand(features.shape, generator=generator, dtype=torch.float64, device=features.device)
            return self.normalise(features + u)
        points = self.normalise(features)
        normal = torch.randn(points.shape, generator=generator, dtype=points.dtype, device=points.device)
        return points + noise.sigma * normal

    def bits_a_dimension(self, nll: Tensor) -> Tensor:
        """NLLs of dequantised levels in bits per dimension: `(nll - log_abs_det()) / (D ln 2)`, for a flow with uniform
        noise."""
        log_abs_det = self.log_abs_det()
        if self.noise is None or self.noise.kind != "uniform" or log_abs_det is None:
            raise InputError(
                f"found a flow with noise {self.noise}, expected uniform noise of whole levels and a normalisation that can "
                "be undone: other features have densities and no bits"
            )
        return (nll - log_abs_det) / (self.prior.shape.elements * math.log(2))

    def log_abs_det(self) -> Optional[float]:
        """`log |det|` in nats of the normalisation of a whole point: the NLL of features is that of points minus this.
        None if the normalisation is not invertible."""
        of_row = self.normaliser.log_abs_det()
        rows = self.prior.shape.elements // self.normaliser.output_width
        return None if of_row is None else rows * of_row

    def _place(self) -> Tuple[torch.dtype, torch.device]:
        place = self.prior.place
        return place.dtype, place.device

    def _tail(self) -> Tuple[int, ...]:
        return (self.width,) if self.tokens == 1 else (self.tokens, self.width)

    def _rows(self, points: Tensor, what: str) -> Tuple[Tensor, torch.Size]:
        """Points as rows [n, D] in the weights' element type, and the shape of the leading axes."""
        tail = self._tail()
        if points.dim() < len(tail) or points.shape[-len(tail) :] != tail:
            raise InputError(f"found {what} {list(points.shape)}, expected [..., {', '.join(map(str, tail))}]")
        dtype, _ = self._place()
        return points.to(dtype).reshape(-1, math.prod(tail)), points.shape[: -len(tail)]

    def _condition(self, condition: Optional[Tensor], rows: Tensor) -> Optional[Tensor]:
        if self.condition is None:
            if condition is not None:
                raise InputError("found a condition, but the flow was trained without: leave it out")
            return None
        return self.condition.encode(condition, len(rows), rows.dtype, rows.device)

    def _options(self, rows: Tensor, tolerance: float, divergence: str, probes, generator) -> OdeOptions:
        least = 1e-12 if rows.dtype == torch.float64 else 1e-7
        if not least <= tolerance <= 1.0:
            raise InputError(
                f"found tolerance {tolerance}, expected {least} to 1 nat in {rows.dtype} (less needs "
                "`Flow.load(..., dtype=torch.float64)`)"
            )
        return OdeOptions(tolerance, divergence_probes(divergence, probes, rows, generator))
