"""From an opened input and a model to files of features."""

from concurrent.futures import ThreadPoolExecutor
from typing import List

import numpy as np
import torch

from ..errors import InputError
from .manifest import Output
from .progress import Progress
from .shards import Writer

# batches of texts that are sorted by length together, and whose features are in memory
WINDOW = 16
READERS = 4
# largest difference of an item's features alone and in a batch, relative to the largest of them
DIFFERENCE = 1e-3


def long_enough(texts, model, tokens: int, leave_out: bool, progress: Progress) -> List[int]:
    """The texts that have at least `tokens` tokens of their own.

    Raises InputError for shorter ones, unless they are to be left out."""
    kept, short = [], []
    progress.start("counting tokens", "texts", 0, len(texts))
    for start in range(0, len(texts), 1024):
        items = range(start, min(start + 1024, len(texts)))
        for item, encoded in zip(items, model.encode([texts.read(item) for item in items])):
            (kept if len(encoded.own) >= tokens else short).append((item, len(encoded.own)))
        progress.add(len(items))
    progress.end()
    if short and not leave_out:
        item, count = short[0]
        raise InputError(
            f"--tokens {tokens}: found {len(short)} of {len(texts)} texts with fewer tokens, the first {texts.name(item)} with "
            f"{count}; lower it, leave those texts out with --leave-out-short, or leave --tokens out: then each token is a row"
        )
    if not kept:
        raise InputError(f"--tokens {tokens}: found no text of so many tokens, expected some; lower it")
    if short:
        texts.notes.append(f"{len(short)} of {len(texts)} texts have fewer than {tokens} tokens and are left out")
    return [item for item, _ in kept]


class Extraction:
    """Features of the `items` of `given`, of which the first `tokens` of each text, by `model`."""

    def __init__(self, given, items: List[int], model, options, output: Output, progress: Progress):
        self.given, self.items, self.model = given, items, model
        self.options, self.output, self.progress = options, output, progress
        self.of_texts = given.kind == "texts"

    def run(self, finished):
        """Writes the files that are not `finished`. Returns the records of all files."""
        files = self.output.wanted["files"]
        done = sum(end - start for number in finished for start, end in [files[number]["items"]])
        self.progress.start("", self.given.kind, done, len(self.items))
        records = dict(finished)
        if len(finished) < len(files):
            self._check_model()
        for number, file in enumerate(files):
            if number in finished:
                continue
            path = self.output.path(number)
            self.progress.what = path.name
            records[number] = self._write(path, number, self.items[slice(*file["items"])])
            if not self.progress.is_terminal:
                self.progress.note(str(self.progress))
        self.progress.end()
        return [records[number] for number in range(len(files))]

    def _check_model(self):
        """Raises InputError for a model whose features are random, or depend on the rest of the batch."""
        items = self.items[: self.options.batch]
        inputs = self._prepare(items)
        together, alone = self._features(items, inputs)[0], self._features(items[:1], inputs[:1])[0]
        largest = float(alone.abs().max())
        # not finite ones are named when they are written
        if torch.isfinite(alone).all() and float((together - alone).abs().max()) > DIFFERENCE * largest:
            raise InputError(
                f"--model {self.options.model}: found other features for {self.given.name(items[0])} alone than in a batch, "
                "expected the same: the model is random, or mixes the items of a batch; use another model, or --batch 1"
            )

    def _prepare(self, items):
        read = [self.given.read(item) for item in items]
        return self.model.encode(read) if self.of_texts else [self.model.prepare(image) for image in read]

    def _features(self, items, inputs):
        """Features of a batch: a tensor, or a list of tensors."""
        try:
            with torch.inference_mode():
                found = self.model.features(inputs)
        except (RuntimeError, IndexError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, InputError):
                raise
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            more = " or --max-tokens" if self.of_texts else ""
            raise InputError(
                f"--model {self.options.model}: it fails on {len(items)} {self.given.kind} from {self.given.name(items[0])} "
                f"({why}); a smaller --batch{more} may help, or it is no model of {self.given.kind}"
            ) from None
        tokens = self.options.tokens
        if tokens is not None:
            found = [one[:tokens] for one in found]
        return [one.float().cpu() for one in found]

    def _write(self, path, number, items):
        options = self.options
        encoded = self._encode(items) if self.of_texts else None
        # each token of a text is a row
        each = options.pooling == "none" and self.of_texts and options.tokens is None
        owners = np.repeat(items, [len(one.own) for one in encoded]) if each else None
        rows = len(items) if owners is None else len(owners)
        batches = self._texts(items, encoded) if self.of_texts else self._images(items)
        with Writer(path, options.dataset, rows, options.dtype) as writer:
            start = 0
            for found in batches:
                values = torch.cat(found) if each else torch.stack(found)
                wrong = writer.append(values.numpy())
                if wrong is not None:
                    item = owners[writer.done + wrong] if each else items[start + wrong]
                    beyond = "; --dtype f32 holds larger numbers" if options.dtype == "f16" else ""
                    raise InputError(
                        f"{self.given.name(item)}: found a feature that is not finite in {options.dtype}, expected finite "
                        f"ones{beyond}"
                    )
                start += len(found)
            labels = self.given.labels and [self.given.labels[item] for item in items]
            if self.of_texts and options.tokens is not None:
                owners = items
            record = {
                "run": self.output.run,
                "file": number,
                "cut": sum(one.is_cut for one in encoded) if encoded else 0,
                "left": sum(len(one.own) - options.tokens for one in encoded) if options.tokens is not None else 0,
            }
            return writer.finish(labels, self.given.classes, owners, record)

    def _encode(self, items):
        encoded = self._prepare(items)
        if self.options.pooling == "none":
            for item, one in zip(items, encoded):
                if not one.own:
                    name = self.given.name(item)
                    raise InputError(f"{name}: found a text without a token, expected some; change or remove it")
        return encoded

    def _texts(self, items, encoded):
        """Features of windows of texts, in order; inside a window, texts of like lengths are together."""
        size = self.options.batch
        for start in range(0, len(items), WINDOW * size):
            window = encoded[start : start + WINDOW * size]
            order = sorted(range(len(window)), key=lambda at: -len(window[at]))
            found = [None] * len(window)
            for first in range(0, len(order), size):
                chosen = order[first : first + size]
                features = self._features([items[start + at] for at in chosen], [window[at] for at in chosen])
                for at, one in zip(chosen, features):
                    found[at] = one
                self.progress.add(len(chosen))
            yield found

    def _images(self, items):
        """Features of batches of images, in order; the next ones are read meanwhile."""
        size = self.options.batch
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        with ThreadPoolExecutor(READERS) as readers:
            try:
                read = lambda batch: [readers.submit(self._prepare, [item]) for item in batch]
                coming = read(batches[0])
                for at, batch in enumerate(batches):
                    inputs = [one for future in coming for one in future.result()]
                    coming = read(batches[at + 1]) if at + 1 < len(batches) else []
                    if len({tuple(one.shape) for one in inputs}) > 1:
                        raise InputError(
                            f"{self.given.name(batch[0])} and others: found that the model takes images of several sizes, "
                            "expected one; bring all images to one size"
                        )
                    yield self._features(batch, inputs)
                    self.progress.add(len(batch))
            finally:
                readers.shutdown(cancel_futures=True)
