"""BPE training: what was counted at the first merge that differs, and which other trainer makes the student's merges.

`Trainer` is the textbook's, slow and plain, with steps that can be done in other ways. A few small texts, each of which
shows one step, are trained on by the student's code; the ways that explain these answers are then held against the
failure itself.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...scoring.outcome import Clue
from ...submission.faults import CallTimeout, WorkerCrash
from ...submission.interface import Submission
from ..time_limit import Work
from .asking import NONE, Asker, remembered
from .cutting import SAYS_PRETOKENS, parts, plain, pretokens
from .ways import Explanation, Steps, Way, sentences

if TYPE_CHECKING:
    from ..clues import Failure

Pair = tuple[bytes, bytes]
Word = tuple[bytes, ...]

_END, _PAD = "<|endoftext|>", "<|pad|>"
_TRIES = 3000
_MOST_BYTES = 400_000
_MOST_STATES = 6
_LONG = 100_000  # bytes

_FIRST_SEEN = (
    "Where counts tie, your training merges the pair that it saw first; the greatest pair, as bytes, should win. "
    "max(counts, key=counts.get) does that: let the key be (count, pair)."
)
_SAYS_TIES = {
    "first seen": _FIRST_SEEN,
    "first seen, counted anew": _FIRST_SEEN,
    "last seen": "Where counts tie, your training merges the pair that it saw last; the greatest pair, as bytes, "
    "should win.",
    "smallest": "Where counts tie, your training merges the smallest pair; the greatest one should win. A heap of "
    "(-count, pair) hands out the smallest pair of those that tie.",
    "greatest ids": "Where counts tie, your training compares token ids; compare the bytes of the two tokens: newer "
    "tokens "
    "have greater ids, but not greater bytes.",
    "smallest ids": "Where counts tie, your training takes the pair with the smallest token ids; the greatest pair of "
    "bytes "
    "should win.",
    "text": "Where counts tie, your training compares tokens as text; half a character decodes to U+FFFD, whatever its "
    "bytes. Compare the bytes.",
    "joined": "Where counts tie, your training compares the merged tokens; compare the pairs: (b, c) is greater than "
    "(ab, z), and so on.",
    "smallest joined": "Where counts tie, your training takes the smallest merged token; the greatest pair of bytes "
    "should "
    "win.",
    "longest": "Where counts tie, your training prefers the longer token; the greatest pair of bytes should win.",
    "first token only": "Where counts tie, your training compares only the first token of the pairs, not the second.",
}

WAYS = (
    *(Way("pre-tokens", name, says) for name, says in SAYS_PRETOKENS.items() if not name.endswith("line ends")),
    Way(
        "text",
        "text mode",
        "Your code reads the file in text mode, where Python turns \\r\\n and \\r into \\n; open it as bytes, or with "
        "newline=''.",
    ),
    Way("text", "stripped", "Your code strips white space off the ends of the text; it is text like any other."),
    Way("documents", "text", "Your training counts special tokens as text: cut the text at them first."),
    Way(
        "documents",
        "joined",
        "Your code takes the special tokens out and joins what is left, so that words merge across documents: train on "
        "the parts apart.",
    ),
    Way(
        "documents",
        "kept as text",
        "Your split keeps the special tokens among the parts, as re.split does with a group in its pattern, and counts "
        "them as text.",
    ),
    Way(
        "documents",
        "not escaped",
        "Your split takes special tokens for regular expressions; re.escape makes <|endoftext|> match itself.",
    ),
    Way("documents", "stripped", "Your code strips the white space off each document; it is text like any other."),
    Way("documents", "first only", "Your code cuts the text at the first special token of the list only."),
    Way("documents", "hard-coded", "Your code cuts the text at <|endoftext|>, whatever special_tokens says."),
    Way(
        "documents",
        "shortest first",
        "Of special tokens that begin alike, your split finds the shorter; sort them, the longest first.",
    ),
    Way(
        "documents",
        "in the given order",
        "Of special tokens that begin alike, your split finds the one that is first in the list; sort "
        "them, the longest "
        "first.",
    ),
    Way(
        "symbols",
        "characters",
        "Your merges are of characters: a character of several bytes is one symbol from the start. Begin with "
        "word.encode(), byte by byte.",
    ),
    Way(
        "symbols",
        "code points",
        "Your symbols are bytes([ord(c) % 256]) or the like; a character's bytes are those of its UTF-8 encoding.",
    ),
    Way(
        "words",
        "once",
        "Your training counts each distinct word once, however often it occurs: a pair counts as often as its words.",
    ),
    Way(
        "words",
        "last document",
        "Your counts of a word are those of the last document that has it: add the documents' counts up "
        "(Counter.update adds, dict.update replaces).",
    ),
    Way(
        "pairs",
        "once per word",
        "Your training counts a pair once per word, even where it occurs there twice, as in 'banana'.",
    ),
    Way(
        "pairs",
        "without overlaps",
        "Your training counts 'aa' once in 'aaa'; every two neighbours count, even if they share a letter.",
    ),
    Way("joins", "first place", "Your merge joins the pair at the first place of a word only; the others stay apart."),
    Way(
        "joins",
        "from the right",
        "Your merge goes through words from the right: 'aaa' becomes a, aa; it should be aa, a.",
    ),
    Way(
        "joins",
        "last symbol lost",
        "Your merge loses the last symbol of a word that does not end in the pair: a loop over "
        "range(len(word) - 1) never "
        "comes to it.",
    ),
    Way(
        "counts",
        "never changed",
        "Your counts stay as they were before the first merge: after a merge, the pairs with both neighbours change.",
    ),
    Way(
        "counts",
        "old ones stay",
        "After a merge your training adds the new pairs, and the old ones that are gone still count: when "
        "(c, h) is merged "
        "in 'ache', (a, c) and (h, e) occur once less. (In a heap, compare an entry with the count of now.)",
    ),
    Way(
        "counts",
        "new ones missing",
        "After a merge your training takes off the old pairs, and does not add the new ones with the merged token.",
    ),
    Way(
        "counts",
        "right side only",
        "After a merge your training updates the pair with the right neighbour only; the left neighbour's "
        "changes, too.",
    ),
    Way(
        "counts",
        "left side only",
        "After a merge your training updates the pair with the left neighbour only; the right neighbour's "
        "changes, too.",
    ),
    Way(
        "counts",
        "first neighbour left out",
        "After a merge at the second symbol of a word, your training does not update the pair with the first: for "
        "`i > 0`, or `i - 1 > 0`, think of i = 1.",
    ),
    Way(
        "counts",
        "old left neighbour",
        "Where two occurrences of the pair are side by side, your update takes the left neighbour from "
        "the old word; it "
        "has just been merged.",
    ),
    Way(
        "counts",
        "replaced",
        "After a merge your training sets the count of a new pair to that of the last word that has it; "
        "add the words up.",
    ),
    Way(
        "counts",
        "first ones",
        "Your training chooses by the count that a pair had when it was first seen: when a count changes, "
        "its entry in the "
        "heap (or cache) is out of date.",
    ),
    *(Way("ties", name, says) for name, says in _SAYS_TIES.items()),
)


class Trainer:
    """Learns merges from a file's bytes; each step is right unless `ways` names another way."""

    def __init__(self, corpus: bytes, special_tokens: Sequence[str], ways: Iterable[Way] = ()) -> None:
        self._way = Steps(ways)
        counts = _counted_words(corpus, tuple(special_tokens), *(self._way[step] for step in _OF_WORDS))
        self.words = [word for word, _ in counts]
        self.weights = [times for _, times in counts]
        self.pairs: Counter[Pair] = Counter()
        self._places: defaultdict[Pair, set[int]] = defaultdict(set)
        self._ids = {bytes([byte]): byte for byte in range(256)}
        self.merged: list[Pair] = []
        self._seen: dict[Pair, int] = {}
        self.changed: dict[Pair, int] = {}
        """{pair: number of the last merge that changed its count}"""
        self._changes: Counter[Pair] = Counter()
        for number, word in enumerate(self.words):
            self._count(number, word, 1)

    def __iter__(self) -> Iterator[Pair]:
        """The merges, until no pair is left."""
        while self.pairs:
            best = self.best()
            yield best
            self.merge(best)

    def merge(self, best: Pair) -> None:
        """Make a pair one token, in every word."""
        self._changes.clear()
        self.merged.append(best)
        self._ids.setdefault(best[0] + best[1], len(self._ids))
        for number in sorted(self._places.pop(best, ())):
            old = self.words[number]
            new = self.words[number] = self._joined(old, best)
            self._update(number, old, new, best)
        self.pairs.pop(best, None)
        self._seen.pop(best, None)
        self.changed |= {pair: len(self.merged) for pair, change in self._changes.items() if change}

    # --- what is counted ---

    def _counted_pairs(self, word: Word) -> Iterable[Pair]:
        match self._way["pairs"]:
            case "once per word":
                return dict.fromkeys(pairwise(word))
            case "without overlaps":
                return pairwise(list(_without_runs(word)))
        return pairwise(word)

    def _count(self, number: int, word: Word, sign: int) -> None:
        for pair in self._counted_pairs(word):
            self._add(number, pair, sign * self.weights[number])

    def _add(self, number: int, pair: Pair, change: int) -> None:
        self.pairs[pair] += change
        self._changes[pair] += change
        if change > 0:
            self._places[pair].add(number)
        elif self.pairs[pair] <= 0:
            del self.pairs[pair]

    # --- what is chosen ---

    def best(self) -> Pair:
        """The pair that is merged next; there has to be one."""
        counts: Mapping[Pair, int] = self.pairs
        if self._way["counts"] == "first ones":
            for pair, count in self.pairs.items():
                self._seen.setdefault(pair, count)
            counts = {pair: count for pair, count in self._seen.items() if pair in self.pairs}
        if self._way["ties"] == "first seen, counted anew":
            anew: Counter[Pair] = Counter()
            for number, word in enumerate(self.words):
                for pair in pairwise(word):
                    anew[pair] += self.weights[number]
            counts = anew or counts
        most = max(counts.values())
        tied = [pair for pair, count in counts.items() if count == most]
        return self._winner(tied) if len(tied) > 1 else tied[0]

    def _winner(self, tied: list[Pair]) -> Pair:
        ids = self._ids
        match self._way["ties"]:
            case "first seen" | "first seen, counted anew":
                return tied[0]
            case "last seen":
                return tied[-1]
            case "smallest":
                return min(tied)
            case "greatest ids":
                return max(tied, key=lambda pair: (ids.get(pair[0], -1), ids.get(pair[1], -1)))
            case "smallest ids":
                return min(tied, key=lambda pair: (ids.get(pair[0], -1), ids.get(pair[1], -1)))
            case "text":
                return max(tied, key=lambda pair: tuple(token.decode("utf-8", "replace") for token in pair))
            case "joined":
                return max(tied, key=lambda pair: pair[0] + pair[1])
            case "smallest joined":
                return min(tied, key=lambda pair: pair[0] + pair[1])
            case "longest":
                return max(tied, key=lambda pair: (len(pair[0] + pair[1]), pair))
            case "first token only":
                return max(tied, key=lambda pair: pair[0])
        return max(tied)

    # --- what a merge changes ---

    def _joined(self, word: Word, pair: Pair) -> Word:
        match self._way["joins"]:
            case "first place":
                return tuple(_joined_once(word, pair))
            case "from the right":
                mirrored = _joined_from_left(word[::-1], pair[::-1], pair[0] + pair[1])
                return tuple(mirrored[::-1])
            case "last symbol lost":
                joined = _joined_from_left(word, pair, pair[0] + pair[1])
                return tuple(joined if word[-2:] == pair else joined[:-1])
        return tuple(_joined_from_left(word, pair, pair[0] + pair[1]))

    def _update(self, number: int, old: Word, new: Word, pair: Pair) -> None:
        way = self._way["counts"]
        merged = pair[0] + pair[1]
        if way == "never changed":
            return
        if way in ("old ones stay", "replaced"):
            if way == "replaced":
                self._count(number, old, -1)
            for neighbours in self._counted_pairs(new):
                if merged in neighbours:
                    if way == "replaced":
                        self.pairs[neighbours] = 0
                    self._add(number, neighbours, self.weights[number])
                elif way == "replaced":
                    self._add(number, neighbours, self.weights[number])
            return
        if way == "new ones missing":
            for neighbours in self._counted_pairs(old):
                self._add(number, neighbours, -self.weights[number])
            for neighbours in self._counted_pairs(new):
                if merged not in neighbours:
                    self._add(number, neighbours, self.weights[number])
            return
        if way in ("right side only", "left side only", "old left neighbour", "first neighbour left out"):
            self._adjust(number, old, pair, way)
            return
        self._count(number, old, -1)
        self._count(number, new, 1)

    def _adjust(self, number: int, old: Word, pair: Pair, way: str) -> None:
        """Walk through the old word and change the counts beside each occurrence of the pair."""
        merged, weight = pair[0] + pair[1], self.weights[number]
        done: list[bytes] = []
        at = 0
        while at < len(old):
            if old[at : at + 2] != pair:
                done.append(old[at])
                at += 1
                continue
            left = done[-1:] if way != "old left neighbour" else list(old[at - 1 : at]) if at else []
            if left and way != "right side only" and not (way == "first neighbour left out" and at == 1):
                self._add(number, (left[0], pair[0]), -weight)
                self._add(number, (left[0], merged), weight)
            if (right := old[at + 2 : at + 3]) and way != "left side only":
                self._add(number, (pair[1], right[0]), -weight)
                self._add(number, (merged, right[0]), weight)
            done.append(merged)
            at += 2


_OF_WORDS = ("text", "documents", "pre-tokens", "words", "symbols")
"""The steps that make words of a text, in the order in which `_counted_words` takes them."""


@functools.lru_cache(maxsize=64)
def _counted_words(
    corpus: bytes, special_tokens: tuple[str, ...], how_text: str, documents: str, cut: str, count: str, symbols: str
) -> tuple[tuple[Word, int], ...]:
    """The words of a text and how often each occurs. Most ways have the same, which take longest to find."""
    text = corpus.decode("utf-8", "replace")
    match how_text:
        case "text mode":
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        case "stripped":
            text = text.strip()
    counted: Counter[str] = Counter()
    for document in plain(parts(text, list(special_tokens), documents)):
        here = Counter(pretokens(document, cut))
        if count == "last document":
            dict.update(counted, here)
        else:
            counted.update(here)
    words: Counter[Word] = Counter()
    for pretoken, times in counted.items():
        words[_symbols(pretoken, symbols)] += 1 if count == "once" else times
    return tuple(words.items())


def _symbols(pretoken: str, way: str) -> Word:
    match way:
        case "characters":
            return tuple(character.encode("utf-8", "surrogateescape") for character in pretoken)
        case "code points":
            return tuple(bytes([ord(character) % 256]) for character in pretoken)
    return tuple(bytes([byte]) for byte in pretoken.encode("utf-8", "surrogateescape"))


def _joined_from_left(word: Sequence[bytes], pair: Sequence[bytes], merged: bytes) -> list[bytes]:
    joined: list[bytes] = []
    at = 0
    while at < len(word):
        if tuple(word[at : at + 2]) == tuple(pair):
            joined.append(merged)
            at += 2
        else:
            joined.append(word[at])
            at += 1
    return joined


def _joined_once(word: Word, pair: Pair) -> Word:
    at = next((at for at, neighbours in enumerate(pairwise(word)) if neighbours == pair), None)
    return word if at is None else (*word[:at], pair[0] + pair[1], *word[at + 2 :])


def _without_runs(word: Word) -> Iterator[bytes]:
    run = 0
    for at, symbol in enumerate(word):
        run = run + 1 if at and symbol == word[at - 1] else 1
        if run < 3:
            yield symbol


# --- small texts that show one step each -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Probe:
    """A text on which the named steps show, and no others to speak of."""

    steps: tuple[str, ...]
    corpus: bytes
    merges: int
    special_tokens: tuple[str, ...] = (_END,)


def _text(counts: Mapping[str, int], end: str = "\n") -> bytes:
    """Each word as often as it counts, in turn as long as there are any."""
    rounds = range(max(counts.values()))
    return "".join(f"{word}{end}" for turn in rounds for word, count in counts.items() if turn < count).encode()


def _rising(words: Iterable[str], by: int = 3) -> dict[str, int]:
    return {word: 2 + by * number for number, word in enumerate(words)}


_WORDS = ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st")
_OF_MANY_SCRIPTS = (
    "é",
    "ñ",
    "β",
    "ж",
    "א",
    "éñ",
    "βж",
    "aβ",
    "жb",
    "١٢",
    "½3",
    "4²",
    "é²",
    "²½",
    "١!",
    "u\u0301v",
    "好",
)
_SIGNS_AND_SPACES = (
    *("a'ss", "b'll", "c'S", "12345", "12", "d7", "8e", "f_g", "_h", "i?!", "j  k", "m\n\n\nn", "o p", "q\t\tr"),
    *("w\r\n\r\nx", "Az", "y ?", "s t u", "v 6", "h_!", "x\u00a0\u00a0y"),
)
_PROBES = (
    _Probe(("words", "pre-tokens"), _text(_rising(_WORDS)), 8),
    _Probe(("ties",), _text(dict.fromkeys(("ab", "zc", "bd", "yz", "cd", "mn", "nm", "é", "ü", "α"), 4)), 10),
    _Probe(
        ("counts", "joins", "pairs"),
        _text({"abc": 41, "xab": 33, "bcd": 29, "cab": 17, "dabx": 22, "xbcda": 13, "yz": 25, "zx": 19, "ycx": 5}),
        13,
    ),
    _Probe(
        ("pairs", "joins", "counts"),
        _text(
            {"aaaa": 93, "aaas": 114, "pq": 11, "as": 27, "tu": 120, "eded": 75, "preded": 31, "banan": 33, "pr": 105}
            | {"xyzxy": 21, "ededed": 105, "aaaaaaa": 72}
        ),
        11,
    ),
    _Probe(
        ("ties",),
        _text(
            {"tu": 55, "sa": 35, "stu": 15, "saz": 15, "mn": 50, "cd": 45, "mnx": 9, "cdy": 9, "gi": 7, "hf": 7}
            | {"op": 70, "opk": 12, "wv": 12}
        ),
        11,
    ),
    _Probe(("symbols", "pre-tokens"), _text(_rising(_OF_MANY_SCRIPTS, by=7)), 26),
    _Probe(("pre-tokens", "text"), _text(_rising(_SIGNS_AND_SPACES, by=5)), 24),
    _Probe(
        ("documents", "words", "text"),
        _text({" ef  ": 5, "ab": 9, "cd": 7, "gh": 4, "abz": 2}, _END)
        + _text({"ij": 12, "kl": 14, "mz": 3})
        + f"{_PAD}kl\nkl\n{_END}".encode()
        + _text({"xw": 16}, _PAD),
        10,
        (_END, _PAD),
    ),
    _Probe(
        ("documents",),
        _text({"ab": 12, "cd": 8, "gc": 6, "hd": 4}, "<|e|>")
        + _text({"ef": 9, "fc": 5}, "<|e|>ab")
        + _text({"kl": 7, "mk": 3}, "<|f|>xy"),
        8,
        ("<|e|>", "<|e|>ab", "[gh]", "<|f|>xy", "<|f|>"),
    ),
)


def _predicted(corpus: bytes, special_tokens: Sequence[str], ways: Explanation, most: int) -> list[Pair]:
    return list(itertools.islice(Trainer(corpus, special_tokens, ways), most))


def _agrees(corpus: bytes, special_tokens: Sequence[str], ways: Explanation, merges: Sequence[Pair], room: int) -> bool:
    """Whether a trainer makes these merges, of the `room` that were asked for.

    One or two that are missing are a matter of where training ends; if most are, no pair may be left.
    """
    made = iter(Trainer(corpus, special_tokens, ways))
    if not all(next(made, None) == merge for merge in merges):
        return False
    return bool(merges) if 2 * len(merges) >= room else next(made, None) is None


def ways_of(submission: Submission) -> list[Explanation]:
    """What the submission does otherwise on the small texts, as far as known ways explain it."""
    ask = Asker(submission)
    work = Work(_TRIES)
    states: list[Explanation] = [()]
    for probe in _PROBES:
        merges, room = _as_many_as_it_makes(ask, probe.corpus, probe.special_tokens, probe.merges)
        if not room:
            continue
        try:
            states = _extended(states, replace(probe, merges=room), merges, work)
        except TimeoutError:  # what was not tried might explain it as well
            return []
    return states


def _as_many_as_it_makes(ask: Asker, corpus: bytes, special_tokens: Sequence[str], most: int) -> tuple[list[Pair], int]:
    """The merges that the submission learns, and of how many asked for; fewer, where it raises for more.

    Code that does not end when no pair is left hides so what else is wrong with it. ([], 0): it raises for one, too.
    """
    for room in dict.fromkeys((most, most // 2, most // 4, 1)):
        size = 256 + len(special_tokens) + room
        asked = {"corpus": corpus, "vocab_size": size, "special_tokens": list(special_tokens)}
        answer: Any = ask.perform("train_bpe", asked) if room else NONE
        if answer is not NONE and isinstance(answer["merges"], list) and all(map(_is_pair, answer["merges"])):
            return answer["merges"][:room], room
    return [], 0


def _extended(states: list[Explanation], probe: _Probe, merges: list[Pair], work: Work) -> list[Explanation]:
    """The states that explain the merges of a probe, with as few more ways as it takes; as they were if none does."""

    def fit(candidates: Iterable[Explanation]) -> list[Explanation]:
        found: list[Explanation] = []
        for ways in candidates:
            if len(found) == _MOST_STATES:
                break
            if work.is_over:
                raise TimeoutError
            work.spend()
            if _agrees(probe.corpus, probe.special_tokens, ways, merges, probe.merges):
                found.append(ways)
        return found

    def with_more(some: Iterable[tuple[Way, ...]]) -> Iterator[Explanation]:
        for more in some:
            for state in states:
                steps = [way.step for way in (*state, *more)]
                if len(set(steps)) == len(steps):
                    yield (*state, *more)

    here = [way for way in WAYS if way.step in probe.steps]
    elsewhere = [way for way in WAYS if way.step not in probe.steps]
    return (
        fit(states)
        or fit(with_more((way,) for way in here))
        or fit(with_more((way,) for way in elsewhere))
        or fit(with_more(itertools.combinations(here, 2)))
        or states
    )


# --- the clue --------------------------------------------------------------------------------------------------------


def find(failure: Failure, submission: Submission) -> Clue | None:
    """What a failure of train_bpe comes from, and where to look."""
    for (operation, arguments), answer in zip(failure.asked, failure.answers, strict=False):
        if operation != "train_bpe" or len(arguments["corpus"]) > _MOST_BYTES:
            continue
        if isinstance(answer, Exception) and not isinstance(answer, CallTimeout | WorkerCrash):
            return _where_it_raises(failure, arguments, submission)
        merges = answer.get("merges") if isinstance(answer, dict) else None
        if isinstance(merges, list) and all(map(_is_pair, merges)):
            return _about(failure, arguments, merges, submission)
    return None


def _where_it_raises(failure: Failure, asked: Mapping[str, Any], submission: Submission) -> Clue | None:
    """What is wrong with the merges before training raises, or that it goes on where no pair is left."""
    corpus, special_tokens = asked["corpus"], asked["special_tokens"]
    most = asked["vocab_size"] - 256 - len(special_tokens)
    right = list(itertools.islice(Trainer(corpus, special_tokens), max(most, 0)))
    ask = Asker(submission)
    merges, room = _as_many_as_it_makes(ask, corpus, special_tokens, len(right))
    if room and merges != right[:room]:
        return _about(failure, {**asked, "vocab_size": 256 + len(special_tokens) + room}, merges, submission)
    if room and room == len(right) < most:
        return Clue.of_cause(
            f"After {room} merges every pre-token of this text is one token, and no pair is left: training ends there, "
            "with a smaller vocabulary. Stop before you look for the best of no pairs."
        )
    if room and right:
        return Clue(says=(f"It raises when {most} merges are asked for; with {room}, all of them are right.",))
    ways = () if failure.bug or not right else remembered(submission, "ways of training", lambda: ways_of(submission))
    fitting = [state for state in ways if state and next(iter(Trainer(corpus, special_tokens, state)), None) is None]
    return Clue.of_cause(*sentences(fitting)) if fitting else None


def _is_pair(merge: Any) -> bool:
    return isinstance(merge, tuple) and len(merge) == 2 and all(type(token) is bytes for token in merge)


def _about(failure: Failure, asked: Mapping[str, Any], merges: list[Pair], submission: Submission) -> Clue | None:
    corpus, special_tokens = asked["corpus"], asked["special_tokens"]
    room = max(asked["vocab_size"] - 256 - len(special_tokens), 0)
    merges = merges[:room]
    trainer = Trainer(corpus, special_tokens)
    where: list[str] = []
    for number, merge in enumerate(merges):
        right = trainer.best() if trainer.pairs else None
        if right != merge:
            where = list(_counts_at(trainer, number, right, merge, corpus, special_tokens))
            break
        trainer.merge(merge)
    else:
        if len(merges) + 1 < room and trainer.pairs:
            where = [_pairs_left(trainer, len(merges), room)]
    if not where:
        return None
    ways = () if failure.bug else _ways_behind(corpus, special_tokens, merges, room, submission)
    if not ways and merges and not failure.bug:
        where += _further_checks(trainer, where, corpus, special_tokens)
    return Clue((*ways, *where), cause=tuple(ways))


def _pairs_left(trainer: Trainer, made: int, room: int) -> str:
    best = trainer.best()
    count = trainer.pairs[best]
    once = " A pair that occurs once is merged, too." if count == 1 else ""
    times = "once" if count == 1 else f"{count} times"
    return f"Your training ends after {made} of {room} merges, and {_shown(best)} still occurs {times}.{once}"


def _ways_behind(
    corpus: bytes, special_tokens: Sequence[str], merges: list[Pair], room: int, submission: Submission
) -> tuple[str, ...]:
    """What is said of the ways that give exactly these merges, each of which it takes."""
    states = remembered(submission, "ways of training", lambda: ways_of(submission))
    found = []
    for state in states:
        if state and _agrees(corpus, special_tokens, state, merges, room):
            needed = state
            for way in state:
                fewer = tuple(other for other in needed if other != way)
                if fewer and _agrees(corpus, special_tokens, fewer, merges, room):
                    needed = fewer
            found.append(needed)
    return sentences(found)


def _counts_at(
    trainer: Trainer, number: int, right: Pair | None, got: Pair, corpus: bytes, special_tokens: Sequence[str]
) -> Iterator[str]:
    """The counts of both pairs before the merge at which they part, and what changed them last."""
    when = f"Before merge {number + 1}" if number else "Before the first merge"
    if right is None:
        yield (
            f"{when} no pair is left: every pre-token is one token, so training ends there; yours joins {_shown(got)}."
        )
        return
    counts = trainer.pairs
    first = f"{when}, {_shown(right)} occurs {counts[right]} times"
    if got in trainer.changed and got not in counts:
        yield f"{first}, and {_shown(got)} no more: merge {_told(trainer, got)} used up the last of them. Print yours."
    elif got not in counts:
        yield f"{first}, and {_shown(got)} never within a pre-token.{_why_never(got, corpus, special_tokens)}"
    elif counts[got] == counts[right]:
        yield (
            f"{when}, {_shown(right)} and {_shown(got)} both occur {counts[right]} times: print yours. If they tie "
            "there, too, the greater pair of bytes wins."
        )
    else:
        last = max((right, got), key=lambda pair: trainer.changed.get(pair, 0))
        told = (
            f" Merge {_told(trainer, last)}, was the last that changed one of them." if last in trainer.changed else ""
        )
        yield f"{first} and {_shown(got)} {counts[got]} times: print yours.{told}"


def _told(trainer: Trainer, pair: Pair) -> str:
    number = trainer.changed[pair]
    return f"{number}, {_shown(trainer.merged[number - 1])}"


def _further_checks(
    trainer: Trainer, said: Sequence[str], corpus: bytes, special_tokens: Sequence[str]
) -> Iterator[str]:
    """What else to compare where no other trainer is known that makes these merges."""
    pairs = [pair for pair in trainer.pairs if any(_shown(pair) in sentence for sentence in said)]
    yield from _where_counts_go_wrong(trainer, *pairs)
    yield (
        f"The text has {sum(trainer.weights):,} pre-tokens, {len(trainer.words):,} of them different: "
        "compare that with "
        "the words that you count."
    )
    counts = [trainer.pairs[pair] for pair in pairs]
    if len(corpus) > _LONG and len(counts) == 2 and max(counts) < 1.01 * min(counts):
        yield (
            "So close a call is lost by a few words: if your code reads the file in parts, it may cut a word "
            "in two. Cut "
            "only where a special token begins."
        )


def _where_counts_go_wrong(trainer: Trainer, *pairs: Pair) -> Iterator[str]:
    """A word in which one of the pairs is easily miscounted: it overlaps itself, or occurs twice."""
    for pair in pairs:
        for word in trainer.words:
            times = sum(neighbours == pair for neighbours in pairwise(word))
            if times > 1:
                yield (
                    f"{_word(word)} is one pre-token, in which {_shown(pair)} occurs {times} times: does yours count "
                    "so many?"
                )
                return


def _why_never(pair: Pair, corpus: bytes, special_tokens: Sequence[str]) -> str:
    """Where two tokens come to stand side by side for whoever cuts the text in another way."""
    token = pair[0] + pair[1]
    for special in special_tokens:
        if token in special.encode() and special.encode() in corpus:
            return f" It is part of {special!r}, which is no text to learn from."
    text = corpus.decode("utf-8", "replace")
    between = plain(parts(text, list(special_tokens), "right"))
    if any(token in part.encode() for part in between):
        if _in_pretokens(token, between):
            return ""
        return f" {token!r} is in the text only across the border of two pre-tokens, and nothing merges there."
    if token in "".join(between).encode():
        return f" {token!r} is in the text only across the border of two documents, and nothing merges there."
    if any(token in special.encode() + part.encode()[:8] for special in special_tokens for part in between):
        return f" {token!r} is in the text only where a special token meets a document, and nothing merges there."
    if token not in corpus:
        return f" {token!r} is nowhere in the text."
    return ""


def _in_pretokens(token: bytes, texts: Iterable[str]) -> bool:
    return any(token in piece.encode() for text in texts for piece in set(pretokens(text, "right")))


def _shown(pair: Pair) -> str:
    return f"({pair[0]!r}, {pair[1]!r})"


def _word(word: Word) -> str:
    shown = [repr(token)[1:] for token in word]
    return " ".join(shown[:12]) + (" ..." if len(shown) > 12 else "")
