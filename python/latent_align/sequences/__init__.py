"""Models of sequences of tokens: from texts to latents, and exactly back. A new kind is a file and an entry of
`KINDS`."""

from pathlib import Path
from typing import Tuple, Type, Union

import torch

from ..errors import InputError
from .flow import SequenceFlow, TokenNoise
from .gumbel_max import GumbelMax
from .model import Bound, SequenceModel

KINDS: Tuple[Type[SequenceModel], ...] = (SequenceFlow, GumbelMax)
# the kind without an exact inverse
NOT_OPENED = "sequence_vae.safetensors"


def has_sequences(run: Path) -> bool:
    """Whether the run in the folder `run` trained a model of sequences."""
    names = [kind.file for kind in KINDS] + [NOT_OPENED]
    return any((run / "pretrain-flow" / name).exists() for name in names)


def load_sequences(run: Path, device: Union[str, torch.device], dtype: torch.dtype) -> SequenceModel:
    """The model of sequences of the run in the folder `run`."""
    for kind in KINDS:
        if (run / "pretrain-flow" / kind.file).exists():
            return kind.load(run, device, dtype)
    raise InputError(
        f"{run}: found {NOT_OPENED}, expected a model of sequences of kind seqflow or gumbel_max: this package does not open "
        "a sequence_vae; use `latent-align encode`, `decode` and `score`"
    )


__all__ = ["Bound", "GumbelMax", "SequenceFlow", "SequenceModel", "TokenNoise", "has_sequences", "load_sequences"]
