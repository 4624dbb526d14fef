"""The networks of autoencoders, from data [B, C, H, W] to numbers [B, n] and back."""

from typing import Any, Dict, List, Tuple

from torch import Tensor, nn
from torch.nn.functional import silu

from .errors import InputError

# C, H, W of a row of data; vectors are [D, 1, 1]
DataShape = Tuple[int, int, int]


def linear_layers(sizes: List[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))


def through(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for index, layer in enumerate(layers):
        x = layer(x if index == 0 else silu(x))
    return x


class Gates(nn.Module):
    """The gates of the hidden layers of an encoder and a decoder, before the sigmoid."""

    def __init__(self, encoder: List[int], decoder: List[int]):
        super().__init__()
        self.encoder, self.decoder = linear_layers(encoder), linear_layers(decoder)


def _through_gates(layers: nn.ModuleList, gates: nn.ModuleList, x: Tensor) -> Tensor:
    for layer, gate in zip(layers, gates):
        x = layer(x) * gate(x).sigmoid()
    return layers[len(gates)](x)


class Dense(nn.Module):
    """Linear layers with SiLU between them, or gates; the decoder mirrors the encoder."""

    def __init__(self, config: Dict[str, Any], shape: DataShape, outputs: int, latents: int):
        super().__init__()
        channels, height, width = self.shape = shape
        inward = [channels * height * width, *config["widths"]]
        self.encoder = linear_layers([*inward, outputs])
        self.decoder = linear_layers([latents, *reversed(inward)])
        gated = config.get("gated", False)
        if not isinstance(gated, bool):
            raise InputError(f"its header says architecture.gated: {gated!r}, expected true or false")
        self.gates = Gates(inward, [latents, *reversed(inward[1:])]) if gated else None

    def encode(self, data: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, outputs]."""
        if self.gates is not None:
            return _through_gates(self.encoder, self.gates.encoder, data.flatten(1))
        return through(self.encoder, data.flatten(1))

    def decode(self, latents: Tensor) -> Tensor:
        """[B, latents] -> [B, C, H, W]."""
        if self.gates is not None:
            decoded = _through_gates(self.decoder, self.gates.decoder, latents)
        else:
            decoded = through(self.decoder, latents)
        return decoded.reshape(-1, *self.shape)


class Convolutional(nn.Module):
    """3 x 3 convolutions of stride 2, each halving the image (rounded up), then a linear layer; the decoder mirrors them
    with transposed convolutions."""

    def __init__(self, config: Dict[str, Any], shape: DataShape, outputs: int, latents: int):
        super().__init__()
        stages = [shape[0], *config["channels"]]
        sizes = [shape[1:]]
        for _ in config["channels"]:
            height, width = sizes[-1]
            sizes.append((-(-height // 2), -(-width // 2)))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(stages, stages[1:]))
        # a transposed convolution of stride 2 gives 2 n - 1 rows, and one more if the image size was even
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(
                stages[i + 1], stages[i], 3, stride=2, padding=1, output_padding=tuple(1 - n % 2 for n in sizes[i])
            )
            for i in reversed(range(len(stages) - 1))
        )
        self.inner = (stages[-1], *sizes[-1])
        channels, height, width = self.inner
        self.to_outputs = nn.Linear(channels * height * width, outputs)
        self.from_latents = nn.Linear(latents, channels * height * width)

    def encode(self, data: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, outputs]."""
        for layer in self.down:
            data = silu(layer(data))
        return self.to_outputs(data.flatten(1))

    def decode(self, latents: Tensor) -> Tensor:
        """[B, latents] -> [B, C, H, W]."""
        x = self.from_latents(latents).reshape(-1, *self.inner)
        for layer in self.up:
            x = layer(silu(x))
        return x


KINDS = {"dense": (Dense, "widths"), "convolutional": (Convolutional, "channels")}


def build(config: Dict[str, Any], shape: DataShape, outputs: int, latents: int) -> nn.Module:
    """The encoder and decoder described by a header."""
    kind = config.get("kind")
    if kind not in KINDS:
        raise InputError(
            f"its architecture is of kind {kind!r}, which this version of the package does not know; it knows "
            f"{', '.join(KINDS)}. Install the package that goes with the program that wrote it"
        )
    network, key = KINDS[kind]
    sizes = config.get(key)
    if not isinstance(sizes, list) or not all(isinstance(n, int) and 1 <= n <= 65_536 for n in sizes):
        raise InputError(f"its header says architecture.{key}: {sizes!r}, expected a list of widths of 1 to 65536")
    return network(config, shape, outputs, latents)
