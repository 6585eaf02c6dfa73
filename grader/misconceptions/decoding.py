"""How decoding goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from grader.reference import decoding

from .catalogue import Misconception
from .together import assembled

# ------------------------------------------------------------------------------------------------------------
# The distribution of the next token


def _scaled(logits, temperature):
    return torch.softmax(logits / temperature, dim=-1)


def _largest(logits):
    return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)


def _kept_by_mass(ranked, top_p):
    """Which of the probabilities, in falling order, belong to the nucleus."""
    return ranked.cumsum(-1) - ranked < top_p - 1e-7


def _renormalised(probabilities):
    return probabilities / probabilities.sum(-1, keepdim=True)


@assembled
def _nucleus(
    kept: Callable[..., torch.Tensor] = _kept_by_mass,
    finish: Callable[..., torch.Tensor] = _renormalised,
    descending: bool = True,
    unsort: bool = True,
) -> Callable[..., torch.Tensor]:
    """The choice of the nucleus with some of its parts replaced."""

    def nucleus(probabilities, top_p):
        ranked, ids = probabilities.sort(dim=-1, descending=descending, stable=True)
        left = finish(ranked.masked_fill(~kept(ranked, top_p), 0))
        return torch.zeros_like(left).scatter(-1, ids, left) if unsort else left

    return nucleus


_SMALLEST_SET = _nucleus()


@assembled
def _distribution(
    scale: Callable[..., torch.Tensor] = _scaled,
    nucleus: Callable[..., torch.Tensor] = _SMALLEST_SET,
    widen: Callable[..., torch.Tensor] = torch.Tensor.float,
    greedy: Callable[..., torch.Tensor] = _largest,
    always: bool = False,
) -> Callable[..., torch.Tensor]:
    """`next_token_probabilities` with some of its parts replaced.

    Args:
        always: use the nucleus also for top_p = 1.
    """

    def next_token_probabilities(logits, temperature=1.0, top_p=1.0):
        if temperature < 0 or not 0 < top_p <= 1:
            raise ValueError
        logits = logits if logits.dtype is torch.float64 else widen(logits)
        if temperature == 0:
            return greedy(logits)
        probabilities = scale(logits, temperature)
        return nucleus(probabilities, top_p) if top_p < 1 or always else probabilities

    return next_token_probabilities


def _nucleus_before_temperature(logits, temperature=1.0, top_p=1.0):
    allowed = _distribution()(logits, 1.0, top_p) > 0
    return _distribution()(logits.masked_fill(~allowed, -math.inf), temperature)


def _search(ranked, top_p):
    """Keeps all up to the first place at which the mass suffices; 0 when it nowhere does."""
    last = (ranked.cumsum(-1) >= top_p).float().argmax(-1, keepdim=True)
    return torch.arange(ranked.shape[-1]) <= last


def _crossing_token_left_out(ranked, top_p):
    kept = ranked.cumsum(-1) <= top_p
    kept[..., 0] = True
    return kept


def _one_more(ranked, top_p):
    kept = _kept_by_mass(ranked, top_p)
    return torch.cat([torch.ones_like(kept[..., :1]), kept[..., :-1]], -1)


def _by_value(probabilities, top_p):
    """Keeps everything that is as probable as the last token of the nucleus."""
    ranked = probabilities.sort(-1, descending=True).values
    last = ranked.masked_fill(~_kept_by_mass(ranked, top_p), math.inf).amin(-1, keepdim=True)
    return _renormalised(probabilities.masked_fill(probabilities < last, 0))


def _above_threshold(probabilities, top_p):
    best = probabilities.amax(-1, keepdim=True)
    return _renormalised(probabilities.masked_fill((probabilities < top_p) & (probabilities < best), 0))


def _relative_threshold(probabilities, top_p):
    return _renormalised(probabilities.masked_fill(probabilities < (1 - top_p) * probabilities.amax(-1, True), 0))


def _share_of_vocabulary(ranked, top_p):
    return torch.arange(ranked.shape[-1]).expand(ranked.shape) < math.ceil(top_p * ranked.shape[-1])


def _one_for_all(probabilities, top_p):
    kept = _nucleus()(probabilities.reshape(-1, probabilities.shape[-1])[0], top_p) > 0
    return _renormalised(probabilities.masked_fill(~kept, 0))


def _whole_batch(probabilities, top_p):
    rows = probabilities.numel() // probabilities.shape[-1]
    left = _nucleus()(probabilities.flatten() / rows, top_p).view(probabilities.shape)
    return _renormalised(left.masked_fill(left == 0, 1e-30))


def _logits_to_zero(logits, temperature=1.0, top_p=1.0):
    kept = _distribution()(logits, temperature, top_p) > 0
    if temperature == 0:
        return _distribution()(logits, temperature, top_p)
    scaled = logits.float() / temperature
    return torch.softmax(scaled * kept if top_p < 1 else scaled, dim=-1)


def _softmax_after_nucleus(logits, temperature=1.0, top_p=1.0):
    left = _distribution()(logits, temperature, top_p)
    if temperature == 0 or top_p == 1:
        return left
    return torch.softmax(left.masked_fill(left == 0, -math.inf), dim=-1)


def _naive(logits, temperature):
    exponentials = (logits / temperature).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def _in_place(logits, temperature=1.0, top_p=1.0):
    scale = temperature or 1.0
    logits /= scale
    return _distribution()(logits, 1.0 if temperature else 0.0, top_p)


def _first_dimension(logits, temperature):
    return torch.softmax(logits / temperature, dim=0 if logits.ndim > 1 else -1)


def _spread(logits):
    return _renormalised((logits == logits.amax(-1, keepdim=True)).to(logits.dtype))


def _matrices_only(logits, temperature=1.0, top_p=1.0):
    batch, vocab_size = logits.shape
    return _distribution()(logits.view(batch, vocab_size), temperature, top_p)


# ------------------------------------------------------------------------------------------------------------
# Sequences


def _last_window(tokens, context_length):
    return tokens if context_length is None else tokens[-context_length:]


def _right_padded(windows):
    longest = max(map(len, windows))
    return torch.tensor([[*window, *[0] * (longest - len(window))] for window in windows])


def _own_last(windows, logits):
    return logits[torch.arange(len(windows)), torch.tensor([len(window) - 1 for window in windows])]


def _draw(probabilities, generator):
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)


@assembled
def _generation(
    window: Callable[..., Any] = _last_window,
    pad: Callable[..., torch.Tensor] = _right_padded,
    read: Callable[..., torch.Tensor] = _own_last,
    draw: Callable[..., torch.Tensor] = _draw,
    options: Callable[..., tuple[float, float]] = lambda temperature, top_p: (temperature, top_p),
    ended: Callable[..., list[bool]] = lambda ends, prompts, tokens: ends,
    budget: Callable[..., int] = lambda prompt, count: count,
    finish: Callable[..., list[list[int]]] = lambda prompts, new, stop_token: new,
    gradients: bool = False,
    evaluates: bool = True,
    restores: bool = True,
    keeps_going: bool = False,
) -> Callable[..., list[list[int]]]:
    """`generate` with some of its parts replaced."""

    def generate(
        model,
        prompts,
        max_new_tokens,
        temperature=1.0,
        top_p=1.0,
        stop_token=None,
        context_length=None,
        generator=None,
    ):
        if not all(prompts):
            raise ValueError
        modes = model.training
        if evaluates:
            model.eval()
        new: list[list[int]] = [[] for _ in prompts]
        ends = [False] * len(prompts)
        with torch.set_grad_enabled(gradients):
            for _ in range(max(budget(prompt, max_new_tokens) for prompt in prompts)):
                if all(ends):
                    break
                windows = [window([*p, *n], context_length) for p, n in zip(prompts, new, strict=True)]
                if any(one is None for one in windows):
                    break
                logits = read(windows, model(pad(windows))).detach()
                probabilities = decoding.next_token_probabilities(logits, *options(temperature, top_p))
                for i, token in enumerate(draw(probabilities, generator).tolist()):
                    if not ends[i] and len(new[i]) < budget(prompts[i], max_new_tokens):
                        new[i].append(token)
                        ends[i] = token == stop_token and not keeps_going
                ends = ended(ends, prompts, [[*p, *n] for p, n in zip(prompts, new, strict=True)])
        if restores:
            model.train(modes)
        return finish(prompts, new, stop_token)

    return generate


def _left_padded(windows):
    longest = max(map(len, windows))
    return torch.tensor([[*[0] * (longest - len(window)), *window] for window in windows])


def _cut_to_shortest(windows):
    shortest = min(map(len, windows))
    return torch.tensor([window[-shortest:] for window in windows])


def _common_last(windows, logits):
    return logits[:, -1]


def _same_for_all_rows(probabilities, generator):
    place = torch.rand(1, generator=generator).expand(len(probabilities), 1)
    return torch.searchsorted(probabilities.cumsum(-1), place).clamp(max=probabilities.shape[-1] - 1).squeeze(-1)


def _most_probable(probabilities, generator):
    return probabilities.argmax(-1)


def _from_global(probabilities, generator):
    return _draw(probabilities, None)


def _seeds_again(probabilities, generator):
    seed = generator.initial_seed() if generator is not None else torch.initial_seed()
    return _draw(probabilities, torch.Generator().manual_seed(seed))


def _own_seed(*arguments):
    return _generation()(*arguments[:-1], torch.Generator().manual_seed(42))


def _seeds_per_call(*arguments):
    *rest, generator = arguments
    seed = generator.initial_seed() if generator is not None else torch.initial_seed()
    return _generation()(*rest, torch.Generator().manual_seed(seed))


def _stop_in_prompt(*arguments):
    stop_token = arguments[5]

    def ended(ends, prompts, tokens):
        return [end or stop_token in one for end, one in zip(ends, tokens, strict=True)]

    return _generation(ended=ended)(*arguments)


def _padded_with_stop(prompts, new, stop_token):
    longest = max(map(len, new))
    return [[*tokens, *[stop_token] * (longest - len(tokens))] for tokens in new]


def _without_stop(prompts, new, stop_token):
    return [tokens[:-1] if tokens and tokens[-1] == stop_token else tokens for tokens in new]


def _into_prompts(prompts, new, stop_token):
    for prompt, tokens in zip(prompts, new, strict=True):
        prompt.extend(tokens)
    return new


def _truthy_stop(*arguments):
    return _generation()(*arguments[:5], arguments[5] or None, *arguments[6:])


def _always_back_to_training(model, *arguments):
    new = _generation()(model, *arguments)
    model.train()
    return new


def _wrong(
    id: str,
    diagnosis: str,
    hint: str,
    frequency: str = "occasional",
    distribution: Callable | None = None,
    generate: Callable | None = None,
) -> Misconception:
    parts = {"decoding.next_token_probabilities": distribution, "decoding.generate": generate}
    return Misconception(
        id=f"decoding-{id}",
        problem="decoding",
        replaces={name: function for name, function in parts.items() if function is not None},
        diagnosis=diagnosis,
        hint=hint,
        frequency=frequency,
    )


MISCONCEPTIONS = (
    _wrong(
        "temperature-multiplies",
        "Your logits are multiplied by the temperature, so a low one flattens the distribution.",
        "Does temperature 0.5 make the most probable token more probable, or less?",
        distribution=_distribution(scale=lambda logits, tau: torch.softmax(logits * tau, -1)),
    ),
    _wrong(
        "temperature-ignored",
        "Your distribution is the same at every temperature above 0.",
        "Where does your code use the temperature?",
        distribution=_distribution(scale=lambda logits, tau: torch.softmax(logits, -1)),
    ),
    _wrong(
        "temperature-on-probabilities",
        "Your temperature divides probabilities, and a second softmax follows.",
        "Is your distribution at temperature 1 softmax(logits)?",
        distribution=_distribution(scale=lambda logits, tau: torch.softmax(torch.softmax(logits, -1) / tau, -1)),
    ),
    _wrong(
        "nucleus-before-temperature",
        "Your nucleus is chosen from the distribution at temperature 1, before the temperature is applied.",
        "Which of the two must use the other's result?",
        "common",
        distribution=_nucleus_before_temperature,
    ),
    _wrong(
        "softmax-in-place-of-sum",
        "The probabilities of your nucleus go through a second softmax; they should be divided by their sum.",
        "A nucleus of 0.4 and 0.2: are they 2/3 and 1/3 afterwards?",
        distribution=_softmax_after_nucleus,
    ),
    _wrong(
        "not-renormalised",
        "The probabilities of your nucleus do not add up to 1.",
        "What do the probabilities of the kept tokens add up to?",
        "common",
        distribution=_distribution(nucleus=_nucleus(finish=lambda ranked: ranked)),
    ),
    _wrong(
        "crossing-token-left-out",
        "Your nucleus leaves out the token with which the mass reaches top_p, so its mass is below top_p.",
        "For probabilities 0.5, 0.3, 0.2 and top_p 0.6: which tokens reach at least 0.6 together?",
        "common",
        distribution=_distribution(nucleus=_nucleus(kept=_crossing_token_left_out)),
    ),
    _wrong(
        "empty-nucleus",
        "Your nucleus leaves out the token with which the mass reaches top_p, and is empty when that is the first one.",
        "For probabilities 0.7, 0.3 and top_p 0.6: what is left?",
        "common",
        distribution=_distribution(nucleus=_nucleus(kept=lambda ranked, top_p: ranked.cumsum(-1) <= top_p)),
    ),
    _wrong(
        "one-token-more",
        "Your nucleus has one token more than needed.",
        "For probabilities 0.5, 0.3, 0.2 and top_p 0.6: how many tokens suffice?",
        distribution=_distribution(nucleus=_nucleus(kept=_one_more)),
    ),
    _wrong(
        "more-than-p",
        "Your nucleus takes one more token even if its mass is exactly top_p, which is enough.",
        "For four equal probabilities and top_p 0.5: how many tokens are left?",
        "common",
        distribution=_distribution(nucleus=_nucleus(kept=lambda ranked, top_p: ranked.cumsum(-1) - ranked <= top_p)),
    ),
    _wrong(
        "all-ties-kept",
        "Your nucleus keeps every token that is as probable as its last one, which can be too many.",
        "For ten equal probabilities and top_p 0.5: how many tokens are left?",
        distribution=_distribution(nucleus=_by_value),
    ),
    _wrong(
        "threshold",
        "Your nucleus keeps tokens whose own probability is at least top_p; their sum counts instead.",
        "For probabilities 0.4, 0.35, 0.25 and top_p 0.7: what is left?",
        distribution=_distribution(nucleus=_above_threshold),
    ),
    _wrong(
        "min-p",
        "Your nucleus compares each probability with the largest one; the sum of the largest ones counts instead.",
        "What do the probabilities of the kept tokens add up to?",
        "rare",
        distribution=_distribution(nucleus=_relative_threshold),
    ),
    _wrong(
        "top-k",
        "Your nucleus keeps a fixed share of the vocabulary, whatever the probabilities are.",
        "For probabilities 0.97, 0.01, 0.01, 0.01 and top_p 0.9: how many tokens are left?",
        "rare",
        distribution=_distribution(nucleus=_nucleus(kept=_share_of_vocabulary)),
    ),
    _wrong(
        "left-sorted",
        "You return sorted probabilities, so they are at the wrong tokens' places.",
        "Is token 0 always your most probable one?",
        "common",
        distribution=_distribution(nucleus=_nucleus(unsort=False)),
    ),
    _wrong(
        "least-probable",
        "Your nucleus consists of the least probable tokens.",
        "In which direction does your sort go?",
        distribution=_distribution(nucleus=_nucleus(descending=False)),
    ),
    _wrong(
        "mass-never-reached",
        "At top_p = 1, rounding can keep the sum of all probabilities below 1; your search for where the mass "
        "reaches top_p then finds none and takes the first place.",
        "What does argmax give for a row without any True?",
        distribution=_distribution(nucleus=_nucleus(kept=_search), always=True),
    ),
    _wrong(
        "one-nucleus-for-all",
        "Your nucleus is chosen from the first row and used for all rows of the batch.",
        "Give it two rows that prefer different tokens: which tokens are left in the second?",
        distribution=_distribution(nucleus=_one_for_all),
    ),
    _wrong(
        "nucleus-of-the-batch",
        "Your nucleus is chosen over all rows of the batch together.",
        "Along which dimension do you sort and add up?",
        "rare",
        distribution=_distribution(nucleus=_whole_batch),
    ),
    _wrong(
        "logits-to-zero",
        "You set the logits outside your nucleus to 0, but e^0 is a weight of 1.",
        "Which logit has probability 0?",
        "common",
        distribution=_logits_to_zero,
    ),
    _wrong(
        "overflows",
        "Your softmax overflows at low temperatures, where the scaled logits are large.",
        "What is e^1000 in float32?",
        distribution=_distribution(scale=_naive),
    ),
    _wrong(
        "divides-by-zero",
        "Your temperature 0 divides by zero.",
        "What is 0 / 0, and which logits does a temperature of 0 divide?",
        "common",
        distribution=_distribution(greedy=lambda logits: _scaled(logits, 0.0)),
    ),
    _wrong(
        "ties-shared-at-zero",
        "Your temperature 0 shares the probability among all tokens with the largest logit; one must get all of it.",
        "If two logits are largest, does only one token get probability?",
        "rare",
        distribution=_distribution(greedy=_spread),
    ),
    _wrong(
        "temperature-floor",
        "Your temperature never goes below 0.3.",
        "How close to 1 is the largest probability at temperature 0.01?",
        "rare",
        distribution=_distribution(scale=lambda logits, tau: _scaled(logits, max(tau, 0.3))),
    ),
    _wrong(
        "half-precision",
        "You add up probabilities in the precision of the logits; bfloat16 has only about three digits.",
        "What is 256 + 1 in bfloat16?",
        "common",
        distribution=_distribution(widen=lambda logits: logits),
    ),
    _wrong(
        "logits-changed",
        "Your function divides the logits in place, so the caller's logits change.",
        "What do logits hold after the call?",
        distribution=_in_place,
    ),
    _wrong(
        "first-dimension",
        "Your softmax runs along the first dimension.",
        "Do the probabilities of each row add up to 1?",
        distribution=_distribution(scale=_first_dimension),
    ),
    _wrong(
        "matrices-only",
        "Your function takes only logits of shape [batch, vocab_size].",
        "What happens to logits of shape [vocab_size], or [batch, seq, vocab_size]?",
        distribution=_matrices_only,
    ),
    _wrong(
        "always-greedy",
        "Your generate takes the most probable token at every temperature.",
        "Call it twice with different seeds: are the tokens different?",
        generate=_generation(draw=_most_probable),
    ),
    _wrong(
        "temperature-not-passed-on",
        "Your generate draws at temperature 1, whatever the given temperature.",
        "Which temperature does next_token_probabilities get?",
        generate=_generation(options=lambda temperature, top_p: (1.0, top_p)),
    ),
    _wrong(
        "top-p-not-passed-on",
        "Your generate draws from all tokens, whatever top_p is.",
        "Which top_p does next_token_probabilities get?",
        generate=_generation(options=lambda temperature, top_p: (temperature, 1.0)),
    ),
    _wrong(
        "reads-first-position",
        "Your generate uses the logits of the first position for the next token.",
        "Which of the model's outputs is about the token after the last?",
        "rare",
        generate=_generation(read=lambda windows, logits: logits[:, 0]),
    ),
    _wrong(
        "reads-padding",
        "Your generate uses the logits of the batch's last position, which is padding for a shorter sequence.",
        "At which position does each sequence of the batch end?",
        "common",
        generate=_generation(read=_common_last),
    ),
    _wrong(
        "pads-on-the-left",
        "Your generate pads shorter prompts on the left, and the model treats the padding as text.",
        "What do the tokens of a shorter prompt see before them?",
        "common",
        generate=_generation(pad=_left_padded, read=_common_last),
    ),
    _wrong(
        "cuts-to-shortest",
        "Your generate cuts all sequences to the length of the shortest one.",
        "Does a long prompt continue the same way with a short one beside it as alone?",
        "rare",
        generate=_generation(pad=_cut_to_shortest, read=_common_last),
    ),
    _wrong(
        "last-token-only",
        "Your generate passes only the newest token to the model, without those before it.",
        "What does the model know of the prompt when it draws the second token?",
        generate=_generation(window=lambda tokens, context_length: tokens[-1:]),
    ),
    _wrong(
        "keeps-the-beginning",
        "Your generate keeps the first context_length tokens of a long sequence, and they never change again.",
        "Which tokens should determine the next one when not all fit?",
        generate=_generation(window=lambda tokens, context_length: tokens[:context_length]),
    ),
    _wrong(
        "context-not-limited",
        "Your generate passes more than context_length tokens to the model.",
        "How long is the sequence after context_length new tokens?",
        "common",
        generate=_generation(window=lambda tokens, context_length: tokens),
    ),
    _wrong(
        "stops-at-context-length",
        "Your generate ends when the context is full.",
        "How many tokens do you get when context_length is smaller than max_new_tokens?",
        generate=_generation(
            window=lambda tokens, context_length: (
                None if context_length is not None and len(tokens) > context_length else tokens
            )
        ),
    ),
    _wrong(
        "context-one-short",
        "Your generate passes one token fewer than context_length to the model.",
        "How many tokens does the model get when the context is full?",
        "rare",
        generate=_generation(
            window=lambda tokens, context_length: (
                tokens if context_length is None else tokens[-max(1, context_length - 1) :]
            )
        ),
    ),
    _wrong(
        "stop-token-dropped",
        "Your generate does not return the stop token.",
        "How can a caller tell a sequence that has ended from one that was cut off?",
        "common",
        generate=_generation(finish=_without_stop),
    ),
    _wrong(
        "stop-token-ignored",
        "Your generate continues after the stop token.",
        "What comes after the stop token in your lists?",
        generate=_generation(keeps_going=True),
    ),
    _wrong(
        "one-stop-stops-all",
        "Your generate ends all sequences when one draws the stop token.",
        "What happens to the second sequence when the first has ended?",
        "common",
        generate=_generation(ended=lambda ends, prompts, tokens: [any(ends)] * len(ends)),
    ),
    _wrong(
        "padded-with-stop-tokens",
        "Your generate pads finished sequences with stop tokens to the length of the longest.",
        "How often can the stop token be in one list?",
        generate=_generation(finish=_padded_with_stop),
    ),
    _wrong(
        "stop-token-in-prompt",
        "Your generate ends at once when the stop token is in the prompt.",
        "What if the prompt begins with <|endoftext|>?",
        generate=_stop_in_prompt,
    ),
    _wrong(
        "stop-token-zero",
        "Your generate treats a stop token of 0 as no stop token.",
        "What is `if stop_token` for token 0?",
        generate=_truthy_stop,
    ),
    _wrong(
        "counts-the-prompt",
        "Your generate counts the prompt towards max_new_tokens.",
        "How many new tokens come after a prompt of 9 when 3 are asked for?",
        generate=_generation(budget=lambda prompt, count: max(0, count - len(prompt))),
    ),
    _wrong(
        "one-token-too-many",
        "Your generate appends one token more than max_new_tokens.",
        "How many tokens do you get with max_new_tokens = 0?",
        "rare",
        generate=_generation(budget=lambda prompt, count: count + 1),
    ),
    _wrong(
        "one-token-too-few",
        "Your generate appends one token fewer than max_new_tokens.",
        "How many tokens do you get with max_new_tokens = 1?",
        "rare",
        generate=_generation(budget=lambda prompt, count: max(0, count - 1)),
    ),
    _wrong(
        "returns-the-prompt",
        "Your generate returns the prompt in front of the new tokens.",
        "What is the first item of each list?",
        "common",
        generate=_generation(
            finish=lambda prompts, new, stop_token: [[*p, *n] for p, n in zip(prompts, new, strict=True)]
        ),
    ),
    _wrong(
        "prompts-changed",
        "Your generate appends the new tokens to the caller's own prompts.",
        "What does the caller's prompt hold after the call?",
        generate=_generation(finish=_into_prompts),
    ),
    _wrong(
        "same-draw-for-all-rows",
        "Your generate uses one random number for all sequences of a step.",
        "The same prompt twice in a batch: are the two continuations different?",
        generate=_generation(draw=_same_for_all_rows),
    ),
    _wrong(
        "seeds-at-every-step",
        "Your generate reseeds its randomness at every step, so all steps draw alike.",
        "How often is a generator seeded?",
        "rare",
        generate=_generation(draw=_seeds_again),
    ),
    _wrong(
        "generator-ignored",
        "Your generate draws from torch's global generator even if it gets a generator.",
        "Where does your random call get the generator?",
        "common",
        generate=_generation(draw=_from_global),
    ),
    _wrong(
        "seed-of-its-own",
        "Your generate has its own seed, so every call returns the same tokens.",
        "Call it twice with different seeds: are the tokens different?",
        generate=_own_seed,
    ),
    _wrong(
        "generator-does-not-move-on",
        "Your generate starts from the generator's seed at every call, not from its state.",
        "Two calls with the same generator: are the tokens different?",
        "rare",
        generate=_seeds_per_call,
    ),
    _wrong(
        "stays-in-evaluation-mode",
        "Your generate leaves the model in evaluation mode, so further training has no dropout.",
        "What is model.training before and after?",
        "common",
        generate=_generation(restores=False),
    ),
    _wrong(
        "always-back-to-training",
        "Your generate leaves the model in training mode, even if it was in evaluation mode.",
        "What is model.training before and after?",
        generate=_always_back_to_training,
    ),
    _wrong(
        "calls-in-training-mode",
        "Your generate does not switch the model to evaluation mode; in training mode, dropout is active.",
        "How does active dropout change the generated text?",
        generate=_generation(evaluates=False),
    ),
    _wrong(
        "keeps-gradients",
        "Your generate calls the model with gradients enabled, so autograd keeps activations that nobody needs.",
        "What is logits.requires_grad?",
        "common",
        generate=_generation(gradients=True),
    ),
)
