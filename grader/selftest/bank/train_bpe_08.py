import re
from collections import Counter, defaultdict
from itertools import pairwise

import regex

PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def check_arguments(vocab_size, special_tokens, num_processes):
    if "" in special_tokens or len(set(special_tokens)) < len(special_tokens):
        raise ValueError("special tokens must be different and not empty")
    if vocab_size < 256 + len(special_tokens):
        raise ValueError(f"a vocabulary of {vocab_size} has no room for the bytes and the special tokens")
    if num_processes is not None and num_processes < 1:
        raise ValueError("num_processes must be at least 1")


def unique_words(input_path, special_tokens):
    with open(input_path, "rb") as f:
        text = f.read().decode("utf-8", errors="replace")
    pieces = [text]
    if special_tokens:
        pieces = re.split("|".join(re.escape(t) for t in sorted(special_tokens, key=len, reverse=True)), text)
    seen = set()
    for piece in pieces:
        seen.update(regex.findall(PATTERN, piece))
    return sorted(seen)


def learn(words, num_merges):
    words = [tuple(bytes([b]) for b in word.encode()) for word in words]
    pairs = defaultdict(Counter)
    totals = Counter()
    for n, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair][n] += 1
            totals[pair] += 1
    merges = []
    while totals and len(merges) < num_merges:
        best = max(totals.items(), key=lambda item: (item[1], item[0]))[0]
        merges.append(best)
        for n in list(pairs[best]):
            for pair in pairwise(words[n]):
                pairs[pair].pop(n, None)
                totals[pair] -= 1
                if not totals[pair]:
                    del totals[pair]
            words[n] = join(words[n], best)
            for pair in pairwise(words[n]):
                pairs[pair][n] += 1
                totals[pair] += 1
    return merges


def join(word, pair):
    out = []
    rest = list(word)
    while rest:
        if tuple(rest[:2]) == pair:
            out.append(rest.pop(0) + rest.pop(0))
        else:
            out.append(rest.pop(0))
    return tuple(out)


def train_bpe(input_path, vocab_size, special_tokens, num_processes=None):
    check_arguments(vocab_size, special_tokens, num_processes)
    merges = learn(unique_words(input_path, special_tokens), vocab_size - 256 - len(special_tokens))
    vocab = {}
    for token in special_tokens:
        vocab[len(vocab)] = token.encode()
    for b in range(256):
        vocab[len(vocab)] = bytes([b])
    for first, second in merges:
        vocab[len(vocab)] = first + second
    return vocab, merges


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return train_bpe(input_path, vocab_size, special_tokens, **kwargs)
