"""Text of any size with the statistics of real text, made anew from the fixtures each time, byte for byte the same.

To repeat a small text shows nothing: a trainer merges each distinct word once, and a text that repeats has no new ones.
Here lines of the fixtures come in another order, and words that are rare in them give way to invented ones, whose
frequencies follow Zipf's law. Five megabytes then have some 60,000 distinct pre-tokens; a dictionary and manuals of
that size, which we counted, have 79,000 and 53,000.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from pathlib import Path

from grader.cases.assets import text

END_OF_TEXT = "<|endoftext|>"
KINDS = {"English": ("english.txt",), "technical": ("technical.txt",)}

_RARE = 3  # times in the fixture, at most
_RANKS = 1_000_000
_LINES_PER_DOCUMENT = 40


def write_corpus(path: Path, kind: str, megabytes: float, seed: int = 0) -> None:
    """Write a text of so many megabytes (of 1,000,000 bytes), or a line more; documents end with `END_OF_TEXT`."""
    chance = random.Random(f"{kind} {seed}")
    source = "".join(text(name) for name in KINDS[kind])
    words = Counter(re.findall(r"[A-Za-z]{4,}", source))
    fragments = [fragment for fragment, _ in Counter(re.findall(r"[a-z]{2,3}", source.lower())).most_common(256)]
    lines = [re.split(r"([A-Za-z]{4,})", line) for line in source.splitlines(keepends=True)]
    invented: dict[int, str] = {}

    def word_for(old: str) -> str:
        if words[old] > _RARE:
            return old
        rank = int(math.exp(chance.random() * math.log(_RANKS)))  # its frequency falls as 1 / rank
        if rank not in invented:
            spelling = random.Random(rank)
            invented[rank] = "".join(spelling.choices(fragments, k=spelling.choice((2, 2, 3, 3, 4))))
        return invented[rank].capitalize() if old[0].isupper() else invented[rank]

    size, number = 0, 0
    with path.open("w", encoding="utf-8", newline="") as file:
        while size < megabytes * 1_000_000:
            parts = chance.choice(lines)
            line = "".join(word_for(part) if place % 2 else part for place, part in enumerate(parts))
            number += 1
            if number % _LINES_PER_DOCUMENT == 0:
                line += END_OF_TEXT
            size += len(line.encode())
            file.write(line)
