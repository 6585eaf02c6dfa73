"""From text to the training loop's input: a tokenizer and two files of token ids.

    python -m cs336_basics.prepare data/tiny --train stories.txt --valid stories_valid.txt --vocab-size 1024

The tokenizer is trained on the training text and then encodes both texts.
"""

import argparse
import json
import os
import sys
from array import array
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ._forecast import _of_bpe
from .bpe import train_bpe
from .tokenizer import Tokenizer, _printable_alphabet

END_OF_TEXT = "<|endoftext|>"

_BLOCK = 1 << 20  # token ids between writes


def save_tokenizer(
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: Sequence[str],
    folder: str | os.PathLike[str],
) -> None:
    """Write `vocab.json` and `merges.txt` into an existing folder, in the format that `Tokenizer.from_files` reads.

    Problem: train_bpe_tinystories
    """
    alphabet = _printable_alphabet()
    literal = {token.encode(): token for token in special_tokens}

    def spell(token: bytes) -> str:
        return literal.get(token) or "".join(alphabet[byte] for byte in token)

    table = {spell(token): index for index, token in vocab.items()}
    lines = ["#version: 0.2", *(f"{spell(first)} {spell(second)}" for first, second in merges)]
    Path(folder, "vocab.json").write_text(json.dumps(table, ensure_ascii=False), "utf-8")
    Path(folder, "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")


def encode_file(tokenizer: Tokenizer, text: str | os.PathLike[str], out: str | os.PathLike[str]) -> int:
    """Encode a UTF-8 text file into a .npy file: one long array of uint16. Returns the number of tokens.

    Neither the text nor the ids need fit into memory. Do not translate line endings.

    Problem: tokenizer_experiments
    """
    with Path(text).open(encoding="utf-8", newline="") as lines, Path(out).open("wb") as file:
        count = 0
        _write_header(file, count)
        ids = iter(tokenizer.encode_iterable(lines))
        while block := array("H", islice(ids, _BLOCK)):
            file.write(block.tobytes())
            count += len(block)
        file.seek(0)
        _write_header(file, count)
    return count


def prepare(
    train_text: str | os.PathLike[str],
    valid_text: str | os.PathLike[str],
    out: str | os.PathLike[str],
    vocab_size: int,
    special_tokens: Sequence[str] = (END_OF_TEXT,),
) -> None:
    """Train a tokenizer on the training text, and encode both texts with it.

    The folder `out` then holds vocab.json, merges.txt, train.npy, valid.npy and data.toml. data.toml says where they
    come from: `train_text` and `valid_text`, the two paths as given.

    Raises:
        ValueError: there are more than 65,536 token ids, which do not fit into uint16; nothing is written.

    Problem: tokenizer_experiments
    """
    if vocab_size > 1 << 16:
        raise ValueError(f"vocab_size is {vocab_size}, but uint16 has room for 65,536 ids.")
    if forecast := _of_bpe(Path(train_text), vocab_size, list(special_tokens)):
        print(f"Training the tokenizer takes at most {forecast}.", flush=True)
    vocab, merges = train_bpe(train_text, vocab_size, list(special_tokens))
    tokenizer = Tokenizer(vocab, merges, list(special_tokens))
    Path(out).mkdir(parents=True, exist_ok=True)
    save_tokenizer(vocab, merges, special_tokens, out)
    origin = {"train_text": os.fspath(train_text), "valid_text": os.fspath(valid_text)}
    lines = [f"{key} = {json.dumps(path, ensure_ascii=False)}\n" for key, path in origin.items()]
    Path(out, "data.toml").write_text("".join(lines), "utf-8")
    for name, text in (("train.npy", train_text), ("valid.npy", valid_text)):
        count = encode_file(tokenizer, text, Path(out, name))
        size = Path(text).stat().st_size
        print(f"{Path(out, name)}: {count:,} tokens, {size / max(count, 1):.2f} bytes each")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 2 if the input must be corrected.

    Problem: tokenizer_experiments
    """
    parser = argparse.ArgumentParser(
        prog="python -m cs336_basics.prepare",
        description="Train a tokenizer on a text, and encode that text and another one for the training loop.",
    )
    parser.add_argument("out", metavar="FOLDER", help="where vocab.json, merges.txt, train.npy and valid.npy go")
    parser.add_argument("--train", metavar="FILE", required=True, help="the training text")
    parser.add_argument("--valid", metavar="FILE", required=True, help="the text that is held out")
    parser.add_argument("--vocab-size", type=int, default=1024, help="at most so many tokens (default: 1024)")
    options = parser.parse_args(arguments)
    try:
        prepare(options.train, options.valid, options.out, options.vocab_size)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _write_header(file: BinaryIO, count: int) -> None:
    """The header of a .npy file; numpy leaves room in it for the length to grow."""
    header = {"descr": np.dtype(np.uint16).str, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)


if __name__ == "__main__":
    sys.exit(main())
