"""PyTorch's side of the comparison: reads one request per line from stdin and answers each with a line of JSON.

Usage: worker.py naive|careful eager|compiled THREADS. Started by `driver/`; `protocol.rs` describes requests and answers.
"""

import gc
import json
import os
import sys
import time
import warnings

import torch

from differences import difference
from job import Mode, product_seconds, synchronise
from jobs import JOBS
from tensors import Shown


class Worker:
    def __init__(self, mode, device):
        self.mode, self.device = mode, device
        self.task, self.job = None, None

    def answer(self, request):
        kind, given = next(iter(request.items()))
        return getattr(self, kind)(given)

    def prepare(self, task):
        kind = JOBS[task["kind"]]
        same = lambda key: self.task.get(key) == task[key]
        # Compiled code is reused for a task that needs no recompilation.
        if self.task and same("kind") and all(same(key) for key in task if key not in kind.restarts):
            self.job.restart(task)
        else:
            self.task, self.job = None, None
            gc.collect()
            torch._dynamo.reset()
            self.job = kind(task, self.device, self.mode)
        self.task = task
        return {"ready": self.job.how}

    def steps(self, count):
        start = time.perf_counter()
        for _ in range(count):
            self.job.step()
        synchronise(self.device)
        return {"seconds": (time.perf_counter() - start) / count}

    def likelihoods(self, _):
        return {"values": self.job.likelihoods()}

    def agree(self, given):
        shown = Shown(given["folder"])
        by, of = 0.0, ""
        for name, ours in zip(("found", "gradient"), self.job.show(shown)):
            if shown.file(name).exists():
                found, tensor = difference(shown.tensors(name), ours)
                if found > by:
                    by, of = found, f"{name}: `{tensor}`"
        return {"differs": {"by": by, "of": of}}

    def held_out_loss(self, _):
        return {"values": [self.job.held_out_loss()]}

    def product(self, given):
        return {"values": product_seconds(given["side"], given["times"], self.device)}

    def about(self, _):
        return {"ready": f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {self.device}"}


def main():
    care, mode, threads = sys.argv[1:]
    warnings.filterwarnings("ignore")
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    if os.environ.get("PEER_TF32") == "1":
        torch.set_float32_matmul_precision("high")
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # all other output goes to stderr
    worker = Worker(Mode(care == "careful", mode == "compiled"), os.environ.get("LATENT_ALIGN_DEVICE", "cpu"))
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:
            reply = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


main()
