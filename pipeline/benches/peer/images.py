"""Autoencoders and classifiers of images in PyTorch, as somebody who wants them fast writes them."""

from torch import nn


def halving(channels):
    """3 x 3 convolutions of stride 2 from each of `channels` to the next, SiLU after each."""
    pairs = zip(channels, channels[1:])
    return [layer for a, b in pairs for layer in (nn.Conv2d(a, b, 3, 2, 1), nn.SiLU())]


def dense(sizes):
    """Linear layers from each of `sizes` to the next, SiLU between them."""
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.SiLU())]
    return layers[:-1]


class Images:
    """What a task says of its images and layers."""

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
