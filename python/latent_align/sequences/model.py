"""What every model of sequences offers: texts as numbers of tokens, as latents, and back."""

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
    """What is known of the likelihood of each text, in nats."""

    nll: Tensor
    """`-log p(v)` `[n]` of the embedded text v with its noise: a density over T F numbers."""
    values: Tensor
    """`-log p(v) + log q(v | x)` `[n]`, which in the mean over noise is at least the NLL of the text itself."""


class SequenceModel(nn.Module):
    """A model of texts of at most T tokens, frozen. A latent is T rows of `width` numbers, N(0, I) over texts of the model."""

    file: str
    """Its file in an artifact of `pretrain-flow`."""
    format: str
    attempts: int
    """Kinds of noise that `encode` tries one after the other, where rounding would lose a token."""

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
            with torch.random.fork_rng(devices=[]):  # weights that are replaced at once shall cost nobody random numbers
                return cls(config, alphabet)
        except InputError as error:
            raise InputError(f"{file}: {error}; {REMEDY}") from None

    @property
    def tokens(self) -> int:
        """T, the most tokens that a text has."""
        return self.alphabet.longest

    @property
    def width(self) -> int:
        """The numbers of a latent at each token."""
        raise NotImplementedError

    def tokenise(self, texts: Sequence[str]) -> Tensor:
        """Numbers of tokens [n, T], 0 behind the end of each text. A token that is not known is an `InputError`."""
        return self.alphabet.rows(texts).to(self.place.device)

    def texts(self, tokens: Tensor) -> List[str]:
        """The texts of numbers of tokens [n, T]."""
        return self.alphabet.texts(tokens)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """The latent of each text [n, T, width], as `latent-align encode` makes it: with noise that is the same for every text,
        so that equal texts have equal latents, and other noise where rounding would lose a token."""
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
        """What is known of the NLL of each text; `values` [n] in nats."""
        raise NotImplementedError

    def _of_latents(self, latents: Tensor) -> Tensor:
        """`latents` where the weights are, if they are latents of this model."""
        if latents.dim() != 3 or latents.shape[1:] != (self.tokens, self.width):
            raise InputError(f"found latents {list(latents.shape)}, expected [n, {self.tokens}, {self.width}]")
        if not torch.isfinite(latents).all():
            raise InputError("found latents that are not finite, expected finite numbers")
        return latents.to(self.place)

    def _latents(self, tokens: Tensor, attempt: int) -> Tensor:
        """Latents [n, T, width] of numbers of tokens [n, T], with noise of this number."""
        raise NotImplementedError

    def _tokens(self, latents: Tensor) -> Tensor:
        """Numbers of tokens [n, T] that `latents` decode to, end tokens behind the first."""
        raise NotImplementedError


def up_to_the_end(tokens: Tensor) -> Tensor:
    """Numbers of tokens [n, T], with end tokens behind the first."""
    return tokens * (tokens != 0).cumprod(1)
