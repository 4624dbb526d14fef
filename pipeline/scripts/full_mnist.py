#!/usr/bin/env python3
"""Writes the full MNIST: 60,000 training and 10,000 test images in the original order, with labels.

SOURCE is a folder with the four IDX files as they are published (train-images-idx3-ubyte and so on, `-` or `.` before
idx, packed with gzip or not), or an HDF5 file with train_images, train_labels, test_images and test_labels. Nothing is
downloaded.
"""

import argparse
import gzip
import os
import struct
import sys
from pathlib import Path

import h5py
import numpy as np

PARTS = {"train": ("train", 60_000), "test": ("t10k", 10_000)}
# the shipped test images, to distinguish MNIST from similar data
SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "data" / "mnist.h5"


def fail(why):
    sys.exit(f"error: {why}")


def idx(folder, stem, kind):
    """The numbers of an IDX file of bytes: its header is 0, 0, 8, rank and a big-endian length per axis."""
    rank = {"images": 3, "labels": 1}[kind]
    names = [f"{stem}-{kind}{mark}idx{rank}-ubyte{packed}" for mark in "-." for packed in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        fail(f"{folder}: found none of {', '.join(names)}, expected one")
    path = found[0]
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data[:4] != bytes([0, 0, 8, rank]):
        fail(f"{path}: found {data[:4].hex()} at its start, expected {bytes([0, 0, 8, rank]).hex()}, an IDX file of bytes")
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if values.size != np.prod(shape):
        fail(f"{path}: found {values.size} bytes after its header, expected {shape}; copy it again")
    return values.reshape(shape)


def read(source):
    """Images and labels of each part."""
    found = {}
    if source.is_dir():
        for part, (stem, _) in PARTS.items():
            found[f"{part}_images"] = idx(source, stem, "images")[:, None]
            found[f"{part}_labels"] = idx(source, stem, "labels")
        return found
    if not source.is_file() or not h5py.is_hdf5(source):
        fail(f"{source}: found no folder and no HDF5 file, expected one with MNIST")
    with h5py.File(source) as file:
        for name in (f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")):
            if name not in file:
                fail(f"{source}: found {', '.join(file)}, expected `{name}` among them")
            found[name] = file[name][...]
    for part in PARTS:
        images = found[f"{part}_images"]
        found[f"{part}_images"] = images[:, None] if images.ndim == 3 else images
    return found


def check(source, found):
    for part, (_, count) in PARTS.items():
        images, labels = found[f"{part}_images"], found[f"{part}_labels"]
        if images.shape != (count, 1, 28, 28) or images.dtype != np.uint8:
            fail(f"{source}: found {part} images {images.shape} {images.dtype}, expected ({count}, 1, 28, 28) uint8")
        if labels.shape != (count,) or labels.max() > 9 or labels.min() < 0:
            fail(f"{source}: found {part} labels {labels.shape}, expected ({count},) in 0 to 9")
    with h5py.File(SHIPPED) as shipped:
        same = np.array_equal(shipped["images"][...], found["test_images"])
        same = same and np.array_equal(shipped["labels"][...], found["test_labels"])
    if not same:
        fail(f"{source}: found test images or labels that are not those of {SHIPPED}, expected MNIST in its own order")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, help="a folder of IDX files, or an HDF5 file")
    parser.add_argument("--out", type=Path, required=True, help="the HDF5 file to write")
    arguments = parser.parse_args()
    if arguments.source is None:
        fail("no source; name a folder of IDX files or an HDF5 file: make mnist MNIST=DIR")
    if arguments.out.exists():
        fail(f"{arguments.out} is there already; remove it to write it again")
    found = read(arguments.source)
    check(arguments.source, found)
    partial = arguments.out.with_name(f".{arguments.out.name}.partial")
    with h5py.File(partial, "w") as file:
        file.attrs["source"] = "MNIST handwritten digits (LeCun, Cortes, Burges), CC BY-SA 3.0, in the original order"
        for name, values in found.items():
            chunks = (256,) + values.shape[1:]
            values = values.astype(np.uint8)
            file.create_dataset(name, data=values, chunks=chunks, compression="gzip", shuffle=True, fletcher32=True)
    os.replace(partial, arguments.out)
    print(f"{arguments.out}: 60,000 training and 10,000 test images")


if __name__ == "__main__":
    main()
