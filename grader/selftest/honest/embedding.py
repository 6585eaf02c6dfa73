"""Embedding, written in other ways."""

from __future__ import annotations

import torch
from torch import nn

from grader.misconceptions.catalogue import Variant
from grader.reference import layers


def _one_hot_product(self, token_ids):
    one_hot = token_ids.unsqueeze(-1) == torch.arange(self.weight.shape[0])
    return one_hot.to(self.weight.dtype) @ self.weight


def _index_select(self, token_ids):
    return self.weight.index_select(0, token_ids.reshape(-1)).reshape(*token_ids.shape, -1)


def _gather(self, token_ids):
    rows = token_ids.reshape(-1, 1).expand(-1, self.weight.shape[1])
    return self.weight.gather(0, rows).unflatten(0, token_ids.shape) if token_ids.ndim else self.weight[token_ids]


def _clamped_at_rejection(self, num_embeddings, embedding_dim, device=None, dtype=None):
    nn.Module.__init__(self)
    values = torch.randn(2 * num_embeddings * embedding_dim, device=device, dtype=dtype)
    kept = values[values.abs() <= 3][: num_embeddings * embedding_dim]
    self.weight = nn.Parameter(kept.reshape(num_embeddings, embedding_dim).clone())


def _in_default_type(vocab_size, d_model, weights, token_ids):
    embedding = layers.Embedding(vocab_size, d_model)
    embedding.load_state_dict({"weight": weights})
    with torch.inference_mode():
        return embedding(token_ids)


VARIANTS = (
    Variant("embedding-one-hot-product", "embedding", {"layers.Embedding.forward": _one_hot_product}),
    Variant("embedding-index-select", "embedding", {"layers.Embedding.forward": _index_select}),
    Variant("embedding-gather", "embedding", {"layers.Embedding.forward": _gather}),
    Variant("embedding-initialised-by-rejection", "embedding", {"layers.Embedding.__init__": _clamped_at_rejection}),
    Variant("embedding-adapter-in-default-type", "embedding", {"adapters.run_embedding": _in_default_type}),
)
