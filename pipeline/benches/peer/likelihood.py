"""Whole solves of the probability-flow ODE: the NLL of points."""

import math

import torch
from torchdiffeq import odeint

from divergence import fastest_divergence
from dopri import Trajectory
from flow import network_of
from job import Job
from quadrature import integrate
from tensors import read_tensors

# Points per chunk of a nested solve, so that their tangents stay in the caches.
CHUNK = 250
# The tolerance of a step of a trajectory relative to that of the NLL, and its minimum in f32.
TRAJECTORY, ROUNDING = 1e-4, 1e-6


def normal_nll(x):
    return 0.5 * x.square().sum(1) + 0.5 * x.shape[1] * math.log(2 * math.pi)


class Likelihood(Job):
    """The NLL of points: by torchdiffeq's Dormand-Prince, velocity and exact divergence integrated at once, or `nested`."""

    restarts = ("tolerance",)

    def __init__(self, task, device, mode):
        given = read_tensors(task["flow"])
        network = network_of(task["size"], device).requires_grad_(False)
        network.load_state_dict(given)
        self.x = read_tensors(task["points"])["points"].to(device)
        self.tolerance = task["tolerance"]
        self.nested, self.velocity = task["nested"], mode.compile(network)
        points = self.x[:CHUNK] if self.nested else self.x
        self.divergence, self.how = fastest_divergence(network, mode.compiled, points)
        self.nll = None

    def restart(self, task):
        self.tolerance = task["tolerance"]

    @torch.no_grad()
    def step(self):
        if not self.nested:
            return self.at_once()
        chunks = self.x.split(CHUNK)
        self.nll = torch.cat([self.after_the_trajectory(x) for x in chunks])

    def after_the_trajectory(self, x):
        """The trajectories of the points [n, d] first, then the divergence along them by nested quadrature, as the
        program does."""
        time = lambda t: torch.full((1, 1), t, device=x.device)
        within = max(TRAJECTORY * self.tolerance, ROUNDING)
        trajectory = Trajectory(lambda x, t: self.velocity(x, time(t)), x, 1.0, 0.0, within)

        def divergences(position, points):
            at = trajectory.at(position)
            at = at if len(points) == len(x) else at[points.to(x.device)]
            return self.divergence(at, time(1 - position))[1]

        integrals = integrate(len(x), self.tolerance, ROUNDING, divergences)
        return normal_nll(trajectory.end).double().cpu() + integrals

    def at_once(self):
        def slope(t, state):
            v, divergence = self.divergence(state[0], t.reshape(1, 1).to(self.x.dtype))
            return v, divergence

        start = (self.x, torch.zeros(len(self.x), device=self.x.device))
        span = torch.tensor([1.0, 0.0], device=self.x.device)
        x, integral = odeint(slope, start, span, rtol=self.tolerance, atol=self.tolerance, method="dopri5")
        self.nll = normal_nll(x[-1]) - integral[-1]

    def likelihoods(self):
        return self.nll.double().tolist()
