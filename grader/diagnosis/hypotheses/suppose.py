"""What a piece of a submission does, as far as its failures tell: a change of the formula that gives all of them.

Judged by the answers of the tests alone: nothing is asked again, so that what comes of it may decide over points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..time_limit import Work
from .asked_call import AskedCall
from .change import Hypothesis
from .expressions import expressions
from .fitted import fitted
from .formulas import FORMULAS, space_of
from .found import Found
from .in_reference import PLANTABLE, Supposed, parts_within
from .search import Search
from .wrong_formula import calls_of

if TYPE_CHECKING:
    from ..clues import Failure

_STEPS = 40_000
"""So many steps of formulas may the search for one operation take: half a second or so."""
_EXACT = 1e-3
"""Answers that may be farther off, as in half precision, tell no number well."""
_SOON = 2_000
_AT_LEAST = 3
"""So many different wrong answers does a change have to give."""


def suppose(failures: Iterable[Failure], supposed: Supposed) -> Found:
    """The changes with which the operations of one problem give what these failed tests saw.

    Args:
        failures: of one problem. supposed: what was found in what it builds on.
    """
    return suppose_calls((call for failure in failures for call in calls_of(failure)), supposed)


def suppose_calls(every: Iterable[AskedCall], supposed: Supposed) -> Found:
    """The same for calls of the operations of one problem, among them all that are wrong."""
    calls: dict[str, list[AskedCall]] = {}
    for call in every:
        calls.setdefault(call.operation, []).append(call)
    found: dict[str, Hypothesis] = {}
    in_vain: set[str] = set()
    for operation in PLANTABLE:
        parts = parts_within(operation, {**supposed, **found})
        changes = _changes(calls.get(operation, ()), parts)
        if changes:
            found[operation] = changes
        elif changes is None and not FORMULAS.below(operation):
            in_vain.add(operation)
    return Found(found, frozenset(in_vain))


def _changes(calls: Sequence[AskedCall], parts: Hypothesis) -> Hypothesis | None:
    """What is wrong beside the parts; () where that is nothing or nobody knows, None where not one answer is given."""
    calls = [call for call in calls if not call.is_refused]  # what it raises says nothing of what it computes
    wrong = [call for call in calls if call.is_wrong and call.is_of_adapter]
    if len(wrong) < _AT_LEAST or all(call.agrees(parts) for call in calls):
        return ()
    first = max(wrong, key=_tells)
    exact = [call for call in wrong if call.close <= _EXACT] or wrong
    smallest_first = sorted((call.to_explain() for call in exact), key=_size)
    fits_first = False
    for rivals in _rivals(Search(first.to_explain(), Work(_STEPS)), parts, smallest_first):
        fits_first |= bool(rivals)
        for rival in rivals:
            if all(call.agrees((*parts, *rival)) for call in calls):
                return rival
    return () if fits_first else None


def _tells(call: AskedCall) -> int:
    """How many numbers an answer holds, up to a size at which hundreds of hypotheses are soon computed."""
    size = _size(call)
    return size if size <= _SOON else -size


def _size(call: AskedCall) -> int:
    return sum(part.numel() for part in call.answer)


def _rivals(search: Search, parts: Hypothesis, wrong: Sequence[AskedCall]) -> Iterator[list[Hypothesis]]:
    operation, given = search.wrong.operation, search.wrong.given
    own = [change for change in space_of(operation) if change.place not in _steps_below(operation)]
    if parts:
        bare = [hypothesis[len(parts) :] for hypothesis in search.fitting((*parts, change) for change in own)]
        yield bare
        return
    yield search.singles(own)
    for change in fitted(wrong):
        yield [(change,)]
    yield search.fitting((change,) for change in expressions(FORMULAS, operation, given, search.wrong.answer[0].shape))
    yield search.pairs()


def _steps_below(operation: str) -> set[str]:
    """The steps of what an operation is made of: what is wrong there is wrong in a problem of its own."""
    return {step for part in FORMULAS.below(operation) for step in FORMULAS.of[part].steps}
