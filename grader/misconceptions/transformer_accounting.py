"""How the accounting of parameters and FLOPs goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from grader.reference import accounting

from .catalogue import Misconception
from .changed_counts import but, for_one_head, four_times_d_model, miscounting, nothing

_wrong = partial(miscounting, "transformer_accounting")


def _parameters(
    id: str, diagnosis: str, hint: str, frequency: str = "occasional", **changes: Callable
) -> Misconception:
    return _wrong(id, "parameter_counts", but("parameter_counts", **changes), diagnosis, hint, frequency)


def _flops(id: str, diagnosis: str, hint: str, frequency: str = "occasional", **changes: Callable) -> Misconception:
    return _wrong(id, "matmul_flops", but("matmul_flops", **changes), diagnosis, hint, frequency)


def _for_one_layer(config, value):
    return value // config.num_layers


def _for_each_head(config, value):
    return value * config.num_heads


def _for_one_token(config, value):
    return value // config.context_length


def _by_whole_batch(config, batch_size=1):
    """Takes the batch for one long sequence."""
    long = accounting.ModelConfig(**{**vars(config), "context_length": batch_size * config.context_length})
    return sum(accounting.matmul_flops(long).values())


def _of_blocks(config):
    flops = accounting.matmul_flops(config)
    total = sum(flops.values())
    return {name: share * total / (total - flops["lm_head"]) for name, share in _SHARES(config).items()}


def _without_output_proj(config):
    flops = accounting.matmul_flops(config)
    shares = _SHARES(config)
    moved = flops["output_proj"] / sum(flops.values())
    return shares | {"attention_projections": shares["attention_projections"] - moved}


def _percent(config):
    return {name: 100 * share for name, share in _SHARES(config).items()}


def _of_parameters(config):
    counts = accounting.parameter_counts(config)
    total = sum(counts.values())
    parts = zip(_SHARES(config), ("attention", "norms", "ffn", "lm_head"), strict=True)
    return {name: counts[component] / total for name, component in parts}


_SHARES = accounting.flops_shares
_FORWARD = accounting.forward_flops
_FLOPS = accounting.matmul_flops

MISCONCEPTIONS = (
    _parameters(
        "tied-head",
        "Your lm_head has no parameters, as if it shared those of the token embedding.",
        "Is lm_head.weight the same tensor as token_embeddings.weight in your model?",
        "common",
        lm_head=nothing,
    ),
    _parameters(
        "embedding-left-out",
        "Your token embedding has no parameters.",
        "How many numbers does the embedding table hold?",
        token_embeddings=nothing,
    ),
    _parameters(
        "two-ffn-matrices",
        "Your feed-forward network has two matrices, but SwiGLU has three.",
        "Which weights does your SwiGLU have?",
        "common",
        ffn=lambda config, value: value // 3 * 2,
    ),
    _parameters(
        "one-norm-per-block",
        "Your blocks have one norm each, but pre-norm blocks have two.",
        "Which norms does a block have?",
        norms=lambda config, value: (config.num_layers + 1) * config.d_model,
    ),
    _parameters(
        "final-norm-left-out",
        "You count only the norms of the blocks, without the final one.",
        "What does the model do between its last block and the head?",
        "common",
        norms=lambda config, value: value - config.d_model,
    ),
    _parameters(
        "norms-left-out",
        "Your norms have no parameters, but RMSNorm has a gain for each dimension.",
        "Does RMSNorm have anything to learn?",
        norms=nothing,
    ),
    _parameters(
        "norms-with-bias",
        "Your norms have gain and bias, as in LayerNorm, but RMSNorm has only a gain.",
        "Which parameters does your RMSNorm have?",
        "rare",
        norms=lambda config, value: 2 * value,
    ),
    _parameters(
        "biases",
        "Your attention has a bias for each output, but this model's Linear layers have none.",
        "Which parameters does your Linear have?",
        attention=lambda config, value: value + config.num_layers * 4 * config.d_model,
    ),
    _parameters(
        "no-output-projection",
        "Your attention has three projections, without output_proj.",
        "What happens to the heads after they are concatenated?",
        attention=lambda config, value: value // 4 * 3,
    ),
    _parameters(
        "projections-per-head",
        "Your attention has projections of d_model x d_model for each head; all heads share one matrix of that size.",
        "What is d_k times the number of heads?",
        attention=_for_each_head,
    ),
    _parameters(
        "one-layer",
        "Your attention and feed-forward network count only a single block.",
        "Where does your code use num_layers?",
        "rare",
        attention=_for_one_layer,
        ffn=_for_one_layer,
    ),
    _parameters(
        "d-ff-fixed",
        "Your feed-forward network is 4 d_model wide, whatever d_ff is.",
        "Where does your code use d_ff?",
        "common",
        ffn=four_times_d_model,
    ),
    _parameters(
        "learned-positions",
        "Your embedding also has a vector for each position, but this model's RoPE has no parameters.",
        "Does your model learn anything about positions?",
        token_embeddings=lambda config, value: value + config.context_length * config.d_model,
    ),
    _wrong(
        "embeddings-not-counted",
        "num_parameters",
        lambda config: (
            sum(accounting.parameter_counts(config).values()) - accounting.parameter_counts(config)["token_embeddings"]
        ),
        "Your total leaves the embedding table out.",
        "Is your total the sum of your parts?",
    ),
    _wrong(
        "memory-in-gb",
        "parameter_memory",
        lambda config, bytes_per_parameter=4: bytes_per_parameter * accounting.num_parameters(config) / 10**9,
        "Your memory is in GB, not in bytes.",
        "How many bytes does a single parameter take?",
    ),
    _wrong(
        "memory-in-gib",
        "parameter_memory",
        lambda config, bytes_per_parameter=4: bytes_per_parameter * accounting.num_parameters(config) / 2**30,
        "Your memory is in GiB, not in bytes.",
        "How many bytes does a single parameter take?",
    ),
    _wrong(
        "memory-in-bits",
        "parameter_memory",
        lambda config, bytes_per_parameter=4: 8 * bytes_per_parameter * accounting.num_parameters(config),
        "Your memory is in bits, not in bytes.",
        "How many bytes are 32 bits?",
        "rare",
    ),
    _wrong(
        "memory-always-float32",
        "parameter_memory",
        lambda config, bytes_per_parameter=4: 4 * accounting.num_parameters(config),
        "Your parameters take 4 bytes each, whatever bytes_per_parameter is.",
        "Where does your code use bytes_per_parameter?",
    ),
    _wrong(
        "factor-2",
        "matmul_flops",
        lambda config: {name: value // 2 for name, value in _FLOPS(config).items()},
        "You count one FLOP for each multiplication but none for the additions.",
        "How many multiplications and how many additions are there in a sum of n products?",
        "common",
    ),
    _flops(
        "head-left-out",
        "Your head takes no FLOPs.",
        "How large is the matrix that turns the last vectors into logits?",
        "common",
        lm_head=nothing,
    ),
    _flops(
        "head-at-last-position",
        "Your head scores only the last position; the forward pass scores all of them.",
        "Which shape do the logits have?",
        lm_head=_for_one_token,
    ),
    _flops(
        "head-in-every-layer",
        "Your head is counted once for each layer.",
        "How often does the model compute logits?",
        "rare",
        lm_head=lambda config, value: config.num_layers * value,
    ),
    _flops(
        "two-ffn-products",
        "Your w3 takes no FLOPs, as in a feed-forward network without a gate.",
        "Which products does SwiGLU compute?",
        "common",
        w3=nothing,
    ),
    _flops(
        "attention-products-left-out",
        "Your attention takes no FLOPs besides its projections.",
        "Which products does attention compute that have no weights in them?",
        "common",
        attention_scores=nothing,
        weighted_values=nothing,
    ),
    _flops(
        "attention-linear",
        "Your scores' FLOPs grow linearly with the context, but they should grow with its square.",
        "How many scores does a head have for n tokens?",
        attention_scores=_for_one_token,
        weighted_values=_for_one_token,
    ),
    _flops(
        "attention-of-one-head",
        "Your scores and weighted values are those of one head.",
        "What is d_k times the number of heads?",
        attention_scores=for_one_head,
        weighted_values=for_one_head,
    ),
    _flops(
        "attention-with-wide-heads",
        "Your heads compute scores and weighted values with vectors of size d_model, not d_model / num_heads.",
        "What shape do the queries of one head have?",
        "common",
        attention_scores=_for_each_head,
        weighted_values=_for_each_head,
    ),
    _flops(
        "causal-half",
        "Your scores and weighted values are halved for the causal mask, which comes after all scores are computed.",
        "At which point does your attention use the mask?",
        attention_scores=lambda config, value: value // 2,
        weighted_values=lambda config, value: value // 2,
    ),
    _flops(
        "values-left-out",
        "Your weighted values take no FLOPs.",
        "What happens to the attention weights after the softmax?",
        weighted_values=nothing,
    ),
    _flops(
        "output-projection-left-out",
        "Your output_proj takes no FLOPs.",
        "What happens to the heads after they are concatenated?",
        output_proj=nothing,
    ),
    _wrong(
        "one-token",
        "matmul_flops",
        lambda config: {name: value // config.context_length for name, value in _FLOPS(config).items()},
        "Your FLOPs are those of one token, but a sequence has context_length tokens.",
        "Which shape does the input of a projection have?",
    ),
    _wrong(
        "one-block",
        "matmul_flops",
        lambda config: {
            name: value if name == "lm_head" else value // config.num_layers for name, value in _FLOPS(config).items()
        },
        "Your FLOPs are those of a single block and the head.",
        "Where does your code use num_layers?",
    ),
    _wrong(
        "embedding-as-product",
        "forward_flops",
        lambda config, batch_size=1: (
            _FORWARD(config, batch_size) + batch_size * accounting.matmul_flops(config)["lm_head"]
        ),
        "Your forward pass counts the embedding as a product with one-hot vectors, but it is a lookup.",
        "What does your Embedding compute?",
    ),
    _wrong(
        "with-backward",
        "forward_flops",
        lambda config, batch_size=1: 3 * _FORWARD(config, batch_size),
        "Your forward pass includes the backward pass.",
        "Do you need everything that you count to compute the logits?",
    ),
    _wrong(
        "batch-ignored",
        "forward_flops",
        lambda config, batch_size=1: _FORWARD(config, 1),
        "Your forward pass takes the same FLOPs for every batch size.",
        "Where does your code use batch_size?",
    ),
    _wrong(
        "batch-as-one-sequence",
        "forward_flops",
        _by_whole_batch,
        "Your batch is one long sequence whose tokens all attend to each other; sequences do not see each other.",
        "How many scores does a head have for two sequences of n tokens?",
        "rare",
    ),
    _wrong(
        "six-n-rule",
        "forward_flops",
        lambda config, batch_size=1: 2 * accounting.num_parameters(config) * config.context_length * batch_size,
        "Your forward pass takes 2 FLOPs for each parameter and token, which is a rule of thumb: it leaves out "
        "attention's products and counts the embedding.",
        "Is your total the sum of your matrix multiplies?",
    ),
    _wrong(
        "shares-in-percent",
        "flops_shares",
        _percent,
        "Your shares are percentages, not fractions of 1.",
        "What do your shares add up to?",
    ),
    _wrong(
        "shares-of-blocks",
        "flops_shares",
        _of_blocks,
        "Your shares are fractions of the FLOPs of the blocks, without the head.",
        "What do your shares add up to?",
    ),
    _wrong(
        "shares-without-output-projection",
        "flops_shares",
        _without_output_proj,
        "Your attention_projections leave output_proj out.",
        "What do your shares add up to?",
    ),
    _wrong(
        "shares-of-parameters",
        "flops_shares",
        _of_parameters,
        "Your shares are fractions of the parameters, not of the FLOPs.",
        "Does the context length change your shares?",
        "rare",
    ),
    _wrong(
        "floats",
        "forward_flops",
        lambda config, batch_size=1: float(_FORWARD(config, batch_size)),
        "Your counts are floats, which cannot represent every whole number beyond 2^53.",
        "What is 2**53 + 1.0?",
    ),
)
