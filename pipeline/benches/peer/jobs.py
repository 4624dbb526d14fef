"""The same jobs in PyTorch, by the names of their tasks."""

from divergence import Divergence
from flow import Align, Fit, Train
from images import TrainAutoencoder, TrainClassifier
from likelihood import Likelihood
from probe import Probe
from search import Search
from stream import Stream
from student import Student
from surrogate import Surrogate
from tarflow import Nll, Samples, Tarflow
from transport import Carry
from vae import TrainVae, WeighVae

JOBS = {
    "train": Train,
    "align": Align,
    "tarflow": Tarflow,
    "tarflow_nll": Nll,
    "tarflow_samples": Samples,
    "autoencoder": TrainAutoencoder,
    "classifier": TrainClassifier,
    "probe": Probe,
    "student": Student,
    "vae": TrainVae,
    "weigh": WeighVae,
    "surrogate": Surrogate,
    "search": Search,
    "carry": Carry,
    "divergence": Divergence,
    "likelihood": Likelihood,
    "stream": Stream,
    "fit": Fit,
}
