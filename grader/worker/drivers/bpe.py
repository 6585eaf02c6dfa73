"""Driver for BPE training, which reads its corpus from a file."""

from __future__ import annotations

import numbers
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import ContractBroken

if TYPE_CHECKING:
    from ..operations import Operations


def train_bpe(
    operations: Operations, corpus: bytes, vocab_size: int, special_tokens: list[str], path_as_str: bool = False
) -> dict[str, Any]:
    """Write `corpus` to a file, train on it and take the student's (vocab, merges) apart.

    Which token has which id is the student's choice, so ids and tokens come separately.

    Returns:
        merges: as they came; ids: the keys of the vocabulary in ascending order; tokens: its distinct values, sorted.

    Raises:
        ContractBroken: when the result is not a dict of int to bytes and a list.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(corpus)
        result = operations.adapter(
            "run_train_bpe",
            input_path=str(path) if path_as_str else path,
            vocab_size=vocab_size,
            special_tokens=special_tokens,
        )
    vocab, merges = _pair(result)
    for token_id, token in vocab.items():
        if not isinstance(token_id, numbers.Integral) or not isinstance(token, bytes):
            raise ContractBroken(
                f"vocab has the entry {token_id!r}: {token!r} ({type(token_id).__name__} to {type(token).__name__}); "
                "it maps ids (int) to tokens (bytes)"
            )
    return {"merges": merges, "ids": sorted(vocab), "tokens": sorted(set(vocab.values()))}


def _pair(result: Any) -> tuple[dict[int, bytes], list[Any]]:
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise ContractBroken(f"run_train_bpe returned {_described(result)}, not the pair (vocab, merges)")
    vocab, merges = result
    if not isinstance(vocab, dict) or not isinstance(merges, list):
        raise ContractBroken(
            f"run_train_bpe returned ({_described(vocab)}, {_described(merges)}); vocab is a dict, merges a list"
        )
    return vocab, merges


def _described(value: Any) -> str:
    if value is None:
        return "None (is it unwritten, or is a `return` missing?)"
    size = f" of {len(value)} items" if isinstance(value, (tuple, list, dict)) else ""
    return f"{type(value).__name__}{size}"


DRIVERS = (train_bpe,)
