"""Shuffled batches of an HDF5 dataset."""

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from job import Job

# Reader processes, and blocks per window.
LOADERS = 2
BLOCKS = 32


class Items(Dataset):
    """The rows of an HDF5 dataset, one at a time."""

    def __init__(self, file, name):
        self.file, self.name, self.opened = file, name, None
        with h5py.File(file) as opened:
            self.count = len(opened[name])

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        if self.opened is None:  # in the worker: a handle does not survive a fork
            self.opened = h5py.File(self.file)[self.name]
        return torch.from_numpy(self.opened[row])


class Windows(IterableDataset):
    """Shuffled batches: blocks in random order, shuffled within windows of many; each worker has its share."""

    def __init__(self, task, workers):
        self.task, self.workers = task, workers

    def __iter__(self):
        file, batch = h5py.File(self.task["file"]), self.task["batch"]
        dataset = file[self.task["dataset"]]
        count, width = dataset.shape
        window = self.task["memory"] // (4 * width * self.workers)  # rows
        block = window // BLOCKS
        worker = get_worker_info()
        order = np.random.default_rng(worker.seed).permutation(range(worker.id * block, count, self.workers * block))
        for first in range(0, len(order), BLOCKS):
            rows = np.concatenate([dataset[at : at + block] for at in order[first : first + BLOCKS]])
            rows = torch.from_numpy(rows)[torch.randperm(len(rows))]
            yield from rows[: len(rows) // batch * batch].split(batch)


class Stream(Job):
    """Shuffled batches of an HDF5 dataset by a DataLoader with two workers."""

    def __init__(self, task, device, mode):
        self.device, loading = device, {"num_workers": LOADERS, "persistent_workers": True}
        if mode.careful:
            self.loader = DataLoader(Windows(task, LOADERS), batch_size=None, **loading)
            self.how = "an IterableDataset of shuffled windows of blocks"
        else:
            rows = Items(task["file"], task["dataset"])
            self.loader = DataLoader(rows, task["batch"], shuffle=True, drop_last=True, **loading)
            self.how = "a Dataset of single rows"
        self.batches = iter(self.loader)

    def step(self):
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        batch.to(self.device)
