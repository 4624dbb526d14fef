"""A run of the pipeline on disk."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

import torch

from . import autoencoder
from .autoencoder import Autoencoder
from .errors import InputError
from .files import StrPath
from .flow import Flow
from .sequences import SequenceModel, has_sequences, load_sequences


@dataclass
class Run:
    """The trained modules of a run."""

    path: Path
    _flow: Optional[Flow]
    autoencoder: Optional[Autoencoder]
    """None if the run has none: it stopped at the flow, or trained free points."""
    sequences: Optional[SequenceModel] = None
    """The model of sequences of tokens, `SequenceFlow` or `GumbelMax`, if the run has one; it replaces the flow."""

    @property
    def flow(self) -> Flow:
        """The flow. A run over sequences has none, and an `InputError` says so."""
        if self._flow is None:
            raise InputError(f"{self.path}: found a model of sequences, which is no density over points; use `.sequences`")
        return self._flow


def open_run(
    path: StrPath, device: Union[str, torch.device] = "cpu", dtype: torch.dtype = torch.float32
) -> Run:
    """Loads the flow and the autoencoder of a run: `artifacts/runs/NAME`, or a folder of `latent-align export
    safetensors`.

    Everything is frozen, on `device` and in `dtype`. A file that is missing, damaged, or of an unknown kind raises an
    `InputError`. A run with a `transport` gives a warning, because it is not applied here.
    """
    path = Path(path)
    if path.is_dir() and not (path / "pretrain-flow").exists():
        stages = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        found = ", ".join(stages) or "no stage"
        raise InputError(
            f"{path}: found {found}, expected a run with a folder `pretrain-flow`, such as `artifacts/runs/NAME`; "
            "an artifact of one stage is opened by `Flow.load` or `Autoencoder.load`"
        )
    if (path / "transport").exists():
        warnings.warn(
            f"{path}: this run has a transport, which this package does not apply: `autoencoder` gives and takes the "
            "autoencoder's own latents, which are not points of the flow; `latent-align encode` and `decode` go through it",
            stacklevel=2,
        )
    if has_sequences(path):
        return Run(path, None, None, load_sequences(path, device, dtype))
    of_flow = Flow.load(path, device, dtype)
    has_autoencoder = (path / "train-autoencoder" / autoencoder.FILE).exists()
    return Run(path, of_flow, Autoencoder.load(path, device, dtype) if has_autoencoder else None)
