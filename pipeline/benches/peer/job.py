"""The interface of a job. A job is created from the fields of its task, on a device, in a mode. `step` runs it once;
`how` describes it in a few words. `restart` continues with a task that differs only in the fields `restarts`. `show`
computes the same as the program did.
"""

import time
from typing import NamedTuple

import torch

# Batches of random rows that steps use in turn.
BATCHES = 16


class Mode(NamedTuple):
    """Naive is the direct implementation. Careful has no more arithmetic than the program."""

    careful: bool
    compiled: bool

    def compile(self, function):
        return torch.compile(function) if self.compiled else function


class Job:
    restarts = ()

    def show(self, shown):
        """The results with the weights and inputs in `shown`, and the gradient with respect to the weights, both as
        tensors under the program's names."""
        raise NotImplementedError("this job shows nothing")


def adamw(parameters):
    """With the program's settings."""
    return torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, fused=True)


def gradients(loss, weights):
    """Of `loss` with respect to `weights`, tensors by name."""
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {name: torch.zeros_like(weight) if g is None else g for (name, weight), g in zip(weights.items(), found)}


def synchronise(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def product_seconds(side, times, device):
    """Seconds of each of `times` products of two square f32 matrices."""
    a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        a @ b
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]
