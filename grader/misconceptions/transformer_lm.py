"""How the Transformer language model goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from grader.reference import layers, transformer

from .catalogue import Misconception
from .forgotten_arguments import forgetting
from .together import assembled


def _embed(model, token_ids):
    return model.token_embeddings(token_ids)


def _every_block(model, x):
    for layer in model.layers:
        x = layer(x)
    return x


def _finish(model, x):
    return model.lm_head(model.ln_final(x))


def _blocks_by_name(model, x):
    for number in sorted(range(len(model.layers)), key=str):
        x = model.layers[number](x)
    return x


@dataclass(frozen=True)
class _Steps:
    """The steps of the forward pass; a wrong variant replaces one."""

    read: Callable[[Any, Tensor], Tensor] = lambda model, token_ids: token_ids
    embed: Callable[[Any, Tensor], Tensor] = _embed
    blocks: Callable[[Any, Tensor], Tensor] = _every_block
    finish: Callable[[Any, Tensor], Tensor] = _finish

    def forward(self):
        def forward(model, token_ids):
            return self.finish(model, self.blocks(model, self.embed(model, self.read(model, token_ids))))

        return forward


_RIGHT = _Steps()


@assembled
def _stepping(**steps: Callable[..., Any]):
    return replace(_RIGHT, **steps).forward()


def _scaled_embedding(model, token_ids):
    x = model.token_embeddings(token_ids)
    return x * x.shape[-1] ** 0.5


def _normalised_embedding(model, token_ids):
    return model.ln_final(model.token_embeddings(token_ids))


def _absolute_positions(model, token_ids):
    x = model.token_embeddings(token_ids)
    angles = torch.arange(x.shape[-2]).unsqueeze(-1) / 1e4 ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    return x + torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)


def _all_but_last_block(model, x):
    for layer in list(model.layers)[:-1]:
        x = layer(x)
    return x


def _eight_blocks_at_most(model, x):
    for layer in list(model.layers)[:8]:
        x = layer(x)
    return x


def _first_block_only(model, x):
    for _ in model.layers:
        x = model.layers[0](x)
    return x


def _blocks_backwards(model, x):
    for layer in reversed(model.layers):
        x = layer(x)
    return x


def _every_block_on_embedding(model, x):
    for layer in model.layers:
        result = layer(x)
    return result


def _residual_around_blocks(model, x):
    return x + _every_block(model, x)


def _batch_as_sequence(model, x):
    return _every_block(model, x.transpose(0, 1)).transpose(0, 1) if x.shape[0] > 1 else _every_block(model, x)


def _sequence_backwards(model, x):
    return _every_block(model, x.flip(-2)).flip(-2)


def _positions_backwards(model, x):
    for layer in model.layers:
        x = layer(x, torch.arange(x.shape[-2] - 1, -1, -1))
    return x


def _norm_after_every_block(model, x):
    for layer in model.layers:
        x = model.ln_final(layer(x))
    return x


def _no_final_norm(model, x):
    return model.lm_head(x)


def _tied_head(model, x):
    return model.ln_final(x) @ model.token_embeddings.weight.T


def _probabilities(model, x):
    return torch.softmax(_finish(model, x), -1)


def _log_probabilities(model, x):
    return torch.log_softmax(_finish(model, x), -1)


def _last_token_only(model, x):
    return _finish(model, x)[..., -1:, :]


def _scaled_logits(model, x):
    return _finish(model, x) / x.shape[-1] ** 0.5


def _second_norm_without_gain(model, x):
    normed = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)
    return model.lm_head(normed)


def _padded(model, token_ids):
    missing = model.context_length - token_ids.shape[-1]
    return torch.nn.functional.pad(token_ids, (0, missing))


def _padded_in_front(model, token_ids):
    missing = model.context_length - token_ids.shape[-1]
    model.real_length = token_ids.shape[-1]
    return torch.nn.functional.pad(token_ids, (missing, 0))


def _finish_without_padding(model, x):
    return _finish(model, x)[..., -model.real_length :, :]


def _detached_embedding(model, token_ids):
    return model.token_embeddings(token_ids).detach()


def _detached_blocks(model, x):
    for layer in model.layers:
        x = layer(x.detach())
    return x


def _zeroes_ids(model, token_ids):
    x = model.token_embeddings(token_ids)
    token_ids.zero_()
    return x


def _views(model, token_ids):
    return token_ids.view(-1).view(token_ids.shape)


def _built(change: Callable[[Any, dict[str, Any]], None], **fixed: Any):
    """The right constructor with some arguments fixed, followed by a change to what it made."""
    right = transformer.TransformerLM.__init__

    def init(
        self, vocab_size, context_length, d_model, num_layers, num_heads, d_ff, rope_theta, device=None, dtype=None
    ):
        sizes = {
            "vocab_size": vocab_size,
            "context_length": context_length,
            "d_model": d_model,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "d_ff": d_ff,
            "rope_theta": rope_theta,
        }
        right(self, **(sizes | fixed), device=device, dtype=dtype)
        change(self, sizes)

    return init


def _unchanged(model, sizes):
    pass


def _ties_parameters(model, sizes):
    model.lm_head.weight = model.token_embeddings.weight


def _repeats_block(model, sizes):
    model.layers = nn.ModuleList([model.layers[0]] * sizes["num_layers"])


def _copies_block(model, sizes):
    for layer in model.layers:
        layer.load_state_dict(model.layers[0].state_dict())


def _list_of_blocks(model, sizes):
    blocks = list(model.layers)
    del model.layers
    model.layers = blocks


def _final_eps(model, sizes):
    model.ln_final.eps = 1e-8


def _head_bias(model, sizes):
    model.lm_head.bias = nn.Parameter(torch.zeros(sizes["vocab_size"]))
    model.register_load_state_dict_pre_hook(
        lambda module, state, *_: state.setdefault("lm_head.bias", module.lm_head.bias.detach())
    )


def _small_weights(model, sizes):
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02)


def _frozen_embedding(model, sizes):
    model.token_embeddings.weight.requires_grad_(False)


def _embedding_like_linear(model, sizes):
    shape = model.token_embeddings.weight.shape
    model.token_embeddings.weight = layers.Linear(shape[1], shape[0]).weight


def _unsaved_norm(model, sizes):
    def forget(module, state, prefix, metadata):
        del state[prefix + "ln_final.weight"]

    model.register_state_dict_post_hook(forget)


def _around_each_block(model, x):
    for layer in model.layers:
        x = x + layer(x)
    return x


def _last_token_without_dimension(model, x):
    return _finish(model, x)[..., -1, :]


def _lm(id, replacement, diagnosis, hint, frequency, throughout=False, forms=()):
    """A misconception that replaces one step of the forward pass, or (a function) the constructor.

    forms: other steps for the same words.
    """
    if isinstance(replacement, dict):
        replaced = {"transformer.TransformerLM.forward": _stepping(**replacement)}
    else:
        replaced = {"transformer.TransformerLM.__init__": replacement}
    further = tuple({"transformer.TransformerLM.forward": _stepping(**form)} for form in forms)
    return Misconception(
        f"lm-{id}",
        "transformer_lm",
        replaced,
        diagnosis,
        hint,
        frequency,
        throughout=throughout,
        forms=further,
    )


MISCONCEPTIONS = (
    _lm(
        "without-final-norm",
        {"finish": _no_final_norm},
        diagnosis="Your model leaves out ln_final before the head.",
        hint="Double the gains of ln_final: what happens to the logits?",
        frequency="common",
    ),
    _lm(
        "final-norm-without-gain",
        {"finish": _second_norm_without_gain},
        diagnosis="Your final norm does not multiply by its gain.",
        hint="Double the gains of ln_final: what happens to the logits?",
        frequency="rare",
    ),
    _lm(
        "final-norm-after-every-block",
        {"blocks": _norm_after_every_block},
        diagnosis="Your model applies ln_final after every block.",
        hint="How many times does ln_final occur between the embedding and the head?",
        frequency="rare",
    ),
    _lm(
        "final-norm-on-embedding",
        {"embed": _normalised_embedding},
        diagnosis="Your model normalises the embeddings before the first block.",
        hint="What is between the embedding and the first block?",
        frequency="rare",
    ),
    _lm(
        "head-is-tied",
        {"finish": _tied_head},
        diagnosis="Your model computes logits with the token embedding and never uses lm_head.",
        hint="Change lm_head.weight: do the logits change?",
        frequency="occasional",
    ),
    _lm(
        "probabilities-for-logits",
        {"finish": _probabilities},
        diagnosis="Your model returns probabilities: it applies softmax to its logits.",
        hint="Whose task is the softmax: the model's, or the loss's?",
        frequency="common",
    ),
    _lm(
        "log-probabilities-for-logits",
        {"finish": _log_probabilities},
        diagnosis="Your model returns logarithms of probabilities.",
        hint="Whose task is the softmax: the model's, or the loss's?",
        frequency="rare",
    ),
    _lm(
        "last-token-only",
        {"finish": _last_token_only},
        diagnosis="Your model returns only the logits of the last token.",
        hint="For how many tokens of a sequence does training have a target?",
        frequency="rare",
        throughout=True,
    ),
    _lm(
        "logits-scaled",
        {"finish": _scaled_logits},
        diagnosis="Your model divides its logits by sqrt(d_model).",
        hint="What does the formula do after the head?",
        frequency="rare",
    ),
    _lm(
        "embedding-scaled",
        {"embed": _scaled_embedding},
        diagnosis="Your model multiplies its embeddings by sqrt(d_model), as the original Transformer did.",
        hint="What is between the embedding and the first block?",
        frequency="occasional",
    ),
    _lm(
        "absolute-positions-added",
        {"embed": _absolute_positions},
        diagnosis="Your model adds a position embedding to its token embeddings, besides RoPE.",
        hint="Where does this model use positions?",
        frequency="occasional",
        throughout=True,
    ),
    _lm(
        "last-block-left-out",
        {"blocks": _all_but_last_block},
        diagnosis="Your model leaves its last block out.",
        hint="How many blocks does a model with num_layers = 1 apply?",
        frequency="rare",
    ),
    _lm(
        "eight-blocks-at-most",
        {"blocks": _eight_blocks_at_most},
        diagnosis="Your model applies only its first eight blocks.",
        hint="Try num_layers = 9: do the weights of the last block have an effect?",
        frequency="rare",
    ),
    _lm(
        "first-block-repeated",
        {"blocks": _first_block_only},
        diagnosis="Your model applies its first block num_layers times.",
        hint="Change the weights of the last block: do the logits change?",
        frequency="rare",
    ),
    _lm(
        "blocks-backwards",
        {"blocks": _blocks_backwards},
        diagnosis="Your model applies its blocks from the last to the first.",
        hint="Which block sees the embeddings?",
        frequency="rare",
    ),
    _lm(
        "blocks-by-name",
        {"blocks": _blocks_by_name},
        diagnosis="Your model takes the weights of its blocks in the order of their names, in which 10 comes before 2.",
        hint="What does sorted(['layers.2', 'layers.10']) give? Which block gets the weights of layers.10?",
        frequency="occasional",
    ),
    _lm(
        "blocks-not-chained",
        {"blocks": _every_block_on_embedding},
        diagnosis="Every block of your model sees the embeddings, and only the last block's output is used.",
        hint="In your loop, what is the input of the second block?",
        frequency="occasional",
    ),
    _lm(
        "residual-around-all-blocks",
        {"blocks": _residual_around_blocks},
        diagnosis="Your model adds the embeddings to the output of its blocks again.",
        hint="Where are the residual connections of this model?",
        frequency="rare",
    ),
    _lm(
        "batch-taken-for-sequence",
        {"blocks": _batch_as_sequence},
        diagnosis=("Your model lets sequences of a batch attend to each other, because it swaps batch and sequence."),
        hint="Run one sequence alone and in a batch: are its logits the same?",
        frequency="rare",
    ),
    _lm(
        "sequence-reversed",
        {"blocks": _sequence_backwards},
        diagnosis="In your model, every token sees itself and later ones.",
        hint="Change the last token: do earlier logits change?",
        frequency="rare",
    ),
    _lm(
        "positions-reversed",
        {"blocks": _positions_backwards},
        diagnosis="Your model counts positions from the end of the sequence.",
        hint="Which position does the first token have?",
        frequency="rare",
    ),
    _lm(
        "pads-to-context-length",
        {"read": _padded},
        diagnosis="Your model pads short sequences to context_length and returns logits for the padding, too.",
        hint="How many logits should come out for 3 tokens?",
        frequency="rare",
    ),
    _lm(
        "pads-in-front",
        {"read": _padded_in_front, "finish": _finish_without_padding},
        diagnosis="Your model pads short sequences on the left, and the tokens attend to the padding.",
        hint="For a single token, what should the attention see?",
        frequency="rare",
    ),
    _lm(
        "changes-token-ids",
        {"embed": _zeroes_ids},
        diagnosis="Your model changes the given token ids.",
        hint="Print the ids before and after a call.",
        frequency="rare",
    ),
    _lm(
        "views-strided-ids",
        {"read": _views},
        diagnosis="Your model calls view on the token ids, which fails when they are not contiguous in memory.",
        hint="Try it on transposed ids.",
        frequency="rare",
    ),
    _lm(
        "is-detached",
        {"embed": _detached_embedding},
        diagnosis="Your model cuts the graph at the embedding or between blocks: no gradient reaches what lies before.",
        hint="Call backward() on the sum of the logits: which parameters have no gradient?",
        frequency="rare",
        forms=[{"blocks": _detached_blocks}],
    ),
    _lm(
        "ignores-theta",
        _built(_unchanged, rope_theta=1e4),
        diagnosis="Your model always uses 10000 as the base of RoPE and ignores rope_theta.",
        hint="Compare the logits for two values of rope_theta.",
        frequency="occasional",
    ),
    _lm(
        "parameters-are-tied",
        _built(_ties_parameters),
        diagnosis="The head and the token embedding of your model are the same parameter.",
        hint="Load different numbers into the two: are they still different afterwards?",
        frequency="occasional",
    ),
    _lm(
        "one-block-in-every-place",
        _built(_repeats_block),
        diagnosis="All blocks of your model are the same object, so they share their weights.",
        hint="What does [block] * 3 contain: three blocks, or one block three times?",
        frequency="occasional",
    ),
    _lm(
        "blocks-start-equal",
        _built(_copies_block),
        diagnosis="All blocks of your new model start with the same numbers.",
        hint="Compare layers.0 and layers.1 of a new model.",
        frequency="rare",
    ),
    _lm(
        "blocks-in-plain-list",
        _built(_list_of_blocks),
        diagnosis="Your model keeps its blocks in a plain list, where PyTorch does not find their parameters.",
        hint="What is len(list(model.parameters())), and what should it be?",
        frequency="occasional",
        throughout=True,
    ),
    _lm(
        "head-has-bias",
        _built(_head_bias),
        diagnosis="The head of your model has a bias.",
        hint="List the named parameters of a new model: which ones does the contract name?",
        frequency="rare",
    ),
    _lm(
        "final-norm-other-eps",
        _built(_final_eps),
        diagnosis="The final norm of your model does not use eps = 1e-5.",
        hint="Which eps does your model pass to ln_final?",
        frequency="rare",
    ),
    _lm(
        "initialised-like-gpt2",
        _built(_small_weights),
        diagnosis="All weights of your new model have a standard deviation of 0.02, as GPT-2's do.",
        hint="Which standard deviation does the assignment ask for, layer by layer?",
        frequency="occasional",
    ),
    _lm(
        "embedding-initialised-like-linear",
        _built(_embedding_like_linear),
        diagnosis="The token embedding of your new model is initialised like a Linear layer.",
        hint="Which variance does the assignment ask for in the embedding?",
        frequency="occasional",
    ),
    _lm(
        "embedding-is-frozen",
        _built(_frozen_embedding),
        diagnosis="The token embedding of your model is not trainable.",
        hint="Which parameters have requires_grad=False?",
        frequency="rare",
    ),
    _lm(
        "state-dict-incomplete",
        _built(_unsaved_norm),
        diagnosis="The state dict of your model lacks a weight, so a checkpoint loses it.",
        hint="Save the state dict of a trained model, load it into a new one, and compare their logits.",
        frequency="rare",
    ),
    _lm(
        "residual-around-each-block",
        {"blocks": _around_each_block},
        diagnosis="Your model adds the input of each block to its output, but the block has already done this.",
        hint="How often does the embedding reach the head through additions alone?",
        frequency="occasional",
    ),
    _lm(
        "one-vector-per-sequence",
        {"finish": _last_token_without_dimension},
        diagnosis="Your model returns one vector of logits per sequence, that of the last token.",
        hint="For how many tokens of a sequence does training have a target?",
        frequency="rare",
        throughout=True,
    ),
    _lm(
        "ignores-device",
        forgetting("device", transformer.TransformerLM.__init__),
        diagnosis="Your model takes a device, but ignores it and creates its parameters on the CPU.",
        hint='Make one with device="meta" and print the devices of its parameters.',
        frequency="common",
    ),
    _lm(
        "ignores-dtype",
        forgetting("dtype", transformer.TransformerLM.__init__),
        diagnosis="Your model takes a dtype, but ignores it and creates its parameters in float32.",
        hint="Make one with dtype=torch.bfloat16 and print the dtypes of its parameters.",
        frequency="common",
    ),
)
