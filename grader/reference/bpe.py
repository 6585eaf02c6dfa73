"""Byte-pair encoding: learning the vocabulary and the merges from a text.

Read `train_bpe` first: it counts pre-tokens, and then merges pairs. The file's text is counted once, in pieces and by
several processes if it is large; everything after that works on the distinct pre-tokens and their counts.
Encoding text with what was learnt is `tokenizer.py`.
"""

import codecs
import gc
import heapq
import multiprocessing
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from .pretokenization import _is_cut, _pretokens, _recut, _special_token_pattern, _units

# A process of its own must have at least this much to read: about a second of work, against
# some tenths of a second for starting it.
_SHARE_BYTES = 1 << 24

_READ_BYTES = 1 << 20


def train_bpe(
    input_path: str | os.PathLike,
    vocab_size: int,
    special_tokens: list[str],
    *,
    num_processes: int | None = None,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learn a byte-level BPE vocabulary from a text file.

    Problem: train_bpe
    """
    _check_arguments(vocab_size, special_tokens)
    pretoken_counts = _count_pretokens(Path(input_path), special_tokens, num_processes)
    alphabet = [bytes([byte]) for byte in range(256)]
    with _paused_garbage_collection():
        merges = _learn_merges(pretoken_counts, vocab_size - len(special_tokens) - len(alphabet))
    tokens = [token.encode() for token in special_tokens] + alphabet + [left + right for left, right in merges]
    return dict(enumerate(tokens)), merges


def _check_arguments(vocab_size: int, special_tokens: list[str]) -> None:
    repeated = [token for token, count in Counter(special_tokens).items() if count > 1]
    if repeated:
        raise ValueError(f"special_tokens has {repeated[0]!r} more than once; each token can have one id only.")
    smallest = len(special_tokens) + 256
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size is {vocab_size}, but {len(special_tokens)} special tokens and 256 bytes "
            f"alone take {smallest} ids; ask for {smallest} or more."
        )


# --- counting pre-tokens ---------------------------------------------------------------------------------------------


def _count_pretokens(path: Path, special_tokens: list[str], num_processes: int | None) -> Counter[str]:
    shares = list(pairwise(_share_borders(path, special_tokens, _useful_processes(path, num_processes))))
    first, *others = shares
    if not others:
        units = _count_units(path, first, special_tokens)
    else:
        with ProcessPoolExecutor(len(others)) as pool:
            counting = [pool.submit(_count_units, path, share, special_tokens) for share in others]
            units = _count_units(path, first, special_tokens)
            for future in counting:
                units.update(future.result())

    pretokens: Counter[str] = Counter()
    for unit, count in units.items():
        for pretoken in _pretokens(unit):
            pretokens[pretoken] += count
    return pretokens


def _useful_processes(path: Path, num_processes: int | None) -> int:
    if num_processes is None:
        num_processes = os.cpu_count() or 1
    elif num_processes < 1:
        raise ValueError(f"num_processes is {num_processes}; it takes at least 1 to read the file.")
    if multiprocessing.current_process().daemon:  # and so not allowed to start processes
        return 1
    return max(1, min(num_processes, path.stat().st_size // _SHARE_BYTES))


def _share_borders(path: Path, special_tokens: list[str], count: int) -> list[int]:
    size = path.stat().st_size
    borders = [0]
    for number in range(1, count):
        border = _next_share_border(path, special_tokens, size * number // count)
        if border is not None and border > borders[-1]:
            borders.append(border)
    return [*borders, size]


def _next_share_border(path: Path, special_tokens: list[str], position: int) -> int | None:
    """Find a byte offset at or after `position` where the file can be cut like the text in `_recut`.

    Only offsets before an ASCII space or line feed are tried: there a UTF-8 sequence, malformed or not, has ended.
    """
    reach = max(map(len, special_tokens), default=1)
    margin = 4 * (reach + 1)  # bytes, at least, of so many characters
    with path.open("rb") as file:
        file.seek(position)
        window = file.read(_READ_BYTES)
    for match in re.finditer(rb"[ \n]", window):
        offset = match.start()
        if offset < margin:
            continue
        left = window[:offset][-margin:].decode("utf-8", "replace")
        right = window[offset:][:margin].decode("utf-8", "replace")
        if _is_cut(left + right, len(left), special_tokens):
            return position + offset
    return None


def _count_units(path: Path, share: tuple[int, int], special_tokens: list[str]) -> Counter[str]:
    special = _special_token_pattern(special_tokens)
    counts: Counter[str] = Counter()
    for piece in _recut(_read(path, *share), special_tokens):
        for segment in special.split(piece) if special else (piece,):
            counts.update(_units(segment))
    return counts


def _read(path: Path, start: int, stop: int) -> Iterator[str]:
    """Read a share of the file as text. Malformed UTF-8 becomes U+FFFD, and nothing else is changed."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with path.open("rb") as file:
        file.seek(start)
        while start < stop:
            block = file.read(min(_READ_BYTES, stop - start))
            start += len(block)
            yield decoder.decode(block, final=start >= stop)


# --- merging ---------------------------------------------------------------------------------------------------------


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Keep the cycle collector from walking millions of lists and tuples that are in no cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _learn_merges(pretoken_counts: Counter[str], limit: int) -> list[tuple[bytes, bytes]]:
    token, weight = _lay_out(pretoken_counts)
    counts, places = _initial_pairs(token, weight)
    before = list(range(-1, len(token) - 1))
    after = list(range(1, len(token) + 1))
    token, weight = token.tolist(), weight.tolist()
    names = [bytes([byte]) for byte in range(256)]
    order = [_descending(name) for name in names]
    heap = [(-n, order[a] + order[b], a, b) for (a, b), n in counts.items()]
    heapq.heapify(heap)
    merges = []
    while heap and len(merges) < limit:
        n, key, a, b = heapq.heappop(heap)
        now = counts[a, b]
        if now != -n:
            if now > 0:
                heapq.heappush(heap, (-now, key, a, b))
            continue
        new = len(names)
        merges.append((names[a], names[b]))
        names.append(names[a] + names[b])
        order.append(_descending(names[new]))
        left_counts = defaultdict(int)
        right_counts = defaultdict(int)
        left_places = defaultdict(list)
        right_places = defaultdict(list)
        for p in places.pop((a, b)):
            q = after[p]
            if token[p] != a or token[q] != b:
                continue
            w = weight[p]
            l = before[p]
            r = after[q]
            token[p] = new
            token[q] = -1
            after[p] = r
            before[r] = p
            t = token[l]
            if t >= 0:
                left_counts[t] += w
                left_places[t].append(l)
            t = token[r]
            if t >= 0:
                right_counts[t] += w
                right_places[t].append(p)
        del counts[a, b]
        for t, w in right_counts.items():
            if (b, t) in counts:
                counts[b, t] -= w
            counts[new, t] = w
            places[new, t] = right_places[t]
        for t, w in left_counts.items():
            if (t, a) in counts:
                counts[t, a] -= w
            counts[t, new] = w
            places[t, new] = left_places[t]
        for t, w in left_counts.items():
            heapq.heappush(heap, (-w, order[t] + order[new], t, new))
        for t, w in right_counts.items():
            if counts[new, t]:
                heapq.heappush(heap, (-counts[new, t], order[new] + order[t], new, t))
    return merges


def _lay_out(pretoken_counts: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
    """Write all distinct pre-tokens one after the other as token ids, with a -1 between any two and at both ends."""
    pretokens = [pretoken.encode() for pretoken in pretoken_counts]
    lengths = np.fromiter(map(len, pretokens), dtype=np.int64, count=len(pretokens))
    ids = np.frombuffer(b"".join(pretokens), dtype=np.uint8)
    token = np.full(len(ids) + len(pretokens) + 1, -1, dtype=np.int64)
    token[1 + np.arange(len(ids)) + np.repeat(np.arange(len(pretokens)), lengths)] = ids
    weight = np.zeros(len(token), dtype=np.int64)
    weight[1:] = np.repeat(np.fromiter(pretoken_counts.values(), dtype=np.int64, count=len(pretokens)), lengths + 1)
    return token, weight


def _initial_pairs(token: np.ndarray, weight: np.ndarray):
    places = np.flatnonzero((token[:-1] >= 0) & (token[1:] >= 0))
    if not len(places):
        return {}, {}
    keys = token[places] * 256 + token[places + 1]
    order = np.argsort(keys, kind="stable")
    places, keys = places[order], keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    pairs = [divmod(key, 256) for key in keys[starts].tolist()]
    counts = dict(zip(pairs, np.add.reduceat(weight[places], starts).tolist(), strict=True))
    ends = [*starts[1:].tolist(), len(places)]
    places = places.tolist()
    return counts, {pair: places[i:j] for pair, i, j in zip(pairs, starts.tolist(), ends, strict=True)}


def _descending(name: bytes) -> str:
    """Make a string that sorts before another's exactly where the bytes sort after the other's."""
    return "".join(chr(255 - byte) for byte in name) + chr(256)
