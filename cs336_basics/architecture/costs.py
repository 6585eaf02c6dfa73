"""The cost of a language model of any configuration: parameters, FLOPs, memory, and which of them is the bottleneck.

Everything here is arithmetic on whole numbers: no model is built. The product of an m x n and an n x p matrix takes
2 m n p FLOPs, and nothing but products counts. All scores are computed before the mask is applied: neither the causal
mask nor a window saves FLOPs among tokens that are new.
"""

from .language_model import ArchitectureConfig

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
    raise NotImplementedError(
        "architecture_accounting: write component_parameters in cs336_basics/architecture/costs.py"
    )


def total_parameters(config: ArchitectureConfig) -> int:
    """The number of all parameters, each tensor once.

    Problem: architecture_accounting
    """
    raise NotImplementedError("architecture_accounting: write total_parameters in cs336_basics/architecture/costs.py")


def active_parameters(config: ArchitectureConfig) -> int:
    """The number of parameters that one token meets: all but those of the experts that are not chosen for it.

    The whole embedding table counts, as is usual: Mixtral 8x7B has 46.7 billion parameters, of which 12.9 are active.

    Problem: architecture_accounting
    """
    raise NotImplementedError("architecture_accounting: write active_parameters in cs336_basics/architecture/costs.py")


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
    raise NotImplementedError("architecture_accounting: write component_flops in cs336_basics/architecture/costs.py")


def kv_cache_bytes(
    config: ArchitectureConfig, batch_size: int, tokens: int, bytes_per_number: int = BFLOAT16_BYTES
) -> int:
    """The bytes of the keys and values that are kept of `batch_size` sequences of `tokens` tokens.

    There are a key and a value for each token, layer, and head of keys and values. A layer with a window keeps those of
    the last `window` tokens.

    Problem: architecture_accounting
    """
    raise NotImplementedError("architecture_accounting: write kv_cache_bytes in cs336_basics/architecture/costs.py")


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
    raise NotImplementedError("architecture_accounting: write memory_traffic in cs336_basics/architecture/costs.py")


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
    raise NotImplementedError(
        "architecture_accounting: write arithmetic_intensity in cs336_basics/architecture/costs.py"
    )
