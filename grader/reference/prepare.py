"""From text to the training loop's input: a tokenizer and two files of token ids.

    python -m cs336_basics.prepare data/tiny --train stories.txt --valid stories_valid.txt --vocab-size 1024

The tokenizer is trained on the training text and then encodes both texts.
"""

import argparse
import codecs
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ._forecast import _of_bpe
from .bpe import train_bpe
from .pretokenization import _SHARE_BYTES, _share_borders, _useful_processes
from .tokenizer import Tokenizer, _printable_alphabet

END_OF_TEXT = "<|endoftext|>"

_BLOCK = 1 << 20  # bytes that are read at a time


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


def encode_file(
    tokenizer: Tokenizer,
    text: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    num_processes: int | None = None,
) -> int:
    """Encode a UTF-8 text file into a .npy file: one long array of uint16. Returns the number of tokens.

    Neither the text nor the ids need fit into memory. Do not translate line endings. The ids are those of the whole
    text, however many processes share the work. Show progress on a terminal.

    Args:
        tokenizer: what encodes.
        text: the text file.
        out: the .npy file. It is written when all is encoded; after an error there is none, or the one that was there.
        num_processes: how many processes encode in parallel; None means one per processor. Small files are not worth a
            second process.

    Raises:
        ValueError: the vocabulary has an id above 65,535, which does not fit into uint16, the text is not UTF-8, or
            `num_processes` is less than 1.

    Problem: tokenizer_experiments
    """
    largest = max(tokenizer.vocab, default=0)
    if largest >= 1 << 16:
        raise ValueError(f"The vocabulary has the id {largest}, but uint16 has room for ids up to 65,535.")
    source, target = Path(text), Path(out)
    processes = _useful_processes(source, num_processes)
    special_tokens = list(tokenizer._special_ids)
    shares = list(pairwise(_share_borders(source, special_tokens, max(1, source.stat().st_size // _SHARE_BYTES))))
    with (
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder,
        tqdm(total=source.stat().st_size, desc=source.name, unit="B", unit_scale=True, disable=None) as bar,
    ):
        parts = [Path(folder, f"{number}") for number in range(len(shares))]
        jobs = [(source, *share, part) for share, part in zip(shares, parts, strict=True)]
        if processes == 1 or len(jobs) == 1:
            for job in jobs:
                bar.update(_encode_share(tokenizer, *job))
        else:
            with ProcessPoolExecutor(processes, initializer=_keep, initargs=(tokenizer,)) as pool:
                for encoding in as_completed([pool.submit(_encode_share_here, *job) for job in jobs]):
                    bar.update(encoding.result())
        count = sum(part.stat().st_size for part in parts) // 2
        whole = Path(folder, "whole")
        with whole.open("wb") as file:
            header = {"descr": np.dtype(np.uint16).str, "fortran_order": False, "shape": (count,)}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                with part.open("rb") as encoded:
                    shutil.copyfileobj(encoded, file, _BLOCK)
                part.unlink()
        whole.replace(target)
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


_kept = list[Tokenizer]()  # in a process of `encode_file`: its tokenizer, whose cache fills from share to share


def _keep(tokenizer: Tokenizer) -> None:
    _kept.append(tokenizer)


def _encode_share_here(source: Path, start: int, stop: int, part: Path) -> int:
    return _encode_share(_kept[0], source, start, stop, part)


def _encode_share(tokenizer: Tokenizer, source: Path, start: int, stop: int, part: Path) -> int:
    """Write the ids of a share of a text file; gives its size in bytes."""
    with part.open("wb") as file:
        for ids in tokenizer._encode_in_pieces(_read_utf8(source, start, stop), np.uint16):
            file.write(ids.tobytes())
    return stop - start


def _read_utf8(path: Path, start: int, stop: int) -> Iterator[str]:
    """Read a part of a text file, and say where it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        file.seek(start)
        for position in range(start, stop, _BLOCK):
            begun = len(decoder.getstate()[0])  # bytes of a character that the block before began
            block = file.read(min(_BLOCK, stop - position))
            try:
                yield decoder.decode(block, final=position + _BLOCK >= stop)
            except UnicodeDecodeError as error:
                place = position - begun + error.start
                raise ValueError(
                    f"{path} is not UTF-8: byte {place:,} is 0x{error.object[error.start]:02x} ({error.reason})."
                ) from error


if __name__ == "__main__":
    sys.exit(main())
