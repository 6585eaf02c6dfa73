"""Text out of a language model: from logits to the distribution of the next token, and from there to sequences."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def next_token_probabilities(
    logits: Float[Tensor, " ... vocab_size"], temperature: float = 1.0, top_p: float = 1.0
) -> Float[Tensor, " ... vocab_size"]:
    """The distribution from which the next token is drawn: temperature first, then nucleus sampling.

    Temperature tau turns logits v into q = softmax(v / tau): below 1 it sharpens the distribution, above 1 it
    flattens it. As tau goes to 0, all probability goes to the largest logit, and that is what temperature = 0 means.

    Nucleus or top-p sampling (Holtzman et al., 2020) keeps the smallest set of tokens whose probabilities q add up
    to at least `top_p`, the most probable ones, and divides these by their sum; all other tokens get probability 0.
    The set is never empty, so a tiny `top_p` leaves the most probable token, and top_p = 1 leaves q as it is.

    Where tokens are equally probable, any of them may be the one that is kept: the set stays as small as possible.
    The same holds at temperature 0, which always leaves one token.

    Args:
        logits: any number of leading dimensions, each row with a distribution of its own; minus infinity means
            probability 0. Not modified.
        temperature: 0 or more.
        top_p: more than 0, at most 1.

    Returns:
        Probabilities in the shape of `logits`. Logits in half precision are widened before anything is computed: the
        result is float32, or float64 for logits in float64.

    Raises:
        ValueError: temperature or top_p is outside its range.

    Problem: decoding
    """
    raise NotImplementedError("decoding: write next_token_probabilities in cs336_basics/decoding.py")


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    stop_token: int | None = None,
    context_length: int | None = None,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Continue every prompt, one token at a time, each drawn from the model's distribution given all before it.

    The next token of a sequence is drawn from `next_token_probabilities(logits, temperature, top_p)`, with the
    logits that the model gives for the sequence's last token. It is appended, and the model is asked again.

    A sequence ends with `stop_token` as soon as that is drawn (one in the prompt ends nothing), or when it has
    `max_new_tokens` new tokens. Sequences are independent: each is drawn as if it were alone, and one that has ended
    does not end or disturb the others.

    The model knows no padding, but it is causal: what it says about a token depends on that token and those before
    it only. So prompts of different lengths can share a batch, if shorter ones are padded on the right and every
    sequence is read at its own last token. (Other arrangements are as good.)

    Args:
        model: maps token ids, an int64 tensor [batch, seq], to logits [batch, seq, vocab_size]. Any module that does
            so will do. It is called in evaluation mode and without gradients, and left as it was, in the mode in
            which it was.
        prompts: one or more sequences of token ids, each of one token at least, not necessarily equally long. Not
            modified.
        max_new_tokens: the most tokens to append to each prompt; 0 appends none.
        temperature: 0 means greedy decoding: always a token with the largest logit.
        top_p: the mass of the nucleus, more than 0 and at most 1.
        stop_token: the id that ends a sequence; None means that none does.
        context_length: the longest sequence that the model takes. Of a longer one, the last `context_length` tokens
            alone condition the next token; earlier ones are forgotten. None means that any length will do.
        generator: where randomness comes from, on the device of the model; None means torch's global generator. The
            same generator in the same state gives the same tokens again.

    Returns:
        For every prompt the list of its new token ids, without the prompt. Where `stop_token` was drawn, it is the
        last of them.

    Raises:
        ValueError: a prompt is empty, or temperature or top_p is outside its range.

    Problem: decoding
    """
    raise NotImplementedError("decoding: write generate in cs336_basics/decoding.py")
