import heapq
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


def merge_word(word, pair):
    merged = []
    i = 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            merged.append(word[i] + word[i + 1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return merged


class Candidate:
    __slots__ = ("count", "pair")

    def __init__(self, count, pair):
        self.count = count
        self.pair = pair

    def __lt__(self, other):
        return (self.count, self.pair) > (other.count, other.pair)


def learn(word_counts, num_merges):
    words = [[bytes([b]) for b in word.encode("utf-8")] for word in word_counts]
    weights = list(word_counts.values())
    counts = Counter()
    where = defaultdict(set)
    for index, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += weights[index]
            where[pair].add(index)
    heap = [Candidate(count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges = []
    done = set()
    while heap and len(merges) < num_merges:
        best = heapq.heappop(heap).pair
        if best in done or counts[best] <= 0:
            continue
        done.add(best)
        merges.append(best)
        changed = set()
        for index in where.pop(best):
            for pair in pairwise(words[index]):
                counts[pair] -= weights[index]
                changed.add(pair)
            words[index] = merge_word(words[index], best)
            for pair in pairwise(words[index]):
                counts[pair] += weights[index]
                where[pair].add(index)
                changed.add(pair)
        for pair in changed:
            if counts[pair] > 0:
                heapq.heappush(heap, Candidate(counts[pair], pair))
    return merges


def train_bpe(input_path, vocab_size, special_tokens, num_processes=None):
    check_arguments(vocab_size, special_tokens, num_processes)
    words = count_words(input_path, special_tokens)
    merges = learn(words, vocab_size - 256 - len(special_tokens))
    tokens = [token.encode("utf-8") for token in special_tokens]
    tokens += [bytes([b]) for b in range(256)]
    tokens += [a + b for a, b in merges]
    return dict(enumerate(tokens)), merges


def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    return train_bpe(input_path, vocab_size, special_tokens, **kwargs)
