import json
import re
from itertools import pairwise

import regex

PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
WORDS = regex.compile(PATTERN)
BORDER = regex.compile(r"(?<=\p{L})(?=\P{L})|(?<=\p{N})(?=\P{N})|(?<=[^\s\p{L}\p{N}'])(?=[\s\p{L}\p{N}])")


def gpt2_characters():
    """Map the characters of GPT-2's files back to bytes."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    return {**{chr(b): b for b in plain}, **{chr(256 + n): b for n, b in enumerate(rest)}}


class Tokenizer:
    def __init__(self, vocab, merges, special_tokens=None):
        self.vocab = dict(vocab)
        self.special_tokens = list(special_tokens or [])
        if "" in self.special_tokens:
            raise ValueError("a special token is empty")
        self.ids = {}
        for token_id, token in self.vocab.items():
            self.ids.setdefault(token, token_id)
        for token in self.special_tokens:
            if token.encode() not in self.ids:
                new_id = max(self.vocab, default=-1) + 1
                self.vocab[new_id] = token.encode()
                self.ids[token.encode()] = new_id
        self.ranks = {}
        for rank, (first, second) in enumerate(merges):
            for token in (first, second, first + second):
                if token not in self.ids:
                    raise ValueError(f"{token!r} is in the merges but not in the vocabulary")
            self.ranks.setdefault((first, second), rank)
        self.cache = {}
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self.special_pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def encode_word(self, word):
        if word in self.cache:
            return self.cache[word]
        parts = [bytes([b]) for b in word.encode("utf-8")]
        while True:
            ranks = [self.ranks.get(pair) for pair in pairwise(parts)]
            ranks = [rank for rank in ranks if rank]
            if not ranks:
                break
            parts = self.join_all(parts, min(ranks))
        try:
            ids = [self.ids[part] for part in parts]
        except KeyError as error:
            raise ValueError(f"byte {error} is not in the vocabulary") from error
        if len(self.cache) >= 20_000:
            self.cache.clear()
        self.cache[word] = ids
        return ids

    def join_all(self, parts, best):
        """Join the pair of this rank wherever it occurs, from the left, as long as no better pair comes up."""
        joined, i = [], 0
        while i < len(parts):
            if i + 1 < len(parts) and self.ranks.get((parts[i], parts[i + 1])) == best:
                joined.append(parts[i] + parts[i + 1])
                i += 2
                around = pairwise([*joined[-2:], *parts[i : i + 1]])
                if any(self.ranks.get(pair, best) < best for pair in around):
                    break
            else:
                joined.append(parts[i])
                i += 1
        return joined + parts[i:]

    def encode(self, text):
        ids = []
        for part in self.special_pattern.split(text) if self.special_tokens else [text]:
            if part in self.special_tokens:
                ids.append(self.ids[part.encode()])
            else:
                for word in WORDS.findall(part):
                    ids.extend(self.encode_word(word))
        return ids

    def encode_iterable(self, iterable):
        held = ""
        for chunk in iterable:
            held += chunk
            cut = self.last_cut(held)
            yield from self.encode(held[:cut])
            held = held[cut:]
        yield from self.encode(held)

    def last_cut(self, text):
        for border in reversed(list(BORDER.finditer(text))):
            cut = border.start()
            starts = ((token, i) for token in self.special_tokens for i in range(max(0, cut - len(token) + 1), cut))
            if not any(token.startswith(text[i : i + len(token)]) for token, i in starts):
                return cut
        return 0

    def decode(self, ids):
        try:
            return b"".join([self.vocab[i] for i in ids]).decode("utf-8", errors="replace")
        except KeyError as missing:
            raise ValueError(f"unknown id {missing}") from None

    @classmethod
    def from_files(cls, vocab_filepath, merges_filepath, special_tokens=None):
        table = gpt2_characters()
        specials = set(special_tokens or [])

        def to_bytes(token):
            if token in specials:
                return token.encode("utf-8")
            if not all(c in table for c in token):
                raise ValueError(f"{token!r} has a character that stands for no byte")
            return bytes(table[c] for c in token)

        with open(vocab_filepath, encoding="utf-8") as f:
            vocab = {i: to_bytes(token) for token, i in json.load(f).items()}
        merges = []
        with open(merges_filepath, encoding="utf-8") as f:
            lines = f.read().split("\n")
        for number, line in enumerate(lines):
            if not line or (number == 0 and line.startswith("#version")):
                continue
            if len(line.split(" ")) != 2:
                raise ValueError(f"line {number + 1} of the merges does not have two tokens")
            first, second = line.split(" ")
            merges.append((to_bytes(first), to_bytes(second)))
        return cls(vocab, merges, special_tokens)


def get_tokenizer(vocab, merges, special_tokens=None):
    return Tokenizer(vocab, merges, special_tokens)


def get_tokenizer_from_files(vocab_filepath, merges_filepath, special_tokens=None):
    return Tokenizer.from_files(vocab_filepath, merges_filepath, special_tokens)
