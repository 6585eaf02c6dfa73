"""From text to the training loop's input: a tokenizer and two files of token ids.

    python -m cs336_basics.prepare data/tiny --train stories.txt --valid stories_valid.txt --vocab-size 1024

The tokenizer is trained on the training text and then encodes both texts.
"""

import os
import sys
from collections.abc import Sequence

from .tokenizer import Tokenizer

END_OF_TEXT = "<|endoftext|>"


def save_tokenizer(
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: Sequence[str],
    folder: str | os.PathLike[str],
) -> None:
    """Write `vocab.json` and `merges.txt` into an existing folder, in the format that `Tokenizer.from_files` reads.

    Problem: train_bpe_tinystories
    """
    raise NotImplementedError("train_bpe_tinystories: write save_tokenizer in cs336_basics/prepare.py")


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
    raise NotImplementedError("tokenizer_experiments: write encode_file in cs336_basics/prepare.py")


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
    raise NotImplementedError("tokenizer_experiments: write prepare in cs336_basics/prepare.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, or 2 if the input must be corrected.

    Problem: tokenizer_experiments
    """
    raise NotImplementedError("tokenizer_experiments: write main in cs336_basics/prepare.py")


if __name__ == "__main__":
    sys.exit(main())
