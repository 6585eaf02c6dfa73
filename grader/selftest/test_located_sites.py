"""Where right layers are used wrongly: given other weights, another mask, other positions than belong there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from grader.diagnosis.tracing import locate
from grader.scoring.outcome import Clue
from grader.selftest.located import failures
from grader.submission.files import Files
from grader.submission.in_process import InProcess

HERE = "# <- here"

RIGHT = """
import math

import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, d_in, d_out, device=None, dtype=None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_out, d_in, device=device, dtype=dtype))
        nn.init.trunc_normal_(self.weight, 0.0, 0.1, -0.3, 0.3)

    def forward(self, x):
        return x @ self.weight.T


class RMSNorm(nn.Module):
    def __init__(self, d, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Rope(nn.Module):
    def __init__(self, theta, d_k, max_seq_len):
        super().__init__()
        k = torch.arange(0, d_k, 2, dtype=torch.float32)
        angles = torch.arange(max_seq_len, dtype=torch.float32)[:, None] * theta ** (-k / d_k)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x, positions):
        cos, sin = self.cos[positions], self.sin[positions]
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


def softmax(x, dim):
    e = (x - x.amax(dim=dim, keepdim=True)).exp()
    return e / e.sum(dim=dim, keepdim=True)


def attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return softmax(scores, -1) @ v


class Heads(nn.Module):
    def __init__(self, d_model, num_heads, max_seq_len=None, theta=None):
        super().__init__()
        self.h = num_heads
        self.d_k = d_model // num_heads
        self.q_proj = Linear(d_model, d_model)
        self.k_proj = Linear(d_model, d_model)
        self.v_proj = Linear(d_model, d_model)
        self.output_proj = Linear(d_model, d_model)
        self.rope = Rope(theta, self.d_k, max_seq_len) if theta is not None else None

    def split(self, z):
        return z.view(*z.shape[:-1], self.h, self.d_k).transpose(-2, -3)

    def forward(self, x, positions=None):
        *lead, seq, d_model = x.shape
        q = self.split(self.q_proj(x))
        k = self.split(self.k_proj(x))
        v = self.split(self.v_proj(x))
        if self.rope is not None:
            if positions is None:
                positions = torch.arange(x.shape[-2])
            positions = positions.unsqueeze(-2) if positions.ndim > 1 else positions
            q = self.rope(q, positions)
            k = self.rope(k, positions)
        mask = torch.ones(seq, seq, dtype=torch.bool).tril()
        out = attention(q, k, v, mask)
        out = out.transpose(-2, -3).reshape(*lead, seq, d_model)
        return self.output_proj(out)


class FFN(nn.Module):
    def __init__(self, d_model, d_ff):
        super().__init__()
        self.w1 = Linear(d_model, d_ff)
        self.w2 = Linear(d_ff, d_model)
        self.w3 = Linear(d_model, d_ff)

    def forward(self, x):
        gate = self.w1(x)
        return self.w2(gate * torch.sigmoid(gate) * self.w3(x))


class Block(nn.Module):
    def __init__(self, d_model, num_heads, d_ff, max_seq_len, theta):
        super().__init__()
        self.ln1 = RMSNorm(d_model)
        self.ln2 = RMSNorm(d_model)
        self.attn = Heads(d_model, num_heads, max_seq_len, theta)
        self.ffn = FFN(d_model, d_ff)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


def run_linear(d_in, d_out, weights, in_features):
    m = Linear(d_in, d_out)
    m.load_state_dict({"weight": weights})
    return m(in_features)


def run_rmsnorm(d_model, eps, weights, in_features):
    m = RMSNorm(d_model, eps)
    m.load_state_dict({"weight": weights})
    return m(in_features)


def run_silu(in_features):
    return in_features * torch.sigmoid(in_features)


def run_softmax(in_features, dim):
    return softmax(in_features, dim)


def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
    return Rope(theta, d_k, max_seq_len)(in_query_or_key, token_positions)


def run_scaled_dot_product_attention(Q, K, V, mask=None):
    return attention(Q, K, V, mask)


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    m = FFN(d_model, d_ff)
    m.w1.weight.data = w1_weight
    m.w2.weight.data = w2_weight
    m.w3.weight.data = w3_weight
    return m(in_features)


def run_multihead_self_attention(
    d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
):
    m = Heads(d_model, num_heads)
    m.q_proj.weight.data.copy_(q_proj_weight)
    m.k_proj.weight.data.copy_(k_proj_weight)
    m.v_proj.weight.data.copy_(v_proj_weight)
    m.output_proj.weight.data.copy_(o_proj_weight)
    return m(in_features)


def run_multihead_self_attention_with_rope(
    d_model, num_heads, max_seq_len, theta, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight,
    in_features, token_positions=None,
):
    m = Heads(d_model, num_heads, max_seq_len, theta)
    own = {"q_proj": q_proj_weight, "k_proj": k_proj_weight, "v_proj": v_proj_weight, "output_proj": o_proj_weight}
    m.load_state_dict({f"{name}.weight": weight for name, weight in own.items()})
    return m(in_features, token_positions)


def run_transformer_block(d_model, num_heads, d_ff, max_seq_len, theta, weights, in_features):
    m = Block(d_model, num_heads, d_ff, max_seq_len, theta)
    m.load_state_dict(weights)
    return m(in_features)
"""


def clue_for(folder: Path, problem: str, source: str) -> Clue | None:
    (folder / "adapters.py").write_text(source, "utf-8")
    spec = importlib.util.spec_from_file_location("adapters_of_a_test", folder / "adapters.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    submission = InProcess(module, files=Files(folder))
    return next((clue for failure in failures(problem, submission) if (clue := locate(failure, submission))), None)


WEIGHTS = {
    "transposed": (
        "multihead_self_attention",
        "m.q_proj.weight.data.copy_(q_proj_weight)",
        f"m.q_proj.weight.data.copy_(q_proj_weight.T)  {HERE}",
        "the transpose of W_Q in the place of W_Q",
    ),
    "another's": (
        "transformer_block",
        "    m.load_state_dict(weights)\n",
        f"    m.load_state_dict({{**weights, 'ln1.weight': weights['ln2.weight']}})  {HERE}\n",
        "ln2.weight in the place of ln1.weight",
    ),
}


@pytest.mark.parametrize("how", WEIGHTS)
def test_weights_are_blamed_where_they_are_loaded(how, tmp_path):
    problem, right, wrong, said = WEIGHTS[how]
    clue = clue_for(tmp_path, problem, source := changed(right, wrong))
    assert clue is not None
    assert clue.line == marked(source), clue.says
    assert clue.relation == said


def test_weights_that_nothing_loads_are_told_without_a_line(tmp_path):
    """Where a layer is made is not where they are missing."""
    source = changed("    m.output_proj.weight.data.copy_(o_proj_weight)\n", "")
    clue = clue_for(tmp_path, "multihead_self_attention", source)
    assert clue is not None
    assert clue.line == 0
    assert "drawn at random" in clue.says[-1]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("dtype=torch.bool).tril()", f"dtype=torch.bool).triu()  {HERE}"),
        (
            "positions = positions.unsqueeze(-2) if positions.ndim > 1 else positions",
            f"positions = torch.arange(seq)  {HERE}",
        ),
    ],
)
def test_what_a_right_line_was_told_is_blamed_where_it_was_made(right, wrong, tmp_path):
    clue = clue_for(tmp_path, "multihead_self_attention", source := changed(right, wrong))
    assert clue is not None
    assert clue.line == marked(source), clue.says


def test_norms_that_changed_places_are_told_where_they_are_used(tmp_path):
    """They may have been taken or loaded wrongly: either gives the same numbers."""
    swapped = "x = x + self.attn(self.ln2(x))  " + HERE
    source = changed("x = x + self.attn(self.ln1(x))", swapped).replace(
        "self.ffn(self.ln2(x))", "self.ffn(self.ln1(x))"
    )
    clue = clue_for(tmp_path, "transformer_block", source)
    assert clue is not None
    assert clue.line == marked(source), clue.says
    assert clue.relation == "what comes of ln2.weight in the place of ln1.weight"


def test_weights_that_are_right_elsewhere_are_not_blamed(tmp_path):
    """The second norm has its own gain, and the first one is used in its place: that is the layer's mistake."""
    source = changed("self.ffn(self.ln2(x))", f"self.ffn(self.ln1(x))  {HERE}")
    clue = clue_for(tmp_path, "transformer_block", source)
    assert clue is not None
    assert clue.line == marked(source), clue.says


def test_nothing_is_said_of_the_right_code(tmp_path):
    assert clue_for(tmp_path, "transformer_block", RIGHT) is None


def changed(right: str, wrong: str) -> str:
    assert RIGHT.count(right) == 1
    return RIGHT.replace(right, wrong)


def marked(source: str) -> int:
    return next(i for i, line in enumerate(source.split("\n"), 1) if line.endswith(HERE))
