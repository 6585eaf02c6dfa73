"""How a cache of keys and values goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from grader.reference.architecture import attention_variants, kv_cache
from grader.reference.architecture.attention_variants import GroupedQueryAttention
from grader.reference.attention import scaled_dot_product_attention

from .catalogue import Misconception, replacing
from .together import assembled

_heads, _joined, _rotated = attention_variants._heads, attention_variants._joined, attention_variants._rotated
_right_append = kv_cache.KVCache.append


def _counted(keys: Tensor, counts: Tensor | None) -> Tensor:
    return torch.full((keys.shape[0],), keys.shape[2]) if counts is None else counts


def _behind(lengths: Tensor) -> Tensor:
    return lengths


@assembled
def _appending(
    counted: Callable[[Tensor, Tensor | None], Tensor] = _counted,
    start: Callable[[Tensor], Tensor] = _behind,
    grown: Callable[[Tensor, Tensor], Tensor] = torch.add,
    place: Callable[[Tensor, int], Tensor] = lambda place, room: place,
    checked: bool = True,
    moves: bool = False,
    held: Callable[[Tensor, Tensor], Tensor] = lambda keys, values: values,
):
    """`KVCache.append` with another place, another count, or other memory."""

    def append(self, keys, values, counts=None):
        counts, room = counted(keys, counts), self.keys.shape[2]
        after = grown(self.lengths, counts)
        if checked and (after > room).any():
            raise ValueError(f"{int(after.max())} tokens, room for {room}.")
        if moves:
            self.keys, self.values = self.keys.clone(), self.values.clone()
        sequence, row = (torch.arange(keys.shape[2]) < counts.unsqueeze(-1)).nonzero(as_tuple=True)
        where = place(start(self.lengths)[sequence] + row, room)
        fits = where < room
        sequence, row, where = sequence[fits], row[fits], where[fits]
        self.keys[sequence, :, where] = keys[sequence, :, row]
        self.values[sequence, :, where] = held(keys, values)[sequence, :, row]
        self.lengths = after

    return append


def _all_of_them(keys, counts):
    return _counted(keys, None)


def _of_the_first(keys, counts):
    return _counted(keys, counts)[:1].expand(keys.shape[0])


def _from_zero(lengths):
    return torch.zeros_like(lengths)


def _behind_the_longest(lengths):
    return lengths.max().expand_as(lengths)


def _by_one(lengths, counts):
    return lengths + counts.clamp(max=1)


def _all_as_long(lengths, counts):
    return (lengths + counts).max().expand_as(lengths).clone()


def _round_about(place, room):
    return place % room


def _grows(self, keys, values, counts=None):
    """Memory that grows with every call."""
    if counts is not None and (counts != keys.shape[2]).any():
        return _right_append(self, keys, values, counts)
    after = self.lengths + keys.shape[2]
    if (after > self.keys.shape[2]).any() and not hasattr(self, "room"):
        raise ValueError(f"{int(after.max())} tokens, room for {self.keys.shape[2]}.")
    length = int(self.lengths.max())
    if (self.lengths != length).any():
        return _right_append(self, keys, values, counts)
    rest = slice(length + keys.shape[2], None)
    for name, new in (("keys", keys), ("values", values)):
        old = getattr(self, name)
        setattr(self, name, torch.cat([old[:, :, :length], new.to(old.dtype), old[:, :, rest]], 2))
    self.lengths = after
    return None


def _as_long_as_it_has_to_be(self, keys, values, counts=None):
    """As above, and nothing is allocated ahead."""
    length = int(self.lengths.max())
    room = getattr(self, "room", self.keys.shape[2])
    after = self.lengths + _counted(keys, counts)
    if (after > room).any():
        raise ValueError(f"{int(after.max())} tokens, room for {room}.")
    self.room = room
    longest = int(after.max())
    for name, new in (("keys", keys), ("values", values)):
        old = getattr(self, name)[:, :, :length]
        wider = old.new_zeros(*old.shape[:2], longest, old.shape[-1])
        wider[:, :, :length] = old
        for b, count in enumerate(_counted(keys, counts).tolist()):
            wider[b, :, self.lengths[b] : self.lengths[b] + count] = new[b, :, :count].to(old.dtype)
        setattr(self, name, wider)
    self.lengths = after


# ------------------------------------------------------------------------------------------------------------


def _places(lengths: Tensor, new: int) -> Tensor:
    return lengths.unsqueeze(-1) + torch.arange(new)


def _not_later(query: Tensor, key: Tensor) -> Tensor:
    return query >= key


def _within(query: Tensor, key: Tensor, window: int) -> Tensor:
    return query - key < window


def _interleaved(y: Tensor, group: int) -> Tensor:
    return y.repeat_interleave(group, dim=1)


def _unchanged(self: Any, keys: Tensor) -> Tensor:
    return keys


@assembled
def _extending(
    angles: Callable[[Tensor, int], Tensor] = _places,
    stands: Callable[[Tensor, int], Tensor] = _places,
    seen: Callable[[Tensor, Tensor], Tensor] = _not_later,
    within: Callable[[Tensor, Tensor, int], Tensor] = _within,
    keys_of: Callable[[Tensor, int], Tensor] = _interleaved,
    values_of: Callable[[Tensor, int], Tensor] = _interleaved,
    stored: Callable[[Any, Tensor], Tensor] = _unchanged,
    rotates_keys: bool = True,
    attend: Callable[..., Tensor] = scaled_dot_product_attention,
):
    """`CachedAttention.extend` with other positions, another mask, or another use of what is in the cache."""

    def extend(self, x, cache, counts=None):
        before, new = cache.lengths.clone(), x.shape[1]
        last = (before + _counted(x.unsqueeze(1), counts)).unsqueeze(-1) - 1
        top = self.max_seq_len - 1
        q = _heads(self.q_proj(x), self.num_heads)
        k, v = (_heads(proj(x), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
        places = torch.minimum(angles(before, new).expand(len(x), -1), last).clamp(0, top)
        plain = k
        q, k = _rotated(self.rope, q, k, places)
        cache.append(k if rotates_keys else plain, v, counts)
        query = torch.minimum(stands(before, new).expand(len(x), -1), last).clamp(0, top).unsqueeze(-1)
        key = torch.arange(int(cache.lengths.max()))
        visible = seen(query, key)
        if self.window is not None:
            visible = visible & within(query, key, self.window)
        group = self.num_heads // self.num_kv_heads
        keys, values = (y[:, :, : len(key)] for y in (stored(self, cache.keys), cache.values))
        attended = attend(q, keys_of(keys, group), values_of(values, group), visible.unsqueeze(1))
        return self.output_proj(_joined(attended))

    return extend


def _each_from_zero(lengths, new):
    return torch.arange(new).unsqueeze(0)


def _one_later(lengths, new):
    return lengths.unsqueeze(-1) + torch.arange(new) + (lengths.unsqueeze(-1) > 0)


def _of_the_longest(lengths, new):
    return lengths.max() + torch.arange(new).unsqueeze(0)


def _of_the_first_sequence(lengths, new):
    return lengths[:1].unsqueeze(-1) + torch.arange(new)


def _everything(query, key):
    return (key >= 0).expand(*query.shape[:-1], len(key))


def _what_was_there(query, key):
    """Everything before this piece, and nothing of it but the first token."""
    return query.amin(-2, keepdim=True).expand_as(query) >= key


def _one_more(query, key, window):
    return query - key <= window


def _one_less(query, key, window):
    return (query - key < window - 1) | (query == key)


def _no_window(query, key, window):
    return query - key < 10**6


def _only_steps(query, key, window):
    """A window in the prefill, and none in steps."""
    return (query - key < window) | torch.tensor(query.shape[-2] == 1)


def _tiled(y, group):
    return y.repeat(1, group, 1, 1)


def _first_head(y, group):
    return y[:, :1].expand(-1, y.shape[1] * group, -1, -1)


def _again(self, keys):
    """What is in the cache is rotated whenever it is used."""
    if self.rope is None:
        return keys
    return self.rope(keys, torch.arange(keys.shape[2]))


def _as_if_at_zero(self, keys):
    """Keys are kept as they come, and rotated where they stand in the piece."""
    return keys


def _unscaled(q, k, v, mask):
    return scaled_dot_product_attention(q * math.sqrt(q.shape[-1]), k, v, mask)


def _whole_sequence(keep: Callable[[Any, Tensor, Tensor], Tensor]):
    """Keeps the inputs, computes anew from all of them, and gives the last outputs."""

    def extend(self, x, cache, counts=None):
        if counts is not None and ((counts != x.shape[1]).any() or (cache.lengths != cache.lengths[0]).any()):
            return _extending()(self, x, cache, counts)
        cache.inputs = torch.cat([cache.inputs, x], 1) if hasattr(cache, "inputs") else x
        return keep(self, x, cache)

    return extend


def _everything_anew(self, x, cache):
    seq = cache.inputs.shape[1]
    blank = torch.zeros(len(x), self.num_kv_heads, x.shape[1], x.shape[2] // self.num_heads, dtype=x.dtype)
    cache.append(blank, blank)
    query, key = torch.arange(seq).unsqueeze(-1), torch.arange(seq)
    seen = (query >= key) & (query - key < (self.window or seq))
    q = _heads(self.q_proj(cache.inputs), self.num_heads)
    k, v = (_heads(proj(cache.inputs), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
    q, k = _rotated(self.rope, q, k, None)
    k, v = (_interleaved(y, self.num_heads // self.num_kv_heads) for y in (k, v))
    return self.output_proj(_joined(scaled_dot_product_attention(q, k, v, seen)))[:, -x.shape[1] :]


def _keys_anew(self, x, cache):
    seq, new = cache.inputs.shape[1], x.shape[1]
    q = _heads(self.q_proj(x), self.num_heads)
    k, v = (_heads(proj(cache.inputs), self.num_kv_heads) for proj in (self.k_proj, self.v_proj))
    places = torch.arange(seq)
    if self.rope is not None:
        q, k = self.rope(q, places[-new:]), self.rope(k, places)
    cache.append(k[:, :, -new:], v[:, :, -new:])
    query = places[-new:].unsqueeze(-1)
    seen = (query >= places) & (query - places < (self.window or seq))
    k, v = (_interleaved(y, self.num_heads // self.num_kv_heads) for y in (k, v))
    return self.output_proj(_joined(scaled_dot_product_attention(q, k, v, seen)))


def _takes_any_window(
    self, d_model, num_heads, num_kv_heads, max_seq_len, theta=None, window=None, device=None, dtype=None
):
    GroupedQueryAttention.__init__(self, d_model, num_heads, num_kv_heads, max_seq_len, theta, device, dtype)
    self.window, self.max_seq_len = window or None, max_seq_len


def _in_float32(self, batch_size, num_kv_heads, max_seq_len, d_k, device=None, dtype=None):
    self.keys = torch.zeros(batch_size, num_kv_heads, max_seq_len, d_k, dtype=torch.float32)
    self.values = torch.zeros_like(self.keys)
    self.lengths = torch.zeros(batch_size, dtype=torch.int64)


def _same_dtype(q, k, v, mask):
    return scaled_dot_product_attention(q.float(), k.float(), v.float(), mask)


def _adds_to_counts(self, x, cache, counts=None):
    result = _extending()(self, x, cache, counts)
    if counts is not None:
        counts.add_(cache.lengths)
    return result


def _bug(name: str, begins: str) -> Callable[..., Misconception]:
    def bug(id: str, function: Any, diagnosis: str, hint: str, **options: Any) -> Misconception:
        return replacing("kv_cache", f"architecture.kv_cache.{name}", begins, id, function, diagnosis, hint, **options)

    return bug


_append = _bug("KVCache.append", "Your cache ")
_memory = _bug("KVCache.__init__", "Your cache ")
_extend = _bug("CachedAttention.extend", "Your attention with a cache ")
_build = _bug("CachedAttention.__init__", "Your attention with a cache ")

MISCONCEPTIONS = (
    _append(
        "grows",
        _as_long_as_it_has_to_be,
        "takes new memory for each call of append, and copies what it holds.",
        "How many numbers are copied for a thousand tokens, one by one?",
        frequency="common",
        forms=[_grows, _appending(moves=True)],
    ),
    _append(
        "overwrites-the-start",
        _appending(start=_from_zero),
        "writes at position 0 each time.",
        "What is at position 0 after the second call of append?",
        frequency="rare",
    ),
    _append(
        "length-of-one-step",
        _appending(grown=_by_one),
        "grows by 1 for each call of append, however many tokens come.",
        "What are the lengths after a prompt of three tokens?",
    ),
    _append(
        "keeps-padding",
        _appending(counted=_all_of_them),
        "keeps padding as if it were tokens.",
        "What are the lengths after a prompt of 4, 2 and 1 tokens?",
        frequency="common",
    ),
    _append(
        "one-length-for-all",
        _appending(start=_behind_the_longest, grown=_all_as_long),
        "has one length for all sequences, that of the longest, so that the shorter ones have holes.",
        "Where does the next token of the shortest sequence go?",
        frequency="common",
    ),
    _append(
        "counts-of-the-first",
        _appending(counted=_of_the_first),
        "takes the count of the first sequence for all.",
        "What are the lengths after a prompt of 4, 2 and 1 tokens?",
    ),
    _append(
        "keys-for-values",
        _appending(held=lambda keys, values: keys),
        "writes its keys also where values belong.",
        "Compare what is in `values` with what was appended.",
        frequency="rare",
        throughout=True,
    ),
    _append(
        "full-without-a-word",
        _appending(checked=False),
        "takes more than it has room for, without a word: what does not fit is lost, or goes to the start.",
        "What does it say to the seventh token, with room for six?",
        frequency="common",
        forms=[_appending(place=_round_about, checked=False)],
    ),
    _memory(
        "always-float32",
        _in_float32,
        "is float32 whatever the dtype of the model.",
        "How large is it for a model in bfloat16, and how large could it be?",
    ),
    _extend(
        "rotates-each-piece-from-zero",
        _extending(angles=_each_from_zero),
        "rotates every piece as if it began at position 0.",
        "Which position has the first token after a prompt of three?",
        frequency="common",
    ),
    _extend(
        "rotates-one-too-far",
        _extending(angles=_one_later),
        "puts steps one position too far.",
        "Which position has the first token after a prompt of three?",
    ),
    _extend(
        "rotates-by-the-longest",
        _extending(angles=_of_the_longest),
        "rotates new tokens of all sequences by the length of the longest.",
        "Which position has the next token of the shortest sequence?",
        frequency="common",
    ),
    _extend(
        "rotates-the-cache-again",
        _extending(stored=_again),
        "rotates keys that are in the cache, where they are rotated already.",
        "How often is the first key rotated until the fifth token?",
        frequency="common",
    ),
    _extend(
        "caches-plain-keys",
        _extending(rotates_keys=False),
        "keeps keys that are never rotated, while queries are.",
        "Which vectors does RoPE rotate?",
    ),
    _extend(
        "pieces-see-themselves-whole",
        _extending(seen=_everything),
        "has no causal mask: in a piece of several tokens, all of them see all.",
        "Which keys does the first of three new tokens see?",
        frequency="common",
    ),
    _extend(
        "pieces-see-only-the-cache",
        _extending(seen=_what_was_there),
        "shows the tokens of a piece what was there before, and of the piece only its first token.",
        "Does a token of a prompt see its own key?",
    ),
    _extend(
        "mask-from-position-zero",
        _extending(stands=_each_from_zero),
        "counts the queries of every piece from position 0, so that steps see only the first key.",
        "How many keys does the first token after a prompt of three see?",
        frequency="common",
    ),
    _extend(
        "mask-of-the-longest",
        _extending(stands=_of_the_first_sequence),
        "takes the length of the first sequence for what new tokens of all sequences see.",
        "Which keys does the next token of the shortest sequence see?",
    ),
    _extend(
        "window-one-wider",
        _extending(within=_one_more),
        "has one key too many in its window.",
        "How many keys does a query see, for a window of 1?",
        frequency="common",
    ),
    _extend(
        "window-one-narrower",
        _extending(within=_one_less),
        "has one key too few in its window.",
        "How many keys does a query see, for a window of 2?",
    ),
    _extend(
        "forgets-window",
        _extending(within=_no_window),
        "ignores its window.",
        "How many keys does a query see, for a window of 1?",
    ),
    _extend(
        "window-in-prompts-only",
        _extending(within=_only_steps),
        "has a window in prompts, and none in steps of one token.",
        "How many keys does the tenth token see, one by one, for a window of 3?",
        frequency="common",
    ),
    _extend(
        "tiles-heads",
        _extending(keys_of=_tiled, values_of=_tiled),
        "repeats the heads of its cache one after the other (0 1 0 1), where neighbours should share (0 0 1 1).",
        "Which head of the cache do the query heads 0 and 1 of four use, if there are two?",
        frequency="common",
    ),
    _extend(
        "first-head-for-all",
        _extending(keys_of=_first_head, values_of=_first_head),
        "uses the first head of its cache for all query heads.",
        "Does the second head of the cache matter to any output?",
        frequency="rare",
    ),
    _extend(
        "without-scale",
        _extending(attend=_unscaled),
        "does not divide its scores by sqrt(d_k).",
        "What does scaled dot-product attention divide by?",
    ),
    _extend(
        "computes-everything-anew",
        _whole_sequence(_everything_anew),
        "keeps all inputs, and computes everything from them at each step.",
        "How many tokens go through q_proj at the hundredth step?",
        frequency="common",
    ),
    _extend(
        "computes-keys-anew",
        _whole_sequence(_keys_anew),
        "keeps all inputs, and computes keys and values from them at each step.",
        "How many tokens go through k_proj at the hundredth step?",
    ),
    _extend(
        "changes-counts",
        _adds_to_counts,
        "changes the counts that it is given.",
        "Print counts before and after a call.",
        frequency="rare",
    ),
    _build(
        "takes-impossible-windows",
        _takes_any_window,
        "takes a window of 0.",
        "What does attention give for a query that sees no key?",
    ),
)
