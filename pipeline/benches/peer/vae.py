"""A VAE of binary images in optimised PyTorch."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from job import Job, adamw, gradients
from posteriors import POSTERIORS

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
        self.posterior = POSTERIORS[posterior](LATENTS)
        outputs = 2 * LATENTS + self.posterior.others
        self.encoder = nn.Sequential(Gated(PIXELS, WIDTH), Gated(WIDTH, WIDTH), nn.Linear(WIDTH, outputs))
        self.decoder = nn.Sequential(Gated(LATENTS, WIDTH), Gated(WIDTH, WIDTH), nn.Linear(WIDTH, PIXELS))

    def encode(self, x):  # [B, 784] -> mean and log-variance [B, 40], and what else the posterior takes
        mean, log_variance, others = self.encoder(x).split([LATENTS, LATENTS, self.posterior.others], -1)
        return mean, log_variance.clamp(-15, 15), others

    def forward(self, x, noise):
        """The negative ELBO of images [B, 784] in nats over their pixels."""
        mean, log_variance, others = self.encode(x)
        z, divergence = self.posterior(mean, log_variance, noise, others)
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return (reconstruction + divergence) / x.numel()

    def under_our_names(self, tensors):
        """The program's weights in `tensors`, by the names of the parameters here."""
        found = {}
        for name, tensor in tensors.items():
            part, number, *rest = name.split(".")
            if part == "posterior":
                found[name] = tensor
            elif rest[0] == "both":
                layer, gate = tensor.chunk(2)
                found[f"architecture.Dense.{part}.{number}.{rest[1]}"] = layer
                found[f"architecture.Dense.gates.{part}.{number}.{rest[1]}"] = gate
            else:
                found[f"architecture.Dense.{part}.{number}.{rest[0]}"] = tensor
        return found

    def load(self, ours):
        """Loads the program's weights, tensors by its names."""
        # such as `posterior.Householder.next.0.weight`
        plain = {".".join([*name.split(".")[:1], *name.split(".")[2:]]) if name.startswith("posterior.") else name: tensor for name, tensor in ours.items()}
        with torch.no_grad():
            for name, parameter in self.under_our_names(dict(self.named_parameters())).items():
                parameter.copy_(plain.pop(name))
        if plain:
            raise ValueError(f"found weights {list(plain)}, which are not in this network")


def weigh(model, images, mean, log_variance, noise):
    """Log-weights [draws, n] of draws of the latents of `images` [n, 784] by `noise` [draws, n, 40]."""
    z = mean + noise * (0.5 * log_variance).exp()
    logits = model.decoder(z)
    reconstruction = (F.softplus(logits) - images * logits).sum(-1)
    # what does not depend on the draw is the same in prior and posterior but for the determinant
    return 0.5 * (noise.square() - z.square()).sum(-1) + 0.5 * log_variance.sum(-1) - reconstruction


class TrainVae(Job):
    """One training step of a VAE of binary images: forward, backward, fused AdamW."""

    def __init__(self, task, device, mode):
        self.model = Vae(task["posterior"]).to(device)
        self.loss = mode.compile(self.model)
        self.optimiser = adamw(self.model.parameters())
        self.images = (torch.randn(100, 784, device=device) > 0).float()
        self.how = "one product for a gated layer and its gate, fused AdamW"

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        self.loss(self.images, torch.randn(len(self.images), LATENTS, device=self.images.device)).backward()
        self.optimiser.step()

    def show(self, shown):
        given, ours = shown.given, shown.tensors("model")
        self.model.load(ours)
        weights = dict(self.model.named_parameters())
        loss = self.loss(given["images"].to(self.images), given["noise"].to(self.images))
        found = self.model.under_our_names(gradients(loss, weights))
        kind = {".".join(name.split(".")[:2]) for name in ours if name.startswith("posterior.")}
        return {"loss": loss.view(1)}, {name.replace("posterior", *kind, 1) if kind else name: g for name, g in found.items()}


class WeighVae(Job):
    """The importance-weighted NLL of a hundred images, a chunk of draws at a time."""

    CHUNK = 20

    def __init__(self, task, device, mode):
        self.samples, self.model = task["samples"], Vae("gaussian").to(device)
        self.weigh = mode.compile(weigh)
        self.images = (torch.randn(100, 784, device=device) > 0).float()
        self.how = f"each image is encoded once, {self.CHUNK} draws of all images are decoded at once, without autograd"

    @torch.inference_mode()
    def nll(self, noise):
        """Of each image, by chunks of noise."""
        mean, log_variance, _ = self.model.encode(self.images)
        parts = [self.weigh(self.model, self.images, mean, log_variance, of_chunk) for of_chunk in noise]
        log_weights = torch.cat(parts)
        return math.log(len(log_weights)) - torch.logsumexp(log_weights, 0)

    def draws(self):
        for _ in range(self.samples // self.CHUNK):
            yield torch.randn(self.CHUNK, len(self.images), LATENTS, device=self.images.device)

    def step(self):
        self.nll(self.draws()).mean().item()

    def show(self, shown):
        self.model.load(shown.tensors("model"))
        self.images.copy_(shown.given["images"])
        return {"nll": self.nll(shown.given["noise"].to(self.images).split(self.CHUNK))}, {}
