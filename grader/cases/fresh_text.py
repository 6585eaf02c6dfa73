"""Texts that do not come twice, for calls that are timed: whoever remembers answers has none for these."""

from __future__ import annotations

import random
import string

from .assets import text


def shuffled_text(seed: int, size: int) -> str:
    """`size` bytes, or a few more, of lines from the fixtures' English texts, in an order of the seed's."""
    chance = random.Random(seed)
    lines = [line for name in ("english.txt", "stories.txt") for line in text(name).splitlines(keepends=True)]
    chance.shuffle(lines)
    chosen, length = [], 0
    for line in lines * (size // 100_000 + 1):
        chosen.append(line)
        length += len(line.encode())
        if length >= size:
            break
    return "".join(chosen)


def with_letters_exchanged(plain: str, seed: int) -> str:
    """The text with each small letter replaced by another, one for one: the same statistics, and other merges."""
    letters = list(string.ascii_lowercase)
    random.Random(seed).shuffle(letters)
    return plain.translate(str.maketrans(string.ascii_lowercase, "".join(letters)))
