"""Linear, embedding, softmax, cross-entropy, RMSNorm, SiLU and SwiGLU, and how they are changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .change import GIVEN, OUTPUT, Change, Evaluation, Formula, FormulaStep, Given, normal

# Linear: W x


def _linear(do: Evaluation, d_in: int, d_out: int, weights: Tensor, in_features: Tensor) -> Tensor:
    return do.product(in_features, weights)


def _draw_linear(generator: torch.Generator) -> Sequence[Given]:
    def given(batch: int, seq: int, d_in: int, d_out: int) -> Given:
        x, w = normal(generator, batch, seq, d_in), normal(generator, d_out, d_in)
        return {"d_in": d_in, "d_out": d_out, "weights": w, "in_features": x}

    return given(2, 5, 7, 3), given(6, 6, 6, 6)


LINEAR = Formula(
    "run_linear",
    _linear,
    {"product": FormulaStep("W x", lambda x, w: x @ w.T)},
    (
        Change("product", lambda x, w: x @ w, "x is multiplied by W and not by its transpose (x W instead of x Wᵀ)"),
        Change("product", lambda x, w: x @ w.T + 1, "1 is added to W x, as by a bias of ones"),
        Change("product", lambda x, w: x * w.T, "x and W are multiplied element by element"),
        Change("product", lambda x, w: x.transpose(-1, -2) @ w.T, "x is transposed before it is multiplied by W"),
        Change("product", lambda x, w: w @ x, "W is multiplied by x as a matrix: over positions, not over features"),
        Change("product", lambda x, w: x @ w.T / math.sqrt(x.shape[-1]), "W x is divided by √d_in"),
    ),
    _draw_linear,
    "Linear",
    {"weights": "the weight W", "in_features": "the input x"},
)


# Embedding


def _embedding(do: Evaluation, vocab_size: int, d_model: int, weights: Tensor, token_ids: Tensor) -> Tensor:
    return do.looked_up(do.table(weights), do.ids(token_ids))


def _draw_embedding(generator: torch.Generator) -> Sequence[Given]:
    def given(vocab_size: int, d_model: int) -> Given:
        ids = torch.randint(0, vocab_size - 1, (3, 7), generator=generator)
        weights = normal(generator, vocab_size, d_model)
        return {"vocab_size": vocab_size, "d_model": d_model, "weights": weights, "token_ids": ids}

    return given(9, 4), given(8, 8)


EMBEDDING = Formula(
    "run_embedding",
    _embedding,
    {
        "table": FormulaStep("the table", lambda w: w),
        "ids": FormulaStep("the ids", lambda ids: ids),
        "looked_up": FormulaStep("the vectors", lambda w, ids: w[ids]),
    },
    (
        Change("ids", lambda ids: ids + 1, "ids are counted from 1: id i gives row i + 1"),
        Change("ids", lambda ids: ids - 1, "id i gives row i - 1"),
        Change("table", lambda w: w.T, "columns of the table are looked up instead of rows"),
        Change(
            "table",
            lambda w: w.reshape(-1).reshape(w.T.shape).T,
            "the table is reshaped to [d_model, vocab_size] instead of transposed",
        ),
        Change(
            "table", lambda w: w * math.sqrt(w.shape[-1]), "the vectors are multiplied by √d_model, which is not asked"
        ),
        Change("table", lambda w: w / w.norm(dim=-1, keepdim=True), "every vector is divided by its length"),
        Change(
            "table",
            lambda w: torch.cat([torch.zeros_like(w[:1]), w[1:]]),
            "id 0 is taken for padding and gives a vector of zeros",
        ),
        Change("ids", lambda ids: ids.flip(-1), "each sequence is looked up backwards"),
        Change("ids", lambda ids: ids.sort(-1).values, "the ids are sorted before they are looked up"),
        Change("ids", lambda ids: ids[:1].expand_as(ids), "every sequence gets the vectors of the first one"),
        Change("looked_up", lambda w, ids: w[ids].cumsum(-2), "the vectors are added up along the sequence"),
        Change("looked_up", lambda w, ids: w[ids].transpose(-1, -2), "sequence and features are swapped"),
        Change("looked_up", lambda w, ids: w[ids].transpose(0, 1), "batch and sequence are swapped"),
        Change(
            "looked_up", lambda w, ids: torch.nn.functional.one_hot(ids, len(w)).double(), "the ids come out one-hot"
        ),
    ),
    _draw_embedding,
    "the embedding",
)


# Softmax


def _softmax(do: Evaluation, in_features: Tensor, dim: int) -> Tensor:
    along = do.dimension(in_features, dim)
    powers = do.powers(do.shifted(in_features, along))
    return do.quotient(powers, do.sum_of_powers(powers, along))


def _draw_softmax(generator: torch.Generator) -> Sequence[Given]:
    plain, cube = normal(generator, 3, 5, scale=1.5), normal(generator, 4, 4, 4, scale=1.5)
    levels = plain + torch.tensor([[-300.0], [0.0], [300.0]])  # where it shows what is subtracted
    wide, closed = plain + torch.linspace(-60, 60, 5), plain.clone()
    closed[torch.arange(3), torch.arange(3)] = -torch.inf
    along_last = [plain, plain + 200, plain - 200, levels, wide, closed]
    return [{"in_features": x, "dim": dim} for x, dim in (*((x, -1) for x in along_last), (cube, 1), (cube, -1))]


SOFTMAX = Formula(
    "run_softmax",
    _softmax,
    {
        "dimension": FormulaStep("the dimension", lambda x, dim: dim),
        "shifted": FormulaStep("x less its maximum", lambda x, dim: x - x.detach().amax(dim, keepdim=True)),
        "powers": FormulaStep("e^x", torch.exp),
        "sum_of_powers": FormulaStep("the sum of e^x", lambda e, dim: e.sum(dim, keepdim=True)),
        "quotient": FormulaStep("the probabilities", lambda e, total: e / total),
    },
    (
        Change("quotient", lambda e, total: e, "e^x is not divided by its sum"),
        Change("dimension", lambda x, dim: -1, "softmax always goes along the last dimension, whatever `dim` says"),
        Change("dimension", lambda x, dim: 0, "softmax goes along the first dimension"),
        Change("dimension", lambda x, dim: 1, "softmax goes along the second dimension"),
        Change("dimension", lambda x, dim: -2, "softmax goes along the last dimension but one"),
        Change("dimension", lambda x, dim: -3, "softmax goes along the third dimension from the back"),
        Change(
            "dimension",
            lambda x, dim: tuple(range(x.ndim)),
            "softmax goes over the whole tensor, so that all of it together adds up to 1",
        ),
        Change(
            "sum_of_powers",
            lambda e, dim: e.sum(),
            "e^x is divided by the sum over the whole tensor, and not over one dimension",
        ),
        Change(
            "sum_of_powers", lambda e, dim: e.sum(-1, keepdim=True), "e^x is divided by its sum over the last dimension"
        ),
        Change(
            "sum_of_powers", lambda e, dim: e.sum(0, keepdim=True), "e^x is divided by its sum over the first dimension"
        ),
        Change(
            "sum_of_powers",
            lambda e, dim: e.sum(dim),
            "the sum of e^x loses its dimension (no keepdim), so that it lines up with the wrong one",
        ),
        Change("sum_of_powers", lambda e, dim: e.mean(dim, keepdim=True), "e^x is divided by its mean, not its sum"),
        Change("sum_of_powers", lambda e, dim: e.amax(dim, keepdim=True), "e^x is divided by its maximum, not its sum"),
        Change(
            "sum_of_powers", lambda e, dim: e.norm(dim=dim, keepdim=True), "e^x is divided by its length, not its sum"
        ),
        *(
            Change(
                "sum_of_powers",
                lambda e, dim, more=more: e.sum(dim, keepdim=True) + more,
                f"{more:g} is added to the sum of e^x, so that the probabilities do not add up to 1",
            )
            for more in (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
        ),
        Change(
            "sum_of_powers",
            lambda e, dim: e.sum(dim, keepdim=True).detach(),
            "no gradient passes the sum of e^x",
        ),
        Change("quotient", lambda e, total: e * total, "e^x is multiplied by its sum and not divided by it"),
        Change("quotient", lambda e, total: (e / total).log(), "the logarithm of the probabilities is returned"),
        Change("quotient", lambda e, total: total.log().expand_as(e), "only the logarithm of the sum is returned"),
        Change("quotient", lambda e, total: 1 - e / total, "1 - p is returned instead of p"),
        Change("powers", lambda x: x, "the exponential is left out: x itself is divided by its sum"),
        Change("powers", torch.exp2, "powers of 2 are taken instead of powers of e"),
        Change("powers", lambda x: x.neg().exp(), "e^-x is taken instead of e^x"),
        Change("powers", torch.square, "squares are taken instead of e^x"),
        Change("powers", torch.sigmoid, "the sigmoid is taken instead of e^x"),
        Change("powers", lambda x: x.exp() + 1e-8, "a small number is added to each e^x"),
        Change("powers", lambda x: x.exp().exp(), "the exponential is taken twice"),
        Change(
            "shifted",
            lambda x, dim: _as_float32_sees(x),
            "e^x is taken of x itself, without subtracting the maximum, and overflows",
        ),
        Change(
            "shifted",
            lambda x, dim: _as_float32_sees(x - x.amax()),
            "the maximum of the whole tensor is subtracted and not that of each row, so that e^x of low rows is 0",
        ),
        Change(
            "shifted",
            lambda x, dim: _as_float32_sees(x - x.mean(dim, keepdim=True)),
            "the mean is subtracted instead of the maximum",
        ),
        Change(
            "shifted",
            lambda x, dim: _as_float32_sees(x - x.amin(dim, keepdim=True)),
            "the minimum is subtracted instead of the maximum",
        ),
        Change(
            "shifted",
            lambda x, dim: _as_float32_sees(x - x.abs().amax(dim, keepdim=True)),
            "the largest absolute value is subtracted instead of the maximum",
        ),
        Change(
            "shifted",
            lambda x, dim: _as_float32_sees(x - x.abs().amax()),
            "the largest absolute value of the whole tensor is subtracted instead of each row's maximum",
        ),
        *(
            Change(
                "shifted",
                lambda x, dim, most=most: x.clamp(-most, most),
                f"x is limited to -{most:g} .. {most:g} before e^x is taken",
            )
            for most in (10.0, 20.0, 30.0, 50.0, 60.0, 80.0, 88.0, 100.0)
        ),
        Change("shifted", lambda x, dim: x - x.amax(dim), "the maximum loses its dimension (no keepdim)"),
        Change("shifted", lambda x, dim: x / x.amax(dim, keepdim=True), "x is divided by its maximum"),
        Change(
            "shifted",
            lambda x, dim: (x - x.mean(dim, keepdim=True)) / x.std(dim, keepdim=True, correction=0),
            "x is standardised before e^x is taken",
        ),
        Change("shifted", lambda x, dim: x.softmax(dim), "softmax is applied twice"),
        Change("shifted", lambda x, dim: x.nan_to_num(neginf=0.0), "minus infinity is taken for 0"),
        Change(
            OUTPUT,
            lambda y, given: y.movedim(given["dim"], -1),
            "the dimension is moved to the end, and not moved back",
        ),
    ),
    _draw_softmax,
    "softmax",
    {"in_features": "the input"},
)


def _as_float32_sees(x: Tensor) -> Tensor:
    """With infinity where e^x is infinite in float32, and minus infinity where it is 0."""
    powers = x.float().exp()
    return torch.where(powers.isinf(), torch.inf, torch.where(powers == 0, -torch.inf, x))


# Cross-entropy


def _cross_entropy(do: Evaluation, inputs: Tensor, targets: Tensor) -> Tensor:
    logarithms = do.log_probabilities(inputs)
    return do.reduced(do.counted(do.loss_of_each(do.at_targets(logarithms, do.targets(targets))), targets))


def _pick(values: Tensor, targets: Tensor) -> Tensor:
    return values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def _draw_cross_entropy(generator: torch.Generator) -> Sequence[Given]:
    def given(logits: Tensor) -> Given:
        return {"inputs": logits, "targets": torch.randint(0, 6, (len(logits),), generator=generator)}

    plain, square = normal(generator, 5, 7, scale=1.5), normal(generator, 7, 7, scale=1.5)
    levels = plain + torch.tensor([-300.0, -40.0, 0.0, 40.0, 300.0])[:, None]  # where it shows what is subtracted
    return (
        given(plain),
        given(square),
        given(12 * plain),
        given(40 * plain),
        given(levels),
        given(plain + 200),
        given(plain - 200),
    )


_OR = " (or they are kept above it), so that no loss can exceed -log of it"


def _log_softmax_of(shifted: Tensor) -> Tensor:
    """With the sum of e^x as float32 sees it, 0 where all of it is too small."""
    return shifted - shifted.float().exp().sum(-1, keepdim=True).log().double()


def _log_of(eps: float) -> Callable[[Tensor], Tensor]:
    return lambda x: (x.float().softmax(-1) + eps).log().double()


def _clamped_log(eps: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x.float().softmax(-1).clamp(min=eps).log().double()


def _with_log_of_sum(x: Tensor, base: int) -> Tensor:
    """Logarithms of probabilities where only that of the sum, less the maximum, has another base."""
    top = x.amax(-1, keepdim=True)
    return x - top - (x - top).exp().sum(-1, keepdim=True).log() / math.log(base)


CROSS_ENTROPY = Formula(
    "run_cross_entropy",
    _cross_entropy,
    {
        "targets": FormulaStep("the targets", lambda t: t),
        "log_probabilities": FormulaStep("log softmax(logits)", lambda x: x.log_softmax(-1)),
        "at_targets": FormulaStep("the logarithms at the targets", _pick),
        "loss_of_each": FormulaStep("-log p of each target", torch.neg),
        "counted": FormulaStep("the losses", lambda losses, targets: losses),
        "reduced": FormulaStep("the mean", torch.mean),
    },
    (
        Change("reduced", torch.sum, "the losses are added up and not averaged"),
        Change(
            OUTPUT,
            lambda loss, given: loss * given["targets"].numel() / given["inputs"].shape[-1],
            "the sum of the losses is divided by the number of classes, not of losses",
        ),
        Change("loss_of_each", lambda p: p, "the minus sign before the logarithm is missing"),
        Change("loss_of_each", lambda p: -p / math.log(2), "the logarithm has base 2 instead of e"),
        Change("loss_of_each", lambda p: -p / math.log(10), "the logarithm has base 10 instead of e"),
        *(
            Change(
                "log_probabilities",
                lambda x, base=base: _with_log_of_sum(x, base),
                f"the logarithm of the sum of e^x has base {base} instead of e",
            )
            for base in (2, 10)
        ),
        Change("loss_of_each", lambda p: -p.exp(), "the logarithm is left out: -p is averaged instead of -log p"),
        Change("loss_of_each", lambda p: -p.detach(), "no gradient reaches the logits"),
        Change("loss_of_each", torch.exp, "p is averaged instead of -log p"),
        Change("loss_of_each", lambda p: 1 - p.exp(), "1 - p is averaged instead of -log p"),
        *(
            Change(
                "loss_of_each",
                lambda p, most=most: (-p).clamp(max=most),
                f"the loss of each target is cut at {most}: what is larger counts as {most}",
            )
            for most in (100, 50, 20, 10)
        ),
        Change("reduced", lambda losses: losses.mean().exp(), "the perplexity e^loss is returned, not the loss"),
        Change(
            "reduced",
            lambda losses: losses.sum() / len(losses),
            "the sum is divided by the size of the first dimension only",
        ),
        Change(
            "counted",
            lambda losses, targets: losses[targets != 0],
            "rows whose target is 0 are left out, as if it were padding",
        ),
        Change(
            "counted",
            lambda losses, targets: losses * (targets != 0),
            "rows whose target is 0 count as a loss of 0, as if it were padding",
        ),
        Change("reduced", lambda losses: losses, "the loss of each row is returned, not their mean"),
        Change("reduced", lambda losses: losses.median(), "the median of the losses is returned, not their mean"),
        Change("reduced", lambda losses: losses.amax(), "the largest loss is returned, not the mean"),
        Change("reduced", lambda losses: losses.reshape(-1)[0], "only the first loss is returned"),
        Change("reduced", lambda losses: losses.reshape(-1)[-1], "only the last loss is returned"),
        Change("reduced", lambda losses: losses.mean(-1), "losses are averaged over the last dimension only"),
        Change("reduced", lambda losses: losses.mean(0), "losses are averaged over the first dimension only"),
        Change(
            "reduced",
            lambda losses: losses.sum() / max(losses.numel() - 1, 1),
            "the sum is divided by one less than the number of losses",
        ),
        Change("targets", lambda t: t + 1, "the class after the target is looked up: targets are counted from 1"),
        Change("targets", lambda t: t - 1, "the class before the target is looked up: targets are counted from 1"),
        Change("targets", lambda t: t.roll(-1, -1), "targets are shifted by one place against their logits"),
        Change("targets", lambda t: t.roll(1, -1), "targets are shifted back by one place against their logits"),
        Change("log_probabilities", lambda x: x.log_softmax(0), "softmax goes over the batch, not over the vocabulary"),
        Change(
            "log_probabilities",
            lambda x: x - x.logsumexp(tuple(range(x.ndim))),
            "softmax goes over the whole tensor, not over each row",
        ),
        Change("log_probabilities", lambda x: x, "softmax is left out: the logit of the target is taken for log p"),
        Change("log_probabilities", torch.log, "softmax is left out: the logarithm is taken of the logits"),
        Change("log_probabilities", lambda x: x.softmax(-1), "the logarithm is left out: the loss is -p of the target"),
        Change("log_probabilities", lambda x: x.softmax(-1).log_softmax(-1), "softmax is applied twice"),
        Change("log_probabilities", torch.nn.functional.logsigmoid, "the sigmoid is taken instead of softmax"),
        Change(
            "log_probabilities",
            lambda x: x - x.amax(-1, keepdim=True),
            "the logarithm of the sum of e^x is left out: only the maximum is subtracted",
        ),
        Change(
            "log_probabilities",
            lambda x: x - (x - x.amax(-1, keepdim=True)).logsumexp(-1, keepdim=True),
            "the maximum is subtracted inside the logarithm of the sum, but not from the logit of the target",
        ),
        Change(
            "log_probabilities",
            lambda x: x - x.amax(-1, keepdim=True) - x.logsumexp(-1, keepdim=True),
            "the maximum is subtracted from the logit of the target, but not inside the logarithm of the sum",
        ),
        Change(
            "log_probabilities",
            lambda x: x + x.logsumexp(-1, keepdim=True),
            "the logarithm of the sum has the wrong sign",
        ),
        Change(
            "log_probabilities",
            lambda x: x - x.exp().mean(-1, keepdim=True).log(),
            "e^x is averaged over the vocabulary instead of added up",
        ),
        Change(
            "log_probabilities",
            lambda x: x - x.exp().sum(-1, keepdim=True),
            "the sum of e^x is subtracted, not its logarithm",
        ),
        Change(
            "log_probabilities",
            lambda x: x.float().softmax(-1).log().double(),
            "the logarithm is taken of the finished softmax, which rounds to 0",
        ),
        Change(
            "log_probabilities",
            _log_softmax_of,
            "the sum of e^x is taken without subtracting the maximum first, and overflows",
        ),
        Change(
            "log_probabilities",
            lambda x: x - x.logsumexp(-1, keepdim=True).detach(),
            "no gradient passes the logarithm of the sum",
        ),
        Change(
            "log_probabilities",
            lambda x: _log_softmax_of(x - x.amax()),
            "the maximum of the whole batch is subtracted and not that of each row, so that e^x of low rows is 0",
        ),
        Change(
            "log_probabilities",
            lambda x: _log_softmax_of(x - x.amax(0, keepdim=True)),
            "the maximum is taken over the batch and not over the vocabulary, which changes the softmax",
        ),
        Change(
            "log_probabilities",
            lambda x: x - x.amax(0, keepdim=True) - x.logsumexp(-1, keepdim=True),
            "the maximum over the batch is subtracted from the logit of the target",
        ),
        Change(
            "log_probabilities",
            lambda x: (x.float().exp() / x.float().exp().sum(-1, keepdim=True)).log().double(),
            "e^x is taken without subtracting the maximum, and overflows",
        ),
        *(
            Change("log_probabilities", _log_of(eps), f"{eps:g} is added to probabilities before the logarithm{_OR}")
            for eps in (1e-8, 1e-10, 1e-9, 1e-12, 1e-20)
        ),
        *(
            Change(
                "log_probabilities",
                _clamped_log(eps),
                f"probabilities are kept above {eps:g} (or it is added to them), so that no loss can exceed -log of it",
            )
            for eps in (1e-8, 1e-10, 1e-9, 1e-12, 1e-20)
        ),
        *(
            Change("log_probabilities", _log_of(eps), f"{eps:g} is added to the probability before the logarithm")
            for eps in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
        ),
        *(
            Change("log_probabilities", _clamped_log(eps), f"probabilities below {eps:g} are raised to {eps:g}")
            for eps in (1e-7, 1e-6, 1e-5, 1e-4)
        ),
        Change("at_targets", lambda p, t: p.mean(-1), "the mean over all classes is taken, not the target's value"),
        Change("at_targets", lambda p, t: p.sum(-1), "the sum over all classes is taken, not the target's value"),
        Change("at_targets", lambda p, t: p.amax(-1), "the largest probability is taken, not that of the target"),
        *(
            Change(
                "at_targets",
                lambda p, t, share=share: (1 - share) * _pick(p, t) + share * p.mean(-1),
                f"targets are smoothed: a share of {share:g} goes to all classes alike",
            )
            for share in (0.1, 0.05, 0.2, 0.01)
        ),
        Change("reduced", lambda losses: losses.square().mean(), "the losses are squared before they are averaged"),
        Change("at_targets", lambda p, t: p[..., 0], "the first class is always taken for the target"),
        Change("at_targets", lambda p, t: p[:, t], "every row looks up the targets of all rows: [batch, batch] values"),
        Change("at_targets", lambda p, t: p.gather(0, t.unsqueeze(-1)), "targets are looked up along the batch"),
        Change(
            "at_targets",
            lambda p, t: p * torch.nn.functional.one_hot(t, p.shape[-1]),
            "the mean goes over all classes too: the product with the one-hot target is not summed up first",
        ),
    ),
    _draw_cross_entropy,
    "cross-entropy",
    {"inputs": "the logits"},
)


# RMSNorm


def _rmsnorm(do: Evaluation, d_model: int, eps: float, weights: Tensor, in_features: Tensor) -> Tensor:
    x = do.to_normalise(in_features)
    return do.gained(do.normalised(x, do.root(do.mean_square(x), do.eps(eps))), weights)


def _draw_rmsnorm(generator: torch.Generator) -> Sequence[Given]:
    x = normal(generator, 6, 6, 6) * torch.tensor([3e-3, 1e-2, 1e-1, 1.0, 1.0, 10.0])[:, None] + 2e-3
    gain = 0.5 + torch.rand(6, generator=generator)
    square = {"d_model": 6, "eps": 3e-4, "weights": gain, "in_features": x}
    return {**square, "in_features": x[:2, 1:4].clone()}, square


RMSNORM = Formula(
    "run_rmsnorm",
    _rmsnorm,
    {
        "to_normalise": FormulaStep("x", lambda x: x),
        "eps": FormulaStep("eps", lambda eps: eps),
        "mean_square": FormulaStep("the mean of squares", lambda x: x.square().mean(-1, keepdim=True)),
        "root": FormulaStep("the root mean square", lambda mean, eps: (mean + eps).sqrt()),
        "normalised": FormulaStep("x / RMS(x)", lambda x, rms: x / rms),
        "gained": FormulaStep("x / RMS(x) times the gain", lambda y, gain: y * gain),
    },
    (
        Change("root", lambda mean, eps: mean.sqrt() + eps, "eps is added outside the root: √mean(x²) + eps"),
        Change("root", lambda mean, eps: mean.sqrt(), "eps is left out"),
        *(
            Change("eps", lambda eps, own=own: own, f"eps is always {own:g}, whatever the argument says")
            for own in (1e-5, 1e-6, 1e-8, 1e-12, 1e-7, 1e-4, 1e-3)
        ),
        Change("eps", lambda eps: eps**2, "eps is squared"),
        Change("eps", math.sqrt, "the root of eps is added, not eps itself"),
        Change("root", lambda mean, eps: mean + eps, "the root is left out: x is divided by the mean square"),
        Change("root", lambda mean, eps: mean.clamp(min=eps).sqrt(), "eps is a lower bound of the mean square"),
        Change("root", lambda mean, eps: mean.sqrt().clamp(min=eps), "eps is a lower bound of the root"),
        Change("root", lambda mean, eps: (mean + eps).square(), "the square is taken instead of the root"),
        Change("mean_square", lambda x: x.square().sum(-1, keepdim=True), "squares are added up and not averaged"),
        Change(
            "mean_square",
            lambda x: x.square().sum(-1, keepdim=True) / (x.shape[-1] - 1),
            "the sum of squares is divided by d_model - 1",
        ),
        Change(
            "mean_square", lambda x: x.square().mean(), "the mean square goes over the whole tensor, not each vector"
        ),
        Change(
            "mean_square",
            lambda x: x.square().mean(-2, keepdim=True),
            "the mean square goes over the sequence, not over the features",
        ),
        Change(
            "mean_square",
            lambda x: x.square().mean(0, keepdim=True),
            "the mean square goes over the batch, not over the features",
        ),
        Change(
            "mean_square",
            lambda x: x.square().mean((-1, -2), keepdim=True),
            "the mean square goes over sequence and features together",
        ),
        Change(
            "mean_square",
            lambda x: x.square().mean(-1),
            "the mean loses its dimension (no keepdim), so that it lines up with the wrong one",
        ),
        Change(
            "mean_square", lambda x: x.mean(-1, keepdim=True).square(), "the mean is squared: mean(x)², not mean(x²)"
        ),
        Change("mean_square", lambda x: x.mean(-1, keepdim=True), "the square is left out: the mean of x is taken"),
        Change(
            "mean_square", lambda x: x.abs().mean(-1, keepdim=True).square(), "the mean of |x| is taken for the RMS"
        ),
        Change("mean_square", lambda x: x.abs().mean(-1, keepdim=True), "the mean of |x| is taken instead of x²"),
        Change(
            "mean_square", lambda x: x.var(-1, keepdim=True, correction=0), "the variance is taken, not the mean square"
        ),
        Change(
            "mean_square",
            lambda x: x.var(-1, keepdim=True) if x.shape[-1] > 1 else x,
            "the variance (over d - 1) is taken, not the mean square",
        ),
        Change("mean_square", lambda x: x.amax(-1, keepdim=True).square(), "x is divided by its maximum"),
        Change(
            "mean_square", lambda x: x.detach().square().mean(-1, keepdim=True), "no gradient passes the mean square"
        ),
        Change(
            "to_normalise",
            lambda x: x - x.mean(-1, keepdim=True),
            "the mean is subtracted before x is normalised, as in LayerNorm",
        ),
        Change(
            GIVEN,
            lambda given: (
                given
                | {"in_features": given["in_features"] * given["weights"], "weights": torch.ones_like(given["weights"])}
            ),
            "the gain is multiplied in before the RMS is taken, and so is part of it",
        ),
        Change(
            GIVEN,
            lambda given: given | {"in_features": given["in_features"] * given["weights"]},
            "the gain is multiplied in before the RMS is taken, and once more after it",
        ),
        Change("normalised", lambda x, rms: x * rms, "x is multiplied by the RMS and not divided by it"),
        Change("normalised", lambda x, rms: x, "x is not divided by its RMS"),
        Change("normalised", lambda x, rms: 1 / rms.expand_as(x), "1 / RMS is returned: the product with x is missing"),
        Change("normalised", lambda x, rms: x / rms.square(), "x is divided by the RMS twice"),
        Change(
            "normalised",
            lambda x, rms: (x - x.mean(-1, keepdim=True)) / rms,
            "the mean is subtracted after the RMS is taken",
        ),
        Change("gained", lambda y, gain: y, "the gain is left out"),
        Change("gained", lambda y, gain: y * (1 + gain), "the gain is 1 + weight instead of the weight"),
        Change("gained", lambda y, gain: y + gain, "the gain is added and not multiplied"),
        Change("gained", lambda y, gain: y * gain.square(), "the gain is applied twice"),
        Change("gained", lambda y, gain: y / gain, "x is divided by the gain and not multiplied"),
        Change(
            "gained", lambda y, gain: y * gain[:, None], "the gain lines up with the sequence, not with the features"
        ),
        Change("gained", lambda y, gain: y @ gain, "the gain is a dot product with x, not element by element"),
        Change("gained", lambda y, gain: y * gain.mean(), "one number, the mean gain, multiplies all features"),
        Change(
            "gained", lambda y, gain: y * gain.sqrt(), "the root of the gain is taken, as if it stood under the root"
        ),
    ),
    _draw_rmsnorm,
    "RMSNorm",
    {"weights": "the gain", "in_features": "x"},
)


# SiLU and SwiGLU


def _silu(do: Evaluation, in_features: Tensor) -> Tensor:
    return do.activated(in_features)


def _draw_silu(generator: torch.Generator) -> Sequence[Given]:
    plain, far = normal(generator, 3, 5, scale=2.0), torch.tensor([[-300.0, -60.0, -1.0, 60.0, 300.0]])
    return {"in_features": plain}, {"in_features": far}


_ACTIVATIONS: tuple[tuple[Callable[[Tensor], Tensor], str], ...] = (
    (torch.sigmoid, "the activation is sigmoid(x) instead of SiLU: the product with x is missing"),
    (torch.relu, "the activation is ReLU instead of SiLU"),
    (torch.nn.functional.gelu, "the activation is GELU instead of SiLU"),
    (
        lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        "the activation is GELU (its tanh approximation) instead of SiLU",
    ),
    (lambda x: x * torch.sigmoid(1.702 * x), "the activation is x sigmoid(1.702 x), an approximation of GELU"),
    (torch.tanh, "the activation is tanh instead of SiLU"),
    (lambda x: x * torch.tanh(x), "SiLU takes the tanh instead of the sigmoid"),
    (lambda x: x * torch.sigmoid(-x), "SiLU takes sigmoid(-x): the exponent has the wrong sign (x / (1 + e^x))"),
    (lambda x: -x * torch.sigmoid(x), "SiLU has the wrong sign"),
    (lambda x: x + torch.sigmoid(x), "SiLU adds x and sigmoid(x) instead of multiplying them"),
    (lambda x: x, "the activation is left out"),
    (lambda x: x.square() * torch.sigmoid(x), "SiLU multiplies by x twice"),
    (lambda x: x * torch.sigmoid(x).square(), "SiLU multiplies by the sigmoid twice"),
    (lambda x: torch.sigmoid(x) * (1 + x * (1 - torch.sigmoid(x))), "the derivative of SiLU is taken"),
    (lambda x: torch.sigmoid(x) * (1 - torch.sigmoid(x)), "the derivative of the sigmoid is taken"),
    (lambda x: x / (1 - x.neg().exp()), "SiLU divides by 1 - e^-x instead of 1 + e^-x"),
    (lambda x: x * x.neg().exp() / (1 + x.neg().exp()), "SiLU is x e^-x / (1 + e^-x)"),
    (lambda x: x / (1 + x.abs()), "the activation is softsign, x / (1 + |x|), instead of SiLU"),
    (
        lambda x: x * (x.float().exp() / (1 + x.float().exp())).double(),
        "SiLU computes e^x / (1 + e^x) directly, which overflows for large x",
    ),
    (torch.nn.functional.softplus, "the activation is softplus, log(1 + e^x), instead of SiLU"),
    (torch.nn.functional.mish, "the activation is Mish, x tanh(softplus(x)), instead of SiLU"),
    (torch.nn.functional.elu, "the activation is ELU instead of SiLU"),
    (torch.nn.functional.leaky_relu, "the activation is leaky ReLU instead of SiLU"),
    (lambda x: torch.relu(x).square(), "the activation is the square of ReLU instead of SiLU"),
    (torch.nn.functional.hardswish, "the activation is hard swish instead of SiLU"),
    (lambda x: x * x.softmax(-1), "SiLU takes softmax(x) instead of the sigmoid"),
    (lambda x: x.softmax(-1), "the activation is softmax instead of SiLU"),
    (lambda x: x * torch.sigmoid(x).detach(), "no gradient passes the sigmoid in SiLU"),
    (lambda x: x.clamp(-20, 20) * torch.sigmoid(x.clamp(-20, 20)), "x is limited to -20 .. 20 before SiLU"),
    (lambda x: 2 * x * torch.sigmoid(x), "SiLU is taken twice as large"),
)

SILU = Formula(
    "run_silu",
    _silu,
    {"activated": FormulaStep("silu(x)", torch.nn.functional.silu)},
    tuple(Change("activated", function, words) for function, words in _ACTIVATIONS),
    _draw_silu,
    "SiLU",
    {"in_features": "x"},
)


def _swiglu(
    do: Evaluation,
    d_model: int,
    d_ff: int,
    w1_weight: Tensor,
    w2_weight: Tensor,
    w3_weight: Tensor,
    in_features: Tensor,
) -> Tensor:
    first, third = do.first(in_features, w1_weight), do.third(in_features, w3_weight)
    return do.second(do.hidden(do.gate(do.part("run_silu", in_features=first)), third, first), w2_weight)


def _draw_swiglu(generator: torch.Generator) -> Sequence[Given]:
    def given(d_model: int, d_ff: int) -> Given:
        shapes = {"w1_weight": (d_ff, d_model), "w2_weight": (d_model, d_ff), "w3_weight": (d_ff, d_model)}
        weights = {name: normal(generator, *shape, scale=0.7 * d_model**-0.5) for name, shape in shapes.items()}
        return {"d_model": d_model, "d_ff": d_ff, **weights, "in_features": normal(generator, 2, 3, d_model, scale=2)}

    return given(24, 64), given(6, 6)


def _silu_of(x: Tensor) -> Tensor:
    return torch.nn.functional.silu(x)


SWIGLU = Formula(
    "run_swiglu",
    _swiglu,
    {
        "first": FormulaStep("W1 x", lambda x, w: x @ w.T),
        "third": FormulaStep("W3 x", lambda x, w: x @ w.T),
        "gate": FormulaStep("silu(W1 x)", lambda gate: gate),
        "hidden": FormulaStep("silu(W1 x) * W3 x", lambda gate, third, first: gate * third),
        "second": FormulaStep("the output of W2", lambda hidden, w: hidden @ w.T),
    },
    (
        Change("hidden", lambda gate, third, first: first * _silu_of(third), "SiLU is applied to W3 x and not to W1 x"),
        Change("hidden", lambda gate, third, first: gate, "the gate is missing: W3 x is not multiplied in"),
        Change("hidden", lambda gate, third, first: third, "W1 x is missing: only W3 x is passed on"),
        Change(
            "hidden",
            lambda gate, third, first: first * third,
            "SiLU is left out: W1 x and W3 x are multiplied as they are",
        ),
        Change("hidden", lambda gate, third, first: gate + third, "the two branches are added and not multiplied"),
        Change(
            "hidden",
            lambda gate, third, first: _silu_of(first * third),
            "SiLU is applied after the two branches are multiplied",
        ),
        Change("hidden", lambda gate, third, first: gate * _silu_of(third), "SiLU is applied to both branches"),
        Change("hidden", lambda gate, third, first: gate * first, "W1 x is used in both branches, and W3 not at all"),
        Change(
            "hidden",
            lambda gate, third, first: _silu_of(third) * third,
            "W3 x is used in both branches, and W1 not at all",
        ),
        Change("hidden", lambda gate, third, first: torch.sigmoid(third) * first, "W3 x gates W1 x with the sigmoid"),
        Change("hidden", lambda gate, third, first: _silu_of(gate) * third, "SiLU is applied twice to W1 x"),
        Change("gate", lambda gate: gate.detach(), "no gradient passes the gate"),
        Change("second", lambda hidden, w: hidden, "W2 is left out"),
        Change("second", lambda hidden, w: _silu_of(hidden @ w.T), "SiLU is applied to the output, too"),
        Change("second", lambda hidden, w: torch.relu(hidden @ w.T), "ReLU is applied to the output"),
        Change(
            "second", lambda hidden, w: hidden @ w, "the hidden vector is multiplied by W2 and not by its transpose"
        ),
        Change("first", lambda x, w: x @ w, "x is multiplied by W1 and not by its transpose"),
        Change("third", lambda x, w: x @ w, "x is multiplied by W3 and not by its transpose"),
        Change(
            "first", lambda x, w: x @ w.reshape(w.T.shape), "W1 is reshaped to [d_model, d_ff] instead of transposed"
        ),
        Change(
            "third", lambda x, w: x @ w.reshape(w.T.shape), "W3 is reshaped to [d_model, d_ff] instead of transposed"
        ),
        Change(
            "second", lambda h, w: h @ w.reshape(w.T.shape), "W2 is reshaped to [d_ff, d_model] instead of transposed"
        ),
    ),
    _draw_swiglu,
    "SwiGLU",
    {"w1_weight": "W1", "w2_weight": "W2", "w3_weight": "W3", "in_features": "x"},
    (),
    ("run_silu",),
)

LAYERS: tuple[Formula, ...] = (LINEAR, EMBEDDING, SOFTMAX, CROSS_ENTROPY, RMSNORM, SILU, SWIGLU)
