"""One HDF5 file of features: written under a temporary name and renamed, so that it is complete or absent."""

import hashlib
import json
import os
from pathlib import Path
from typing import Dict, Optional

import h5py
import numpy as np

from ..errors import InputError

# the attribute of a file with its record
RECORD = "latent_align_extract"
# the attribute of labels with the names of the classes, as `latent-align convert` writes it, if it fits
CLASSES, LONGEST = "classes", 60_000
BLOCK = 4096


def partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def sync(folder: Path):
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


class Writer:
    """Writes `rows` features one after another; a context that removes what is not finished."""

    def __init__(self, path: Path, dataset: str, rows: int, dtype: str):
        self.path, self.dataset, self.rows = path, dataset, rows
        self.dtype = np.dtype({"f32": "float32", "f16": "float16"}[dtype])
        self.done, self.range = 0, [np.inf, -np.inf]
        self._sha = hashlib.sha256()
        self._written = None
        self.file = h5py.File(partial(path), "w")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.file:
            self.file.close()
        partial(self.path).unlink(missing_ok=True)

    def append(self, values: np.ndarray) -> Optional[int]:
        """Writes the next rows [n, ...]. Returns the first one that is not finite as it would be stored, if there is one."""
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, dtype=self.dtype)
        wrong = ~np.isfinite(values.reshape(len(values), -1)).all(1)
        if wrong.any():
            return int(wrong.argmax())
        if self._written is None:
            self._written = self.file.create_dataset(self.dataset, (self.rows, *values.shape[1:]), self.dtype)
        self._written[self.done : self.done + len(values)] = values
        self.done += len(values)
        self._sha.update(memoryview(values).cast("B"))
        self.range = [min(self.range[0], float(values.min())), max(self.range[1], float(values.max()))]
        return None

    def finish(self, labels, classes, items, record: Dict) -> Dict:
        """Adds `labels` and `items` unless they are None, and the `record`, and gives the file its name."""
        assert self.done == self.rows, (self.done, self.rows)
        if labels is not None:
            written = self.file.create_dataset("labels", data=np.asarray(labels, dtype="int64"))
            names = json.dumps(classes, ensure_ascii=False, separators=(",", ":"))
            if len(names.encode()) <= LONGEST:
                written.attrs[CLASSES] = names
        if items is not None:
            self.file.create_dataset("items", data=np.asarray(items, dtype="int64"))
        shape = list(self._written.shape)
        record = {**record, "shape": shape, "range": self.range, "features": self._sha.hexdigest()}
        self.file.attrs[RECORD] = json.dumps(record, sort_keys=True)
        self.file.close()
        self.file = None
        with open(partial(self.path), "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial(self.path), self.path)
        sync(self.path.parent)
        return record


def record_of(path: Path) -> Optional[Dict]:
    """The record of the file at `path`; none if `latent-align-extract` did not write it."""
    try:
        with h5py.File(path, "r") as file:
            return json.loads(file.attrs[RECORD])
    except (OSError, KeyError, TypeError, ValueError):
        return None


def verify(path: Path, dataset: str, run: str, number: int) -> Dict:
    """The record of the finished file `number` of this `run`.

    Raises InputError for another file in its place, and for one that is damaged."""
    record = record_of(path)
    if record is None:
        raise InputError(
            f"{path}: found a file that this program did not write, or that is damaged, expected none or one of this run; "
            "move it away, or use another --out"
        )
    if record.get("run") != run or record.get("file") != number:
        raise InputError(
            f"{path}: found a file of another run, expected none or one of this run; use another --out, or replace it "
            "with --force"
        )
    sha = hashlib.sha256()
    try:
        with h5py.File(path, "r") as file:
            values = file[dataset]
            for start in range(0, len(values), BLOCK):
                sha.update(memoryview(np.ascontiguousarray(values[start : start + BLOCK])).cast("B"))
    except (OSError, KeyError):
        sha = None
    if sha is None or sha.hexdigest() != record.get("features"):
        raise InputError(
            f"{path}: found a damaged file, expected the features that were written; remove it, and type the command again"
        )
    return record
