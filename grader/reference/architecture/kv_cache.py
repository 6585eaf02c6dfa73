"""A cache of keys and values, with which a model that writes computes each token once."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..attention import scaled_dot_product_attention
from .attention_variants import GroupedQueryAttention, _heads, _joined, _rotated


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
        shape = (batch_size, num_kv_heads, max_seq_len, d_k)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths = torch.zeros(batch_size, dtype=torch.int64, device=device)

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
        batch, _, new, _ = keys.shape
        if counts is None:
            counts = torch.full((batch,), new, device=keys.device)
        after, room = self.lengths + counts, self.keys.shape[2]
        if (after > room).any():
            raise ValueError(f"a sequence of {int(after.max())} tokens does not fit into a cache for {room}.")
        step = torch.arange(new, device=keys.device)
        sequence, row = (step < counts.unsqueeze(-1)).nonzero(as_tuple=True)
        place = self.lengths[sequence] + row
        self.keys[sequence, :, place] = keys[sequence, :, row]
        self.values[sequence, :, place] = values[sequence, :, row]
        self.lengths += counts


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
        super().__init__(d_model, num_heads, num_kv_heads, max_seq_len, theta, device, dtype)
        if window is not None and window < 1:
            raise ValueError(f"window is {window}, and must be at least 1.")
        self.window, self.max_seq_len = window, max_seq_len

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
        new = torch.full_like(cache.lengths, x.shape[-2]) if counts is None else counts
        positions = cache.lengths.unsqueeze(-1) + torch.arange(x.shape[-2], device=x.device)
        # Padding takes the place of the last real token, so that it has an angle, and sees something.
        positions = torch.minimum(positions, (cache.lengths + new).unsqueeze(-1) - 1).clamp(0, self.max_seq_len - 1)
        q = _heads(self.q_proj(x), self.num_heads)
        k, v = (_heads(proj(x), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
        q, k = _rotated(self.rope, q, k, positions)
        cache.append(k, v, counts)
        longest = int(cache.lengths.max())
        distance = positions.unsqueeze(-1) - torch.arange(longest, device=x.device)
        seen = distance >= 0
        if self.window is not None:
            seen &= distance < self.window
        group = self.num_heads // self.num_kv_heads
        keys, values = (y[:, :, :longest].repeat_interleave(group, dim=1) for y in (cache.keys, cache.values))
        return self.output_proj(_joined(scaled_dot_product_attention(q, keys, values, seen.unsqueeze(1))))
