"""Fingerprints: a few numbers that tell one output from another, without giving the output away.

The discrete part of an output (types, shapes, keys, integers, text) becomes a hash, which must agree exactly. All its
floating-point values together become their root mean square and a few random projections, which two honest float32
computations share to about 1e-6 and two different functions do not. A fingerprint is a flat list of plain values, so
that stored ones can be compared without torch (see `grader.diagnosis.known_bugs.same`).
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..submission.faults import StudentError
from ..submission.transcript import TIMED
from ..worker import wire
from .known_bugs import NONE, SIZES, TIMED_CALL

PROJECTIONS = 4
UNIT = 1e-5
"""Projections are stored as whole multiples of this fraction of the root mean square."""

_MESSAGE = 2000
_SAYS = {
    "truth of a tensor": re.compile(r"truth value|Boolean value of Tensor"),
    NONE: re.compile(r"NoneType|\bNone\b"),
    "gradients": re.compile(r"requires? grad|grad_fn|leaf [Vv]ariable|in-?place operation|backward"),
    "dtypes": re.compile(r"\bdtype|same type|scalar type|BFloat16|Half\b|\bfloat != |Long\b"),
    SIZES: re.compile(r"\bsizes?\b|\bshapes?\b|dimension|broadcast|out of (range|bounds)|too many indices|\brank\b"),
}
"""{what went wrong: words by which messages of Python, torch, numpy and einops say so}; the first that fits counts."""

CALLS_KEPT = 8
_VALUES_KEPT = 1 << 20
_HUGE, _TINY = 1e140, 1e-300
"""Values beyond the first count as not finite, because their squares are not; the second stands for 0 below a line."""


def fingerprint(value: Any) -> list[Any]:
    """[hash, root mean square, number of values that are not finite, projections...] of one output."""
    floats: list[np.ndarray] = []
    skeleton = _without_floats(value, floats)
    try:
        body = wire.encode(skeleton)
    except wire.NotPlainData:  # nested so deep that its description is deeper than what may cross the wall
        body = b""
    digest = hashlib.blake2b(body, digest_size=6).hexdigest()
    if not floats:
        return [digest]
    values = np.concatenate(floats)[:_VALUES_KEPT]
    finite = np.isfinite(values) & (np.abs(values) < _HUGE)
    values = np.where(finite, values, 0.0)
    rms = float(np.sqrt(np.mean(values**2))) if values.size else 0.0
    projections = [
        round(float(signs @ values) / (np.sqrt(values.size) * rms * UNIT)) if rms else 0
        for signs in _signs(values.size)
    ]
    return [digest, float(f"{rms:.6g}"), int((~finite).sum()), *projections]


def fingerprint_error(error: BaseException) -> list[Any]:
    """The fingerprint of a call that raised: ["error", type], and what went wrong where the message tells.

    The type is that of the student's exception, or of the judge's fault. The message itself differs from one program to
    the next; of it only what is in `_SAYS` is kept.
    """
    type_name = error.type_name if isinstance(error, StudentError) else type(error).__name__
    message = str(getattr(error, "message", error))[:_MESSAGE]
    said = next((what for what, words in _SAYS.items() if words.search(message)), None)
    return ["error", type_name, *filter(None, [said])]


def fingerprint_transcript(transcript: Sequence[Any]) -> list[list[Any]]:
    """The fingerprints of a test's first calls, in order."""
    return [_of_one_call(result) for result in transcript[:CALLS_KEPT]]


def _of_one_call(result: Any) -> list[Any]:
    if result is TIMED:
        return TIMED_CALL
    return fingerprint_error(result) if isinstance(result, BaseException) else fingerprint(result)


def apart(one: Any, other: Any) -> float:
    """How far two answers are apart at most, in relation to each value and the root mean square of all.

    0 for the same exception; infinite where types, shapes or anything discrete differs.
    """
    if isinstance(one, BaseException) or isinstance(other, BaseException):
        return 0.0 if _of_one_call(one) == _of_one_call(other) else math.inf
    parts: list[np.ndarray] = []
    others: list[np.ndarray] = []
    skeletons = _without_floats(one, parts), _without_floats(other, others)
    try:
        if wire.encode(skeletons[0]) != wire.encode(skeletons[1]):
            return math.inf
    except wire.NotPlainData:
        return math.inf
    return max(map(_values_apart, parts, others), default=0.0)


def _values_apart(one: np.ndarray, other: np.ndarray) -> float:
    finite = np.isfinite(one)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True) or not np.isfinite(other[finite]).all():
        return math.inf
    one, other = one[finite], other[finite]
    if not one.size:
        return 0.0
    size = np.abs(one) + np.sqrt(np.mean(one**2))
    return float((np.abs(one - other) / np.maximum(size, _TINY)).max())


def _signs(size: int) -> np.ndarray:
    """Rows of random signs, always the same for one size."""
    return _few_signs(size) if size <= _FEW else _many_signs(size)


def _drawn_signs(size: int) -> np.ndarray:
    bits = np.random.Generator(np.random.PCG64(size)).random((PROJECTIONS, size)) < 0.5
    return np.where(bits, 1.0, -1.0)


_FEW = 4096
_few_signs = functools.lru_cache(maxsize=256)(_drawn_signs)
_many_signs = functools.lru_cache(maxsize=16)(_drawn_signs)


def _without_floats(value: Any, floats: list[np.ndarray]) -> Any:
    """The value with its floating-point parts moved to `floats`, leaving their type and shape."""
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point():
            return value
        floats.append(value.double().reshape(-1).numpy())
        return ["tensor", str(value.dtype), list(value.shape)]
    if isinstance(value, (float, np.floating)):
        floats.append(np.asarray([value], dtype=np.float64))
        return ["float"]
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda pair: repr(pair[0]))
        return [[key, _without_floats(item, floats)] for key, item in items]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, [_without_floats(item, floats) for item in value]]
    return value
