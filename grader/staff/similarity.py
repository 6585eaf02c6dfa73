"""Which submissions are alike: pairs by how much of their code is the same once names and order are taken away. Pure.

What the kit hands out counts for nobody, nor does what so many share that it cannot come from one of them. A number is
no verdict: the page shows the lines side by side, and a person looks at them.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .fingerprints import Fingerprint

_COMMON = 0.1
_FEWEST_COMMON = 4
"""What more than a tenth of the class has, and at least four, is taken to come from elsewhere, such as a lecture."""
_FEWEST = 8
"""Of fewer shared fingerprints (some twenty lines) nothing follows."""
_GAP = 3  # lines between two matches that are shown as one


@dataclass(frozen=True)
class AlikePair:
    """Two submissions. share: of the smaller one's fingerprints, how many the other one has, too, 0 to 1."""

    one: str
    other: str
    shared: int
    share: float


@dataclass(frozen=True)
class Region:
    """Lines of two files that match: (file, first line, last line) of each."""

    one: tuple[str, int, int]
    other: tuple[str, int, int]


def own_hashes(
    submissions: Mapping[str, Iterable[int]], stubs: Iterable[int]
) -> tuple[dict[str, set[int]], dict[int, list[str]]]:
    """{submission: its hashes} and {hash: who has it}, without stubs and what is common."""
    own = {id: set(hashes) - set(stubs) for id, hashes in submissions.items()}
    who: dict[int, list[str]] = collections.defaultdict(list)
    for id, hashes in own.items():
        for one in hashes:
            who[one].append(id)
    most = max(_FEWEST_COMMON - 1, int(_COMMON * len(own)))
    common = {one for one, ids in who.items() if len(ids) > most}
    return {id: hashes - common for id, hashes in own.items()}, {
        one: ids for one, ids in who.items() if one not in common and len(ids) > 1
    }


def rank(submissions: Mapping[str, Iterable[int]], stubs: Iterable[int], most: int) -> list[AlikePair]:
    """The pairs that share anything worth a look, the most alike first, at most so many."""
    own, who = own_hashes(submissions, stubs)
    shared: collections.Counter[tuple[str, str]] = collections.Counter()
    for ids in who.values():
        for at, one in enumerate(ids):
            for other in ids[at + 1 :]:
                shared[one, other] += 1
    pairs = [
        AlikePair(one, other, count, count / min(len(own[one]), len(own[other])))
        for (one, other), count in shared.items()
        if count >= _FEWEST
    ]
    return sorted(pairs, key=lambda pair: (-pair.share, -pair.shared, pair.one, pair.other))[:most]


def typical(submissions: Mapping[str, Iterable[int]], stubs: Iterable[int]) -> float:
    """The share of the pair in the middle, of all pairs: what independent work has in common here."""
    own, who = own_hashes(submissions, stubs)
    shared: collections.Counter[tuple[str, str]] = collections.Counter()
    for ids in who.values():
        shared.update((one, other) for at, one in enumerate(ids) for other in ids[at + 1 :])
    ids = list(own)
    shares = sorted(
        shared[one, other] / max(1, min(len(own[one]), len(own[other])))
        for at, one in enumerate(ids)
        for other in ids[at + 1 :]
    )
    return shares[len(shares) // 2] if shares else 0.0


def regions(one: Sequence[Fingerprint], other: Sequence[Fingerprint], stubs: Iterable[int]) -> list[Region]:
    """Where two submissions match, the longest first; neighbouring matches are one region."""
    ignored = set(stubs)
    there: dict[int, Fingerprint] = {}
    for found in other:
        there.setdefault(found.hash, found)
    matches: dict[tuple[str, str], list[tuple[int, int, int, int]]] = collections.defaultdict(list)
    for found in one:
        if found.hash in there and found.hash not in ignored:
            match = there[found.hash]
            matches[found.file, match.file].append((found.first, found.last, match.first, match.last))
    merged = [
        Region((file, a, b), (their_file, c, d))
        for (file, their_file), spans in matches.items()
        for a, b, c, d in _merged(sorted(spans))
    ]
    return sorted(merged, key=lambda region: region.one[1] - region.one[2])


def _merged(spans: Iterable[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Spans of lines on both sides; those that follow one another on both are one."""
    merged: list[tuple[int, int, int, int]] = []
    for first, last, their_first, their_last in spans:
        if merged:
            a, b, c, d = merged[-1]
            if first <= b + _GAP and c - _GAP <= their_first <= d + _GAP:
                merged[-1] = (a, max(b, last), min(c, their_first), max(d, their_last))
                continue
        merged.append((first, last, their_first, their_last))
    return merged
