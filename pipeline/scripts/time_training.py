"""Times `train-autoencoder` end to end beside a PyTorch script that does the same: data, logs and diagnostics included.

    make bench-stage                     # digits and MNIST, three rounds
    make bench-stage ARGS="--of digits"

Both are whole processes, started in turn: ours is `latent-align run --until train-autoencoder` with the flow there
already, PyTorch's `pipeline/benches/peer/stage.py`, eager and compiled, whose docstring says what it leaves out. Prints
the least seconds of each, PyTorch's best over ours, and the errors that both end with.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
# what the shipped experiments say, for the script
SETTINGS = {
    "digits": dict(
        data="digits.h5", maximum=16, held_out=0.1, layers=[256, 256], tokens=2, width=16, draws=4, steps=1500, weight=5e-5
    ),
    "mnist": dict(
        data="mnist.h5", maximum=255, held_out=0.05, layers=[32, 64], tokens=4, width=16, draws=2, steps=1000, weight=5e-4
    ),
}


def run(command, cwd, **environment):
    """Seconds of the process, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} exited with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def ours(binary, experiment, folder, threads, until="train-autoencoder"):
    shutil.rmtree(folder / "artifacts" / "train-autoencoder", ignore_errors=True)
    command = [binary, "run", ROOT / "configs" / f"{experiment}.yaml", "--until", until]
    seconds, _ = run(command, folder, RAYON_NUM_THREADS=str(threads))
    (shown,) = json.loads(run([binary, "show", experiment, "--format", "json"], folder)[1])
    return seconds, shown


def peer(python, experiment, folder, threads, compiled):
    out = folder / "peer"
    shutil.rmtree(out, ignore_errors=True)
    settings = dict(SETTINGS[experiment])
    data = ROOT / "configs" / "data" / settings.pop("data")
    (flow,) = (folder / "artifacts" / "pretrain-flow").iterdir()
    layers = map(str, settings.pop("layers"))
    command = [python, ROOT / "pipeline/benches/peer/stage.py", flow, data, out, "--layers", *layers]
    settings.update(batch=128, every=100, threads=threads)
    for key, value in settings.items():
        command += [f"--{key.replace('_', '-')}", str(value)]
    command += ["--convolutional"] * (experiment == "mnist") + ["--compiled"] * compiled
    seconds, printed = run([str(part) for part in command], folder, OMP_NUM_THREADS=str(threads))
    return seconds, json.loads(printed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("python", type=Path, help="with torch, h5py and safetensors: `make peer` sets one up")
    parser.add_argument("--of", choices=SETTINGS, nargs="+", default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    binary = options.binary.resolve()
    for experiment in options.of:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            ours(binary, experiment, folder, options.threads, "pretrain-flow")
            times, found = {"ours": [], "PyTorch, eager": [], "PyTorch, compiled": []}, {}
            for _ in range(options.rounds):
                for name in times:
                    if name == "ours":
                        seconds, found[name] = ours(binary, experiment, folder, options.threads)
                    else:
                        compiled = name.endswith("compiled")
                        seconds, found[name] = peer(options.python, experiment, folder, options.threads, compiled)
                    times[name].append(seconds)
            print(f"{experiment}: train-autoencoder, whole processes on {options.threads} threads, {options.rounds} rounds")
            for name, seconds in times.items():
                loop = "" if name == "ours" else f", of which the last loop of steps took {found[name]['seconds']:.2f} s"
                print(f"  {name:18} {min(seconds):7.2f} s at least, {statistics.median(seconds):7.2f} s in the median{loop}")
            best = min(min(seconds) for name, seconds in times.items() if name != "ours")
            print(f"  PyTorch's best over ours {best / min(times['ours']):.2f}")
            error = found["ours"]["train-autoencoder: held-out mean squared error"]
            print(f"  held-out mean squared error: ours {error:.5f}, PyTorch's {found['PyTorch, eager']['error']:.5f}", flush=True)


if __name__ == "__main__":
    main()
