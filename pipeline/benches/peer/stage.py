"""The stage `train-autoencoder` as a short PyTorch script: reads the data and the flow, trains with the alignment loss,
logs, evaluates, writes weights, latents, reconstructions and curves, and tests latents against features.

It does less than the stage: no checkpoints, no latents before training, no tests of the test part and of whole rows, no
power of the tests, and of the two-sample tests the energy, kernel and neighbour test (from one matrix of distances) with
coverage, but no classifier test. What depends on time alone is a table; convolutions are channels last; steps are
compiled with `--compiled`.
"""

import argparse
import csv
import json
import math
import time
from pathlib import Path

import h5py
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from images import Images
from job import adamw
from network import Velocity

GRID, TIMES, LOG_EVERY = 1024, 64, 25
TESTED, COMPARED, PERMUTATIONS = 1000, 2000, 199


def flow_in(folder):
    """The frozen network of `flow.safetensors`."""
    with safe_open(folder / "flow.safetensors", "pt") as file:
        header = json.loads(file.metadata()["latent_align"])
        weights = {name: file.get_tensor(name) for name in file.keys()}
    sizes = header["network"]
    network = Velocity(header["dimensions"], *(sizes[key] for key in ("width", "blocks", "frequencies", "time_scale")))
    network.load_state_dict(weights)
    return network.requires_grad_(False)


def share_of_rate(step, steps, warm=100, last=0.01):
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(steps - warm - 1, 1)
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress))


class Training:
    def __init__(self, options, images, network):
        self.options, self.network, self.shape = options, network, (-1, options.width)
        side = images.shape[-1]
        size = dict(channels=1, side=side, layers=options.layers, convolutional=options.convolutional)
        size["latents"] = options.tokens * options.width
        whole = Images(size).autoencoder()
        inward = 2 * len(options.layers) + 2  # flattening among them
        self.encoder, self.decoder = whole[:inward], whole[inward:]
        for name, parameter in whole.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.zeros_(parameter)
        for layer in whole.modules():
            if isinstance(layer, torch.nn.ConvTranspose2d):  # as the stage: by what a pixel receives at most
                bound = (layer.weight.size(0) * 9) ** -0.5
                torch.nn.init.uniform_(layer.weight, -bound, bound)
        if options.convolutional:
            whole.to(memory_format=torch.channels_last)
        self.parameters = list(whole.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimiser = adamw(self.parameters)
        self.grid = (torch.arange(GRID) + 0.5) / GRID
        self.table = network.modulations(self.grid[:, None])
        self.loss = torch.compile(self.both) if options.compiled else self.both

    def alignment(self, y, rows, noise):
        """Mean square error of the velocity at points y [K, m, d], at `rows` [K] of the table."""
        t = self.grid[rows, None, None]
        v = self.network.modulated((1 - t) * noise + t * y, [modulation[rows, None] for modulation in self.table])
        return (v - (y - noise)).square().mean()

    def both(self, batch, rows, noise):
        latents = self.encoder(batch)
        reconstruction = (self.decoder(latents) - batch).square().mean()
        points = latents.view(self.shape).repeat(self.options.draws, 1).view(noise.shape)
        alignment = self.alignment(points, rows, noise)
        return reconstruction + self.options.weight * alignment, reconstruction, alignment

    def draws(self, count):
        shares = (torch.randperm(TIMES) + torch.rand(TIMES)) / TIMES
        points = count * self.options.tokens * self.options.draws
        return (shares * GRID).long(), torch.randn(TIMES, points // TIMES, self.options.width)

    def step(self, batch, number):
        for group in self.optimiser.param_groups:
            group["lr"] = 1e-3 * share_of_rate(number, self.options.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss, *terms = self.loss(batch, *self.draws(len(batch)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimiser.step()
        kept = min(0.999, (2 + number) / (11 + number))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - kept)
        return [term.detach() for term in terms]

    @torch.no_grad()
    def averaged(self, compute):
        trained = [p.detach().clone() for p in self.parameters]
        torch._foreach_copy_(self.parameters, self.average)
        result = compute()
        torch._foreach_copy_(self.parameters, trained)
        return result

    def errors(self, images):
        latents = self.encoder(images)
        usable = len(images) * self.options.tokens * self.options.draws // TIMES * TIMES
        points = latents.view(self.shape).repeat(self.options.draws, 1)[:usable].view(TIMES, -1, self.options.width)
        rows = torch.arange(TIMES) * (GRID // TIMES)
        alignment = self.alignment(points, rows, torch.randn_like(points))
        return (self.decoder(latents) - images).square().mean().item(), alignment.item()


def batches(images, size):
    order = torch.randperm(len(images))
    while True:
        while len(order) < size:
            order = torch.cat([order, torch.randperm(len(images))])
        yield images[order[:size]]
        order = order[size:]


def two_samples(latents, features, tokens):
    """Energy, kernel and neighbour tests of equally many points, rows of data permuted whole."""
    points = torch.cat([latents, features]).double()
    n, total = len(latents), len(points)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    median = distances[~torch.eye(total, dtype=torch.bool)].median()
    kernel = torch.exp(-0.5 * (distances / median).square())
    nearest = (distances + torch.diag(torch.full((total,), math.inf))).argmin(1)
    groups = total // tokens
    labels = torch.zeros(PERMUTATIONS + 1, groups, dtype=torch.float64)
    labels[0, : n // tokens] = 1
    for row in labels[1:]:
        row[torch.randperm(groups)[: n // tokens]] = 1
    first = labels.repeat_interleave(tokens, 1)
    statistics = []
    for matrix, sign in (distances, 1), (kernel, -1):
        within = ((first @ matrix) * first).sum(1)
        between = (first @ matrix).sum(1) - within
        beyond = matrix.sum() - within - 2 * between
        statistics.append(sign * (2 * between - within - beyond) / n**2)
    statistics.append((first == first[:, nearest]).double().mean(1))
    p_values = [((s[1:] >= s[0]).sum() + 1).item() / (PERMUTATIONS + 1) for s in statistics]
    return statistics[0][0].item(), p_values


def coverage(latents, features):
    """The share of features with a latent within reach of their fifth neighbour."""
    reach = torch.cdist(features, features).kthvalue(6, 1).values
    return (torch.cdist(features, latents).amin(1) <= reach).double().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("flow", type=Path)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--maximum", type=float, required=True)
    parser.add_argument("--held-out", type=float, required=True, help="share, of the test part too")
    parser.add_argument("--layers", type=int, nargs="+", required=True)
    parser.add_argument("--convolutional", action="store_true")
    for name in ("tokens", "width", "draws", "steps", "batch", "every", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--weight", type=float, required=True)
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    options.out.mkdir(parents=True)
    with h5py.File(options.data) as file:
        images = torch.from_numpy(file["images"][...]).float() / options.maximum
    images = images.view(len(images), 1, *images.shape[-2:])
    assert images.isfinite().all()
    if options.convolutional:
        images = images.to(memory_format=torch.channels_last)
    order = torch.randperm(len(images))
    share = int(options.held_out * len(images))
    held_out, rest = images[order[:share]], images[order[2 * share :]]
    training = Training(options, images, flow_in(options.flow))
    with open(options.out / "metrics.csv", "w") as file:
        curve, sums, drawn, start = csv.writer(file), 0, batches(rest, options.batch), time.perf_counter()
        for number in range(options.steps):
            sums = sums + torch.stack(training.step(next(drawn), number))
            at = number + 1
            if at % LOG_EVERY == 0:
                curve.writerow([at, *(sums / LOG_EVERY).tolist()])
                sums = 0
            if at % options.every == 0:
                curve.writerow([at, *training.averaged(lambda: training.errors(held_out[:512]))])
        seconds = time.perf_counter() - start
    with torch.no_grad():
        torch._foreach_copy_(training.parameters, training.average)
        save_file({str(i): p.detach().contiguous() for i, p in enumerate(training.parameters)}, options.out / "model.safetensors")
        latents = torch.cat([training.encoder(chunk) for chunk in images.split(512)])
        found = training.errors(held_out)
        kept = training.encoder(held_out)
        reconstructions = training.decoder(kept[:64])
    with h5py.File(options.out / "outputs.h5", "w") as file:
        file["latents"] = latents.view(len(images), options.tokens, options.width).numpy()
        file["originals"], file["reconstructions"] = held_out[:64].numpy(), reconstructions.numpy()
    with h5py.File(options.flow / "held_out.h5") as file:
        features = torch.from_numpy(file["points"][...])
    points = kept.view(-1, options.width)
    tested = min(TESTED, len(points), len(features)) // options.tokens * options.tokens
    energy, p_values = two_samples(points[:tested], features[:tested], options.tokens)
    compared = min(COMPARED, len(points), len(features))
    covered = coverage(points[:compared], features[:compared])
    variances = torch.linalg.eigvalsh(torch.cov(points.double().T)).tolist()
    summary = dict(seconds=seconds, error=found[0], alignment=found[1], energy=energy, p=p_values, coverage=covered)
    (options.out / "summary.json").write_text(json.dumps({**summary, "variances": variances}))
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
