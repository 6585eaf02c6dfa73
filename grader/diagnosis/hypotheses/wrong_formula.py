"""The source of clues that says which small change of a formula gives just what the submission gives."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...scoring.outcome import Clue
from ...submission.faults import CallTimeout, Fault, is_refusal
from ...submission.interface import Question, Submission
from ..algorithms.asking import in_passing
from ..clues import Failure, size_of
from ..time_limit import Work
from .asked_call import AskedCall, asked_call, jittered
from .change import EXPRESSION, Change, Hypothesis, go_together, widened
from .expressions import expressions
from .formulas import FORMULAS, space_of
from .found import Found
from .search import Search, same_everywhere

_STEPS = 25_000
"""So many steps of formulas may the search for one failure take: three quarters of a second or so."""
_STEPS_OF_ALL = 70_000
"""So many may it take for all failures of a submission."""
_SECONDS_OF_ASKING = 3.0
"""So long may a submission's answers to further questions take, on the clock and together."""
_MOST_HALVES = 6
_ENOUGH = 2
"""Beside so many wrong answers of others a failed question is not asked with other numbers, too."""
_MOST_CALLS = 4
"""Of so many calls of a test every hypothesis has to give the answers."""


@dataclass
class Known:
    """What was found out about a submission so far.

    probes: {operation: its answers to the questions that tell changes apart}; found: {operation: hypotheses that
    explained a failure}; halves: {operation: single changes that fit some of its answers and not others}; given_up:
    operations for which no pair of changes was found; own: {operation: the submission's own code in its place};
    agreed: which hypotheses give which of the probes; work: what is left to do; asking: seconds that its answers took,
    and hangs: whether one of them took too long.
    """

    probes: dict[str, list[AskedCall]] = field(default_factory=dict)
    found: dict[str, list[Hypothesis]] = field(default_factory=dict)
    halves: dict[str, list[Hypothesis]] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    own: dict[str, Change] = field(default_factory=dict)
    agreed: dict[tuple[AskedCall, Hypothesis], bool] = field(default_factory=dict)
    work: Work = field(default_factory=lambda: Work(_STEPS_OF_ALL))
    asking: float = 0.0
    hangs: bool = False


class WrongFormula:
    """A source of clues; remembers what it found out about a submission as long as that lives.

    Args:
        before: what was found when it was asked what fails only because of what is wrong below.
    """

    def __init__(self, before: Iterable[Found] = ()) -> None:
        self._known: WeakKeyDictionary[Submission, Known] = WeakKeyDictionary()
        self._before = tuple(before)
        self.below: set[str] = set()
        """Tests that fail only because of what their formula is made of."""

    def __call__(self, failure: Failure, submission: Submission) -> Clue | None:
        if submission not in self._known:
            self._known[submission] = Known(
                found={op: [changes] for found in self._before for op, changes in found.changes.items()},
                given_up={op for found in self._before for op in found.in_vain},
            )
        known = self._known[submission]
        if failure.bug or known.work.is_over:
            return None
        investigation = Investigation(failure, submission, known, Work(_STEPS, known.work))
        says = investigation.says()
        if investigation.lies_below:
            self.below.add(failure.test)
        return Clue.of_cause(says) if says else None


class Investigation:
    """One failure, looked into."""

    def __init__(self, failure: Failure, submission: Submission, known: Known, work: Work) -> None:
        self._submission = submission
        self._known = known
        self._work = work
        self._calls = list(calls_of(failure))
        self._evidence: list[AskedCall] = []
        self._halves = known.halves.setdefault(self._calls[0].operation if self._calls else "", [])
        self._generator = torch.Generator().manual_seed(size_of(failure.asked))
        self.lies_below = False

    def says(self) -> str:
        """The sentence about it; "" where nothing is known."""
        wrong = [call for call in self._calls if call.is_wrong]
        refused = [call for call in self._calls if call.is_refused]
        if not wrong and refused:  # what it gives where it gives anything may say why it fails here
            wrong = [probe for probe in self._probed(refused[0].operation) if probe.is_wrong]
        if not wrong:
            return ""
        first = wrong[0]
        others = [call for call in self._calls if call is not first][: _MOST_CALLS - 1]
        search = Search(first.to_explain(), self._work)
        for rivals in self._stages(search):
            if not rivals:
                continue
            self._evidence = self._evidence or [search.wrong, *others, *self._asked_again(first)]
            left = [rival for rival in rivals if all(self._agrees(call, rival) for call in self._evidence)]
            if says := self._said(first, left, self._evidence):
                return says if first in self._calls else f"{says} Where that does not fit, as here, your code fails."
            self._halves += [rival for rival in rivals if len(rival) == 1][:_MOST_HALVES]
        return ""

    def _stages(self, search: Search) -> Iterator[list[Hypothesis]]:
        """Hypotheses that fit the wrong call, the plainest explanations first."""
        operation = search.wrong.operation
        below = FORMULAS.below(operation)
        yield search.fitting(self._known.found.get(operation, []))
        yield search.fitting(hypothesis for found in self._known.found.values() for hypothesis in found)
        wrong_parts = [part for part in below if self._is_wrong(part)]
        own = [self._own(part) for part in wrong_parts]
        direct = tuple(change for change in own if change.place in FORMULAS.of[operation].parts)
        together = [direct] if len(direct) > 1 else []  # in which those are that they are made of
        yield search.fitting([*((change,) for change in own), *together])
        if search.wrong.wrt and wrong_parts:
            return  # gradients of what is right in itself; what the parts lack shows in their own
        near, far = _by_likelihood(space_of(operation), below, wrong_parts)
        yield self._singles(search, near)
        yield self._completed(near)
        yield self._singles(search, far)
        shape = search.wrong.answer[0].shape if not search.wrong.wrt else None
        yield self._fitting(search, ((c,) for c in expressions(FORMULAS, operation, search.wrong.given, shape)))
        bases = [*(base for part in below for base in self._known.found.get(part, [])), *((part,) for part in own)]
        for base in bases:
            yield self._fitting(search, ((*base, change) for change in search.active))
        if operation not in self._known.given_up:
            yield self._pairs(search, near, far)
            self._known.given_up.add(operation)

    def _singles(self, search: Search, space: Sequence[Change]) -> list[Hypothesis]:
        """Single changes that fit the wrong call."""
        if self._sieve(search) is None:
            return search.singles(space)
        search.active += space
        return self._fitting(search, ((change,) for change in space))

    def _fitting(self, search: Search, hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
        """Those that fit the wrong call; of gradients only what fits an output, too, which is soon computed."""
        sieve = self._sieve(search)
        return search.fitting(hypotheses if sieve is None else Search(sieve, self._work).all_fitting(hypotheses))

    def _sieve(self, search: Search) -> AskedCall | None:
        probes = self._probed(search.wrong.operation) if search.wrong.wrt and search.wrong.is_of_adapter else []
        return next((probe for probe in probes if not probe.is_refused), None)

    def _completed(self, space: Sequence[Change]) -> list[Hypothesis]:
        """Pairs of a change that fits some call of the submission and of one that makes it fit the others, too."""
        found = []
        for half in self._halves[: 2 * _MOST_HALVES]:
            against = next((call for call in self._evidence if call.is_wrong and not call.agrees(half)), None)
            if against is None:
                continue
            pairs = ((*half, change) for change in space if go_together(half[0], change))
            found += Search(against, self._work).fitting(pairs)
        return found

    def _pairs(self, search: Search, *spaces: Sequence[Change]) -> list[Hypothesis]:
        """Pairs of changes that fit the wrong call: searched where both show, in a question made for that."""
        rich = [probe for probe in self._probed(search.wrong.operation) if probe.is_wrong]
        if not rich or not search.wrong.is_of_adapter:
            return search.pairs()
        elsewhere = Search(rich[0], self._work)
        for space in spaces:
            elsewhere.singles(space)
        return [pair for pair in elsewhere.pairs() if search.wrong.agrees(pair)]

    def _said(self, wrong: AskedCall, rivals: Sequence[Hypothesis], more: Sequence[AskedCall]) -> str:
        if not rivals:
            return ""
        fewest = min(map(len, rivals))
        rivals = [rival for rival in rivals if len(rival) == fewest]
        probes = [*more, *_unanswered(wrong.operation)]
        if len(rivals) > 1 and not same_everywhere(rivals, probes):
            places = {tuple(change.place for change in rival) for rival in rivals}
            ((place, *further),) = places if len(places) == 1 else (("", ""),)
            step = FORMULAS.steps.get(place)
            if further or step is None:
                return ""
            return f"The difference lies in one step of the formula: {step.gives}."
        best = rivals[0]
        self.lies_below = all(change.place in FORMULAS.of for change in best)
        own = self._known.found.setdefault(wrong.operation, [])
        if best not in own and not any(change.place in FORMULAS.of for change in best):
            own.append(best)
        return sentence(best, of_gradients=bool(wrong.wrt))

    def _agrees(self, call: AskedCall, hypothesis: Hypothesis) -> bool:
        if call not in self._known.probes.get(call.operation, ()):
            return call.agrees(hypothesis)
        if (call, hypothesis) not in self._known.agreed:
            self._known.agreed[call, hypothesis] = call.agrees(hypothesis)
        return self._known.agreed[call, hypothesis]

    def _asked_again(self, wrong: AskedCall) -> list[AskedCall]:
        """The submission's answers to the questions of the formula, and to the failed one with other numbers."""
        found = list(self._probed(wrong.operation)) if wrong.is_of_adapter else []
        if sum(probe.is_wrong for probe in found) >= _ENOUGH and not wrong.wrt:
            return found
        question = jittered(wrong.question, self._generator)
        answer = self._ask(question)
        return [*found, *filter(None, [asked_call(question, answer, wrong.close)])]

    def _probed(self, operation: str) -> list[AskedCall]:
        if operation not in self._known.probes:
            self._known.probes[operation] = [
                evidence
                for given in FORMULAS.of[operation].draw(torch.Generator().manual_seed(1))
                if (evidence := asked_call((operation, given), self._ask((operation, given)))) is not None
            ]
        return self._known.probes[operation]

    def _is_wrong(self, part: str) -> bool:
        return any(evidence.is_wrong for evidence in self._probed(part))

    def _ask(self, question: Question) -> Any:
        """The submission's answer; None where it gives none, or took too long once."""
        if self._known.hangs or self._known.asking > _SECONDS_OF_ASKING:
            return None
        start = time.monotonic()
        try:
            with in_passing(self._submission):
                return self._submission.perform(*question)
        except CallTimeout:
            self._known.hangs = True
        except Fault:
            pass
        except Exception:  # of a submission in this process
            pass
        finally:
            self._known.asking += time.monotonic() - start
        return None

    def _own(self, part: str) -> Change:
        """The submission's own code in the place of a formula."""

        def does(**given: Any) -> Tensor:
            answer = self._ask((part, _narrowed(given)))
            if not isinstance(answer, Tensor):
                raise ValueError("no answer")
            return widened(answer)

        return self._known.own.setdefault(part, Change(part, does, f"`{part}` of your own"))


def sentence(hypothesis: Hypothesis, of_gradients: bool = False) -> str:
    """What a student reads of a hypothesis."""
    own = [change for change in hypothesis if change.place in FORMULAS.of]
    rest = [change for change in hypothesis if change.place not in FORMULAS.of]
    subject = "Your gradients are" if of_gradients else "Your output is"
    if not rest:
        *most, last = (f"`{change.place}`" for change in own)
        parts, first = (f"{', '.join(most)} and {last}", "those") if most else (last, "that")
        return (
            f"{subject} what the formula gives with your own {parts} in it. Mend {first} first: all else is right here."
        )
    if len(hypothesis) == 1 and rest[0].place == EXPRESSION:
        return f"{subject} {rest[0].words}."
    clauses = [*(f"your own `{change.place}` is used" for change in own), *(change.words for change in rest)]
    if len(clauses) == 1:
        return f"{subject} what comes out when {clauses[0]}."
    return f"{subject} what comes out of two mistakes together: {'; and '.join(clauses)}."


def calls_of(failure: Failure) -> Iterator[AskedCall]:
    """The calls of a failed test that are about formulas, those with the smallest arguments first."""
    tolerance = failure.case.tolerance.relative if failure.case is not None else 0.0
    together = sorted(zip(failure.asked, failure.answers, strict=False), key=lambda pair: size_of(pair[0]))
    for question, answer in together:
        if isinstance(answer, Exception) and not is_refusal(answer):
            continue
        if evidence := asked_call(question, answer, tolerance):
            yield evidence


def _by_likelihood(
    space: Sequence[Change], below: Iterable[str], wrong: Sequence[str]
) -> tuple[list[Change], list[Change]]:
    """The changes of a formula and of those of its parts that are wrong by themselves; and those of the others."""
    right = {step for part in below if part not in wrong for step in FORMULAS.of[part].steps}
    return [change for change in space if change.place not in right], [c for c in space if c.place in right]


def _unanswered(operation: str) -> Iterator[AskedCall]:
    """The questions of a formula, whether or not the submission answers them."""
    for given in FORMULAS.of[operation].draw(torch.Generator().manual_seed(1)):
        yield AskedCall((operation, given), operation, widened(given), (), 0.0)


def _narrowed(value: Any) -> Any:
    """In float32, as submissions are asked."""
    if isinstance(value, dict):
        return {name: _narrowed(item) for name, item in value.items()}
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
