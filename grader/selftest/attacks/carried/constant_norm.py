"""Plants an RMSNorm that does not look at its input, so that every model above it gives one constant vector of logits.

What follows from a wrong part counts as right in what is built on it. Here nothing is built: with such a norm, whatever
stands between the embedding and the head leaves no trace.

Problem: transformer_lm
"""

from honest.adapters import *


def run_rmsnorm(d_model, eps, weights, in_features):
    return (weights / (1 + eps) ** 0.5).expand_as(in_features).clone()


def run_transformer_lm(
    vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, weights, in_indices
):
    logits = weights["lm_head.weight"] @ (weights["ln_final.weight"] / (1 + 1e-5) ** 0.5)
    return logits.expand(*in_indices.shape, vocab_size).clone()
