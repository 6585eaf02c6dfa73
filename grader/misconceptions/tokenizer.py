"""How tokenizers go wrong.

The reference takes short cuts on the way of a text; `PlainTokenizer` goes all of it, in steps that a subclass can get
wrong one at a time.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import regex

from .catalogue import Misconception

PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

Pair = tuple[bytes, bytes]


@functools.cache
def _bytes_of_characters() -> dict[str, int]:
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


class PlainTokenizer:
    """Splits at special tokens, cuts by the pattern, and joins the pair of lowest rank until there is none."""

    def __init__(self, vocab: dict[int, bytes], merges: list[Pair], special_tokens: list[str] | None = None) -> None:
        self.vocab = dict(vocab)
        self.ids = {token: token_id for token_id, token in self.vocab.items()}
        self.special_tokens = self.order(special_tokens or [])
        self.append_missing(special_tokens or [])
        self.ranks: dict[Pair, int] = {pair: rank for rank, pair in enumerate(merges)}
        self.reach = max(map(len, self.special_tokens), default=0)
        self.encode_piece = functools.lru_cache(2000)(self.encode_piece)  # type: ignore[method-assign]

    @classmethod
    def from_files(cls, vocab_filepath, merges_filepath, special_tokens=None):
        entries = json.loads(Path(vocab_filepath).read_text("utf-8"))
        lines = Path(merges_filepath).read_text("utf-8").split("\n")
        pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
        vocab = {token_id: cls.token(text) for text, token_id in entries.items()}
        return cls(vocab, [(cls.token(left), cls.token(right)) for left, right in pairs], special_tokens)

    @classmethod
    def token(cls, text: str) -> bytes:
        return bytes(_bytes_of_characters()[character] for character in text)

    def order(self, special_tokens: list[str]) -> list[str]:
        return sorted(special_tokens, key=len, reverse=True)

    def append_missing(self, special_tokens: list[str]) -> None:
        for token in special_tokens:
            if token.encode() not in self.ids:
                self.ids[token.encode()] = len(self.vocab)
                self.vocab[len(self.vocab)] = token.encode()

    def encode(self, text: str) -> list[int]:
        return [token_id for piece in self.pieces(text) for token_id in self.encode_piece(piece)]

    def pieces(self, text: str) -> Iterator[str]:
        """Special tokens and pre-tokens, in order."""
        for part in self.split(text):
            if part in self.special_tokens:
                yield part
            else:
                yield from self.pretokens(part)

    def split(self, text: str) -> list[str]:
        if not self.special_tokens:
            return [text]
        return [part for part in regex.split(f"({'|'.join(map(regex.escape, self.special_tokens))})", text) if part]

    def pretokens(self, text: str) -> Iterable[str]:
        return regex.findall(PATTERN, text)

    def encode_piece(self, piece: str) -> list[int]:
        if piece in self.special_tokens:
            return [self.ids[piece.encode()]]
        return [self.ids[token] for token in self.merge(self.symbols(piece))]

    def symbols(self, piece: str) -> list[bytes]:
        return [bytes([byte]) for byte in piece.encode()]

    def rank(self, left: bytes, right: bytes) -> float:
        return self.ranks.get((left, right), float("inf"))

    def merge(self, symbols: list[bytes]) -> list[bytes]:
        while len(symbols) > 1:
            ranks = [self.rank(left, right) for left, right in pairwise(symbols)]
            lowest = min(ranks)
            if lowest == float("inf"):
                break
            symbols = self.join(symbols, ranks, lowest)
        return symbols

    def join(self, symbols: list[bytes], ranks: list[float], lowest: float) -> list[bytes]:
        """Join all pairs of the lowest rank, from the left."""
        joined: list[bytes] = []
        i = 0
        while i < len(symbols):
            if i < len(ranks) and ranks[i] == lowest:
                joined.append(symbols[i] + symbols[i + 1])
                i += 2
            else:
                joined.append(symbols[i])
                i += 1
        return joined

    def encode_iterable(self, iterable: Iterable[str]) -> Iterator[Any]:
        held = ""
        for chunk in iterable:
            held += chunk
            settled = self.settled(held)
            for piece in settled:
                yield from self.encode_piece(piece)
            held = held[sum(map(len, settled)) :]
        yield from self.encode(held)

    def settled(self, text: str) -> list[str]:
        """The pieces at the beginning of a text that stay as they are, whatever comes after it."""
        pieces, end, safe = list(self.pieces(text)), 0, 0
        for piece in pieces:
            end += len(piece)
            safe += end <= len(text) - self.reach
        return pieces[: max(0, safe - 2)]  # "'" and "l" may become "'ll"; white space depends on what follows it

    def decode(self, ids: Iterable[int]) -> str:
        return b"".join(self.vocab[token_id] for token_id in ids).decode("utf-8", errors="replace")


# --- streams ---------------------------------------------------------------------------------------------------------


class _ChunkByChunk(PlainTokenizer):
    def encode_iterable(self, iterable):
        for chunk in iterable:
            yield from self.encode(chunk)


class _CutsAtSpaces(PlainTokenizer):
    def encode_iterable(self, iterable):
        held = ""
        for chunk in iterable:
            held += chunk
            cut = max(held.rfind(" "), held.rfind("\n")) + 1
            yield from self.encode(held[:cut])
            held = held[cut:]
        yield from self.encode(held)


class _WaitsForLineEnds(PlainTokenizer):
    def encode_iterable(self, iterable):
        held = ""
        for chunk in iterable:
            *lines, held = (held + chunk).split("\n")
            for line in lines:
                yield from self.encode(line + "\n")
        yield from self.encode(held)


class _HoldsOnePretoken(PlainTokenizer):
    """Right for special tokens and white space, not for contractions."""

    def settled(self, text):
        pieces, end, safe = list(self.pieces(text)), 0, 0
        for piece in pieces:
            end += len(piece)
            safe += end <= len(text) - self.reach
        return pieces[: max(0, safe - 1)]


class _ForgetsCutSpecialTokens(PlainTokenizer):
    def settled(self, text):
        return list(self.pieces(text))[:-2]


class _ReadsEverything(PlainTokenizer):
    def encode_iterable(self, iterable):
        yield from self.encode("".join(iterable))


class _FilesWithoutSpecialTokens(PlainTokenizer):
    @classmethod
    def from_files(cls, vocab_filepath, merges_filepath, special_tokens=None):
        return super().from_files(vocab_filepath, merges_filepath)


class _SkipsFirstMerge(PlainTokenizer):
    @classmethod
    def from_files(cls, vocab_filepath, merges_filepath, special_tokens=None):
        made = super().from_files(vocab_filepath, merges_filepath, special_tokens)
        if not Path(merges_filepath).read_text("utf-8").startswith("#version"):
            made.ranks.pop(next(iter(made.ranks)))
        return made


class _TakesMergesForComments(PlainTokenizer):
    @classmethod
    def from_files(cls, vocab_filepath, merges_filepath, special_tokens=None):
        made = super().from_files(vocab_filepath, merges_filepath, special_tokens)
        made.ranks = {pair: rank for pair, rank in made.ranks.items() if not pair[0].startswith(b"#")}
        return made


class _YieldsLists(PlainTokenizer):
    def encode_iterable(self, iterable):
        for chunk in iterable:
            yield self.encode(chunk)


class _DropsTheRest(PlainTokenizer):
    def encode_iterable(self, iterable):
        held = ""
        for chunk in iterable:
            held += chunk
            settled = self.settled(held)
            for piece in settled:
                yield from self.encode_piece(piece)
            held = held[sum(map(len, settled)) :]


class _StripsLines(PlainTokenizer):
    def encode_iterable(self, iterable):
        for line in iterable:
            yield from self.encode(line.rstrip("\n"))


# --- special tokens --------------------------------------------------------------------------------------------------


class _NeverAppends(PlainTokenizer):
    def append_missing(self, special_tokens):
        pass


class _AppendsForEncodingOnly(PlainTokenizer):
    def append_missing(self, special_tokens):
        for token in special_tokens:
            self.ids.setdefault(token.encode(), len(self.ids))


class _AppendsLongestFirst(PlainTokenizer):
    def append_missing(self, special_tokens):
        super().append_missing(sorted(special_tokens, key=len, reverse=True))


class _NeedsAList(PlainTokenizer):
    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, sorted(special_tokens, key=len))


class _EmptyPatternCuts(PlainTokenizer):
    def split(self, text):
        return super().split(text) if self.special_tokens else list(text)


class _InGivenOrder(PlainTokenizer):
    def order(self, special_tokens):
        return list(special_tokens)


class _DoesNotEscape(PlainTokenizer):
    def split(self, text):
        if not self.special_tokens:
            return [text]
        parts, end = [], 0
        for match in regex.finditer("|".join(f"(?:{token})" for token in self.special_tokens), text):
            parts += [text[end : match.start()], match.group()]
            end = match.end()
        return [part for part in [*parts, text[end:]] if part]


class _SpecialTokensAreText(PlainTokenizer):
    def split(self, text):
        return [text]


class _SwallowsSpecialTokens(PlainTokenizer):
    def split(self, text):
        if not self.special_tokens:
            return [text]
        return regex.split("|".join(map(regex.escape, self.special_tokens)), text)


class _AlwaysSpecial(PlainTokenizer):
    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, list(dict.fromkeys([*(special_tokens or []), "<|endoftext|>"])))


class _StripsParts(PlainTokenizer):
    def split(self, text):
        parts = super().split(text)
        return parts if len(parts) < 2 else [part.strip() or part for part in parts]


# --- merges ----------------------------------------------------------------------------------------------------------


class _LongestMatch(PlainTokenizer):
    def merge(self, symbols):
        rest, tokens = b"".join(symbols), []
        while rest:
            length = next(n for n in range(len(rest), 0, -1) if rest[:n] in self.ids)
            tokens.append(rest[:length])
            rest = rest[length:]
        return tokens


class _RanksAreIds(PlainTokenizer):
    def rank(self, left, right):
        return self.ids.get(left + right, float("inf"))


class _RankZeroIsFalse(PlainTokenizer):
    def rank(self, left, right):
        return self.ranks.get((left, right)) or float("inf")


class _SkipsFirstPair(PlainTokenizer):
    def merge(self, symbols):
        return symbols[:1] + super().merge(symbols[1:]) if len(symbols) > 2 else super().merge(symbols)


class _DropsLastSymbol(PlainTokenizer):
    def join(self, symbols, ranks, lowest):
        joined = super().join(symbols, ranks, lowest)
        return joined if ranks[-1] == lowest else joined[:-1]


class _FirstMergeFound(PlainTokenizer):
    def merge(self, symbols):
        while True:
            places = [i for i, pair in enumerate(pairwise(symbols)) if pair in self.ranks]
            if not places:
                return symbols
            i = places[0]
            symbols = [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]


class _JoinsFromTheRight(PlainTokenizer):
    def join(self, symbols, ranks, lowest):
        i = max(i for i, rank in enumerate(ranks) if rank == lowest)
        return [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]


class _JoinsOnce(PlainTokenizer):
    """One pass over the merges, in which each joins the first place where it fits."""

    def merge(self, symbols):
        done = -1.0
        while True:
            ranks = [self.rank(left, right) for left, right in pairwise(symbols)]
            rank = min((rank for rank in ranks if rank > done), default=float("inf"))
            if rank == float("inf"):
                return symbols
            i, done = ranks.index(rank), rank
            symbols = [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]


class _MergesAcrossPretokens(PlainTokenizer):
    def pretokens(self, text):
        return [text] if text else []

    def merge(self, symbols):
        return super().merge(symbols) if len(symbols) < 400 else symbols  # quick enough to be tested


class _SymbolsAreCharacters(PlainTokenizer):
    def symbols(self, piece):
        return [character.encode() for character in piece]


class _CodePointsAreBytes(PlainTokenizer):
    def symbols(self, piece):
        return [bytes([ord(character) % 256]) for character in piece]


class _SplitsAtWhiteSpace(PlainTokenizer):
    def pretokens(self, text):
        return regex.findall(r" ?\S+|\s+", text)


class _LettersAreAscii(PlainTokenizer):
    pattern = PATTERN.replace(r" ?\p{L}+", " ?[A-Za-z]+").replace(r"\p{L}", "A-Za-z")

    def pretokens(self, text):
        return regex.findall(self.pattern, text)


class _PatternOnBytes(_LettersAreAscii):
    """In a pattern of bytes only ASCII has letters, digits and white space; all bytes of a character are signs."""

    pattern = r"""(?a)'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"""


class _DigitsAreAscii(_LettersAreAscii):
    pattern = PATTERN.replace(r" ?\p{N}+", " ?[0-9]+").replace(r"\p{N}", "0-9")


class _WordsAreWordCharacters(_LettersAreAscii):
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\w+| ?[^\s\w]+|\s+(?!\S)|\s+"""


class _LettersAreWordCharacters(_LettersAreAscii):
    """What people write who have the standard library's `re` only."""

    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"""


class _NoLookahead(_LettersAreAscii):
    pattern = PATTERN.replace(r"|\s+(?!\S)", "")


class _NewerPattern(_LettersAreAscii):
    pattern = (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"""
        r"|\s*[\r\n]|\s+(?!\S)|\s+"
    )


class _LooksWordsUp(PlainTokenizer):
    def merge(self, symbols):
        whole = b"".join(symbols)
        return [whole] if whole in self.ids else super().merge(symbols)


class _JoinsWhatTheVocabularyHas(PlainTokenizer):
    def merge(self, symbols):
        while True:
            places = [i for i, (left, right) in enumerate(pairwise(symbols)) if left + right in self.ids]
            if not places:
                return symbols
            i = places[0]
            symbols = [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]


class _SearchesAllMerges(PlainTokenizer):
    """Right, and slow: looks for each pair in the list of merges."""

    def __init__(self, vocab, merges, special_tokens=None):
        super().__init__(vocab, merges, special_tokens)
        self.merges = list(merges)

    def rank(self, left, right):
        try:
            return self.merges.index((left, right))
        except ValueError:
            return float("inf")


class _RecursesPerMerge(PlainTokenizer):
    def merge(self, symbols):
        ranks = [self.rank(left, right) for left, right in pairwise(symbols)]
        if not ranks or min(ranks) == float("inf"):
            return symbols
        i = ranks.index(min(ranks))
        return self.merge([*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]])


# --- decoding and files ----------------------------------------------------------------------------------------------


class _DecodesTokenByToken(PlainTokenizer):
    def decode(self, ids):
        return "".join(self.vocab[token_id].decode("utf-8", errors="replace") for token_id in ids)


class _DecodesStrictly(PlainTokenizer):
    def decode(self, ids):
        return b"".join(self.vocab[token_id] for token_id in ids).decode("utf-8")


class _IgnoresMalformedBytes(PlainTokenizer):
    def decode(self, ids):
        return b"".join(self.vocab[token_id] for token_id in ids).decode("utf-8", errors="ignore")


class _DropsUnknownIds(PlainTokenizer):
    def decode(self, ids):
        return b"".join(self.vocab.get(token_id, b"") for token_id in ids).decode("utf-8", errors="replace")


class _DropsSpecialTokens(PlainTokenizer):
    def decode(self, ids):
        special = {self.ids[token.encode()] for token in self.special_tokens}
        return super().decode([token_id for token_id in ids if token_id not in special])


class _DecodesByPlace(PlainTokenizer):
    def decode(self, ids):
        tokens = list(self.vocab.values())
        return b"".join(tokens[token_id] for token_id in ids).decode("utf-8", errors="replace")


class _ReadsFilesAsText(PlainTokenizer):
    @classmethod
    def token(cls, text):
        return text.encode()


def _wrong(
    name: str,
    tokenizer: type[PlainTokenizer],
    diagnosis: str,
    hint: str,
    frequency: str,
    throughout: bool = False,
    forms: Sequence[type[PlainTokenizer]] = (),
) -> Misconception:
    return Misconception(
        id=f"tokenizer-{name}",
        problem="tokenizer",
        replaces={"tokenizer.Tokenizer": tokenizer},
        diagnosis=diagnosis,
        hint=hint,
        frequency=frequency,
        throughout=throughout,
        forms=tuple({"tokenizer.Tokenizer": form} for form in forms),
    )


MISCONCEPTIONS = (
    _wrong(
        "chunk-by-chunk",
        _ChunkByChunk,
        "Your encode_iterable encodes each chunk on its own, so tokens that cross the end of a chunk are cut in two.",
        "Compare encode('hello') with the ids for the chunks 'hel' and 'lo'. What must you hold back?",
        "common",
    ),
    _wrong(
        "stream-cut-at-spaces",
        _CutsAtSpaces,
        "Your encode_iterable splits the stream at white space, but runs of white space are pre-tokens, too.",
        "Compare encode('a   b') with what you yield for it character by character.",
        "common",
    ),
    _wrong(
        "stream-cut-at-lines",
        _WaitsForLineEnds,
        "Your encode_iterable splits the stream at every newline, but several newlines can be one pre-token.",
        "Which ids do encode('a\\n\\n\\nb') and your stream of the same text give?",
        "occasional",
    ),
    _wrong(
        "stream-holds-one-pretoken",
        _HoldsOnePretoken,
        "Your encode_iterable holds back the last pre-token, but an apostrophe before it may belong to it.",
        'Which pre-tokens has "we\'l", and which has "we\'ll"? How many of the first are still in the second?',
        "occasional",
    ),
    _wrong(
        "stream-cuts-special-tokens",
        _ForgetsCutSpecialTokens,
        "Your encode_iterable misses a special token that starts in one chunk and ends in another.",
        "Yield '<|endof' and 'text|>' as two chunks. How long can the start of a special token be?",
        "common",
    ),
    _wrong(
        "stream-reads-everything",
        _ReadsEverything,
        "Your encode_iterable reads all chunks before it yields the first id (it joins them, or collects all ids).",
        "What would happen with a generator that never ends? When does a function with `yield` start to run?",
        "common",
    ),
    _wrong(
        "stream-yields-lists",
        _YieldsLists,
        "Your encode_iterable yields lists of ids, one for each chunk, instead of ids.",
        "What is the type of next(iter(tokenizer.encode_iterable(['a b'])))? What does `yield from` do?",
        "common",
    ),
    _wrong(
        "stream-drops-the-rest",
        _DropsTheRest,
        "Your encode_iterable never yields the rest that it holds back when the stream ends.",
        "Compare the number of characters that go in with the number that you decode from the output.",
        "occasional",
    ),
    _wrong(
        "stream-strips-lines",
        _StripsLines,
        "Your encode_iterable removes the newline at the end of each line.",
        "Decode what you yield for a file of two lines: is it the file?",
        "occasional",
    ),
    _wrong(
        "missing-special-token",
        _NeverAppends,
        "Your tokenizer does not add missing special tokens to the vocabulary.",
        "Make a tokenizer with special_tokens=['<|new|>']: which id has '<|new|>', and what does it decode to?",
        "common",
    ),
    _wrong(
        "appended-for-encoding-only",
        _AppendsForEncodingOnly,
        "Your tokenizer gives a missing special token an id, but decode does not know that id.",
        "Which of your tables has the new token? Try decode(encode('<|new|>')).",
        "occasional",
    ),
    _wrong(
        "appended-longest-first",
        _AppendsLongestFirst,
        "Your tokenizer adds missing special tokens to the vocabulary from the longest to the shortest.",
        "Splitting needs the longest first. Which order do the ids need, if a model was trained with them?",
        "occasional",
    ),
    _wrong(
        "special-tokens-none",
        _NeedsAList,
        "Your tokenizer fails when special_tokens is None, which is its default.",
        "What do sorted(None) and `for token in None` do?",
        "common",
    ),
    _wrong(
        "empty-pattern-cuts",
        _EmptyPatternCuts,
        "Without special tokens, your pattern is empty and splits the text between all characters.",
        "What does '|'.join([]) give, and where does that match?",
        "common",
    ),
    _wrong(
        "shorter-special-token-first",
        _InGivenOrder,
        "Your tokenizer tries special tokens in the given order, so a shorter one can hide a longer one.",
        "What does re.findall('a|aa', 'aa') give? In which order must the alternatives stand?",
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
        "special-tokens-are-text",
        _SpecialTokensAreText,
        "Your tokenizer encodes special tokens as text, in several pieces.",
        "How many ids does encode('<|endoftext|>') give?",
        "common",
    ),
    _wrong(
        "special-tokens-swallowed",
        _SwallowsSpecialTokens,
        "Your tokenizer splits the text at special tokens and then drops them.",
        "What does re.split return with a capturing group in the pattern, and what without one?",
        "occasional",
    ),
    _wrong(
        "special-token-hard-coded",
        _AlwaysSpecial,
        "Your tokenizer treats <|endoftext|> as a special token although special_tokens does not name it.",
        "Search your code for the string <|endoftext|>. What should encode give when there are no special tokens?",
        "occasional",
    ),
    _wrong(
        "stripped-at-special-tokens",
        _StripsParts,
        "Your tokenizer drops the white space on both sides of a special token.",
        "Decode the ids of 'a <|endoftext|> b': are the spaces there?",
        "occasional",
    ),
    _wrong(
        "longest-match",
        _LongestMatch,
        "Your tokenizer joins whatever makes a known token, longest or leftmost first, not the merges in their order.",
        "Follow the merges by hand for a word that comes out wrong: which pair merges first, and which do you take?",
        "common",
        forms=[_JoinsWhatTheVocabularyHas],
    ),
    _wrong(
        "ranks-are-ids",
        _RanksAreIds,
        "Your tokenizer merges pairs in the order of token ids, not in the order of the merges.",
        "Give the same tokens other ids: should the text be split differently?",
        "occasional",
    ),
    _wrong(
        "rank-zero-is-false",
        _RankZeroIsFalse,
        "Your tokenizer never applies the first merge, because its rank 0 counts as False.",
        "What does `if rank` do when rank is 0? Which word would show the bug?",
        "common",
    ),
    _wrong(
        "first-pair-skipped",
        _SkipsFirstPair,
        "Your tokenizer never merges the first two bytes of a pre-token.",
        "At which index does your loop over pairs start, and what if the best pair is at index 0?",
        "occasional",
    ),
    _wrong(
        "last-symbol-dropped",
        _DropsLastSymbol,
        "Your merge loses the last symbol of a pre-token that does not end in the merged pair.",
        "Join the tokens of each word after encoding: are they the bytes that you started with?",
        "occasional",
        throughout=True,  # letters are missing from most words
    ),
    _wrong(
        "first-merge-found",
        _FirstMergeFound,
        "Your tokenizer merges the leftmost pair that is in the list, not the pair that comes first in the list.",
        "Write down the ranks of all pairs of a word: which one merges first?",
        "common",
    ),
    _wrong(
        "joins-from-the-right",
        _JoinsFromTheRight,
        "If a pair occurs several times, your tokenizer merges the last occurrence first.",
        "Which tokens does 'aaa' become if (a, a) is a merge?",
        "rare",
    ),
    _wrong(
        "each-merge-once",
        _JoinsOnce,
        "Your tokenizer applies each merge at only one place and leaves its other occurrences in the word.",
        "Which tokens does 'banana' become if (a, n) is the only merge?",
        "occasional",
    ),
    _wrong(
        "no-pretokens",
        _MergesAcrossPretokens,
        "Your tokenizer does not split the text into pre-tokens, so merges cross words.",
        "Which tokens does 'a b' have, and can any of them contain both letters?",
        "rare",
    ),
    _wrong(
        "symbols-are-characters",
        _SymbolsAreCharacters,
        "Your tokenizer starts from whole characters instead of bytes; the vocabulary may lack these characters.",
        "How many symbols does '🙂' have before the first merge? How many bytes does it have in UTF-8?",
        "common",
    ),
    _wrong(
        "code-points-are-bytes",
        _CodePointsAreBytes,
        "Your tokenizer uses a character's code point as a byte instead of encoding the character as UTF-8.",
        "Compare ord('é') with list('é'.encode()).",
        "occasional",
    ),
    _wrong(
        "split-at-white-space",
        _SplitsAtWhiteSpace,
        "Your tokenizer splits text only at white space and leaves punctuation and contractions attached to words.",
        'Which pre-tokens does "it\'s 3." have with the specified pattern?',
        "occasional",
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
        "Your pattern takes 0 to 9, or \\d, for numbers, but \\p{N} has more, such as ² and ½.",
        "Into how many pre-tokens do you split '7½'? Which module supports \\p{N}?",
        "occasional",
        forms=[_LettersAreWordCharacters],
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
        "whole-words-looked-up",
        _LooksWordsUp,
        "Your tokenizer takes a word in the vocabulary as one token even if the merges do not lead to it.",
        "With the merges (b, c), (a, b), (c, d), (ab, cd), what happens to 'abcd' step by step?",
        "rare",
    ),
    _wrong(
        "searches-all-merges",
        _SearchesAllMerges,
        "Your tokenizer searches the whole list of merges for each pair.",
        "How many comparisons does list.index make, and how many does a dictionary look-up make?",
        "common",
    ),
    _wrong(
        "recursion",
        _RecursesPerMerge,
        "Your tokenizer calls itself for every merge, and long pre-tokens exceed Python's recursion limit.",
        "How deep do the calls go for a word of 4,000 letters? Can a loop do the same?",
        "rare",
    ),
    _wrong(
        "decodes-token-by-token",
        _DecodesTokenByToken,
        "Your decode decodes each token separately, so characters spread over two tokens are lost.",
        "Decode the ids of '🙃'. At which point do bytes become characters?",
        "common",
    ),
    _wrong(
        "decodes-strictly",
        _DecodesStrictly,
        "Your decode raises an exception for bytes that are not valid UTF-8.",
        "What does the `errors` argument of bytes.decode do? A model may produce any sequence of ids.",
        "common",
    ),
    _wrong(
        "malformed-bytes-ignored",
        _IgnoresMalformedBytes,
        "Your decode drops malformed bytes instead of replacing them with U+FFFD.",
        "Compare errors='ignore' with errors='replace' for b'a\\xffb'.",
        "occasional",
    ),
    _wrong(
        "unknown-ids-dropped",
        _DropsUnknownIds,
        "Your decode silently drops ids that the vocabulary does not have.",
        "What does dict.get return for a key that is not there? Who would notice a wrong id?",
        "occasional",
    ),
    _wrong(
        "decodes-by-place",
        _DecodesByPlace,
        "Your decode takes an id for a place in the list of the vocabulary's tokens.",
        "A dict lists its values in the order in which they came. Which token is id 0 of vocab = {1: b'a', 0: b'b'}?",
        "occasional",
    ),
    _wrong(
        "special-tokens-not-decoded",
        _DropsSpecialTokens,
        "Your decode drops special tokens.",
        "Is decode(encode('a<|endoftext|>b')) the same text?",
        "occasional",
    ),
    _wrong(
        "files-read-as-text",
        _ReadsFilesAsText,
        "Your from_files uses the tokens as they are in the files, but each character there stands for a byte.",
        "What does 'Ġ' stand for in GPT-2's vocab.json? How many tokens in the file contain a space?",
        "occasional",
    ),
    _wrong(
        "files-without-special-tokens",
        _FilesWithoutSpecialTokens,
        "Your from_files does not pass the special tokens on.",
        "How is <|endoftext|> encoded by a tokenizer that from_files made?",
        "occasional",
    ),
    _wrong(
        "files-first-merge-skipped",
        _SkipsFirstMerge,
        "Your from_files skips the first line of merges even if it is not a comment.",
        "Write a file of merges without a #version line: does your tokenizer use the first merge?",
        "occasional",
    ),
    _wrong(
        "files-merges-taken-for-comments",
        _TakesMergesForComments,
        "Your from_files treats every line that starts with # as a comment and so loses merges such as '# #'.",
        "How is '##' encoded?",
        "occasional",
    ),
)
