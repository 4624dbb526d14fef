"""The flows and autoencoders trained by the `latent-align` pipeline, as PyTorch modules.

    run = latent_align.open_run("artifacts/runs/digits")
    loss = reconstruction + 5e-5 * run.flow.alignment_loss(latents)

Shapes: `[B, T, d]` latents are B rows of data with T tokens of width d. Likelihoods are in nats, of points in the
flow's space, as given by `Flow.normalise`.
"""

from .alignment import Draws, Weighting
from .autoencoder import Autoencoder
from .errors import InputError, NumericalError
from .flow import Flow
from .likelihood import Nll
from .posteriors import Encoding
from .run import Run, open_run
from .sequences import Bound, GumbelMax, SequenceFlow, SequenceModel, TokenNoise

__version__ = "0.1.0"

__all__ = [
    "Autoencoder",
    "Bound",
    "Draws",
    "Encoding",
    "Flow",
    "GumbelMax",
    "InputError",
    "Nll",
    "NumericalError",
    "Run",
    "SequenceFlow",
    "SequenceModel",
    "TokenNoise",
    "Weighting",
    "open_run",
]
