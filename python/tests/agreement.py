"""Compares the package with the program that wrote the files; run by the program's own tests.

    python agreement.py CHECK RUN GIVEN.h5

`GIVEN.h5` holds the program's results and random draws. Prints the largest relative difference of each
comparison as JSON.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import torch

import latent_align
from latent_align import Autoencoder, Draws, Flow, TokenNoise
from latent_align.streams import Pcg64

WIDE = torch.float64


def difference(found, expected):
    """The largest difference, relative to the largest number expected."""
    found, expected = found.detach().to(WIDE), expected.to(WIDE)
    assert found.shape == expected.shape and expected.numel() > 0, (found.shape, expected.shape)
    return float((found - expected).abs().max() / expected.abs().max())


def of_each(found, expected):
    """The largest difference, each relative to its own number or to 1."""
    found, expected = found.detach().to(WIDE), expected.to(WIDE)
    assert found.shape == expected.shape and expected.numel() > 0, (found.shape, expected.shape)
    return float(((found - expected).abs() / expected.abs().clamp(min=1)).max())


def tensors(file):
    with h5py.File(file) as opened:
        return {name: torch.from_numpy(opened[name][...]) for name in opened}


def as_points(flow, rows):
    """Rows [n, T d] as points of the flow."""
    return rows.to(WIDE).reshape(len(rows), *([flow.tokens] if flow.tokens > 1 else []), flow.width)


def loss_and_gradient(flow, given, weighting):
    latents = as_points(flow, given["latents"]).requires_grad_()
    draws = Draws(given["shares"], given["noise"].to(WIDE))
    loss = flow.alignment_loss(latents, weighting, draws)
    loss.backward()
    assert all(weight.grad is None for weight in flow.parameters())
    return loss, latents.grad.flatten(1)


def velocities(flow, given):
    """Losses under each weighting and their gradients, and the velocity itself."""
    found = {}
    for weighting in "uniform", "likelihood":
        loss, gradient = loss_and_gradient(flow, given, weighting)
        found[f"{weighting} loss"] = of_each(loss, given[f"{weighting}_loss"][0])
        found[f"{weighting} gradient"] = difference(gradient, given[f"{weighting}_gradient"])
    x, v = (as_points(flow, given[name]) for name in ("latents", "velocity"))
    t = given["times"].to(WIDE)
    found["velocity, a time a point"] = difference(flow.velocity(x, t), v)
    grouped = flow(x.reshape(2, -1, *x.shape[1:]), t[[0, -1]])
    found["velocity, a time a group"] = difference(grouped[[0, 1], [0, -1]], v[[0, -1]])
    found["velocity, one time"] = difference(flow.velocity(x, float(t[1]))[1], v[1])
    return found


def samples(flow, run, given):
    """The samples of the run, from the same noise."""
    drawn = tensors(run / "pretrain-flow" / "samples.h5")
    points, guidance = drawn["points"], float(given["guidance"]) if "guidance" in given else 1.0
    noise = given["sample_noise"].reshape(points.shape).to(WIDE)
    found = {
        "samples": difference(flow.from_noise(noise, drawn.get("labels"), guidance=guidance), points),
        "denormalise": difference(flow.denormalise(points.to(WIDE)), drawn["features"]),
    }
    assert flow.sample(3).shape == (3, *points.shape[1:])
    return found


def round_trip(flow, points, nll, condition=None):
    """To noise and back, and the NLL from the noise."""
    noise, log_det = flow.to_noise(points, condition, tolerance=1e-7)
    back = flow.from_noise(noise, condition, tolerance=1e-9)
    rows = noise.reshape(len(noise), -1)
    of_noise = 0.5 * rows.square().sum(1) + 0.5 * rows.shape[1] * torch.tensor(2 * torch.pi).log()
    return {"back from noise": difference(back, points), "NLL of noise": of_each(of_noise - log_det, nll)}


def check_flow(run, given):
    """A flow with its velocity network, and a dense autoencoder with a Gaussian posterior."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    opened = latent_align.open_run(run, dtype=WIDE)
    assert torch.equal(before, torch.get_rng_state()), "opening a run takes random numbers"
    flow, autoencoder = opened.flow, opened.autoencoder
    assert (flow.kind, flow.tokens, flow.width) == ("flow_matching", 1, 3)
    assert not any(weight.requires_grad for weight in opened.flow.parameters())
    kept = tensors(run / "pretrain-flow" / "test.h5")
    features = given["features"][kept["items"]]
    assert difference(flow.denormalise(flow.normalise(features)), features) < 1e-6
    found = {"normalise": difference(flow.normalise(features), kept["points"])}
    found |= samples(flow, run, given) | velocities(flow, given)

    points = given["nll_points"]
    exact = flow.nll(points, tolerance=1e-7)
    assert exact.kind == "ode" and bool(exact.settled.all())
    found["NLL"] = of_each(exact.values, given["nll"])
    estimated = flow.nll(points, tolerance=1e-7, divergence="hutchinson", probes=given["probes"])
    found["Hutchinson's NLL"] = of_each(estimated.values, given["hutchinson_nll"])
    found["its error"] = of_each(estimated.errors, given["hutchinson_error"])
    tracked = given["gradient_points"].clone().requires_grad_()
    flow.nll(tracked, tolerance=1e-3).values.sum().backward()
    found["gradient of the NLL"] = difference(tracked.grad, given["nll_gradient"])
    found |= round_trip(flow, points[:20], exact.values[:20])
    return found | encoded(autoencoder, run, given)


def encoded(autoencoder, run, given):
    """Means, draws and reconstructions of the test rows."""
    latents, kept = tensors(run / "train-autoencoder" / "latents.h5"), tensors(run / "train-autoencoder" / "reconstructions.h5")
    data = given["data"][latents["test_items"]].to(WIDE) / autoencoder.maximum
    encoding = autoencoder.encode(data)
    drawn = latents["test_latents"]
    noise = given["latent_noise"].reshape(drawn.shape).to(WIDE)
    return {
        "means": difference(encoding.mean, latents.get("test_means", drawn)),
        "draws": difference(encoding.draw(noise=noise), drawn),
        "scaled data": difference(data.reshape(len(data), -1)[:64], kept["originals"].flatten(1)),
        "reconstructions": difference(autoencoder(data)[:64], kept["reconstructions"]),
    }


def check_prior(run, given):
    """Another kind of prior: NLLs with and without conditions, samples, the map to noise and back."""
    flow = Flow.load(run, dtype=WIDE)
    kept = tensors(run / "pretrain-flow" / "test.h5")
    points, labels = kept["points"].to(WIDE), kept.get("labels")
    if flow.tokens > 1:
        points = points.reshape(-1, flow.tokens, flow.width)
    nll = flow.nll(points, labels)
    assert nll.kind == "exact"
    boxed = given["box_points"].reshape(-1, *points.shape[1:])
    found = {"NLL": of_each(nll.values, given["nll"]), "NLL in a box": of_each(flow.nll(boxed).values, given["box_nll"])}
    found |= samples(flow, run, given)
    found |= round_trip(flow, points[:20], nll.values[:20], None if labels is None else labels[:20])
    if "velocity" in given:
        found |= velocities(flow, given)
    return found


def check_pixels(run, given):
    """A flow of dequantised images: bits of its test points, and integer levels of samples."""
    flow = Flow.load(run, dtype=WIDE)
    kept, drawn = (tensors(run / "pretrain-flow" / name) for name in ("test.h5", "samples.h5"))
    points = kept["points"].to(WIDE).reshape(-1, flow.tokens, flow.width)
    bits = flow.bits_a_dimension(flow.nll(points).values)
    levels = given["features"].to(WIDE)[kept["items"][:: flow.tokens]]
    assert torch.equal(flow.denormalise(points).floor(), levels)
    noisy = flow.denormalise(flow.noisy_points(levels, torch.Generator().manual_seed(1)))
    u = noisy - levels
    assert abs(u.mean() - 0.5) < 0.02 and abs(u.var() - 1 / 12) < 0.01 and 0 <= u.min() and u.max() < 1
    whole = flow.denormalise(drawn["points"].to(WIDE)).floor().clamp(0, 16)
    share = (whole == drawn["features"]).to(WIDE).mean()
    return {"bits": of_each(bits.mean(), given["bits"][0]), "share of other levels": float(1 - share) / 1000}


def check_layout(run, given):
    """Features split into tokens and joined again, and their NLL."""
    flow = Flow.load(run, dtype=WIDE)
    kept, drawn = (tensors(run / "pretrain-flow" / name) for name in ("test.h5", "samples.h5"))
    items = kept["items"][:: flow.tokens]
    features = given["features"].to(WIDE)[items]
    points = as_points(flow, kept["points"].reshape(len(items), -1))
    back = flow.denormalise(drawn["points"].to(WIDE))
    found = {"points": difference(flow.normalise(features), points), "features": difference(back, drawn["features"])}
    nll = flow.nll(flow.normalise(features)).values - flow.log_abs_det()
    return found | {"NLL of features": of_each(nll.mean(), given["nll"][0])}


def check_conditional(run, given):
    """Conditional flow matching, and `sample` with guidance and a number of steps."""
    flow = Flow.load(run, dtype=WIDE)
    points, labels, times, velocity = (given[name] for name in ("points", "labels", "times", "velocity"))
    nll = flow.nll(points, labels, tolerance=1e-7)
    steps = tensors(run.parents[2] / "sampled.h5")["points"]
    noise = given["noise_of_samples"].to(WIDE)
    found = {
        "velocity, a time a point": difference(flow.velocity(points, times, labels), velocity),
        "velocity, one time": difference(flow.velocity(points, float(times[1]), labels)[1], velocity[1]),
        "NLL": of_each(nll.values, given["nll"]),
        "NLL under none": of_each(flow.nll(points, tolerance=1e-7).values, given["nll_under_none"]),
        "samples in steps": difference(flow.from_noise(noise, labels, guidance=2.0, steps=9), steps),
    }
    assert difference(flow.from_noise(noise, labels, guidance=2.0, steps=1), steps) > 1e-3
    assert flow.sample(3, labels[:3], guidance=2.0, steps=2).shape == (3, 3)
    return found | samples(flow, run, given) | round_trip(flow, points, nll.values, labels)


def check_posterior(run, given):
    """`encode` of new rows, the density of its draws, and the stored results of training."""
    autoencoder = Autoencoder.load(run, dtype=WIDE)
    encoding = autoencoder.encode(given["data"].to(WIDE) / autoencoder.maximum)
    written = tensors(run.parents[2] / f"{run.name}-encoded.h5")
    drawn = encoding.draw(noise=given["encode_noise"])
    found = {"draws of encode": difference(drawn, written["latents"])}
    if "means" in written:
        found["means of encode"] = difference(encoding.mean, written["means"])
        found["log density"] = of_each(encoding.log_density(drawn), given["log_density"])
    return found | encoded(autoencoder, run, given)


def noise_of_score(flow, tokens):
    """The noise that `score` draws around `tokens` [n, T], in order."""
    rng = Pcg64("noise of scored tokens", 0, "score")
    embedded = flow.embeddings[tokens]
    values, draws = torch.zeros_like(embedded), torch.zeros_like(tokens)
    for place in np.ndindex(*tokens.shape):
        while draws[place] == 0 or flow.nearest(embedded[place] + values[place]) != tokens[place]:
            values[place] = flow.noise * torch.tensor([rng.normal() for _ in range(flow.width)], dtype=WIDE)
            draws[place] += 1
    return TokenNoise(values, draws)


def texts_and_back(model, folder):
    """The texts that the program encoded, and the differences of its latents from the package's; both decode to the
    texts, and invalid texts are refused."""
    lines = (folder / "lines.txt").read_text().splitlines()
    written = tensors(folder / "encoded.h5")["latents"]
    ours = model.encode(lines)
    assert model.texts(model.tokenise(lines)) == lines
    assert model.decode(written.to(WIDE)) == lines and model.decode(ours) == lines
    # with other noise than that of `encode`
    drawn = torch.randn(60, *ours.shape[1:], generator=torch.Generator().manual_seed(1), dtype=WIDE)
    assert len(set(model.decode(drawn))) > 10
    for wrong, told in [("ax", "found the token 'x'"), (8 * "b", "found 8 tokens"), ("", "found 0 tokens")]:
        try:
            model.encode([wrong])
            raise AssertionError(f"not refused: {wrong}")
        except latent_align.InputError as error:
            assert told in str(error), error
    for wrong, told in [(ours[0], "expected [n, 7, "), (ours / 0, "not finite")]:
        try:
            model.decode(wrong)
            raise AssertionError(f"not refused: {told}")
        except latent_align.InputError as error:
            assert told in str(error), error
    return lines, {"latents": difference(ours, written)}


def check_sequences(run, given):
    """A flow over sequences: latents of `encode`, decoding, and the bounds of `score`."""
    opened = latent_align.open_run(run, dtype=WIDE)
    try:
        opened.flow
        raise AssertionError("a density over points")
    except latent_align.InputError as error:
        assert "use `.sequences`" in str(error), error
    flow = opened.sequences
    lines, found = texts_and_back(flow, run.parents[2])
    tokens = flow.tokenise(lines)
    noise = noise_of_score(flow, tokens)
    scored = flow.score(lines, noise)
    drawn = flow.score(lines, generator=torch.Generator().manual_seed(1))
    assert abs(drawn.values.mean() / scored.values.mean() - 1) < 0.2 and not torch.equal(drawn.nll, scored.nll)
    # a draw that decodes to another token is drawn again
    embedded = flow.embeddings[tokens]
    assert torch.equal(flow.nearest(embedded + flow.dequantise(tokens).values), tokens)
    points = embedded + noise.values
    latents, _ = flow.network.carried(points, embedded)
    back = flow.points(latents)
    return found | {"bound": of_each(scored.values, given["bound"]), "points from latents": difference(back, points)}


def check_races(run, given):
    """Sequences of kind `gumbel_max`: latents of `encode`, decoding, and exact NLLs."""
    model = latent_align.open_run(run, dtype=WIDE).sequences
    lines, found = texts_and_back(model, run.parents[2])
    scored = model.score(lines)
    assert scored.kind == "exact"
    # a text of one token is that token, then the end
    a = model.tokenise(["a"])
    p = model.log_probabilities(a)[0].exp()
    assert torch.allclose(p.sum(1), torch.ones(7, dtype=WIDE))
    assert torch.allclose(model.score(["a"]).values[0], -(p[0, a[0, 0]] * p[1, 0]).log())
    return found | {"NLL": of_each(scored.values, given["bound"])}


def check_autoencoder(run, given):
    return encoded(Autoencoder.load(run, dtype=WIDE), run, given)


if __name__ == "__main__":
    check, run, given = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(globals()[f"check_{check}"](Path(run), tensors(given))))
