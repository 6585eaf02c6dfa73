"""Encoding text as token ids with a byte-level BPE vocabulary, and decoding ids as text.

`pretokenization.py` says how text is split; `bpe.py` learns vocabularies.
"""

import os
from collections.abc import Iterable, Iterator


class Tokenizer:
    """A byte-level BPE tokenizer: text to token ids and back.

    To encode a text, split it at the special tokens, each of which becomes its own id; if several match, take the
    longest. Split the text between them into pre-tokens with `PRETOKEN_PATTERN`. Each pre-token starts as its UTF-8
    bytes, one token per byte. Then repeatedly merge the adjacent pair that comes first in `merges`, the leftmost if it
    occurs several times, until no adjacent pair is in `merges`. A token's id is whatever `vocab` says; it need not
    follow the order of the merges.

    Args:
        vocab: Maps ids to the bytes of tokens.
        merges: Pairs of tokens in the order of their creation, as returned by `train_bpe`.
        special_tokens: Tokens at which text is split. Add those that `vocab` lacks to the tokenizer's vocabulary, in
            the order given, with the ids after the largest one. `None` and `[]` both mean that there are none: then
            encode a text such as `"<|endoftext|>"` like any other, even if `vocab` has it.

    Attributes:
        vocab: The vocabulary with the special tokens. The dictionary passed in is not changed.

    Raises:
        ValueError: If a token of a merge, or its merged token, is not in `vocab`, or if a special token is empty.

    Sources:
        Sennrich et al. 2016, section 3.2, https://arxiv.org/abs/1508.07909.
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.

    Problem: tokenizer
    """

    def __init__(
        self,
        vocab: dict[int, bytes],
        merges: list[tuple[bytes, bytes]],
        special_tokens: list[str] | None = None,
    ) -> None:
        raise NotImplementedError("tokenizer: write Tokenizer.__init__ in cs336_basics/tokenizer.py")

    @classmethod
    def from_files(
        cls,
        vocab_filepath: str | os.PathLike,
        merges_filepath: str | os.PathLike,
        special_tokens: list[str] | None = None,
    ) -> "Tokenizer":
        """Read a tokenizer from two files in the format in which GPT-2's vocabulary was published.

        Both are UTF-8 text in which a token's bytes are written in a printable alphabet. The bytes 0x21 to 0x7E, 0xA1
        to 0xAC and 0xAE to 0xFF are written as the characters with these code points. The other 68, in ascending order,
        are written as the characters from U+0100 upwards: 0x00 as U+0100, the space as U+0120 (`Ġ`), 0xAD as U+0143.
        Special tokens are written unchanged.

        Args:
            vocab_filepath: A JSON object that maps tokens to ids.
            merges_filepath: One merge per line, in order: two tokens with a space between them. The first line
                may be a comment that starts with `#version`. Empty lines are skipped.
            special_tokens: As for `Tokenizer`.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If a token has a character that stands for no byte, if a line of merges does not have two
                tokens, or if `Tokenizer` raises it.
        """
        raise NotImplementedError("tokenizer: write Tokenizer.from_files in cs336_basics/tokenizer.py")

    def encode(self, text: str) -> list[int]:
        """Encode a text as token ids.

        Args:
            text: Any text, with or without special tokens. It may be empty.

        Returns:
            The ids; `decode` turns them back into the same text.

        Raises:
            ValueError: If the text has a byte that is not in the vocabulary, or a lone surrogate, which has no UTF-8
                encoding.
        """
        raise NotImplementedError("tokenizer: write Tokenizer.encode in cs336_basics/tokenizer.py")

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[int]:
        """Encode a text that comes in chunks, such as the lines of a file, one id at a time.

        The ids are those of `encode("".join(iterable))`, wherever the chunks end: in a word, in a run of white space,
        in a contraction, in a special token. Yield them as soon as no further text can change them, and hold no more
        text than this needs, so that a text far larger than memory can be encoded.

        Args:
            iterable: The chunks, in order. They may be of any length, and empty.

        Returns:
            An iterator over the ids. It requests a chunk only after all final ids so far have been taken.

        Raises:
            ValueError: As for `encode`, when the iterator reaches the place.
        """
        raise NotImplementedError("tokenizer: write Tokenizer.encode_iterable in cs336_basics/tokenizer.py")

    def decode(self, ids: Iterable[int]) -> str:
        """Decode token ids as text.

        First join the bytes of all tokens, then decode them as UTF-8, because the bytes of one character may be spread
        over several tokens. Malformed sequences, such as half a character, become U+FFFD.

        Args:
            ids: Any ids of the vocabulary, including those of special tokens. There may be none.

        Returns:
            The text.

        Raises:
            ValueError: If an id is not in the vocabulary.
        """
        raise NotImplementedError("tokenizer: write Tokenizer.decode in cs336_basics/tokenizer.py")
