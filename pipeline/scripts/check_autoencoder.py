"""Compares plain autoencoders of the digits with the same training in PyTorch.

    make check-autoencoder

`latent-align sweep configs/sweeps/plain-autoencoder.yaml` trains ours; PyTorch trains on the same rows with the same
layers, AdamW, warm-up, cosine, clipping and averaged weights, from its own initialisation and in its own order of
rows. Prints the held-out mean squared error of each seed, and exits with 1 unless ours with `initial_biases: uniform`
has PyTorch's mean within the spread over seeds.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).parents[2]
SWEEP = "plain-autoencoder"
SEEDS, WIDTHS, LATENTS, MAXIMUM = 5, [256, 256], 32, 16.0
STEPS, BATCH, RATE, FLOOR, WARM_UP, CLIP, AVERAGE = 1500, 128, 1e-3, 0.01, 100, 1.0, 0.999


def layers(sizes, zero):
    found = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        found += [nn.Linear(inputs, outputs), nn.SiLU()]
        if zero:
            nn.init.zeros_(found[-2].bias)
    return found[:-1]


def learning_rate(step):
    if step < WARM_UP:
        return RATE * (step + 1) / WARM_UP
    progress = (step - WARM_UP) / (STEPS - WARM_UP - 1)
    return RATE * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)))


def batches(count, generator):
    """Epochs one after the other, each row once in each."""
    order = torch.empty(0, dtype=torch.long)
    while True:
        if len(order) < BATCH:
            order = torch.cat([order, torch.randperm(count, generator=generator)])
        yield order[:BATCH]
        order = order[BATCH:]


def peer(train, held_out, seed, zero):
    """The held-out error of PyTorch's autoencoder; biases start at `zero`, or at its default."""
    torch.manual_seed(seed)
    width = train.shape[1]
    inward, outward = [width, *WIDTHS, LATENTS], [LATENTS, *WIDTHS[::-1], width]
    net = nn.Sequential(*layers(inward, zero), *layers(outward, zero))
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.0)
    averages = [weights.detach().clone() for weights in net.parameters()]
    rows = batches(len(train), torch.Generator().manual_seed(seed))
    for step in range(STEPS):
        batch = train[next(rows)]
        optimiser.param_groups[0]["lr"] = learning_rate(step)
        optimiser.zero_grad()
        (net(batch) - batch).square().mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimiser.step()
        decay = min(AVERAGE, (2 + step) / (11 + step))
        with torch.no_grad():
            for average, weights in zip(averages, net.parameters()):
                average.lerp_(weights, 1 - decay)
    with torch.no_grad():
        for average, weights in zip(averages, net.parameters()):
            weights.copy_(average)
        return (net(held_out) - held_out).square().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("binary", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)  # small products: more threads only wait for each other
    with h5py.File(ROOT / "configs/data/digits.h5") as file:
        images = torch.tensor(file["images"][...].reshape(len(file["images"]), -1).astype(np.float32) / MAXIMUM)
    found = {name: [] for name in ["ours, zero", "ours, uniform", "PyTorch, zero", "PyTorch, its own"]}
    with tempfile.TemporaryDirectory() as folder:
        command = [options.binary.resolve(), "sweep", ROOT / f"configs/sweeps/{SWEEP}.yaml"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for seed in range(SEEDS):
            for name in ["zero", "uniform"]:
                made = Path(folder) / f"artifacts/runs/{SWEEP}.{name}.seed{seed}/train-autoencoder"
                figures = json.loads((made / "manifest.json").read_text())["figures"]
                found[f"ours, {name}"].append(figures["held-out mean squared error"])
            with h5py.File(made / "latents.h5") as file:
                train, held_out = (images[file[f"{part}_items"][...]] for part in ["train", "held_out"])
            found["PyTorch, zero"].append(peer(train, held_out, seed, zero=True))
            found["PyTorch, its own"].append(peer(train, held_out, seed, zero=False))
    print(f"held-out mean squared error, the same rows, seeds 0 to {SEEDS - 1}")
    for name, errors in found.items():
        each = ", ".join(f"{error:.5f}" for error in errors)
        print(f"  {name:17} {statistics.mean(errors):.5f} +- {statistics.stdev(errors):.5f}   {each}")
    ours, theirs = found["ours, uniform"], found["PyTorch, its own"]
    apart = [a - b for a, b in zip(ours, theirs)]
    mean, error = statistics.mean(apart), statistics.stdev(apart) / math.sqrt(len(apart))
    print(f"  ours, uniform, minus PyTorch's own: {mean:+.5f} +- {error:.5f} (standard error)")
    spread = max(statistics.stdev(ours), statistics.stdev(theirs))
    if abs(mean) > spread:
        sys.exit(f"the means are further apart than the spread over seeds, {spread:.5f}")


if __name__ == "__main__":
    main()
