import torch
from torch import nn


def init_weight(shape, device, dtype):
    std = (2 / sum(shape)) ** 0.5
    return nn.Parameter(
        nn.init.trunc_normal_(torch.empty(shape, device=device, dtype=dtype), std=std, a=-3 * std, b=3 * std)
    )


class Embedding(nn.Module):
    def __init__(self, num_embeddings, embedding_dim, device=None, dtype=None):
        super().__init__()
        self.weight = init_weight((num_embeddings, embedding_dim), device, dtype)

    def forward(self, token_ids):
        return self.weight[token_ids]


def run_embedding(vocab_size, d_model, weights, token_ids):
    module = Embedding(vocab_size, d_model, weights.device, weights.dtype)
    module.load_state_dict({"weight": weights})
    return module(token_ids)


def get_embedding_module(num_embeddings, embedding_dim, device=None, dtype=None):
    return Embedding(num_embeddings, embedding_dim, device, dtype)
