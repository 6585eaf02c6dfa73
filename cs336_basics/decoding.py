"""Text from a language model: from logits to the distribution of the next token, and from there to sequences."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def next_token_probabilities(
    logits: Float[Tensor, " ... vocab_size"], temperature: float = 1.0, top_p: float = 1.0
) -> Float[Tensor, " ... vocab_size"]:
    """The distribution from which the next token is drawn: temperature first, then nucleus sampling.

    Temperature tau turns logits v into q = softmax(v / tau): below 1 it sharpens the distribution, above 1 it
    flattens it. As tau approaches 0, all probability goes to the largest logit; temperature = 0 means exactly this.

    Nucleus or top-p sampling (Holtzman et al., 2020) keeps the smallest set of most probable tokens whose probabilities
    q add up to at least `top_p`, and divides these probabilities by their sum; all other tokens get probability 0. The
    set is never empty, so a tiny `top_p` keeps the most probable token; top_p = 1 leaves q unchanged.

    If tokens at the border are equally probable, you may keep any of them, but the set must stay as small as possible.
    The same holds at temperature 0, which always keeps one token.

    Args:
        logits: any number of leading dimensions; each row is a separate distribution. Minus infinity means probability
            0. Not modified.
        temperature: 0 or more.
        top_p: more than 0, at most 1.

    Returns:
        Probabilities in the shape of `logits`. Half-precision logits are converted first: the result is float32, or
        float64 for float64 logits.

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
    """Continue every prompt, token by token; draw each from the model's distribution given all tokens before it.

    Draw the next token of a sequence from `next_token_probabilities(logits, temperature, top_p)`, with the model's
    logits for the sequence's last token. Append it, and call the model again.

    A sequence ends when `stop_token` is drawn (a stop token in the prompt does not count), or when it has
    `max_new_tokens` new tokens. Sequences are independent: each is drawn as if it were alone, and a finished one does
    not stop or change the others.

    The model knows no padding, but it is causal: its logits for a token depend only on that token and those before it.
    So prompts of different lengths can share a batch, if you pad shorter ones on the right and read each sequence at
    its own last token. (Other ways are fine, too.)

    Args:
        model: maps token ids, an int64 tensor [batch, seq], to logits [batch, seq, vocab_size]. It can be any module
            that does this. Call it in evaluation mode and without gradients, and restore its previous mode afterwards.
        prompts: one or more sequences of token ids, each with at least one token; lengths may differ. Not modified.
        max_new_tokens: the largest number of tokens to append to each prompt; 0 appends none.
        temperature: 0 means greedy decoding: always a token with the largest logit.
        top_p: the probability mass of the nucleus, more than 0 and at most 1.
        stop_token: the id that ends a sequence; None means that there is none.
        context_length: the longest sequence that the model takes. For a longer one, only the last `context_length`
            tokens determine the next token. None means no limit.
        generator: the source of randomness, on the model's device; None means torch's global generator. The same
            generator in the same state gives the same tokens.

    Returns:
        For every prompt, the list of its new token ids, without the prompt. If `stop_token` was drawn, it is the last
        one.

    Raises:
        ValueError: a prompt is empty, or temperature or top_p is outside its range.

    Problem: decoding
    """
    raise NotImplementedError("decoding: write generate in cs336_basics/decoding.py")
