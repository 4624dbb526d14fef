"""Latents mapped to points of a prior by two flows, with torchdiffeq's Dormand-Prince."""

import torch
from torchdiffeq import odeint

from flow import network_of
from job import Job


class Carry(Job):
    def __init__(self, task, device, mode):
        self.tolerance, self.device = task["tolerance"], device
        self.own, self.target = (network_of(size, device).requires_grad_(False) for size in task["flows"])
        self.velocities = [mode.compile(self.own), mode.compile(self.target)]
        self.width = task["flows"][1]["dimensions"]
        self.latents = torch.randn(task["latents"], task["flows"][0]["dimensions"], device=device)
        self.how = "torchdiffeq's Dormand-Prince over all latents at once, one time for all points of an evaluation"

    @torch.no_grad()
    def carry(self, velocity, x, start, end):
        slope = lambda t, x: velocity(x, t.reshape(1, 1).to(x.dtype))
        span = torch.tensor([start, end], device=self.device)
        return odeint(slope, x, span, rtol=self.tolerance, atol=self.tolerance, method="dopri5")[-1]

    def there(self, latents):
        own, target = self.velocities
        noise = self.carry(own, latents, 1.0, 0.0)
        return self.carry(target, noise.view(-1, self.width), 0.0, 1.0).view_as(noise)

    def step(self):
        self.there(self.latents).cpu()

    def show(self, shown):
        self.own.load_state_dict(shown.tensors("own"))
        self.target.load_state_dict(shown.tensors("target"))
        for velocity, width in zip(self.velocities, (self.latents.shape[1], self.width)):  # compiled for as many as a step has
            velocity(self.latents.view(-1, width), torch.ones(1, 1, device=self.device))
        return {"points": self.there(shown.given["latents"].to(self.latents))}, {}
