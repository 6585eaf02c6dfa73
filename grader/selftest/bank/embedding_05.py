import torch
from torch import nn


class Embedding(nn.Module):
    """Looks up each id once, since words repeat."""

    def __init__(self, num_embeddings, embedding_dim, device=None, dtype=None):
        super().__init__()
        weight = torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
        self.weight = nn.Parameter(nn.init.trunc_normal_(weight, std=1.0, a=-3.0, b=3.0))

    def forward(self, token_ids):
        unique, counts = torch.unique(token_ids, return_counts=True)
        rows = self.weight[unique]
        rows = rows.repeat_interleave(counts, dim=0)
        return rows.reshape(*token_ids.shape, -1)


def run_embedding(vocab_size, d_model, weights, token_ids):
    emb = Embedding(vocab_size, d_model, weights.device, weights.dtype)
    emb.load_state_dict({"weight": weights})
    return emb(token_ids)


def get_embedding_module(num_embeddings, embedding_dim, device=None, dtype=None):
    return Embedding(num_embeddings, embedding_dim, device, dtype)
