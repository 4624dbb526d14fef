"""Texts as sequences of tokens: tokenisation, and the indices of tokens."""

import re
from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch import Tensor

from ..errors import InputError

END = 0
"""Ends a sequence, and pads it to the longest."""

_CUTS = {"characters": r".", "whitespace": r"\S+", "ids": r"\S+", "brackets": r"\[[^\[\]]*\]"}
_BLANKS = ("whitespace", "ids")


class Alphabet:
    """The tokens of texts, numbered from 1, and the largest number of tokens per text, T."""

    def __init__(self, tokeniser: Dict[str, Any], tokens: List[str], longest: int):
        self.tokens, self.longest = tokens, longest
        self.kind = tokeniser.get("kind")
        expression = tokeniser.get("pattern") if self.kind == "pattern" else _CUTS.get(self.kind)
        if not isinstance(expression, str):
            raise InputError(
                f"its header says a tokeniser {tokeniser!r}, expected one of kind {', '.join([*_CUTS, 'pattern'])}"
            )
        try:
            self._token = re.compile(expression, re.DOTALL if self.kind == "characters" else 0)
        except re.error as error:
            raise InputError(f"its pattern `{expression}` is not a valid Python pattern ({error})") from None
        self._numbers = {token: number for number, token in enumerate(tokens, 1)}

    @classmethod
    def of(cls, header: Any) -> "Alphabet":
        """Parses a file's header."""
        try:
            tokeniser, tokens, longest = (header[key] for key in ("tokeniser", "tokens", "longest"))
            return cls(dict(tokeniser), list(map(str, tokens)), int(longest))
        except (KeyError, TypeError, ValueError):
            raise InputError("its header has no alphabet, expected tokeniser, tokens and longest") from None

    @property
    def size(self) -> int:
        """V, the number of tokens including the end token."""
        return len(self.tokens) + 1

    def _cut(self, text: str) -> List[Tuple[int, str]]:
        """The tokens of `text`, each with the index of its first character."""
        found, at = [], 0
        while at < len(text):
            if self.kind in _BLANKS and text[at].isspace():
                at += 1
                continue
            match = self._token.match(text, at)
            if not match or match.end() == at:
                raise InputError(
                    f"character {at + 1} of {text!r}: found {text[at : at + 12]!r}, expected a token as the tokeniser "
                    f"{self.kind} has them"
                )
            found.append((at, match.group()))
            at = match.end()
        return found

    def sequence(self, text: str) -> List[int]:
        """The numbers of the tokens of `text`."""
        cut = self._cut(text)
        if not 1 <= len(cut) <= self.longest:
            raise InputError(f"{text!r}: found {len(cut)} tokens, expected 1 to {self.longest}")
        for at, token in cut:
            if token not in self._numbers:
                raise InputError(
                    f"character {at + 1} of {text!r}: found the token {token!r}, expected one of the {len(self.tokens)} tokens "
                    f"{' '.join(self.tokens[:40])}{' ...' if len(self.tokens) > 40 else ''}"
                )
        return [self._numbers[token] for _, token in cut]

    def rows(self, texts: Sequence[str]) -> Tensor:
        """Numbers of tokens [n, T], end tokens behind each text."""
        rows = torch.full((len(texts), self.longest), END)
        for row, text in zip(rows, texts):
            sequence = self.sequence(text)
            row[: len(sequence)] = torch.tensor(sequence)
        return rows

    def texts(self, rows: Tensor) -> List[str]:
        """The texts of `rows` [n, T], each up to its first end token."""
        between = " " if self.kind in _BLANKS else ""
        texts = []
        for row in rows.tolist():
            end = row.index(END) if END in row else len(row)
            texts.append(between.join(self.tokens[number - 1] for number in row[:end]))
        return texts
