"""Exact divergences of the velocity, by the fastest method in PyTorch."""

import time

import torch
from torch.func import jvp, vjp, vmap

from flow import network_of
from job import Job, synchronise


def divergences(network, compiled):
    """Methods for the velocity [n, d] and its exact divergence [n] at x [n, d] and t [1, 1], by name."""

    def passes(through):
        def run(x, t):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                v = through(x, t)
                rows = (torch.autograd.grad(v[:, j].sum(), x, retain_graph=True)[0][:, j] for j in range(v.shape[1]))
                return v.detach(), sum(rows)

        return run

    def reverse(x, t):
        v, pull = vjp(lambda x: network(x, t), x)
        axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        jacobian = vmap(lambda axis: pull(axis.expand_as(x))[0])(axes)  # [d, n, d]
        return v, jacobian.diagonal(dim1=0, dim2=2).sum(-1)

    def forward(x, t):
        def along(axis):
            v, dv = jvp(lambda x: network(x, t), (x,), (axis.expand_as(x),))
            return v, (dv * axis).sum(1)

        axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        v, diagonal = vmap(along, out_dims=(None, 0))(axes)
        return v, diagonal.sum(0)

    if not compiled:
        return {"d reverse passes": passes(network), "vmap of vjp": reverse, "vmap of jvp": forward}
    return {
        "compiled vmap of vjp": torch.compile(reverse),
        "compiled vmap of jvp": torch.compile(forward),
        "d reverse passes of the compiled network": passes(torch.compile(network)),
    }


def fastest_divergence(network, compiled, x):
    """The fastest method that works, and its name."""
    t = torch.full((1, 1), 0.5, device=x.device)
    found = []
    for name, divergence in divergences(network, compiled).items():
        try:
            for _ in range(2):
                divergence(x, t)
            start = time.perf_counter()
            divergence(x, t)
            synchronise(x.device)
            found.append((time.perf_counter() - start, name, divergence))
        except Exception:  # not every transform of PyTorch composes with every other
            continue
    if not found:
        raise RuntimeError("no way to a divergence works")
    _, name, divergence = min(found, key=lambda entry: entry[0])
    return divergence, name


class Divergence(Job):
    """One evaluation of the velocity and its exact divergence, frozen weights, one time for all points."""

    def __init__(self, task, device, mode):
        size = task["size"]
        self.network = network_of(size, device).requires_grad_(False)
        self.x = torch.randn(size["batch"], size["dimensions"], device=device)
        self.t = torch.full((1, 1), 0.5, device=device)
        self.divergence, self.how = fastest_divergence(self.network, mode.compiled, self.x)

    def step(self):
        self.divergence(self.x, self.t)

    def show(self, shown):
        self.network.load_state_dict(shown.tensors("flow"))
        self.x.copy_(shown.given["points"])
        velocity, divergence = self.divergence(self.x, self.t)
        return {"velocity": velocity, "divergence": divergence}, {}
