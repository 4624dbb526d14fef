#!/usr/bin/env python3
"""Copies a pretrained flow into the folder of flows that are part of the program.

ship_flow.py ARTIFACT TO, as in `make flows`: ARTIFACT is the folder of a finished pretrain-flow artifact, and TO
receives the files that later stages read, and made.json: the artifact's fingerprint, its figures, and the digests of
its features and of the files.
"""

import json
import pathlib
import shutil
import sys

FILES = ["flow.safetensors", "normalisation.safetensors", "held_out.h5", "test.h5"]


def main():
    artifact, to = map(pathlib.Path, sys.argv[1:])
    manifest = json.loads((artifact / "manifest.json").read_text())
    to.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(artifact / name, to / name)
    made = {
        "fingerprint": manifest["fingerprint"],
        "features": {entry["key"]: entry["digest"] for entry in manifest["inputs"]},
        "seed": manifest["seed"],
        "seconds": manifest["seconds"],
        "figures": {name: value for name, value in manifest["figures"].items() if not name.startswith("peak memory")},
        "files": {name: manifest["outputs"][name]["digest"] for name in FILES},
    }
    (to / "made.json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
