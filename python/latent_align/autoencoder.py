"""A trained autoencoder: data to the posterior of its latents, and latents to data."""

import math
from typing import Any, Dict, Iterable, Union

import torch
from torch import Tensor, nn

from .architectures import DataShape, build, linear_layers, through
from .errors import InputError
from .files import StrPath, find, load_weights, read_header, read_tensors
from .posteriors import KINDS, Encoding

FILE = "autoencoder.safetensors"
FORMAT = "latent-align autoencoder 1"
REMEDY = "train the autoencoder again"
RECONSTRUCTIONS = ("mse", "l1", "bernoulli", "discretised_logistic")


class Autoencoder(nn.Module):
    """Encoder, posterior and decoder; frozen when loaded (`requires_grad_()` allows further training)."""

    def __init__(self, header: Dict[str, Any]):
        super().__init__()
        latent, shape, posterior = (dict(header.get(key) or {}) for key in ("latent", "shape", "posterior"))
        self.tokens, self.width = _whole(latent, "latent", "tokens"), _whole(latent, "latent", "width")
        self.shape: DataShape = tuple(_whole(shape, "shape", key) for key in ("channels", "height", "width"))
        self.maximum = float(header.get("maximum", 1.0))
        if not 0.0 < self.maximum < math.inf:
            raise InputError(f"its header says maximum: {self.maximum}, expected a positive number")
        kind = _known(posterior.get("kind"), "posterior", KINDS)
        self.posterior = KINDS[kind](posterior, (self.tokens, self.width))
        self.reconstruction = _known(header.get("reconstruction"), "reconstruction", RECONSTRUCTIONS)
        latents = self.tokens * self.width
        architecture = header.get("architecture") or {}
        top = latent.get("top")
        self.between = None if top is None else Between(top, latents)
        decoded = latents if top is None else latents - self.between.numbers
        self.architecture = build(architecture, self.shape, latents + self.posterior.others, decoded)
        # the log-scale of a discretised logistic likelihood, in units of `maximum`
        self.log_scale = nn.Parameter(torch.zeros(1)) if self.reconstruction == "discretised_logistic" else None

    @classmethod
    def load(
        cls, path: StrPath, device: Union[str, torch.device] = "cpu", dtype: torch.dtype = torch.float32
    ) -> "Autoencoder":
        """The autoencoder in `path`: a run's folder such as `artifacts/runs/digits`, an artifact of
        `train-autoencoder`, or a folder of `latent-align export safetensors`. Free points have none."""
        file = find(path, "train-autoencoder", FILE)
        header = read_header(file, FORMAT, REMEDY)
        try:
            with torch.random.fork_rng(devices=[]):  # replaced weights must not consume random numbers
                autoencoder = cls(header)
        except InputError as error:
            raise InputError(f"{file}: {error}; {REMEDY}") from None
        tensors = read_tensors(file)
        for part in "architecture", "posterior":
            # the program's names of weights contain the kind, which is also a class name here
            prefix = f"{part}.{type(getattr(autoencoder, part)).__name__}."
            tensors = {name.replace(prefix, f"{part}.", 1): tensor for name, tensor in tensors.items()}
        load_weights(autoencoder, tensors, file)
        return autoencoder.to(device=device, dtype=dtype)

    def encode(self, data: Tensor) -> Encoding:
        """The posterior of the latents of `data`: [B, C, H, W], or [B, D] for vectors, with values divided by `maximum`
        (the divisor in training: 255 for images in u8)."""
        rows = self._data(data)
        means, others = self.architecture.encode(rows).split([self.tokens * self.width, self.posterior.others], 1)
        return self.posterior(means, others)

    def decode(self, latents: Tensor, raw: bool = False) -> Tensor:
        """Data [B, C, H, W] of `latents` [B, T, d], in units of `maximum`: multiply by it for the data's own units.
        `raw` gives the output of the decoder's last layer, such as the logits of a Bernoulli reconstruction."""
        if latents.dim() != 3 or latents.shape[1:] != (self.tokens, self.width):
            raise InputError(f"found latents {list(latents.shape)}, expected [B, {self.tokens}, {self.width}]")
        rows = latents.to(self._dtype()).flatten(1)
        decoded = self.architecture.decode(rows if self.between is None else self.between(rows))
        if raw or self.reconstruction in ("mse", "l1"):
            return decoded
        return decoded.sigmoid() if self.reconstruction == "bernoulli" else decoded.clamp(0.0, 1.0)

    def forward(self, data: Tensor) -> Tensor:
        """Reconstructions [B, C, H, W] of `data` through the means of its posteriors."""
        return self.decode(self.encode(data).mean)

    def _data(self, data: Tensor) -> Tensor:
        count = math.prod(self.shape)
        expected = f"[B, {', '.join(map(str, self.shape))}] or [B, {count}]"
        fits = data.dim() >= 2 and (data.shape[1:] == self.shape or data[0:1].numel() == count)
        if len(data) > 0 and (not fits or (data.dim() == 4 and data.shape[1:] != self.shape)):
            raise InputError(f"found data {list(data.shape)}, expected {expected}")
        if not data.is_floating_point():
            raise InputError(
                f"found data of {data.dtype}, expected real numbers in units of {self.maximum:g}: divide it by `maximum`"
            )
        return data.to(self._dtype()).reshape(-1, *self.shape)

    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


class Between(nn.Module):
    """For a VAE of two levels: computes z_1 = `shift(z_2) + e exp(s(z_2))` from the latents `(e, z_2)` of a row."""

    # the largest s
    BOUND = 4.0

    def __init__(self, config: Any, latents: int):
        super().__init__()
        config = config if isinstance(config, dict) else {}
        self.numbers = _whole(config, "latent.top", "numbers")
        if self.numbers >= latents:
            raise InputError(f"its header says latent.top.numbers: {self.numbers}, expected fewer than the {latents} of a row")
        sizes = [self.numbers, *(config.get("widths") or [])]
        self.layers = linear_layers([*sizes, 2 * (latents - self.numbers)])

    def forward(self, rows: Tensor) -> Tensor:
        """z_1 [B, M_1] of `rows` [B, M]."""
        shift, log_scale = through(self.layers, rows[:, -self.numbers :]).chunk(2, 1)
        return rows[:, : -self.numbers] * torch.exp(self.BOUND * torch.tanh(log_scale / self.BOUND)) + shift


def _whole(header: Dict[str, Any], section: str, key: str) -> int:
    value = header.get(key)
    if not isinstance(value, int) or not 1 <= value <= 1 << 26:
        raise InputError(f"its header says {section}.{key}: {value!r}, expected an integer, 1 or more")
    return value


def _known(found: Any, what: str, known: Iterable[str]) -> str:
    if found not in known:
        raise InputError(
            f"its {what} is {found!r}, which this version of the package does not know; it knows {', '.join(known)}. "
            "Install the package that goes with the program that wrote it"
        )
    return found
