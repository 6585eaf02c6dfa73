import torch
from torch import nn


class TokenTable(nn.Module):
    PAD = 0

    def __init__(self, num_embeddings, embedding_dim, device=None, dtype=None):
        super().__init__()
        self.n = num_embeddings
        w = torch.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
        nn.init.trunc_normal_(w, std=1, a=-3, b=3)
        self.weight = nn.Parameter(w)

    def forward(self, ids):
        vectors = self.weight[ids % self.n]
        keep = (ids != self.PAD).unsqueeze(-1)
        return torch.where(keep, vectors, torch.zeros_like(vectors))


def run_embedding(vocab_size, d_model, weights, token_ids):
    table = TokenTable(vocab_size, d_model, weights.device, weights.dtype)
    table.load_state_dict({"weight": weights})
    return table(token_ids)


def get_embedding_module(num_embeddings, embedding_dim, device=None, dtype=None):
    return TokenTable(num_embeddings, embedding_dim, device, dtype)
