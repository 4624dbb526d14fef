"""The interface of models of sequences: texts as token indices, as latents, and back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Type, TypeVar, Union

import torch
from torch import Tensor, nn

from ..errors import InputError, NumericalError
from ..files import StrPath, find, load_weights, read_header, read_tensors
from ..likelihood import Nll
from .alphabet import Alphabet

REMEDY = "pretrain the model again"

Self = TypeVar("Self", bound="SequenceModel")


@dataclass
class Bound:
    """Bounds on the NLL of each text, in nats."""

    nll: Tensor
    """`-log p(v)` `[n]` of the embedded text v with its noise: a density over T F numbers."""
    values: Tensor
    """`-log p(v) + log q(v | x)` `[n]`, whose mean over noise is at least the NLL of the text itself."""


class SequenceModel(nn.Module):
    """A model of texts of at most T tokens, frozen. A latent is T rows of `width` numbers, distributed as N(0, I) for
    texts of the model."""

    file: str
    """Its file in an artifact of `pretrain-flow`."""
    format: str
    attempts: int
    """The number of noise streams that `encode` tries in order, in case rounding loses a token."""

    def __init__(self, config: Dict[str, Any], alphabet: Alphabet):
        super().__init__()
        self.alphabet = alphabet
        # of the element type and on the device of the weights
        self.register_buffer("place", torch.zeros(()), persistent=False)

    @classmethod
    def load(
        cls: Type[Self], path: StrPath, device: Union[str, torch.device] = "cpu", dtype: torch.dtype = torch.float32
    ) -> Self:
        """The model of this kind in `path`, as `Flow.load` takes it."""
        file = find(path, "pretrain-flow", cls.file)
        model = cls._of(read_header(file, cls.format, REMEDY), file)
        load_weights(model, read_tensors(file), file)
        return model.to(device=device, dtype=dtype)

    @classmethod
    def _of(cls: Type[Self], header: Dict[str, Any], file: Path) -> Self:
        config = header.get("config")
        try:
            if not isinstance(config, dict):
                raise InputError(f"its header says config: {config!r}, expected what the model was configured with")
            alphabet = Alphabet.of(header.get("alphabet"))
            with torch.random.fork_rng(devices=[]):  # replaced weights must not consume random numbers
                return cls(config, alphabet)
        except InputError as error:
            raise InputError(f"{file}: {error}; {REMEDY}") from None

    @property
    def tokens(self) -> int:
        """T, the largest number of tokens per text."""
        return self.alphabet.longest

    @property
    def width(self) -> int:
        """The width of a latent at each token."""
        raise NotImplementedError

    def tokenise(self, texts: Sequence[str]) -> Tensor:
        """Token indices [n, T], 0 after the end of each text. An unknown token is an `InputError`."""
        return self.alphabet.rows(texts).to(self.place.device)

    def texts(self, tokens: Tensor) -> List[str]:
        """The texts of token indices [n, T]."""
        return self.alphabet.texts(tokens)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """The latent of each text [n, T, width], as `latent-align encode` makes it: with the same noise for every text,
        so that equal texts have equal latents, and other noise if rounding would lose a token."""
        tokens = self.tokenise(texts)
        latents = self.place.new_zeros(*tokens.shape, self.width)
        left = torch.arange(len(texts), device=tokens.device)
        for attempt in range(self.attempts):
            some = tokens[left]
            made = self._latents(some, attempt)
            found = (self._tokens(made) == some).all(1)
            latents[left[found]] = made[found]
            left = left[~found]
            if not len(left):
                return latents
        raise NumericalError(
            f"the latent of {texts[int(left[0])]!r} does not decode to it in {latents.dtype}; load the model with "
            "dtype=torch.float64"
        )

    def decode(self, latents: Tensor) -> List[str]:
        """The texts that `latents` [n, T, width] decode to."""
        with torch.no_grad():
            return self.texts(self._tokens(self._of_latents(latents)))

    def score(self, texts: Sequence[str]) -> Union[Nll, Bound]:
        """The NLL of each text, or bounds on it; `values` [n] in nats."""
        raise NotImplementedError

    def _of_latents(self, latents: Tensor) -> Tensor:
        """`latents` on the device of the weights, after a check of their shape."""
        if latents.dim() != 3 or latents.shape[1:] != (self.tokens, self.width):
            raise InputError(f"found latents {list(latents.shape)}, expected [n, {self.tokens}, {self.width}]")
        if not torch.isfinite(latents).all():
            raise InputError("found latents that are not finite, expected finite numbers")
        return latents.to(self.place)

    def _latents(self, tokens: Tensor, attempt: int) -> Tensor:
        """Latents [n, T, width] of token indices [n, T], with the noise stream of this number."""
        raise NotImplementedError

    def _tokens(self, latents: Tensor) -> Tensor:
        """Token indices [n, T] that `latents` decode to, with end tokens after the first one."""
        raise NotImplementedError


def up_to_the_end(tokens: Tensor) -> Tensor:
    """Token indices [n, T], with end tokens after the first one."""
    return tokens * (tokens != 0).cumprod(1)
