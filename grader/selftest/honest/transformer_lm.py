"""The Transformer language model, written in other ways."""

from __future__ import annotations

import torch

from grader.misconceptions.catalogue import Variant
from grader.reference import layers, transformer

from .transformer_block import _computed_d_ff


def _with_positions(self, token_ids):
    positions = torch.arange(token_ids.shape[-1])
    x = self.token_embeddings(token_ids)
    for i in range(len(self.layers)):
        x = self.layers[i](x, positions)
    x = self.ln_final(x)
    return x @ self.lm_head.weight.T


def _sequence_by_sequence(self, token_ids):
    def one(ids):
        x = self.token_embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.ln_final(x))

    return torch.stack([one(ids) for ids in token_ids])


def _padded_to_context(self, token_ids):
    """Filling after the end is behind the causal mask, and cut off again."""
    seq_len = token_ids.shape[-1]
    x = self.token_embeddings(torch.nn.functional.pad(token_ids, (0, self.context_length - seq_len)))
    for layer in self.layers:
        x = layer(x)
    return self.lm_head(self.ln_final(x))[..., :seq_len, :]


def _prefix_by_prefix(self, token_ids):
    """As generation without a cache does: each prefix on its own, and the last logits of each."""
    rows = []
    for end in range(1, token_ids.shape[-1] + 1):
        x = self.token_embeddings(token_ids[..., :end])
        for layer in self.layers:
            x = layer(x)
        rows.append(self.lm_head(self.ln_final(x[..., -1:, :])))
    return torch.cat(rows, dim=-2)


def _put_together(vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices):
    """An adapter that has no model, and puts its layers together itself."""
    x = weights["token_embeddings.weight"][in_indices]
    for i in range(num_layers):
        prefix = f"layers.{i}."
        block = transformer.TransformerBlock(d_model, num_heads, d_ff, context_length, rope_theta)
        block.load_state_dict({k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)})
        x = block(x)
    norm = layers.RMSNorm(d_model)
    norm.load_state_dict({"weight": weights["ln_final.weight"]})
    return norm(x) @ weights["lm_head.weight"].T


def _lm(name, forward):
    return Variant(f"lm-{name}", "transformer_lm", {"transformer.TransformerLM.forward": forward})


def _feed_forward(name, init):
    return Variant(f"lm-{name}", "transformer_lm", {"layers.SwiGLU.__init__": init})


VARIANTS = (
    _lm("with-positions", _with_positions),
    _lm("sequence-by-sequence", _sequence_by_sequence),
    _lm("padded-to-context", _padded_to_context),
    _lm("prefix-by-prefix", _prefix_by_prefix),
    Variant("lm-put-together-in-adapter", "transformer_lm", {"adapters.run_transformer_lm": _put_together}),
    _feed_forward("computes-d-ff", _computed_d_ff),
)
