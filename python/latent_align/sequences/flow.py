"""A flow over sequences of tokens.

Token i of a text becomes the normalised row x_i of a table, plus noise that decodes to x_i by the largest cosine; the
flow maps these points to latents. Its contexts read the embeddings without noise.
"""

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..likelihood import normal_nll, require_finite
from ..priors.base import Prior, Shape
from ..priors.seqflow import SeqFlow
from ..streams import Pcg64
from .alphabet import Alphabet
from .model import Bound, SequenceModel, up_to_the_end

MOST_DRAWS = 1000
# random streams of the noise of `encode`, tried in order
SCALES = (1.0, 0.5, 0.25, 0.0)


@dataclass
class TokenNoise:
    """Noise around the tokens of n texts."""

    values: Tensor
    """The noise added to the embedding of each token [n, T, F]; zero if no draw decoded to its token."""
    draws: Tensor
    """The number of draws for each token until one did [n, T]."""


class Embedding(nn.Module):
    """A table [V, F] whose rows are normalised to length 1."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(size, width))


class SequenceFlow(SequenceModel):
    """A flow of kind `seqflow` with its embedding of tokens, frozen. Latents are [T, F]."""

    file = "seqflow.safetensors"
    format = "latent-align seqflow 2"
    attempts = len(SCALES)

    def __init__(self, config: Dict[str, Any], alphabet: Alphabet):
        super().__init__(config, alphabet)
        embedding = config.get("embedding")
        if not isinstance(embedding, dict):
            raise InputError(f"its header says embedding: {embedding!r}, expected its width and noise")
        Prior.sizes(embedding, width=(2, 4096), noise=(1e-12, math.inf))
        self.noise = float(embedding["noise"])
        self.network = SeqFlow(config, Shape(alphabet.longest, embedding["width"]))
        self.embedding = Embedding(alphabet.size, embedding["width"])

    @property
    def width(self) -> int:
        """F, the width of an embedded token."""
        return self.network.shape.width

    @property
    def embeddings(self) -> Tensor:
        """The embedding of each token [V, F], that of the end token first."""
        table = self.embedding.table
        return table / table.square().sum(1, keepdim=True).sqrt()

    def nearest(self, points: Tensor) -> Tensor:
        """The token whose embedding has the largest cosine with each of `points` [..., F]: numbers [...]."""
        return (points @ self.embeddings.T).argmax(-1)

    def dequantise(self, tokens: Tensor, generator: Optional[torch.Generator] = None) -> TokenNoise:
        """Noise around `tokens` [n, T] that decodes to them, from `generator`."""

        def drawn(draw: int) -> Tensor:
            where = self.place.device if generator is None else generator.device
            shape = (*tokens.shape, self.width)
            return torch.randn(shape, generator=generator, device=where, dtype=self.place.dtype).to(self.place.device)

        return self._dequantise(tokens, self.noise, drawn)

    def _dequantise(self, tokens: Tensor, scale: float, drawn: Callable[[int], Tensor]) -> TokenNoise:
        embedded = self.embeddings[tokens]
        values, draws = torch.zeros_like(embedded), torch.full_like(tokens, MOST_DRAWS)
        left = torch.ones_like(tokens, dtype=torch.bool)
        for draw in range(MOST_DRAWS):
            noise = scale * drawn(draw).to(embedded.dtype).expand_as(embedded)
            accepted = left & (self.nearest(embedded + noise) == tokens)
            values[accepted], draws[accepted] = noise[accepted], draw + 1
            left &= ~accepted
            if not left.any():
                break
        return TokenNoise(values, draws)

    def _latents(self, tokens: Tensor, attempt: int) -> Tensor:
        known: List[Tensor] = []

        def drawn(draw: int) -> Tensor:
            if len(known) <= draw:
                rng = Pcg64("encode", draw)
                numbers = [rng.normal() for _ in range(self.tokens * self.width)]
                numbers = torch.tensor(numbers, dtype=torch.float32, device=tokens.device)
                known.append(numbers.view(self.tokens, self.width))
            return known[draw]

        noise = self._dequantise(tokens, SCALES[attempt] * self.noise, drawn)
        embedded = self.embeddings[tokens]
        made, _ = self.network.carried(embedded + noise.values, embedded)
        return made

    def points(self, latents: Tensor) -> Tensor:
        """The inverse images of `latents` [n, T, F]: embedded tokens with their noise [n, T, F]."""
        rows = self.embeddings
        with torch.no_grad():
            return self.network.points_of(self._of_latents(latents), lambda x: rows[self.nearest(x)])

    def _tokens(self, latents: Tensor) -> Tensor:
        return up_to_the_end(self.nearest(self.points(latents)))

    def score(
        self, texts: Sequence[str], noise: Optional[TokenNoise] = None, generator: Optional[torch.Generator] = None
    ) -> Bound:
        """A bound on the NLL of each text in nats, with noise from `generator`, or that noise itself. The acceptance
        rate of a token's draws is estimated from all texts, so that several are needed."""
        tokens = self.tokenise(texts)
        noise = self.dequantise(tokens, generator) if noise is None else noise
        with torch.no_grad():
            embedded = self.embeddings[tokens]
            latents, log_det = self.network.carried(embedded + noise.values, embedded)
            nll = require_finite(normal_nll(latents.flatten(1)) - log_det)
        count = torch.bincount(tokens.flatten(), minlength=self.alphabet.size)
        draws = torch.zeros_like(count).index_add(0, tokens.flatten(), noise.draws.flatten())
        square, variance = noise.values.square().sum(-1), self.noise**2
        log_q = -0.5 * (square / variance + self.width * math.log(2 * math.pi * variance))
        log_q = log_q - (count / draws.clamp(min=1)).to(log_q.dtype).log()[tokens]
        log_q = log_q.masked_fill(square == 0, math.inf)
        return Bound(nll, nll + log_q.sum(1))
