"""Posteriors of a VAE in PyTorch: latents drawn from them, and the divergence from N(0, I) summed over rows.

The divergence is in closed form if possible, as in the program, else that of the draw.
"""

import torch
from torch import nn
from torch.nn import functional as F

LEAST_SQUARE = 1e-12


def diagonal(mean, log_variance):
    """The divergence of a diagonal Gaussian."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()


class Gaussian(nn.Module):
    """A diagonal Gaussian."""

    def __init__(self, size):
        super().__init__()
        self.size, self.others = size, 0

    def forward(self, mean, log_variance, noise, others):
        return mean + noise * (0.5 * log_variance).exp(), diagonal(mean, log_variance)


class LinearIaf(nn.Module):
    """A unit lower-triangular matrix L of each row, a convex combination of several: its determinant is 1."""

    def __init__(self, size, matrices=1):
        super().__init__()
        self.matrices, self.below = matrices, size * (size - 1) // 2
        self.others = matrices * self.below + (matrices if matrices > 1 else 0)
        self.register_buffer("places", torch.tril_indices(size, size, -1), persistent=False)

    def forward(self, mean, log_variance, noise, others):
        below = others[:, : self.matrices * self.below]
        if self.matrices > 1:
            weights = others[:, self.matrices * self.below :].softmax(1)
            below = torch.bmm(weights[:, None], below.view(len(mean), self.matrices, -1))[:, 0]
        matrix = mean.new_zeros(len(mean), mean.shape[1], mean.shape[1])
        matrix[:, self.places[0], self.places[1]] = below
        variance = log_variance.exp()
        start = mean + noise * variance.sqrt()
        # both products in one pass over the matrices
        both = torch.stack([start, mean], 2)
        z, centre = (both + torch.bmm(matrix, both)).unbind(2)
        spread = variance + torch.bmm(matrix.square(), variance[:, :, None])[:, :, 0]
        return z, 0.5 * (centre.square() + spread - log_variance - 1).sum()


class Householder(nn.Module):
    """Reflections of each row, the vector of each a linear function of the one before; they turn N(0, I) into itself."""

    def __init__(self, size, steps=10):
        super().__init__()
        self.others = size
        self.next = nn.ModuleList(nn.Linear(size, size) for _ in range(steps - 1))

    def forward(self, mean, log_variance, noise, v):
        z = mean + noise * (0.5 * log_variance).exp()
        for layer in [*self.next, None]:
            z = z - 2 * v * ((v * z).sum(1, keepdim=True) / (v.square().sum(1, keepdim=True) + LEAST_SQUARE))
            v = layer(v) if layer else v
        return z, diagonal(mean, log_variance)


class Warped(nn.Module):
    """A draw of a diagonal Gaussian transformed by `through`, whose log-determinants are summed."""

    def forward(self, mean, log_variance, noise, others):
        z, log_determinant = self.through(mean + noise * (0.5 * log_variance).exp(), others)
        return z, 0.5 * (z.square() - noise.square() - log_variance).sum() - log_determinant


class Planar(Warped):
    """Planar steps of each row."""

    def __init__(self, size, steps=10):
        super().__init__()
        self.size, self.steps = size, steps
        self.others = steps * (2 * size + 1)

    def through(self, z, others):
        u, w, b = others.view(len(z), self.steps, -1).split([self.size, self.size, 1], 2)
        product = (w * u).sum(2, keepdim=True)
        least = F.softplus(product)
        along = u + w * ((least - 1 - product) / (w.square().sum(2, keepdim=True) + LEAST_SQUARE))
        total = 0.0
        for step in range(self.steps):
            h = torch.tanh((w[:, step] * z).sum(1, keepdim=True) + b[:, step])
            square = h.square()
            total = total + (square + (1 - square) * least[:, step]).log().sum()
            z = z + along[:, step] * h
        return z, total


class Radial(Warped):
    """Radial steps of each row."""

    def __init__(self, size, steps=10):
        super().__init__()
        self.size, self.steps = size, steps
        self.others = steps * (size + 2)

    def through(self, z, others):
        centres, a, b = others.view(len(z), self.steps, -1).split([self.size, 1, 1], 2)
        alpha, least = F.softplus(a), F.softplus(b)
        total = 0.0
        for step in range(self.steps):
            off = z - centres[:, step]
            r = (off.square().sum(1, keepdim=True) + LEAST_SQUARE).sqrt()
            factor = (r + least[:, step]) / (alpha[:, step] + r)
            outward = (r * (r + 2 * alpha[:, step]) + alpha[:, step] * least[:, step]) / (alpha[:, step] + r).square()
            total = total + ((self.size - 1) * factor.log() + outward.log()).sum()
            z = centres[:, step] + off * factor
        return z, total


class Masked(nn.Module):
    """Two outputs for each number of a row, which depend on the numbers before it and a context."""

    def __init__(self, size, width):
        super().__init__()
        self.context = nn.Linear(width, width, bias=False)
        self.layers = nn.ModuleList([nn.Linear(size, width), nn.Linear(width, 2 * size)])
        seen, outputs = torch.arange(width) * size // width, torch.arange(size).repeat(2)
        self.register_buffer("first", (torch.arange(size) < seen[:, None]).float(), persistent=False)
        self.register_buffer("last", (seen <= outputs[:, None]).float(), persistent=False)

    def forward(self, z, context):
        first, last = self.layers
        h = F.linear(z, first.weight * self.first, first.bias) + self.context(context)
        return F.linear(F.silu(h), last.weight * self.last, last.bias).chunk(2, 1)


class Iaf(Warped):
    """Inverse autoregressive flow: each number is transformed with parameters from a masked network of those before
    it."""

    KEPT = 2.0

    def __init__(self, size, steps=2, width=320):
        super().__init__()
        self.others = width
        self.networks = nn.ModuleList(Masked(size, width) for _ in range(steps))

    def through(self, z, context):
        total = 0.0
        for number, network in enumerate(self.networks):
            turned = (lambda rows: rows.flip(1)) if number % 2 else (lambda rows: rows)
            s, m = network(turned(z), context)
            log_kept, m = F.logsigmoid(turned(s) + self.KEPT), turned(m)
            z = log_kept.exp() * (z - m) + m
            total = total + log_kept.sum()
        return z, total


POSTERIORS = {
    "gaussian": Gaussian,
    "householder": Householder,
    "planar": Planar,
    "radial": Radial,
    "linear_iaf": LinearIaf,
    "linear_iaf_of5": lambda size: LinearIaf(size, 5),
    "iaf": Iaf,
}
