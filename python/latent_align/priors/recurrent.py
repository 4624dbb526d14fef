"""An LSTM (Hochreiter & Schmidhuber 1997), evaluated position by position."""

from typing import List, Tuple

import torch
from torch import Tensor, nn

from .base import Shape

GATES = 4


class Recurrent(nn.Module):
    """An LSTM: each layer reads its input and its own last state; positions of the sequence have embeddings."""

    def __init__(self, shape: Shape, channels: int, layers: int):
        super().__init__()
        self.channels = channels
        self.places = nn.Parameter(torch.zeros(shape.tokens, GATES * channels))
        inputs = [shape.width] + [channels] * (layers - 1)
        self.layers = nn.ModuleList(nn.Linear(size + channels, GATES * channels) for size in inputs)

    def forward(self, x: Tensor, states: List[Tuple[Tensor, Tensor]], place: int) -> Tensor:
        """The last layer's state [n, C] after `x` [n, width] at this position; updates `states`."""
        for number, layer in enumerate(self.layers):
            h, c = states[number]
            gates = layer(torch.cat([x, h], 1))
            if number == 0:
                gates = gates + self.places[place]
            i, f, g, o = gates.chunk(GATES, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            x = torch.sigmoid(o) * torch.tanh(c)
            states[number] = (x, c)
        return x

    def begin(self, n: int) -> List[Tuple[Tensor, Tensor]]:
        """The states of each layer before the first token of `n` sequences."""
        zeros = self.places.new_zeros(n, self.channels)
        return [(zeros, zeros) for _ in self.layers]
