"""How the accounting of any configuration goes wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from grader.reference.architecture import costs
from grader.reference.architecture.language_model import GATED, ArchitectureConfig, is_windowed

from .catalogue import Misconception, replacing

_FLOPS, _CACHE, _TRAFFIC = costs.component_flops, costs.kv_cache_bytes, costs.memory_traffic
_PARAMETERS, _TOTAL, _ACTIVE = (
    costs.component_parameters,
    costs.total_parameters,
    costs.active_parameters,
)


def _bug(
    name: str, id: str, function: Callable, diagnosis: str, hint: str, frequency: str = "occasional"
) -> Misconception:
    return replacing(
        "architecture_accounting", f"architecture.costs.{name}", "Your ", id, function, diagnosis, hint, frequency
    )


def _parameters(
    id: str,
    diagnosis: str,
    hint: str,
    frequency: str = "occasional",
    **changes: Callable[[ArchitectureConfig, int], Any],
) -> Misconception:
    """Entries of the table of parameters, changed by (config, value) -> value."""

    def wrong(config):
        counts = _PARAMETERS(config)
        return counts | {key: change(config, counts[key]) for key, change in changes.items()}

    return _bug("component_parameters", id, wrong, diagnosis, hint, frequency)


def _flops(
    id: str, diagnosis: str, hint: str, frequency: str = "occasional", **changes: Callable[..., Any]
) -> Misconception:
    """Entries of the table of FLOPs, changed by (config, value, batch_size, new, cached) -> value."""

    def wrong(config, batch_size, new_tokens, cached_tokens=0):
        flops = _FLOPS(config, batch_size, new_tokens, cached_tokens)
        return flops | {
            key: change(config, flops[key], batch_size, new_tokens, cached_tokens) for key, change in changes.items()
        }

    return _bug("component_flops", id, wrong, diagnosis, hint, frequency)


def _with(function: Callable, **settings: Any) -> Callable:
    """The same of a configuration with other settings."""

    def wrong(config, *arguments, **options):
        return function(dataclasses.replace(config, **settings), *arguments, **options)

    return wrong


def _kv_heads(config):
    return config.num_heads if config.num_kv_heads is None else config.num_kv_heads


def _head_dim(config):
    return config.d_model // config.num_heads if config.head_dim is None else config.head_dim


def _all_heads(config, value):
    return 4 * config.num_layers * config.d_model * config.num_heads * _head_dim(config)


def _norms(per_block: Callable, gains: int = 1, final: int = 1, qk: Callable | None = None) -> Callable:
    """A count of norms that forgets something."""

    def count(config, value):
        of_one = config.d_model * (1 if config.norm != "layernorm" else gains)
        own = 0 if not config.qk_norm else 2 * _head_dim(config) if qk is None else qk(config)
        return config.num_layers * (per_block(config) * of_one + own) + final * of_one

    return count


def _norms_of_block(config):
    return 1 if config.shared_norm else 4 if config.norm_placement == "double" else 2


def _experts(config):
    return max(config.num_experts, 1)


def _one_expert(config):
    return _PARAMETERS(config)["ffn"] // config.num_layers // _experts(config)


def _products(keys: Callable) -> Callable:
    """Scores and weighted values with another number of keys in all layers together."""

    def change(config, value, batch_size, new, cached):
        width = config.num_heads * _head_dim(config)
        return 4 * batch_size * new * width * keys(config, new, cached)

    return change


def _kept(config, layer, cached):
    return min(cached, config.window - 1) if is_windowed(config, layer) else cached


def _in_window(config, new, cached):
    """Takes the window for a limit of all keys, new ones, too."""
    return sum(
        min(new + cached, config.window) if is_windowed(config, layer) else new + cached
        for layer in range(config.num_layers)
    )


def _one_more(config, new, cached):
    return sum(
        min(cached, config.window) + new if is_windowed(config, layer) else cached + new
        for layer in range(config.num_layers)
    )


def _without_itself(config, new, cached):
    """The cached keys, and of the new ones none, if there is only one."""
    return sum(_kept(config, layer, cached) + (new if new > 1 else 0) for layer in range(config.num_layers))


def _first_full(config, layer):
    """Whether a layer has the window, if the first of each group has none."""
    return config.window is not None and (config.full_every is None or layer % config.full_every != 0)


def _sometimes_full(windowed: Callable) -> Callable:
    def keys(config, new, cached):
        return sum(
            min(cached, config.window - 1) + new if windowed(config, layer) else cached + new
            for layer in range(config.num_layers)
        )

    return keys


def _all_again(config, batch_size, new_tokens, cached_tokens=0):
    return _FLOPS(config, batch_size, new_tokens + cached_tokens, 0)


def _each(factor: float) -> Callable:
    def wrong(config, batch_size, new_tokens, cached_tokens=0):
        return {
            key: int(value * factor) for key, value in _FLOPS(config, batch_size, new_tokens, cached_tokens).items()
        }

    return wrong


def _as_one_sequence(config, batch_size, new_tokens, cached_tokens=0):
    return _FLOPS(config, 1, batch_size * new_tokens, cached_tokens)


def _one_sequence(config, batch_size, new_tokens, cached_tokens=0):
    return _FLOPS(config, 1, new_tokens, cached_tokens)


def _float_flops(config, batch_size, new_tokens, cached_tokens=0):
    return {key: float(value) for key, value in _FLOPS(config, batch_size, new_tokens, cached_tokens).items()}


def _cache(change: Callable) -> Callable:
    def wrong(config, batch_size, tokens, bytes_per_number=2):
        return change(
            config, batch_size, tokens, bytes_per_number, _CACHE(config, batch_size, tokens, bytes_per_number)
        )

    return wrong


def _cache_first_full(config, batch_size, tokens, size, value):
    kept = sum(
        min(tokens, config.window) if _first_full(config, layer) else tokens for layer in range(config.num_layers)
    )
    return 2 * batch_size * kept * _kv_heads(config) * _head_dim(config) * size


def _cache_less_one(config, batch_size, tokens, size, value):
    kept = sum(
        min(tokens, config.window - 1) if is_windowed(config, layer) else tokens for layer in range(config.num_layers)
    )
    return 2 * batch_size * kept * _kv_heads(config) * _head_dim(config) * size


def _traffic(change: Callable) -> Callable:
    def wrong(config, batch_size, new_tokens, cached_tokens=0, bytes_per_number=2):
        value = _TRAFFIC(config, batch_size, new_tokens, cached_tokens, bytes_per_number)
        return value + change(config, batch_size, new_tokens, cached_tokens, bytes_per_number)

    return wrong


def _table(config, *_):
    return config.vocab_size * config.d_model


def _idle(config, tokens):
    return max(config.num_experts - tokens * config.top_k, 0) * config.num_layers * _one_expert(config)


def _intensity_of_weights(config, batch_size, new_tokens, cached_tokens=0, bytes_per_number=2):
    flops = sum(costs.component_flops(config, batch_size, new_tokens, cached_tokens).values())
    return flops / (costs.total_parameters(config) * bytes_per_number)


def _inverse(config, batch_size, new_tokens, cached_tokens=0, bytes_per_number=2):
    flops = sum(costs.component_flops(config, batch_size, new_tokens, cached_tokens).values())
    return costs.memory_traffic(config, batch_size, new_tokens, cached_tokens, bytes_per_number) / flops


def _per_number(config, batch_size, new_tokens, cached_tokens=0, bytes_per_number=2):
    flops = sum(costs.component_flops(config, batch_size, new_tokens, cached_tokens).values())
    moved = costs.memory_traffic(config, batch_size, new_tokens, cached_tokens, bytes_per_number)
    return bytes_per_number * flops / moved


MISCONCEPTIONS = (
    _parameters(
        "kv-projections-for-all-heads",
        "keys and values have projections for all query heads, although some share them.",
        "How many rows does k_proj have with two heads of keys?",
        "common",
        attention=_all_heads,
    ),
    _parameters(
        "projections-of-d-model",
        "attention has matrices of d_model by d_model, whatever head_dim is.",
        "How many features do all queries of a token have together?",
        "common",
        attention=lambda config, value: (
            2 * config.num_layers * config.d_model * (1 + _kv_heads(config) / config.num_heads) * config.d_model
        ),
    ),
    _parameters(
        "always-a-gate",
        "feed-forward network has three matrices, also without a gate.",
        "Which matrices does a network with ReLU have?",
        "common",
        ffn=lambda config, value: value if config.ffn in GATED else value * 3 // 2,
    ),
    _parameters(
        "never-a-gate",
        "feed-forward network has two matrices, also with a gate.",
        "Which matrices does GEGLU have?",
        ffn=lambda config, value: value if config.ffn not in GATED else value * 2 // 3,
    ),
    _parameters(
        "layernorm-without-bias",
        "norms have only a gain, but LayerNorm has a bias, too.",
        "Which parameters does your LayerNorm have?",
        "common",
        norms=_norms(_norms_of_block),
    ),
    _parameters(
        "layernorm-always-with-bias",
        "LayerNorm has a bias in every form, also in the one without.",
        "Which parameters does Cohere's norm have?",
        norms=lambda config, value: 2 * value if config.norm == "layernorm_without_bias" else value,
    ),
    _parameters(
        "final-norm-left-out",
        "norms are those of the blocks, without the final one.",
        "What does the model do between its last block and the head?",
        norms=lambda config, value: value - config.d_model * (2 if config.norm == "layernorm" else 1),
    ),
    _parameters(
        "double-norm-as-two",
        "blocks have two norms, also where there are four.",
        "How many norms does a block of Gemma 2 have?",
        norms=_norms(lambda config: 1 if config.shared_norm else 2, gains=2),
    ),
    _parameters(
        "shared-norm-as-two",
        "blocks have two norms, also where both branches share one.",
        "Which norms does a block of GPT-J have?",
        norms=_norms(lambda config: 4 if config.norm_placement == "double" else 2, gains=2),
    ),
    _parameters(
        "norms-of-heads-left-out",
        "norms leave out those of queries and keys.",
        "Which parameters does qk_norm add to a layer?",
        norms=_norms(_norms_of_block, gains=2, qk=lambda config: 0),
    ),
    _parameters(
        "norms-for-each-head",
        "queries and keys have gains for every head, but all heads of a layer share theirs.",
        "Which shape has the gain of q_norm?",
        norms=_norms(
            _norms_of_block, gains=2, qk=lambda config: (config.num_heads + _kv_heads(config)) * _head_dim(config)
        ),
    ),
    _parameters(
        "tied-head-counted-twice",
        "head has parameters, although it is tied to the embedding.",
        "Is lm_head.weight another tensor than token_embeddings.weight?",
        "common",
        lm_head=lambda config, value: _table(config) if config.tie_embeddings else value,
    ),
    _parameters(
        "positions-left-out",
        "learned positions have no parameters.",
        "What does position 7 add to a token's vector, and where is it kept?",
        position_embeddings=lambda config, value: 0,
    ),
    _parameters(
        "biases-left-out",
        "feed-forward networks and head have no biases in your count, although they have in the model.",
        "Which parameters does a block of GPT-J have?",
        ffn=lambda config, value: (
            value - config.num_layers * _experts(config) * (config.ffn_bias * (config.d_ff + config.d_model))
        ),
        lm_head=lambda config, value: value - config.head_bias * config.vocab_size,
    ),
    _parameters(
        "biases-both-of-d-ff",
        "feed-forward network has two biases of d_ff features, but the second one is added to d_model of them.",
        "Which shape has what w2 gives?",
        "rare",
        ffn=lambda config, value: (
            value + config.num_layers * _experts(config) * config.ffn_bias * (config.d_ff - config.d_model)
        ),
    ),
    _parameters(
        "one-expert",
        "layers have one feed-forward network each, whatever num_experts is.",
        "How many networks does a layer of Mixtral hold?",
        ffn=lambda config, value: value // _experts(config),
    ),
    _parameters(
        "experts-of-one-token",
        "layers have top_k experts, but all of them are there, whoever chooses which.",
        "What must be in memory before the first token comes?",
        "common",
        ffn=lambda config, value: value // _experts(config) * max(config.top_k, 1),
    ),
    _parameters(
        "router-left-out",
        "routers have no parameters.",
        "Where do the scores of the experts come from?",
        router=lambda config, value: 0,
    ),
    _bug(
        "total_parameters",
        "embedding-left-out",
        lambda config: _TOTAL(config) - _table(config),
        "total leaves the embedding table out.",
        "Is your total the sum of your components?",
    ),
    _bug(
        "total_parameters",
        "total-is-active",
        lambda config: _ACTIVE(config) if config.num_experts else _TOTAL(config),
        "total has only the experts of one token.",
        "How much memory do the weights take?",
        "rare",
    ),
    _bug(
        "active_parameters",
        "all-active",
        lambda config: costs.total_parameters(config),
        "active parameters are all of them.",
        "How many experts does a token go through?",
    ),
    _bug(
        "active_parameters",
        "share-of-everything",
        lambda config: (
            costs.total_parameters(config) * config.top_k // config.num_experts
            if config.num_experts
            else costs.total_parameters(config)
        ),
        "active parameters are the share top_k / num_experts of all, but attention and embedding have no experts.",
        "Which components are the same for every token?",
        "common",
    ),
    _bug(
        "active_parameters",
        "active-without-embedding",
        lambda config: _ACTIVE(config) - _table(config),
        "active parameters leave the embedding table out.",
        "Which number is published for Mixtral 8x7B?",
    ),
    _bug(
        "active_parameters",
        "without-experts-none",
        lambda config: _TOTAL(config) - config.num_layers * (_experts(config) - config.top_k) * _one_expert(config),
        "active parameters of a model without experts leave out its feed-forward networks.",
        "What is top_k where there are no experts?",
    ),
    _bug(
        "component_flops",
        "factor-2",
        _each(0.5),
        "FLOPs have one for each multiplication and none for the additions.",
        "How many additions are there in a sum of n products?",
        "common",
    ),
    _flops(
        "causal-half",
        "scores among new tokens are halved for the causal mask, which comes after all of them are computed.",
        "At which point is the mask applied?",
        "common",
        attention_products=_products(
            lambda config, new, cached: sum(
                _kept(config, layer, cached) + (new // 2 if new > 1 else 1) for layer in range(config.num_layers)
            )
        ),
    ),
    _flops(
        "products-of-kv-heads",
        "scores are those of as many heads as there are of keys, but every query head has its own.",
        "How many rows of scores does a token have in a layer?",
        "common",
        attention_products=lambda config, value, *_: value // config.num_heads * _kv_heads(config),
    ),
    _flops(
        "flops-of-all-kv-heads",
        "projections of keys and values take FLOPs for all query heads, although some share them.",
        "Which shape has k_proj?",
        attention_projections=lambda config, value, batch_size, new, cached: (
            2 * batch_size * new * _all_heads(config, 0)
        ),
    ),
    _flops(
        "scores-of-d-model",
        "scores take d_model products each over all heads, whatever head_dim is.",
        "How long is a query of one head?",
        attention_products=lambda config, value, *_: value // (config.num_heads * _head_dim(config)) * config.d_model,
    ),
    _flops(
        "scores-only",
        "attention multiplies queries and keys, but then not by the values.",
        "What happens to the weights after the softmax?",
        attention_products=lambda config, value, *_: value // 2,
    ),
    _flops(
        "own-key-left-out",
        "new token does not meet its own key.",
        "How many keys does the first token see, with nothing in the cache?",
        attention_products=_products(_without_itself),
    ),
    _bug(
        "component_flops",
        "cache-not-used",
        _all_again,
        "forward pass computes the cached tokens once more.",
        "What is the cache for?",
        "common",
    ),
    _flops(
        "cache-not-seen",
        "new tokens meet only each other, and not those in the cache.",
        "Which keys does a token's query meet in decoding?",
        attention_products=_products(lambda config, new, cached: config.num_layers * new),
    ),
    _flops(
        "window-ignored",
        "layers with a window meet all cached tokens.",
        "How many keys does a query see with a window of 2?",
        "common",
        attention_products=_products(lambda config, new, cached: config.num_layers * (new + cached)),
    ),
    _flops(
        "window-in-prompt",
        "window saves FLOPs among new tokens, but it is a mask, applied to scores that are there.",
        "Are scores outside of the window computed?",
        "common",
        attention_products=_products(_in_window),
    ),
    _flops(
        "window-beside-itself",
        "window holds `window` cached tokens beside the new one, whose own key is among them.",
        "How many keys does a query see with a window of 1?",
        attention_products=_products(_one_more),
    ),
    _flops(
        "all-layers-windowed",
        "window is in all layers, whatever full_every is.",
        "Which layers are full with full_every = 2?",
        attention_products=_products(_sometimes_full(lambda config, layer: config.window is not None)),
    ),
    _flops(
        "first-layer-full",
        "full layers are the first of each group, but they are the last ones.",
        "Which layers are full with full_every = 4?",
        attention_products=_products(_sometimes_full(_first_full)),
    ),
    _bug(
        "component_flops",
        "one-sequence",
        _one_sequence,
        "FLOPs are those of one sequence, whatever batch_size is.",
        "Where does your code use batch_size?",
    ),
    _bug(
        "component_flops",
        "batch-as-one-sequence",
        _as_one_sequence,
        "sequences of a batch meet each other, as if they were one.",
        "How many scores do two sequences of n tokens have?",
        "rare",
    ),
    _flops(
        "always-a-gate-flops",
        "feed-forward network multiplies by three matrices, also without a gate.",
        "Which matrices does a network with ReLU have?",
        ffn=lambda config, value, *_: value if config.ffn in GATED else value * 3 // 2,
    ),
    _flops(
        "all-experts-at-work",
        "tokens go through all experts.",
        "How many experts does a token go through?",
        "common",
        ffn=lambda config, value, *_: value // max(config.top_k, 1) * _experts(config),
    ),
    _flops(
        "one-expert-at-work",
        "tokens go through one expert, whatever top_k is.",
        "How many experts does a token go through?",
        ffn=lambda config, value, *_: value // max(config.top_k, 1),
    ),
    _flops(
        "router-free",
        "router takes no FLOPs.",
        "Where do the scores of the experts come from?",
        router=lambda config, *_: 0,
    ),
    _flops(
        "router-scores-some",
        "router scores top_k experts, but it has to score all to find the best.",
        "How does a token know which experts are best?",
        "rare",
        router=lambda config, value, *_: value // _experts(config) * config.top_k,
    ),
    _flops(
        "head-at-last-position",
        "head scores the last of the new tokens, but the forward pass scores all.",
        "Which shape do the logits have?",
        lm_head=lambda config, value, batch_size, new, cached: value // new,
    ),
    _flops(
        "tied-head-free",
        "tied head takes no FLOPs.",
        "Which product gives the logits, if the matrix is the embedding's?",
        "common",
        lm_head=lambda config, value, *_: 0 if config.tie_embeddings else value,
    ),
    _bug(
        "component_flops",
        "float-flops",
        _float_flops,
        "FLOPs are floats, which cannot represent every whole number beyond 2^53.",
        "What is 2**53 + 1.0?",
    ),
    _bug(
        "kv_cache_bytes",
        "keys-only",
        _cache(lambda config, batch_size, tokens, size, value: value // 2),
        "cache holds keys, and no values.",
        "What is multiplied by the attention weights of the next token?",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-of-query-heads",
        _cache(lambda config, batch_size, tokens, size, value: value // _kv_heads(config) * config.num_heads),
        "cache holds keys and values for each query head, although some share them.",
        "What is grouped-query attention for?",
        "common",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-of-d-model",
        _cache(
            lambda config, batch_size, tokens, size, value: (
                value // _head_dim(config) * (config.d_model // config.num_heads)
            )
        ),
        "cache has d_model / num_heads numbers for each head, whatever head_dim is.",
        "Which shape has a key of one head?",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-of-one-layer",
        _cache(lambda config, batch_size, tokens, size, value: value // config.num_layers),
        "cache is that of one layer.",
        "Can a layer use another one's keys?",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-of-one-sequence",
        _cache(lambda config, batch_size, tokens, size, value: value // batch_size),
        "cache is that of one sequence, whatever batch_size is.",
        "Where does your code use batch_size?",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-always-bfloat16",
        _cache(lambda config, batch_size, tokens, size, value: value // size * 2),
        "cache has two bytes for each number, whatever bytes_per_number is.",
        "Where does your code use bytes_per_number?",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-ignores-window",
        _with(_CACHE, window=None, full_every=None),
        "cache holds all tokens in all layers, although a window needs only its own.",
        "Which keys will no later query see?",
        "common",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-all-layers-windowed",
        _with(_CACHE, full_every=None),
        "cache holds a window in all layers, whatever full_every is.",
        "Which keys will a later query of a full layer see?",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-first-layer-full",
        _cache(_cache_first_full),
        "cache is that of a model whose full layers are the first of each group; they are the last ones.",
        "Which layers are full with full_every = 4?",
    ),
    _bug(
        "kv_cache_bytes",
        "window-always-full",
        _cache(
            lambda config, batch_size, tokens, size, value: (
                _CACHE(config, batch_size, max(tokens, config.window or 0), size) if config.window else value
            )
        ),
        "cache of a window is as large as the window, although fewer tokens have come.",
        "What is in the cache after one token?",
    ),
    _bug(
        "kv_cache_bytes",
        "window-less-one",
        _cache(_cache_less_one),
        "cache of a window keeps window - 1 tokens; asked for are the last `window`.",
        "What does the docstring of kv_cache_bytes say of a window?",
    ),
    _bug(
        "kv_cache_bytes",
        "cache-float",
        _cache(lambda config, batch_size, tokens, size, value: float(value)),
        "bytes are floats, which cannot represent every whole number beyond 2^53.",
        "What is 2**53 + 1.0?",
    ),
    _bug(
        "memory_traffic",
        "table-read",
        _traffic(lambda config, b, new, cached, size: 0 if config.tie_embeddings else size * _table(config)),
        "traffic has the whole embedding table, of which only the rows of the tokens are read.",
        "What does your Embedding do with a token id?",
        "common",
    ),
    _bug(
        "memory_traffic",
        "positions-read",
        _traffic(lambda config, b, new, cached, size: size * _PARAMETERS(config)["position_embeddings"]),
        "traffic has the whole table of learned positions, of which only the rows of the tokens are read.",
        "Which rows of the table does one token need?",
        "rare",
    ),
    _bug(
        "memory_traffic",
        "tied-table-not-read",
        _traffic(lambda config, b, new, cached, size: -size * _table(config) if config.tie_embeddings else 0),
        "traffic leaves out the embedding table, although the head multiplies by it.",
        "Which matrix gives the logits of a tied model?",
    ),
    _bug(
        "memory_traffic",
        "all-experts-read",
        _traffic(lambda config, b, new, cached, size: size * _idle(config, b * new)),
        "traffic has all experts, although few tokens cannot choose all.",
        "How many experts does a single token go through?",
        "common",
    ),
    _bug(
        "memory_traffic",
        "experts-of-one-token-read",
        _traffic(lambda config, b, new, cached, size: size * (_idle(config, b * new) - _idle(config, 1))),
        "traffic has the experts of one token, but others may choose others.",
        "How many experts can four tokens choose?",
    ),
    _bug(
        "memory_traffic",
        "weights-for-each-token",
        _traffic(
            lambda config, b, new, cached, size: (
                (b * new - 1) * size * (_TOTAL(config) - _table(config)) if not config.num_experts else 0
            )
        ),
        "traffic has the weights once for each token, but all tokens of a pass share them.",
        "Why do servers collect requests into batches?",
    ),
    _bug(
        "memory_traffic",
        "cache-not-moved",
        _traffic(lambda config, b, new, cached, size: -costs.kv_cache_bytes(config, b, new + cached, size)),
        "traffic leaves the cache out.",
        "What does a query meet in decoding, and where is it?",
        "common",
    ),
    _bug(
        "memory_traffic",
        "new-tokens-not-moved",
        _traffic(
            lambda config, b, new, cached, size: (
                costs.kv_cache_bytes(config, b, cached, size) - costs.kv_cache_bytes(config, b, new + cached, size)
            )
        ),
        "traffic leaves out the keys and values of the new tokens, which are written.",
        "What does a pass write to the cache?",
    ),
    _bug(
        "arithmetic_intensity",
        "inverse",
        _inverse,
        "intensity is bytes for each FLOP.",
        "Is your intensity of a long prompt large or small?",
    ),
    _bug(
        "arithmetic_intensity",
        "intensity-of-weights",
        _intensity_of_weights,
        "intensity divides by the bytes of all parameters, and not by those that are moved.",
        "Does the length of the cache change your bytes?",
    ),
    _bug(
        "arithmetic_intensity",
        "intensity-per-number",
        _per_number,
        "intensity is FLOPs for each number that is moved, and not for each byte.",
        "How many bytes is a number in bfloat16?",
    ),
)
