"""Tables in Markdown, aligned for reading as plain text."""

from __future__ import annotations

from pathlib import Path


class Table:
    """A header and rows with as many cells."""

    def __init__(self, *header: str):
        self.rows = [header]

    def row(self, *cells: str) -> None:
        if len(cells) != len(self.rows[0]):
            raise ValueError(f"found {len(cells)} cells, expected {len(self.rows[0])}")
        self.rows.append(cells)

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows)]
        rule = tuple("-" * width for width in widths)
        lines = [self.rows[0], rule, *self.rows[1:]]
        pad = lambda cells: " | ".join(cell.ljust(width) for cell, width in zip(cells, widths))
        return "".join(f"| {pad(cells)} |\n" for cells in lines)


def publish(text: str, out: Path | None) -> None:
    """Prints `text`, and writes it to `out` if given."""
    print(text, end="")
    if out:
        out.write_text(text)
