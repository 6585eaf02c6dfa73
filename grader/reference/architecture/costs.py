"""The cost of a language model of any configuration: parameters, FLOPs, memory, and which of them is the bottleneck.

Everything here is arithmetic on whole numbers: no model is built. The product of an m x n and an n x p matrix takes
2 m n p FLOPs, and nothing but products counts. All scores are computed before the mask is applied: neither the causal
mask nor a window saves FLOPs among tokens that are new.
"""

from .language_model import GATED, ArchitectureConfig, is_windowed

BFLOAT16_BYTES = 2


def component_parameters(config: ArchitectureConfig) -> dict[str, int]:
    """The number of parameters of each kind of component, summed over all layers.

    The keys, in this order; what a configuration does not have is 0:
        token_embeddings    the embedding table
        position_embeddings a vector for each position, where they are learned
        attention           q_proj, k_proj, v_proj and output_proj
        ffn                 the matrices and biases of the feed-forward networks; with experts, of all of them
        router              the routers' matrices, [num_experts, d_model]
        norms               gains, and biases of "layernorm": those of blocks, of queries and keys, and the final one
        lm_head             the head's matrix, unless it is tied to the embedding, and its bias

    Problem: architecture_accounting
    """
    d_model, num_layers = config.d_model, config.num_layers
    width, kv_width = _widths(config)
    per_norm = d_model * (2 if config.norm == "layernorm" else 1)
    block_norms = 1 if config.shared_norm else 4 if config.norm_placement == "double" else 2
    qk_gains = 2 * _head_dim(config) if config.qk_norm else 0
    head = 0 if config.tie_embeddings else config.vocab_size * (d_model + config.head_bias)
    return {
        "token_embeddings": config.vocab_size * d_model,
        "position_embeddings": config.context_length * d_model if config.position == "learned" else 0,
        "attention": num_layers * 2 * d_model * (width + kv_width),
        "ffn": num_layers * max(config.num_experts, 1) * _ffn_parameters(config),
        "router": num_layers * config.num_experts * d_model,
        "norms": num_layers * (block_norms * per_norm + qk_gains) + per_norm,
        "lm_head": head,
    }


def total_parameters(config: ArchitectureConfig) -> int:
    """The number of all parameters, each tensor once.

    Problem: architecture_accounting
    """
    return sum(component_parameters(config).values())


def active_parameters(config: ArchitectureConfig) -> int:
    """The number of parameters that one token meets: all but those of the experts that are not chosen for it.

    The whole embedding table counts, as is usual: Mixtral 8x7B has 46.7 billion parameters, of which 12.9 are active.

    Problem: architecture_accounting
    """
    return total_parameters(config) - config.num_layers * (config.num_experts - config.top_k) * _ffn_parameters(config)


def component_flops(
    config: ArchitectureConfig, batch_size: int, new_tokens: int, cached_tokens: int = 0
) -> dict[str, int]:
    """FLOPs of the matrix products of a forward pass, in which keys and values of earlier tokens come from a cache.

    Prefill is `new_tokens` = the length of the prompt, with nothing in the cache; a step of decoding is one new token
    after `cached_tokens` others.

    The keys, in this order, each summed over all layers:
        attention_projections   q_proj, k_proj, v_proj and output_proj of the new tokens
        attention_products      Q K^T and the weighted values, of every new token with every key that is there: the
                                cached and the new ones. A layer with a window keeps window - 1 cached tokens at most
        ffn                     the matrices of the feed-forward networks; of experts, the top_k of each token
        router                  the scores of all experts
        lm_head                 the logits of every new token, from its own matrix or the embedding's

    Args:
        config: the model.
        batch_size: number of sequences, which do not see each other.
        new_tokens: tokens per sequence that go through the model.
        cached_tokens: tokens per sequence before them, whose keys and values are in the cache.

    Problem: architecture_accounting
    """
    d_model, num_layers, tokens = config.d_model, config.num_layers, batch_size * new_tokens
    width, kv_width = _widths(config)
    keys = sum(_kept(config, layer, cached_tokens, 1) + new_tokens for layer in range(num_layers))
    return {
        "attention_projections": 2 * tokens * num_layers * 2 * d_model * (width + kv_width),
        "attention_products": 2 * 2 * tokens * width * keys,
        "ffn": 2 * tokens * num_layers * max(config.top_k, 1) * _matrices(config) * d_model * config.d_ff,
        "router": 2 * tokens * num_layers * config.num_experts * d_model,
        "lm_head": 2 * tokens * d_model * config.vocab_size,
    }


def kv_cache_bytes(
    config: ArchitectureConfig, batch_size: int, tokens: int, bytes_per_number: int = BFLOAT16_BYTES
) -> int:
    """The bytes of the keys and values that are kept of `batch_size` sequences of `tokens` tokens.

    There are a key and a value for each token, layer, and head of keys and values. A layer with a window keeps those of
    the last `window` tokens.

    Problem: architecture_accounting
    """
    _, kv_width = _widths(config)
    kept = sum(_kept(config, layer, tokens) for layer in range(config.num_layers))
    return batch_size * kept * 2 * kv_width * bytes_per_number


def memory_traffic(
    config: ArchitectureConfig,
    batch_size: int,
    new_tokens: int,
    cached_tokens: int = 0,
    bytes_per_number: int = BFLOAT16_BYTES,
) -> int:
    """The bytes that a forward pass moves between memory and processor at the least: weights and cache, each once.

    Weights are all parameters but those of both embeddings, of which few rows are read; a tied head reads them all.
    Of its experts, a layer reads as many as its tokens can choose: no more than top_k for each. The cache is that of
    cached and new tokens together (`kv_cache_bytes`). Activations do not count.

    Problem: architecture_accounting
    """
    counts = component_parameters(config)
    unread = counts["position_embeddings"] + (0 if config.tie_embeddings else counts["token_embeddings"])
    idle = max(config.num_experts - batch_size * new_tokens * config.top_k, 0)
    weights = total_parameters(config) - unread - config.num_layers * idle * _ffn_parameters(config)
    cache = kv_cache_bytes(config, batch_size, cached_tokens + new_tokens, bytes_per_number)
    return weights * bytes_per_number + cache


def arithmetic_intensity(
    config: ArchitectureConfig,
    batch_size: int,
    new_tokens: int,
    cached_tokens: int = 0,
    bytes_per_number: int = BFLOAT16_BYTES,
) -> float:
    """FLOPs of a forward pass for each byte that it moves (Williams et al., 2009, *Roofline*).

    An H100 has 989 * 10^12 FLOPs a second in bfloat16 and 3.35 * 10^12 bytes a second: whoever does less than 295 FLOPs
    with a byte waits for the memory.

    Problem: architecture_accounting
    """
    flops = sum(component_flops(config, batch_size, new_tokens, cached_tokens).values())
    return flops / memory_traffic(config, batch_size, new_tokens, cached_tokens, bytes_per_number)


def _head_dim(config: ArchitectureConfig) -> int:
    return config.d_model // config.num_heads if config.head_dim is None else config.head_dim


def _widths(config: ArchitectureConfig) -> tuple[int, int]:
    """Features of all queries of a token, and of all its keys, which are as many as of its values."""
    kv_heads = config.num_heads if config.num_kv_heads is None else config.num_kv_heads
    return config.num_heads * _head_dim(config), kv_heads * _head_dim(config)


def _matrices(config: ArchitectureConfig) -> int:
    return 3 if config.ffn in GATED else 2


def _ffn_parameters(config: ArchitectureConfig) -> int:
    """Of one feed-forward network, or one expert."""
    biases = config.d_ff + config.d_model if config.ffn_bias else 0
    return _matrices(config) * config.d_model * config.d_ff + biases


def _kept(config: ArchitectureConfig, layer: int, tokens: int, others: int = 0) -> int:
    """How many of the last tokens a layer keeps, if its window has room for `others` beside them."""
    if config.window is None or not is_windowed(config, layer):
        return tokens
    return min(tokens, config.window - others)
