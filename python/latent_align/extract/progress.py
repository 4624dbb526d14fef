"""Progress on standard error: one line that changes in a terminal, a line a finished file elsewhere."""

import sys
import time


class Progress:
    def __init__(self):
        self.is_terminal = sys.stderr.isatty()
        self._is_open = False

    def start(self, what: str, of: str, done: int, total: int):
        """`done` of `total` things that are called `of` have been done before."""
        self.what, self.of, self.before, self.done, self.total = what, of, done, done, total
        self.began = self.shown = time.monotonic()

    def add(self, count: int):
        self.done += count
        now = time.monotonic()
        if self.is_terminal and now - self.shown > 0.2:
            self.shown = now
            print(f"\r\x1b[K{self}", end="", file=sys.stderr, flush=True)
            self._is_open = True

    def __str__(self):
        rate = (self.done - self.before) / max(time.monotonic() - self.began, 1e-9)
        return f"{self.what}: {self.done:,} of {self.total:,} {self.of}, {rate:,.0f} a second"

    def note(self, text: str):
        """A line that stays."""
        self.end()
        print(text, file=sys.stderr, flush=True)

    def end(self):
        """Removes the line that changes."""
        if self._is_open:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_open = False
