"""The Gaussian process of a round of a search in latents: fitted settings, draws of functions at candidates. In f64 as
in the program: covariances of a thousand points are nearly singular in f32.
"""

import math

import torch

from job import Job

JITTER = 1e-8
# The prior's standard deviations of the logarithms of a lengthscale, of the variance and of the noise.
SPREAD = (1.0, 1.0, 1.5)
NOISE = 1e-2


def squares(a, b):
    """Squared distances [n, m] of points [n, D] and [m, D]."""
    of = (a * a).sum(-1, keepdim=True) + (b * b).sum(-1)[..., None, :] - 2 * a @ b.transpose(-1, -2)
    return of.clamp_min(0)


def matern(square):
    r = (5 * square + 1e-30).sqrt()
    return (1 + r + r * r / 3) * torch.exp(-r)


class Surrogate(Job):
    def __init__(self, task, device, mode):
        self.of, self.device = task, device
        elements = task["tokens"] * task["width"]
        draw = lambda count: torch.randn(count, elements, device=device, dtype=torch.float64)
        self.latents, self.candidates = draw(task["evaluations"]), draw(task["regions"] * task["candidates"])
        self.values = self.latents[:, 0] + self.latents[:, 1].sin()
        self.loss, self.kernel = mode.compile(self.improbability), mode.compile(lambda a, b: matern(squares(a, b)))
        self.how = "f64, gradients by autograd, Adam"

    def expected(self):
        """Logarithms of the lengthscale of each token, of the variance and of the noise."""
        tokens = self.of["tokens"]
        length = 0.5 * math.log(tokens * self.of["width"])
        return torch.tensor([length] * tokens + [0.0, math.log(NOISE)], device=self.device, dtype=torch.float64)

    def improbability(self, settings, by_token, values, expected, spread):
        lengths, variance, noise = settings[:-2].exp(), settings[-2].exp(), settings[-1].exp()
        total = (by_token / lengths[:, None, None].square()).sum(0)
        covariance = variance * matern(total)
        covariance = covariance + (noise + JITTER * variance) * torch.eye(len(values), device=values.device, dtype=values.dtype)
        factor = torch.linalg.cholesky(covariance)
        white = torch.linalg.solve_triangular(factor, values[:, None], upper=False)
        return 0.5 * white.square().sum() + factor.diagonal().log().sum() + 0.5 * ((settings - expected) / spread).square().sum()

    def fit(self):
        tokens, count = self.of["tokens"], self.of["fitted_to"]
        expected = self.expected()
        spread = torch.tensor([SPREAD[0]] * tokens + [*SPREAD[1:]], device=self.device, dtype=torch.float64)
        some = self.latents[:count].view(count, tokens, -1).transpose(0, 1)
        by_token = squares(some, some)
        settings = expected.clone().requires_grad_()
        optimiser = torch.optim.Adam([settings], lr=0.1, betas=(0.9, 0.99), fused=True)
        best, lowest = expected, math.inf
        for _ in range(self.of["steps"]):
            optimiser.zero_grad(set_to_none=True)
            loss = self.loss(settings, by_token, self.values[:count], expected, spread)
            if loss.item() < lowest:
                best, lowest = settings.detach().clone(), loss.item()
            loss.backward()
            optimiser.step()
        return best

    @torch.no_grad()
    def posterior(self, settings):
        """The solved form of the posterior."""
        self.variance, self.noise = settings[-2].exp(), settings[-1].exp()
        self.scale = settings[:-2].exp().repeat_interleave(self.of["width"])
        self.support = self.latents / self.scale
        covariance = self.variance * self.kernel(self.support, self.support)
        covariance.diagonal().add_(self.noise + JITTER * self.variance)
        self.factor = torch.linalg.cholesky(covariance)

    @torch.no_grad()
    def locate(self, points):
        """Scaled points, and their covariances with the evaluations."""
        scaled = points / self.scale
        return scaled, self.variance * self.kernel(scaled, self.support)

    @torch.no_grad()
    def draws(self, scaled, cross, count):
        """Values [n, count] of functions drawn from the posterior, by random Fourier features of the prior."""
        features = self.of["features"]
        new = dict(device=self.device, dtype=torch.float64)
        stretch = (5 / torch.distributions.Chi2(torch.tensor(5.0, **new)).sample([features])).sqrt()
        frequencies = torch.randn(self.support.shape[1], features, **new) * stretch
        phases = 2 * math.pi * torch.rand(features, **new)
        weights = torch.randn(features, count, **new) * (2 * self.variance / features).sqrt()
        prior = lambda x: torch.addmm(phases, x, frequencies).cos() @ weights
        noise = torch.randn(len(self.support), count, **new) * self.noise.sqrt()
        residuals = self.values[:, None] - prior(self.support) - noise
        of_data = torch.cholesky_solve(residuals, self.factor)
        return prior(scaled) + cross @ of_data

    def step(self):
        self.posterior(self.fit())
        for region in self.candidates.split(self.of["candidates"]):
            self.draws(*self.locate(region), self.of["draws"])

    def show(self, shown):
        given = shown.given
        for name in ("latents", "values", "candidates"):
            getattr(self, name).copy_(given[name].double())
        self.posterior(self.fit())
        with torch.no_grad():
            cross = self.variance * self.kernel(self.support, self.candidates / self.scale)
            mean = cross.T @ torch.cholesky_solve(self.values[:, None], self.factor)
            explained = torch.linalg.solve_triangular(self.factor, cross, upper=False).square().sum(0)
        return {"mean": mean[:, 0], "variance": self.variance - explained}, {}
