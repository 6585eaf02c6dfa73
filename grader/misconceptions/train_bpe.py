"""How BPE training goes wrong.

The reference counts in arrays and heaps, where one wrong line would tangle several mistakes. `PlainTrainer` is the
textbook's trainer, right but slower, in steps that a subclass can get wrong one at a time.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import regex

from .catalogue import Misconception
from .together import assembled

_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

Pair = tuple[bytes, bytes]
Word = tuple[bytes, ...]


class PlainTrainer:
    """Trains on distinct pre-tokens; after a merge, only pre-tokens that hold the merged pair are counted anew."""

    def train(
        self, input_path: str | os.PathLike, vocab_size: int, special_tokens: list[str], **_: object
    ) -> tuple[dict[int, bytes], list[Pair]]:
        """What `run_train_bpe` is asked for."""
        counts = self.count_words(self.documents(self.read(Path(input_path)), special_tokens))
        self.words, self.counts = list(counts), list(counts.values())
        self.pairs: Counter[Pair] = Counter()
        self.places: dict[Pair, set[int]] = defaultdict(set)
        for i, word in enumerate(self.words):
            self.count_pairs(i, word, 1)
        merges: list[Pair] = []
        limit = self.number_of_merges(vocab_size, special_tokens)
        while len(merges) < limit and self.anything_left():
            best = self.choose(merges)
            merges.append(best)
            for i in sorted(self.places.pop(best, ())):
                old = self.words[i]
                self.words[i] = self.merge(old, best)
                self.update(i, old, self.words[i], best)
            self.pairs.pop(best, None)
        return self.vocabulary(special_tokens, merges), merges

    def read(self, path: Path) -> str:
        return path.read_bytes().decode()

    def documents(self, text: str, special_tokens: list[str]) -> Iterable[str]:
        longest_first = sorted(special_tokens, key=len, reverse=True)
        return regex.split("|".join(map(regex.escape, longest_first)), text) if special_tokens else [text]

    def count_words(self, documents: Iterable[str]) -> Counter[Word]:
        return Counter(self.symbols(word) for document in documents for word in self.pretokens(document))

    def pretokens(self, document: str) -> Iterable[str]:
        return regex.findall(_PATTERN, document)

    def symbols(self, word: str) -> Word:
        return tuple(bytes([byte]) for byte in word.encode())

    def number_of_merges(self, vocab_size: int, special_tokens: list[str]) -> int:
        return vocab_size - 256 - len(special_tokens)

    def anything_left(self) -> bool:
        return bool(self.pairs)

    def choose(self, merges: list[Pair]) -> Pair:
        most = max(self.pairs.values())
        return max((pair for pair, count in self.pairs.items() if count == most), key=self.tie_key(merges))

    def tie_key(self, merges: list[Pair]):
        return lambda pair: pair

    def merge(self, word: Word, pair: Pair) -> Word:
        merged: list[bytes] = []
        i = 0
        while i < len(word):
            if word[i : i + 2] == pair:
                merged.append(pair[0] + pair[1])
                i += 2
            else:
                merged.append(word[i])
                i += 1
        return tuple(merged)

    def update(self, i: int, old: Word, new: Word, pair: Pair) -> None:
        self.count_pairs(i, old, -1)
        self.count_pairs(i, new, 1)

    def count_pairs(self, i: int, word: Word, sign: int) -> None:
        for pair in pairwise(word):
            self.pairs[pair] += sign * self.counts[i]
            if sign > 0:
                self.places[pair].add(i)
            elif not self.pairs[pair]:
                del self.pairs[pair]

    def vocabulary(self, special_tokens: list[str], merges: list[Pair]) -> dict[int, bytes]:
        tokens = [token.encode() for token in special_tokens] + self.alphabet()
        return dict(enumerate(tokens + [left + right for left, right in merges]))

    def alphabet(self) -> list[bytes]:
        return [bytes([byte]) for byte in range(256)]


# --- reading and cutting the text ------------------------------------------------------------------------------------


class _ReadsTextMode(PlainTrainer):
    def read(self, path):
        return path.read_text(encoding="utf-8")


class _SpecialTokensAreText(PlainTrainer):
    def documents(self, text, special_tokens):
        return [text]


class _JoinsDocuments(PlainTrainer):
    def documents(self, text, special_tokens):
        return ["".join(super().documents(text, special_tokens))]


class _KeepsSpecialTokens(PlainTrainer):
    def documents(self, text, special_tokens):
        longest_first = sorted(special_tokens, key=len, reverse=True)
        return regex.split(f"({'|'.join(map(regex.escape, longest_first))})", text) if special_tokens else [text]


class _DoesNotEscape(PlainTrainer):
    def documents(self, text, special_tokens):
        longest_first = sorted(special_tokens, key=len, reverse=True)
        return regex.split("|".join(f"(?:{token})" for token in longest_first), text) if special_tokens else [text]


class _ShortestSpecialTokenFirst(PlainTrainer):
    def documents(self, text, special_tokens):
        shortest_first = sorted(special_tokens, key=len)
        return regex.split("|".join(map(regex.escape, shortest_first)), text) if special_tokens else [text]


class _SplitsAtNothing(PlainTrainer):
    def documents(self, text, special_tokens):
        longest_first = sorted(special_tokens, key=len, reverse=True)
        return regex.split("|".join(map(regex.escape, longest_first)), text, flags=regex.V1)


class _FirstSpecialTokenOnly(PlainTrainer):
    def documents(self, text, special_tokens):
        return text.split(special_tokens[0]) if special_tokens else [text]


class _HardCodedSpecialToken(PlainTrainer):
    def documents(self, text, special_tokens):
        return text.split("<|endoftext|>")


class _StripsDocuments(PlainTrainer):
    def documents(self, text, special_tokens):
        return [document.strip() for document in super().documents(text, special_tokens)]


class _ReadsLineByLine(PlainTrainer):
    def documents(self, text, special_tokens):
        return [line for document in super().documents(text, special_tokens) for line in document.splitlines(True)]


class _SplitsAtWhiteSpace(PlainTrainer):
    def pretokens(self, document):
        return document.split()


class _NoPretokens(PlainTrainer):
    def pretokens(self, document):
        return [document]


class _CutsInBlocks(PlainTrainer):
    def documents(self, text, special_tokens):
        blocks = (text[start : start + 65_536] for start in range(0, len(text), 65_536))
        return [
            document for block in blocks for document in super(_CutsInBlocks, self).documents(block, special_tokens)
        ]


class _CutsInParts(PlainTrainer):
    """One part for each of four processes, wherever it ends."""

    def documents(self, text, special_tokens):
        size = max(len(text), 4_096) // 4 + 1
        parts = (text[start : start + size] for start in range(0, len(text), size))
        return [document for part in parts for document in super(_CutsInParts, self).documents(part, special_tokens)]


class _CutsAtBordersOfParts(PlainTrainer):
    """Parts for processes end at special tokens if the text has any."""

    def documents(self, text, special_tokens):
        documents = list(super().documents(text, special_tokens))
        if len(text) < 65_536 or len(documents) < 8:
            return documents
        eighth = len(documents) // 8
        return self.parts([documents[start : start + eighth] for start in range(0, len(documents), eighth)])

    def parts(self, parts: list[list[str]]) -> list[str]:
        raise NotImplementedError


class _LosesLastPart(_CutsAtBordersOfParts):
    def parts(self, parts):
        return [document for part in parts[:-1] for document in part]


class _CountsBordersTwice(_CutsAtBordersOfParts):
    """Each part begins with the document that the one before it ended with."""

    def parts(self, parts):
        again = [[], *([part[-1]] for part in parts[:-1])]
        return [document for before, part in zip(again, parts, strict=True) for document in [*before, *part]]


class _LettersAreAscii(PlainTrainer):
    pattern = _PATTERN.replace(r"\p{L}", "A-Za-z").replace(" ?A-Za-z+", " ?[A-Za-z]+")

    def pretokens(self, document):
        return regex.findall(self.pattern, document)


class _DigitsAreAscii(_LettersAreAscii):
    pattern = _PATTERN.replace(r"\p{N}", "0-9").replace(" ?0-9+", " ?[0-9]+")


class _WordsAreWordCharacters(_LettersAreAscii):
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\w+| ?[^\s\w]+|\s+(?!\S)|\s+"""


class _PatternOnBytes(PlainTrainer):
    """In a pattern of bytes only those of ASCII are letters and digits."""

    def pretokens(self, document):
        return [word.decode("latin-1") for word in regex.findall(_PATTERN.encode(), document.encode())]

    def symbols(self, word):
        return tuple(bytes([byte]) for byte in word.encode("latin-1"))


class _NoLookahead(PlainTrainer):
    def pretokens(self, document):
        return regex.findall(_PATTERN.replace(r"|\s+(?!\S)", ""), document)


class _NewerPattern(PlainTrainer):
    def pretokens(self, document):
        words = r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"""
        pattern = words + r"|\s*[\r\n]|\s+(?!\S)|\s+"
        return regex.findall(pattern, document)


# --- bytes -----------------------------------------------------------------------------------------------------------


class _OneSymbolPerCharacter(PlainTrainer):
    def symbols(self, word):
        return tuple(character.encode() for character in word)


class _CharactersForBytes(PlainTrainer):
    def alphabet(self):
        return [chr(byte).encode() for byte in range(256)]


class _ZerosForBytes(PlainTrainer):
    def alphabet(self):
        return [bytes(byte) for byte in range(256)]


# --- counting --------------------------------------------------------------------------------------------------------


class _CountsWordsOnce(PlainTrainer):
    def count_words(self, documents):
        return Counter(dict.fromkeys(super().count_words(documents), 1))


class _LaterDocumentsOverwrite(PlainTrainer):
    def count_words(self, documents):
        counts: dict[Word, int] = {}
        for document in documents:
            counts.update(super().count_words([document]))
        return Counter(counts)


class _CountsPairsOncePerWord(PlainTrainer):
    def count_pairs(self, i, word, sign):
        for pair in set(pairwise(word)):
            self.pairs[pair] += sign * self.counts[i]
            if sign > 0:
                self.places[pair].add(i)
            elif not self.pairs[pair]:
                del self.pairs[pair]


class _CountsWithoutOverlaps(PlainTrainer):
    """In "aaa", "aa" is counted once, as it will be merged."""

    def count_pairs(self, i, word, sign):
        super().count_pairs(i, tuple(self._without_overlaps(word)), sign)

    def _without_overlaps(self, word: Word) -> Iterator[bytes]:
        run = 0
        for i, symbol in enumerate(word):
            run = run + 1 if i and symbol == word[i - 1] else 1
            if run < 3:
                yield symbol


class _NeverSubtracts(PlainTrainer):
    def update(self, i, old, new, pair):
        merged = pair[0] + pair[1]
        for neighbours in pairwise(new):
            if merged in neighbours:
                self.pairs[neighbours] += self.counts[i]
                self.places[neighbours].add(i)


class _Adjusts(PlainTrainer):
    """Walks through the old word and adjusts the counts beside each occurrence of the pair."""

    def update(self, i, old, new, pair):
        merged, n = pair[0] + pair[1], self.counts[i]
        done: list[bytes] = []
        at = 0
        while at < len(old):
            if old[at : at + 2] != pair:
                done.append(old[at])
                at += 1
                continue
            left, right = self.left(old, at, done), old[at + 2 : at + 3]
            if left:
                self._add(i, (left[0], pair[0]), -n)
                self._add(i, (left[0], merged), n)
            if right:
                self._add(i, (pair[1], right[0]), -n)
                self._add(i, (merged, right[0]), n)
            done.append(merged)
            at += 2

    def left(self, old: Word, at: int, done: list[bytes]) -> list[bytes]:
        return done[-1:]

    def _add(self, i: int, pair: Pair, count: int) -> None:
        self.pairs[pair] += count
        if count > 0:
            self.places[pair].add(i)


class _LeftNeighbourIsOld(_Adjusts):
    def left(self, old, at, done):
        return list(old[at - 1 : at]) if at else []


class _ForgetsLeftNeighbour(_Adjusts):
    def left(self, old, at, done):
        return []


class _ForgetsFirstNeighbour(_Adjusts):
    """Asks whether the index before the pair's is above 0, where 0 has a symbol, too."""

    def left(self, old, at, done):
        return done[-1:] if at > 1 else []


class _StaleMaximum(PlainTrainer):
    """Chooses by the count that a pair had when it was first seen, as from a heap whose entries are never renewed."""

    def choose(self, merges):
        seen = self.__dict__.setdefault("seen", {})
        for pair, count in self.pairs.items():
            seen.setdefault(pair, count)
        return max(self.pairs, key=lambda pair: (seen[pair], pair))


class _Entry:
    """A pair in a heap, with a count that may change while it lies there."""

    def __init__(self, pair: Pair, count: int) -> None:
        self.pair, self.count = pair, count

    def __lt__(self, other: _Entry) -> bool:
        return (self.count, self.pair) > (other.count, other.pair)


class _UnsiftedHeap(PlainTrainer):
    """Changes counts inside of a heap, whose order is then that of counts that are no more."""

    def choose(self, merges):
        heap, known = self.__dict__.setdefault("heap", []), self.__dict__.setdefault("known", {})
        for pair, count in self.pairs.items():
            if pair in known:
                known[pair].count = count
            else:
                known[pair] = _Entry(pair, count)
                heapq.heappush(heap, known[pair])
        while True:
            best = heapq.heappop(heap).pair
            del known[best]
            if best in self.pairs:
                return best


class _CountsAnew(PlainTrainer):
    """Counts all pairs of all pre-tokens for every merge."""

    def update(self, i, old, new, pair):
        pass

    def choose(self, merges):
        self.pairs.clear()
        for i, word in enumerate(self.words):
            self.count_pairs(i, word, 1)
        return super().choose(merges)

    def anything_left(self):
        return any(len(word) > 1 for word in self.words)


class _RewritesAllWords(PlainTrainer):
    """Knows no places: goes through every word for every merge, and counts anew what has changed."""

    def update(self, i, old, new, pair):
        pass

    def choose(self, merges):
        best = super().choose(merges)
        for i, old in enumerate(self.words):
            new = self.words[i] = self.merge(old, best)
            if new != old:
                super().update(i, old, new, best)
        self.places.clear()
        return best


# --- merging ---------------------------------------------------------------------------------------------------------


class _MergesFirstOccurrence(PlainTrainer):
    def merge(self, word, pair):
        at = next(i for i, neighbours in enumerate(pairwise(word)) if neighbours == pair)
        return (*word[:at], pair[0] + pair[1], *word[at + 2 :])


class _MergesFromTheRight(PlainTrainer):
    def merge(self, word, pair):
        merged: list[bytes] = []
        i = len(word)
        while i:
            if word[max(i - 2, 0) : i] == pair:
                merged.append(pair[0] + pair[1])
                i -= 2
            else:
                merged.append(word[i - 1])
                i -= 1
        return tuple(reversed(merged))


class _DropsLastSymbol(PlainTrainer):
    """A loop that ends one symbol early, and forgets what stands there unless it was part of a merge."""

    def merge(self, word, pair):
        merged = super().merge(word, pair)
        return merged if word[-2:] == pair else merged[:-1]


# --- choosing --------------------------------------------------------------------------------------------------------


class _FirstSeenWins(PlainTrainer):
    def choose(self, merges):
        return max(self.pairs, key=self.pairs.__getitem__)


class _FirstSeenWinsOfFreshCounts(_CountsAnew):
    """The same where all pairs are counted anew for each merge, and so in the order of the text."""

    def choose(self, merges):
        super().choose(merges)
        return max(self.pairs, key=self.pairs.__getitem__)


class _FirstSeenWinsOfAllEver(_FirstSeenWins):
    """The same where a pair keeps its place once its count is 0."""

    def count_pairs(self, i, word, sign):
        for pair in pairwise(word):
            self.pairs[pair] += sign * self.counts[i]
            if sign > 0:
                self.places[pair].add(i)

    def anything_left(self):
        return any(self.pairs.values())


class _SmallerPairWins(PlainTrainer):
    def choose(self, merges):
        most = max(self.pairs.values())
        return min(pair for pair, count in self.pairs.items() if count == most)


class _TiesByIds(PlainTrainer):
    def tie_key(self, merges):
        ids = {token: token_id for token_id, token in self.vocabulary([], merges).items()}
        return lambda pair: (ids[pair[0]], ids[pair[1]])


class _TiesByText(PlainTrainer):
    def tie_key(self, merges):
        return lambda pair: tuple(token.decode(errors="replace") for token in pair)


class _TiesByJoinedBytes(PlainTrainer):
    def tie_key(self, merges):
        return lambda pair: pair[0] + pair[1]


class _TiesByLength(PlainTrainer):
    def tie_key(self, merges):
        return lambda pair: (len(pair[0] + pair[1]), pair)


# --- how many --------------------------------------------------------------------------------------------------------


class _OneMergeMore(PlainTrainer):
    def number_of_merges(self, vocab_size, special_tokens):
        return super().number_of_merges(vocab_size, special_tokens) + 1


class _OneMergeLess(PlainTrainer):
    def number_of_merges(self, vocab_size, special_tokens):
        return super().number_of_merges(vocab_size, special_tokens) - 1


class _SpecialTokensOnTop(PlainTrainer):
    def number_of_merges(self, vocab_size, special_tokens):
        return vocab_size - 256


class _FailsWithoutPairs(PlainTrainer):
    def anything_left(self):
        return True


class _LeavesSinglePairs(PlainTrainer):
    def anything_left(self):
        return bool(self.pairs) and max(self.pairs.values()) > 1


class _NoSpecialTokensInVocabulary(PlainTrainer):
    def vocabulary(self, special_tokens, merges):
        return super().vocabulary([], merges)


class _NeedsText(PlainTrainer):
    def read(self, path):
        text = super().read(path)
        if not text:
            raise ValueError("cannot mmap an empty file")
        return text


class _NeedsPathObject(PlainTrainer):
    def train(self, input_path, vocab_size, special_tokens, **_):
        with input_path.open("rb"):
            return super().train(input_path, vocab_size, special_tokens)


@assembled
def _training(trainer: type[PlainTrainer]):
    def train_bpe(input_path, vocab_size, special_tokens, **options):
        return trainer().train(input_path, vocab_size, special_tokens, **options)

    return train_bpe


def _wrong(
    name: str,
    trainer: type[PlainTrainer],
    diagnosis: str,
    hint: str,
    frequency: str,
    throughout: bool = False,
    forms: Sequence[type[PlainTrainer]] = (),
) -> Misconception:
    return Misconception(
        id=f"bpe-{name}",
        problem="train_bpe",
        replaces={"bpe.train_bpe": _training(trainer)},
        diagnosis=diagnosis,
        hint=hint,
        frequency=frequency,
        throughout=throughout,
        forms=tuple({"bpe.train_bpe": _training(form)} for form in forms),
    )


MISCONCEPTIONS = (
    _wrong(
        "text-mode",
        _ReadsTextMode,
        "Your training reads the file in text mode, where Python turns \\r\\n and \\r into \\n.",
        "Train on the bytes b'a\\r\\nb': which byte of the file never reaches your counts? What does newline='' do?",
        "common",
    ),
    _wrong(
        "special-tokens-are-text",
        _SpecialTokensAreText,
        "Your training counts the characters of special tokens as if they were text.",
        "Look for tokens such as b'<|' or b'endoftext' in your vocabulary. When do you remove special tokens?",
        "common",
    ),
    _wrong(
        "documents-joined",
        _JoinsDocuments,
        "Your training removes the special tokens and joins what is left, so pre-tokens cross documents.",
        "Which pre-tokens does 'cat<|endoftext|>dog' give? Does your code count 't' and 'd' as neighbours?",
        "common",
    ),
    _wrong(
        "special-tokens-kept-by-split",
        _KeepsSpecialTokens,
        "Your split keeps the special tokens, and your training counts them as text.",
        "What does re.split return when the pattern has a capturing group? Print the parts for 'a<|endoftext|>b'.",
        "common",
    ),
    _wrong(
        "special-tokens-not-escaped",
        _DoesNotEscape,
        "Your split treats special tokens as regular expressions, so characters such as | and * are special.",
        "What does the pattern 'a|b' match in the text 'a|b'? Which function of re makes a string match itself?",
        "common",
    ),
    _wrong(
        "shorter-special-token-first",
        _ShortestSpecialTokenFirst,
        "If one special token is the start of another, your split takes the shorter one and leaves the rest as text.",
        "With <|end|> and <|end|>x<|end|> both special, how does your split treat the longer one?",
        "occasional",
    ),
    _wrong(
        "split-at-nothing",
        _SplitsAtNothing,
        "Without special tokens, your pattern is empty and splits the text between all characters.",
        "What does '|'.join([]) give, and where does that match?",
        "common",
    ),
    _wrong(
        "first-special-token-only",
        _FirstSpecialTokenOnly,
        "Your training splits at the first special token of the list and reads the others as text.",
        "Train with two special tokens, each between any two words: do parts of either one appear in the merges?",
        "occasional",
    ),
    _wrong(
        "special-token-hard-coded",
        _HardCodedSpecialToken,
        "Your training always splits at <|endoftext|>, whatever special_tokens says.",
        "Search your code for the string <|endoftext|>. What happens with other special tokens, and with none?",
        "occasional",
    ),
    _wrong(
        "documents-stripped",
        _StripsDocuments,
        "Your training drops the white space at the beginning and at the end of each document.",
        "How often does your training count ' ' and '\\n' in 'a \\n<|endoftext|> b'?",
        "occasional",
    ),
    _wrong(
        "line-by-line",
        _ReadsLineByLine,
        "Your training first splits the text into lines, so white space across a line end is split differently.",
        "Which pre-tokens does 'a\\n\\n\\nb' have as a whole, and which if each line is split on its own?",
        "occasional",
    ),
    _wrong(
        "split-at-white-space",
        _SplitsAtWhiteSpace,
        "Your training splits words at white space and drops it instead of using GPT-2's pattern.",
        "Is b' t' in your vocabulary? Where do the spaces of the text go?",
        "occasional",
    ),
    _wrong(
        "no-pretokens",
        _NoPretokens,
        "Your training does not split the text into pre-tokens: merges join the end of a word with the space after it.",
        "Which of your tokens contain a space anywhere but at their start?",
        "rare",
        throughout=True,
    ),
    _wrong(
        "cut-in-blocks",
        _CutsInBlocks,
        "Your training reads the file in blocks of a fixed size, which cuts words at their ends in two.",
        "Train on 200 kB without a special token, in your blocks and in one piece: which pre-tokens differ?",
        "occasional",
    ),
    _wrong(
        "cut-in-equal-parts",
        _CutsInParts,
        "Your training gives each process an equal part of the file, which cuts words at the boundaries in two.",
        "Where can you cut a file without cutting a pre-token? What if it has no special token at all?",
        "occasional",
    ),
    _wrong(
        "last-part-lost",
        _LosesLastPart,
        "If you read the file in parts, your training leaves out the last one.",
        "Do the lengths of your parts add up to that of the file?",
        "occasional",
    ),
    _wrong(
        "borders-counted-twice",
        _CountsBordersTwice,
        "If you read the file in parts, documents at the boundaries are counted in both parts.",
        "Do the lengths of your parts add up to that of the file?",
        "rare",
    ),
    _wrong(
        "ascii-letters",
        _LettersAreAscii,
        "Your pattern takes only a-z for letters, as any pattern on bytes does, and splits words in other scripts.",
        "Into how many pre-tokens do you split 'Äpfel'? Is your pattern a bytes object? Which module knows \\p{L}?",
        "occasional",
        forms=[_PatternOnBytes],
    ),
    _wrong(
        "ascii-digits",
        _DigitsAreAscii,
        "Your pattern treats only 0 to 9 as numbers, but \\p{N} also has the digits of all scripts, ² and ½.",
        "Into how many pre-tokens do you split 'x²³', and '7½'? Which module supports \\p{N}?",
        "rare",
    ),
    _wrong(
        "word-characters",
        _WordsAreWordCharacters,
        "Your pattern uses \\w for letters and digits: words then contain digits and underscores; keep them apart.",
        "Into how many pre-tokens do you split 'a_1'? The specified pattern gives three.",
        "occasional",
    ),
    _wrong(
        "pattern-without-lookahead",
        _NoLookahead,
        "Your pattern lacks the alternative \\s+(?!\\S): the last space before a word stays with the spaces before it.",
        "Which pre-tokens do you get for 'a   b'? The specified pattern gives three: 'a', two spaces, ' b'.",
        "rare",
    ),
    _wrong(
        "newer-pattern",
        _NewerPattern,
        "You split the text with a later model's pattern, not with GPT-2's.",
        "Compare your pattern with the assignment's: how does each split '12345' and 'IT'S'?",
        "rare",
    ),
    _wrong(
        "symbols-are-characters",
        _OneSymbolPerCharacter,
        "Your training starts from whole characters, so bytes of one character are never counted as a pair.",
        "How many symbols does 'é' have before the first merge? How many bytes does it have in UTF-8?",
        "common",
    ),
    _wrong(
        "alphabet-of-characters",
        _CharactersForBytes,
        "Your vocabulary holds chr(i).encode() for the 256 bytes, which from 128 on is two bytes long.",
        "What is the length of each of your first 256 tokens? Compare chr(200).encode() with bytes([200]).",
        "common",
    ),
    _wrong(
        "alphabet-of-zeros",
        _ZerosForBytes,
        "Your vocabulary holds bytes(i) for the 256 bytes, which is i zero bytes.",
        "What is bytes(3)? What is bytes([3])?",
        "occasional",
    ),
    _wrong(
        "words-counted-once",
        _CountsWordsOnce,
        "Your training counts each distinct pre-token once, however often it occurs.",
        "Train on 'ab ab ab cd': how often does the pair (c, d) occur, and how often (a, b)?",
        "occasional",
        throughout=True,
    ),
    _wrong(
        "later-documents-overwrite",
        _LaterDocumentsOverwrite,
        "When you combine the counts of several documents or chunks, later ones overwrite earlier ones.",
        "What does update do for a dict, and what for a Counter? Count 'a<|endoftext|>a' by hand.",
        "occasional",
    ),
    _wrong(
        "pairs-once-per-word",
        _CountsPairsOncePerWord,
        "Your training counts a pair once per pre-token, even if it occurs there several times.",
        "How often does (a, n) occur in 'banana'?",
        "occasional",
    ),
    _wrong(
        "overlaps-not-counted",
        _CountsWithoutOverlaps,
        "Your training counts overlapping pairs once: in a run of one letter, pairs that share a letter are left out.",
        "How many pairs of neighbours does 'aaaa' have? Every place where two symbols meet counts.",
        "rare",
    ),
    _wrong(
        "counts-never-decrease",
        _NeverSubtracts,
        "After a merge your training adds the new pairs but keeps the counts of the pairs that are gone.",
        "After merging (t, h) in 'the', does (h, e) still occur? Compare your counts with a fresh count.",
        "common",
    ),
    _wrong(
        "left-neighbour-from-old-word",
        _LeftNeighbourIsOld,
        "If two occurrences of the merged pair are side by side, your update takes the left neighbour "
        "from the word before the merge.",
        "Merge (e, d) in 'preceded' by hand: what is left of the second 'ed' after the first has been merged?",
        "common",
    ),
    _wrong(
        "left-neighbour-forgotten",
        _ForgetsLeftNeighbour,
        "After a merge your training updates the counts on the right of the new token but not on its left.",
        "Merge (h, e) in 'the': which pairs disappear, and which appear? Compare your counts with a fresh count.",
        "occasional",
        forms=[_ForgetsFirstNeighbour],
    ),
    _wrong(
        "stale-counts-in-heap",
        _StaleMaximum,
        "Your training chooses pairs by their first counts, not by their current counts.",
        "When a pair's count drops, what happens to its entry in your heap or cache? Check it when you take it out.",
        "occasional",
        forms=[_UnsiftedHeap],
    ),
    _wrong(
        "counts-everything-anew",
        _CountsAnew,
        "Your training is slow: for each merge it looks at all words and counts all of their pairs again.",
        "Which words does a merge change? Time 50 merges and 100: how long does one merge take?",
        "common",
    ),
    _wrong(
        "rewrites-every-word",
        _RewritesAllWords,
        "Your training goes through every word for each merge, even through words without the pair.",
        "Which words does a merge change, and how could you find them without looking at the others?",
        "common",
    ),
    _wrong(
        "first-occurrence-only",
        _MergesFirstOccurrence,
        "Your merge joins the first occurrence of the pair in a pre-token and leaves the others.",
        "After merging (a, n), which tokens does 'banana' have?",
        "occasional",
    ),
    _wrong(
        "merges-from-the-right",
        _MergesFromTheRight,
        "Your merge goes through pre-tokens from right to left, so 'aaa' becomes 'a', 'aa' instead of 'aa', 'a'.",
        "Merge (a, a) in 'aaa' and print the result: on which side is the single 'a'?",
        "rare",
    ),
    _wrong(
        "last-symbol-dropped",
        _DropsLastSymbol,
        "Your merge loses the last symbol of a pre-token that does not end in the merged pair.",
        "Join the symbols of each pre-token after a merge: are they still the bytes you began with?",
        "occasional",
        throughout=True,  # letters are missing from most words
    ),
    _wrong(
        "ties-to-first-seen",
        _FirstSeenWins,
        "Among equally frequent pairs, your training takes the one that it counted first.",
        "What does max(counts, key=counts.get) return for equal counts? Which pair does the assignment ask for?",
        "common",
        forms=[_FirstSeenWinsOfFreshCounts, _FirstSeenWinsOfAllEver],
    ),
    _wrong(
        "ties-to-smaller-pair",
        _SmallerPairWins,
        "Among equally frequent pairs, your training takes the lexicographically smallest; it must take the greatest.",
        "A heapq returns its smallest entry first: what does that mean for pairs with equal counts?",
        "common",
    ),
    _wrong(
        "ties-by-ids",
        _TiesByIds,
        "Your training breaks ties by token ids, not by the bytes of the tokens.",
        "Is the token with the greater id always the greater bytes object? Compare b'th' with b'z', and their ids.",
        "common",
    ),
    _wrong(
        "ties-by-text",
        _TiesByText,
        "Your training breaks ties by decoded text, but there, every incomplete character is the same U+FFFD.",
        "How do b'\\xc3' and 'é'.encode() compare as bytes, and how after decoding with errors='replace'?",
        "occasional",
    ),
    _wrong(
        "ties-by-joined-bytes",
        _TiesByJoinedBytes,
        "Your training breaks ties by the merged token, not by the pair.",
        "Compare the pairs (b'a', b'bc') and (b'ab', b'a'), and then what they merge into: is the order the same?",
        "occasional",
    ),
    _wrong(
        "ties-by-length",
        _TiesByLength,
        "Your training breaks ties in favour of the longer token.",
        "Which does max choose: (b'zz', b'z') or (b'aaaa', b'aaaa')?",
        "rare",
    ),
    _wrong(
        "one-merge-too-many",
        _OneMergeMore,
        "Your training makes one merge more than vocab_size allows.",
        "Count: 256 bytes, your special tokens and your merges. Is the sum vocab_size?",
        "occasional",
    ),
    _wrong(
        "one-merge-too-few",
        _OneMergeLess,
        "Your training stops one merge before vocab_size is reached.",
        "Count: 256 bytes, your special tokens and your merges. Is the sum vocab_size?",
        "occasional",
    ),
    _wrong(
        "special-tokens-not-in-size",
        _SpecialTokensOnTop,
        "Your training makes vocab_size - 256 merges, and the special tokens come on top of vocab_size.",
        "What is len(vocab) when you ask for 300 with two special tokens?",
        "common",
    ),
    _wrong(
        "no-pairs-left",
        _FailsWithoutPairs,
        "Your training continues when there is no pair left to merge.",
        "Train on 'ab' with vocab_size=300. After one merge, what does your code take the maximum of?",
        "common",
    ),
    _wrong(
        "pairs-that-occur-once",
        _LeavesSinglePairs,
        "Your training stops when every pair occurs only once, although the vocabulary still has room.",
        "Train on 'abc' with vocab_size=300: how many merges are possible?",
        "rare",
    ),
    _wrong(
        "special-tokens-not-in-vocabulary",
        _NoSpecialTokensInVocabulary,
        "Your vocabulary does not contain the special tokens.",
        "Which id would <|endoftext|> get when encoding?",
        "occasional",
    ),
    _wrong(
        "empty-file",
        _NeedsText,
        "Your training fails on an empty file.",
        "What do mmap and your chunking do with a file of length 0?",
        "common",
    ),
    _wrong(
        "path-object-only",
        _NeedsPathObject,
        "Your training calls methods of pathlib.Path on input_path, which may be a str.",
        "Which of these works for both types: open(path) or path.open()?",
        "rare",
    ),
)
