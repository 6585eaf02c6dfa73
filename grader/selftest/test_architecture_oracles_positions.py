"""The lab's positions, caches and chunks agree with implementations that are not ours.

As in `test_architecture_oracles.py`: `transformers` and `x_transformers` are optional, and nothing is downloaded.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from grader.cases.case import Draw
from grader.cases.weights import block_shapes, draw_weights
from grader.reference import adapters
from grader.selftest.oracles import module_of, same, split, wide

D_MODEL, HEADS, SEQ = 8, 2, 5
D_K = D_MODEL // HEADS


# ------------------------------------------------------------------------------------------------------------
# sinusoidal_embedding, learned_positions


def test_interleaved_sines_are_those_of_xlm():
    fill = module_of("transformers.models.xlm.modeling_xlm").create_sinusoidal_embeddings
    theirs = torch.empty(40, 10)
    fill(40, 10, theirs)
    torch.testing.assert_close(adapters.run_sinusoidal_table(40, 10, "interleaved", 10000.0), theirs.detach())


def test_sines_in_halves_are_those_of_marian():
    marian = module_of("transformers.models.marian.modeling_marian").MarianSinusoidalPositionalEmbedding(40, 10)
    table = marian.create_weight() if hasattr(marian, "create_weight") else marian.weight
    torch.testing.assert_close(adapters.run_sinusoidal_table(40, 10, "halves", 10000.0), table.detach())


def test_sines_number_by_number():
    table = adapters.run_sinusoidal_table(9, 6, "interleaved", 50.0)
    for i in range(9):
        for feature in range(6):
            angle = i / 50.0 ** (2 * (feature // 2) / 6)
            assert table[i, feature].item() == pytest.approx((math.sin, math.cos)[feature % 2](angle), abs=1e-7)


def test_learned_positions_are_those_of_gpt2(draw):
    models = module_of("transformers")
    config = models.GPT2Config(vocab_size=7, n_positions=6, n_embd=D_MODEL, n_layer=0, n_head=HEADS)
    theirs = models.GPT2Model(config).double().eval()
    theirs.ln_f = torch.nn.Identity()
    ids, weight = draw.integers(0, 7, 2, 4), wide(draw, 6, D_MODEL)
    theirs.wpe.load_state_dict({"weight": weight})
    x = theirs.wte(ids).detach()
    same(adapters.run_learned_positions(6, D_MODEL, weight, x), theirs(ids).last_hidden_state.detach())
    apart = torch.tensor([[5, 0, 1, 1], [2, 3, 4, 5]])
    ours = adapters.run_learned_positions(6, D_MODEL, weight, x, apart)
    same(ours, theirs(ids, position_ids=apart).last_hidden_state.detach())
    same(ours, x + F.embedding(apart, weight))


# ------------------------------------------------------------------------------------------------------------
# relative_positions


@pytest.mark.parametrize("m", [1, 6])
def test_vectors_for_keys_are_those_of_wav2vec2_bert(draw, m):
    models = module_of("transformers")
    config = models.Wav2Vec2BertConfig(
        hidden_size=D_MODEL, num_attention_heads=HEADS, position_embeddings_type="relative_key",
        left_max_position_embeddings=m, right_max_position_embeddings=m, attention_dropout=0.0,
    )  # fmt: skip
    attention = module_of("transformers.models.wav2vec2_bert.modeling_wav2vec2_bert").Wav2Vec2BertSelfAttention
    theirs = attention(config).double().eval()
    vectors = wide(draw, 2 * m + 1, D_K)
    theirs.distance_embedding.load_state_dict({"weight": vectors})
    weights = {name: wide(draw, D_MODEL, D_MODEL) for name in ("linear_q", "linear_k", "linear_v")}
    weights["linear_out"] = torch.eye(D_MODEL, dtype=torch.float64)
    for name, weight in weights.items():
        getattr(theirs, name).load_state_dict({"weight": weight, "bias": torch.zeros(D_MODEL, dtype=torch.float64)})
    x = wide(draw, 2, SEQ, D_MODEL)
    q, k, v = (split(x, weights[f"linear_{name}"], HEADS) for name in "qkv")
    ours = adapters.run_relative_attention(q, k, v, vectors)
    same(ours.transpose(1, 2).flatten(-2), theirs(x)[0].detach())


@pytest.mark.parametrize("causal", [False, True])
def test_vectors_for_keys_and_values_pair_by_pair(draw, causal):
    """Keys and values of each query on its own, through torch's attention."""
    m, q, k, v = 2, *(wide(draw, 2, HEADS, 6, D_K) for _ in range(3))
    a, b = wide(draw, 2 * m + 1, D_K), wide(draw, 2 * m + 1, D_K)
    rows = []
    for i in range(6):
        seen = range(i + 1 if causal else 6)
        of = [min(max(j - i, -m), m) + m for j in seen]
        own_k, own_v = (x[..., : len(seen), :] + table[of] for x, table in ((k, a), (v, b)))
        rows.append(F.scaled_dot_product_attention(q[..., i : i + 1, :], own_k, own_v))
    same(adapters.run_relative_attention(q, k, v, a, b, causal), torch.cat(rows, -2))


BUCKETS = [(32, 128, True), (32, 128, False), (8, 20, True), (8, 16, False), (7, 50, False), (12, 1000, True)]


@pytest.mark.parametrize(("num_buckets", "max_distance", "bidirectional"), BUCKETS)
def test_buckets_are_those_of_t5(num_buckets, max_distance, bidirectional):
    bucket = module_of("transformers.models.t5.modeling_t5").T5Attention._relative_position_bucket
    ahead = torch.arange(-300, 301)
    theirs = bucket(ahead, bidirectional, num_buckets, max_distance)
    assert torch.equal(adapters.run_t5_buckets(ahead, num_buckets, max_distance, bidirectional), theirs)


@pytest.mark.parametrize(("num_buckets", "max_distance", "bidirectional"), BUCKETS)
def test_buckets_are_those_of_x_transformers(num_buckets, max_distance, bidirectional):
    bias = module_of("x_transformers.x_transformers").RelativePositionBias
    ahead = torch.arange(-300, 301)
    theirs = bias._relative_position_bucket(
        ahead, causal=not bidirectional, num_buckets=num_buckets, max_distance=max_distance
    )
    assert torch.equal(adapters.run_t5_buckets(ahead, num_buckets, max_distance, bidirectional), theirs)


@pytest.mark.parametrize("is_decoder", [False, True])
def test_attention_with_a_bias_is_that_of_t5(draw, is_decoder):
    models = module_of("transformers")
    config = models.T5Config(
        d_model=D_MODEL, d_kv=D_K, num_heads=HEADS, relative_attention_num_buckets=8,
        relative_attention_max_distance=20, dropout_rate=0.0, is_decoder=is_decoder,
    )  # fmt: skip
    attention = module_of("transformers.models.t5.modeling_t5").T5Attention
    theirs = attention(config, has_relative_attention_bias=True, layer_idx=0).double().eval()
    w, table = {name: wide(draw, D_MODEL, D_MODEL) for name in "qkvo"}, wide(draw, 8, HEADS)
    theirs.load_state_dict({f"{k}.weight": v for k, v in (w | {"relative_attention_bias": table}).items()})
    x, i = 0.3 * wide(draw, 2, 7, D_MODEL), torch.arange(7)
    seen = torch.ones(7, 7).tril().bool() if is_decoder else torch.ones(7, 7).bool()
    added = torch.zeros(7, 7, dtype=torch.float64).masked_fill(~seen, -math.inf)[None, None]
    given = theirs(x, mask=added)[0].detach()
    bias = adapters.run_t5_bias(table, i, i, 20, not is_decoder)
    q, k, v = (split(x, w[name], HEADS) for name in "qkv")
    ours = adapters.run_t5_attention(q, k, v, bias, seen if is_decoder else None)
    ours = F.linear(ours.transpose(1, 2).flatten(-2), w["o"])
    torch.testing.assert_close(ours, given, rtol=1e-6, atol=1e-7)  # their softmax computes in float32


# ------------------------------------------------------------------------------------------------------------
# rope_scaling


SCALED = [
    ("linear", 16, 500.0, {"factor": 4.0}, "linear"),
    ("llama3", 16, 500.0, {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}, "llama3"),
    ("llama3", 12, 500.0, {"factor": 4.0, "low_freq_factor": 2.0, "high_freq_factor": 9.0}, "llama3"),
    ("yarn", 16, 500.0, {"factor": 4.0}, "yarn"),
    ("yarn", 16, 500.0, {"factor": 32.0, "beta_fast": 8.0, "beta_slow": 2.0}, "yarn"),
    ("yarn", 8, 100.0, {"factor": 4.0, "beta_fast": 2.2, "beta_slow": 2.0}, "yarn"),
]


def theirs_of(d_k: int, theta: float, settings: dict[str, float], kind: str, length: int) -> tuple[Tensor, float]:
    """Frequencies and attention factor of transformers, for a Llama of one head."""
    models = module_of("transformers")
    config = models.LlamaConfig(
        hidden_size=d_k, num_attention_heads=1, max_position_embeddings=length,
        rope_parameters={"rope_type": kind, "rope_theta": theta, **settings,
                         "original_max_position_embeddings": length},
    )  # fmt: skip
    return module_of("transformers.modeling_rope_utils").ROPE_INIT_FUNCTIONS[kind](config, "cpu")


@pytest.mark.parametrize(("kind", "d_k", "theta", "settings", "name"), SCALED)
def test_scaled_frequencies_are_those_of_transformers(kind, d_k, theta, settings, name):
    theirs, factor = theirs_of(d_k, theta, settings, name, 256)
    ours = adapters.run_scaled_frequencies(d_k, theta, kind, original_max_seq_len=256, **settings)
    torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=0)
    x = torch.tensor([[1.0] + [0.0] * (d_k - 1)])
    position = torch.tensor([0])
    turned = adapters.run_scaled_rope(d_k, theta, 8, kind, settings["factor"], 256, x, position)
    assert turned.norm().item() == pytest.approx(factor)


def test_the_ntk_aware_base_is_that_of_a_dynamic_one_at_its_length():
    """Of theirs, the base moves with the length: at 4 times the length, with a factor of 1, it is ours for 4."""
    module_of("transformers")
    utils = module_of("transformers.modeling_rope_utils")
    models = module_of("transformers")
    config = models.LlamaConfig(
        hidden_size=16, num_attention_heads=1, max_position_embeddings=256,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 500.0, "factor": 1.0},
    )  # fmt: skip
    theirs, _ = utils.ROPE_INIT_FUNCTIONS["dynamic"](config, "cpu", seq_len=1024)
    torch.testing.assert_close(adapters.run_scaled_frequencies(16, 500.0, "ntk", 4.0, 256), theirs, rtol=2e-6, atol=0)


def test_the_ntk_aware_base_slows_the_last_pair_by_the_factor():
    plain = 500.0 ** (-torch.arange(0, 16, 2).double() / 16)
    ours = adapters.run_scaled_frequencies(16, 500.0, "ntk", 4.0, 256).double()
    assert ours[0].item() == 1.0
    assert (plain[-1] / ours[-1]).item() == pytest.approx(4.0, rel=1e-6)


def test_scaled_rotation_is_that_of_llama_in_transformers(draw):
    """Rotations in halves by their table, of our features in their order."""
    theirs, factor = theirs_of(8, 500.0, {"factor": 4.0}, "yarn", 256)
    apply = module_of("transformers.models.llama.modeling_llama").apply_rotary_pos_emb
    x, positions = wide(draw, 1, 2, 4, 8), torch.tensor([3, 0, 60, 5])
    table = (positions[:, None] * theirs.double()).repeat(1, 2)[None]
    halves = x.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
    given, _ = apply(halves, halves, factor * table.cos(), factor * table.sin())
    given = given.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    ours = adapters.run_scaled_rope(8, 500.0, 64, "yarn", 4.0, 256, x, positions)
    torch.testing.assert_close(ours, given, rtol=1e-5, atol=1e-5)  # their frequencies are float32


# ------------------------------------------------------------------------------------------------------------
# online_attention, kv_cache


@pytest.mark.parametrize("chunk_size", [1, 3, 4, 20])
@pytest.mark.parametrize(("queries", "causal"), [(7, False), (10, True), (3, True)])
def test_attention_by_chunks_is_torchs(draw, chunk_size, queries, causal):
    q, k, v = 4 * wide(draw, 2, HEADS, queries, D_K), wide(draw, 2, HEADS, 10, D_K), wide(draw, 2, HEADS, 10, 3)
    mask = torch.ones(queries, 10).tril(10 - queries).bool() if causal else None
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    same(adapters.run_online_attention(q, k, v, chunk_size, causal), theirs)


def cached(draw: Draw, kv_heads: int, pieces: list[Tensor], **more: Any) -> tuple[dict[str, Any], list[Tensor]]:
    """Weights for 4 heads, and what attention with a cache gives for each piece."""
    d_kv = kv_heads * D_MODEL // 4
    shapes = {"q": D_MODEL, "k": d_kv, "v": d_kv, "o": D_MODEL}
    w: dict[str, Any] = {f"{name}_proj_weight": wide(draw, rows, D_MODEL) for name, rows in shapes.items()}
    settings = {"theta": 30.0, "window": None, **more}
    return w, adapters.run_cached_attention(D_MODEL, 4, kv_heads, 12, **settings, **w, pieces=pieces)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("window", [None, 1, 3])
def test_steps_with_a_cache_are_attention_without_one(draw, kv_heads, window):
    """Torch's attention to the whole sequence at once, for every way to cut it."""
    x = wide(draw, 2, 7, D_MODEL)
    for cuts in ([7], [3, 1, 1, 1, 1], [1] * 7, [2, 3, 2]):
        w, pieces = cached(draw, kv_heads, list(x.split(cuts, 1)), window=window)
        q, k, v = (split(x, w[f"{name}_proj_weight"], n) for name, n in (("q", 4), ("k", kv_heads), ("v", kv_heads)))
        q, k = (adapters.run_rope(2, 30.0, 12, y, torch.arange(7)) for y in (q, k))
        i = torch.arange(7)
        mask = (i[:, None] >= i) & (i[:, None] - i < (window or 7))
        theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        same(torch.cat(pieces, 1), F.linear(theirs.transpose(1, 2).flatten(-2), w["o_proj_weight"]))


@pytest.mark.parametrize("window", [None, 3])
def test_different_lengths_are_as_each_alone(draw, window):
    pieces = [wide(draw, 3, n, D_MODEL) for n in (4, 1, 3, 1)]
    counts = [torch.tensor(count) for count in ([4, 2, 1], [1, 1, 0], [0, 3, 2], [1, 1, 1])]
    w, together = cached(draw, 2, pieces, counts=counts, window=window)
    sizes: dict[str, Any] = {"d_model": D_MODEL, "num_heads": 4, "num_kv_heads": 2, "max_seq_len": 12}
    sizes |= {"theta": 30.0, "window": window}
    for b in range(3):
        alone = [piece[b : b + 1, : count[b]] for piece, count in zip(pieces, counts, strict=True)]
        whole = adapters.run_cached_attention(**sizes, **w, pieces=[torch.cat(alone, 1)])[0]
        real = [output[b : b + 1, : count[b]] for output, count in zip(together, counts, strict=True)]
        same(torch.cat(real, 1), whole)


def test_a_cache_holds_what_that_of_transformers_holds(draw):
    theirs = module_of("transformers").DynamicCache()
    ours = adapters.get_kv_cache(2, HEADS, 9, D_K, torch.float64)
    for new in (4, 1, 2):
        k, v = wide(draw, 2, HEADS, new, D_K), wide(draw, 2, HEADS, new, D_K)
        ours.append(k, v)
        all_k, all_v = theirs.update(k, v, 0)
    assert torch.equal(ours.keys[:, :, :7], all_k)
    assert torch.equal(ours.values[:, :, :7], all_v)
    assert ours.lengths.tolist() == [7, 7]


def test_a_window_with_a_cache_is_that_of_mistral(draw):
    """Theirs computes all at once, without a cache; its RoPE is in halves, so ours has permuted rows."""
    models = module_of("transformers")
    config = models.MistralConfig(
        hidden_size=D_MODEL, num_attention_heads=4, num_key_value_heads=2, sliding_window=3, num_hidden_layers=1,
        attn_implementation="eager", head_dim=2, rope_parameters={"rope_type": "default", "rope_theta": 30.0},
    )  # fmt: skip
    mistral = module_of("transformers.models.mistral.modeling_mistral")
    theirs = mistral.MistralAttention(config, 0).double().eval()
    x = wide(draw, 2, 7, D_MODEL)
    w, pieces = cached(draw, 2, list(x.split([3, 1, 2, 1], 1)), window=3)  # with heads of two features, layouts agree
    theirs.load_state_dict({name.replace("_weight", ".weight"): value for name, value in w.items()})
    i = torch.arange(7)
    seen = (i[:, None] >= i) & (i[:, None] - i < 3)
    mask = torch.zeros(7, 7, dtype=torch.float64).masked_fill(~seen, -math.inf)[None, None]
    angles = (i[:, None] / 30.0 ** torch.zeros(1)).double().repeat(1, 2)[None]
    given = theirs(x, (angles.cos(), angles.sin()), mask)[0]
    torch.testing.assert_close(torch.cat(pieces, 1), given, rtol=1e-5, atol=1e-6)  # their softmax is float32


# ------------------------------------------------------------------------------------------------------------
# interleaved_attention


def test_a_stack_of_two_kinds_is_that_of_smollm3(draw):
    """Theirs has windows and RoPE layer by layer; with heads of two features, both layouts of RoPE are the same."""
    models = module_of("transformers")
    kinds = adapters.run_layer_kinds(4, 3)
    assert kinds == ["window", "window", "full", "window"]
    config = models.SmolLM3Config(
        vocab_size=5, hidden_size=D_MODEL, intermediate_size=12, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, rms_norm_eps=1e-5, use_sliding_window=True, sliding_window=3, pad_token_id=0,
        layer_types=[{"window": "sliding_attention", "full": "full_attention"}[kind] for kind in kinds],
        no_rope_layers=[int(kind == "window") for kind in kinds], attn_implementation="eager",
        rope_parameters={"rope_type": "default", "rope_theta": 30.0},
    )  # fmt: skip
    theirs = models.SmolLM3Model(config).double().eval()
    theirs.norm = torch.nn.Identity()
    shapes = {f"layers.{i}.{name}": shape for i in range(4) for name, shape in block_shapes(D_MODEL, 12).items()}
    weights = {name: value.double() for name, value in draw_weights(draw, shapes).items()}
    names = {"attn": "self_attn", "output_proj": "o_proj", "ln1": "input_layernorm", "ln2": "post_attention_layernorm"}
    names |= {"ffn": "mlp", "w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
    state = {".".join(names.get(part, part) for part in name.split(".")): value for name, value in weights.items()}
    missing = theirs.load_state_dict(state, strict=False)
    assert missing.missing_keys == ["embed_tokens.weight"]
    assert not missing.unexpected_keys
    x = wide(draw, 2, 7, D_MODEL)
    ours = adapters.run_interleaved_stack(4, D_MODEL, 4, 12, 8, 30.0, 3, 3, weights, x)
    given = theirs(inputs_embeds=x).last_hidden_state.detach()
    torch.testing.assert_close(ours, given, rtol=1e-4, atol=1e-5)  # their norms and softmax are float32


@pytest.mark.parametrize("every", [2, 4])
def test_kinds_are_those_of_cohere2(every):
    """Theirs are full, and without RoPE, where `sliding_window_pattern` divides the number of the layer, from 1 on."""
    config = module_of("transformers").Cohere2Config(num_hidden_layers=9, sliding_window_pattern=every)
    names = {"sliding_attention": "window", "full_attention": "full"}
    assert adapters.run_layer_kinds(9, every) == [names[kind] for kind in config.layer_types]


@pytest.mark.parametrize("window", [1, 3, 9])
def test_windowed_attention_by_torch(draw, window):
    w = {f"{name}_proj_weight": wide(draw, D_MODEL, D_MODEL) for name in "qkvo"}
    x, i = wide(draw, 2, 6, D_MODEL), torch.arange(6)
    q, k, v = (split(x, w[f"{name}_proj_weight"], HEADS) for name in "qkv")
    q, k = (adapters.run_rope(D_K, 30.0, 8, y, i) for y in (q, k))
    seen = (i[:, None] >= i) & (i[:, None] - i < window)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(-2)
    ours = adapters.run_windowed_self_attention(D_MODEL, HEADS, 8, 30.0, window, **w, in_features=x)
    same(ours, F.linear(theirs, w["o_proj_weight"]))
