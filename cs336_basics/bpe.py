"""Byte-pair encoding: learn a vocabulary and its merges from a text.

`tokenizer.py` encodes texts with them.
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

    The file is UTF-8. Do not translate line endings. A malformed byte sequence counts as U+FFFD.

    1. Split the text at the special tokens; if several match, at the longest. Drop them: count nothing inside them, and
       merge nothing across them.
    2. Split the text between them into pre-tokens with `PRETOKEN_PATTERN`. Each pre-token is a sequence of tokens, at
       first its UTF-8 bytes. Merges never cross the boundary of a pre-token.
    3. Merge the pair of adjacent tokens that is most frequent over all pre-tokens: from left to right, each occurrence
       becomes one new token with the bytes of both. Of equally frequent pairs, take the lexicographically greater:
       compare the bytes of the first tokens, then those of the second: `max([(b"a", b"z"), (b"ab", b"a")])` is
       `(b"ab", b"a")`.
    4. Repeat step 3 until the vocabulary has `vocab_size` entries, or no pre-token has a pair left.

    Args:
        input_path: The training text.
        vocab_size: The maximum size of the vocabulary: special tokens, 256 bytes and merges together.
        special_tokens: Tokens such as `"<|endoftext|>"`, in the order of their ids. There may be none.
        num_processes: How many processes may count pre-tokens in parallel; None means one per processor. It does not
            change the result, and small files are not worth a second process.

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
