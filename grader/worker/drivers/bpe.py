"""Driver for BPE training, which reads its corpus from a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..bench import Bench


def train_bpe(
    bench: Bench, corpus: bytes, vocab_size: int, special_tokens: list[str], path_as_str: bool = False
) -> Any:
    """Write `corpus` to a file, train on it and return the student's (vocab, merges)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(corpus)
        return bench.adapter(
            "run_train_bpe",
            input_path=str(path) if path_as_str else path,
            vocab_size=vocab_size,
            special_tokens=special_tokens,
        )


DRIVERS = (train_bpe,)
