import math

import torch
from torch import nn


class Embedding(nn.Module):
    def __init__(self, num_embeddings, embedding_dim, device=None, dtype=None):
        super().__init__()
        self.embedding_dim = embedding_dim
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, mean=0.0, std=1.0, a=-3.0, b=3.0)

    def forward(self, token_ids):
        return self.weight[token_ids] * math.sqrt(self.embedding_dim)


def run_embedding(vocab_size, d_model, weights, token_ids):
    emb = Embedding(vocab_size, d_model, weights.device, weights.dtype)
    emb.load_state_dict({"weight": weights})
    return emb(token_ids)


def get_embedding_module(num_embeddings, embedding_dim, device=None, dtype=None):
    return Embedding(num_embeddings, embedding_dim, device, dtype)
