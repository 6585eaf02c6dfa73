"""A training step of the reference beside the same one made of torch's own modules, both eager.

    python -m benchmarks.step [--rounds N]
    python -m benchmarks.step --parts        which part of a step takes longer, forward and backward

The twin has the same weights, is given the same batches, and has to have the same losses. It takes from torch Linear,
Embedding, RMSNorm, scaled_dot_product_attention, silu, cross_entropy, clip_grad_norm_ and AdamW. RoPE is the
reference's in both, since torch has none. The two take turns, step by step.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.reference.accounting import ModelConfig
from grader.reference.attention import CausalMultiHeadSelfAttention
from grader.reference.layers import Linear, RMSNorm, silu
from grader.reference.loss import cross_entropy
from grader.reference.optimizer import AdamW, gradient_clipping
from grader.reference.rope import RotaryPositionalEmbedding
from grader.reference.transformer import TransformerLM


@dataclass(frozen=True)
class Size:
    """A model, and how many sequences are in a batch."""

    model: ModelConfig
    batch_size: int


SIZES = {
    "small": Size(ModelConfig(1024, 64, num_layers=2, d_model=128, num_heads=4, d_ff=344), batch_size=16),
    "as in the handout": Size(
        ModelConfig(10_000, 256, num_layers=4, d_model=512, num_heads=16, d_ff=1344), batch_size=4
    ),
}
THETA, LR, WEIGHT_DECAY, MAX_NORM = 10_000.0, 3e-4, 0.1, 1.0


class _Attention(nn.Module):
    def __init__(self, d_model: int, num_heads: int, max_seq_len: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.output_proj = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(4)
        )
        self.rope = RotaryPositionalEmbedding(THETA, d_model // num_heads, max_seq_len)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            projection(x).unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        positions = torch.arange(x.shape[-2])
        q, k = self.rope(q, positions), self.rope(k, positions)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output_proj(attended.transpose(-3, -2).flatten(-2))


class _FeedForward(nn.Module):
    def __init__(self, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.w1, self.w3 = (nn.Linear(d_model, d_ff, bias=False) for _ in range(2))
        self.w2 = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class _Block(nn.Module):
    def __init__(self, d_model: int, num_heads: int, d_ff: int, max_seq_len: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = (nn.RMSNorm(d_model, eps=1e-5) for _ in range(2))
        self.attn = _Attention(d_model, num_heads, max_seq_len)
        self.ffn = _FeedForward(d_model, d_ff)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class Twin(nn.Module):
    """The model of `TransformerLM`, made of torch's modules, with the same names."""

    def __init__(self, shape: ModelConfig) -> None:
        super().__init__()
        self.token_embeddings = nn.Embedding(shape.vocab_size, shape.d_model)
        self.layers = nn.ModuleList(
            _Block(shape.d_model, shape.num_heads, shape.d_ff, shape.context_length) for _ in range(shape.num_layers)
        )
        self.ln_final = nn.RMSNorm(shape.d_model, eps=1e-5)
        self.lm_head = nn.Linear(shape.d_model, shape.vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token_embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.ln_final(x))


def steps(size: str) -> tuple[Callable[[], float], Callable[[], float]]:
    """A training step of the reference, and one of its twin; each gives the loss. Batches are the same in turn."""
    shape, batch_size = SIZES[size].model, SIZES[size].batch_size
    torch.manual_seed(0)
    ours = TransformerLM(**asdict(shape), rope_theta=THETA)
    twin = Twin(shape)
    twin.load_state_dict(ours.state_dict())
    our_optimizer = AdamW(ours.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    twin_optimizer = torch.optim.AdamW(twin.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    ids = torch.randint(shape.vocab_size, (batch_size, shape.context_length + 1))
    inputs, targets = ids[:, :-1], ids[:, 1:]

    def our_step() -> float:
        our_optimizer.zero_grad()
        loss = cross_entropy(ours(inputs), targets)
        loss.backward()
        gradient_clipping(ours.parameters(), MAX_NORM)
        our_optimizer.step()
        return loss.item()

    def twin_step() -> float:
        twin_optimizer.zero_grad()
        loss = F.cross_entropy(twin(inputs).flatten(0, -2), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), MAX_NORM)
        twin_optimizer.step()
        return loss.item()

    return our_step, twin_step


def measure(size: str, rounds: int) -> list[tuple[float, float]]:
    """CPU seconds of a step, of the reference and of its twin, for each round; on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    both = steps(size)
    pairs = []
    try:
        for number in range(rounds + 2):  # the first two rounds make what stays
            losses, seconds = [], []
            for one in both if number % 2 else both[::-1]:
                start = time.process_time()
                losses.append(one())
                seconds.append(time.process_time() - start)
            # AdamW makes of a gradient that is all but zero a step of either sign.
            if abs(losses[0] - losses[1]) > (1e-2 if number else 1e-5) * losses[0]:
                raise AssertionError(f"The twin has another loss: {losses} in round {number}; it is no twin.")
            if number >= 2:
                pairs.append((seconds[0], seconds[1]) if number % 2 else (seconds[1], seconds[0]))
    finally:
        torch.set_num_threads(threads)
    return pairs


def parts(size: str) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """{part of a step: (the reference's, torch's)}, each forward and backward on an input of the model's shape."""
    shape, batch_size = SIZES[size].model, SIZES[size].batch_size
    torch.manual_seed(0)
    d_model, d_ff, vocab_size = shape.d_model, shape.d_ff, shape.vocab_size
    x, hidden, logits = (
        torch.randn(batch_size, shape.context_length, width, requires_grad=True)
        for width in (d_model, d_ff, vocab_size)
    )
    targets = torch.randint(vocab_size, (batch_size, shape.context_length))
    head, twin_head = Linear(d_model, vocab_size), nn.Linear(d_model, vocab_size, bias=False)
    norm, twin_norm = RMSNorm(d_model), nn.RMSNorm(d_model, eps=1e-5)
    attention = CausalMultiHeadSelfAttention(d_model, shape.num_heads, shape.context_length, THETA)
    twin_attention = _Attention(d_model, shape.num_heads, shape.context_length)
    parameters = [nn.Parameter(torch.randn(d_ff, d_model)) for _ in range(8)]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return {
        "linear (the head)": (lambda: head(x).sum().backward(), lambda: twin_head(x).sum().backward()),
        "RMSNorm": (lambda: norm(x).sum().backward(), lambda: twin_norm(x).sum().backward()),
        "attention": (lambda: attention(x).sum().backward(), lambda: twin_attention(x).sum().backward()),
        "SiLU": (lambda: silu(hidden).sum().backward(), lambda: F.silu(hidden).sum().backward()),
        "cross-entropy": (
            lambda: cross_entropy(logits, targets).backward(),
            lambda: F.cross_entropy(logits.flatten(0, -2), targets.flatten()).backward(),
        ),
        "AdamW": (AdamW(parameters).step, torch.optim.AdamW(parameters).step),
        "clipping": (
            lambda: gradient_clipping(parameters, MAX_NORM),
            lambda: nn.utils.clip_grad_norm_(parameters, MAX_NORM),
        ),
    }


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """CPU seconds of both, one after the other, `rounds` times after two that are not counted."""
    pairs = []
    for _ in range(rounds + 2):
        start = time.process_time()
        ours()
        middle = time.process_time()
        theirs()
        pairs.append((middle - start, time.process_time() - middle))
    return pairs[2:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser("python -m benchmarks.step", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print {size: [[reference, twin] of each round]}")
    parser.add_argument("--parts", action="store_true", help="the parts of a step one by one")
    options = parser.parse_args()
    if options.json:
        print(json.dumps({size: measure(size, options.rounds) for size in SIZES}))
        return
    if options.parts:
        torch.set_num_threads(1)
        for size in SIZES:
            for name, (mine, theirs) in parts(size).items():
                _print(f"{size}: {name}", in_turn(mine, theirs, options.rounds))
        return
    for size in SIZES:
        _print(size, measure(size, options.rounds))


def _print(name: str, pairs: list[tuple[float, float]]) -> None:
    ratios = [ours / twin for ours, twin in pairs]
    ours, twin = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{name:38} reference {ours:7.1f} ms   torch's modules {twin:7.1f} ms   "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
