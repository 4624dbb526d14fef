#!/usr/bin/env python3
"""Checks a device against this machine's processor, and times it.

A small experiment of every stage runs on both, and losses and NLLs are held against each other. Then, where
the benchmark is at hand, training and alignment steps of the paper's size are timed, beside careful PyTorch
where that is installed. Needs no Rust, no network and no package of Python besides PyTorch's own. Every result
is written at once, so that what was found is kept if the check is cut off; what does not fit into the time is
left out, and the table says so.

    pipeline/scripts/check_device.py --device cuda --binary latent-align --bench latent-align-bench --out table.md
"""

import argparse
import json
import os
import re
import shutil
import signal
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
# Every stage, at the smallest meaningful size. The slowest one comes last.
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
    "train_classifier": {"data": DIGITS, "architecture": DENSE, "optimiser": OPTIMISER, "steps": 100, "batch": 64},
    "evaluate_latents": {
        "flow": {"network": NETWORK, "optimiser": OPTIMISER, "steps": 60, "batch": 128, "times": 32},
        "samples": 64,
    },
    "estimate_nll": {
        "points": 16,
        "box_points": 8,
        "gradient_points": 4,
        "check_points": 4,
        "draws": 192,
        "tolerance": 1.0e-3,
    },
}
# The prerequisites of each stage.
NEEDS = {
    "train_autoencoder": ["pretrain_flow"],
    "evaluate_latents": ["train_autoencoder", "train_classifier"],
    "estimate_nll": ["train_autoencoder"],
}
# Losses, NLLs and distances of samples, which a device must reproduce: noise comes from the host. Differences of
# figures are too noisy for a comparison.
JUDGED = re.compile(
    r"(held-out|test) (flow-matching loss|reconstruction loss|mean squared error|cross-entropy \(nats\)|NLL \(nats\))$"
    r"|mean NLL, (ODE \(nats\)|likelihood-weighted bound)$|mean alignment loss \(uniform, sum\)$"
    r"|Fréchet distance (of (samples|reconstructions)|between held-out and test data)$"
    r"|(energy distance of samples|unbiased energy distance, samples|squared MMD, samples) to features$"
)
# Shares of samples and p-values change in jumps: these tolerances are absolute.
SHARES = re.compile(
    r"coverage of features by samples$|classifier's accuracy, samples against features$"
    r"|share of nearest neighbours in the same sample, samples and features$"
    r"|p-value of the (energy|kernel|nearest-neighbour) test, samples$"
)
SHARE_TOLERANCE = 0.02
# Relative. Products of f32 matrices on an NVIDIA GPU are TF32, with 10 bits.
TOLERANCES = {"cuda": 1e-2}
TOLERANCE = 1e-3
PRECISIONS = ("f32", "bf16")
# Optional precisions of a device, and the keys that need them.
ASKING = {
    "bf16": ["pretrain_flow.model.precision", "train_autoencoder.precision", "evaluate_latents.flow.precision"],
    "f64": ["estimate_nll.precision"],
}
JOBS = ("train", "align")
# The share of the time for the experiment, if the benchmark is available too.
SHARE = 0.45


class Clock:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()


def toolkit(python, settings):
    """Environment variables for NVRTC and its headers: from a CUDA toolkit, or from PyTorch's packages."""
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
        if self.given.out:
            Path(self.given.out).write_text("\n".join(self.lines) + "\n")

    def miss(self, what):
        self.misses.append(what)
        self.say(f"Miss: {what}")

    def environment(self):
        """The environment of the commands."""
        settings = {"XDG_RUNTIME_DIR": str(self.folder), **os.environ}
        if self.on_cuda():
            settings.update(toolkit(self.given.python or shutil.which("python3"), settings))
        return settings

    def call(self, command, within=None, settings=None):
        """Runs a command in the remaining time, at most `within` seconds; returns whether it succeeded, and its output
        or the reason."""
        left = min(self.clock.left(), within or float("inf"))
        if left <= 1:
            return False, "no time was left"
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            try:
                started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.folder,
                                           env={**self.settings, **(settings or {})}, start_new_session=True)
            except OSError as error:
                return False, str(error)
            try:
                code = started.wait(left)
            except BaseException as error:
                # with its child processes: PyTorch's compilers would continue
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    return False, f"not done in {left:.0f} s"
                raise
            told, complaint = (file.seek(0) or file.read() for file in (out, err))
        if code:
            end = (complaint or told).strip().splitlines()
            return False, f"exit code {code}: " + " ".join(end[-5:])
        return True, told

    def devices(self):
        """Whether the device exists."""
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
        for name, keys in ASKING.items():
            if ready[name] == "no":
                self.refused(name, keys)
        return True

    def refused(self, name, keys):
        """Whether every key for a precision that the device lacks is refused, before anything runs."""
        settings = [argument for key in keys for argument in ("--set", f"{key}={name}")]
        store = self.folder / "refused"
        command = [self.given.binary, "--artifacts", store, "-q", "run", self.experiment(), "--device", self.given.device]
        well, told = self.call([*command, *settings])
        unnamed = [key for key in keys if f"{key}: found `{name}`" not in told]
        if well or unnamed or not told.startswith("exit code 2:"):
            self.miss(f"`{name}` is not refused by {', '.join(unnamed or keys)}: {'it ran' if well else told}")
        else:
            self.say(f"\n`{name}` is refused: {told}")

    def experiment(self):
        """The configuration of the small experiment."""
        file = self.folder / "check.yaml"
        file.write_text(json.dumps(EXPERIMENT))
        return file

    def until(self, device, store, stage, within):
        """The figures of the small experiment on `device` up to `stage`, or all of it, and the seconds it took; or no
        figures, and the reason."""
        started = time.monotonic()
        # kernels are compiled and tuned for every size, and each is used only briefly
        settings = {"CUBECL_AUTOTUNE_LEVEL": os.environ.get("CUBECL_AUTOTUNE_LEVEL", "minimal")}
        command = [self.given.binary, "--artifacts", store, "-q", "run", self.experiment(), "--device", device]
        command += ["--until", stage.replace("_", "-")] if stage else []
        well, told = self.call(command, within, settings)
        if not well:
            return None, told
        seconds = time.monotonic() - started
        well, told = self.call([self.given.binary, "--artifacts", store, "show", "check", "--format", "json"])
        if not well:
            return None, told
        return {key: value for key, value in json.loads(told)[0].items() if isinstance(value, (int, float))}, seconds

    def agreement(self):
        """Compares losses and NLLs of the device with those of the processor, stage by stage."""
        time_of_all = Clock(self.clock.left() * (SHARE if self.given.bench else 1))
        ours, seconds = self.until("cpu", self.folder / "cpu", None, time_of_all.left())
        if ours is None:
            self.miss(f"the experiment on `cpu`: {seconds}")
            return
        allowed = TOLERANCES.get(self.given.device.split(":")[0], TOLERANCE)
        self.say(f"\nA small experiment of every stage: {seconds:.0f} s on `cpu`, and stage by stage here.\n")
        self.say(f"| stage | seconds here | figure | cpu | here | relative difference (at most {allowed:g}; "
                 f"of shares and p-values the difference, at most {SHARE_TOLERANCE:g}) |")
        self.say("|---|---|---|---|---|---|")
        far, missed = [], {}
        for stage in (key for key in EXPERIMENT if key != "name"):
            lacking = [needed for needed in NEEDS.get(stage, []) if needed in missed]
            if lacking:
                theirs, seconds = None, f"{lacking[0].replace('_', '-')} is missing"
            else:
                theirs, seconds = self.until(self.given.device, self.folder / "device", stage, time_of_all.left())
            name = stage.replace("_", "-")
            if theirs is None:
                missed[stage] = seconds
                self.say(f"| {name} | none | | | | {' '.join(seconds.replace('|', ' ').split())} |")
                continue
            own = [key for key in ours if key.startswith(f"{name}: ") and (JUDGED.search(key) or SHARES.search(key))]
            if not own:
                missed[stage] = "no figure to compare"
            for key in own:
                a, b = ours[key], theirs.get(key)
                share = SHARES.search(key)
                difference = float("inf") if b is None else abs(b - a) / (1 if share else max(abs(a), 1e-12))
                # NaN counts as different
                near = difference <= (SHARE_TOLERANCE if share else allowed)
                figure = key.removeprefix(f"{name}: ")
                if not near:
                    far.append(f"{name}, {figure}: {difference:.1e}")
                shown = "none" if b is None else f"{b:.6g}"
                told = f"{difference:.1e}{'' if near else ', a miss'}"
                self.say(f"| {name} | {seconds:.0f} | {figure} | {a:.6g} | {shown} | {told} |")
        self.say()
        for stage, why in missed.items():
            self.miss(f"{stage.replace('_', '-')} on `{self.given.device}`: {why}")
        if far:
            self.misses.append(f"figures that differ by more than is allowed: {'; '.join(far)}")

    def peer(self):
        """A Python with PyTorch for the device, or the reason why there is none."""
        python = self.given.python or shutil.which("python3")
        if self.on_wgpu() or not python:
            return None, "it has no such device" if python else "no Python was found"
        probe = "import torch, h5py, torchdiffeq"
        if self.on_cuda():
            probe += "; assert torch.cuda.is_available(), 'PyTorch finds no GPU'"
        well, why = self.call([python, "-c", probe], within=60)
        return (python, None) if well else (None, why)

    def bench(self):
        """Times steps of the paper's size: this program first, then, if it is installed, PyTorch."""
        if not self.given.bench:
            return
        python, why = self.peer()
        if python:
            self.say("\nSteps of the paper's size: ours alone, then beside careful PyTorch, products alike on both sides.")
        else:
            self.say(f"\nSteps of the paper's size, ours alone. PyTorch is left out: {why}")
        # TF32 is allowed on both sides: this program cannot disable it
        settings = {"LATENT_ALIGN_DEVICE": self.given.device, "PEER_TF32": "1"}
        driver = ROOT / "pipeline" / "benches" / "peer" / "driver"
        calls = [(beside, precision, job) for beside in ([False, True] if python else [False])
                 for precision in PRECISIONS for job in JOBS]
        for number, (beside, precision, job) in enumerate(calls):
            command = [sys.executable, "-B", str(driver), "compare", "--ours", self.given.bench]
            command += ["--paper", "--precision", precision]
            command += ["--rounds", "3", "--turn", "0.5", "--rows", job, "--careful"]
            command += ["--python", python] if beside else []
            tf32 = ", TF32 allowed on both sides" if self.on_cuda() else ""
            self.say(f"\n{job}, {precision}{tf32}, {'beside PyTorch' if beside else 'ours alone'}:\n")
            if beside and precision == "bf16":
                self.say("PyTorch's autocast rounds every product to bf16, ours those of the blocks.\n")
            # no step takes the time of the following ones
            well, told = self.call(command, max(20, self.clock.left() / (len(calls) - number)), settings)
            self.say(told.strip() if well else f"Left out: {told}")

    def on_cuda(self):
        return self.given.device.startswith("cuda")

    def on_wgpu(self):
        return self.given.device.startswith("wgpu")

    def run(self):
        try:
            if self.devices():
                self.agreement()
                self.bench()
            self.say("\n" + ("Misses: " + "; ".join(self.misses) + "." if self.misses else "No misses."))
        except (KeyboardInterrupt, SystemExit):
            self.say("\nCut off here.")
            raise
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        return 1 if self.misses else 0


def program(name):
    """The absolute path of a program."""
    return os.path.abspath(shutil.which(name) or name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", required=True, help="as in a configuration, such as cuda or wgpu")
    parser.add_argument("--binary", type=program, required=True, help="latent-align, built for that device")
    parser.add_argument("--bench", type=program, help="the benchmark `peer`, built for the same device; without it nothing is timed")
    parser.add_argument("--python", type=program, help="a Python with torch, h5py and torchdiffeq; by default python3 if it has them")
    parser.add_argument("--seconds", type=float, default=570, help="total time limit")
    parser.add_argument("--out", help="also write the table to this file, as Markdown")
    given = parser.parse_args()
    # like an interrupt, so that child processes end too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(Check(given).run())


main()
