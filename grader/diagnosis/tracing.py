"""Where in a submission's tensors the first wrong value arises.

A call that gave a wrong answer is recorded once more (`worker/recorder.py`), and what it computed is matched with the
quantities that the formula passes through (`reference/_quantities.py`; in a student's copy, those that are stored of a
few cases). Walking back from the wrong answer, past values
that are no quantity, one comes to values that are: what lies between is where the mistake is. The first step there,
what the code had before it, and what should have come next is what a student is told.

It is said only where it holds: the answer is wrong again, it was computed from values that are known to be right, and
what is said to be missing is nowhere, in no layout. Where right code may do without a quantity, only the one that it
cannot do without is missed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import math
import os
import re
import traceback
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..cases.case import Case
from ..cases.store import asks_for_cases, stored_cases
from ..kit.paths import KIT
from ..scoring.outcome import Clue
from ..submission.faults import Fault, StudentError
from ..submission.interface import Question, Submission
from ..submission.recording import Raised, Recording
from .clues import Failure, size_of
from .fingerprint import fingerprint_error
from .first_wrong import Departure, Place, Way, find, match
from .known_bugs import SIZES
from .matching import Pattern, is_number
from .stored_quantities import NamedQuantity, known_questions

FORMULA_PROBLEMS = (
    *("linear", "embedding", "rmsnorm", "positionwise_feedforward", "rope", "softmax", "scaled_dot_product_attention"),
    *("multihead_self_attention", "transformer_block", "transformer_lm"),
    *("cross_entropy", "adamw", "gradient_clipping", "decoding"),
)
"""Problems with declared quantities."""

_MOST_NUMBERS = 40_000
"""Of a question that is asked once more: what is found in a small one holds for a large one."""

_WRONG = 1e-3
"""An answer that is farther off than this, relative to the root mean square, is wrong whatever its precision."""

_QUESTIONS = 3
_LOOKED_AT = 10
"""Of so many of the best size the most telling ones are taken."""
_GOOD_SIZE = 200
"""Numbers in a question that is large enough to tell quantities apart, and small enough to be quick."""

_Blur = tuple[int, float]
"""(of how many quantities a question says nothing by their values, how odd its size is)."""

_AROUND = 2
_CALLERS = 3
"""So many of the calls that led to a line are shown, the innermost ones."""
_ADAPTERS = "adapters.py"
_STATEMENT = 8
"""So many lines may a statement that loads weights take."""
_SOURCE_BYTES = 1 << 20
_FRAME = re.compile(r'^  File "([^"\n]+)", line (\d{1,6}), in ', re.MULTILINE)
_NOBODYS = tuple(str(KIT / "grader" / room) + os.sep for room in ("worker", "submission", "diagnosis", "selftest"))
"""Where the kit's own code lies that leads to a submission's in this process."""


_LINEAR, _SOFTMAX, _ROPE = ("linear", "run_linear"), ("softmax", "run_softmax"), ("rope", "run_rope")
_EMBEDDING, _NORM = ("embedding", "run_embedding"), ("rmsnorm", "run_rmsnorm")
_SILU, _SWIGLU = (("positionwise_feedforward", name) for name in ("run_silu", "run_swiglu"))
_ATTENTION = ("scaled_dot_product_attention", "run_scaled_dot_product_attention")
_HEADS = ("multihead_self_attention", "run_multihead_self_attention_with_rope")
_BLOCK = ("transformer_block", "run_transformer_block")
_LAYERS = (_LINEAR, _NORM, _SILU, _SWIGLU, _SOFTMAX, _ATTENTION, _ROPE)


def locate(failure: Failure, submission: Submission, lines: bool = True) -> Clue | None:
    """A source of clues: the place in the code where a wrong answer of a formula begins to be wrong.

    Args:
        lines: whether to name files and lines; else only the quantities that are right, missing, or in their place.
    """
    seen = _seen.setdefault(submission, _Seen()).clues
    there = [
        clue
        for (_, named), (question, clue, ended) in seen.items()
        if ended and named == lines and _stops_there(ended, question, failure, submission)
    ]
    if any(there) or len(there) >= _QUESTIONS:
        return next(filter(None, there), None) or (_raised(failure, submission) if lines else None)
    for question in _questions(failure):
        key = id(question[1]), lines
        if key not in seen:
            seen[key] = question, *_look_into(question, submission, lines)
        _, clue, ended = seen[key]
        if clue and (_is_asked(question, failure) or _ends_alike(ended, clue, failure, submission)):
            return clue
    return _raised(failure, submission) if lines else None


def _stops_there(ended: Raised, question: Question, failure: Failure, submission: Submission) -> bool:
    """Whether a failed test ended with the same exception, in the same line, as another question of the very kind."""
    last = next((i for i, answer in enumerate(failure.answers) if isinstance(answer, Exception)), None)
    if last is None or not _is_fit(failure.asked[last]) or _kind_of(failure.asked[last]) != _kind_of(question):
        return False
    error = failure.answers[last]
    return _type_of(error) == ended.type and _place_of(error, submission) == (ended.file, ended.line)


def _kind_of(question: Question) -> tuple[str, dict[str, Any]]:
    """The operation, and what its arguments are but for their values and sizes: a line may refuse others for reasons
    of their own.
    """
    return question[0], {
        name: (value.dtype, value.ndim) if isinstance(value, torch.Tensor) else type(value)
        for name, value in question[1].items()
    }


def _type_of(error: Exception) -> str:
    return error.type_name if isinstance(error, StudentError) else type(error).__name__


def _is_asked(question: Question, failure: Failure) -> bool:
    return any(arguments is question[1] for _, arguments in failure.asked)


def _ends_alike(ended: Raised | None, clue: Clue, failure: Failure, submission: Submission) -> bool:
    """Whether another question ends as the failed one did: else something else is wrong with it.

    What gives wrong values for some sizes may raise for others, in the same line.
    """
    error = next((answer for answer in failure.answers if isinstance(answer, Exception)), None)
    if error is None:
        return ended is None
    place = _place_of(error, submission)
    if ended is None:
        return place == (clue.file, clue.line) and SIZES in fingerprint_error(error)
    return _type_of(error) == ended.type and place in ((ended.file, ended.line), None)


def _look_into(question: Question, submission: Submission, lines: bool) -> tuple[Clue | None, Raised | None]:
    """What is found out about a question, and the exception that it ends with."""
    readings = readings_of(*question)
    recording = submission.record(*question) if readings else None
    if recording is None or recording.full:
        return None, None
    if recording.ended is not None:
        return stopped(readings[0], recording, submission, lines), recording.ended
    followed = departure_of(readings, recording.answer, recording)
    if followed is None:
        return None, None
    known, wrong = followed
    trusted = _trusted(question[0], submission)
    departure = find(known, recording, *wrong, trusted)
    if departure is None:
        return None, None
    if has_quantities() and (pair := exchanged(*question, recording.answer)):
        return tell_exchanged(known, pair, question[1], recording, departure, submission, lines), None
    return tell(departure, submission) if lines else tell_in_words(departure), None


def _questions(failure: Failure) -> list[Question]:
    """One of the failed test that got a wrong answer, and stored ones of the kind; the most telling ones first."""
    fit = [pair for pair in zip(failure.asked, failure.answers, strict=False) if _is_fit(pair[0])]
    if fit and not has_quantities():  # of few questions anything is known: they have to stand for the one that failed
        operation = next((question[0] for question, answer in fit if isinstance(answer, Exception)), fit[0][0][0])
        return [question for _, question in _stored_questions(failure.problem, operation)]
    wrong = [question for question, answer in fit if _is_wrong(question, answer)]
    if not wrong:
        return []
    own = min(((_blur(question), question) for question in wrong), key=_first)
    others = _stored_questions(failure.problem, own[1][0])
    return [question for _, question in sorted([own, *others], key=_first)]


def _first(pair: tuple[_Blur, Question]) -> _Blur:
    return pair[0]


@functools.cache
def _stored_questions(problem: str, operation: str) -> tuple[tuple[_Blur, Question], ...]:
    """A few stored questions for an operation, the most telling ones first, each after how little it tells."""
    if not has_quantities():
        known = [one.question for one in known_questions() if (one.problem, one.question[0]) == (problem, operation)]
        return tuple((_blur(question), question) for question in known[:_QUESTIONS])
    found: list[tuple[_Blur, Question]] = []
    fit = [(operation, case.inputs) for case in _fit_cases(problem, operation)]
    for question in sorted(fit, key=_oddity)[:_LOOKED_AT]:
        found.append((_blur(question), question))
        if sum(not blur for (blur, _), _ in found) == _QUESTIONS:
            break  # whatever follows is of an odder size
    return tuple(sorted(found, key=_first)[:_QUESTIONS])


def telling_cases(problem: str, operation: str) -> list[Case]:
    """The stored cases of an operation by whose quantities a mistake can be found, those where it is easiest first."""
    return sorted(_fit_cases(problem, operation), key=lambda case: _blur((operation, case.inputs)))


def _fit_cases(problem: str, operation: str) -> list[Case]:
    cases = stored_cases(problem) if asks_for_cases(problem) else []
    return [case for case in cases if case.operation == operation and _is_fit((operation, case.inputs))]


def _blur(question: Question) -> _Blur:
    """How little a question tells quantities apart: those that are alike or constant, then how odd its size is."""
    known = [quantity for reading in readings_of(*question)[:1] for quantity in reading]
    named = [Pattern.of(q.value) for q in known if q.kind.name in ("STEP", "OPTIONAL")]
    telling = [pattern for pattern in named if pattern.is_telling or is_number(pattern)]
    different = {(pattern.size, round(pattern.sums[0], 6), round(pattern.sums[1], 6)) for pattern in telling}
    return len(named) - len(different), _oddity(question)


def _oddity(question: Question) -> float:
    """How far the size of a question is from a good one."""
    return abs(math.log(max(1, size_of(question)) / _GOOD_SIZE))


_PARTS: dict[str, tuple[tuple[str, str], ...]] = {
    "run_swiglu": (_LINEAR, _SILU),
    "run_scaled_dot_product_attention": (_SOFTMAX,),
    "run_multihead_self_attention": (_LINEAR, _SOFTMAX, _ATTENTION),
    "run_multihead_self_attention_with_rope": (_LINEAR, _SOFTMAX, _ATTENTION, _ROPE),
    "run_transformer_block": (*_LAYERS, _HEADS),
    "run_transformer_lm": (_EMBEDDING, *_LAYERS, _HEADS, _BLOCK),
    "run_next_token_probabilities": (_SOFTMAX,),
}
"""{operation: (problem, operation) of what it is made of}"""


@dataclass
class _Seen:
    """What is known of one submission: lines that are run where a part is right, and what was found for a question."""

    lines: dict[tuple[str, str], frozenset[Place]] = field(default_factory=dict)
    clues: dict[tuple[int, bool], tuple[Question, Clue | None, Raised | None]] = field(default_factory=dict)
    """By the id of the question's arguments, which are kept, and by whether lines are named."""


_seen: weakref.WeakKeyDictionary[Submission, _Seen] = weakref.WeakKeyDictionary()
"""So that each question is asked once."""


def _trusted(operation: str, submission: Submission) -> frozenset[Place]:
    """The lines that are run where the parts of an operation, each by itself, come out right."""
    known = _seen.setdefault(submission, _Seen()).lines
    for part in _PARTS.get(operation, ()):
        if part not in known:
            known[part] = _right_lines(*part, submission)
    return frozenset().union(*(known[part] for part in _PARTS.get(operation, ())))


def _right_lines(problem: str, operation: str, submission: Submission) -> frozenset[Place]:
    questions = [question for _, question in _stored_questions(problem, operation)]
    for question in sorted(questions, key=_leaves_out)[:1]:
        recording = submission.record(*question)
        readings = readings_of(*question)
        if recording and recording.ended is None and readings and departure_of(readings, recording.answer) is None:
            return frozenset(place for step in recording.steps for place in step.places)
    return frozenset()


def _leaves_out(question: Question) -> int:
    """How much of what may be given is not, or does nothing, as a mask that is open everywhere."""
    return sum(
        value is None or (isinstance(value, torch.Tensor) and value.dtype == torch.bool and bool(value.all()))
        for value in question[1].values()
    )


def _is_wrong(question: Question, answer: Any) -> bool:
    return isinstance(answer, Exception) or departure_of(readings_of(*question), answer) is not None


def _is_fit(question: Question) -> bool:
    operation, arguments = question
    return operation in _formulas() and size_of(arguments) <= _MOST_NUMBERS and is_precise(arguments)


def is_precise(value: Any) -> bool:
    """Whether no tensor in it is of half precision, in which right answers are far from one another."""
    if isinstance(value, torch.Tensor):
        return value.dtype not in (torch.float16, torch.bfloat16)
    if isinstance(value, (dict, list, tuple)):
        return all(map(is_precise, value.values() if isinstance(value, dict) else value))
    return True


def has_quantities() -> bool:
    """Whether this copy of the kit knows the formulas: a student's has no solution."""
    return importlib.util.find_spec("grader.reference") is not None


@functools.cache
def _formulas() -> frozenset[str]:
    if not has_quantities():
        return frozenset(known.question[0] for known in known_questions())
    return frozenset(importlib.import_module("grader.reference._quantities").FORMULAS)


def is_formula(operation: str) -> bool:
    """Whether the quantities of an operation are declared."""
    return operation in _formulas()


def readings_of(operation: str, arguments: Mapping[str, Any]) -> list[list[NamedQuantity]]:
    """The quantities of a call, in every right reading; [] if none are declared or the arguments are of no use."""
    if operation not in _formulas():
        return []
    if not has_quantities():
        return next((known.readings for known in known_questions() if known.question[1] is arguments), [])
    try:
        return importlib.import_module("grader.reference._quantities").readings(operation, _plain(arguments))
    except (ValueError, IndexError, KeyError, TypeError):  # arguments that the operation has to refuse
        return []


def departure_of(
    readings: Sequence[list[NamedQuantity]], answer: Any, recording: Recording | None = None
) -> tuple[list[NamedQuantity], tuple[NamedQuantity, np.ndarray]] | None:
    """The reading that an answer follows longest, with the first part that is wrong in it; None if one is followed.

    Of readings that it follows as long, the one of which most is in the recording: an answer may be too coarse to tell.
    """
    found = [(known, wrong_output(known, answer)) for known in readings]
    wrong = [(known, where) for known, where in found if where is not None]
    if len(wrong) < len(found) or not wrong:
        return None
    longest = max(known.index(where[0]) for known, where in wrong)
    alike = [(known, where) for known, where in wrong if known.index(where[0]) == longest]
    if recording is None or len(alike) == 1:
        return alike[0]
    return max(alike, key=lambda pair: _in_recording(pair[0], recording))


def _in_recording(known: Sequence[NamedQuantity], recording: Recording) -> int:
    """How many of the formula's own steps a recorded call has."""
    present = match(known, recording.steps).present
    return sum(known[i].kind.name in ("STEP", "OPTIONAL") for i in present)


def _plain(value: Any) -> Any:
    """Tensors as arrays."""
    if isinstance(value, torch.Tensor):
        return value.detach().double().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def wrong_output(known: Sequence[NamedQuantity], answer: Any) -> tuple[NamedQuantity, np.ndarray] | None:
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


def exchanged(operation: str, arguments: Mapping[str, Any], answer: Any) -> tuple[str, str] | None:
    """The names of two given weights with which all is right once each is taken for the other; None if there are none.

    Each of them gives a quantity of the formula, so that what goes wrong does so in a later and innocent line.
    """
    weights = [
        name for name, value in arguments.items() if name.endswith("_weight") and isinstance(value, torch.Tensor)
    ]
    for one, other in itertools.combinations(weights, 2):
        if arguments[one].shape == arguments[other].shape and not torch.equal(arguments[one], arguments[other]):
            readings = readings_of(operation, {**arguments, one: arguments[other], other: arguments[one]})
            if isinstance(answer, torch.Tensor) and any(wrong_output(known, answer) is None for known in readings):
                return one, other
    return None


# ------------------------------------------------------------------------------------------------------------
# In words


def tell_exchanged(
    known: Sequence[NamedQuantity],
    pair: tuple[str, str],
    arguments: Mapping[str, Any],
    recording: Recording,
    departure: Departure,
    submission: Submission,
    lines: bool,
) -> Clue:
    """That two weights are taken for each other, and where: where they are loaded, if the code there says so."""
    values = [_plain(arguments[name]) for name in pair]
    given = [q for q in known if q.kind.name == "GIVEN"]
    one, other = (
        next((q.name for q in given if q.value.shape == value.shape and np.allclose(q.value, value)), name)
        for name, value in zip(pair, values, strict=True)
    )
    says = [f"Your output is right but for one thing: {one} and {other} are taken for each other."]
    if not lines:
        return Clue(tuple(says), relation=f"{other} in the place of {one}")
    loads = dict.fromkeys(
        (step.file, step.line)
        for step in recording.steps
        if step.writes and step.value is not None and any(_holds(step.value, value) for value in values)
    )
    way = departure.way
    if loaded := next((at for load in loads if (at := _mislabelled(load, pair, submission))), None):
        way = (loaded,)
        says.append(f"{_at(loaded)} loads one of them for the other.")
    else:
        says.append(f"It shows first at {_at(departure.first)}. Are they used there in the right order, and loaded so?")
    missing = str(departure.missing[0]) if departure.missing else ""
    return _clue(submission, says, way, str(departure.had or ""), missing, f"{other} in the place of {one}")


def _holds(value: np.ndarray, weight: np.ndarray) -> bool:
    return value.shape == weight.shape and np.allclose(value, weight)


_NAMES = {"q": "q|query|queries", "k": "k|keys?", "v": "v|values?", "o": "o|out|output"}
"""{how an argument's name begins: how students name what it is for}"""


def _mislabelled(load: Place, pair: tuple[str, str], submission: Submission) -> Place | None:
    """The line of a statement that loads weights in which one of a pair stands beside the other's name."""
    for number, line in lines_around(submission, *load, around=_STATEMENT):
        for part, (own, other) in itertools.product(re.split("[,;{}]", line), (pair, pair[::-1])):
            rest = part.replace(own, "")
            if own in part and _is_named(rest, other) and not _is_named(rest, own):
                return load[0], number
    return None


def _is_named(line: str, argument: str) -> bool:
    start = argument.removesuffix("_weight").removesuffix("_proj")
    names = _NAMES.get(start, start)
    return re.search(rf"(?<![a-z0-9])(?:w_?)?(?:{names})(?![a-z0-9])", line, re.IGNORECASE) is not None


def tell(departure: Departure, submission: Submission) -> Clue:
    """Where a call leaves the formula, for the student."""
    had, near = departure.had, departure.had_at or departure.first
    named = [str(quantity) for quantity in departure.missing]
    if departure.returned:
        place = f", from {_at(departure.first)} on," if departure.first[0] else ""
        says = [f"What your code gives{place} is {had}.", f"What is asked for is {named[-1]}."]
        return _clue(submission, says, departure.way, str(had), named[0], str(had))
    if not named:
        says = [
            f"Up to {_at(near)} your code has {had}, and that is what is asked for.",
            f"{_called(departure.way, near)} makes something else of it.",
        ]
        return _clue(submission, says, departure.way, str(had), "", "")
    if departure.unused is not None:
        begins = f"Up to {_at(near)} your code has {had}. " if departure.had_at and had else ""
        says = [
            f"{begins}{_called(departure.way, near if begins else None)} gives {departure.unused}, and "
            "nothing that comes after it takes that up: is the result kept?"
        ]
        return _clue(submission, says, departure.way, str(had or ""), str(departure.unused), "")
    then = f"{named[0]}, and then {named[-1]}" if len(named) > 1 else named[0]
    none = "either of them" if len(named) > 1 else "that"
    begins = f"Up to {_at(near)} your code has {had}. Next would come" if had else "The first step would be"
    says = [f"{begins} {then}; nothing that your code computes is {none}."]
    if departure.unseen:
        says.append(
            f"{_at(departure.first)} makes a tensor of numbers that are something else already; look where they are "
            "computed, in plain Python or NumPy."
        )
        return Clue(tuple(says), agrees_until=str(had or ""), missing=named[0])
    if departure.drawn:
        says.append(
            "In its place, your code goes on from weights that were drawn at random: are the given ones loaded?"
        )
    if departure.unsure or departure.drawn:
        return Clue(tuple(says), agrees_until=str(had or ""), missing=named[0])
    if departure.relation and departure.related:
        says.append(f"{_called(departure.related, near, departure.first)} gives {departure.relation}.")
    elif departure.skipped:
        says.append(f"{_called(departure.way, near)} goes on from {departure.skipped}.")
    else:
        says.append(f"{_called(departure.way, near)} is the first that computes something else.")
    return _clue(submission, says, departure.way, str(had or ""), named[0], departure.relation or departure.skipped)


def _at(place: Place, near: Place | None = None) -> str:
    """`attention.py:41`, or "Line 41" at the beginning of a sentence about a place near it."""
    return f"Line {place[1]}" if near is not None and place[0] == near[0] else f"{place[0]}:{place[1]}"


def _called(way: Way, near: Place | None, blamed: Place = ("", 0)) -> str:
    """The beginning of a sentence about a line: `Line 8, called from line 16,`.

    Args:
        blamed: the call that is named if it led there; else the innermost.
    """
    place, callers = way[0], _calls_told(way)
    if not callers:
        return _at(place, near)
    caller = blamed if blamed in callers else callers[0]
    at = f"line {caller[1]}" if caller[0] == place[0] else _at(caller)
    return f"{_at(place, near)}, called from {at},"


def _calls_told(way: Way) -> list[Place]:
    """The calls that led to a place; that adapters call the submission's functions goes without saying."""
    (file, _), *calls = way
    return [call for call in calls if call[0] == file or os.path.basename(call[0]) != _ADAPTERS]


def tell_in_words(departure: Departure) -> Clue:
    """The same without a file or a line."""
    had, named = departure.had, [str(quantity) for quantity in departure.missing]
    if departure.returned:
        says = [f"What your code gives is {had}.", f"What is asked for is {named[-1]}."]
        return Clue(tuple(says), agrees_until=str(had), missing=named[0], relation=str(had))
    if not named:
        return Clue((f"Your code has {had}, which is what is asked for, and makes something else of it.",))
    if departure.unused is not None:
        says = [f"Your code computes {departure.unused}, and nothing that comes after takes that up: is it kept?"]
        return Clue(tuple(says), agrees_until=str(had or ""), missing=str(departure.unused))
    then = f"{named[0]}, and then {named[-1]}" if len(named) > 1 else named[0]
    none = "either of them" if len(named) > 1 else "that"
    begins = f"Your code has {had}. Next would come" if had else "The first step would be"
    says = [f"{begins} {then}; nothing that your code computes is {none}."]
    relation = "" if departure.unseen else departure.relation or departure.skipped
    if relation:
        says.append(f"In its place, your code has {relation}.")
    return Clue(tuple(says), agrees_until=str(had or ""), missing=named[0], relation=relation)


def stopped(
    known: Sequence[NamedQuantity], recording: Recording, submission: Submission, lines: bool = True
) -> Clue | None:
    """Which quantities a call had when an exception ended it."""
    ended = recording.ended
    if ended is None or not ended.file:
        return None
    matched = match(known, recording.steps)
    steps = {
        i: at for at, i in sorted(matched.match.items(), reverse=True) if known[i].kind.name in ("STEP", "OPTIONAL")
    }
    if not steps:
        return None
    had = max(steps)
    if not lines:
        return Clue((f"Your code has {known[had]}, and then ends with {ended.type}.",), agrees_until=str(known[had]))
    step, place = recording.steps[steps[had]], (ended.file, ended.line)
    says = [
        f"Up to {step.file}:{step.line} your code has {known[had]}.",
        f"{_at(place, (step.file, step.line))} then ends with {ended.type}.",
    ]
    return _clue(submission, says, (place,), str(known[had]), "", "")


def _raised(failure: Failure, submission: Submission) -> Clue | None:
    """Where the submission's code stopped, if it did."""
    error = next((answer for answer in reversed(failure.answers) if isinstance(answer, Exception)), None)
    place = _place_of(error, submission) if error is not None else None
    if error is None or place is None:
        return None
    return _clue(submission, (), (place,), "", "", "")  # the traceback says the rest


def _place_of(error: Exception, submission: Submission) -> Place | None:
    """The innermost line of the submission on an exception's way."""
    if isinstance(error, StudentError):
        found = _FRAME.findall(error.detail)
        return (found[-1][0], int(found[-1][1])) if found and submission.files.has(found[-1][0]) else None
    if isinstance(error, Fault):
        return None
    root = os.path.join(os.path.realpath(submission.files.root), "")
    inside = [
        (file.removeprefix(root).replace(os.sep, "/"), line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if (file := os.path.realpath(frame.f_code.co_filename)).startswith(root)
        if "site-packages" not in file and not file.startswith(_NOBODYS)
    ]
    return inside[-1] if inside else None


def _clue(submission: Submission, says: Sequence[str], way: Way, had: str, missing: str, relation: str) -> Clue:
    """Args: way: the place that the clue is about, and the calls that led there."""
    if not way:
        return Clue(tuple(says), agrees_until=had, missing=missing, relation=relation)
    calls = way[1:] if _calls_told(way) else ()
    shown = ((*call, lines_around(submission, *call, around=0)) for call in calls[:_CALLERS])
    callers = tuple((file, line, code[0][1].strip() if code else "") for file, line, code in shown)
    return Clue(tuple(says), *way[0], lines_around(submission, *way[0]), callers, had, missing, relation)


def lines_around(submission: Submission, file: str, line: int, around: int = _AROUND) -> tuple[tuple[int, str], ...]:
    """Lines of one of the submission's files, each with its number, as far as they can be read."""
    try:
        lines = submission.files.read_text(file, _SOURCE_BYTES).split("\n")
    except Fault:
        return ()
    first, last = max(1, line - around), min(len(lines), line + around)
    return tuple((number, lines[number - 1].rstrip()) for number in range(first, last + 1))
