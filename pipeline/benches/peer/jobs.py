"""The same jobs in PyTorch: what its users would run instead.

A job is made from the fields of its task, on a device, in a mode. `step` runs it once; `how` says in a few
words what runs. `restart` takes up a task that differs in the fields `restarts` only.
"""

import math
import time
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch.func import jvp, vjp, vmap
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from images import Images
from network import Velocity, read_tensors
from tarflow import TarFlow
from vae import Vae, weigh

# Batches of random rows that steps take in turn.
BATCHES = 16
# Processes that read, and blocks of a window.
LOADERS = 2
BLOCKS = 32


class Mode(NamedTuple):
    """Naive is what first comes to mind. Careful has no more arithmetic than ours."""

    careful: bool
    compiled: bool

    def compile(self, function):
        return torch.compile(function) if self.compiled else function


class Job:
    restarts = ()


def network_of(size, device):
    keys = ("dimensions", "width", "blocks", "frequencies", "time_scale")
    return Velocity(*(size[key] for key in keys)).to(device)


def numbers(size, device):
    """Autocasting to bfloat16, where the size asks for it."""
    bf16 = size["precision"] == "bf16"
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16)


def shares(count, device):
    """A random number in each of `count` equal parts of [0, 1), in random order."""
    return (torch.randperm(count, device=device) + torch.rand(count, device=device)) / count


def draw_times(mode, size, device):
    """Naive: a time for each point. Careful: stratified ones, as ours has them, each for a group of points."""
    return shares(size["times"], device) if mode.careful else torch.rand(size["batch"], device=device)


def grouped(k, *points):
    """Points [n, d] as [k, n / k, d], where k is less than n."""
    return [p if k == len(p) else p.view(k, -1, p.shape[1]) for p in points]


def flow_matching_error(network, y, t, noise):
    """y and noise [n, d], t [n]; or t [k], each for n / k points in a row."""
    y, noise = grouped(len(t), y, noise)
    t = t.view(-1, *[1] * (y.dim() - 1))
    x = (1 - t) * noise + t * y
    return network(x, t) - (y - noise)


def given_draws(mode, file, device):
    """Points and noise [n, d], and times: k in the file, each for n / k points in a row."""
    given = read_tensors(file)
    y, noise, t = (given[name].to(device) for name in ("points", "noise", "times"))
    return y, (t if mode.careful else t.repeat_interleave(len(y) // len(t))), noise


def flat(loss, gradients):
    return [loss.item(), *torch.cat([g.flatten() for g in gradients]).tolist()]


class Train(Job):
    """One step of flow matching: forward, backward, fused AdamW."""

    def __init__(self, task, device, mode):
        self.size, self.device, self.mode, self.done = task["size"], device, mode, 0
        self.network = network_of(self.size, device)
        self.loss = mode.compile(self.mean_square)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-4, fused=True)
        self.rows = torch.randn(BATCHES, self.size["batch"], self.size["dimensions"], device=device)
        self.how = "fused AdamW, " + ("times shared by groups" if mode.careful else "a time for each point")

    def mean_square(self, y, t, noise):
        with numbers(self.size, self.device):
            error = flow_matching_error(self.network, y, t, noise)
        return error.float().square().mean()

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        y = self.rows[self.done % BATCHES]
        self.loss(y, draw_times(self.mode, self.size, self.device), torch.randn_like(y)).backward()
        self.optimiser.step()
        self.done += 1

    def gradient(self, flow, points):
        """The loss, and its gradient with respect to the weights, sorted by name."""
        self.network.load_state_dict(read_tensors(flow))
        loss = self.loss(*given_draws(self.mode, points, self.device))
        weights = [weight for _, weight in sorted(self.network.named_parameters())]
        return flat(loss, torch.autograd.grad(loss, weights))


class Align(Job):
    """The alignment loss of latents under a frozen network, and its gradient with respect to them."""

    def __init__(self, task, device, mode):
        self.size, self.device, self.mode, self.done = task["size"], device, mode, 0
        self.network = network_of(self.size, device).requires_grad_(False)
        self.grid = torch.tensor(task["grid"], device=device)
        self.rows = torch.randn(BATCHES, self.size["batch"], self.size["dimensions"], device=device)
        self.loss = mode.compile(self.by_table if mode.careful else self.mean_square)
        self.how = "frozen weights, " + ("a table of modulations" if mode.careful else "a time for each point")
        self.tabulate()

    def tabulate(self):
        if self.mode.careful:
            self.table = self.network.modulations(self.grid[:, None])

    def mean_square(self, y, t, noise):
        with numbers(self.size, self.device):
            error = flow_matching_error(self.network, y, t, noise)
        return error.float().square().mean()

    def by_table(self, y, rows, noise):
        """`rows` [k] of the table, each for n / k points in a row."""
        y, noise = grouped(len(rows), y, noise)
        t = self.grid[rows, None, None]
        x = (1 - t) * noise + t * y
        with numbers(self.size, self.device):
            v = self.network.modulated(x, [modulation[rows, None] for modulation in self.table])
        return (v.float() - (y - noise)).square().mean()

    def step(self):
        y = self.rows[self.done % BATCHES].clone().requires_grad_()
        times = draw_times(self.mode, self.size, self.device)
        if self.mode.careful:
            times = (times * len(self.grid)).long()
        self.loss(y, times, torch.randn_like(y)).backward()
        self.done += 1

    def gradient(self, flow, points):
        """The loss, and its gradient with respect to the points."""
        self.network.load_state_dict(read_tensors(flow))
        self.tabulate()
        y, times, noise = given_draws(self.mode, points, self.device)
        if self.mode.careful:
            times = torch.searchsorted(self.grid, times)
        y.requires_grad_()
        loss = self.loss(y, times, noise)
        return flat(loss, torch.autograd.grad(loss, [y]))


class Tarflow(Job):
    """One training step of a TarFlow: forward, backward, fused AdamW."""

    def __init__(self, task, device, mode):
        size = task["size"]
        self.network, self.done = TarFlow(size).to(device), 0
        self.nll = mode.compile(self.network)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
        self.rows = torch.randn(BATCHES, size["batch"], size["tokens"], size["width"], device=device)
        self.how = "fused attention and AdamW"

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        self.nll(self.rows[self.done % BATCHES]).mean().backward()
        self.optimiser.step()
        self.done += 1


class TrainVae(Job):
    """One training step of a VAE of binary images: forward, backward, fused AdamW."""

    def __init__(self, task, device, mode):
        self.model = Vae(task["posterior"]).to(device)
        self.loss = mode.compile(self.model)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
        self.images = (torch.randn(100, 784, device=device) > 0).float()
        self.how = "one product for a gated layer and its gate, fused AdamW"

    def step(self):
        self.optimiser.zero_grad(set_to_none=True)
        self.loss(self.images).backward()
        self.optimiser.step()


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
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0, fused=True)
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


class TrainAutoencoder(OfImages):
    def network(self):
        return self.images.autoencoder()

    def of(self, network):
        return lambda batch: (network(batch) - batch).square().mean()


class TrainClassifier(OfImages):
    def network(self):
        return self.images.classifier(self.size["features"], self.size["classes"])

    def of(self, network):
        targets = torch.arange(self.size["batch"], device=self.device) % self.size["classes"]
        return lambda batch: torch.nn.functional.cross_entropy(network(batch), targets)


class WeighVae(Job):
    """The importance-weighted NLL of a hundred images, a chunk of draws at a time."""

    CHUNK = 20

    def __init__(self, task, device, mode):
        self.samples, self.model = task["samples"], Vae("gaussian").to(device)
        self.weigh = mode.compile(weigh)
        self.images = (torch.randn(100, 784, device=device) > 0).float()
        self.how = f"each image is encoded once, {self.CHUNK} draws of all images are decoded at once, without autograd"

    @torch.inference_mode()
    def step(self):
        mean, log_sigma = self.model.encode(self.images)
        parts = [self.weigh(self.model, self.images, mean, log_sigma, self.CHUNK) for _ in range(self.samples // self.CHUNK)]
        (math.log(self.samples) - torch.logsumexp(torch.cat(parts), 0)).sum().item()


def divergences(network, compiled):
    """Ways to the velocity [n, d] and its exact divergence [n] at x [n, d] and t [1, 1], by name."""

    def passes(through):
        def run(x, t):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                v = through(x, t)
                rows = (torch.autograd.grad(v[:, j].sum(), x, retain_graph=True)[0][:, j] for j in range(v.shape[1]))
                return v.detach(), sum(rows)

        return run

    def reverse(x, t):
        v, pull = vjp(lambda x: network(x, t), x)
        axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        jacobian = vmap(lambda axis: pull(axis.expand_as(x))[0])(axes)  # [d, n, d]
        return v, jacobian.diagonal(dim1=0, dim2=2).sum(-1)

    def forward(x, t):
        def along(axis):
            v, dv = jvp(lambda x: network(x, t), (x,), (axis.expand_as(x),))
            return v, (dv * axis).sum(1)

        axes = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        v, diagonal = vmap(along, out_dims=(None, 0))(axes)
        return v, diagonal.sum(0)

    if not compiled:
        return {"d reverse passes": passes(network), "vmap of vjp": reverse, "vmap of jvp": forward}
    return {
        "compiled vmap of vjp": torch.compile(reverse),
        "compiled vmap of jvp": torch.compile(forward),
        "d reverse passes of the compiled network": passes(torch.compile(network)),
    }


def fastest_divergence(network, compiled, x):
    """The fastest of those that work, and its name."""
    t = torch.full((1, 1), 0.5, device=x.device)
    found = []
    for name, divergence in divergences(network, compiled).items():
        try:
            for _ in range(2):
                divergence(x, t)
            start = time.perf_counter()
            divergence(x, t)
            synchronise(x.device)
            found.append((time.perf_counter() - start, name, divergence))
        except Exception:  # not every transform of PyTorch composes with every other
            continue
    if not found:
        raise RuntimeError("no way to a divergence works")
    _, name, divergence = min(found, key=lambda entry: entry[0])
    return divergence, name


class Divergence(Job):
    """One evaluation of the velocity and its exact divergence, frozen weights, one time for all points."""

    def __init__(self, task, device, mode):
        size = task["size"]
        network = network_of(size, device).requires_grad_(False)
        self.x = torch.randn(size["batch"], size["dimensions"], device=device)
        self.t = torch.full((1, 1), 0.5, device=device)
        self.divergence, self.how = fastest_divergence(network, mode.compiled, self.x)

    def step(self):
        self.divergence(self.x, self.t)


class Likelihood(Job):
    """The NLL of points by torchdiffeq's Dormand-Prince, velocity and exact divergence integrated at once."""

    restarts = ("tolerance",)

    def __init__(self, task, device, mode):
        given = read_tensors(task["flow"])
        network = network_of(task["size"], device).requires_grad_(False)
        network.load_state_dict(given)
        self.x = read_tensors(task["points"])["points"].to(device)
        self.tolerance = task["tolerance"]
        self.divergence, self.how = fastest_divergence(network, mode.compiled, self.x)
        self.nll = None

    def restart(self, task):
        self.tolerance = task["tolerance"]

    def step(self):
        from torchdiffeq import odeint

        def slope(t, state):
            v, divergence = self.divergence(state[0], t.reshape(1, 1).to(self.x.dtype))
            return v, divergence

        start = (self.x, torch.zeros(len(self.x), device=self.x.device))
        span = torch.tensor([1.0, 0.0], device=self.x.device)
        with torch.no_grad():
            x, integral = odeint(slope, start, span, rtol=self.tolerance, atol=self.tolerance, method="dopri5")
        d = self.x.shape[1]
        self.nll = 0.5 * x[-1].square().sum(1) + 0.5 * d * math.log(2 * math.pi) - integral[-1]

    def likelihoods(self):
        return self.nll.double().tolist()


class Items(Dataset):
    """The rows of an HDF5 dataset, one at a time."""

    def __init__(self, file, name):
        self.file, self.name, self.opened = file, name, None
        with h5py.File(file) as opened:
            self.count = len(opened[name])

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        if self.opened is None:  # in the worker: a handle does not survive a fork
            self.opened = h5py.File(self.file)[self.name]
        return torch.from_numpy(self.opened[row])


class Windows(IterableDataset):
    """Shuffled batches: blocks in random order, shuffled within windows of many; each worker has its share."""

    def __init__(self, task, workers):
        self.task, self.workers = task, workers

    def __iter__(self):
        file, batch = h5py.File(self.task["file"]), self.task["batch"]
        dataset = file[self.task["dataset"]]
        count, width = dataset.shape
        window = self.task["memory"] // (4 * width * self.workers)  # rows
        block = window // BLOCKS
        worker = get_worker_info()
        order = np.random.default_rng(worker.seed).permutation(range(worker.id * block, count, self.workers * block))
        for first in range(0, len(order), BLOCKS):
            rows = np.concatenate([dataset[at : at + block] for at in order[first : first + BLOCKS]])
            rows = torch.from_numpy(rows)[torch.randperm(len(rows))]
            yield from rows[: len(rows) // batch * batch].split(batch)


class Stream(Job):
    """Shuffled batches of an HDF5 dataset by a DataLoader with two workers."""

    def __init__(self, task, device, mode):
        self.device, loading = device, {"num_workers": LOADERS, "persistent_workers": True}
        if mode.careful:
            self.loader = DataLoader(Windows(task, LOADERS), batch_size=None, **loading)
            self.how = "an IterableDataset of shuffled windows of blocks"
        else:
            rows = Items(task["file"], task["dataset"])
            self.loader = DataLoader(rows, task["batch"], shuffle=True, drop_last=True, **loading)
            self.how = "a Dataset of single rows"
        self.batches = iter(self.loader)

    def step(self):
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        batch.to(self.device)


class Fit(Job):
    """A whole training on given rows, from given weights: the pipeline's recipe.

    AdamW, linear warm-up to a constant rate, the gradient's norm clipped, a moving average of the weights.
    The loss is that of the average, on held-out points with given noise and times, summed over dimensions.
    """

    restarts = ("flow", "points", "optimiser", "seed")

    def __init__(self, task, device, mode):
        self.size, self.device, self.mode = task["size"], device, mode
        self.network = network_of(self.size, device)
        self.error = mode.compile(self.square_sum)
        self.restart(task)
        self.how = "AdamW, clipping and moving average in fused passes"

    def restart(self, task):
        given = {name: tensor.to(self.device) for name, tensor in read_tensors(task["points"]).items()}
        self.rows, self.held_out = given["rows"], [given[name] for name in ("data", "times", "noise")]
        self.network.load_state_dict(read_tensors(task["flow"]))
        self.recipe, self.done = task["optimiser"], 0
        self.parameters = list(self.network.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=self.recipe["learning_rate"],
            betas=self.recipe["betas"],
            weight_decay=self.recipe["weight_decay"],
            fused=True,
        )
        torch.manual_seed(task["seed"])

    def square_sum(self, y, t, noise):
        return flow_matching_error(self.network, y, t, noise).square().sum() / len(y)

    def step(self):
        batch, recipe = self.size["batch"], self.recipe
        warm = min(1.0, (self.done + 1) / recipe["warmup_steps"])
        for group in self.optimiser.param_groups:
            group["lr"] = recipe["learning_rate"] * warm
        first = self.done % (len(self.rows) // batch) * batch
        y = self.rows[first : first + batch]
        self.optimiser.zero_grad(set_to_none=True)
        self.error(y, draw_times(self.mode, self.size, self.device), torch.randn_like(y)).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, recipe["gradient_clip"], foreach=True)
        self.optimiser.step()
        self.done += 1
        decay = min(recipe["ema"], (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)

    def held_out_loss(self):
        trained = [p.detach().clone() for p in self.parameters]
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.average)
            loss = self.square_sum(*self.held_out).item()
            torch._foreach_copy_(self.parameters, trained)
        return loss


def product_seconds(side, times, device):
    """Seconds of each of `times` products of two square f32 matrices."""
    a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        a @ b
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def synchronise(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


JOBS = {"train": Train, "align": Align, "tarflow": Tarflow, "vae": TrainVae, "autoencoder": TrainAutoencoder, "classifier": TrainClassifier, "weigh": WeighVae, "divergence": Divergence, "likelihood": Likelihood, "stream": Stream, "fit": Fit}
