"""The quantities that each formula of the assignment passes through, in the handout's words and in float64.

They are written down here once more, in NumPy and as the formulas stand on paper, and take nothing from the solution's
own code: who looks for the first wrong quantity of some code must not be led astray by the same mistake.

A list is in the order in which a formula passes through its quantities, so that each comes after what it depends on.
What right code may be written without is `OPTIONAL`; what is right on the way and has no name in the formula, such as
an exponential before its division, is `BESIDE`.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray


class Kind(enum.Enum):
    """GIVEN: an argument; STEP: code cannot be right without it; OPTIONAL: it can, though the formula names it;
    BESIDE: right wherever it occurs, and never missed."""

    GIVEN = enum.auto()
    STEP = enum.auto()
    OPTIONAL = enum.auto()
    BESIDE = enum.auto()


@dataclass(frozen=True, eq=False)
class Quantity:
    """One quantity.

    name: as in a sentence, "the scaled scores"; formula: as the handout writes it, "Q Kᵀ / √d_k"; "" where the name
    says it.
    value: float64, in the layout that the formula suggests; honest code may hold it in another.
    in_order: two axes, as negative numbers, that cannot change places without another meaning; None if all may.
    free: whether any multiple of it, each row by a factor of its own, is as good, as what a division takes out again.
    at: where in the operation's answer it stands, as keys; () for the answer itself; None if it is no part of it.
    """

    name: str
    formula: str
    value: Array
    kind: Kind = Kind.STEP
    in_order: tuple[int, int] | None = None
    at: tuple[str | int, ...] | None = None
    free: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.formula}".strip()


Quantities = list[Quantity]
Inputs = Mapping[str, Any]


def readings(operation: str, inputs: Inputs) -> list[Quantities]:
    """The quantities of an operation for these inputs, its outputs among them.

    There are several lists where a formula may be read in several right ways, and none for what has no formula here.

    Args:
        operation: the name of an adapter, or of a driver of optimizers.
        inputs: its keyword arguments; tensors as arrays.
    """
    found = []
    for formula in FORMULAS.get(operation, ()):
        with np.errstate(all="ignore"):
            known = formula(inputs)
        if known and all(quantity.at is None for quantity in known):
            known[-1] = replace(known[-1], at=())
        found += [known] if known else []
    return found


# ------------------------------------------------------------------------------------------------------------
# Layers


def _given(name: str, value: Any) -> Quantity:
    return Quantity(name, "", np.asarray(value, np.float64), Kind.GIVEN)


def _step(name: str, formula: str, value: Array, in_order: tuple[int, int] | None = None) -> Quantity:
    return Quantity(name, formula, value, Kind.STEP, in_order)


def _optional(name: str, formula: str, value: Array, in_order: tuple[int, int] | None = None) -> Quantity:
    return Quantity(name, formula, value, Kind.OPTIONAL, in_order)


def _beside(name: str, value: Array, in_order: tuple[int, int] | None = None) -> Quantity:
    return Quantity(name, "", np.asarray(value, np.float64), Kind.BESIDE, in_order)


def _linear(inputs: Inputs) -> Quantities:
    x, w = _wide(inputs["in_features"]), _wide(inputs["weights"])
    return [_given("x", x), _given("W", w), _step("the output", "W x", x @ w.T)]


def _embedding(inputs: Inputs) -> Quantities:
    w = _wide(inputs["weights"])
    return [_given("the table", w), _step("the rows of the token ids", "", w[np.asarray(inputs["token_ids"])])]


def _norm(x: Array, gain: Array, eps: float) -> Quantities:
    square = x**2
    mean = square.mean(-1, keepdims=True)
    rms = np.sqrt(mean + eps)
    return [
        _beside("the squares aᵢ²", square),
        _beside("the sum of the squares", square.sum(-1, keepdims=True)),
        _beside("the norm", np.sqrt(square.sum(-1, keepdims=True))),
        _optional("the mean square", "mean(aᵢ²)", mean),
        _optional("the mean square with eps", "mean(aᵢ²) + eps", mean + eps),
        _optional("the root mean square", "RMS(a) = √(mean(aᵢ²) + eps)", rms),
        _beside("1 / RMS(a)", 1 / rms),
        _beside("aᵢ gᵢ", x * gain),
        _optional("the normalised vector", "aᵢ / RMS(a)", x / rms),
    ]


def _rmsnorm(inputs: Inputs) -> Quantities:
    x, gain = _wide(inputs["in_features"]), _wide(inputs["weights"])
    steps = _norm(x, gain, inputs["eps"])
    return [
        _given("a", x),
        _given("the gain g", gain),
        *steps,
        _step("the output", "aᵢ / RMS(a) · gᵢ", steps[-1].value * gain),
    ]


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


def _gate(x: Array, of: str = "x") -> Quantities:
    return [
        _beside(f"e^(-{of})", np.exp(-x)),
        _beside(f"1 + e^(-{of})", 1 + np.exp(-x)),
        _beside(f"tanh({of} / 2)", np.tanh(x / 2)),
        _optional(f"σ({of})", "", _sigmoid(x)),
        _optional(f"silu({of})", f"= {of} · σ({of})", x * _sigmoid(x)),
    ]


def _silu(inputs: Inputs) -> Quantities:
    x = _wide(inputs["in_features"])
    *steps, last = _gate(x)
    return [_given("x", x), *steps, replace(last, kind=Kind.STEP)]


def _feed_forward(x: Array, w1: Array, w2: Array, w3: Array) -> Quantities:
    gate, value = x @ w1.T, x @ w3.T
    return [
        _step("the gate", "W₁ x", gate),
        *_gate(gate, "W₁ x"),
        _step("the values", "W₃ x", value),
        _beside("W₁ x ⊙ W₃ x", gate * value),
        _beside("σ(W₁ x) ⊙ W₃ x", _sigmoid(gate) * value),
        _step("the gated values", "silu(W₁ x) ⊙ W₃ x", gate * _sigmoid(gate) * value),
        _step("the output", "W₂ (silu(W₁ x) ⊙ W₃ x)", (gate * _sigmoid(gate) * value) @ w2.T),
    ]


def _swiglu(inputs: Inputs) -> Quantities:
    x = _wide(inputs["in_features"])
    weights = [_wide(inputs[f"w{i}_weight"]) for i in (1, 2, 3)]
    named = [_given(f"W{i}", w) for i, w in zip("₁₂₃", weights, strict=True)]
    return [_given("x", x), *named, *_feed_forward(x, *weights)]


# ------------------------------------------------------------------------------------------------------------
# Attention


def _exponentials(x: Array, axis: int, of: str, in_order: tuple[int, int] | None = None) -> Quantities:
    """What softmax passes through, one way or another."""
    top = x.max(axis, keepdims=True)
    shifted = np.exp(x - top)
    total = shifted.sum(axis, keepdims=True)
    return [
        _beside("the largest of each row", top),
        _beside(f"the {of} less the largest", x - top, in_order),
        _beside(f"e^({of})", np.exp(x), in_order),
        replace(_beside("the exponentials", shifted, in_order), free=True),
        _beside("the sum of e^x", np.exp(x).sum(axis, keepdims=True)),
        _beside("the sum of the exponentials", total),
        _beside("1 / sum", 1 / total),
        _beside("the logarithm of the sum", np.log(total)),
        _beside("the logarithm of the sum of e^x", np.log(total) + top),
        _beside("the logarithms of the probabilities", x - top - np.log(total), in_order),
    ]


def _probabilities(x: Array, axis: int) -> Array:
    shifted = np.exp(x - x.max(axis, keepdims=True))
    return shifted / shifted.sum(axis, keepdims=True)


def _softmax(inputs: Inputs) -> Quantities:
    x, dim = _wide(inputs["in_features"]), inputs["dim"]
    return [
        _given("x", x),
        *_exponentials(x, dim, "x"),
        _step("the probabilities", "e^(xᵢ) / Σⱼ e^(xⱼ)", _probabilities(x, dim)),
    ]


_QK = (-2, -1)
"""Axes of queries and keys: row i belongs to query i."""


def _attend(q: Array, k: Array, v: Array, mask: Array | None) -> Quantities:
    root = np.sqrt(q.shape[-1])
    scores = q @ k.swapaxes(-1, -2)
    scaled = scores / root
    steps = [
        _beside("Q / √d_k", q / root),
        _beside("K / √d_k", k / root),
        _optional("the scores", "Q Kᵀ", scores, _QK),
        _beside("the products of queries and keys", q[..., :, None, :] * k[..., None, :, :]),
        _step("the scaled scores", "Q Kᵀ / √d_k", scaled, _QK),
    ]
    masked = scaled
    if mask is not None and not mask.all():
        masked = np.where(mask, scaled, -np.inf)
        steps += [
            _beside("the masked scores before scaling", np.where(mask, scores, -np.inf), _QK),
            _optional("the masked scores", "(−∞ where the mask is False)", masked, _QK),
        ]
    what = "scores"
    weights = _probabilities(masked, -1)
    raw = np.exp(masked - masked.max(-1, keepdims=True))
    steps += _exponentials(masked, -1, what, _QK)
    if masked is not scaled:
        open_too = np.exp(scaled - scaled.max(-1, keepdims=True))
        steps += [
            _beside("the exponentials of all scores", open_too, _QK),
            _beside("the exponentials of the open scores", open_too * mask, _QK),
            _beside("the sum of the exponentials of the open scores", (open_too * mask).sum(-1, keepdims=True)),
            _beside("the weighted sums before the division, shifted by all", (open_too * mask) @ v),
        ]
    return [
        *steps,
        _optional("the weights", "softmax(Q Kᵀ / √d_k)", weights, _QK),
        _beside("the weighted values", weights[..., :, :, None] * v[..., None, :, :]),
        _beside("the weighted sums before the division", raw @ v),
        _step("the output", "softmax(Q Kᵀ / √d_k) V", weights @ v),
    ]


def _attention(inputs: Inputs) -> Quantities:
    q, k, v = (_wide(inputs[name]) for name in "QKV")
    mask = inputs.get("mask")
    return [
        _given("Q", q),
        _given("K", k),
        _given("V", v),
        *_attend(q, k, v, None if mask is None else np.asarray(mask)),
    ]


def _turn(x: Array, positions: Array, theta: float, longest: int, what: str = "the output") -> Quantities:
    """Rotation; `positions` broadcast to those of `x`."""
    d = x.shape[-1]
    k = np.arange(d // 2)
    frequencies = theta ** (-2 * k / d)
    every = np.arange(max(longest, int(positions.max()) + 1))[:, None] * frequencies
    angles = positions[..., None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    even, odd = x[..., 0::2], x[..., 1::2]
    first, second = even * cos - odd * sin, even * sin + odd * cos
    table = np.stack((np.cos(every), np.sin(every)), -1)
    matrix = np.stack((np.stack((np.cos(every), -np.sin(every)), -1), np.stack((np.sin(every), np.cos(every)), -1)), -2)
    return [
        _beside("2k / d_k", 2 * k / d),
        _beside("-2k / d_k", -2 * k / d),
        _beside("ln θ · 2k / d_k", np.log(theta) * 2 * k / d),
        _beside("θ^(2k / d_k)", theta ** (2 * k / d)),
        _optional("the frequencies", "θ^(-2k / d_k)", frequencies),
        _optional("the angles of all positions", "i θ^(-2k / d_k)", every),
        _beside("the cosines of all positions", np.cos(every)),
        _beside("the sines of all positions", np.sin(every)),
        _beside("cos and sin of all positions", table),
        _beside("the rotations of all positions", matrix),
        _optional("the angles", "i θ^(-2k / d_k)", angles),
        _optional("the cosines of the tokens' positions", "cos(i θ^(-2k / d_k))", cos),
        _optional("the sines of the tokens' positions", "sin(i θ^(-2k / d_k))", sin),
        _beside("x₂ₖ cos", even * cos),
        _beside("x₂ₖ sin", even * sin),
        _beside("x₂ₖ₊₁ cos", odd * cos),
        _beside("x₂ₖ₊₁ sin", odd * sin),
        _beside("x cos", np.stack((even * cos, odd * cos), -1).reshape(x.shape)),
        _beside("x turned by 90°", np.stack((-odd, even), -1).reshape(x.shape)),
        _beside("x turned by 90°, times sin", np.stack((-odd * sin, even * sin), -1).reshape(x.shape)),
        _optional("the first of each pair", "x₂ₖ cos − x₂ₖ₊₁ sin", first),
        _optional("the second of each pair", "x₂ₖ sin + x₂ₖ₊₁ cos", second),
        _step(what, "(x₂ₖ cos − x₂ₖ₊₁ sin, x₂ₖ sin + x₂ₖ₊₁ cos)", np.stack((first, second), -1).reshape(x.shape)),
    ]


def _rope(inputs: Inputs) -> Quantities:
    x = _wide(inputs["in_query_or_key"])
    positions = np.asarray(inputs["token_positions"])
    return [_given("x", x), *_turn(x, positions, inputs["theta"], inputs["max_seq_len"])]


def _split(x: Array, heads: int) -> Array:
    *batch, seq, width = x.shape
    return x.reshape(*batch, seq, heads, width // heads).swapaxes(-2, -3)


def _heads(
    x: Array,
    weights: Sequence[Array],
    num_heads: int,
    theta: float | None = None,
    longest: int = 0,
    positions: Array | None = None,
) -> Quantities:
    """Causal multi-head self-attention of x, with the weights of queries, keys, values and output."""
    seq = x.shape[-2]
    steps: Quantities = []
    split = []
    for name, letter, weight in zip(("queries", "keys", "values"), "QKV", weights, strict=False):
        value = _split(x @ weight.T, num_heads)
        split.append(value)
        steps.append(_step(f"the {name}", f"W_{letter} x, a slice per head", value))
    q, k, v = split
    if theta is not None:
        where = np.arange(seq) if positions is None else positions
        where = where[..., None, :]
        *of_queries, q_turned = _turn(q, where, theta, longest, "the rotated queries")
        *of_keys, k_turned = _turn(k, where, theta, longest, "the rotated keys")
        steps += [*of_queries, q_turned, *of_keys[len(of_keys) - 9 :], k_turned]
        q, k = q_turned.value, k_turned.value
    mask = np.tril(np.ones((seq, seq), bool))
    attended = _attend(q, k, v, mask)
    joined = attended[-1].value.swapaxes(-2, -3)
    steps += [
        *attended[:-1],
        replace(attended[-1], name="the heads' outputs, side by side"),
        _step("the output", "W_O concat(head₁ … headₕ)", joined.reshape(x.shape) @ weights[3].T),
    ]
    return steps


def _multihead(inputs: Inputs) -> Quantities:
    x = _wide(inputs["in_features"])
    weights = [_wide(inputs[f"{name}_proj_weight"]) for name in "qkvo"]
    given = [_given("x", x), *(_given(f"W_{letter}", w) for letter, w in zip("QKVO", weights, strict=True))]
    positions = inputs.get("token_positions")
    return given + _heads(
        x,
        weights,
        inputs["num_heads"],
        inputs.get("theta"),
        inputs.get("max_seq_len", 0),
        None if positions is None else np.asarray(positions),
    )


# ------------------------------------------------------------------------------------------------------------
# Transformer


def _renamed(steps: Quantities, last: str, formula: str, of: str = "", kind: Kind | None = None) -> Quantities:
    """Quantities of a part: the last one gets a name in the whole, and the others say where they belong."""
    *before, output = steps
    within = [replace(q, name=f"{q.name}{of}") if q.kind is not Kind.BESIDE else q for q in before]
    return [*within, replace(output, name=last, formula=formula, kind=kind or output.kind)]


def _block(x: Array, weights: Mapping[str, Array], num_heads: int, theta: float, longest: int, of: str) -> Quantities:
    first = _norm(x, weights["ln1.weight"], 1e-5)
    normed = first[-1].value * weights["ln1.weight"]
    attn = [weights[f"attn.{name}.weight"] for name in ("q_proj", "k_proj", "v_proj", "output_proj")]
    attended = _heads(normed, attn, num_heads, theta, longest)
    y = x + attended[-1].value
    second = _norm(y, weights["ln2.weight"], 1e-5)
    normed_again = second[-1].value * weights["ln2.weight"]
    fed = _feed_forward(normed_again, *(weights[f"ffn.w{i}.weight"] for i in (1, 2, 3)))
    return [
        *_renamed([*first, _step("", "", normed)], f"the input of the attention{of}", "ln1(x)", f" in ln1{of}"),
        *_renamed(attended, f"the output of the attention{of}", "attn(ln1(x))", of),
        _step(f"the residual stream after the attention{of}", "y = x + attn(ln1(x))", y),
        *_renamed(
            [*second, _step("", "", normed_again)],
            f"the input of the feed-forward network{of}",
            "ln2(y)",
            f" in ln2{of}",
        ),
        *_renamed(fed, f"the output of the feed-forward network{of}", "ffn(ln2(y))", of),
        _step(f"the residual stream after the feed-forward network{of}", "y + ffn(ln2(y))", y + fed[-1].value),
    ]


def _transformer_block(inputs: Inputs) -> Quantities:
    x, weights = _wide(inputs["in_features"]), {name: _wide(w) for name, w in inputs["weights"].items()}
    given = [_given("x", x), *(_given(name, w) for name, w in weights.items())]
    *steps, last = _block(x, weights, inputs["num_heads"], inputs["theta"], inputs["max_seq_len"], "")
    return [*given, *steps, replace(last, name="the output of the block")]


def _transformer_lm(inputs: Inputs) -> Quantities:
    weights = {name: _wide(w) for name, w in inputs["weights"].items()}
    x = weights["token_embeddings.weight"][np.asarray(inputs["in_indices"])]
    steps: Quantities = [_given(name, w) for name, w in weights.items()]
    steps.append(_step("the embeddings of the tokens", "", x))
    for i in range(inputs["num_layers"]):
        begins = f"layers.{i}."
        own = {name.removeprefix(begins): w for name, w in weights.items() if name.startswith(begins)}
        block = _block(x, own, inputs["num_heads"], inputs["rope_theta"], inputs["context_length"], f" of layer {i}")
        steps += block
        x = block[-1].value
    final = _norm(x, weights["ln_final.weight"], 1e-5)
    normed = final[-1].value * weights["ln_final.weight"]
    return [
        *steps,
        *_renamed([*final, _step("", "", normed)], "the final norm", "ln_final(x)", " in ln_final"),
        _step("the logits", "lm_head(ln_final(x))", normed @ weights["lm_head.weight"].T),
    ]


# ------------------------------------------------------------------------------------------------------------
# Training and decoding


def _cross_entropy(inputs: Inputs) -> Quantities:
    logits, targets = _wide(inputs["inputs"]), np.asarray(inputs["targets"])
    top = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(-1, keepdims=True))
    picked = np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    losses = (total + top)[..., 0] - picked
    return [
        _given("the logits", logits),
        *_exponentials(logits, -1, "logits"),
        _beside("the probabilities", _probabilities(logits, -1)),
        _optional("the logits of the targets", "", picked),
        _beside("the same less the largest", picked - top[..., 0]),
        _beside("the probabilities of the targets", np.exp(-losses)),
        _beside("the logarithms of the targets' probabilities", -losses),
        _optional("the loss of each prediction", "−log softmax(logits)[target]", losses),
        _beside("the sum of the losses", losses.sum()),
        _beside("minus the sum of the losses", -losses.sum()),
        _beside("minus the loss", -losses.mean()),
        _step("the loss", "the mean of −log softmax(logits)[target]", losses.mean()),
    ]


def _adamw(inputs: Inputs, decays_first: bool = False, eps_on_hats: bool = False) -> Quantities:
    """Trajectories of AdamW. Right readings: the decay comes before the step of the gradient, as in PyTorch, or after
    it; ε stands beside the root of v, as in the handout's algorithm, or of v̂, as in the paper's."""
    options = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, **(inputs.get("options") or {})}
    parameters = [_wide(p) for p in inputs["parameters"]]
    groups = inputs.get("groups") or [{"members": list(range(len(parameters)))}]
    rates = inputs.get("learning_rates") or {}
    moments = [(np.zeros_like(p), np.zeros_like(p), 0) for p in parameters]
    found: Quantities = [_given("θ", p) for p in parameters]
    settings = [{**options, **group} for group in groups]
    for step, gradients in enumerate(inputs["gradients"]):
        for g, group in enumerate(settings):
            group["lr"] = rates[step][g] if step in rates else group["lr"]
            for i in group["members"]:
                if gradients[i] is None:
                    continue
                one, moments[i] = _adamw_step(
                    parameters[i], _wide(gradients[i]), moments[i], group, step, i, decays_first, eps_on_hats
                )
                found += one
                parameters[i] = one[-1].value
    return found


def _adamw_step(
    theta: Array,
    g: Array,
    moments: tuple[Array, Array, int],
    group: Mapping[str, Any],
    step: int,
    index: int,
    first: bool,
    hats: bool,
) -> tuple[Quantities, tuple[Array, Array, int]]:
    m, v, t = moments
    lr, (b1, b2), eps, decay = group["lr"], group["betas"], group["eps"], group["weight_decay"]
    t += 1
    of = f" at step {step + 1}"
    m_old, v_old = b1 * m, b2 * v
    m, v = m_old + (1 - b1) * g, v_old + (1 - b2) * g**2
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    alpha = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
    ratio_hat = m_hat / (np.sqrt(v_hat) + eps)
    ratio = ratio_hat * lr / alpha if hats else m / (np.sqrt(v) + eps)
    moved, decayed = theta - alpha * ratio, theta * (1 - lr * decay)
    result = decayed - alpha * ratio if first else moved * (1 - lr * decay)
    name = f"θ{of}" if index == 0 else f"parameter {index}{of}"
    return (
        [
            Quantity(f"the gradient g{of}", "", g, Kind.GIVEN),
            _beside("(1 − β₁) g", (1 - b1) * g),
            _beside("β₁ m", m_old),
            _step(f"the first moment{of}", "m = β₁ m + (1 − β₁) g", m),
            _beside("g²", g**2),
            _beside("(1 − β₂) g²", (1 - b2) * g**2),
            _beside("β₂ v", v_old),
            _step(f"the second moment{of}", "v = β₂ v + (1 − β₂) g²", v),
            _beside("m̂", m_hat),
            _beside("v̂", v_hat),
            _beside("√v", np.sqrt(v)),
            _beside("√v̂", np.sqrt(v_hat)),
            _beside("√v + ε", np.sqrt(v) + eps),
            _beside("√v̂ + ε", np.sqrt(v_hat) + eps),
            _beside("α_t m", alpha * m),
            _beside("lr m̂", lr * m_hat),
            _optional(f"m / (√v + ε){of}", "", ratio),
            _optional(f"m̂ / (√v̂ + ε){of}", "", ratio_hat),
            _optional(f"the step of the gradient{of}", "α_t m / (√v + ε)", alpha * ratio),
            _beside("α m̂ / (√v̂ + ε)", lr * ratio_hat),
            _beside("lr λ θ", lr * decay * theta),
            _beside("λ θ", decay * theta),
            _beside("lr λ θ after the step", lr * decay * moved),
            _beside("λ θ after the step", decay * moved),
            *(
                [_optional(f"{name}, decayed", "θ − lr λ θ", decayed)]
                if first
                else [_optional(f"{name}, after the gradient's step", "θ − α_t m / (√v + ε)", moved)]
            ),
            Quantity(
                f"{name}, after the gradient's step" if first else f"{name}, decayed",
                "θ − α_t m / (√v + ε)" if first else "θ − lr λ θ",
                result,
                at=(f"after step {step + 1}", f"parameter {index}"),
            ),
        ],
        (m, v, t),
    )


def _clip(inputs: Inputs) -> Quantities | None:
    gradients = [_wide(g) for g in inputs["gradients"] if g is not None]
    if not gradients:
        return None
    most = inputs["max_l2_norm"]
    squares = [(g**2).sum() for g in gradients]
    norm = np.sqrt(sum(squares))
    factor = most / (norm + 1e-6) if norm > most else 1.0
    sums = np.cumsum(squares)
    return [
        *(_given("a gradient", g) for g in gradients),
        *(_beside("its squares", g**2) for g in gradients),
        *(_beside("the sum of its squares", s) for s in squares),
        *(_beside("its norm", np.sqrt(s)) for s in squares),
        *(_beside("the sum of the squares so far", s) for s in sums[:-1]),
        _beside("all norms", np.sqrt(np.array(squares))),
        _beside("all sums of squares", np.array(squares)),
        _optional("the sum of all squares", "Σ g²", sums[-1]),
        _step("the norm of all gradients together", "‖g‖₂ = √(Σ g²)", norm),
        _beside("the norm with eps", norm + 1e-6),
        _optional("the factor", "M / (‖g‖₂ + 1e-6)", np.asarray(factor)),
        *(
            Quantity("the clipped gradient", "g · M / (‖g‖₂ + 1e-6)", _wide(g) * factor, at=("gradients", i))
            for i, g in enumerate(inputs["gradients"])
            if g is not None
        ),
    ]


def _next_token(inputs: Inputs) -> Quantities | None:
    logits, temperature, top_p = _wide(inputs["logits"]), inputs.get("temperature", 1.0), inputs.get("top_p", 1.0)
    if temperature == 0:
        return None
    scaled = logits / temperature
    probabilities = _probabilities(scaled, -1)
    steps = [
        _given("the logits", logits),
        _beside("the logits less the largest", logits - logits.max(-1, keepdims=True)),
        _step("the scaled logits", "v / τ", scaled),
        *_exponentials(scaled, -1, "v / τ"),
    ]
    if top_p == 1:
        return [*steps, _step("the probabilities", "softmax(v / τ)", probabilities)]
    ranked = -np.sort(-probabilities, -1)
    mass = ranked.cumsum(-1)
    order = np.argsort(-probabilities, -1, kind="stable")
    kept = np.where(mass - ranked < top_p, ranked, 0)
    total = kept.sum(-1, keepdims=True)
    unsorted, output = np.zeros_like(probabilities), np.zeros_like(probabilities)
    np.put_along_axis(unsorted, order, kept, -1)
    np.put_along_axis(output, order, kept / total, -1)
    return [
        *steps,
        _step("the probabilities", "softmax(v / τ)", probabilities),
        _optional("the probabilities, the largest first", "", ranked),
        _beside("the smallest first", np.sort(probabilities, -1)),
        _beside("their sums so far, from the smallest", np.sort(probabilities, -1).cumsum(-1)),
        _optional("their sums so far", "", mass),
        _beside("the sums before each", mass - ranked),
        _optional("the probabilities of the kept tokens", "0 for all others", kept),
        _beside("the same in the old order", unsorted),
        _beside("the sum of the kept", total),
        _beside("the output, the largest first", kept / total),
        _step("the output", "the kept probabilities divided by their sum", output),
    ]


def _wide(value: Any) -> Array:
    return np.asarray(value, np.float64)


FORMULAS: dict[str, tuple[Callable[[Inputs], Quantities | None], ...]] = {
    "run_linear": (_linear,),
    "run_embedding": (_embedding,),
    "run_rmsnorm": (_rmsnorm,),
    "run_silu": (_silu,),
    "run_swiglu": (_swiglu,),
    "run_softmax": (_softmax,),
    "run_scaled_dot_product_attention": (_attention,),
    "run_rope": (_rope,),
    "run_multihead_self_attention": (_multihead,),
    "run_multihead_self_attention_with_rope": (_multihead,),
    "run_transformer_block": (_transformer_block,),
    "run_transformer_lm": (_transformer_lm,),
    "run_cross_entropy": (_cross_entropy,),
    "adamw_trajectory": tuple(
        functools.partial(_adamw, decays_first=first, eps_on_hats=hats)
        for first in (False, True)
        for hats in (False, True)
    ),
    "clip": (_clip,),
    "run_next_token_probabilities": (_next_token,),
}
