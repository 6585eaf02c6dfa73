"""Peak memory of the reference trainer and tokenizer; each measurement runs in a process of its own.

python -m benchmarks.memory train MEGABYTES      peak resident memory, in MiB, of training on so much text
python -m benchmarks.memory stream MEGABYTES     growth of Python's memory, in MiB, while encoding so much text
"""

from __future__ import annotations

import sys
import tempfile
import tracemalloc
from itertools import islice, repeat

from grader.kit.paths import FIXTURES
from grader.reference.bpe import train_bpe
from grader.reference.tokenizer import Tokenizer

from .bpe import peak_kib

TEXTS = FIXTURES / "text"
MIB = 1 << 20


def train(megabytes: int) -> float:
    """Train on the fixtures' English text, repeated to this size."""
    text = (TEXTS / "english.txt").read_bytes() + b"<|endoftext|>"
    with tempfile.NamedTemporaryFile() as file:
        for part in repeat(text, megabytes * MIB // len(text)):
            file.write(part)
        file.flush()
        train_bpe(file.name, 1000, ["<|endoftext|>"], num_processes=1)
    return peak_kib() / 1024


def stream(megabytes: int) -> float:
    """Encode the fixtures' English text line by line, repeated to this size, keeping nothing."""
    lines = (TEXTS / "english.txt").read_text("utf-8").splitlines(keepends=True)
    vocab, merges = train_bpe(TEXTS / "english.txt", 1000, [])
    tokenizer = Tokenizer(vocab, merges)
    for _ in tokenizer.encode_iterable(lines):  # fills the cache, whose size has a bound of its own
        pass
    repeats = megabytes * MIB // sum(map(len, lines))
    tracemalloc.start()
    for _ in tokenizer.encode_iterable(line for text in islice(repeat(lines), repeats) for line in text):
        pass
    return tracemalloc.get_traced_memory()[1] / MIB


if __name__ == "__main__":
    print({"train": train, "stream": stream}[sys.argv[1]](int(sys.argv[2])))
