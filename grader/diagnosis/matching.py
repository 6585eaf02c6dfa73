"""Is this array that quantity? Up to what honest code may differ in, and if not, how far off?

Honest code may hold a quantity transposed, reshaped, with heads split or merged, with dimensions that broadcast, or
only a part of it at a time (a head, a row, the even features), or beside other quantities in one array (three
projections fused). All of these *gather* one array from the other: each axis of the part picks places along axes of
the whole that no other axis of the part touches. A reshape where a transposition belongs does not: there one axis runs
over two.

Numbers tell where a part lies, as real-valued ones hardly ever repeat. Where they do (zeros, whole numbers, constants)
nothing is said.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

_CLOSED = -9_000.0
"""Scores from here downwards stand for minus infinity, as which code may take any large negative number."""

_PRECISION = 2e-5
"""Relative to a value and to the root mean square of all: what float32 and another order of operations may change."""

_DISTINCT = 4
"""So many different numbers, none of them whole, does an array need to be known by."""

_AT_ONCE = 32
"""The first few numbers of most arrays are as different."""

_SAMPLES = 12
_MOST_LAYOUTS = 200


def _squeezed(value: Array) -> Array:
    """Without axes of size 1, and without those along which nothing changes."""
    value = value.reshape([n for n in value.shape if n != 1])
    if not value.size:
        return value
    for axis in reversed(range(value.ndim)):
        ends = value[(0,) * value.ndim], value[tuple(-(i == axis) for i in range(value.ndim))]
        if ends[0] != ends[1] and not np.isnan(ends).all():
            continue  # as nearly always, and it is soon seen
        first = np.take(value, [0], axis)
        if np.array_equal(np.broadcast_to(first, value.shape), value, equal_nan=True):
            value = first.squeeze(axis)
    return value


@dataclass(frozen=True, eq=False)
class Pattern:
    """An array, made ready to be compared with many.

    value: without axes that say nothing, with minus infinity for what counts as closed; in_order: two of its axes, of
    which the first has to stay before the second.
    """

    value: Array
    in_order: tuple[int, int] | None

    @classmethod
    def of(cls, value: Array, in_order: tuple[int, int] | None = None) -> Pattern:
        """As negative numbers, `in_order` names axes of `value`."""
        value = np.where(value <= _CLOSED, -np.inf, value) if np.isneginf(value).any() or in_order else value
        kept = _squeezed(value)
        axes = None
        if in_order is not None and kept.ndim >= 2 and kept.shape[-2:] == value.shape[-2:]:
            axes = kept.ndim - 2, kept.ndim - 1
        return cls(kept, axes)

    @functools.cached_property
    def finite(self) -> Array:
        return self.value[np.isfinite(self.value)]

    @functools.cached_property
    def scale(self) -> float:
        """The root mean square."""
        if not self.finite.size:
            return 0.0
        largest = float(np.abs(self.finite).max()) or 1.0  # squares of large numbers overflow
        return largest * float(np.sqrt(np.mean((self.finite / largest) ** 2)))

    @functools.cached_property
    def ordered(self) -> tuple[Array, Array]:
        """All values from the smallest to the largest, and where they stand."""
        flat = self.value.reshape(-1)
        order = np.argsort(flat, kind="stable")
        return flat[order], order

    @functools.cached_property
    def sums(self) -> tuple[float, float]:
        with np.errstate(over="ignore"):
            return float(self.finite.sum()), float((self.finite**2).sum())

    @functools.cached_property
    def is_telling(self) -> bool:
        """Whether it holds enough different real numbers to be known by them."""
        return self._is_telling(self.finite[:_AT_ONCE]) or self._is_telling(self.finite)

    def _is_telling(self, values: Array) -> bool:
        rounded = values[np.abs(values - np.round(values)) > 1e-6]
        return len(set(np.round(rounded / (self.scale or 1), 4).tolist())) >= _DISTINCT

    @property
    def size(self) -> int:
        return self.value.size


def is_number(pattern: Pattern) -> bool:
    """Whether it is one real number, which can be recognised too if it is not a plain one."""
    if pattern.size != 1 or not pattern.finite.size:
        return False
    number = abs(float(pattern.value.reshape(-1)[0]))
    return number > 0 and abs(number * 64 - round(number * 64)) > 1e-4 * number


def is_of(array: Pattern, quantity: Pattern) -> bool:
    """Whether an array is a quantity, in whatever layout, or a part of it: there is nothing else in the array."""
    if is_number(array) and is_number(quantity):
        return bool(np.isclose(array.value.reshape(-1)[0], quantity.value.reshape(-1)[0], rtol=2 * _PRECISION, atol=0))
    if not array.is_telling or not quantity.is_telling:
        return False
    if array.size == quantity.size:
        return _sums_agree(array, quantity) and any(
            close(array.value, laid) for laid in layouts(quantity, array.value.shape)
        )
    return _is_gathered(array, quantity)


def same(array: Pattern, quantity: Pattern) -> bool:
    """Whether an array is a quantity, or a part of it, or holds the whole of it beside something else."""
    return is_of(array, quantity) or (
        array.size > quantity.size and array.is_telling and quantity.is_telling and _is_gathered(quantity, array)
    )


class Shelf:
    """Many patterns, of which those that may be a given array are found quickly, by a few of its numbers."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        telling = [i for i, pattern in enumerate(patterns) if pattern.is_telling]
        values = [patterns[i].finite for i in telling]
        owners = [np.full(len(value), i) for i, value in zip(telling, values, strict=True)]
        joined = np.concatenate([*values, np.empty(0)])
        order = np.argsort(joined, kind="stable")
        self._values = joined[order]
        self._owners = np.concatenate([*owners, np.empty(0, int)])[order].astype(int)
        self._scales = np.array([pattern.scale for pattern in patterns])
        self._telling = np.array(telling, int)
        self._samples = np.array([_samples(patterns[i]) for i in telling]).reshape(len(telling), _SAMPLES)

    def candidates(self, pattern: Pattern) -> list[int]:
        """Indices of the patterns of which this one may be the whole or a part, or which may be a part of it."""
        if not pattern.is_telling or not len(self._telling):
            return [i for i, other in enumerate(self._patterns) if is_number(pattern) and is_number(other)]
        found: set[int] | None = None
        slack = _PRECISION * (self._scales.max() + pattern.scale)
        for sample in _samples(pattern):
            near = slice(*np.searchsorted(self._values, [sample - slack, sample + slack]))
            off = np.abs(self._values[near] - sample) <= _PRECISION * (abs(sample) + self._scales[self._owners[near]])
            owners = set(self._owners[near][off].tolist())
            found = owners if found is None else found & owners
            if not found:
                break
        smaller = np.array([self._patterns[i].size < pattern.size for i in self._telling])
        if smaller.any():
            values, _ = pattern.ordered
            samples = self._samples[smaller]
            at = np.searchsorted(values, samples).clip(1, len(values) - 1)
            with np.errstate(invalid="ignore"):
                off = np.minimum(np.abs(values[at] - samples), np.abs(values[at - 1] - samples))
            inside = (off <= _PRECISION * (np.abs(samples) + pattern.scale)).all(-1)
            found = (found or set()) | set(self._telling[smaller][inside].tolist())
        return sorted(found or ())


def _samples(pattern: Pattern) -> Array:
    return pattern.finite[_evenly_spaced(pattern.finite.size)]


@functools.lru_cache(maxsize=256)
def _evenly_spaced(size: int) -> Array:
    return np.linspace(0, size - 1, _SAMPLES).astype(int)


def same_but_for_factors(one: Pattern, other: Pattern) -> bool:
    """Whether one array is the other times a positive number, or a positive number for each row."""
    if one.size != other.size or not one.is_telling or not other.is_telling:
        return False
    for laid in layouts(other, one.value.shape):
        with np.errstate(all="ignore"):
            for axis in (None, -1):
                factors = (one.value * laid).sum(axis, keepdims=True) / (laid**2).sum(axis, keepdims=True)
                if np.isfinite(factors).all() and (factors > 0).all() and close(one.value, factors * laid):
                    return True
    return False


def close(one: Array, other: Array) -> bool:
    """Whether two arrays of one shape hold the same numbers."""
    finite = np.isfinite(other)
    if not np.array_equal(np.where(finite, 0, other), np.where(np.isfinite(one), 0, _closed(one)), equal_nan=True):
        return False
    good = other[finite]
    if not good.size:
        return False
    slack = _PRECISION * np.sqrt(np.mean(good**2))
    return bool((np.abs(one[finite] - good) <= slack + _PRECISION * np.abs(good)).all())


def _closed(value: Array) -> Array:
    return np.where(value <= _CLOSED, -np.inf, value)


def _sums_agree(one: Pattern, other: Pattern) -> bool:
    if one.finite.size != other.finite.size:
        return False
    slack = _PRECISION * 3 * one.finite.size * max(one.scale, other.scale)
    return abs(one.sums[0] - other.sums[0]) <= slack and abs(one.sums[1] - other.sums[1]) <= slack * 2 * other.scale


def layouts(pattern: Pattern, shape: tuple[int, ...], strict: bool = True) -> Iterator[Array]:
    """The array in this shape, in all ways of ordering its axes and joining or splitting neighbours.

    Args:
        strict: keep the axes in order that have to be.
    """
    value = pattern.value
    found = 0
    for order in itertools.permutations(range(value.ndim)):
        if strict and pattern.in_order and order.index(pattern.in_order[0]) > order.index(pattern.in_order[1]):
            continue
        if _joins([value.shape[axis] for axis in order], shape):
            yield value.transpose(order).reshape(shape)
            found += 1
            if found == _MOST_LAYOUTS:
                return


def _joins(sizes: list[int], shape: tuple[int, ...]) -> bool:
    """Whether joining neighbours among the sizes gives the shape."""
    at, product = 0, 1
    for size in sizes:
        product *= size
        if at == len(shape):
            return False
        if product == shape[at]:
            at, product = at + 1, 1
        elif product > shape[at]:
            return False
    return at == len(shape) and product == 1


def _is_gathered(part: Pattern, whole: Pattern) -> bool:
    """Whether each axis of the part picks places along axes of the whole of its own."""
    shape = part.value.shape
    for corner in itertools.islice(itertools.product(*((n - 1, 0) for n in shape)), 16):
        lines = [_line(part.value, corner, axis) for axis in range(len(shape))]
        places = [_places(line, whole) for line in lines]
        if any(p is None for p in places):
            continue
        if _fits(part.value, whole, corner, [p for p in places if p is not None]):
            return True
    return False


def _line(value: Array, corner: tuple[int, ...], axis: int) -> Array:
    return value[tuple(slice(None) if i == axis else at for i, at in enumerate(corner))]


def _places(line: Array, whole: Pattern) -> Array | None:
    """Where in the whole the numbers of a line stand, as multi-indices; None if that is not certain for each."""
    values, order = whole.ordered
    slack = _PRECISION * (np.abs(line) + whole.scale)
    if not np.isfinite(line).all():
        return None
    first, last = np.searchsorted(values, line - slack), np.searchsorted(values, line + slack)
    if not (last - first == 1).all():
        return None
    return np.stack(np.unravel_index(order[first], whole.value.shape))


def _fits(part: Array, whole: Pattern, corner: tuple[int, ...], places: list[Array]) -> bool:
    origin = places[0][:, corner[0]] if places else None
    if origin is None:
        return False
    touched: set[int] = set()
    index = [np.full([1] * part.ndim, at) for at in origin]
    for axis, place in enumerate(places):
        if not np.array_equal(place[:, corner[axis]], origin):
            return False
        moves = {i for i in range(len(origin)) if (place[i] != origin[i]).any()}
        if moves & touched or not _is_grid(place[sorted(moves)]):
            return False
        touched |= moves
        along = [1] * part.ndim
        along[axis] = part.shape[axis]
        for i in moves:
            index[i] = index[i] + (place[i] - origin[i]).reshape(along)
    if whole.in_order is not None and part.ndim >= 2:
        first, second = (_axis_of(places, origin, axis) for axis in whole.in_order)
        if first is not None and second is not None and first > second:
            return False
    return close(part, np.broadcast_to(whole.value[tuple(index)], part.shape))


def _is_grid(places: Array) -> bool:
    """Whether places along several axes are all combinations, as where axes were joined, rather than a path."""
    if len(places) < 2:
        return True
    every = math.prod(len(np.unique(along)) for along in places)
    return len(np.unique(places, axis=1).T) == every


def _axis_of(places: list[Array], origin: Array, moved: int) -> int | None:
    return next((axis for axis, place in enumerate(places) if (place[moved] != origin[moved]).any()), None)


# ------------------------------------------------------------------------------------------------------------
# How far off


_CHANGES: Mapping[str, Callable[[Array], Array]] = {
    "the square of": np.square,
    "the root of": np.sqrt,
    "the inverse of": np.reciprocal,
    "e to the power of": np.exp,
    "the logarithm of": np.log,
    "the size, without its sign, of": np.abs,
}


def relation(wrong: Pattern, right: Pattern, name: str, loosely: bool = False) -> str:
    """What an array is, in terms of the quantity that it should be: "0.25 times the scaled scores"; "" if unknown.

    Args:
        loosely: also where it is right in some places only, or up to a factor of each row's own.
    """
    found = exact_relation(wrong, right, name)
    return (loose_relation(wrong, right, name) if loosely else "") if found is None else found


def exact_relation(wrong: Pattern, right: Pattern, name: str) -> str | None:
    """What holds for each value; None where nothing does, and "" where they are one and the same, or not comparable."""
    if is_number(wrong) and is_number(right):
        return _of_numbers(float(wrong.value.reshape(-1)[0]), float(right.value.reshape(-1)[0]), name)
    if wrong.size != right.size or not right.is_telling or not wrong.is_telling:
        return ""
    shape = wrong.value.shape
    if any(close(wrong.value, laid) for laid in layouts(right, shape, strict=False)):
        return f"the transpose of {name}" if right.in_order else ""
    for laid in layouts(right, shape):
        if said := _pointwise(wrong.value, laid, name):
            return said
    if close(np.sort(wrong.value.reshape(-1)), np.sort(right.value.reshape(-1))):
        return f"the numbers of {name} in other places (a reshape or view where a transpose belongs?)"
    return None


def loose_relation(wrong: Pattern, right: Pattern, name: str) -> str:
    """What holds for some of the values, or for each row by itself, where `exact_relation` gives None."""
    if said := _other_axis(wrong.value, right.value, name):
        return said
    for laid in layouts(right, wrong.value.shape):
        if said := _by_rows(wrong.value, laid, name) or _in_some_places(wrong.value, laid, name):
            return said
    return ""


def _pointwise(wrong: Array, right: Array, name: str) -> str:
    finite = np.isfinite(right)
    if finite.sum() < _DISTINCT or not np.array_equal(np.isfinite(_closed(wrong)), finite):
        return ""
    a, b = wrong[finite], right[finite]
    scale = float(np.sqrt(np.mean(b**2))) or 1.0
    if _may_be_multiples(a, b, scale):
        large = np.abs(b) > 0.05 * scale
        factor = float(np.median(a[large] / b[large])) if large.sum() >= _DISTINCT else 0.0
        if math.isfinite(factor) and abs(factor) > 1e-6 and close(a, factor * b):
            return _factor(factor, name)
    apart, largest = a - b, float(np.abs(a).max())
    if float(np.ptp(apart)) <= 8 * _PRECISION * largest:
        shift = float(np.median(apart))
        if 1e-3 * scale < abs(shift) < 1e3 * scale and close(a, b + shift):
            return f"{name} {'plus' if shift > 0 else 'minus'} {_number(abs(shift))}"
    few = _evenly_spaced(b.size)
    with np.errstate(all="ignore"):
        for said, change in _CHANGES.items():
            if not (np.abs(a[few] - (seen := change(b[few]))) <= 2 * _PRECISION * (largest + np.abs(seen))).all():
                continue  # nearly all of them, by a few numbers
            changed = change(b)
            if np.isfinite(changed).all() and close(a, changed):
                return f"{said} {name}"
    return ""


def _may_be_multiples(a: Array, b: Array, scale: float) -> bool:
    """Whether each value of one may be the same number times one of the other, by what that is for the largest: this
    is seen sooner than the number is found that fits best.
    """
    at = int(np.abs(b).argmax())
    factor = a[at] / b[at] if b[at] else 0.0
    return bool((np.abs(a - factor * b) <= 4 * _PRECISION * abs(factor) * (scale + np.abs(b))).all())


def _in_some_places(wrong: Array, right: Array, name: str) -> str:
    """Right where it counts in many places, and not in others: a mask, a border, a first row."""
    finite = np.isfinite(right)
    scale = float(np.sqrt(np.mean(right[finite] ** 2))) or 1.0
    with np.errstate(invalid="ignore"):
        agree = finite & (np.abs(wrong - right) <= _PRECISION * (np.abs(np.where(finite, right, 0)) + scale))
    agree |= ~finite & (_closed(wrong) == right)
    telling = agree & finite & (right != 0)
    if telling.sum() < max(_DISTINCT, 0.4 * finite.sum()) or agree.all():
        return ""
    at = tuple(int(i) for i in np.argwhere(~agree)[0])
    return (
        f"{name} except in {int((~agree).sum())} of {agree.size} places; the first is {list(at)}: "
        f"{_number(wrong[at])} instead of {_number(right[at])}"
    )


def _other_axis(wrong: Array, right: Array, name: str) -> str:
    """Shares that add up to 1, though not along the axis along which they should."""
    if wrong.ndim < 2 or not np.allclose(right.sum(-1), 1, atol=1e-5) or (wrong < 0).any():
        return ""
    for axis in range(wrong.ndim):
        if np.allclose(wrong.sum(axis), 1, atol=1e-5):
            along = "" if wrong.shape != right.shape else f", but taken over dimension {axis - wrong.ndim}"
            return f"{name}{along}" if along and axis != wrong.ndim - 1 else ""
    return ""


def _by_rows(wrong: Array, right: Array, name: str) -> str:
    """Right up to a factor of each row's own: a division by something else."""
    if wrong.ndim < 2 or wrong.shape[-1] < 3:
        return ""
    with np.errstate(all="ignore"):
        factors = (wrong * right).sum(-1, keepdims=True) / (right**2).sum(-1, keepdims=True)
    if np.isfinite(factors).all() and close(wrong, factors * right):
        low, high = float(factors.min()), float(factors.max())
        return f"{name} times a number of each row's own, from {_number(low)} to {_number(high)}"
    return ""


def _factor(factor: float, name: str) -> str:
    if not math.isfinite(factor) or abs(factor - 1) < 4 * _PRECISION:
        return ""
    return f"the negative of {name}" if abs(factor + 1) < 1e-4 else f"{_number(factor)} times {name}"


def _of_numbers(wrong: float, right: float, name: str) -> str:
    """The same for two single numbers, of which each is some multiple of the other: only what is plain is said."""
    factor = wrong / right
    plain = [n for n in (factor, 1 / factor) if abs(n - round(n)) <= 2 * _PRECISION * abs(n) and 1 <= abs(n) <= 64]
    if plain:
        return _factor(factor, name)
    found = ((said, float(change(np.array([right]))[0])) for said, change in _CHANGES.items())
    return next((f"{said} {name}" for said, value in found if math.isclose(wrong, value, rel_tol=2 * _PRECISION)), "")


def _number(value: float) -> str:
    if np.isinf(value):
        return "−∞" if value < 0 else "∞"
    return f"{value:.4g}"
