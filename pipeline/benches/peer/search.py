"""A round of a search in latents: passes of a model of sequences whose latents are the noise that draws its tokens, and
the Gaussian process on latents. The passes are those of a round of the program, on random tokens.
"""

import torch
from torch.special import log_ndtr, ndtri

from job import Job
from surrogate import Surrogate

GATES = 4
TINY = torch.finfo(torch.float64).tiny


def noise_of(times):
    """The z with `-ln Phi(z) = times`."""
    below = torch.exp(-times)
    return torch.where(below < 0.5, ndtri(below), -ndtri(-torch.expm1(-times)))


class Model:
    """An LSTM with a softmax. The products of token embeddings with its input weights are looked up."""

    def __init__(self, task, device, mode):
        of = task["surrogate"]
        self.tokens, self.size = of["tokens"], of["width"]
        embedding, channels = task["embedding"], task["channels"]
        new = lambda *shape: 0.1 * torch.randn(*shape, device=device)
        self.load(
            {
                "table": new(self.size + 1, embedding),
                "reader.places": new(self.tokens, GATES * channels),
                "reader.layers.0.weight": new(GATES * channels, embedding + channels),
                "reader.layers.0.bias": new(GATES * channels),
                "logits.weight": new(self.size, channels),
                "logits.bias": new(self.size),
            }
        )
        self.cell = mode.compile(self.cell)

    def load(self, weights):
        table, gates = weights["table"], weights["reader.layers.0.weight"].T
        embedding = table.shape[1]
        of_tokens = table @ gates[:embedding] + weights["reader.layers.0.bias"]
        self.inputs = of_tokens + weights["reader.places"][:, None]  # [T, V + 1, 4 C]
        self.state_weight = gates[embedding:].contiguous()
        self.weight, self.bias = weights["logits.weight"].T.contiguous(), weights["logits.bias"]
        generator = torch.Generator(device=table.device).manual_seed(0)
        exponential = torch.empty(self.tokens, self.size, dtype=torch.float64, device=table.device)
        self.left = exponential.exponential_(generator=generator)

    @staticmethod
    def cell(gates, c):
        i, f, g, o = gates.chunk(GATES, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def begin(self, n):
        zeros = self.state_weight.new_zeros(n, len(self.state_weight))
        return zeros, zeros

    def read(self, before, place, h, c):
        return self.cell(torch.addmm(self.inputs[place][before], h, self.state_weight), c)

    def log_probabilities(self, tokens):
        """[n, T, V] in f64, of tokens [n, T]."""
        before = torch.cat([torch.full_like(tokens[:, :1], self.size), tokens[:, :-1]], 1)
        h, c = self.begin(len(tokens))
        all = []
        for place in range(self.tokens):
            h, c = self.read(before[:, place], place, h, c)
            all.append(h)
        logits = torch.stack(all, 1) @ self.weight + self.bias
        return logits.log_softmax(2).double()

    def weigh(self, tokens):
        """Latents [n, T V] in f32, and the costs of each token up to the first end, else 0: [n, T]."""
        log_p, own = self.log_probabilities(tokens), tokens[..., None]
        left = self.left.expand(len(tokens), -1, -1)
        times = log_p.exp() * left.gather(2, own)
        others = torch.ones_like(left).scatter(2, own, 0.0)
        latents = noise_of((times + others * left).clamp_min(TINY)).float().flatten(1)
        goes_on = (tokens != 0).cumprod(1)
        counts = torch.cat([torch.ones_like(goes_on[:, :1]), goes_on[:, :-1]], 1)
        return latents, -log_p.gather(2, own)[..., 0] * counts, counts

    def redraw(self, tokens, places):
        rows = torch.arange(len(tokens), device=tokens.device)
        log_p = self.log_probabilities(tokens)[rows, places]
        arrivals = torch.empty_like(log_p).exponential_().log() - log_p
        tokens[rows, places] = arrivals.argmin(1)

    def decode(self, latents):
        """Tokens [n, T] of latents [n, T, V]."""
        arrivals = (-log_ndtr(latents.double())).log()
        before = torch.full((len(latents),), self.size, device=latents.device)
        h, c = self.begin(len(latents))
        found = []
        for place in range(self.tokens):
            h, c = self.read(before, place, h, c)
            log_p = torch.addmm(self.bias, h, self.weight).log_softmax(1).double()
            before = (arrivals[:, place] - log_p).argmin(1)
            found.append(before)
        tokens = torch.stack(found, 1)
        return tokens * torch.cat([torch.ones_like(tokens[:, :1]), (tokens != 0).cumprod(1)[:, :-1]], 1)


class Search(Job):
    def __init__(self, task, device, mode):
        self.of, self.device = task, device
        self.surrogate, self.model = Surrogate(task["surrogate"], device, mode), Model(task, device, mode)
        self.how = f"LSTM in f32, token by token; Gaussian process: {self.surrogate.how}"

    def random_tokens(self, n):
        return torch.randint(1, self.model.size, (n, self.model.tokens), device=self.device)

    @torch.no_grad()
    def passes(self):
        known, weighings = [], 0
        for call in self.of["passes"]:
            ((name, n),) = call.items()
            if name == "decode":
                self.model.decode(torch.randn(n, self.model.tokens, self.model.size, device=self.device))
            elif name == "redraw":
                self.model.redraw(self.random_tokens(n), torch.randint(self.model.tokens, (n,), device=self.device))
            else:
                known.append(self.surrogate.locate(self.model.weigh(self.random_tokens(n))[0].double()))
                weighings += 1
                last = weighings % self.of["generations"] == 0
                scaled, cross = map(torch.cat, zip(*known))
                self.surrogate.draws(scaled, cross, self.of["chosen" if last else "parents"])
                known = [] if last else known

    def step(self):
        self.surrogate.posterior(self.surrogate.fit())
        self.passes()

    @torch.no_grad()
    def show(self, shown):
        self.model.load(shown.tensors("model"))
        tokens = shown.given["rows"].long()
        _, costs, counts = self.model.weigh(tokens)
        found = self.model.decode(shown.given["latents"].view(len(tokens), self.model.tokens, self.model.size))
        return {"worst": costs.max(1).values, "mean": costs.sum(1) / counts.sum(1), "tokens": found}, {}
