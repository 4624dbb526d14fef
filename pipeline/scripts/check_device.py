#!/usr/bin/env python3
"""Checks a device against this machine's processor, and times it: what a binary says it can do, done.

A small experiment of every stage runs on both, and losses and NLLs are held against each other. Then, where
the benchmark is at hand, training and alignment steps of the paper's size are timed beside careful PyTorch,
where that is installed. Needs no Rust, no network and no package of Python besides PyTorch's own. What does
not fit into the time is left out, and the table says so.

    pipeline/scripts/check_device.py --device cuda --binary latent-align --bench latent-align-bench --out table.md
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "configs" / "data"
OPTIMISER = {"warmup_steps": 20, "ema": 0.9}
NETWORK = {"width": 64, "blocks": 2}
DENSE = {"kind": "dense", "widths": [64]}
DIGITS = {"file": str(DATA / "digits.h5"), "dataset": "images", "maximum": 16}
# Every stage, as small as it still means something.
EXPERIMENT = {
    "name": "check",
    "pretrain_flow": {
        "features": {"file": str(DATA / "words.h5"), "dataset": "features"},
        "normalisation": {"whiten": "per_dimension", "projection": {"kind": "random", "width": 16}},
        "model": {"kind": "flow_matching", "network": NETWORK, "times": 32},
        "optimiser": OPTIMISER,
        "steps": 100,
        "batch": 128,
        "evaluation_points": 1024,
        "samples": 64,
        "nll_points": 64,
    },
    "train_autoencoder": {
        "data": DIGITS,
        "architecture": DENSE,
        "latent": {"tokens": 2, "width": 16},
        "reconstruction": "mse",
        "regulariser": {"kind": "alignment", "weight": 5.0e-5, "weighting": "uniform", "draws": 4},
        "optimiser": OPTIMISER,
        "steps": 100,
        "batch": 64,
    },
    "estimate_nll": {"points": 32, "box_points": 16, "gradient_points": 8, "check_points": 8},
    "train_classifier": {"data": DIGITS, "architecture": DENSE, "optimiser": OPTIMISER, "steps": 100, "batch": 64},
    "evaluate_latents": {
        "flow": {"network": NETWORK, "optimiser": OPTIMISER, "steps": 60, "batch": 128, "times": 32},
        "samples": 64,
    },
}
# Losses and NLLs, which a device must reproduce. Differences of figures are too noisy to judge by.
JUDGED = re.compile(
    r"(held-out|test) (flow-matching loss|reconstruction loss|mean squared error|cross-entropy \(nats\)|NLL \(nats\))$"
    r"|mean NLL, (ODE \(nats\)|likelihood-weighted bound)$|mean alignment loss \(uniform, sum\)$"
)
# Relative. Products of f32 matrices on an NVIDIA GPU are TF32, with 10 bits.
TOLERANCES = {"cuda": 1e-2}
TOLERANCE = 1e-3
PRECISIONS = ("f32", "bf16")


class Clock:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()


def toolkit(python, settings):
    """The variables by which the binary finds NVRTC and its headers: those of a CUDA toolkit, or of PyTorch's packages."""
    nvcc = shutil.which("nvcc")
    roots = [settings.get("CUDA_PATH"), nvcc and Path(nvcc).resolve().parents[1], "/usr/local/cuda", "/opt/cuda"]
    if python:
        packages = "import nvidia; print(*nvidia.__path__, sep='\\n')"
        told = subprocess.run([python, "-c", packages], capture_output=True, text=True).stdout
        roots += [root for packages in told.split("\n") if packages for root in sorted(Path(packages).iterdir())]
    roots = [Path(root) for root in roots if root]
    found = {}
    headers = [root for root in roots if (root / "include" / "cuda_fp16.h").is_file()]
    if headers:
        found["CUDA_PATH"] = str(headers[0])
    folders = [root / name for root in roots for name in ("lib64", "lib", "targets/x86_64-linux/lib")]
    libraries = [folder for folder in folders if any(folder.glob("libnvrtc.so*"))]
    if libraries:
        known = settings.get("LD_LIBRARY_PATH")
        found["LD_LIBRARY_PATH"] = ":".join([*([known] if known else []), str(libraries[0])])
    return found


class Check:
    def __init__(self, given):
        self.given, self.clock = given, Clock(given.seconds)
        self.lines, self.misses = [], []
        self.folder = Path(tempfile.mkdtemp(prefix="check-device-"))
        self.settings = self.environment()

    def say(self, line=""):
        print(line, flush=True)
        self.lines.append(line)

    def miss(self, what):
        self.misses.append(what)
        self.say(f"Miss: {what}")

    def environment(self):
        """What the commands find in their environment."""
        settings = {"XDG_RUNTIME_DIR": str(self.folder), **os.environ}
        if self.on_cuda():
            settings.update(toolkit(self.given.python or shutil.which("python3"), settings))
        return settings

    def call(self, command, least=0, settings=None):
        """Runs a command in what is left of the time, less `least`: whether it ended well, and what it wrote."""
        left = self.clock.left() - least
        if left <= 1:
            return False, "no time was left"
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=left, cwd=self.folder,
                                  env={**self.settings, **(settings or {})})
        except subprocess.TimeoutExpired:
            return False, f"not done in {left:.0f} s"
        except OSError as error:
            return False, str(error)
        if done.returncode:
            end = (done.stderr or done.stdout).strip().splitlines()
            return False, f"exit code {done.returncode}: " + " ".join(end[-5:])
        return True, done.stdout

    def devices(self):
        """Whether the device is there."""
        well, told = self.call([self.given.binary, "devices", "--format", "json"])
        if not well:
            self.miss(f"`devices`: {told}")
            return False
        rows = json.loads(told)
        asked = self.given.device if ":" in self.given.device else f"{self.given.device}:0"
        of_kind = [row for row in rows if row["device"] in (asked, self.given.device)]
        ready = next((row for row in of_kind if row["state"] == "ready"), None)
        if ready is None:
            kind = asked.split(":")[0]
            why = next((row["state"] for row in rows if row["device"].startswith(kind)), "no such device")
            self.miss(f"`{self.given.device}`: {why}")
            return False
        numbers = ", ".join(f"{name} {ready[name]}" for name in ("bf16", "f64"))
        self.say(f"# {ready['what']} (`{ready['device']}`; {numbers})")
        return True

    def experiment(self, device, least):
        """The figures of the small experiment there and its seconds, or why there are none."""
        started = time.monotonic()
        store = ["--artifacts", tempfile.mkdtemp(prefix="artifacts-", dir=self.folder)]
        config = self.folder / "check.yaml"
        config.write_text(json.dumps(EXPERIMENT))
        # kernels are compiled and tuned for every size, and none is used long
        settings = {"CUBECL_AUTOTUNE_LEVEL": os.environ.get("CUBECL_AUTOTUNE_LEVEL", "minimal")}
        command = [self.given.binary, *store, "-q", "run", str(config), "--device", device]
        well, told = self.call(command, least, settings)
        if not well:
            return None, told
        seconds = time.monotonic() - started
        well, told = self.call([self.given.binary, *store, "show", "check", "--format", "json"])
        if not well:
            return None, told
        figures = {key: value for key, value in json.loads(told)[0].items() if isinstance(value, (int, float))}
        return figures, seconds

    def agreement(self, least):
        """Losses and NLLs of the device against those of the processor."""
        found = []
        for device in ("cpu", self.given.device):
            figures, seconds = self.experiment(device, least)
            if figures is None:
                self.miss(f"the experiment on `{device}`: {seconds}")
                return
            found.append((figures, seconds))
        (ours, seconds), (theirs, taken) = found
        allowed = TOLERANCES.get(self.given.device.split(":")[0], TOLERANCE)
        self.say(f"\nA small experiment of every stage: {seconds:.0f} s on `cpu`, {taken:.0f} s here.\n")
        self.say(f"| figure | cpu | here | relative difference (at most {allowed:g}) |")
        self.say("|---|---|---|---|")
        judged = [key for key in ours if JUDGED.search(key)]
        worst = 0.0
        for key in judged:
            a, b = ours[key], theirs.get(key)
            difference = abs(b - a) / max(abs(a), 1e-12) if b is not None else float("inf")
            worst = max(worst, difference) if difference == difference else float("inf")
            shown = "none" if b is None else f"{b:.6g}"
            self.say(f"| {key} | {a:.6g} | {shown} | {difference:.1e}{'' if difference <= allowed else ', a miss'} |")
        if not judged:
            self.miss("no figure to compare")
        elif worst > allowed:
            self.misses.append(f"figures differ by up to {worst:.1e}, more than {allowed:g}")

    def bench(self):
        """Steps of the paper's size, beside PyTorch where it is installed."""
        if not self.given.bench:
            return
        python = self.given.python or shutil.which("python3")
        probe = "import torch, h5py, torchdiffeq" + ("; assert torch.cuda.is_available()" if self.on_cuda() else "")
        there, why = self.call([python, "-c", probe]) if python and not self.on_wgpu() else (False, "not on this device")
        # TF32 on both sides: ours has no way to forbid it
        settings = {"LATENT_ALIGN_DEVICE": self.given.device, "PEER_TF32": "1"}
        scripts = ROOT / "pipeline" / "benches" / "peer"
        self.say("\nSteps of the paper's size, " + ("beside careful PyTorch." if there else "ours alone: PyTorch is not here."))
        for precision in PRECISIONS:
            command = [self.given.bench, "compare", "--paper", "--precision", precision, "--scripts", str(scripts)]
            command += ["--rounds", "3", "--turn", "0.5", "--rows", "train,align", "--careful"]
            command += ["--python", python] if there else []
            self.say(f"\n{precision}, TF32 allowed on both sides:\n" if self.on_cuda() else f"\n{precision}:\n")
            well, told = self.call(command, 5, settings)
            if well:
                self.say(told.strip())
            else:
                self.say(f"Left out: {told}")

    def on_cuda(self):
        return self.given.device.startswith("cuda")

    def on_wgpu(self):
        return self.given.device.startswith("wgpu")

    def run(self):
        if self.devices():
            self.agreement(least=self.given.seconds / 4 if self.given.bench else 0)
            self.bench()
        self.say("\n" + ("Misses: " + "; ".join(self.misses) + "." if self.misses else "No misses."))
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.given.out:
            Path(self.given.out).write_text("\n".join(self.lines) + "\n")
        return 1 if self.misses else 0


def program(name):
    """Where it is, whatever folder it is started in."""
    return os.path.abspath(shutil.which(name) or name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True, help="as a configuration writes it, such as cuda or wgpu")
    parser.add_argument("--binary", type=program, required=True, help="latent-align, built for that device")
    parser.add_argument("--bench", type=program, help="the benchmark `peer`, built for it too; without it nothing is timed")
    parser.add_argument("--python", type=program, help="a Python with torch, h5py and torchdiffeq; python3 where it has them")
    parser.add_argument("--seconds", type=float, default=570, help="for all of it")
    parser.add_argument("--out", help="write the table there as well, as markdown")
    sys.exit(Check(parser.parse_args()).run())


main()
