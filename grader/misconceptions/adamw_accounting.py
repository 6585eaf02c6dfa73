"""How the accounting of training with AdamW goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from grader.reference import accounting

from .catalogue import Misconception
from .changed_counts import but, for_one_head, four_times_d_model, miscounting, nothing

_ACTIVATIONS = accounting.activation_counts
_MEMORY = accounting.training_memory
_MAX_BATCH_SIZE = accounting.max_batch_size
_DAYS = accounting.training_days


_wrong = partial(miscounting, "adamw_accounting")


def _activations(
    id: str, diagnosis: str, hint: str, frequency: str = "occasional", **changes: Callable
) -> Misconception:
    return _wrong(id, "activation_counts", but("activation_counts", **changes), diagnosis, hint, frequency)


def _memory(id: str, diagnosis: str, hint: str, frequency: str = "occasional", **changes: Callable) -> Misconception:
    return _wrong(id, "training_memory", but("training_memory", **changes), diagnosis, hint, frequency)


def _half(config, value):
    return value // 2


def _twice(config, value):
    return 2 * value


def _for_one_sequence(config, batch_size):
    return _ACTIVATIONS(config, 1)


def _for_one_layer(config, batch_size):
    once = ("final_norm", "lm_head", "cross_entropy")
    return {
        name: value if name in once else value // config.num_layers
        for name, value in _ACTIVATIONS(config, batch_size).items()
    }


def _gradients_per_sequence(config, batch_size):
    memory = _MEMORY(config, batch_size)
    return memory | {"gradients": batch_size * memory["gradients"]}


def _fixed(config):
    return sum(accounting.training_memory(config, 0).values())


def _per_sequence(config):
    return sum(accounting.training_memory(config, 1).values()) - _fixed(config)


def _fitting(round_: Callable[[float], float], least: int = 0) -> Callable[..., int]:
    """`max_batch_size` with another way to make a whole number of the quotient."""
    return lambda config, memory_bytes: max(least, int(round_((memory_bytes - _fixed(config)) / _per_sequence(config))))


MISCONCEPTIONS = (
    _activations(
        "gate-half-counted",
        "Your feed-forward network does not keep w3's output, but the gate's product needs it.",
        "Which two factors does the gate multiply, and what does the gradient of a product need?",
        "common",
        w3=nothing,
    ),
    _activations(
        "gate-product-left-out",
        "Your feed-forward network does not keep the gate's product, which w2 multiplies.",
        "What does the gradient of w2 need?",
        gate=nothing,
    ),
    _activations(
        "scores-of-one-head",
        "Your scores and attention weights are those of one head.",
        "What shape do the scores of all heads have?",
        "common",
        attention_scores=for_one_head,
        softmax=for_one_head,
    ),
    _activations(
        "softmax-left-out",
        "Your softmax keeps no output, as if it worked in place.",
        "Which operations of the attention does the docstring list?",
        softmax=nothing,
    ),
    _activations(
        "causal-half",
        "Your scores and attention weights are halved for the causal mask.",
        "Which shape do the scores of a head have?",
        attention_scores=_half,
        softmax=_half,
    ),
    _activations(
        "scores-linear",
        "Your scores grow linearly with the context, but there is one for each pair of tokens.",
        "Which shape do the scores of a head have?",
        attention_scores=lambda config, value: value // config.context_length,
        softmax=lambda config, value: value // config.context_length,
    ),
    _activations(
        "one-projection",
        "Your q, k and v projections keep one output, but there are three.",
        "How many tensors come out of the three projections?",
        qkv_projections=lambda config, value: value // 3,
    ),
    _activations(
        "one-norm-per-block",
        "Your blocks have one norm each; they need two.",
        "Which norms does a block have?",
        norms=_half,
    ),
    _activations(
        "final-norm-per-layer",
        "Your final norm is counted once for each layer.",
        "Which of the listed operations are not in a block?",
        "rare",
        final_norm=lambda config, value: config.num_layers * value,
    ),
    _activations(
        "loss-per-token",
        "Your cross-entropy keeps one number per token; it should keep a log-probability per logit.",
        "What shape does the backward pass of cross-entropy need?",
        "common",
        cross_entropy=lambda config, value: value // config.vocab_size,
    ),
    _activations(
        "logits-left-out",
        "You do not count the logits as kept.",
        "Which shape do the logits have?",
        lm_head=nothing,
    ),
    _activations(
        "d-ff-fixed",
        "Your feed-forward network is 4 d_model wide, whatever d_ff is.",
        "Where does your code use d_ff?",
        "common",
        w1=four_times_d_model,
        silu=four_times_d_model,
        w3=four_times_d_model,
        gate=four_times_d_model,
    ),
    _activations(
        "w2-wide",
        "Your w2 keeps an output of size d_ff, but its output has size d_model.",
        "Which shape does the output of w2 have?",
        w2=lambda config, value: value // config.d_model * config.d_ff,
    ),
    _wrong(
        "activations-of-one-sequence",
        "activation_counts",
        _for_one_sequence,
        "Your activations are the same for every batch size.",
        "Where does your code use batch_size?",
    ),
    _wrong(
        "activations-of-one-layer",
        "activation_counts",
        _for_one_layer,
        "Your activations are those of a single block.",
        "Where does your code use num_layers?",
    ),
    _memory(
        "one-moment",
        "Your optimizer state has one number per parameter, but AdamW keeps two.",
        "What does AdamW's self.state hold for a parameter?",
        "common",
        optimizer_state=_half,
    ),
    _memory(
        "three-moments",
        "Your optimizer state has three numbers per parameter, but AdamW keeps two besides the gradient.",
        "What does AdamW's self.state hold for a parameter?",
        "rare",
        optimizer_state=lambda config, value: value // 2 * 3,
    ),
    _memory(
        "no-gradients",
        "Your gradients take no memory.",
        "Where does AdamW read the gradients from?",
        gradients=nothing,
    ),
    _memory(
        "activations-in-numbers",
        "You count activations in numbers, but memory is in bytes.",
        "How many bytes does a float32 take?",
        "common",
        activations=lambda config, value: value // 4,
    ),
    _memory(
        "activations-in-bfloat16",
        "Your activations take 2 bytes each, but everything is float32.",
        "How many bytes does a float32 take?",
        "rare",
        activations=_half,
    ),
    _memory(
        "parameters-in-numbers",
        "You count parameters in numbers, but memory is in bytes.",
        "How many bytes does a float32 take?",
        parameters=lambda config, value: value // 4,
    ),
    _wrong(
        "gradients-per-sequence",
        "training_memory",
        _gradients_per_sequence,
        "Your gradients grow with the batch, but they are summed over it.",
        "Which shape does parameter.grad have?",
    ),
    _wrong(
        "activations-only",
        "max_batch_size",
        lambda config, memory_bytes: memory_bytes // _per_sequence(config),
        "Your batch uses all of the memory, but parameters, gradients and optimizer state need their part first.",
        "How much memory does a batch of 0 take?",
    ),
    _wrong(
        "peak-times-batch",
        "max_batch_size",
        lambda config, memory_bytes: memory_bytes // (_fixed(config) + _per_sequence(config)),
        "Your batch size divides the memory by the peak of one sequence; parameters, gradients and optimizer state are "
        "there only once.",
        "Which parts of the peak grow with the batch?",
    ),
    _wrong(
        "rounded",
        "max_batch_size",
        _fitting(round),
        "Your batch size is rounded to the nearest whole number, which may not fit.",
        "What is the peak memory of the batch size that you return?",
        "common",
    ),
    _wrong(
        "rounded-up",
        "max_batch_size",
        _fitting(math.ceil),
        "Your batch size is rounded up, to one that does not fit.",
        "What is the peak memory of the batch size that you return?",
    ),
    _wrong(
        "full-is-too-much",
        "max_batch_size",
        lambda config, memory_bytes: _MAX_BATCH_SIZE(config, memory_bytes - 1),
        "Your batch size is one too small when the batch takes exactly the available memory.",
        "Does something of 80 bytes fit into 80 bytes?",
    ),
    _wrong(
        "negative-batch",
        "max_batch_size",
        _fitting(math.floor, least=-(10**9)),
        "Your batch size is negative if not even the model fits.",
        "What is the smallest number of sequences in a batch?",
        "common",
    ),
    _wrong(
        "at-least-one",
        "max_batch_size",
        _fitting(math.floor, least=1),
        "Your batch size is at least 1, even if one sequence does not fit.",
        "What is the peak memory of the batch size that you return?",
    ),
    _wrong(
        "gib",
        "max_batch_size",
        lambda config, memory_bytes: _MAX_BATCH_SIZE(config, memory_bytes * 2**30 // 10**9),
        "You count 2^30 bytes for each 10^9 available, so your batch does not fit.",
        "How many bytes are 80 GB, and how many are 80 GiB?",
        "common",
    ),
    _wrong(
        "batch-as-float",
        "max_batch_size",
        lambda config, memory_bytes: float(_MAX_BATCH_SIZE(config, memory_bytes)),
        "Your batch size is a float, but it counts sequences.",
        "What is 7 // 2.0?",
        "rare",
    ),
    _wrong(
        "adamw-once",
        "adamw_flops",
        lambda config: 14,
        "Your step of AdamW takes the FLOPs of one parameter.",
        "For how many numbers is the update computed?",
        "rare",
    ),
    _wrong(
        "adamw-one-flop",
        "adamw_flops",
        lambda config: accounting.num_parameters(config),
        "Your step of AdamW takes one FLOP for each parameter.",
        "How many additions and multiplications does the update of m alone take?",
    ),
    _wrong(
        "adamw-as-training",
        "adamw_flops",
        lambda config: 6 * accounting.num_parameters(config) * config.context_length,
        "Your step of AdamW takes 6 FLOPs for each parameter and token, which is about forward and backward pass.",
        "Does the optimizer see the tokens?",
    ),
    _wrong(
        "adamw-moments-only",
        "adamw_flops",
        lambda config: 7 * accounting.num_parameters(config),
        "Your step of AdamW computes m and v but does not update the parameters.",
        "Which lines of the algorithm did you count?",
    ),
    _wrong(
        "no-backward",
        "training_flops",
        lambda config, batch_size: accounting.forward_flops(config, batch_size),
        "Your training step has no backward pass.",
        "How many FLOPs does the backward pass take, compared with the forward pass?",
        "common",
    ),
    _wrong(
        "cheap-backward",
        "training_flops",
        lambda config, batch_size: 2 * accounting.forward_flops(config, batch_size),
        "Your backward pass takes as many FLOPs as the forward pass; it should take twice as many.",
        "With respect to what does the backward pass of y = W x compute gradients?",
        "common",
    ),
    _wrong(
        "training-of-one-sequence",
        "training_flops",
        lambda config, batch_size: 3 * accounting.forward_flops(config),
        "Your training step has one sequence, whatever the batch size.",
        "Where does your code use batch_size?",
    ),
    _wrong(
        "with-optimizer",
        "training_flops",
        lambda config, batch_size: (
            3 * accounting.forward_flops(config, batch_size) + 14 * accounting.num_parameters(config)
        ),
        "Your training step includes AdamW's own FLOPs, which MFU leaves out.",
        "Which FLOPs are those of the model?",
        "rare",
    ),
    _wrong(
        "mfu-ignored",
        "training_days",
        lambda config, steps, batch_size, peak, mfu: _DAYS(config, steps, batch_size, peak, 1.0),
        "Your training runs at the hardware's peak.",
        "Is a run at an MFU of 0.5 longer than one at 1, or shorter?",
    ),
    _wrong(
        "mfu-multiplied",
        "training_days",
        lambda config, steps, batch_size, peak, mfu: _DAYS(config, steps, batch_size, peak, 1 / mfu),
        "Your training gets shorter when the MFU falls.",
        "Is a run at an MFU of 0.5 longer than one at 1, or shorter?",
    ),
    _wrong(
        "in-hours",
        "training_days",
        lambda *arguments: 24 * _DAYS(*arguments),
        "Your training time is in hours, not in days.",
        "How many seconds does a day have?",
    ),
    _wrong(
        "in-seconds",
        "training_days",
        lambda *arguments: 86_400 * _DAYS(*arguments),
        "Your training time is in seconds, not in days.",
        "How many seconds does a day have?",
    ),
    _wrong(
        "batch-in-tokens",
        "training_days",
        lambda config, *arguments: config.context_length * _DAYS(config, *arguments),
        "Your training multiplies by the context length twice: the FLOPs of a sequence already contain it.",
        "How many tokens do the FLOPs cover that you multiply by the batch size?",
        "common",
    ),
    _wrong(
        "forward-only-days",
        "training_days",
        lambda *arguments: _DAYS(*arguments) / 3,
        "Your training time includes only the forward passes.",
        "How many FLOPs does the backward pass take, compared with the forward pass?",
        "common",
    ),
)
