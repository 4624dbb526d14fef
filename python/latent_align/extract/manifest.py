"""What a run is of: PREFIX.json says from which input, model and options the files PREFIX-00000.h5 and so on are."""

import hashlib
import json
import os
from pathlib import Path
from typing import Dict, List, Optional

from ..errors import InputError
from . import shards

FORMAT = "latent-align-extract 1"


class Output:
    """The files of one run. `wanted` is its manifest: input, model and options, and the items of each file."""

    def __init__(self, prefix: Path, wanted: Dict):
        self.prefix = prefix
        self.manifest = prefix.with_name(f"{prefix.name}.json")
        self.wanted = {"format": FORMAT, **wanted}
        self.run = hashlib.sha256(json.dumps(_compared(self.wanted), sort_keys=True).encode()).hexdigest()
        self._lock = None

    def path(self, number: int) -> Path:
        return self.prefix.with_name(f"{self.prefix.name}-{number:05}.h5")

    def open(self, force: bool) -> Dict[int, Dict]:
        """Takes possession of the output. Returns the records of the files that are finished.

        Raises InputError for files of another run."""
        found = read(self.manifest)
        present = self._present()
        if found is None or _compared(found) != _compared(self.wanted):
            if present and not force:
                differences = ["no manifest"] if found is None else differ(found, self.wanted)
                raise InputError(
                    f"{self.manifest}: found another run whose files are there ({present[0].name}), expected none or this "
                    f"run: {'; '.join(differences)}. Use another --out, or replace them with --force"
                )
            self._remove(present)
            self._write()
        self._take()
        finished = {}
        count = len(self.wanted["files"])
        expected = {self.path(number): number for number in range(count)}
        for path in self._present():
            if path not in expected:
                raise InputError(
                    f"{path}: found a file of another run, expected {count} of this one; remove it, or use another --out"
                )
            finished[expected[path]] = shards.verify(path, self.wanted["options"]["dataset"], self.run, expected[path])
        for path in expected:
            shards.partial(path).unlink(missing_ok=True)
        return finished

    def leave(self):
        """Removes the manifest of a run without a finished file, which would say nothing."""
        if not self._present():
            self.manifest.unlink(missing_ok=True)

    def others(self) -> List[Path]:
        """Files of other runs that the pattern PREFIX-*.h5 would match."""
        ours = {self.path(number) for number in range(len(self.wanted["files"]))}
        return [path for path in _starting(self.prefix) if path not in ours]

    def _present(self) -> List[Path]:
        start = len(self.prefix.name) + 1
        return [path for path in _starting(self.prefix) if path.name[start:-3].isdecimal()]

    def _remove(self, present: List[Path]):
        for path in present:
            if shards.record_of(path) is None:
                raise InputError(
                    f"{path}: found a file that this program did not write, or that is damaged, expected one to replace; "
                    "move it away"
                )
        for path in present:
            path.unlink()

    def _write(self):
        temporary = self.manifest.with_name(f".{self.manifest.name}.partial")
        with open(temporary, "w") as file:
            json.dump(self.wanted, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.manifest)
        shards.sync(self.manifest.parent)

    def _take(self):
        """Holds a lock, which ends with this process, so that two do not write the same files."""
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        self._lock = open(self.manifest)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{self.manifest}: found another latent-align-extract that writes these files; wait until it ends"
            ) from None


def _starting(prefix: Path) -> List[Path]:
    start = f"{prefix.name}-"
    paths = prefix.parent.iterdir()
    return sorted(path for path in paths if path.name.startswith(start) and path.name.endswith(".h5"))


def read(path: Path) -> Optional[Dict]:
    """The manifest at `path`; none if nothing is there.

    Raises InputError for another file."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{path}: found a file that is no manifest of this program, expected none; use another --out")
    return found


def _compared(manifest: Dict) -> Dict:
    """What decides the features: not the places of input and model, nor the versions of libraries."""
    model = {key: manifest["model"][key] for key in ("library", "weights", "settings")}
    given = {key: manifest["input"][key] for key in ("kind", "count")}
    return {"input": given, "model": model, "options": manifest["options"], "files": manifest["files"]}


def differ(found: Dict, wanted: Dict) -> List[str]:
    """What differs between the manifests of two runs, in words."""
    said = []
    one, other = found["input"], wanted["input"]
    for key in ("kind", "count"):
        if one[key] != other[key]:
            said.append(f"{key} of the input was {one[key]}, now {other[key]}")
    labels = {
        "library": "the library",
        "weights": "the model's weights",
        "settings": "the model's configuration, tokenizer or image processing",
    }
    for key, label in labels.items():
        if found["model"][key] != wanted["model"][key]:
            is_short = key == "library"
            said.append(f"{label} was {found['model'][key]}, now {wanted['model'][key]}" if is_short else f"{label} changed")
    for key, value in wanted["options"].items():
        was = found["options"].get(key)
        if was != value:
            said.append(f"--{key.replace('_', '-')} was {_said(was)}, now {_said(value)}")
    if not said:
        pairs = zip(found["files"], wanted["files"])
        changed = [new["items"] for old, new in pairs if old != new]
        start, end = changed[0] if changed else (0, one["count"])
        kind = other["kind"]
        said.append(f"{kind} changed, the first of them among {start + 1} to {end} of {other['count']}")
    return said


def _said(value):
    return "not given" if value in (None, False) else "given" if value is True else value
