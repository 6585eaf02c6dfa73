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


def count_words(input_path, special_tokens):
    with open(input_path, "rb") as f:
        text = f.read().decode("utf-8", errors="replace")
    documents = [text]
    if special_tokens:
        longest_first = sorted(special_tokens, key=len, reverse=True)
        documents = re.split("|".join(re.escape(token) for token in longest_first), text)
    counts = Counter()
    for document in documents:
        counts.update(regex.findall(PATTERN, document))
    return counts


def merge_ids(word, pair, new_id):
    out = []
    for token in word:
        if out and out[-1] == pair[0] and token == pair[1]:
            out[-1] = new_id
        else:
            out.append(token)
    return out


def train_bpe(input_path, vocab_size, special_tokens, num_processes=None):
    check_arguments(vocab_size, special_tokens, num_processes)
    vocab = {i: token.encode() for i, token in enumerate(special_tokens)}
    offset = len(vocab)
    for b in range(256):
        vocab[offset + b] = bytes([b])
    counts = count_words(input_path, special_tokens)
    words = [([offset + b for b in word.encode()], count) for word, count in counts.items()]
    stats, index = Counter(), defaultdict(set)
    for n, (word, count) in enumerate(words):
        for pair in pairwise(word):
            stats[pair] += count
            index[pair].add(n)
    merges = []
    while len(vocab) < vocab_size:
        best = max(stats, key=lambda pair: (stats[pair], pair), default=None)
        if best is None or stats[best] == 0:
            break
        new_id = len(vocab)
        vocab[new_id] = vocab[best[0]] + vocab[best[1]]
        merges.append((vocab[best[0]], vocab[best[1]]))
        for n in index.pop(best):
            word, count = words[n]
            for pair in pairwise(word):
                stats[pair] -= count
            word = merge_ids(word, best, new_id)
            for pair in pairwise(word):
                stats[pair] += count
                index[pair].add(n)
            words[n] = (word, count)
    return vocab, merges


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return train_bpe(input_path, vocab_size, special_tokens, **kwargs)
