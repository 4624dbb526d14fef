"""Wrong files and arguments, each with its message.

    python refusals.py RUN CONDITIONAL_RUN FOLDER
"""

import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from latent_align import Autoencoder, Flow, InputError, NumericalError, open_run

run, conditional, folder = map(Path, sys.argv[1:])


def refused(parts, function, *arguments, **named):
    """`function` refuses its arguments with a message that contains all `parts`."""
    try:
        function(*arguments, **named)
    except InputError as error:
        lacking = [part for part in parts if part not in str(error)]
        assert not lacking, f"{lacking} missing from: {error}"
    else:
        raise AssertionError(f"not refused: {parts}")


def copy(name, stage, file, change=lambda header, tensors: None):
    """A copy of the run whose `file` of `stage` has another header or other tensors."""
    path = folder / name
    shutil.copytree(run, path)
    with safe_open(path / stage / file, "pt") as opened:
        header = json.loads(opened.metadata()["latent_align"])
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}
    change(header, tensors)
    save_file(tensors, path / stage / file, {"latent_align": json.dumps(header)})
    return path


def of_flow(name, change):
    return copy(name, "pretrain-flow", "flow.safetensors", change)


def of_autoencoder(name, change):
    return copy(name, "train-autoencoder", "autoencoder.safetensors", change)


# files
for name, change, parts in [
    ("kind", lambda h, t: h.update(kind="diffusion"), ["flow.safetensors", "'diffusion'", "it knows coupling", "Install"]),
    ("format", lambda h, t: h.update(format="latent-align flow 9"), ["latent-align flow 9", "expected \"latent-align flow 1\""]),
    ("lacking", lambda h, t: t.pop("input.bias"), ["no tensor `input.bias`"]),
    ("shape", lambda h, t: t.update({"input.bias": torch.zeros(3)}), ["`input.bias` of shape [3], not [16]"]),
    ("unknown", lambda h, t: t.update(other=torch.zeros(3)), ["`other`, which this model does not have"]),
    ("size", lambda h, t: h["network"].update(width=0), ["width: 0", "expected 1 to 16384"]),
    ("tokens", lambda h, t: h.update(tokens=2), ["of shape [16, 3], not [16, 6]"]),
    ("condition", lambda h, t: h.update(condition={"kind": "smell"}), ["conditions of kind 'smell'"]),
]:
    refused(parts, open_run, of_flow(name, change))
for name, change, parts in [
    ("architecture", lambda h, t: h.update(architecture={"kind": "transformer"}), ["'transformer'", "it knows dense"]),
    ("posterior", lambda h, t: h.update(posterior={"kind": "flow"}), ["posterior is 'flow'"]),
    ("steps", lambda h, t: h.update(posterior={"kind": "householder", "steps": 0}), ["posterior.steps: 0", "1 to 256"]),
    ("widths", lambda h, t: h.update(posterior={"kind": "iaf", "steps": 2, "widths": []}), ["posterior.widths: []"]),
    ("gated", lambda h, t: h["architecture"].update(gated="yes"), ["architecture.gated: 'yes'"]),
    ("head", lambda h, t: h.update(posterior={"kind": "linear_iaf", "matrices": 1}), ["of shape [6, 8], not [9, 8]"]),
    ("latent", lambda h, t: h["latent"].update(width=-1), ["latent.width: -1"]),
]:
    refused([*parts, "autoencoder.safetensors"], open_run, of_autoencoder(name, change))
cut = copy("cut", "pretrain-flow", "flow.safetensors") / "pretrain-flow" / "flow.safetensors"
cut.write_bytes(cut.read_bytes()[:-100])
refused(["flow.safetensors", "no file of weights that reads"], Flow.load, cut.parent)
normalisation = cut.parent / "normalisation.safetensors"
save_file({"mean": torch.zeros(2)}, normalisation)
shutil.copy(run / "pretrain-flow" / "flow.safetensors", cut)
refused(["normalisation.safetensors", "`mean` [D] and `matrix` [D, d] in f64"], Flow.load, cut.parent)
refused(["no such file or folder", "artifacts/runs/NAME"], open_run, folder / "nothing")
refused(["found no autoencoder.safetensors"], Autoencoder.load, run / "pretrain-flow")
shutil.rmtree(folder / "latent" / "pretrain-flow")
refused(["found estimate-nll, train-autoencoder", "folder `pretrain-flow`"], open_run, folder / "latent")
shutil.rmtree(folder / "unknown" / "train-autoencoder")
shutil.copytree(run / "pretrain-flow", folder / "unknown" / "pretrain-flow", dirs_exist_ok=True)
assert open_run(folder / "unknown").autoencoder is None

# models of sequences
sequences = folder / "sequences" / "pretrain-flow"
sequences.mkdir(parents=True)
(sequences / "sequence_vae.safetensors").touch()
refused(["found sequence_vae.safetensors", "kind seqflow or gumbel_max"], open_run, sequences.parent)
alphabet = {"tokeniser": {"kind": "characters"}, "tokens": ["a"], "longest": 2}
embedding = {"width": 2, "noise": 1.0}
context = {"kind": "lstm", "width": 2, "layers": 1}
flow_of = {"blocks": 1, "couplings": 1, "hidden": 2, "context": context, "embedding": embedding}
for file, format, config, of, parts in [
    ("gumbel_max", "gumbel-max 1", {"embedding": 2, "width": 0, "layers": 1}, alphabet, ["width: 0", "1 to 16384"]),
    ("gumbel_max", "gumbel-max 1", None, alphabet, ["config: None"]),
    ("gumbel_max", "gumbel-max 1", {"embedding": 2, "width": 2, "layers": 1}, alphabet, ["no tensor `table`"]),
    ("seqflow", "seqflow 1", flow_of, alphabet, ["latent-align seqflow 1", 'expected "latent-align seqflow 2"']),
    ("seqflow", "seqflow 2", flow_of, {}, ["no alphabet"]),
    ("seqflow", "seqflow 2", {**flow_of, "embedding": {"width": 2}}, alphabet, ["noise: None"]),
    ("seqflow", "seqflow 2", {**flow_of, "embedding": 2}, alphabet, ["embedding: 2"]),
    ("seqflow", "seqflow 2", flow_of, alphabet, ["no tensor `network.blocks.0", "`embedding.table`"]),
]:
    header = {"format": f"latent-align {format}", "config": config, "alphabet": of}
    save_file({"x": torch.zeros(1)}, sequences / f"{file}.safetensors", {"latent_align": json.dumps(header)})
    refused([*parts, f"{file}.safetensors"], open_run, sequences.parent)

# a transport, which is not applied
transported = folder / "transported"
shutil.copytree(run, transported)
(transported / "transport").mkdir()
for path, expected in [(run, 0), (transported, 1)]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_run(path)
    told = [str(warning.message) for warning in caught if "this package does not apply" in str(warning.message)]
    assert len(told) == expected, told

# arguments
opened = open_run(run)
flow, autoencoder = opened.flow, opened.autoencoder
points = torch.zeros(4, 3)
refused(["points [4, 2]", "expected [..., 3]"], flow.nll, torch.zeros(4, 2))
refused(["latents [3, 4]", "[..., 3]"], flow.alignment_loss, torch.zeros(3, 4))
refused(['weighting "paper"', '"uniform" or "likelihood"'], flow.alignment_loss, points, "paper")
refused(["truncation 0.5"], flow.alignment_loss, points, "likelihood", truncation=0.5)
refused(["0 draws"], flow.alignment_loss, points, draws=0)
refused(["times [3]", "points [4, 3]"], flow.velocity, points, torch.zeros(3))
refused(["tolerance 1e-09", "dtype=torch.float64"], flow.nll, points, tolerance=1e-9)
refused(['divergence "fast"', '"hutchinson"'], flow.nll, points, divergence="fast")
refused(["1 probes", "2 or more"], flow.nll, points, divergence="hutchinson", probes=1)
refused(["found a condition", "without"], flow.nll, points, torch.zeros(4, dtype=torch.int64))
refused(["guidance 2.0", "a condition for the guidance"], flow.from_noise, points, guidance=2.0)
refused(["steps 0", "1 or more"], flow.sample, 4, steps=0)
refused(["features [4, 2]", "[..., 3]"], flow.normalise, torch.zeros(4, 2))
refused(["data [2, 5]", "expected [B, 4, 1, 1] or [B, 4]"], autoencoder.encode, torch.zeros(2, 5))
refused(["torch.uint8", "divide it by `maximum`"], autoencoder.encode, torch.zeros(2, 4, dtype=torch.uint8))
refused(["latents [2, 3]", "expected [B, 1, 3]"], autoencoder.decode, torch.zeros(2, 3))
try:
    flow.nll(torch.full((4, 3), float("nan")))
    raise AssertionError("an NLL of NaN")
except NumericalError as error:
    assert "finite" in str(error), error

coupling = Flow.load(conditional)
rows = torch.zeros(4, 2, 2)
refused(["kind coupling has no velocity", "`nll` is differentiable"], coupling.velocity, rows, 0.5)
refused(["kind coupling has no velocity"], coupling.alignment_loss, rows)
refused(["points [4, 4]", "[..., 2, 2]"], coupling.nll, torch.zeros(4, 4))
refused(["labels 0 to 9", "labels [4], 0 to 3"], coupling.nll, rows, torch.tensor([0, 1, 2, 9]))
refused(["labels [4], 0 to 3"], coupling.nll, rows, torch.zeros(4))
refused(["steps 3", "coupling is in closed form"], coupling.from_noise, rows, steps=3)
refused(["guidance 2.0", "coupling has no guidance"], coupling.from_noise, rows, torch.tensor([0, 1, 2, 3]), guidance=2.0)
tracked = rows.requires_grad_()
coupling.nll(tracked, torch.tensor([0, 1, 2, 3])).values.sum().backward()
assert torch.isfinite(tracked.grad).all() and tracked.grad.abs().sum() > 0
print("refused")
