"""An LSTM with a softmax whose latents are the noise that selects its tokens (the Gumbel-max trick).

    decoding:  a_j = -ln Phi(z_j),  the next token is argmin_j a_j / p_j             p = softmax(W LSTM(e_{x_1} .. e_{x_{i-1}}))
    encoding:  a_x = p_x w,  a_j = p_j w + e_j for every other j,  z_j = Phi^-1(exp(-a_j))        w, e_j exponential

The race of exponentials is computed in f64 for weights of any precision.
"""

from typing import Any, Dict, List, Sequence

import torch
from torch import Tensor, nn
from torch.special import log_ndtr, ndtri

from ..likelihood import Nll, require_finite
from ..priors.base import Prior, Shape
from ..priors.recurrent import Recurrent
from ..streams import Pcg64
from .alphabet import Alphabet
from .model import SequenceModel, up_to_the_end


def _noise(times: Tensor) -> Tensor:
    """The z with `-ln Phi(z) = times`, in f64."""
    below = torch.exp(-times)
    return torch.where(below < 0.5, ndtri(below), -ndtri(-torch.expm1(-times)))


class GumbelMax(SequenceModel):
    """A model of kind `gumbel_max`, frozen. Latents are [T, V]: a number for each possible next token."""

    file = "gumbel_max.safetensors"
    format = "latent-align gumbel-max 1"
    attempts = 8

    def __init__(self, config: Dict[str, Any], alphabet: Alphabet):
        super().__init__(config, alphabet)
        Prior.sizes(config, embedding=(1, 4096), width=(1, 16_384), layers=(1, 16))
        embedding, width = config["embedding"], config["width"]
        # the last row is the input before the first token
        self.table = nn.Parameter(torch.zeros(alphabet.size + 1, embedding))
        self.reader = Recurrent(Shape(alphabet.longest, embedding), width, config["layers"])
        self.logits = nn.Linear(width, alphabet.size)

    @property
    def width(self) -> int:
        """V, the number of tokens including the end token."""
        return self.alphabet.size

    def log_probabilities(self, tokens: Tensor) -> Tensor:
        """`log p` of every token at each position of `tokens` [n, T], given those before it: [n, T, V]."""
        start = torch.full_like(tokens[:, :1], self.width)
        before = torch.cat([start, tokens[:, :-1]], 1)
        states = self.reader.begin(len(tokens))
        places = enumerate(before.unbind(1))
        return torch.stack([self._next(row, states, place) for place, row in places], 1)

    def score(self, texts: Sequence[str]) -> Nll:
        """The exact NLL of each text, `values` [n] in nats, including its end token if it is shorter than T."""
        tokens = self.tokenise(texts)
        with torch.no_grad():
            of_each = -self.log_probabilities(tokens).gather(2, tokens[..., None])[..., 0]
        goes_on = (tokens != 0).cumprod(1)
        counts = torch.cat([torch.ones_like(goes_on[:, :1]), goes_on[:, :-1]], 1)
        return Nll(require_finite((of_each * counts).sum(1)), "exact")

    def _next(self, before: Tensor, states: List[Any], place: int) -> Tensor:
        """`log p` of every token at `place` [n, V], given the indices `before` of the preceding tokens; updates
        `states`."""
        return self.logits(self.reader(self.table[before], states, place)).log_softmax(1)

    def _latents(self, tokens: Tensor, attempt: int) -> Tensor:
        rng, shape = Pcg64("races of encoded sequences", attempt), (self.tokens, self.width)
        draws = torch.tensor([rng.exponential() for _ in range(shape[0] * shape[1])], dtype=torch.float64)
        left = draws.view(shape).to(tokens.device).expand(len(tokens), *shape)
        own = tokens[..., None]
        times = self.log_probabilities(tokens).double().exp() * left.gather(2, own)
        others = torch.ones_like(left).scatter(2, own, 0.0)
        return _noise((times + others * left).clamp(min=torch.finfo(torch.float64).tiny)).to(self.place)

    def _tokens(self, latents: Tensor) -> Tensor:
        arrivals = (-log_ndtr(latents.double())).log()
        states = self.reader.begin(len(latents))
        before = torch.full((len(latents),), self.width, device=latents.device)
        found = []
        for place, arrival in enumerate(arrivals.unbind(1)):
            before = (arrival - self._next(before, states, place).double()).argmin(1)
            found.append(before)
        return up_to_the_end(torch.stack(found, 1))
