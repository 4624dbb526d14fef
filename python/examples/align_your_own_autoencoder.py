"""Trains a small autoencoder of your own twice, without and with the alignment loss of a flow that the pipeline
pretrained, and shows that the NLL of its latents falls.

    make run CONFIG=configs/digits.yaml ARGS="--until pretrain-flow"
    python python/examples/align_your_own_autoencoder.py artifacts/runs/digits configs/data/digits.h5

The defaults are the recipe of configs/digits.yaml: 8 x 8 images, latents of two tokens of the flow's width, and every
bias zero at the start. PyTorch's own start of biases gives other latents: it is `--biases pytorch`.
"""

import argparse
import copy
import math
import time

import h5py
import torch
from torch import nn

import latent_align


def layers(*sizes):
    """Linear layers with SiLU between them."""
    stack = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*stack[:-1])


class Autoencoder(nn.Module):
    """Your model: images [B, ...] to latents [B, T, d] and back."""

    def __init__(self, elements, tokens, width, hidden=256, biases="zero"):
        super().__init__()
        self.shape = (tokens, width)
        self.encoder = layers(elements, hidden, hidden, tokens * width)
        self.decoder = layers(tokens * width, hidden, hidden, elements)
        if biases == "zero":
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    nn.init.zeros_(parameter)

    def encode(self, images):
        return self.encoder(images.flatten(1)).reshape(-1, *self.shape)

    def decode(self, latents):
        return self.decoder(latents.flatten(1))


def learning_rate(step, steps):
    """The share of the largest learning rate: linear warm-up, then a cosine down to 1 %."""
    warmup = min(100, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    progress = min((step - warmup) / max(steps - warmup - 1, 1), 1.0)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def moving_average(mean, weight, count):
    """A moving average whose time constant grows with the number of steps."""
    kept = min(0.999, (1 + int(count)) / (10 + int(count)))
    return mean + (weight - mean) * (1 - kept)


def batches(images, size):
    """Endless batches [size, ...]: every epoch has every image once, in a new order."""
    rest = images[:0]
    while True:
        while len(rest) < size:
            rest = torch.cat([rest, images[torch.randperm(len(images)).to(images.device)]])
        yield rest[:size]
        rest = rest[size:]


def train(model, flow, images, weight, options):
    """Trains `model` and returns the average of its weights, and the seconds of a step.

    AdamW with warm-up and cosine decay, clipped gradients, and a moving average of the weights, as the pipeline has it.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate(step, options.steps))
    average = torch.optim.swa_utils.AveragedModel(model, avg_fn=moving_average)
    torch.manual_seed(options.seed)  # the same batches with any weight
    drawn = batches(images, options.batch)
    started = time.perf_counter()
    for step in range(1, options.steps + 1):
        batch = next(drawn)
        latents = model.encode(batch)
        reconstruction = (model.decode(latents) - batch.flatten(1)).square().mean()
        loss, alignment = reconstruction, None
        if weight > 0:
            alignment = flow.alignment_loss(latents, weighting="uniform", draws=options.draws)
            loss = loss + weight * alignment
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        if step % max(options.steps // 5, 1) == 0:
            of_latents = "" if alignment is None else f", alignment loss {alignment.item():.4f}"
            print(f"  step {step}: reconstruction {reconstruction.item():.5f}{of_latents}", flush=True)
    return average.module, (time.perf_counter() - started) / options.steps


def measure(model, flow, images, at_most):
    """The mean square error, and the NLL [n, T] of the tokens of at most `at_most` rows in nats."""
    with torch.no_grad():
        latents = model.encode(images)
        error = float((model.decode(latents) - images.flatten(1)).square().mean())
        return error, flow.nll(latents[:at_most], tolerance=1e-2).values


def mean_and_error(values):
    """The mean of values [n, T], and its standard error over rows, whose tokens are dependent."""
    of_rows = values.mean(1)
    return f"{float(of_rows.mean()):.2f} ± {float(of_rows.std() / len(of_rows) ** 0.5):.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", help="a run with a flow, such as artifacts/runs/digits")
    parser.add_argument("data", help="an HDF5 file of images [N, ...]")
    parser.add_argument("--dataset", default="images")
    parser.add_argument("--maximum", type=float, default=16.0, help="what values are divided by")
    parser.add_argument("--tokens", type=int, default=2, help="tokens of a latent, each of the flow's width")
    parser.add_argument("--weight", type=float, default=5e-5, help="the factor on the alignment loss")
    parser.add_argument("--draws", type=int, default=4, help="(t, noise) draws a token and step")
    parser.add_argument("--biases", choices=["zero", "pytorch"], default="zero", help="where biases start")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--points", type=int, default=100, help="held-out rows whose latents' NLL is computed")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    flow = latent_align.Flow.load(options.run, device=options.device)
    with h5py.File(options.data) as file:
        images = torch.from_numpy(file[options.dataset][...]).float() / options.maximum
    images = images[torch.randperm(len(images))].to(options.device)
    # a tenth is the test part; another tenth is unused here, which the pipeline uses to monitor its training
    tenth = len(images) // 10
    held_out, _, images = images.split([tenth, tenth, len(images) - 2 * tenth])

    start = Autoencoder(images[0].numel(), options.tokens, flow.width, biases=options.biases).to(options.device)
    found = {}
    for name, weight in ("without", 0.0), ("with", options.weight):
        print(f"{name} the alignment loss (weight {weight:g})")
        model, seconds = train(copy.deepcopy(start), flow, images, weight, options)
        error, found[name] = measure(model, flow, held_out, options.points)
        print(f"  {1e3 * seconds:.1f} ms a step; held-out mean square error {error:.5f}")
        print(f"  NLL of held-out latents {mean_and_error(found[name])} nats a token")
    print(f"the NLL falls by {mean_and_error(found['without'] - found['with'])} nats a token")


if __name__ == "__main__":
    main()
