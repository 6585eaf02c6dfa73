"""From a wrong output to the bug behind it. Pure: compares fingerprints, runs nothing.

Every known misconception leaves its *evidence*: the tests that fail when it is planted into the reference, each with
the fingerprints of what its calls returned. A submission has that bug when the same tests fail with the same
fingerprints. The rule is strict, because a wrong name costs a student more than none: all of a misconception's
evidence must be there, to the last test.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

Fingerprint = Sequence[Any]
Transcript = Sequence[Fingerprint]
"""The fingerprints of one test's calls, in order."""

EVIDENCE_FILE = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "cases" / "misconceptions.msgpack"

_PROJECTION_SLACK = 10  # in units of 1e-5 of the root mean square: rounding differs by about 0.1 of that
_RMS_SLACK = 1e-4
_FREQUENCY = {"common": 0, "occasional": 1, "rare": 2}


@dataclass(frozen=True)
class KnownBug:
    """A misconception as it is stored for everyone: words and evidence, no code.

    evidence: {problem: {test id: transcript}} for its own problem and those that build on it.
    """

    id: str
    problem: str
    diagnosis: str
    hint: str
    frequency: str
    evidence: Mapping[str, Mapping[str, Transcript]]


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


def diagnose(
    problem: str, failing: Mapping[str, Transcript], ran: Collection[str], bugs: Iterable[KnownBug]
) -> dict[str, KnownBug]:
    """Name the bug behind each failing test of a problem, where all the evidence for it is there.

    Args:
        failing: {test id: transcript} of the tests on stored cases that did not pass.
        ran: ids of all tests on stored cases that ran.
        bugs: the misconceptions to consider: the problem's own, and those found in what it builds on.

    Returns:
        {failing test id: the bug it is evidence of}; tests that no bug explains are left out.
    """
    found = [bug for bug in bugs if _explains(bug.evidence.get(problem, {}), failing, ran)]
    found.sort(key=lambda bug: (-len(bug.evidence[problem]), _FREQUENCY.get(bug.frequency, 3), bug.id))
    named: dict[str, KnownBug] = {}
    for bug in found:
        for test in bug.evidence[problem]:
            if test in failing:
                named.setdefault(test, bug)
    return named


def _explains(evidence: Mapping[str, Transcript], failing: Mapping[str, Transcript], ran: Collection[str]) -> bool:
    """Whether everything that a bug would cause has happened."""
    expected = {test: transcript for test, transcript in evidence.items() if test in ran}
    if not expected or not expected.keys() <= failing.keys():
        return False
    if not all(same_transcript(transcript, failing[test]) for test, transcript in expected.items()):
        return False
    if any(_has_value(transcript) for transcript in expected.values()):
        return True
    # An exception of some type says little; it has to be in exactly these tests and no other.
    return expected.keys() == failing.keys()


def _has_value(transcript: Transcript) -> bool:
    return any(fingerprint[0] != "error" for fingerprint in transcript)
