"""A flow over sequences of tokens: from texts to latents, and exactly back.

Token i of a text becomes the row x_i of a table, at length 1, with noise around it that decodes to x_i by the largest
cosine; the flow carries these points to latents.
"""

import math
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Union

import torch
from torch import Tensor, nn

from .alphabet import Alphabet
from .errors import InputError, NumericalError
from .files import StrPath, find, load_weights, read_header, read_tensors
from .flow import REMEDY, Flow
from .streams import Pcg64

FILE = "embedding.safetensors"
FORMAT = "latent-align embedding 1"

MOST_DRAWS = 100
# of the noise of `encode`, tried one after the other
SCALES = (1.0, 0.5, 0.25, 0.0)


@dataclass
class TokenNoise:
    """Noise around the tokens of n texts."""

    values: Tensor
    """What is added to the embedding of each token [n, T, F]; zero where no draw decoded to its token."""
    draws: Tensor
    """How often noise was drawn for each token until it did [n, T]."""


@dataclass
class Bound:
    """What is known of the likelihood of each text, in nats."""

    nll: Tensor
    """`-log p(v)` `[n]` of the embedded text v with its noise: a density over T F numbers."""
    values: Tensor
    """`-log p(v) + log q(v | x)` `[n]`, which in the mean over noise is at least the NLL of the text itself."""


class SequenceFlow(nn.Module):
    """A flow of kind `seqflow` with its embedding of tokens, frozen."""

    def __init__(self, flow: Flow, table: Tensor, alphabet: Alphabet, noise: float):
        super().__init__()
        self.flow, self.alphabet, self.noise = flow, alphabet, noise
        self.table = nn.Parameter(table, requires_grad=False)

    @classmethod
    def load(
        cls, path: StrPath, device: Union[str, torch.device] = "cpu", dtype: torch.dtype = torch.float32
    ) -> "SequenceFlow":
        """The flow over sequences in `path`, as `Flow.load` takes it."""
        flow = Flow.load(path, device, dtype)
        file = find(path, "pretrain-flow", FILE)
        try:
            alphabet = Alphabet.of(read_header(file, FORMAT, REMEDY).get("alphabet"))
        except InputError as error:
            raise InputError(f"{file}: {error}; {REMEDY}") from None
        config = read_header(find(path, "pretrain-flow", "flow.safetensors"), "latent-align flow 1", REMEDY)
        noise = config.get("embedding", {}).get("noise")
        if flow.kind != "seqflow" or flow.tokens != alphabet.longest or not isinstance(noise, float):
            raise InputError(
                f"{file}: found sequences of {alphabet.longest} tokens beside a flow of kind {flow.kind} over {flow.tokens} "
                f"tokens, expected a flow of kind seqflow over as many; {REMEDY}"
            )
        held = nn.Module()
        held.table = nn.Parameter(torch.zeros(alphabet.size, flow.width))
        load_weights(held, read_tensors(file), file)
        return cls(flow, held.table.detach(), alphabet, noise).to(device=device, dtype=dtype)

    @property
    def embeddings(self) -> Tensor:
        """The embedding of each token [V, F], that of the end token first."""
        return self.table / self.table.square().sum(1, keepdim=True).sqrt()

    def tokenise(self, texts: Sequence[str]) -> Tensor:
        """Numbers of tokens [n, T], 0 behind the end of each text. A token that is not known is an `InputError`."""
        return self.alphabet.rows(texts).to(self.table.device)

    def texts(self, tokens: Tensor) -> List[str]:
        """The texts of numbers of tokens [n, T]."""
        return self.alphabet.texts(tokens)

    def nearest(self, points: Tensor) -> Tensor:
        """The token whose embedding has the largest cosine with each of `points` [..., F]: numbers [...]."""
        return (points @ self.embeddings.T).argmax(-1)

    def dequantise(self, tokens: Tensor, generator: Optional[torch.Generator] = None) -> TokenNoise:
        """Noise around `tokens` [n, T] that decodes to them, from `generator`."""

        def drawn(draw: int) -> Tensor:
            where = self.table.device if generator is None else generator.device
            shape = (*tokens.shape, self.flow.width)
            return torch.randn(shape, generator=generator, device=where, dtype=self.table.dtype).to(self.table.device)

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

    def encode(self, texts: Sequence[str]) -> Tensor:
        """The latent of each text [n, T, F], as `latent-align encode` makes it: with noise that is the same for every text,
        so that equal texts have equal latents, and less of it where rounding would lose a token."""
        tokens = self.tokenise(texts)
        latents = self.table.new_zeros(*tokens.shape, self.flow.width)
        left = torch.arange(len(texts), device=tokens.device)
        known: List[Tensor] = []

        def drawn(draw: int) -> Tensor:
            if len(known) <= draw:
                rng, (count, width) = Pcg64("encode", draw), latents.shape[1:]
                numbers = [rng.normal() for _ in range(count * width)]
                known.append(torch.tensor(numbers, dtype=torch.float32, device=tokens.device).view(count, width))
            return known[draw]

        for scale in SCALES:
            some = tokens[left]
            noise = self._dequantise(some, scale * self.noise, drawn)
            made, _ = self.flow.to_noise(self.embeddings[some] + noise.values)
            found = (self._tokens(made) == some).all(1)
            latents[left[found]] = made[found]
            left = left[~found]
            if not len(left):
                return latents
        raise NumericalError(
            f"the latent of {texts[int(left[0])]!r} does not decode to it in {latents.dtype}; load the flow with "
            "dtype=torch.float64"
        )

    def _tokens(self, latents: Tensor) -> Tensor:
        """Numbers of tokens [n, T] that `latents` decode to, end tokens behind the first."""
        tokens = self.nearest(self.flow.from_noise(latents))
        return tokens * (tokens != 0).cumprod(1)

    def decode(self, latents: Tensor) -> List[str]:
        """The texts that `latents` [n, T, F] decode to."""
        return self.texts(self._tokens(latents))

    def score(
        self, texts: Sequence[str], noise: Optional[TokenNoise] = None, generator: Optional[torch.Generator] = None
    ) -> Bound:
        """A bound on the NLL of each text in nats, with noise from `generator`, or that noise itself.

        The share of draws that a token accepts is estimated from all texts, so that it takes some."""
        tokens = self.tokenise(texts)
        noise = self.dequantise(tokens, generator) if noise is None else noise
        with torch.no_grad():
            nll = self.flow.nll(self.embeddings[tokens] + noise.values).values
        count = torch.bincount(tokens.flatten(), minlength=self.alphabet.size)
        draws = torch.zeros_like(count).index_add(0, tokens.flatten(), noise.draws.flatten())
        square, variance = noise.values.square().sum(-1), self.noise**2
        log_q = -0.5 * (square / variance + self.flow.width * math.log(2 * math.pi * variance))
        log_q = log_q - (count / draws.clamp(min=1)).to(log_q.dtype).log()[tokens]
        log_q = log_q.masked_fill(square == 0, math.inf)
        return Bound(nll, nll + log_q.sum(1))
