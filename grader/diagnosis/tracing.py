"""Where in a submission's tensors the first wrong value arises.

A call that gave a wrong answer is recorded once more (`worker/recorder.py`), and what it computed is matched with the
quantities that the formula passes through (`reference/quantities.py`). Walking back from the wrong answer, past values
that are no quantity, one comes to values that are: what lies between is where the mistake is. The first step there, what
the code had before it, and what should have come next is what a student is told.

It is said only where it holds: the answer is wrong again, it was computed from values that are known to be right, and
what is said to be missing is nowhere, in no layout. Where right code may do without a quantity, only the one that it
cannot do without is missed.
"""

from __future__ import annotations

import collections
import functools
import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..cases.store import asks_for_cases, stored_cases
from ..scoring.outcome import Clue
from ..submission.faults import Fault
from ..submission.interface import Question, Submission
from ..submission.recording import Recording, Step
from .clues import Failure, size_of
from .matching import Pattern, is_number, relation, same

if TYPE_CHECKING:
    from ..reference.quantities import Quantity

FORMULA_PROBLEMS = (
    *("linear", "embedding", "rmsnorm", "positionwise_feedforward", "rope", "softmax", "scaled_dot_product_attention"),
    *("multihead_self_attention", "transformer_block", "transformer_lm"),
    *("cross_entropy", "adamw", "gradient_clipping", "decoding"),
)
"""Problems with declared quantities."""

_MOST_NUMBERS = 40_000
"""Of a question that is asked once more: what is found in a small one holds for a large one."""

_WRONG = 1e-4
"""An answer that is farther off than this, relative to the root mean square, is wrong whatever its precision."""

_QUESTIONS = 3
_GOOD_SIZE = 200
"""Numbers in a question that is large enough to tell quantities apart, and small enough to be quick."""

_CONE = 40
_AROUND = 2
_SOURCE_BYTES = 1 << 20
_UNWRITTEN = frozenset({"empty", "empty_like", "new_empty", "empty_strided"})
_ASSEMBLES = frozenset({"__setitem__", "index_copy_"})


@dataclass(frozen=True)
class Finding:
    """Where a call leaves the formula.

    had: the last right quantity before, "" if there is none but the arguments; had_at: the step that gave it;
    first: the first step that gives something else; missing: what should have come, the one that right code cannot be
    without last; relation: what stands in its place; related: the step that gives that.
    returned: whether the answer itself is a known quantity, though not the one that was asked for.
    """

    had: str
    had_at: Step | None
    first: Step
    missing: tuple[str, ...]
    relation: str = ""
    related: Step | None = None
    returned: bool = False


def locate(failure: Failure, submission: Submission) -> Clue | None:
    """A source of clues: the place in the code where a wrong answer of a formula begins to be wrong."""
    for question in _questions(failure):
        if clue := _look_into(question, submission):
            return clue
    return None


def _look_into(question: Question, submission: Submission) -> Clue | None:
    known = quantities_of(*question)
    recording = submission.record(*question) if known else None
    if recording is None or recording.full:
        return None
    if recording.ended is not None:
        return stopped(known, recording, submission)
    wrong = wrong_output(known, recording.answer)
    finding = find(known, recording, *wrong) if wrong is not None else None
    return tell(finding, submission) if finding is not None else None


def _questions(failure: Failure) -> Iterator[Question]:
    """What the failed test asked and got a wrong answer to, and then stored questions of the kind."""
    fit = [pair for pair in zip(failure.asked, failure.answers, strict=False) if _is_fit(pair[0])]
    wrong = [question for question, answer in fit if _is_wrong(question, answer)]
    yield from sorted(wrong, key=size_of)[:_QUESTIONS]
    if fit and asks_for_cases(failure.problem):
        operation = fit[0][0][0]
        cases = [case for case in stored_cases(failure.problem) if case.operation == operation]
        others = [(operation, case.inputs) for case in cases if _is_fit((operation, case.inputs))]
        yield from sorted(others, key=lambda question: abs(size_of(question) - _GOOD_SIZE))[:_QUESTIONS]


def _is_wrong(question: Question, answer: Any) -> bool:
    return isinstance(answer, Exception) or wrong_output(quantities_of(*question), answer) is not None


def _is_fit(question: Question) -> bool:
    operation, arguments = question
    return operation in _formulas() and size_of(arguments) <= _MOST_NUMBERS and _is_precise(arguments)


def _is_precise(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.dtype not in (torch.float16, torch.bfloat16)
    if isinstance(value, (dict, list, tuple)):
        return all(map(_is_precise, value.values() if isinstance(value, dict) else value))
    return True


def has_quantities() -> bool:
    """Whether this copy of the kit knows the formulas: a student's has no solution."""
    return importlib.util.find_spec("grader.reference") is not None


@functools.cache
def _formulas() -> frozenset[str]:
    return frozenset(importlib.import_module("grader.reference.quantities").FORMULAS) if has_quantities() else frozenset()


def quantities_of(operation: str, arguments: Mapping[str, Any]) -> list[Quantity]:
    """The quantities of a call, [] if none are declared or the arguments are of no use."""
    if operation not in _formulas():
        return []
    try:
        found = importlib.import_module("grader.reference.quantities").quantities(operation, _plain(arguments))
    except (ValueError, IndexError, KeyError, TypeError):  # arguments that the operation has to refuse
        return []
    return found or []


def _plain(value: Any) -> Any:
    """Tensors as arrays."""
    if isinstance(value, torch.Tensor):
        return value.detach().double().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def wrong_output(known: Sequence[Quantity], answer: Any) -> tuple[Quantity, np.ndarray] | None:
    """The first part of an answer that is wrong, with what it should be; None if no part is, or has another shape."""
    for quantity in known:
        if quantity.at is None:
            continue
        value = answer
        try:
            for key in quantity.at:
                value = value[key]
            given = np.asarray(_plain(value), np.float64)
        except (KeyError, IndexError, TypeError, ValueError):
            return None
        if given.shape == quantity.value.shape:
            scale = float(np.sqrt(np.mean(quantity.value**2))) or 1.0
            with np.errstate(invalid="ignore"):
                off = np.abs(given - quantity.value)
            if not (off <= _WRONG * (scale + np.abs(quantity.value))).all():
                return quantity, given
        elif given.size:
            return quantity, given
    return None


# ------------------------------------------------------------------------------------------------------------


@dataclass
class _Matched:
    """The steps of a recording, each with what it is known to be.

    patterns: of those with a value; match: {step: index of the quantity}; open: steps that hold numbers which are none
    of the quantities.
    """

    patterns: dict[int, Pattern]
    match: dict[int, int]
    open: set[int]


def find(known: Sequence[Quantity], recording: Recording, wrong: Quantity, answer: np.ndarray) -> Finding | None:
    """Where a recorded call leaves the formula.

    Args:
        wrong: the quantity that the answer should be; answer: what it is.
    """
    steps = recording.steps
    matched = _match(known, steps)
    final = _final(steps, answer)
    if final is None:
        return None
    present = set(matched.match.values())
    if final in matched.match:
        return _returned(known, steps, matched, final, wrong, present)
    cone = _cone(steps, matched, final)
    origin = _origin(steps, matched, cone)
    if origin is None:
        return None
    first, before = origin
    latest = max(before, key=lambda step: (_rank(known, matched.match[step]), step), default=None)
    had = matched.match[latest] if latest is not None else -1
    missing = _missing(known, present, had, wrong)
    if not missing:
        return None
    said, related = _related(known, steps, matched, cone, had, missing)
    named = [str(known[i]) for i in missing]
    is_given = latest is None or known[had].kind.name == "GIVEN"
    if related is not None and _scales(known, matched, first, before):
        return Finding("" if is_given else str(known[had]), _at(steps, latest), steps[first], (*named,), said, steps[related])
    place = first if related is None else related
    return Finding("" if is_given else str(known[had]), _at(steps, latest), steps[place], (*named,), said, _at(steps, related))


def _at(steps: Sequence[Step], index: int | None) -> Step | None:
    return None if index is None else steps[index]


def _rank(known: Sequence[Quantity], index: int) -> int:
    """How far along the formula a quantity is; arguments are before all of it."""
    return -1 if known[index].kind.name == "GIVEN" else index


def _match(known: Sequence[Quantity], steps: Sequence[Step]) -> _Matched:
    targets = [Pattern.of(quantity.value, quantity.in_order) for quantity in known]
    order = sorted(range(len(known)), key=lambda i: (known[i].kind.name == "BESIDE", i))
    telling = [i for i in order if targets[i].is_telling or is_number(targets[i])]
    found = _Matched({}, {}, set())
    loops: dict[tuple[Any, ...], list[int]] = collections.defaultdict(list)
    assembled = _assembled(steps)
    for at, step in enumerate(steps):
        if step.value is None or step.name in _UNWRITTEN or at in assembled:
            continue
        pattern = Pattern.of(step.value)
        found.patterns[at] = pattern
        if np.isnan(step.value).any() or np.isposinf(step.value).any():
            found.open.add(at)
        elif pattern.is_telling or is_number(pattern):
            best = _best(pattern, targets, telling)
            if best is not None:
                found.match[at] = best
            elif pattern.is_telling:
                found.open.add(at)
        if at not in found.match and at not in found.open:
            loops[step.file, step.line, step.name, step.value.shape].append(at)
    for members in loops.values():
        if 2 <= len(members):
            together = Pattern.of(np.stack([steps[at].value for at in members]))
            if together.is_telling:
                best = _best(together, targets, telling)
                found.match.update(dict.fromkeys(members, best) if best is not None else {})
                found.open.update(members if best is None else ())
    return found


def _best(pattern: Pattern, targets: Sequence[Pattern], telling: Sequence[int]) -> int | None:
    """Which quantity a value is: the whole of one rather than a part."""
    for whole in (True, False):
        for i in telling:
            if (targets[i].size == pattern.size) is whole and same(pattern, targets[i]):
                return i
    return None


def _assembled(steps: Sequence[Step]) -> set[int]:
    """Steps that leave a tensor half written, which only the next writing step takes up."""
    users: dict[int, list[Step]] = collections.defaultdict(list)
    for step in steps:
        for source in step.sources:
            users[source].append(step)
    return {
        at
        for at, step in enumerate(steps)
        if step.writes and step.name in _ASSEMBLES and users[at] and all(u.name in _ASSEMBLES for u in users[at])
    }


def _final(steps: Sequence[Step], answer: np.ndarray) -> int | None:
    """The last step that gave the answer."""
    for at in range(len(steps) - 1, -1, -1):
        value = steps[at].value
        if value is not None and value.size == answer.size:
            if np.allclose(value.reshape(-1), answer.reshape(-1), rtol=1e-6, atol=0, equal_nan=True):
                return at
    return None


def _returned(
    known: Sequence[Quantity],
    steps: Sequence[Step],
    matched: _Matched,
    final: int,
    wrong: Quantity,
    present: set[int],
) -> Finding | None:
    """The answer is a quantity of the formula, but not the one that was asked for."""
    had = matched.match[final]
    if known[had] is wrong:
        return None
    missing = _missing(known, present, had if known[had].kind.name != "GIVEN" else -1, wrong)
    name = str(known[had])
    named = tuple(str(known[i]) for i in missing) or (str(wrong),)
    return Finding(name, steps[final], steps[final], named, returned=True)


def _cone(steps: Sequence[Step], matched: _Matched, final: int) -> list[int]:
    """The steps between the answer and what is known to be right, in order of time."""
    seen, waiting = {final}, [final]
    while waiting:
        for source in steps[waiting.pop()].sources:
            if source not in seen and source not in matched.match:
                seen.add(source)
                waiting.append(source)
    return sorted(at for at in seen if at in matched.open)


def _origin(steps: Sequence[Step], matched: _Matched, cone: Sequence[int]) -> tuple[int, list[int]] | None:
    """The first step of the cone, and the known ones that it was computed from."""
    for at in cone:
        before: list[int] = []
        seen, waiting = {at}, [at]
        is_first = True
        while waiting:
            for source in steps[waiting.pop()].sources:
                if source in seen:
                    continue
                seen.add(source)
                if source in matched.match:
                    before.append(source)
                elif source in matched.open:
                    is_first = False
                else:
                    waiting.append(source)
        if is_first:
            return at, before
    return None


def _missing(known: Sequence[Quantity], present: set[int], had: int, wrong: Quantity) -> list[int]:
    """What should come next: quantities that the formula names, up to the first that right code cannot do without."""
    missing = []
    for i in range(had + 1, len(known)):
        kind = known[i].kind.name
        if kind in ("STEP", "OPTIONAL") and i not in present:
            missing.append(i)
            if kind == "STEP":
                return missing
        elif kind == "STEP":
            missing.clear()  # it was passed, so what was optional before it was left out
        if known[i] is wrong:
            break
    return [i for i in missing if known[i].kind.name == "STEP"]


def _related(
    known: Sequence[Quantity],
    steps: Sequence[Step],
    matched: _Matched,
    cone: Sequence[int],
    had: int,
    missing: Sequence[int],
) -> tuple[str, int | None]:
    """What the first step that has to do with a missing quantity makes of it."""
    present = set(matched.match.values())
    beside = [i for i in range(had + 1, missing[-1]) if known[i].kind.name == "BESIDE" and i not in present]
    targets = [(i, Pattern.of(known[i].value, known[i].in_order)) for i in (*missing, *beside)]
    for at in cone[:_CONE]:
        for i, target in targets:
            if said := relation(matched.patterns[at], target, known[i].name):
                return said, at
    return "", None


def _scales(known: Sequence[Quantity], matched: _Matched, first: int, before: Sequence[int]) -> bool:
    """Whether the first step only multiplies what is known by a number."""
    for step in before:
        target = Pattern.of(known[matched.match[step]].value)
        if " times " in relation(matched.patterns[first], target, "it") or "negative" in relation(
            matched.patterns[first], target, "it"
        ):
            return True
    return False


# ------------------------------------------------------------------------------------------------------------
# In words


def tell(finding: Finding, submission: Submission) -> Clue | None:
    """A finding for the student."""
    first, had_at = finding.first, finding.had_at
    one = " and then ".join(finding.missing[:1] + finding.missing[-1:]) if len(finding.missing) > 1 else finding.missing[0]
    says = []
    if finding.returned:
        says.append(f"What your code returns, from line {first.line} of {first.file}, is {finding.had}.")
        says.append(f"What is asked for is {finding.missing[-1]}.")
        return _placed(submission, says, first.file, first.line, finding.had, finding.missing[0], finding.had)
    if finding.had and had_at is not None:
        says.append(f"Up to {had_at.file}:{had_at.line} your code has {finding.had}.")
        says.append(f"Next would come {one}; nothing that it computes is that.")
    else:
        says.append(f"The first value to look at is {one}; nothing that your code computes is that.")
    if finding.relation and finding.related is not None:
        says.append(f"{_line(finding.related, had_at or first)} gives {finding.relation}.")
    else:
        says.append(f"From {_line(first, had_at or first, small=True)} on it computes something else.")
    return _placed(submission, says, first.file, first.line, finding.had, finding.missing[0], finding.relation)


def _line(step: Step, near: Step, small: bool = False) -> str:
    if step.file == near.file:
        return f"{'line' if small else 'Line'} {step.line}"
    return f"{step.file}:{step.line}"


def stopped(known: Sequence[Quantity], recording: Recording, submission: Submission) -> Clue | None:
    """Which quantities a call had when an exception ended it."""
    ended = recording.ended
    if ended is None or not ended.file:
        return None
    matched = _match(known, recording.steps)
    named = {i: at for at, i in sorted(matched.match.items(), reverse=True) if known[i].kind.name in ("STEP", "OPTIONAL")}
    if not named:
        return None
    had = max(named)
    step = recording.steps[named[had]]
    says = [
        f"Up to {step.file}:{step.line} your code has {known[had]}.",
        f"{'Line ' if ended.file == step.file else ended.file + ':'}{ended.line} then ends with {ended.type}.",
    ]
    missing = _missing(known, set(matched.match.values()), had, known[-1])
    return _placed(submission, says, ended.file, ended.line, str(known[had]), str(known[missing[0]]) if missing else "", "")


def _placed(
    submission: Submission, says: Sequence[str], file: str, line: int, had: str, missing: str, relation: str
) -> Clue:
    return Clue(tuple(says), file, line, lines_around(submission, file, line), had, missing, relation)


def lines_around(submission: Submission, file: str, line: int) -> tuple[tuple[int, str], ...]:
    """Lines of one of the submission's files, each with its number, as far as they can be read."""
    try:
        lines = submission.files.read_text(file, _SOURCE_BYTES).split("\n")
    except Fault:
        return ()
    first, last = max(1, line - _AROUND), min(len(lines), line + _AROUND)
    return tuple((number, lines[number - 1].rstrip()) for number in range(first, last + 1))
