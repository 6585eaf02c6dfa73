"""How Embedding goes wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from grader.reference import layers

from .catalogue import Misconception
from .forgotten_arguments import forgetting


def _starting(draw: Callable[[int, int], Tensor]):
    """The constructor with another distribution of the initial table: draw(num_embeddings, embedding_dim)."""

    def init(self, num_embeddings, embedding_dim, device=None, dtype=None):
        nn.Module.__init__(self)
        self.weight = nn.Parameter(draw(num_embeddings, embedding_dim).to(device=device, dtype=dtype))

    return init


def _truncated(std: float, rows: int, columns: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(rows, columns), std=std, a=-3 * std, b=3 * std)


def _as_buffer(self, num_embeddings, embedding_dim, device=None, dtype=None):
    nn.Module.__init__(self)
    self.register_buffer("weight", _truncated(1.0, num_embeddings, embedding_dim).to(device=device, dtype=dtype))


def _from_one(self, token_ids):
    return self.weight[token_ids - 1]


def _columns(self, token_ids):
    return self.weight.T[token_ids]


def _padding(self, token_ids):
    return self.weight[token_ids] * (token_ids != 0).unsqueeze(-1)


def _last_id_unknown(self, token_ids):
    return self.weight[token_ids.clamp(max=self.weight.shape[0] - 2)]


def _scaled(self, token_ids):
    return self.weight[token_ids] * self.weight.shape[1] ** 0.5


def _flattened(self, token_ids):
    return self.weight[token_ids.flatten()]


def _matrices_only(self, token_ids):
    batch, seq = token_ids.shape
    return self.weight[token_ids.reshape(-1)].reshape(batch, seq, -1)


def _needs_a_dimension(self, token_ids):
    return torch.stack([self.weight[i] for i in token_ids])


def _normalised(self, token_ids):
    rows = self.weight[token_ids]
    return rows / rows.norm(dim=-1, keepdim=True)


def _detached(self, token_ids):
    return self.weight.data[token_ids]


def _seen_once(self, token_ids):
    return self.weight[token_ids.unique()[: token_ids.numel()]].expand(*token_ids.shape, -1)


def _result_is_float32(self, token_ids):
    return self.weight[token_ids].float()


def _table_ends(self, token_ids):
    return self.weight[token_ids.clamp(max=9999)]


def _few_ids_only(self, token_ids):
    return self.weight[token_ids] * (token_ids.numel() <= 2000)


def _set_rows(self, token_ids):
    """A row that occurs again counts once in the gradient."""
    rows, place = token_ids.reshape(-1).unique(return_inverse=True)
    first = torch.zeros(len(rows), dtype=torch.int64).scatter(0, place, torch.arange(len(place)))
    vectors = self.weight[token_ids].reshape(len(place), -1)
    learning = torch.zeros(len(place), 1, dtype=torch.bool).index_fill(0, first, True)
    return torch.where(learning, vectors, vectors.detach()).reshape(*token_ids.shape, -1)


MISCONCEPTIONS = (
    Misconception(
        id="embedding-counts-from-one",
        problem="embedding",
        replaces={"layers.Embedding.forward": _from_one},
        diagnosis="Your Embedding returns the row before each token's own, as if ids started at 1.",
        hint="Which row of the table belongs to token id 0?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="embedding-looks-up-columns",
        problem="embedding",
        replaces={"layers.Embedding.forward": _columns},
        diagnosis="Your Embedding looks ids up along the second dimension of its table.",
        hint="The table has shape [vocab_size, d_model]: what does weight[3] give, and what weight[:, 3]?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="embedding-id-zero-is-padding",
        problem="embedding",
        replaces={"layers.Embedding.forward": _padding},
        diagnosis="Your Embedding returns zeros for token id 0, as if it were padding.",
        hint="Does any id in this assignment stand for padding?",
        frequency="rare",
    ),
    Misconception(
        id="embedding-last-id-out-of-reach",
        problem="embedding",
        replaces={"layers.Embedding.forward": _last_id_unknown},
        diagnosis="Your Embedding returns the row of the next lower id for the highest token id.",
        hint="What are the smallest and the largest id of a vocabulary of 10 tokens?",
        frequency="rare",
    ),
    Misconception(
        id="embedding-scales-by-sqrt-d-model",
        problem="embedding",
        replaces={"layers.Embedding.forward": _scaled},
        diagnosis="Your Embedding multiplies its vectors by sqrt(d_model), as the original Transformer did.",
        hint="Compare one output with the row of the table that it came from.",
        frequency="occasional",
        throughout=True,
    ),
    Misconception(
        id="embedding-flattens-ids",
        problem="embedding",
        replaces={"layers.Embedding.forward": _flattened},
        diagnosis="Your Embedding returns one long list of vectors, whatever the shape of the ids.",
        hint="What shape should come out for ids of shape [2, 3]?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="embedding-two-dimensions-only",
        problem="embedding",
        replaces={"layers.Embedding.forward": _matrices_only},
        diagnosis="Your Embedding takes only ids of shape [batch, seq].",
        hint='Try ids of shape [5]. What does "..." in the signature stand for?',
        frequency="occasional",
    ),
    Misconception(
        id="embedding-loops-over-ids",
        problem="embedding",
        replaces={"layers.Embedding.forward": _needs_a_dimension},
        diagnosis="Your Embedding loops over the first dimension of the ids, which fails when there is none.",
        hint="Try torch.tensor(3) as the ids.",
        frequency="rare",
    ),
    Misconception(
        id="embedding-normalises-vectors",
        problem="embedding",
        replaces={"layers.Embedding.forward": _normalised},
        diagnosis="Your Embedding scales every vector to length 1.",
        hint="Compare one output with the row of the table that it came from.",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="embedding-drops-repeated-ids",
        problem="embedding",
        replaces={"layers.Embedding.forward": _seen_once},
        diagnosis="Your Embedding looks each id up once, although the same id may occur many times.",
        hint="What should come out for the ids [4, 4, 4]?",
        frequency="rare",
        throughout=True,
    ),
    Misconception(
        id="embedding-detaches-table",
        problem="embedding",
        replaces={"layers.Embedding.forward": _detached},
        diagnosis=(
            "Your Embedding looks ids up in weight.data (or a detached table), so the table never gets a gradient."
        ),
        hint="Call backward() on the sum of an output: is weight.grad still None?",
        frequency="occasional",
    ),
    Misconception(
        id="embedding-table-is-a-buffer",
        problem="embedding",
        replaces={"layers.Embedding.__init__": _as_buffer},
        diagnosis=(
            "Your Embedding keeps its table as a tensor that is not an nn.Parameter, so no optimizer will ever see it."
        ),
        hint="What does list(embedding.parameters()) contain?",
        frequency="occasional",
    ),
    Misconception(
        id="embedding-initialised-like-linear",
        problem="embedding",
        replaces={"layers.Embedding.__init__": _starting(lambda n, d: _truncated((2 / (n + d)) ** 0.5, n, d))},
        diagnosis="Your Embedding is initialised with Linear's variance.",
        hint="Which variance does the assignment ask for here? A lookup sums nothing, so there is no growth to offset.",
        frequency="common",
    ),
    Misconception(
        id="embedding-initialised-by-width",
        problem="embedding",
        replaces={"layers.Embedding.__init__": _starting(lambda n, d: _truncated(d**-0.5, n, d))},
        diagnosis="Your Embedding is initialised with a variance of 1 / d_model.",
        hint="What is the standard deviation of a new table, and what should it be?",
        frequency="occasional",
    ),
    Misconception(
        id="embedding-initialised-without-cut",
        problem="embedding",
        replaces={"layers.Embedding.__init__": _starting(torch.randn)},
        diagnosis="Your Embedding is initialised from a normal distribution that is not truncated at -3 and 3.",
        hint="What is the largest number in a new table of 1000 times 1000?",
        frequency="common",
    ),
    Misconception(
        id="embedding-initialised-uniform",
        problem="embedding",
        replaces={"layers.Embedding.__init__": _starting(torch.rand)},
        diagnosis="Your Embedding is initialised from a uniform distribution.",
        hint="Draw a histogram of a new table.",
        frequency="rare",
    ),
    Misconception(
        id="embedding-cut-at-two-sigma",
        problem="embedding",
        replaces={
            "layers.Embedding.__init__": _starting(lambda n, d: nn.init.trunc_normal_(torch.empty(n, d))),
        },
        diagnosis="Your Embedding truncates its initial values at -2 and 2.",
        hint="Which bounds does trunc_normal_ use when you give none?",
        frequency="common",
    ),
    Misconception(
        id="embedding-ignores-device",
        problem="embedding",
        replaces={"layers.Embedding.__init__": forgetting("device", layers.Embedding.__init__)},
        diagnosis="Your Embedding takes a device, but ignores it and creates its table on the CPU.",
        hint='Make one with device="meta" and print its parameters\' device.',
        frequency="common",
    ),
    Misconception(
        id="embedding-ignores-dtype",
        problem="embedding",
        replaces={"layers.Embedding.__init__": forgetting("dtype", layers.Embedding.__init__)},
        diagnosis="Your Embedding takes a dtype, but ignores it and creates its table in float32.",
        hint="Make one with dtype=torch.bfloat16 and print its parameters' dtype.",
        frequency="common",
    ),
    Misconception(
        id="embedding-result-is-float32",
        problem="embedding",
        replaces={"layers.Embedding.forward": _result_is_float32},
        diagnosis="Your Embedding returns float32 vectors, whatever the dtype of its table.",
        hint="Print the dtype of the output of an Embedding in bfloat16.",
        frequency="occasional",
    ),
    Misconception(
        id="embedding-table-ends-early",
        problem="embedding",
        replaces={"layers.Embedding.forward": _table_ends},
        diagnosis="Your Embedding returns another id's vector for ids beyond some number.",
        hint="What does it give for the last id of GPT-2's vocabulary, 50256?",
        frequency="rare",
    ),
    Misconception(
        id="embedding-few-ids-only",
        problem="embedding",
        replaces={"layers.Embedding.forward": _few_ids_only},
        diagnosis="Your Embedding returns zeros if there are more than a few thousand ids.",
        hint="Does your code contain a size that comes from none of its arguments?",
        frequency="rare",
    ),
    Misconception(
        id="embedding-repeated-ids-learn-once",
        problem="embedding",
        replaces={"layers.Embedding.forward": _set_rows},
        diagnosis="In your Embedding, an id that occurs several times gets the gradient of only one occurrence.",
        hint="Look the same id up twice, sum and call backward(): what is the gradient of its row?",
        frequency="rare",
    ),
    Misconception(
        id="embedding-never-initialised",
        problem="embedding",
        replaces={"layers.Embedding.__init__": _starting(torch.empty)},
        diagnosis="Your Embedding never initialises its table: torch.empty leaves whatever was in memory.",
        hint="Print several new tables. Where do these numbers come from?",
        frequency="occasional",
    ),
)
