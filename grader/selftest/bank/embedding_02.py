import torch
from torch import nn


class Embedding(nn.Module):
    def __init__(self, num_embeddings, embedding_dim, device=None, dtype=None):
        super().__init__()
        table = torch.empty((num_embeddings, embedding_dim), device=device, dtype=dtype)
        self.weight = nn.Parameter(nn.init.trunc_normal_(table, 0.0, 1.0, -3.0, 3.0))

    def forward(self, token_ids):
        flat = token_ids.flatten()
        rows = torch.index_select(self.weight.data, 0, flat)
        return rows.reshape(*token_ids.shape, -1)


def run_embedding(vocab_size, d_model, weights, token_ids):
    emb = Embedding(vocab_size, d_model, weights.device, weights.dtype)
    emb.load_state_dict({"weight": weights})
    return emb(token_ids)


def get_embedding_module(num_embeddings, embedding_dim, device=None, dtype=None):
    return Embedding(num_embeddings, embedding_dim, device, dtype)
