"""Drivers for the tokenizer: an object that is built once and asked many times.

`open_tokenizer` and the drivers that take its handle do that. Those above it do everything in one call, which is what
a case's expected output and a timing need.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..exceptions import ContractBroken

if TYPE_CHECKING:
    from ..operations import Operations


def encode_texts(
    operations: Operations,
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: list[str] | None,
    texts: list[str],
) -> list[Any]:
    """Build a tokenizer and encode each of the texts with it."""
    tokenizer = operations.adapter("get_tokenizer", vocab=vocab, merges=merges, special_tokens=special_tokens)
    return [tokenizer.encode(text) for text in texts]


def encode_streams(
    operations: Operations,
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: list[str] | None,
    streams: list[list[str]],
) -> list[list[Any]]:
    """Build a tokenizer and collect what `encode_iterable` yields for each stream of chunks."""
    tokenizer = operations.adapter("get_tokenizer", vocab=vocab, merges=merges, special_tokens=special_tokens)
    return [_yielded(tokenizer.encode_iterable(iter(chunks))) for chunks in streams]


def decode_ids(
    operations: Operations,
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: list[str] | None,
    sequences: list[list[int]],
) -> list[Any]:
    """Build a tokenizer and decode each of the sequences of ids with it."""
    tokenizer = operations.adapter("get_tokenizer", vocab=vocab, merges=merges, special_tokens=special_tokens)
    return [tokenizer.decode(ids) for ids in sequences]


def decode_unknown(
    operations: Operations,
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    known: list[int],
    unknown: list[int],
) -> dict[str, Any]:
    """Decode ids that the vocabulary has, and then ids that it partly lacks.

    Returns:
        known: the text of the former; unknown: the text of the latter, or None when decoding them raised an exception.
    """
    tokenizer = operations.adapter("get_tokenizer", vocab=vocab, merges=merges, special_tokens=None)
    text = tokenizer.decode(known)
    try:
        return {"known": text, "unknown": tokenizer.decode(unknown)}
    except NotImplementedError:
        raise
    except Exception:  # any refusal will do
        return {"known": text, "unknown": None}


def open_tokenizer(
    operations: Operations,
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: list[str] | None = None,
) -> int:
    """Build the student's tokenizer and return a handle to it."""
    return operations.keep(
        operations.adapter("get_tokenizer", vocab=vocab, merges=merges, special_tokens=special_tokens)
    )


def open_tokenizer_from_files(
    operations: Operations, vocab_json: bytes, merges_text: bytes, special_tokens: list[str] | None = None
) -> int:
    """Write the two files in GPT-2's format, build the tokenizer from them and return a handle to it."""
    with tempfile.TemporaryDirectory() as folder:
        vocab_path, merges_path = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_path.write_bytes(vocab_json)
        merges_path.write_bytes(merges_text)
        return operations.keep(
            operations.adapter(
                "get_tokenizer_from_files",
                vocab_filepath=vocab_path,
                merges_filepath=merges_path,
                special_tokens=special_tokens,
            )
        )


def tokenizer_encode(operations: Operations, handle: int, text: str) -> Any:
    """`tokenizer.encode(text)`."""
    return operations.objects[handle].encode(text)


def tokenizer_decode(operations: Operations, handle: int, ids: list[int]) -> Any:
    """`tokenizer.decode(ids)`."""
    return operations.objects[handle].decode(ids)


def tokenizer_encode_iterable(operations: Operations, handle: int, chunks: list[str]) -> list[Any]:
    """Everything that `tokenizer.encode_iterable` yields for these chunks."""
    return _yielded(operations.objects[handle].encode_iterable(iter(chunks)))


def tokenizer_encode_file(operations: Operations, handle: int, content: bytes) -> list[Any]:
    """`encode_iterable` over an open text file, as the assignment uses it (lines keep their ends)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.txt")
        path.write_bytes(content)
        with path.open(encoding="utf-8", newline="") as file:
            return _yielded(operations.objects[handle].encode_iterable(file))


def tokenizer_chunks_read_before_first_id(operations: Operations, handle: int, chunk: str, available: int) -> int:
    """How many of `available` equal chunks `encode_iterable` takes before it yields its first id."""
    read = 0

    def chunks() -> Iterator[str]:
        nonlocal read
        for _ in range(available):
            read += 1
            yield chunk

    ids = operations.objects[handle].encode_iterable(chunks())
    _refuse_none(ids)
    if not list(itertools.islice(iter(ids), 1)):
        raise ContractBroken("encode_iterable yielded nothing for a non-empty text")
    return read


def tokenizer_stream(operations: Operations, handle: int, chunk: str, repeats: int) -> int:
    """Consume `encode_iterable` over `repeats` equal chunks, one id at a time; gives how many ids came.

    Memory that was freed is given back before, so that whoever measures from outside sees what the stream takes.
    """
    with contextlib.suppress(AttributeError, OSError):  # of glibc only
        ctypes.CDLL(None).malloc_trim(0)
    return sum(1 for _ in operations.objects[handle].encode_iterable(itertools.repeat(chunk, repeats)))


def _yielded(ids: Any) -> list[Any]:
    _refuse_none(ids)
    return list(ids)


def _refuse_none(ids: Any) -> None:
    if ids is None:
        raise ContractBroken(
            "encode_iterable returned None, not an iterator over ids, as a function does that is not written, "
            "or has neither `yield` nor `return`"
        )


DRIVERS = (
    encode_texts,
    encode_streams,
    decode_ids,
    decode_unknown,
    open_tokenizer,
    open_tokenizer_from_files,
    tokenizer_encode,
    tokenizer_decode,
    tokenizer_encode_iterable,
    tokenizer_encode_file,
    tokenizer_chunks_read_before_first_id,
    tokenizer_stream,
)
