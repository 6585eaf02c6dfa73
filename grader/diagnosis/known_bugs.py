"""From a wrong output to the bug behind it. Pure: compares fingerprints, runs nothing.

Every known misconception leaves its *evidence*: the tests that fail when it is planted into the reference, each with
the fingerprints of what its calls returned. A submission has that bug when the same tests fail with the same
fingerprints. A wrong name costs a student more than none, so the rule has three parts:

- The tests of a misconception's evidence fail.
- Most of them look the same.
- What is named foresees nearly all that fails. Many bugs are not in the catalogue, and within the larger failure that
  an unknown one makes, the trace of a small known one means nothing.

The first two hold up to corners, such as half precision or an odd shape, in which two programs with one bug may differ.
Where two misconceptions explain the same tests equally well, neither is named; but one that was found in what a problem
builds on is there for certain, and comes before those of the problem itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
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

# Shares, chosen by what the kill matrix measures: it also leaves each misconception out in turn and counts wrong names.
_FAILING = 0.85
_ALIKE = 2 / 3
FORESEEN = 0.85

TIMED_CALL = ["time"]
"""The fingerprint of calls that a test timed."""

_NO_VALUE = ("error", *TIMED_CALL)
_KINDS = {
    **dict.fromkeys(("RuntimeError", "ValueError", "IndexError", "EinopsError"), "sizes that do not fit"),
    **dict.fromkeys(("TypeError", "AttributeError"), "another type, such as None"),
}
"""{type of an exception: what it says}: torch, numpy and einops refuse one thing by exceptions of several types."""


@dataclass(frozen=True)
class KnownBug:
    """A misconception as it is stored for everyone: words and evidence, no code.

    evidence: {problem: {test id: transcript}} for its own problem and those that build on it.
    right: ids of those tests whose transcripts hold no values but those that right code gives, as when a test compares
        two calls and the other of them raises. Any code that fails such a test may have given them.
    """

    id: str
    problem: str
    diagnosis: str
    hint: str
    frequency: str
    evidence: Mapping[str, Mapping[str, Transcript]]
    right: Collection[str] = ()


def load_known_bugs(path: Path = EVIDENCE_FILE) -> tuple[KnownBug, ...]:
    """Read the stored misconceptions; none when the file is not there."""
    if not path.exists():
        return ()
    return tuple(KnownBug(**record) for record in msgpack.unpackb(path.read_bytes()))


def same(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two fingerprints are of the same output, up to rounding in float32."""
    if len(one) != len(other) or one[0] != other[0]:
        return False
    if len(one) <= 2:
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
        if _has_value(transcript) and not _has_wrong_value(transcript, right.get(test, ()))
    ]


def _has_wrong_value(transcript: Transcript, right: Transcript) -> bool:
    """Whether a value is another than where right code was asked for it, or right code never was.

    A test that failed has made no more calls than one that passes, and the same ones as long as it goes on.
    """
    return any(
        fingerprint[0] not in _NO_VALUE and not (place < len(right) and same(fingerprint, right[place]))
        for place, fingerprint in enumerate(transcript)
    )


def alike(one: Transcript, other: Transcript) -> bool:
    """The same, but that an exception may be another one of its kind: see `_KINDS`."""
    return len(one) == len(other) and all(
        _kind(first) == _kind(second) if first[0] == second[0] == "error" else same(first, second)
        for first, second in zip(one, other, strict=True)
    )


def _kind(error: Fingerprint) -> str:
    name: str = error[1]
    return _KINDS.get(name, name)


def diagnose(
    problem: str, failing: Mapping[str, Transcript], ran: Collection[str], bugs: Iterable[KnownBug]
) -> dict[str, KnownBug]:
    """Name the bug behind each failing test of a problem, by the rule above.

    Args:
        failing: {test id: transcript} of the tests on stored cases that did not pass.
        ran: ids of all tests on stored cases that ran.
        bugs: the misconceptions to consider: the problem's own, and those found in what it builds on.

    Returns:
        {failing test id: the bug it is evidence of}; tests that no one bug explains are left out.
    """
    suspects = [suspect for bug in bugs if (suspect := _suspect(bug, problem, failing, ran))]
    explained: dict[str, KnownBug | None] = {}  # None: by several bugs, equally well
    foreseen: set[str] = set()
    while new := [(tests, suspect) for suspect in suspects if (tests := suspect.alike - explained.keys())]:
        tests, best = max(new, key=lambda pair: (pair[1].is_certain, len(pair[0]), pair[1].share, pair[1].bug.id))
        rivals = [
            other
            for others, other in new
            if others == tests and (other.is_certain, other.share) == (best.is_certain, best.share)
        ]
        explained |= dict.fromkeys(tests, best.bug if len(rivals) == 1 else None)
        foreseen |= best.foreseen
    if len(foreseen) < FORESEEN * len(failing):
        return {}
    return {test: bug for test, bug in explained.items() if bug is not None}


@dataclass(frozen=True)
class _Suspect:
    """A bug that may be behind failing tests.

    foreseen: the failing tests that it would have fail; alike: those of them that look as it would have them; share:
    how many that are of all that it would have fail; is_certain: whether it was found in what the problem builds on.
    """

    bug: KnownBug
    foreseen: frozenset[str]
    alike: frozenset[str]
    share: float
    is_certain: bool


def _suspect(bug: KnownBug, problem: str, failing: Mapping[str, Transcript], ran: Collection[str]) -> _Suspect | None:
    """The bug as a suspect; None where too little speaks for it."""
    evidence = {test: transcript for test, transcript in bug.evidence.get(problem, {}).items() if test in ran}
    foreseen = frozenset(evidence.keys() & failing.keys())
    looks = frozenset(test for test in foreseen if alike(evidence[test], failing[test]))
    if not looks or not contradicted_by_none(evidence, failing) or len(looks) < _ALIKE * len(evidence):
        return None
    shows_values = any(_has_value(evidence[test]) and test not in bug.right for test in looks)
    if not shows_values and not _says_enough(bug, problem, looks, evidence, failing, ran):
        return None
    return _Suspect(bug, foreseen, looks, len(looks) / len(evidence), bug.problem != problem)


def contradicted_by_none(evidence: Collection[str], failing: Collection[str]) -> bool:
    """Whether the tests fail that a bug would have fail, but for corners: those that pass speak against it."""
    return sum(test in failing for test in evidence) >= _FAILING * len(evidence)


def _says_enough(
    bug: KnownBug, problem: str, looks: Collection[str], evidence: Mapping[str, Transcript], failing: Collection[str],
    ran: Collection[str],
) -> bool:  # fmt: skip
    """Whether a bug shows without wrong values: in all tests of its evidence, and in no other test of the same claims.

    Where every test fails so, the code does not run, and nothing says for what reason, unless the reason was found in
    what the problem builds on. And a test that was about time fails for many reasons.
    """
    if all(TIMED_CALL in evidence[test] for test in looks):
        return False
    claims = {_claim(test) for test in evidence}
    there = {test for test in failing if _claim(test) in claims}
    found_below = bug.problem != problem
    return looks == set(evidence) == there and (found_below or any(test not in failing for test in ran))


def _claim(test: str) -> str:
    """The test function that a test id belongs to."""
    return test.partition("[")[0]


def _has_value(transcript: Transcript) -> bool:
    return any(fingerprint[0] not in _NO_VALUE for fingerprint in transcript)
