"""Texts of a file, one a line."""

import hashlib
from pathlib import Path
from typing import List

from ..errors import InputError

# what people have in place of a list of texts, which would be read as texts without a complaint
TABLES = {".csv", ".tsv", ".json", ".jsonl"}


class Texts:
    """The lines of a file; no line is left out. Spaces at their ends are part of them."""

    kind = "texts"
    labels = None
    classes: List[str] = []

    def __init__(self, file: Path):
        self.path = file
        self.notes: List[str] = []
        if file.suffix.lower() in TABLES:
            raise InputError(f"{file}: found a {file.suffix} file, expected one text a line; write the texts into a .txt file")
        try:
            bytes_ = file.read_bytes()
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from None
        if bytes_[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1"):
            raise InputError(f"{file}: found one image, expected a folder of images or a text file; name its folder")
        try:
            text = bytes_.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = bytes_[: error.start].count(b"\n") + 1
            raise InputError(
                f"{file}:{line}: found bytes that are no UTF-8, expected a folder of images or a text file in UTF-8, one "
                "text a line; save it as UTF-8"
            ) from None
        # not `splitlines`, which also splits at rare separators inside a line
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        self.lines = [line.removesuffix("\r") for line in lines]
        if not self.lines:
            raise InputError(f"{file}: found an empty file, expected one text a line")
        empty = [number for number, line in enumerate(self.lines, 1) if not line.strip()]
        if empty:
            many = f", and {len(empty) - 1} more empty lines" if len(empty) > 1 else ""
            raise InputError(f"{file}:{empty[0]}: found an empty line{many}, expected one text a line; remove it, or fill it in")

    def __len__(self):
        return len(self.lines)

    def name(self, item: int) -> str:
        return f"{self.path}:{item + 1}"

    def digest(self, items) -> str:
        """Of these items."""
        sha = hashlib.sha256()
        for item in items:
            line = self.lines[item].encode()
            sha.update(len(line).to_bytes(8, "little") + line)
        return sha.hexdigest()

    def read(self, item: int) -> str:
        return self.lines[item]
