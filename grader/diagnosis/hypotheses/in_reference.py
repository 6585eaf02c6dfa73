"""A hypothesis planted into the reference: what is built on a piece then carries the change, whatever is asked of it.

A formula with changes takes the place of the reference's own code for that operation. So a mistake that has no name,
but is a declared change of a formula, is compared with a submission in the way in which known bugs are.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .asked_call import distance
from .change import Change, Evaluated, Given, Hypothesis, widened
from .formulas import FORMULAS

if TYPE_CHECKING:
    from ...misconceptions.catalogue import Variant

Supposed = Mapping[str, Hypothesis]
"""{operation: how its formula is changed}"""

_SHOWS = 1e-4
"""So far apart, relative to the values, are two outputs that anybody can tell apart in float32."""


def reference_with(supposed: Supposed, problem: str) -> Variant:
    """The reference with the changed formulas in the place of its own code."""
    from ...misconceptions.catalogue import Variant

    replaces = {}
    for name, (operations, make) in _PLACES.items():
        own = any(operation in supposed for operation in operations)
        if own or (name in _WRITTEN_OUT and any(parts_within(operation, supposed) for operation in operations)):
            replaces[name] = make(*(_Formula(operation, supposed) for operation in operations))
    return Variant("+".join(sorted(supposed)), problem, replaces)


def shows_all_mistakes(operation: str, supposed: Supposed) -> bool:
    """Whether whatever may be wrong in an operation itself shows as well when parts of it are changed so.

    If not, a wrong part would do work that is asked of the whole: where RoPE does nothing, nobody sees whether it was
    applied. What is asked about are all declared changes of the operation's own steps that show with right parts.
    """
    parts = parts_within(operation, supposed)
    if not parts:
        return False
    with_parts = _Drawn(operation, parts)
    return all(
        with_parts.differ_by(change) or not _shows(operation, change) for change in FORMULAS.of[operation].changes
    )


@functools.cache
def _shows(operation: str, change: Change) -> bool:
    """Whether a mistake shows where all parts are right."""
    return _with_right_parts(operation).differ_by(change)


@functools.cache
def _with_right_parts(operation: str) -> _Drawn:
    return _Drawn(operation, ())


class _Drawn:
    """The drawn questions of an operation, answered with some parts of it changed."""

    def __init__(self, operation: str, parts: Hypothesis) -> None:
        self._operation, self._parts = operation, parts
        drawn = FORMULAS.of[operation].draw(torch.Generator().manual_seed(1))
        self._answered = [self._kept(widened(given)) for given in drawn]

    def _kept(self, given: Given) -> tuple[Given, Evaluated | None]:
        try:
            with torch.no_grad():
                return given, FORMULAS.kept(self._operation, given, self._parts)
        except Exception:  # whatever a change does to arguments that it does not fit
            return given, None

    def differ_by(self, change: Change) -> bool:
        """Whether some answer is another one with one more change."""
        for given, known in self._answered:
            output = _given_by(self._operation, given, (*self._parts, change), known)
            if (output is None) != (known is None):
                return True
            if output is not None and known is not None and not distance(output, known.output) <= _SHOWS:
                return True
        return False


def looks_ahead(supposed: Supposed) -> bool:
    """Whether a model with parts changed so sees tokens that come after the one it is asked about."""
    parts = parts_within("run_transformer_lm", supposed)
    given = widened(FORMULAS.of["run_transformer_lm"].draw(torch.Generator().manual_seed(1))[0])
    ids = given["in_indices"].clone()
    ids[..., -1] = (ids[..., -1] + 1) % given["vocab_size"]
    one, other = (
        _given_by("run_transformer_lm", {**given, "in_indices": i}, parts) for i in (given["in_indices"], ids)
    )
    return one is None or other is None or not distance(one[..., :-1, :], other[..., :-1, :]) <= _SHOWS


def _given_by(operation: str, given: Given, hypothesis: Hypothesis, known: Evaluated | None = None) -> Tensor | None:
    """An output; None where the changed formula refuses these arguments."""
    try:
        with torch.no_grad():
            return FORMULAS.evaluate(operation, given, hypothesis, known)[0]
    except Exception:  # whatever a change does to arguments that it does not fit
        return None


def parts_within(operation: str, supposed: Supposed) -> Hypothesis:
    """What an operation is made of, as far as it is supposed to be wrong, as changes of the operation."""

    def instead(part: str) -> Change:
        return Change(part, lambda **given: _evaluated(part, given, supposed), f"`{part}` is wrong")

    return tuple(instead(part) for part in FORMULAS.below(operation) if part in supposed)


def _evaluated(operation: str, given: Given, supposed: Supposed) -> Tensor:
    hypothesis = (*parts_within(operation, supposed), *supposed.get(operation, ()))
    return FORMULAS.evaluate(operation, given, hypothesis)[0]


# ------------------------------------------------------------------------------------------------------------
# The reference's own code

_LARGE = 50_000
"""Numbers in a tensor."""


@dataclass(frozen=True)
class _Formula:
    """A formula as supposed, for tensors of any precision: computed in float64, with gradients; large ones in float32.

    What is large takes long, and its rounding is that of the code it is compared with.
    """

    operation: str
    supposed: Supposed

    def __call__(self, like: Tensor, **given: Any) -> Tensor:
        if like.numel() > _LARGE and like.dtype == torch.float32:
            with contextlib.suppress(RuntimeError):  # some step gives float64, and the next one refuses both together
                return self._computed(like, given, torch.float32)
        return self._computed(like, given, torch.float64)

    def _computed(self, like: Tensor, given: Given, precision: torch.dtype) -> Tensor:
        exact = {name: _in_precision(value, precision) for name, value in given.items()}
        return _evaluated(self.operation, exact, self.supposed).to(like.dtype)


def _in_precision(value: Any, precision: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(precision) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {name: _in_precision(item, precision) for name, item in value.items()}
    return value


def _softmax(formula: _Formula) -> Callable[..., Tensor]:
    return lambda x, dim: formula(x, in_features=x, dim=dim)


def _silu(formula: _Formula) -> Callable[..., Tensor]:
    return lambda x: formula(x, in_features=x)


def _norm(formula: _Formula) -> Callable[..., Tensor]:
    return lambda self, x: formula(x, d_model=x.shape[-1], eps=self.eps, weights=self.weight, in_features=x)


def _rope(formula: _Formula) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, token_positions: Tensor) -> Tensor:
        sizes = {"d_k": self.d_k, "theta": self.theta, "max_seq_len": self.max_seq_len}
        return formula(x, **sizes, in_query_or_key=x, token_positions=token_positions)

    return forward


def _swiglu(formula: _Formula) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor) -> Tensor:
        d_ff, d_model = self.w1.weight.shape
        weights = {f"w{i}_weight": getattr(self, f"w{i}").weight for i in (1, 2, 3)}
        return formula(x, d_model=d_model, d_ff=d_ff, **weights, in_features=x)

    return forward


def _attention(formula: _Formula) -> Callable[..., Tensor]:
    return lambda Q, K, V, mask=None: formula(Q, Q=Q, K=K, V=V, mask=mask)


def _heads(without_rope: _Formula, with_rope: _Formula) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, token_positions: Tensor | None = None) -> Tensor:
        given = {f"{name[0]}_proj_weight": getattr(self, name).weight for name in _PROJECTIONS}
        given |= {"d_model": x.shape[-1], "num_heads": self.num_heads, "in_features": x}
        if self.rope is None:
            return without_rope(x, **given)
        if token_positions is None:
            token_positions = torch.arange(x.shape[-2])
        sizes = {"max_seq_len": self.rope.max_seq_len, "theta": self.rope.theta}
        return with_rope(x, **given, **sizes, token_positions=token_positions)

    return forward


def _block(formula: _Formula) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor, token_positions: Tensor | None = None) -> Tensor:
        rope, weights = self.attn.rope, dict(self.named_parameters())
        sizes = {"d_model": x.shape[-1], "num_heads": self.attn.num_heads, "d_ff": len(self.ffn.w1.weight)}
        sizes |= {"max_seq_len": rope.max_seq_len, "theta": rope.theta}
        return formula(x, **sizes, weights=weights, in_features=x)

    return forward


_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "output_proj")
_HEADS = ("run_multihead_self_attention", "run_multihead_self_attention_with_rope")

_PLACES: Mapping[str, tuple[Sequence[str], Callable[..., Callable[..., Tensor]]]] = {
    "attention.softmax": (["run_softmax"], _softmax),
    "layers.silu": (["run_silu"], _silu),
    "layers.RMSNorm.forward": (["run_rmsnorm"], _norm),
    "rope.RotaryPositionalEmbedding.forward": (["run_rope"], _rope),
    "layers.SwiGLU.forward": (["run_swiglu"], _swiglu),
    "attention.scaled_dot_product_attention": (["run_scaled_dot_product_attention"], _attention),
    "attention.CausalMultiHeadSelfAttention.forward": (_HEADS, _heads),
    "transformer.TransformerBlock.forward": (["run_transformer_block"], _block),
}
"""{name below `grader.reference`: (the operations that it is, what makes its replacement of their formulas)}"""

_WRITTEN_OUT = ("attention.scaled_dot_product_attention",)
"""Where the reference does not call its own code for a part."""

PLANTABLE = tuple(operation for operations, _ in _PLACES.values() for operation in operations)
"""The operations that can be supposed to be wrong; parts come before what they are in."""
