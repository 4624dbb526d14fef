"""The rows of the table by kind: names, target ratios and remarks. The sizes are this program's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from figures import Target
from side import Task, Way

# Every way, and those of jobs in which careful PyTorch has no less arithmetic than naive PyTorch, or nothing to compile.
ALL = tuple(Way)
NO_CARE = (Way.OURS, Way.CAREFUL_EAGER, Way.CAREFUL_COMPILED)
NOT_COMPILED = (Way.OURS, Way.NAIVE_EAGER, Way.CAREFUL_EAGER)
# The largest relative difference between sides that rounding explains, including TF32 on a GPU.
ROUNDING = 1e-2
# The width of the flow whose training is compared with the machine's rate, in per cent.
WIDEST = 1024
RATE = Target(85, 95)


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    `target` is a ratio, or gives that of a task; twice the ratio is hoped for where nothing else is said. Results of the
    sides may differ by `within` of their size; if None, they are not compared here. `slow`: a turn is one step.
    """

    job: str
    note: str
    target: float | Target | Callable[[Task], float | Target]
    ways: tuple[Way, ...] = NO_CARE
    within: float | None = ROUNDING
    slow: bool = False

    def target_of(self, task: Task) -> Target:
        target = self.target(task) if callable(self.target) else self.target
        return target if isinstance(target, Target) else Target(target, 2 * target)


def by_width(narrow: float, wide: float) -> Callable[[Task], Target]:
    """The target of a step of the flow by its width; a ratio of 2 is hoped for."""
    return lambda task: Target(wide if task["size"]["width"] == WIDEST else narrow, 2.0)


FUSED = "PyTorch has fused AdamW; ours clips the gradient and averages the weights besides."
SOLVE = "NLL solve to 1e-3 nats"
KINDS = {
    "train": Kind(
        "training step",
        "Training steps: ours clips the gradient and averages the weights besides, as the pipeline does.",
        by_width(1.3, 1.15),
        ways=ALL,
    ),
    "align": Kind(
        "alignment step",
        "Alignment steps: the gradient is that with respect to the latents.",
        by_width(1.2, 1.1),
        ways=ALL,
    ),
    "tarflow": Kind(
        "TarFlow training step",
        "TarFlow: PyTorch has its fused causal attention and AdamW; ours clips the gradient and averages the weights besides.",
        1.2,
    ),
    "tarflow-nll": Kind(
        "TarFlow NLL",
        "TarFlow's NLLs: without gradients; PyTorch has its fused causal attention.",
        1.2,
    ),
    "tarflow-samples": Kind(
        "TarFlow samples",
        "TarFlow's samples: token by token, keys and values of those before kept in buffers that are made once.",
        lambda task: 3.0 if task["size"]["batch"] == 16 else 1.1,
    ),
    "autoencoder": Kind(
        "autoencoder training step",
        FUSED,
        lambda task: 1.3 if task["size"]["convolutional"] else 1.5,
    ),
    "classifier": Kind("classifier training step", FUSED, 1.3),
    "probe": Kind(
        "linear probe",
        "Linear probe: both go to where no entry of the gradient is above 1e-5, PyTorch by its LBFGS with the same memory and "
        "strong Wolfe conditions.",
        1.3,
    ),
    "student": Kind(
        "step with distribution matching",
        "Distribution matching: the autoencoder's step and two of the student, whose gradient both sides clip. PyTorch shares "
        "times in groups as ours does.",
        1.5,
    ),
    "vae": Kind(
        "VAE training step",
        "VAE: PyTorch has one product for a gated layer and its gate, and fused AdamW; ours clips the gradient and averages "
        "the weights besides.",
        1.3,
    ),
    "weigh": Kind(
        "importance-weighted NLL",
        "Importance weights: what agrees is the NLL of each image with the same draws.",
        1.2,
        within=1e-4,  # 0.05 nats of about 540: a term of the weight is several nats
    ),
    "surrogate": Kind(
        "surrogate of a round of a search",
        "Surrogate: of a round of a search in latents, the Gaussian process without the model that encodes and decodes; in f64 "
        "on both sides.",
        2.0,
    ),
    "search": Kind(
        "round of a search in latents",
        "Search: PyTorch runs the model's passes and the Gaussian process of such a round on random tokens, without making candidates "
        "or looking up what is known; its LSTM looks up the products of token embeddings.",
        2.0,
    ),
    "carry": Kind(
        "transport",
        "Transport: both have Dormand-Prince with the same tolerance of a step; ours holds the worst point to it, torchdiffeq "
        "the mean of all.",
        1.3,
        slow=True,
    ),
    "divergence": Kind(
        "velocity + exact divergence",
        "Divergences: by the fastest way that PyTorch has.",
        lambda task: 2.0 if task["size"]["batch"] == 256 else 1.35,
    ),
    # their results are compared with f64
    "likelihood": Kind(SOLVE, "", Target(5, 20), within=None, slow=True),
    "nested": Kind(f"{SOLVE}, the same quadrature", "", Target(2, 4), within=None, slow=True),
    # batches are random
    "stream": Kind(
        "HDF5 into shuffled batches",
        "HDF5: a contiguous file in the page cache; ours normalises the rows besides.",
        Target(2, 5),
        ways=NOT_COMPILED,
        within=None,
    ),
}
