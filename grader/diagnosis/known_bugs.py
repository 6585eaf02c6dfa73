"""From a wrong output to the bug behind it. Pure: compares fingerprints, runs nothing.

Every known misconception leaves its *evidence*: the tests that fail when it is planted into the reference, each with
the fingerprints of what its calls returned. Real code may have it in another of its *forms*, or in one operation of a
problem only, and beside other bugs; so evidence is judged form by form, operation by operation, claim by claim:

- Of every claim of its evidence some tests fail, and of all of its tests nearly all. What passes speaks against a bug.
- Most of these tests look alike: the same values, and where one raises, the other does, for a reason of the same kind.
  Tests in which a bug that was named before has a hand may look otherwise.
- A bug that shows no wrong value (all is in exceptions, or in what right code gives, too) must have all of its tests
  look alike, and nothing else may fail in their claims.
- Of bugs that explain the same tests equally well none is named; but one that was found in what a problem builds on is
  there for certain, and comes before those of the problem itself.
- Where the named bugs foresee all claims that fail, and nearly all tests, that is the answer. Where something else
  fails too, another bug may be behind all of it, of which a known one is a mere part. Beside what is unknown, a bug is
  named only if it explains its claims to the last test, and by more than chance: by several different wrong values,
  or by exceptions in an operation of which nearly all the rest passes.

A wrong name costs a student more than none: the shares below are chosen by leaving each misconception out in turn, and
by planting two at once (`python -m grader.selftest.diagnosis`).
"""

from __future__ import annotations

import functools
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from ..kit.paths import FIXTURES

Fingerprint = Sequence[Any]
Transcript = Sequence[Fingerprint]
"""The fingerprints of one test's calls, in order."""

EVIDENCE_FILE = FIXTURES / "cases" / "misconceptions.msgpack"

_PROJECTION_SLACK = 10  # in units of 1e-5 of the root mean square: rounding differs by about 0.1 of that
_RMS_SLACK = 1e-4

_FAILING = 0.85
_ALIKE = 0.75
_ALIKE_AT_ALL = 1 / 3
"""Even where all that looks otherwise has an excuse."""
_NEW = 0.5
"""A bug explains at least so much of what is like it that no bug named before explains."""
FORESEEN = 0.85

_HALF_BROKEN, _BROKEN, _SOUND = 0.4, 0.12, 0.06
"""Shares of the other tests that fail. Above the first, exceptions say nothing, and even many of one type; above the
second, much is unknown; up to the third, little is."""
_MANY = 4
"""So many tests that look alike are no chance where most of the rest is right."""
_STRONG = 3
"""Nor are so many different wrong values."""
_STRONG_ALONE = 4
"""So many are needed where much is unknown, or for one operation of several that the evidence is about."""
_TESTS_OF_A_PART = 3
"""And at least so many tests of that one operation."""

TIMED_CALL = ["time"]
"""The fingerprint of calls that a test timed."""

_NO_VALUE = ("error", *TIMED_CALL)
SIZES, NONE = "sizes that do not fit", "another type, such as None"
_KINDS = {
    **dict.fromkeys(("RuntimeError", "ValueError", "IndexError", "EinopsError"), SIZES),
    **dict.fromkeys(("TypeError", "AttributeError", "UnboundLocalError", "NameError"), NONE),
}
"""{type of an exception: what it says}: one thing is refused by exceptions of several types, as each library has it,
and as the first line has it that cannot do with what it got. Fingerprints may say it better, see `fingerprint_error`.
"""


@dataclass(frozen=True)
class Form:
    """What one form of a bug looks like.

    evidence: {problem: {test id: transcript}} for its own problem and those that build on it.
    right: ids of those tests whose transcripts hold no values but those that right code gives, as when a test compares
        two calls and the other of them raises. Any code that fails such a test may have given them.
    wrong: {test id: places in its transcript where right code gives another value}.
    """

    evidence: Mapping[str, Mapping[str, Transcript]]
    right: Collection[str] = ()
    wrong: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownBug:
    """A misconception as it is stored for everyone: words and evidence, no code.

    evidence, right, wrong: those of its first form, as `Form` has them; forms: further ones; tried_on: the problems
    with whose tests it was tried.
    """

    id: str
    problem: str
    diagnosis: str
    hint: str
    frequency: str
    evidence: Mapping[str, Mapping[str, Transcript]]
    right: Collection[str] = ()
    wrong: Mapping[str, Sequence[int]] = field(default_factory=dict)
    forms: Sequence[Form] = ()
    tried_on: Sequence[str] = ()

    @property
    def every_form(self) -> tuple[Form, ...]:
        return (Form(self.evidence, self.right, self.wrong), *self.forms)


def load_known_bugs(path: Path = EVIDENCE_FILE) -> tuple[KnownBug, ...]:
    """Read the stored misconceptions; none when the file is not there."""
    return _loaded(path, path.stat().st_mtime_ns) if path.exists() else ()


@functools.lru_cache(maxsize=4)
def _loaded(path: Path, changed: int) -> tuple[KnownBug, ...]:
    """Diagnosis and report ask for the same file one after the other."""
    bugs, looks = _unpacked(path)
    return tuple(_known_bug(number, dict(record), looks) for number, record in enumerate(bugs))


def _known_bug(number: int, record: dict[str, Any], looks: _Looks) -> KnownBug:
    first, *more = _forms(looks, number, record.pop("shows_in"))
    return KnownBug(**record, evidence=first.evidence, right=first.right, wrong=first.wrong, forms=tuple(more))


def stored_records(path: Path = EVIDENCE_FILE) -> list[dict[str, Any]]:
    """The plain records of a file of evidence: all that `write_records` was given."""
    bugs, looks = _unpacked(path)
    return [_plain_record(number, dict(record), looks) for number, record in enumerate(bugs)]


def write_records(records: Sequence[Mapping[str, Any]], path: Path = EVIDENCE_FILE) -> None:
    """Write a file of evidence: MessagePack, compressed by zlib.

    What bugs look like in one problem's tests is packed by itself. Most readers ask for the words, or about a problem
    or two; unpacking all of it would take longer than what they do with it.
    """
    bugs: list[dict[str, Any]] = []
    looks: dict[str, list[tuple[int, int, _Look]]] = {}
    for number, record in enumerate(records):
        forms = [record, *record["forms"]]
        for form, look in enumerate(forms):
            for problem, tests in look["evidence"].items():
                right = [test for test in look["right"] if test in tests]
                wrong = {test: places for test, places in look["wrong"].items() if test in tests}
                looks.setdefault(problem, []).append((number, form, (tests, right, wrong)))
        words = {name: value for name, value in record.items() if name not in (*_LOOK, "forms")}
        bugs.append({**words, "shows_in": [list(look["evidence"]) for look in forms]})
    packed = {problem: msgpack.packb(of_bugs) for problem, of_bugs in looks.items()}
    path.write_bytes(zlib.compress(msgpack.packb({"bugs": bugs, "looks": packed}), 9))


_LOOK = ("evidence", "right", "wrong")
"""The fields of `Form`."""

_Look = tuple[Mapping[str, Transcript], Sequence[str], Mapping[str, Sequence[int]]]
"""These, as far as they are about one problem."""


def _unpacked(path: Path) -> tuple[list[dict[str, Any]], _Looks]:
    content = msgpack.unpackb(zlib.decompress(path.read_bytes()))
    return content["bugs"], _Looks(content["looks"])


class _Looks:
    """What bugs look like in the tests of each problem, unpacked when somebody asks."""

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        self._packed = packed
        self._of: dict[str, dict[tuple[int, int], _Look]] = {}

    def of(self, problem: str) -> Mapping[tuple[int, int], _Look]:
        """{(number of a bug, number of its form): its look}"""
        if problem not in self._of:
            found = msgpack.unpackb(self._packed[problem], strict_map_key=False)
            self._of[problem] = {(bug, form): look for bug, form, look in found}
        return self._of[problem]


@dataclass(frozen=True, eq=False)
class _Place:
    """Where the looks of one form are."""

    looks: _Looks
    bug: int
    form: int
    problems: tuple[str, ...]

    def look(self, problem: str) -> _Look:
        """Raises KeyError: no test of the problem shows it."""
        if problem not in self.problems:
            raise KeyError(problem)
        return self.looks.of(problem)[self.bug, self.form]


class _Evidence(Mapping[str, Mapping[str, Transcript]]):
    """The evidence of a form, by problem."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    def __getitem__(self, problem: str) -> Mapping[str, Transcript]:
        return self._place.look(problem)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._place.problems)

    def __len__(self) -> int:
        return len(self._place.problems)


class _Wrong(Mapping[str, Sequence[int]]):
    """The places of wrong values, by test."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    def __getitem__(self, test: str) -> Sequence[int]:
        return self._place.look(_problem_of(test))[2][test]

    def __iter__(self) -> Iterator[str]:
        return (test for problem in self._place.problems for test in self._place.look(problem)[2])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Right(Collection[str]):
    """The tests in which all values are right."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    def __contains__(self, test: object) -> bool:
        problem = _problem_of(str(test))
        return problem in self._place.problems and test in self._place.look(problem)[1]

    def __iter__(self) -> Iterator[str]:
        return (test for problem in self._place.problems for test in self._place.look(problem)[1])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _forms(looks: _Looks, bug: int, shows_in: Sequence[Sequence[str]]) -> list[Form]:
    places = [_Place(looks, bug, form, tuple(problems)) for form, problems in enumerate(shows_in)]
    return [Form(_Evidence(place), _Right(place), _Wrong(place)) for place in places]


def _plain_record(number: int, record: dict[str, Any], looks: _Looks) -> dict[str, Any]:
    """As `trials/evidence.py` makes it."""
    found = _forms(looks, number, record.pop("shows_in"))
    first, *more = ({"evidence": dict(f.evidence), "right": list(f.right), "wrong": dict(f.wrong)} for f in found)
    return {**record, **first, "forms": more}


def _problem_of(test: str) -> str:
    """The problem whose tests one is among: `test_rope.py::test_theta` -> `rope`."""
    return test.partition(".py::")[0].removeprefix("test_")


def known_bug(record: Mapping[str, Any]) -> KnownBug:
    """A misconception from its plain record."""
    return KnownBug(**{**record, "forms": tuple(Form(**form) for form in record.get("forms", ()))})


def same(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two fingerprints are of the same output, up to rounding in float32."""
    if len(one) != len(other) or one[0] != other[0]:
        return False
    if len(one) <= 2 or one[0] in _NO_VALUE:
        return list(one) == list(other)
    (_, rms, strange, *projections), (_, other_rms, other_strange, *other_projections) = one, other
    return (
        strange == other_strange
        and abs(rms - other_rms) <= _RMS_SLACK * max(rms, other_rms)
        and all(abs(p - q) <= _PROJECTION_SLACK for p, q in zip(projections, other_projections, strict=True))
    )


def same_transcript(one: Transcript, other: Transcript) -> bool:
    """Whether two tests saw the same outputs, call by call."""
    return len(one) == len(other) and all(map(same, one, other))


def without_wrong_values(evidence: Mapping[str, Transcript], right: Mapping[str, Transcript]) -> list[str]:
    """Ids of the tests whose transcripts hold values, and only those that right code gives.

    Args:
        right: {test id: transcript} of right code.
    """
    return [
        test
        for test, transcript in evidence.items()
        if _has_value(transcript) and not wrong_places(transcript, right.get(test, ()))
    ]


def wrong_places(transcript: Transcript, right: Transcript) -> list[int]:
    """Where a value is another than where right code was asked for it, or right code never was.

    A test that failed has made no more calls than one that passes, and the same ones as long as it goes on.
    """
    return [
        place
        for place, fingerprint in enumerate(transcript)
        if fingerprint[0] not in _NO_VALUE and not (place < len(right) and same(fingerprint, right[place]))
    ]


def diagnose(
    problem: str, failing: Mapping[str, Transcript], ran: Collection[str], bugs: Iterable[KnownBug]
) -> dict[str, KnownBug]:
    """Name the bugs behind the failing tests of a problem, by the rule above.

    Args:
        failing: {test id: transcript} of the tests on stored cases that did not pass.
        ran: ids of all tests on stored cases that ran; as a mapping, {test id: the operation that it asks for}.
        bugs: the misconceptions to consider: the problem's own, and those found in what it builds on.

    Returns:
        {failing test id: the bug it is evidence of}; tests that no one bug explains are left out.
    """
    operations = ran if isinstance(ran, Mapping) else dict.fromkeys(ran, "")
    suspects = [suspect for bug in bugs for suspect in _suspects(bug, problem, failing, operations)]
    explained: dict[str, KnownBug | None] = {}  # None: by several bugs, equally well
    named: list[_Suspect] = []
    while new := list(_explaining(suspects, explained, named)):
        tests, best = max(new, key=lambda pair: (*pair[1].weight(pair[0]), pair[1].bug.id))
        rivals = {other.bug.id for others, other in new if others == tests and other.equals(best)}
        explained |= dict.fromkeys(tests, best.bug if len(rivals) == 1 else None)
        named.append(best)
    foreseen = frozenset().union(*(suspect.failing for suspect in named))
    believed = {suspect.bug.id for suspect in named if _is_believed(suspect, named, foreseen, failing)}
    return {test: bug for test, bug in explained.items() if bug is not None and bug.id in believed}


@dataclass(frozen=True)
class _Suspect:
    """A form of a bug that may be behind failing tests.

    evidence: those of its tests that ran, of one operation or of all; failing: those of them that fail; alike: those
    of them that look as it would have them, each with the number of exceptions of exactly its type; whole: whether all
    of them do, and nothing else fails in their claims; strength: how many different wrong values that makes; elsewhere:
    what other tests of the same operations do, (failing, all); is_certain: whether the bug was found in what the
    problem builds on; is_part: whether other operations speak against it; discrete: the failing tests in which nothing
    can be off by rounding; foresees: how many tests it would have fail, those included that another bug ended early.
    """

    bug: KnownBug
    evidence: Mapping[str, Transcript]
    failing: frozenset[str]
    alike: Mapping[str, int]
    whole: bool
    strength: int
    shows_values: bool
    elsewhere: tuple[int, int]
    is_certain: bool
    is_part: bool
    discrete: frozenset[str]
    foresees: int

    @property
    def hides(self) -> frozenset[str]:
        """The tests in which another bug need not look like itself: not those that look as if this one were alone."""
        return self.failing - {test for test in self.alike if not _ends(self.evidence[test])}

    @property
    def share(self) -> float:
        return len(self.alike) / self.foresees

    def weight(self, tests: Collection[str]) -> tuple[Any, ...]:
        """What speaks for this one when it newly explains these tests."""
        return self.is_certain, len(tests), self.share, sum(self.alike.values())

    def equals(self, other: _Suspect) -> bool:
        """Whether it explains the same tests as well as another."""
        return self.weight(()) == other.weight(())

    def says_enough(self, excused: Collection[str]) -> bool:
        """Whether it looks like the bug, leaving aside tests in which another bug has a hand."""
        if self.is_part and (self.strength < _STRONG_ALONE or len(self.alike) < _TESTS_OF_A_PART):
            return False
        if not self.shows_values and not self.strength:
            return self.whole and (self.is_certain or self.elsewhere[0] < self.elsewhere[1])
        otherwise = (self.evidence.keys() - self.alike.keys()) - set(excused)
        if otherwise & self.discrete:  # there is no rounding in these
            return False
        alike = len(self.alike)
        return alike >= _ALIKE * (alike + len(otherwise)) and alike >= _ALIKE_AT_ALL * len(self.evidence)

    def stands_alone(self) -> bool:
        """Whether it is there whatever else is."""
        if self.is_certain:
            return True
        failing, others = self.elsewhere
        if self.whole and failing > _BROKEN * others:
            same_types = not self.shows_values and sum(self.alike.values()) >= len(self.alike) >= _MANY
            return len(self.alike) == len(self.evidence) and (
                self.strength >= _STRONG_ALONE or (same_types and failing <= _HALF_BROKEN * others)
            )
        many = len(self.alike) >= _MANY or (
            not self.shows_values and len(self.alike) > 1 and failing <= _SOUND * others
        )
        return self.whole and (self.strength >= _STRONG or (many and not self.is_part))


def _suspects(
    bug: KnownBug, problem: str, failing: Mapping[str, Transcript], operations: Mapping[str, str]
) -> Iterator[_Suspect]:
    """The forms of a bug that no passing test speaks against, in all operations or in one."""
    for form in bug.every_form:
        evidence = {test: seen for test, seen in form.evidence.get(problem, {}).items() if test in operations}
        scopes = [set(operations)]
        asked = {operations[test] for test in evidence}
        if len(asked) > 1:
            scopes += [{test for test in operations if operations[test] == one} for one in sorted(asked)]
        for scope in scopes:
            part = {test: seen for test, seen in evidence.items() if test in scope}
            if suspect := _suspect(bug, form, problem, part, failing, scope, is_part=scope is not scopes[0]):
                yield suspect
                if scope is scopes[0]:
                    break


def _suspect(
    bug: KnownBug, form: Form, problem: str, evidence: Mapping[str, Transcript], failing: Mapping[str, Transcript],
    scope: Collection[str], is_part: bool,
) -> _Suspect | None:  # fmt: skip
    """The bug as a suspect; None where something passes that it would have fail, or nothing looks like it."""
    if not evidence or not contradicted_by_none(evidence, failing):
        return None
    found = [test for test in evidence if test in failing]
    similar = {
        test: sum(a[:2] == b[:2] for a, b in zip(evidence[test], failing[test], strict=True) if a[0] == "error")
        for test in found
        if alike(evidence[test], failing[test])
    }
    if not similar or all(TIMED_CALL in evidence[test] for test in similar):
        return None
    claims = {claim_of(test) for test in evidence}
    foreign = _exceptions_beyond(claims, failing)
    there = {test for test in failing if test in scope and claim_of(test) in claims}
    there -= {test for test in there - similar.keys() if _ends(failing[test]) in foreign}
    foresees = len(evidence)
    evidence = {test: seen for test, seen in evidence.items() if test not in failing or test in there}
    others = [test for test in scope if test not in evidence]
    wrong = {
        value
        for test in similar
        for value in wrong_values(evidence[test], form.wrong.get(test, () if test in form.right else None))
    }
    return _Suspect(
        bug,
        evidence,
        frozenset(found),
        similar,
        whole=there <= evidence.keys() and len(similar) >= FORESEEN * len(evidence),
        strength=len(wrong),
        shows_values=any(_has_value(evidence[test]) and test not in form.right for test in similar),
        elsewhere=(sum(test in failing for test in others), len(others)),
        is_certain=bug.problem != problem,
        is_part=is_part,
        discrete=frozenset(test for test in found if all(map(_is_discrete, failing[test]))),
        foresees=foresees,
    )


def _exceptions_beyond(claims: Collection[str], failing: Mapping[str, Transcript]) -> set[str]:
    """Types of exceptions that end several tests of other claims: another bug is there, and may be anywhere."""
    ends = Counter(_ends(transcript) for test, transcript in failing.items() if claim_of(test) not in claims)
    return {error for error, count in ends.items() if error and count > 1}


def _ends(transcript: Transcript) -> str:
    """The type of the exception that a test ended with; "" if it ended otherwise."""
    return str(transcript[-1][1]) if transcript and transcript[-1][0] == "error" else ""


def _explaining(
    suspects: Iterable[_Suspect], explained: Collection[str], named: Sequence[_Suspect]
) -> Iterator[tuple[frozenset[str], _Suspect]]:
    """The suspects that newly explain something, each with what."""
    for suspect in suspects:
        excused = frozenset().union(*(other.hides for other in named if other.bug.id != suspect.bug.id))
        tests = frozenset(suspect.alike.keys() - set(explained))
        if tests and len(tests) >= _NEW * len(suspect.alike) and suspect.says_enough(excused):
            yield tests, suspect


def _is_believed(
    suspect: _Suspect, named: Sequence[_Suspect], foreseen: Collection[str], failing: Collection[str]
) -> bool:
    """Whether a suspect is named, when all that is known to be there foresees these of the failing tests."""
    if suspect.stands_alone():
        return True
    claims = {claim_of(test) for test in foreseen}
    if len(foreseen) < FORESEEN * len(failing):
        return False
    if any(claim_of(test) not in claims for test in failing) and not (suspect.whole and suspect.share == 1):
        return False
    return len(named) == 1 or suspect.strength > 0 or suspect.whole


def contradicted_by_none(evidence: Collection[str], failing: Collection[str]) -> bool:
    """Whether the tests fail that a bug would have fail, but for corners: those that pass speak against it."""
    claims = {claim_of(test) for test in evidence}
    return (
        sum(test in failing for test in evidence) >= _FAILING * len(evidence)
        and {claim_of(test) for test in evidence if test in failing} == claims
    )


def alike(one: Transcript, other: Transcript) -> bool:
    """The same, but that an exception may be another one of its kind: see `_KINDS`."""
    return len(one) == len(other) and all(
        _same_kind(first, second) if first[0] == second[0] == "error" else same(first, second)
        for first, second in zip(one, other, strict=True)
    )


def _same_kind(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two exceptions say the same: by their messages where both tell, and else by their types."""
    if len(one) > 2 and len(other) > 2:
        return bool(one[2] == other[2])
    return _KINDS.get(one[1], one[1]) == _KINDS.get(other[1], other[1])


def claim_of(test: str) -> str:
    """The test function that a test id belongs to."""
    return test.partition("[")[0]


def _has_value(transcript: Transcript) -> bool:
    return any(fingerprint[0] not in _NO_VALUE for fingerprint in transcript)


def _is_discrete(fingerprint: Fingerprint) -> bool:
    return fingerprint[0] not in _NO_VALUE and len(fingerprint) == 1


def wrong_values(transcript: Transcript, wrong: Sequence[int] | None = None) -> Iterator[tuple[Any, ...]]:
    """The values of a transcript that say something, as zeros do not; rounded, so that equal ones are equal.

    Args:
        wrong: places of those to consider; all by default.
    """
    for place in range(len(transcript)) if wrong is None else wrong:
        hashed, *rest = transcript[place]
        if hashed in _NO_VALUE or (rest and not rest[0]):
            continue
        yield (hashed, f"{rest[0]:.3g}", round(rest[2] / 1000)) if rest else (hashed,)
