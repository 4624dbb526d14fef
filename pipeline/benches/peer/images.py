"""Autoencoders and classifiers of images in optimised PyTorch."""

import time

import torch
from torch import nn

from job import Job, adamw, gradients, synchronise


def halving(channels):
    """3 x 3 convolutions of stride 2 from each of `channels` to the next, SiLU after each."""
    pairs = zip(channels, channels[1:])
    return [layer for a, b in pairs for layer in (nn.Conv2d(a, b, 3, 2, 1), nn.SiLU())]


def dense(sizes):
    """Linear layers from each of `sizes` to the next, SiLU between them."""
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.SiLU())]
    return layers[:-1]


class Images:
    """The images and layers of a task."""

    def __init__(self, size):
        self.layers = [layer for layer in size["layers"] if layer]
        self.shape = [size["channels"], size["side"], size["side"]]
        self.pixels = size["channels"] * size["side"] ** 2
        self.convolutional, self.latents = size["convolutional"], size["latents"]
        self.channels = [size["channels"], *self.layers]
        sides = [size["side"]]
        for _ in self.layers:
            sides.append(-(-sides[-1] // 2))
        # a transposed convolution of stride 2 gives 2 n - 1 rows; one more where the image was even
        self.extra = [1 - side % 2 for side in sides[:-1]]
        self.last = [self.layers[-1], sides[-1], sides[-1]]
        self.inner = self.layers[-1] * sides[-1] ** 2

    def names(self, down, inner, up):
        """The program's names of the parameters of a network, in order: of `down`, of the `inner` layers, of `up`."""
        prefixes = [f"{down}.{i}" for i in range(len(self.layers))] if down else []
        prefixes += inner + ([f"{up}.{i}" for i in range(len(self.layers))] if up else [])
        return [f"{prefix}.{part}" for prefix in prefixes for part in ("weight", "bias")]

    def autoencoder_names(self):
        if self.convolutional:
            of = "architecture.Convolutional."
            return self.names(of + "down", [of + "to_outputs", of + "from_latents"], of + "up")
        of, count = "architecture.Dense.", len(self.layers) + 1
        return self.names(None, [f"{of}{part}.{i}" for part in ("encoder", "decoder") for i in range(count)], None)

    def classifier_names(self):
        if self.convolutional:
            return self.names("down", ["hidden.0", "head"], None)
        return self.names(None, [f"hidden.{i}" for i in range(len(self.layers) + 1)] + ["head"], None)

    def autoencoder(self):
        if not self.convolutional:
            inward = [self.pixels, *self.layers, self.latents]
            return nn.Sequential(nn.Flatten(), *dense(inward), *dense(inward[::-1]), nn.Unflatten(1, self.shape))
        stages = list(zip(self.channels, self.channels[1:], self.extra))[::-1]
        up = [layer for a, b, extra in stages for layer in (nn.SiLU(), nn.ConvTranspose2d(b, a, 3, 2, 1, extra))]
        return nn.Sequential(
            *halving(self.channels),
            nn.Flatten(),
            nn.Linear(self.inner, self.latents),
            nn.Linear(self.latents, self.inner),
            nn.Unflatten(1, self.last),
            *up,
        )

    def classifier(self, features, classes):
        if self.convolutional:
            layers = [*halving(self.channels), nn.Flatten(), nn.Linear(self.inner, features)]
        else:
            layers = [nn.Flatten(), *dense([self.pixels, *self.layers, features])]
        return nn.Sequential(*layers, nn.SiLU(), nn.Linear(features, classes))


class OfImages(Job):
    """One training step of a network of images: forward, backward, fused AdamW. In the faster of both memory formats."""

    TRIALS = 10

    def __init__(self, task, device, mode):
        self.size, self.device, self.mode = task["size"], device, mode
        self.images = Images(self.size)
        formats = [torch.contiguous_format, torch.channels_last]
        found = [self.timed(memory) for memory in formats[: 1 + self.images.convolutional]]
        _, memory = min(found, key=lambda pair: pair[0])
        self.set_up(memory)
        self.how = str(memory).split(".")[-1]

    def set_up(self, memory):
        torch._dynamo.reset()  # strides that differ from those compiled before would be compiled as unknown
        network = self.network().to(self.device, memory_format=memory)
        self.weights = dict(zip(self.names(), network.parameters(), strict=True))
        self.optimiser = adamw(network.parameters())
        batch = torch.randn(self.size["batch"], *self.images.shape, device=self.device)
        self.batch = batch.to(memory_format=memory)
        self.loss = self.mode.compile(self.of(network))

    def timed(self, memory):
        """Seconds of the fastest of some steps, and the format."""
        self.set_up(memory)
        self.step()  # compiles
        seconds = []
        for _ in range(self.TRIALS):
            synchronise(self.device)
            start = time.perf_counter()
            self.step()
            synchronise(self.device)
            seconds.append(time.perf_counter() - start)
        return min(seconds), memory

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        self.loss(self.batch).backward()
        self.optimiser.step()

    def show(self, shown):
        given = shown.tensors("model")
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(given[name])
            self.batch.copy_(shown.given["images"])
        loss = self.loss(self.batch)
        return {"loss": loss.view(1)}, gradients(loss, self.weights)


class TrainAutoencoder(OfImages):
    def names(self):
        return self.images.autoencoder_names()

    def network(self):
        return self.images.autoencoder()

    def of(self, network):
        return lambda batch: (network(batch) - batch).square().mean()


class TrainClassifier(OfImages):
    def names(self):
        return self.images.classifier_names()

    def network(self):
        return self.images.classifier(self.size["features"], self.size["classes"])

    def of(self, network):
        targets = torch.arange(self.size["batch"], device=self.device) % self.size["classes"]
        return lambda batch: torch.nn.functional.cross_entropy(network(batch), targets)
