"""Byte-pair encoding: learning a vocabulary and its merges from a text.

Encoding a text with what was learnt is the business of `tokenizer.py`.
"""

import os


def train_bpe(
    input_path: str | os.PathLike,
    vocab_size: int,
    special_tokens: list[str],
    *,
    num_processes: int | None = None,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learn a byte-level BPE vocabulary from a text file.

    The file is UTF-8 and is read as it is: line endings are not translated. A malformed sequence of bytes
    counts as U+FFFD.

    1. The text is split at the special tokens; where several fit, at the longest. They take no further part:
       nothing in them is counted, and nothing is merged across them.
    2. What lies between is split into pre-tokens by `PRETOKEN_PATTERN`. Each pre-token is a sequence of
       tokens, at first of its UTF-8 bytes. Merges never cross the border of a pre-token.
    3. The pair of adjacent tokens that is most frequent over all pre-tokens is merged: from left to right,
       each of its occurrences becomes one new token, whose bytes are those of the two. Of equally frequent
       pairs the lexicographically greater is taken, comparing the bytes of the first tokens, then those of
       the second: `max([(b"a", b"z"), (b"ab", b"a")])` is `(b"ab", b"a")`.
    4. Step 3 is repeated until the vocabulary has `vocab_size` entries, or no pre-token has a pair left.

    Args:
        input_path: The training text.
        vocab_size: The largest size of the vocabulary: special tokens, 256 bytes and merges together.
        special_tokens: Tokens such as `"<|endoftext|>"`, in the order of their ids. There may be none.
        num_processes: How many processes may count pre-tokens side by side; None means one for each
            processor. It has no influence on the result, and small files are not worth a second process.

    Returns:
        vocab: Maps ids to bytes. Ids count from 0: first the special tokens in the order given, then the 256
            bytes in ascending order, then the merged tokens in the order of their creation.
        merges: The merged pairs `(first, second)` in the order of their creation.

    Raises:
        ValueError: If a special token is empty or given twice, if `vocab_size` leaves no room for the special
            tokens and the 256 bytes, or if `num_processes` is less than 1.

    Sources:
        Sennrich et al. 2016, section 3.2, https://arxiv.org/abs/1508.07909, for byte-pair encoding.
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2, for bytes as
        base tokens and for pre-tokens.

    Problem: train_bpe
    """
    raise NotImplementedError("train_bpe: write train_bpe in cs336_basics/bpe.py")
