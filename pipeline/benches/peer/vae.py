"""A VAE of binary images in PyTorch, as somebody who wants it fast writes it."""

import math

import torch
from torch import nn
from torch.nn import functional as F

PIXELS, WIDTH, LATENTS = 784, 300, 40


class Gated(nn.Module):
    """A dense layer times the sigmoid of another, both in one product."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.both = nn.Linear(inputs, 2 * outputs)

    def forward(self, x):
        return F.glu(self.both(x), -1)


class Vae(nn.Module):
    def __init__(self, posterior):
        super().__init__()
        self.matrix = posterior == "linear_iaf"
        below = LATENTS * (LATENTS - 1) // 2 if self.matrix else 0
        self.encoder = nn.Sequential(Gated(PIXELS, WIDTH), Gated(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * LATENTS + below))
        self.decoder = nn.Sequential(Gated(LATENTS, WIDTH), Gated(WIDTH, WIDTH), nn.Linear(WIDTH, PIXELS))
        self.register_buffer("places", torch.tril_indices(LATENTS, LATENTS, -1))

    def encode(self, x):  # [B, 784] -> mean and log standard deviation [B, 40]
        return self.encoder(x).split([LATENTS, LATENTS], -1)

    def forward(self, x):
        """The negative ELBO of images [B, 784] in nats over their pixels."""
        of_posterior = self.encoder(x)
        mean, log_sigma = of_posterior[:, :LATENTS], of_posterior[:, LATENTS : 2 * LATENTS]
        noise = torch.randn_like(mean)
        z = mean + noise * log_sigma.exp()
        if self.matrix:  # a unit lower-triangular matrix of each image: its determinant is 1
            matrix = z.new_zeros(len(z), LATENTS, LATENTS)
            matrix[:, self.places[0], self.places[1]] = of_posterior[:, 2 * LATENTS :]
            z = z + torch.bmm(matrix, z[:, :, None])[:, :, 0]
            divergence = 0.5 * (z.square() - noise.square()).sum() - log_sigma.sum()
        else:
            divergence = 0.5 * (mean.square() + (2 * log_sigma).exp() - 2 * log_sigma - 1).sum()
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return (reconstruction + divergence) / x.numel()


def weigh(model, images, mean, log_sigma, draws):
    """Log-weights [draws, n] of `draws` draws of the latents of `images` [n, 784]."""
    noise = torch.randn(draws, *mean.shape, device=mean.device)
    z = mean + noise * log_sigma.exp()
    logits = model.decoder(z)
    reconstruction = (F.softplus(logits) - images * logits).sum(-1)
    constant = 0.5 * LATENTS * math.log(2 * math.pi)
    prior = 0.5 * z.square().sum(-1) + constant
    posterior = -0.5 * noise.square().sum(-1) - log_sigma.sum(-1) - constant
    return -reconstruction - prior - posterior
