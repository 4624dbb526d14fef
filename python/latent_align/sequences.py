"""A flow over sequences of tokens: from texts to latents, and exactly back.

Token i of a text becomes the row x_i of a table, at length 1, with noise around it that decodes to x_i by the largest
cosine; the flow carries these points to latents. Its contexts read the rows of the tokens before each without their noise.
"""

import math
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from .alphabet import Alphabet
from .errors import InputError, NumericalError
from .files import StrPath, find, load_weights, read_header, read_tensors
from .likelihood import normal_nll, require_finite
from .priors import Prior, Shape
from .priors.seqflow import SeqFlow
from .streams import Pcg64

FILE = "seqflow.safetensors"
FORMAT = "latent-align seqflow 2"
REMEDY = "pretrain the flow again"

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
    """A flow of kind `seqflow` with its embedding of tokens, frozen. Latents are [n, T, F]."""

    def __init__(self, network: SeqFlow, alphabet: Alphabet, noise: float):
        super().__init__()
        self.network, self.alphabet, self.noise = network, alphabet, noise
        self.embedding = nn.Module()
        self.embedding.table = nn.Parameter(torch.zeros(alphabet.size, network.shape.width))

    @classmethod
    def load(
        cls, path: StrPath, device: Union[str, torch.device] = "cpu", dtype: torch.dtype = torch.float32
    ) -> "SequenceFlow":
        """The flow over sequences in `path`: a run's folder such as `artifacts/runs/expressions`, or an artifact of
        `pretrain-flow`. `dtype` is that of the weights."""
        file = find(path, "pretrain-flow", FILE)
        header = read_header(file, FORMAT, REMEDY)
        try:
            config = header.get("config")
            embedding = config.get("embedding") if isinstance(config, dict) else None
            if not isinstance(embedding, dict):
                raise InputError(f"its header says config: {config!r}, expected that of a flow with its embedding")
            Prior.sizes(embedding, width=(2, 4096), noise=(1e-12, math.inf))
            alphabet = Alphabet.of(header.get("alphabet"))
            with torch.random.fork_rng(devices=[]):  # weights that are replaced at once shall cost nobody random numbers
                network = SeqFlow(config, Shape(alphabet.longest, embedding["width"]))
                flow = cls(network, alphabet, embedding["noise"])
        except InputError as error:
            raise InputError(f"{file}: {error}; {REMEDY}") from None
        load_weights(flow, read_tensors(file), file)
        return flow.to(device=device, dtype=dtype)

    @property
    def tokens(self) -> int:
        """T, the most tokens of a text."""
        return self.network.shape.tokens

    @property
    def width(self) -> int:
        """F, the numbers of a token."""
        return self.network.shape.width

    @property
    def table(self) -> Tensor:
        """The rows [V, F] as trained."""
        return self.embedding.table

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
            shape = (*tokens.shape, self.width)
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
        latents = self.table.new_zeros(*tokens.shape, self.width)
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
            made, _ = self._carried(some, noise)
            found = (self._tokens(made) == some).all(1)
            latents[left[found]] = made[found]
            left = left[~found]
            if not len(left):
                return latents
        raise NumericalError(
            f"the latent of {texts[int(left[0])]!r} does not decode to it in {latents.dtype}; load the flow with "
            "dtype=torch.float64"
        )

    def _carried(self, tokens: Tensor, noise: TokenNoise) -> Tuple[Tensor, Tensor]:
        """`tokens` [n, T] with `noise` carried to latents, and `log |det|` `[n]`."""
        embedded = self.embeddings[tokens]
        with torch.no_grad():
            return self.network.carried(embedded + noise.values, embedded)

    def points(self, latents: Tensor) -> Tensor:
        """What `latents` [n, T, F] are carried back to: embedded tokens with their noise, of the same shape."""
        if latents.dim() != 3 or latents.shape[1:] != (self.tokens, self.width):
            raise InputError(f"found latents {list(latents.shape)}, expected [n, {self.tokens}, {self.width}]")
        rows = self.embeddings
        with torch.no_grad():
            return self.network.points_of(latents.to(rows.dtype), lambda x: rows[self.nearest(x)])

    def _tokens(self, latents: Tensor) -> Tensor:
        """Numbers of tokens [n, T] that `latents` decode to, end tokens behind the first."""
        tokens = self.nearest(self.points(latents))
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
        latents, log_det = self._carried(tokens, noise)
        nll = require_finite(normal_nll(latents.flatten(1)) - log_det)
        count = torch.bincount(tokens.flatten(), minlength=self.alphabet.size)
        draws = torch.zeros_like(count).index_add(0, tokens.flatten(), noise.draws.flatten())
        square, variance = noise.values.square().sum(-1), self.noise**2
        log_q = -0.5 * (square / variance + self.width * math.log(2 * math.pi * variance))
        log_q = log_q - (count / draws.clamp(min=1)).to(log_q.dtype).log()[tokens]
        log_q = log_q.masked_fill(square == 0, math.inf)
        return Bound(nll, nll + log_q.sum(1))
