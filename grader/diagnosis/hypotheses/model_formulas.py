"""The Transformer block, the language model and the next token's probabilities, and how they are changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .change import Change, Evaluation, Formula, FormulaStep, Given, normal

Layer = Callable[[Tensor], Tensor]

# The block


def _block(
    do: Evaluation,
    d_model: int,
    num_heads: int,
    d_ff: int,
    max_seq_len: int,
    theta: float,
    weights: dict[str, Tensor],
    in_features: Tensor,
) -> Tensor:
    def attend(x: Tensor) -> Tensor:
        names = {
            f"{name[0]}_proj_weight": f"attn.{name}.weight" for name in ("q_proj", "k_proj", "v_proj", "output_proj")
        }
        projections = {argument: weights[name] for argument, name in names.items()}
        sizes = {"d_model": d_model, "num_heads": num_heads, "max_seq_len": max_seq_len, "theta": theta}
        positions = torch.arange(x.shape[-2])
        operation = "run_multihead_self_attention_with_rope"
        return do.part(operation, **sizes, **projections, in_features=x, token_positions=positions)

    def feed_forward(x: Tensor) -> Tensor:
        matrices = {f"w{i}_weight": weights[f"ffn.w{i}.weight"] for i in (1, 2, 3)}
        return do.part("run_swiglu", d_model=d_model, d_ff=d_ff, **matrices, in_features=x)

    def norm(name: str) -> Layer:
        gain = weights[f"{name}.weight"]
        return lambda x: do.part("run_rmsnorm", d_model=d_model, eps=1e-5, weights=gain, in_features=x)

    def first(x: Tensor) -> Tensor:
        return do.after_attention(x, attend, norm("ln1"), norm("ln2"))

    def second(y: Tensor, x: Tensor) -> Tensor:
        return do.after_feed_forward(y, x, feed_forward, norm("ln2"), norm("ln1"))

    return do.sublayers(in_features, first, second, attend, feed_forward, norm("ln1"), norm("ln2"))


def _draw_block(generator: torch.Generator) -> Sequence[Given]:
    d_model, d_ff = 12, 64
    shapes = {f"attn.{name}.weight": (d_model, d_model) for name in ("q_proj", "k_proj", "v_proj", "output_proj")}
    shapes |= {"ffn.w1.weight": (d_ff, d_model), "ffn.w2.weight": (d_model, d_ff), "ffn.w3.weight": (d_ff, d_model)}
    weights = {name: normal(generator, *shape, scale=1.3 * shape[1] ** -0.5) for name, shape in shapes.items()}
    weights |= {name: 0.5 + torch.rand(d_model, generator=generator) for name in ("ln1.weight", "ln2.weight")}
    given = {
        "d_model": d_model,
        "num_heads": 3,
        "d_ff": d_ff,
        "max_seq_len": 9,
        "theta": 40.0,
        "weights": weights,
        "in_features": normal(generator, 2, 5, d_model, scale=2.0) + 0.5,
    }
    return given, given | {"in_features": normal(generator, 2, 4, d_model, scale=4e-3)}


BLOCK = Formula(
    "run_transformer_block",
    _block,
    {
        "after_attention": FormulaStep("y = x + attn(ln1(x))", lambda x, attend, ln1, ln2: x + attend(ln1(x))),
        "after_feed_forward": FormulaStep("y + ffn(ln2(y))", lambda y, x, feed, ln2, ln1: y + feed(ln2(y))),
        "sublayers": FormulaStep("the output of the block", lambda x, first, second, *_: second(first(x), x)),
    },
    (
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: _post(_post(x, attend, ln1), feed, ln2),
            "the norms come after the residual connections (post-norm: ln(x + sublayer(x)))",
        ),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: _swapped(x, attend, feed, ln1, ln2),
            "the feed-forward network comes before the attention",
        ),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: _swapped(x, attend, feed, ln2, ln1),
            "the feed-forward network comes before the attention, and the norms stay in their order",
        ),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: x + attend(ln1(x)) + feed(ln2(x)),
            "attention and feed-forward network stand side by side: both see x",
        ),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: feed(ln2(attend(ln1(x)))),
            "both residual connections are missing",
        ),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: x + ln1(attend(x)) + ln2(feed(x + ln1(attend(x)))),
            "the norms are applied to the outputs of the sublayers and not to their inputs",
        ),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: _normed_residuals(x, attend, feed, ln1, ln2),
            "both residual connections carry the normalised input and not the input itself",
        ),
        Change("sublayers", lambda x, first, second, *_: first(x), "the feed-forward network is left out"),
        Change("sublayers", lambda x, first, second, *_: second(x, x), "the attention is left out"),
        Change(
            "sublayers", lambda x, first, second, *_: x + second(first(x), x), "the input is added once more at the end"
        ),
        Change("sublayers", lambda x, first, second, *_: x, "the block returns its input"),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: ln2(second(first(x), x)),
            "the output of the block is normalised, too (by ln2)",
        ),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: ln1(second(first(x), x)),
            "the output of the block is normalised, too (by ln1)",
        ),
        Change(
            "sublayers",
            lambda x, first, second, attend, feed, ln1, ln2: x + attend(x) + feed(x + attend(x)),
            "both norms are left out",
        ),
        Change(
            "after_attention",
            lambda x, attend, ln1, ln2: attend(ln1(x)),
            "the residual connection around the attention is missing",
        ),
        Change(
            "after_attention", lambda x, attend, ln1, ln2: x + attend(x), "ln1 is left out: the attention gets x itself"
        ),
        Change(
            "after_attention",
            lambda x, attend, ln1, ln2: _post(x, attend, ln1),
            "ln1 comes after the residual connection, and not before the attention",
        ),
        Change(
            "after_attention",
            lambda x, attend, ln1, ln2: x + ln1(attend(x)),
            "ln1 is applied to the attention's output and not to its input",
        ),
        Change(
            "after_attention",
            lambda x, attend, ln1, ln2: ln1(x) + attend(ln1(x)),
            "the first residual connection carries ln1(x) and not x",
        ),
        Change(
            "after_attention",
            lambda x, attend, ln1, ln2: x + attend(ln2(x)),
            "ln2 stands before the attention instead of ln1",
        ),
        Change(
            "after_attention",
            lambda x, attend, ln1, ln2: 2 * x + attend(ln1(x)),
            "x is added twice to the attention's output",
        ),
        Change(
            "after_attention",
            lambda x, attend, ln1, ln2: x - attend(ln1(x)),
            "the attention's output is subtracted and not added",
        ),
        Change(
            "after_attention",
            lambda x, attend, ln1, ln2: x.detach() + attend(ln1(x)),
            "no gradient passes the first residual connection",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: feed(ln2(y)),
            "the residual connection around the feed-forward network is missing",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: y + feed(y),
            "ln2 is left out: the feed-forward network gets y itself",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: _post(y, feed, ln2),
            "ln2 comes after the residual connection, and not before the feed-forward network",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: y + ln2(feed(y)),
            "ln2 is applied to the feed-forward network's output and not to its input",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: ln2(y) + feed(ln2(y)),
            "the second residual connection carries ln2(y) and not y",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: y + feed(ln1(y)),
            "ln1 stands before the feed-forward network, too, and ln2 is not used",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: x + feed(ln2(y)),
            "the second residual connection carries x, the input of the block, and not y",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: y + feed(ln2(x)),
            "the feed-forward network gets x, the input of the block, and not y",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: y + x + feed(ln2(y)),
            "x is added to the output once more",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: 2 * y + feed(ln2(y)),
            "y is added twice to the feed-forward network's output",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: y - feed(ln2(y)),
            "the feed-forward network's output is subtracted and not added",
        ),
        Change(
            "after_feed_forward",
            lambda y, x, feed, ln2, ln1: y.detach() + feed(ln2(y)),
            "no gradient passes the second residual connection",
        ),
    ),
    _draw_block,
    "the block",
    {},
    (),
    ("run_multihead_self_attention_with_rope", "run_swiglu", "run_rmsnorm"),
)


def _post(x: Tensor, sublayer: Layer, norm: Layer) -> Tensor:
    return norm(x + sublayer(x))


def _swapped(x: Tensor, attend: Layer, feed: Layer, before_attention: Layer, before_feed: Layer) -> Tensor:
    y = x + feed(before_feed(x))
    return y + attend(before_attention(y))


def _normed_residuals(x: Tensor, attend: Layer, feed: Layer, ln1: Layer, ln2: Layer) -> Tensor:
    x = ln1(x)
    y = ln2(x + attend(x))
    return y + feed(y)


# The model


def _model(
    do: Evaluation,
    vocab_size: int,
    context_length: int,
    d_model: int,
    num_layers: int,
    num_heads: int,
    d_ff: int,
    rope_theta: float,
    weights: dict[str, Tensor],
    in_indices: Tensor,
) -> Tensor:
    def block(i: int) -> Layer:
        start = f"layers.{i}."
        own = {name.removeprefix(start): weight for name, weight in weights.items() if name.startswith(start)}
        sizes = {"d_model": d_model, "num_heads": num_heads, "d_ff": d_ff, "theta": rope_theta}
        return lambda x: do.part(
            "run_transformer_block", **sizes, max_seq_len=context_length, weights=own, in_features=x
        )

    def final(x: Tensor) -> Tensor:
        gain = weights["ln_final.weight"]
        return do.part("run_rmsnorm", d_model=d_model, eps=1e-5, weights=gain, in_features=x)

    table = weights["token_embeddings.weight"]
    x = do.embedded(
        do.part("run_embedding", vocab_size=vocab_size, d_model=d_model, weights=table, token_ids=in_indices), final
    )
    x = do.stacked(x, [block(i) for i in range(num_layers)], final)
    return do.logits(do.final_norm(x, final), weights["lm_head.weight"], table)


def _draw_model(generator: torch.Generator) -> Sequence[Given]:
    (block, _), vocab_size, layers = _draw_block(generator), 9, 3
    blocks = [block["weights"], *(_draw_block(generator)[0]["weights"] for _ in range(layers - 1))]
    weights = {f"layers.{i}.{name}": weight for i, own in enumerate(blocks) for name, weight in own.items()}
    weights |= {
        "token_embeddings.weight": normal(generator, vocab_size, 12, scale=2.0) + 0.5,
        "ln_final.weight": 0.5 + torch.rand(12, generator=generator),
        "lm_head.weight": normal(generator, vocab_size, 12),
    }
    sizes = {"vocab_size": vocab_size, "context_length": 6, "d_model": 12, "num_layers": layers, "num_heads": 3}
    ids = torch.randint(1, vocab_size - 1, (2, 5), generator=generator)
    return ({**sizes, "d_ff": 64, "rope_theta": 40.0, "weights": weights, "in_indices": ids},)


def _in_turn(x: Tensor, blocks: Sequence[Layer]) -> Tensor:
    for block in blocks:
        x = block(x)
    return x


def _with_residuals(x: Tensor, blocks: Sequence[Layer]) -> Tensor:
    for block in blocks:
        x = x + block(x)
    return x


def _normed_in_turn(x: Tensor, blocks: Sequence[Layer], norm: Layer) -> Tensor:
    for block in blocks:
        x = norm(block(x))
    return x


def _sines(x: Tensor) -> Tensor:
    seq, d_model = x.shape[-2:]
    angles = torch.outer(torch.arange(seq).double(), 10000 ** (-torch.arange(0, d_model, 2).double() / d_model))
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)


MODEL = Formula(
    "run_transformer_lm",
    _model,
    {
        "embedded": FormulaStep("the embeddings", lambda x, norm: x),
        "stacked": FormulaStep("the output of the last block", lambda x, blocks, norm: _in_turn(x, blocks)),
        "final_norm": FormulaStep("ln_final of it", lambda x, norm: norm(x)),
        "logits": FormulaStep("the logits", lambda x, head, table: x @ head.T),
    },
    (
        Change("final_norm", lambda x, norm: x, "ln_final is left out before the head"),
        Change(
            "logits",
            lambda x, head, table: (x @ head.T).softmax(-1),
            "softmax is applied to the logits: probabilities are returned",
        ),
        Change("logits", lambda x, head, table: (x @ head.T).log_softmax(-1), "log softmax is applied to the logits"),
        Change(
            "logits",
            lambda x, head, table: x @ table.T,
            "the logits are computed with the token embedding, and lm_head is not used",
        ),
        Change("logits", lambda x, head, table: x, "lm_head is left out"),
        Change(
            "logits", lambda x, head, table: x @ head.T / math.sqrt(x.shape[-1]), "the logits are divided by √d_model"
        ),
        Change(
            "logits", lambda x, head, table: (x @ head.T)[..., -1, :], "only the logits of the last token are returned"
        ),
        Change(
            "logits", lambda x, head, table: (x @ head.T)[..., -1:, :], "only the logits of the last token are returned"
        ),
        Change("final_norm", lambda x, norm: norm(norm(x)), "ln_final is applied twice"),
        Change("embedded", lambda x, norm: norm(x), "the embeddings are normalised before the first block"),
        Change("embedded", lambda x, norm: x * math.sqrt(x.shape[-1]), "the embeddings are multiplied by √d_model"),
        Change("embedded", lambda x, norm: x / math.sqrt(x.shape[-1]), "the embeddings are divided by √d_model"),
        Change("embedded", lambda x, norm: x + _sines(x), "a position embedding of sines is added to the embeddings"),
        Change("stacked", lambda x, blocks, norm: x, "the blocks are left out"),
        Change("stacked", lambda x, blocks, norm: _in_turn(x, blocks[:-1]), "the last block is left out"),
        Change("stacked", lambda x, blocks, norm: _in_turn(x, blocks[1:]), "the first block is left out"),
        Change("stacked", lambda x, blocks, norm: _in_turn(x, blocks[:1]), "only the first block is applied"),
        Change(
            "stacked",
            lambda x, blocks, norm: blocks[-1](x),
            "every block gets the embeddings, and only the last one's output is used",
        ),
        Change(
            "stacked",
            lambda x, blocks, norm: _in_turn(x, [blocks[0]] * len(blocks)),
            "the weights of the first block serve for all blocks",
        ),
        Change(
            "stacked",
            lambda x, blocks, norm: _in_turn(x, [blocks[-1]] * len(blocks)),
            "the weights of the last block serve for all blocks",
        ),
        Change(
            "stacked",
            lambda x, blocks, norm: _in_turn(x, blocks[::-1]),
            "the blocks are applied from the last to the first",
        ),
        Change(
            "stacked", lambda x, blocks, norm: _in_turn(x, [*blocks, blocks[-1]]), "the last block is applied twice"
        ),
        Change(
            "stacked",
            lambda x, blocks, norm: _with_residuals(x, blocks),
            "the input of each block is added to its output, which holds it already",
        ),
        Change(
            "stacked",
            lambda x, blocks, norm: x + _in_turn(x, blocks),
            "the embeddings are added to the output of the last block",
        ),
        Change(
            "stacked", lambda x, blocks, norm: _normed_in_turn(x, blocks, norm), "ln_final is applied after every block"
        ),
        Change(
            "stacked",
            lambda x, blocks, norm: x + sum(block(x) - x for block in blocks),
            "the blocks stand side by side and not one after the other",
        ),
        Change(
            "stacked",
            lambda x, blocks, norm: _in_turn(x.transpose(0, 1), blocks).transpose(0, 1),
            "batch and sequence are swapped in the blocks",
        ),
    ),
    _draw_model,
    "the model",
    {},
    (),
    ("run_embedding", "run_transformer_block", "run_rmsnorm"),
)


# The next token's probabilities


def _probabilities(do: Evaluation, logits: Tensor, temperature: float, top_p: float) -> Tensor:
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).double()
    tempered = do.tempered(logits, temperature)
    return do.sampled_from(tempered.softmax(-1), logits, temperature, top_p, do.nucleus)


def _draw_probabilities(generator: torch.Generator) -> Sequence[Given]:
    logits = normal(generator, 6, 9, scale=1.5)
    return (
        {"logits": logits, "temperature": 0.7, "top_p": 0.6},
        {"logits": logits[:2].clone(), "temperature": 2.0, "top_p": 0.8},
        {"logits": logits[2:4].clone(), "temperature": 1.0, "top_p": 0.93},
    )


def _left(p: Tensor, kept: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The probabilities of the tokens that are kept: a function of the ranked ones and their running sum."""
    ranked, ids = p.sort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(p).scatter_(-1, ids, ranked * kept(ranked, ranked.cumsum(-1)))


def _nucleus(p: Tensor, top_p: float) -> Tensor:
    if top_p == 1:
        return p
    left = _left(p, lambda ranked, mass: mass - ranked < top_p - 1e-12)
    return left / left.sum(-1, keepdim=True)


def _keeping(
    kept: Callable[[Tensor, Tensor, float], Tensor], renormalise: bool = True
) -> Callable[[Tensor, float], Tensor]:
    def nucleus(p: Tensor, top_p: float) -> Tensor:
        left = _left(p, lambda ranked, mass: kept(ranked, mass, top_p))
        return left / left.sum(-1, keepdim=True) if renormalise else left

    return nucleus


def _first_too(kept: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(kept[..., :1]), kept[..., 1:]], -1)


def _usual(ranked: Tensor, mass: Tensor, top_p: float) -> Tensor:
    return mass - ranked < top_p - 1e-12


def _softmax_of_all(p: Tensor, top_p: float) -> Tensor:
    return _left(p, lambda ranked, mass: _usual(ranked, mass, top_p)).softmax(-1)


def _softmax_of_kept(p: Tensor, top_p: float) -> Tensor:
    left = _left(p, lambda ranked, mass: _usual(ranked, mass, top_p))
    return torch.where(left > 0, p, -torch.inf).softmax(-1)


def _least_probable(p: Tensor, top_p: float) -> Tensor:
    ranked, ids = p.sort(dim=-1, stable=True)
    left = torch.zeros_like(p).scatter_(-1, ids, ranked * _usual(ranked, ranked.cumsum(-1), top_p))
    return left / left.sum(-1, keepdim=True)


def _not_put_back(p: Tensor, top_p: float) -> Tensor:
    ranked = p.sort(dim=-1, descending=True).values
    left = ranked * _usual(ranked, ranked.cumsum(-1), top_p)
    return left / left.sum(-1, keepdim=True)


PROBABILITIES = Formula(
    "run_next_token_probabilities",
    _probabilities,
    {
        "tempered": FormulaStep("logits / temperature", lambda logits, t: logits / t),
        "nucleus": FormulaStep("the nucleus", _nucleus),
        "sampled_from": FormulaStep("the distribution", lambda q, logits, t, top_p, nucleus: nucleus(q, top_p)),
    },
    (
        Change("tempered", lambda logits, t: logits, "the temperature is not used"),
        Change(
            "tempered",
            lambda logits, t: logits * t,
            "the logits are multiplied by the temperature and not divided by it",
        ),
        Change("tempered", lambda logits, t: logits / t**2, "the logits are divided by the temperature twice"),
        Change(
            "tempered", lambda logits, t: logits / math.sqrt(t), "the logits are divided by the root of the temperature"
        ),
        Change("tempered", lambda logits, t: logits - t, "the temperature is subtracted and not divided by"),
        Change("tempered", lambda logits, t: -logits / t, "the logits have the wrong sign"),
        Change("tempered", lambda logits, t: logits / max(t, 1.0), "temperatures below 1 are taken for 1"),
        Change(
            "tempered",
            lambda logits, t: logits.softmax(-1) / t,
            "softmax is applied before the temperature and once more after it",
        ),
        Change("nucleus", lambda p, top_p: p, "top_p is not used"),
        Change(
            "nucleus",
            _keeping(lambda ranked, mass, top_p: _first_too(mass <= top_p)),
            "the token that carries the sum over top_p is left out of the nucleus",
        ),
        Change(
            "nucleus",
            _keeping(lambda ranked, mass, top_p: mass <= top_p),
            "the token that carries the sum over top_p is left out of the nucleus, even if it is the first one",
        ),
        Change(
            "nucleus",
            _keeping(lambda ranked, mass, top_p: _usual(ranked, mass, top_p).roll(1, -1) | _usual(ranked, mass, top_p)),
            "the nucleus holds one token more than it needs",
        ),
        Change(
            "nucleus",
            _keeping(_usual, renormalise=False),
            "the probabilities of the nucleus are not divided by their sum",
        ),
        Change("nucleus", _softmax_of_kept, "softmax is taken of the probabilities that are left, not of logits"),
        Change(
            "nucleus",
            _softmax_of_all,
            "softmax is taken once more, of the probabilities that are left and the zeros beside them",
        ),
        Change(
            "nucleus",
            _keeping(lambda ranked, mass, top_p: _first_too(ranked >= top_p)),
            "tokens are kept whose own probability is at least top_p, and not those whose sum reaches it",
        ),
        Change(
            "nucleus",
            _least_probable,
            "the least probable tokens are kept: the order of sorting is the wrong way round",
        ),
        Change("nucleus", _not_put_back, "the probabilities come out sorted, not in the places of their tokens"),
        Change(
            "nucleus",
            _keeping(lambda ranked, mass, top_p: ranked >= top_p * ranked[..., :1]),
            "tokens are kept whose probability is at least top_p times the largest",
        ),
        Change(
            "nucleus",
            _keeping(lambda ranked, mass, top_p: ranked >= 1 - top_p),
            "tokens with a probability of at least 1 - top_p are kept",
        ),
        Change(
            "nucleus",
            _keeping(lambda ranked, mass, top_p: mass - ranked < 1 - top_p),
            "the nucleus has the mass 1 - top_p and not top_p",
        ),
        Change("nucleus", _keeping(lambda ranked, mass, top_p: mass > top_p), "the tokens beyond the nucleus are kept"),
        Change(
            "nucleus", lambda p, top_p: _nucleus(p, top_p) * top_p, "the probabilities of the nucleus add up to top_p"
        ),
        Change(
            "nucleus",
            lambda p, top_p: _left(p, lambda ranked, mass: _usual(ranked, mass, top_p)) / top_p,
            "the probabilities of the nucleus are divided by top_p, not by their sum",
        ),
        Change(
            "nucleus",
            lambda p, top_p: torch.nn.functional.one_hot(p.argmax(-1), p.shape[-1]).double(),
            "the most probable token gets all probability",
        ),
        Change(
            "sampled_from",
            lambda q, logits, t, top_p, nucleus: _tempered_after(nucleus(logits.softmax(-1), top_p), t),
            "the nucleus is chosen before the temperature is applied",
        ),
        Change(
            "sampled_from",
            lambda q, logits, t, top_p, nucleus: nucleus(logits.softmax(-1) / t, top_p),
            "the probabilities are divided by the temperature, and not the logits",
        ),
        Change(
            "sampled_from",
            lambda q, logits, t, top_p, nucleus: nucleus(q, top_p).log(),
            "logarithms of probabilities are returned",
        ),
        Change(
            "sampled_from",
            lambda q, logits, t, top_p, nucleus: nucleus((logits / t).softmax(0), top_p),
            "softmax goes over the batch",
        ),
    ),
    _draw_probabilities,
    "decoding",
    {"logits": "the logits"},
)


def _tempered_after(p: Tensor, temperature: float) -> Tensor:
    return (p.log() / temperature).softmax(-1)


MODELS: tuple[Formula, ...] = (BLOCK, MODEL, PROBABILITIES)
