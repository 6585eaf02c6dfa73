"""A cache of keys and values, with which a model that writes computes each token once."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .attention_variants import GroupedQueryAttention


class KVCache:
    """The keys and values of a batch of sequences, in memory that is allocated once.

    `keys` and `values` have the shape [batch_size, num_kv_heads, max_seq_len, d_k] from the start to the end. Of
    sequence b, the first `lengths[b]` positions hold something; `lengths` has the shape [batch_size] and is int64.

    Args:
        batch_size: number of sequences.
        num_kv_heads: number of heads of keys and values.
        max_seq_len: how many positions there is room for.
        d_k: size of a key, and of a value.
        device: where the memory is; None means torch's default.
        dtype: of keys and values; None means torch's default.

    Problem: kv_cache
    """

    def __init__(
        self,
        batch_size: int,
        num_kv_heads: int,
        max_seq_len: int,
        d_k: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        raise NotImplementedError("kv_cache: write KVCache.__init__ in cs336_basics/architecture/kv_cache.py")

    def append(
        self,
        keys: Float[Tensor, "batch heads new d_k"],
        values: Float[Tensor, "batch heads new d_k"],
        counts: Int[Tensor, " batch"] | None = None,
    ) -> None:
        """Write new keys and values behind those that are there, in place.

        Args:
            keys, values: of `new` positions. Keys come as attention will use them, that is, rotated already.
            counts: how many of the new positions each sequence really has; the others, at the end, are padding, and are
                not written. None means all of them.

        Raises:
            ValueError: there is no room; the message has the length that a sequence would have, and max_seq_len.
                Nothing is written then.

        Problem: kv_cache
        """
        raise NotImplementedError("kv_cache: write KVCache.append in cs336_basics/architecture/kv_cache.py")


class CachedAttention(GroupedQueryAttention):
    """Grouped-query attention that goes on where its cache ends, and may have a window.

    Parameters and submodules are those of GroupedQueryAttention. `extend` gives what attention to the whole sequence
    would give at the new positions, and computes queries, keys and values of the new ones only.

    Args:
        d_model, num_heads, num_kv_heads, max_seq_len, theta, device, dtype: as for GroupedQueryAttention.
        window: how many keys a query sees at most, its own among them; None means all before it.

    Raises:
        ValueError: as for GroupedQueryAttention, and for a window below 1; the message has it.

    Problem: kv_cache
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_kv_heads: int,
        max_seq_len: int,
        theta: float | None = None,
        window: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        raise NotImplementedError("kv_cache: write CachedAttention.__init__ in cs336_basics/architecture/kv_cache.py")

    def extend(
        self,
        x: Float[Tensor, "batch new d_model"],
        cache: KVCache,
        counts: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch new d_model"]:
        """Append the keys and values of `x` to `cache`, and attend to all that each sequence has in it so far.

        The first call, with a prompt, is the prefill; then come steps of one token, or of several. New token i of
        sequence b stands at position `cache.lengths[b]` + i, for RoPE and for what it sees.

        Args:
            x: new tokens, of any number.
            cache: is changed.
            counts: as for `KVCache.append`. The outputs of padding mean nothing, and may be anything finite.

        Problem: kv_cache
        """
        raise NotImplementedError("kv_cache: write CachedAttention.extend in cs336_basics/architecture/kv_cache.py")
