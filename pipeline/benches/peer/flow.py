"""The flow's training and alignment steps, and a whole training."""

import torch

from job import BATCHES, Job, gradients
from network import Velocity
from tensors import read_tensors


def network_of(size, device):
    keys = ("dimensions", "width", "blocks", "frequencies", "time_scale")
    return Velocity(*(size[key] for key in keys)).to(device)


def numbers(size, device):
    """Autocasting to bfloat16, if configured."""
    bf16 = size["precision"] == "bf16"
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16)


def shares(count, device):
    """A random number in each of `count` equal parts of [0, 1), in random order."""
    return (torch.randperm(count, device=device) + torch.rand(count, device=device)) / count


def draw_times(mode, size, device):
    """Naive: a time for each point. Careful: stratified times as in the program, each for a group of points."""
    return shares(size["times"], device) if mode.careful else torch.rand(size["batch"], device=device)


def grouped(k, *points):
    """Points [n, d] as [k, n / k, d], if k is less than n."""
    return [p if k == len(p) else p.view(k, -1, p.shape[1]) for p in points]


def flow_matching_error(network, y, t, noise):
    """y and noise [n, d], t [n]; or t [k], each for n / k points in a row."""
    y, noise = grouped(len(t), y, noise)
    t = t.view(-1, *[1] * (y.dim() - 1))
    x = (1 - t) * noise + t * y
    return network(x, t) - (y - noise)


def given_draws(mode, given, device):
    """Points and noise [n, d], and times: k as given, each for n / k points in a row."""
    y, noise, t = (given[name].to(device) for name in ("points", "noise", "times"))
    return y, (t if mode.careful else t.repeat_interleave(len(y) // len(t))), noise


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

    def show(self, shown):
        self.network.load_state_dict(shown.tensors("flow"))
        loss = self.loss(*given_draws(self.mode, shown.given, self.device))
        return {"loss": loss}, gradients(loss, dict(self.network.named_parameters()))


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

    def show(self, shown):
        """The gradient is that with respect to the points."""
        self.network.load_state_dict(shown.tensors("flow"))
        self.tabulate()
        y, times, noise = given_draws(self.mode, shown.given, self.device)
        if self.mode.careful:
            times = torch.searchsorted(self.grid, times)
        y.requires_grad_()
        loss = self.loss(y, times, noise)
        return {"loss": loss}, gradients(loss, {"points": y})


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
