"""The first wrong value of a recorded call: what the code had before it, what should have come, and what came instead.

Walking back from a wrong answer, past values that are no quantity of the formula, one comes to values that are: what
lies between is where the mistake is. What is said to be missing is nowhere in the call, in no layout; where right code
may do without a quantity, the next one that it cannot do without is missing, too.

Pure.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..submission.recording import Recording, Step
from .matching import (
    Pattern,
    Shelf,
    exact_relation,
    is_number,
    is_of,
    loose_relation,
    relation,
    same,
    same_but_for_factors,
)
from .stored_quantities import NamedQuantity

_CONE = 40
_CONTAINS = -1
"""What a value is known to be that holds a quantity and more: the rest of it may be right or wrong."""

_UNWRITTEN = frozenset({"empty", "empty_like", "new_empty", "empty_strided"})
_ASSEMBLES = frozenset({"__setitem__", "index_copy_"})
_TAKES_NUMBERS = frozenset({"tensor", "as_tensor", "asarray", "float", "double", "to", "type", "clone", "contiguous"})
"""What only takes up numbers. Where it comes of no step and they are none of the arguments', they were computed where
nothing is recorded: in plain Python, by NumPy, or before the call."""

_LOADS = frozenset({"copy_", "__set__", "__setitem__", "set_"})
"""What writes given weights over those that a layer began with."""
_LAYS_OUT = frozenset(
    {"__get__", "t", "transpose", "permute", "contiguous", "to", "float", "detach", "view", "reshape"}
)
_DRAWS = frozenset({"normal_", "uniform_", "trunc_normal_", "erfinv_", "randn", "rand", "randn_like", "rand_like"})

_COMPARES = frozenset({"lt", "le", "gt", "ge", "__lt__", "__le__", "__gt__", "__ge__", "less", "greater"})

Place = tuple[str, int]
"""File and line."""

Way = tuple[Place, ...]
"""A place, and the calls of the submission's that led there, from the innermost outwards."""


@dataclass(frozen=True)
class Departure:
    """Where a call leaves the formula.

    had: the last right quantity before, None if there is none but the arguments; had_at: where the code has it.
    way: where something else begins, and what called that; () where it does in no line.
    missing: what should have come, the one that right code cannot be without last; none if the code had what was asked
    for and went on.
    relation: what stands in its place, as in "0.25 times the scaled scores"; related: where. "" and () if unknown.
    skipped: what the code goes on from, in terms of what is missing: "8 times the scaled scores".
    returned: whether the answer itself is what the code had, though that is not what was asked for.
    unseen: whether the first wrong step only takes up numbers that were computed elsewhere, so that the mistake is in
    another line.
    unsure: whether single numbers on the way there, which have nothing to be known by, may be wrong before.
    drawn: whether the first wrong values are random, as the weights are with which a layer begins.
    unused: a quantity that should come next and is computed at `first`, where nothing goes on from it.
    """

    had: NamedQuantity | None
    had_at: Place | None
    way: Way
    missing: tuple[NamedQuantity, ...]
    relation: str = ""
    related: Way = ()
    skipped: str = ""
    returned: bool = False
    unseen: bool = False
    unsure: bool = False
    drawn: bool = False
    unused: NamedQuantity | None = None

    @property
    def first(self) -> Place:
        """Where something else begins; ("", 0) where it does in no line."""
        return self.way[0] if self.way else ("", 0)


@dataclass
class Matched:
    """The steps of a recording, each with what it is known to be.

    targets: the quantities; patterns: of the steps with a value; match: {step: index of the quantity}; open: steps that
    hold numbers which are none of the quantities; present: indices of all quantities that occur, of which two may be
    equal.
    """

    targets: list[Pattern]
    patterns: dict[int, Pattern]
    match: dict[int, int]
    open: set[int]
    present: set[int]


def find(
    known: Sequence[NamedQuantity],
    recording: Recording,
    wrong: NamedQuantity,
    answer: np.ndarray,
    trusted: Collection[Place] = (),
) -> Departure | None:
    """Where a recorded call leaves the formula; None where that is not certain.

    Args:
        wrong: the quantity that the answer should be; answer: what it is.
        trusted: lines that were run where parts of the formula came out right. A right function that is called with
            the wrong thing gives a wrong one, and it is the call that has to be looked at.
    """
    steps = recording.steps
    matched = match(known, steps)
    final = _final(steps, answer)
    if final is None:  # the answer was made of others unseen, as by NumPy
        final = max(matched.open, default=None)
    if final is None:
        return None
    if final in matched.match:
        return _returned(known, steps, matched, final, wrong, trusted)
    if matched.patterns[final].is_telling:
        matched.open.add(final)
    cone = _cone(steps, matched, final)
    origin = _origin(steps, matched, cone)
    if origin is None:
        return None
    first, before = origin
    latest = max(before, key=lambda step: (_rank(known, matched.match[step]), step), default=None)
    had = matched.match[latest] if latest is not None else -1
    missing = missing_after(known, matched, had, wrong)
    if not missing:
        if latest is None or known[had] is not wrong:
            return None
        return Departure(wrong, _place(steps[latest]), _blamed(steps[first], steps, matched, trusted), ())
    if misplaced := _misplaced(known, steps, matched, first, missing):
        at, said = misplaced
        way = steps[at].places if at is not None else _blamed(steps[first], steps, matched, trusted)
        return Departure(
            had=known[had] if latest is not None and known[had].kind.name != "GIVEN" else None,
            had_at=_place(steps[latest]) if latest is not None else None,
            way=way,
            missing=tuple(known[i] for i in missing),
            relation=said,
            related=way,
        )
    if unused := _unused(known, steps, matched, final, had, missing[0]):
        return Departure(
            had=known[had] if latest is not None and known[had].kind.name != "GIVEN" else None,
            had_at=_place(steps[latest]) if latest is not None else None,
            way=_blamed(steps[unused], steps, matched, trusted),
            missing=tuple(known[i] for i in missing),
            unused=known[matched.match[unused]],
        )
    said, related = _related(known, steps, matched, cone, missing)
    place = first if related is None or _scales(known, matched, first, before) else related
    decided = _decided(steps, matched, place) or _told(steps, matched, place, trusted)
    named = latest is not None and known[had].kind.name != "GIVEN"
    skipped = ""
    if related is None and latest is not None and named and not is_number(matched.patterns[latest]):
        skipped = relation(matched.patterns[latest], matched.targets[missing[0]], known[missing[0]].name)
    return Departure(
        had=known[had] if named else None,
        had_at=_place(steps[latest]) if latest is not None and named else None,
        way=decided or _blamed(steps[place], steps, matched, trusted),
        missing=tuple(known[i] for i in missing),
        relation=said,
        related=steps[related].places if related is not None else (),
        skipped=skipped,
        unseen=steps[place].name in _TAKES_NUMBERS and not steps[place].sources,
        unsure=related is None and _follows_numbers(steps, matched, place),
        drawn=steps[first].name in _DRAWS,
    )


def _misplaced(
    known: Sequence[NamedQuantity], steps: Sequence[Step], matched: Matched, first: int, missing: Sequence[int]
) -> tuple[int | None, str] | None:
    """Which weights the first wrong step has in the place of those with which it would give what is missing, in words.

    And where they were written there, if that is the mistake: the right ones were written nowhere. Else they may as
    well have been taken wrongly. Where some step gives a quantity with the very weights, they were.
    """
    at = _written(steps, first)
    if at is None:
        return None
    used_by = [i for i in matched.match if _written(steps, i) == at]
    if any(known[matched.match[i]].kind.name in ("STEP", "OPTIONAL") for i in used_by):
        return None
    held = steps[at].value
    given = {i: quantity.value for i, quantity in enumerate(known) if quantity.kind.name == "GIVEN"}
    computed = [steps[i].value for i in steps[first].sources if known[matched.match.get(i, 0)].kind.name != "GIVEN"]
    inputs = computed or list(given.values())  # an argument itself is no step
    for i, weight in given.items():
        if held is None or weight.size != held.size or (weight.shape == held.shape and np.allclose(weight, held)):
            continue
        for product in (product for one in inputs if one is not None for product in _products(one, weight)):
            pattern = Pattern.of(product)
            if any(is_of(pattern, matched.targets[target]) for target in missing):
                said = f"{_called(known, matched, at, i, held)} in the place of {known[i].name}"
                return (None, f"what comes of {said}") if _is_written(weight, steps) else (at, said)
    return None


def _unused(
    known: Sequence[NamedQuantity], steps: Sequence[Step], matched: Matched, final: int, had: int, missing: int
) -> int | None:
    """The last step that gives a quantity between these two which no other step takes up."""
    taken_up = {source for step in steps for source in step.sources} | {final}
    gives = {at: i for at, i in matched.match.items() if had < i < missing and known[i].kind.name == "STEP"}
    used = {i for at, i in gives.items() if at in taken_up}
    return max((at for at, i in gives.items() if i not in used), default=None)


def _written(steps: Sequence[Step], at: int) -> int | None:
    """The step that last wrote the weights which a step takes, as they are or in another layout."""
    found: set[int] = set()
    waiting = [at]
    while waiting:
        for source in steps[waiting.pop()].sources:
            if steps[source].name in _LOADS and steps[source].writes:
                found.add(source)
            elif steps[source].value is not None and steps[source].name in _LAYS_OUT:
                waiting.append(source)
    return max(found, default=None)


def _is_written(weight: np.ndarray, steps: Sequence[Step]) -> bool:
    values = (step.value for step in steps if step.writes and step.name in _LOADS)
    return any(v is not None and v.shape == weight.shape and np.allclose(v, weight) for v in values)


def _products(one: np.ndarray, weight: np.ndarray) -> Iterator[np.ndarray]:
    """What a layer may make of its input and its weights."""
    if weight.ndim == 2 and one.ndim:
        for matrix in (weight.T, weight):
            if one.shape[-1] == matrix.shape[0]:
                yield one @ matrix
    elif weight.ndim == 1 and one.ndim and one.shape[-1] == len(weight):
        yield one * weight


def _called(known: Sequence[NamedQuantity], matched: Matched, at: int, right: int, held: np.ndarray) -> str:
    """What was written, in words."""
    name = known[right].name
    if held.ndim == 2 and held.T.shape == known[right].value.shape and np.allclose(held.T, known[right].value):
        return f"the transpose of {name}"
    other = matched.match.get(at)
    if other is None or known[other].kind.name != "GIVEN":
        return "something else"
    return known[other].name if other != right else f"{name} in another order"


def _told(steps: Sequence[Step], matched: Matched, at: int, trusted: Collection[Place]) -> Way:
    """Where a mask or positions come from that a right line was given, beside numbers that are right; () if from none.

    They are no real numbers, so that nothing can be known of them but that they are to blame.
    """
    if _place(steps[at]) not in trusted or any(source in matched.open for source in steps[at].sources):
        return ()
    for made in reversed(_nothing_known(steps, matched, at)):
        if steps[made].value is None and _place(steps[made]) not in trusted:
            return steps[made].places
    return ()


def _decided(steps: Sequence[Step], matched: Matched, at: int) -> Way:
    """Where it was decided what a step keeps: a comparison of right values on another line. Its outcome is no number.

    What only applies it does what it was told.
    """
    for source in _nothing_known(steps, matched, at):
        if any(one in matched.match for one in steps[source].sources) and steps[source].name in _COMPARES:
            return steps[source].places if _place(steps[source]) != _place(steps[at]) else ()
    return ()


def _nothing_known(steps: Sequence[Step], matched: Matched, at: int) -> list[int]:
    """The steps behind one of which nothing is known, up to those of which something is; the earliest first."""
    known = matched.match.keys() | matched.open
    found: set[int] = set()
    waiting = [at]
    while waiting:
        new = set(steps[waiting.pop()].sources) - known - found
        found |= new
        waiting += new
    return sorted(found)


def _follows_numbers(steps: Sequence[Step], matched: Matched, at: int) -> bool:
    """Whether a step on another line made a single number, none of the formula's, that this one comes of."""
    return any(
        source in matched.patterns
        and is_number(matched.patterns[source])
        and _place(steps[source]) != _place(steps[at])
        for source in _nothing_known(steps, matched, at)
    )


def _place(step: Step) -> Place:
    return step.file, step.line


def _blamed(step: Step, steps: Sequence[Step], matched: Matched, trusted: Collection[Place]) -> Way:
    """The line behind a wrong value: the innermost that is not known to be right, and what called it.

    A line that is right for other numbers may give NaN or infinity for these.
    """
    proved = set(trusted) if step.value is None or np.isfinite(step.value).all() else set()
    for at in matched.match:
        other = steps[at]
        if (*_place(other), other.name) == (*_place(step), step.name) and other.call != step.call:
            proved.add(_place(step))
    return next((step.places[i:] for i, place in enumerate(step.places) if place not in proved), step.places)


def _rank(known: Sequence[NamedQuantity], index: int) -> int:
    """How far along the formula a quantity is; arguments are before all of it."""
    return -1 if known[index].kind.name == "GIVEN" else index


def match(known: Sequence[NamedQuantity], steps: Sequence[Step]) -> Matched:
    targets = [Pattern.of(quantity.value, quantity.in_order) for quantity in known]
    shelf = Shelf(targets)
    found = Matched(targets, {}, {}, set(), set())
    free = [i for i, quantity in enumerate(known) if quantity.free and targets[i].is_telling]

    made: dict[tuple[Any, ...], tuple[Pattern, int | None]] = {}

    def seen_before(value: np.ndarray) -> tuple[Pattern, int | None]:
        """A value as a pattern, and what it is. Many steps hand on what others gave, which is looked at once."""
        key = value.shape, value.dtype.str, value.tobytes()
        if key not in made:
            pattern = Pattern.of(value)
            made[key] = pattern, best_for(pattern) if pattern.is_telling or is_number(pattern) else None
        return made[key]

    def best_for(pattern: Pattern) -> int | None:
        """Which quantity a value is: the whole of one rather than a part, and one with a name if there is a choice."""
        likely = sorted(
            shelf.candidates(pattern),
            key=lambda i: (targets[i].size != pattern.size, known[i].kind.name == "BESIDE", i),
        )
        exact = [i for i in likely if same(pattern, targets[i])]
        for i in exact:
            parts[i][pattern.sums] = pattern.size
        if exact:
            return next((i for i in exact if is_of(pattern, targets[i])), _CONTAINS)
        return next((i for i in free if same_but_for_factors(pattern, targets[i])), None)

    parts: dict[int, dict[tuple[float, float], int]] = collections.defaultdict(dict)
    loops: dict[tuple[Any, ...], list[int]] = collections.defaultdict(list)
    assembled = _assembled(steps)
    for at, step in enumerate(steps):
        if step.value is None or step.name in _UNWRITTEN or at in assembled:
            continue
        strange = bool(np.isnan(step.value).any() or np.isposinf(step.value).any())
        pattern, best = (Pattern.of(step.value), None) if strange else seen_before(step.value)
        found.patterns[at] = pattern
        if strange:
            found.open.add(at)
        elif pattern.is_telling or is_number(pattern):
            if best is None and pattern.is_telling:
                found.open.add(at)
            elif best is not None and best != _CONTAINS:
                found.match[at] = best
        if at not in found.match and at not in found.open:
            loops[step.file, step.line, step.name, step.value.shape].append(at)
    for members in loops.values():
        if len(members) >= 2:
            together = Pattern.of(np.stack([value for at in members if (value := steps[at].value) is not None]))
            if together.is_telling:
                best = best_for(together)
                found.match.update(dict.fromkeys(members, best) if best not in (None, _CONTAINS) else {})
                found.open.update(members if best is None else ())
    found.present.update(i for i, sizes in parts.items() if sum(sizes.values()) >= targets[i].size)
    return found


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
        same_size = value is not None and value.size == answer.size
        if value is not None and same_size and np.allclose(value.ravel(), answer.ravel(), 1e-6, 0, equal_nan=True):
            return at
    return None


def _returned(
    known: Sequence[NamedQuantity],
    steps: Sequence[Step],
    matched: Matched,
    final: int,
    wrong: NamedQuantity,
    trusted: Collection[Place],
) -> Departure | None:
    """The answer is a quantity of the formula, but not the one that was asked for."""
    had = matched.match[final]
    if known[had] is wrong:
        return None
    is_given = known[had].kind.name == "GIVEN"
    missing = missing_after(known, matched, -1 if is_given else had, wrong)
    return Departure(
        had=known[had],
        had_at=_place(steps[final]),
        way=() if is_given else _blamed(steps[final], steps, matched, trusted),
        missing=tuple(known[i] for i in missing) or (wrong,),
        returned=True,
    )


def _cone(steps: Sequence[Step], matched: Matched, final: int) -> list[int]:
    """The steps between the answer and what is known to be right, in order of time."""
    seen, waiting = {final}, [final]
    while waiting:
        for source in steps[waiting.pop()].sources:
            if source not in seen and source not in matched.match:
                seen.add(source)
                waiting.append(source)
    return sorted(at for at in seen if at in matched.open)


def _origin(steps: Sequence[Step], matched: Matched, cone: Sequence[int]) -> tuple[int, list[int]] | None:
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


def missing_after(known: Sequence[NamedQuantity], matched: Matched, had: int, wrong: NamedQuantity) -> list[int]:
    """What should come next: quantities that the formula names, up to the first that right code cannot do without.

    Of what has too few numbers to be known by, nothing is said.
    """
    present = matched.present
    missing = []
    for i in range(had + 1, len(known)):
        kind, target = known[i].kind.name, matched.targets[i]
        if kind in ("STEP", "OPTIONAL") and i not in present and (target.is_telling or is_number(target)):
            missing.append(i)
            if kind == "STEP":
                return missing
        elif kind == "STEP":
            missing.clear()  # it was passed, so what was optional before it was left out
        if known[i] is wrong:
            break
    return []


def _related(
    known: Sequence[NamedQuantity], steps: Sequence[Step], matched: Matched, cone: Sequence[int], missing: Sequence[int]
) -> tuple[str, int | None]:
    """What the first line that has to do with a missing quantity makes of it: its last step, if it takes several."""

    @functools.cache
    def exactly(at: int, i: int) -> str | None:
        return exact_relation(matched.patterns[at], matched.targets[i], known[i].name)

    def related(at: int, i: int, loosely: bool) -> str:
        if loosely and exactly(at, i) is None:
            return loose_relation(matched.patterns[at], matched.targets[i], known[i].name)
        return exactly(at, i) or ""

    for loosely in (False, True):
        for at in cone[:_CONE]:
            for i in reversed(missing):
                if not related(at, i, loosely):
                    continue
                of_line = [one for one in cone[:_CONE] if _line_of(steps[one]) == _line_of(steps[at])]
                found = [(related(one, i, loosely), one) for one in of_line]
                return [pair for pair in found if pair[0]][-1]
    return "", None


def _line_of(step: Step) -> tuple[Place, int]:
    """The line of a step, in one call of the function that it is in."""
    return _place(step), step.call


def _scales(known: Sequence[NamedQuantity], matched: Matched, first: int, before: Sequence[int]) -> bool:
    """Whether the first step only multiplies what is known by a number."""
    given = (i for i, quantity in enumerate(known) if quantity.kind.name == "GIVEN")
    for i in (*(matched.match[step] for step in before), *given):
        said = relation(matched.patterns[first], matched.targets[i], "it")
        if said.endswith(" times it") or said.startswith("the negative"):
            return True
    return False
