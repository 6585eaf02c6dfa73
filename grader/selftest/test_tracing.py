"""Where a wrong value arises: found in code of many styles, silent about right code, and harmless in every case."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from grader.cases.store import stored_cases
from grader.diagnosis import tracing
from grader.diagnosis.clues import Failure
from grader.diagnosis.first_wrong import find
from grader.diagnosis.matching import Pattern, relation, same
from grader.diagnosis.stored_quantities import QUANTITIES_FILE, known_questions
from grader.diagnosis.tracing import FORMULA_PROBLEMS, departure_of, is_formula, is_precise, locate, readings_of
from grader.grading import grade
from grader.kit.paths import KIT
from grader.misconceptions.catalogue import Variant
from grader.reference._quantities import FORMULAS
from grader.report import html, terminal
from grader.report.hints import hints
from grader.report.model import Report
from grader.scoring.outcome import Clue, Outcome, Result
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import written
from grader.selftest.located import failures, try_to_locate
from grader.submission.files import Files
from grader.submission.in_process import InProcess, open_in_process
from grader.submission.interface import Submission
from grader.submission.locate import locate as find_adapters
from grader.submission.recording import Recording
from grader.wall.isolation import Refused, choose
from grader.wall.walled import WalledSubmission
from grader.worker.recorder import Recorder
from grader.worker.wire import WireError

HERE = "# <- here"

ATTENTION_AS_EINSUM = """
    import math
    import torch

    def run_scaled_dot_product_attention(Q, K, V, mask=None):
        scores = torch.einsum("...qd,...kd->...qk", Q, K)
        scores = scores / Q.shape[-1]  # <- here
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return torch.einsum("...qk,...kd->...qd", torch.softmax(scores, -1), V)
"""
SCALE_ON_THE_QUERIES = """
    import math
    import torch

    def run_scaled_dot_product_attention(Q, K, V, mask=None):
        Q = Q / Q.shape[-1]  # <- here
        scores = Q @ K.mT
        if mask is not None:
            scores += torch.zeros_like(scores).masked_fill_(~mask, -1e9)
        weights = torch.exp(scores - scores.amax(-1, keepdim=True))
        return (weights @ V) / weights.sum(-1, keepdim=True)
"""
MASK_FILLS_TOO_LITTLE = """
    import math
    import torch

    def run_scaled_dot_product_attention(Q, K, V, mask=None):
        scores = Q @ K.transpose(-2, -1) / math.sqrt(Q.shape[-1])
        if mask is not None:
            scores = torch.where(mask, scores, -2.0)  # <- here
        return torch.softmax(scores, -1) @ V
"""
QUERY_BY_QUERY = """
    import math
    import torch

    def run_scaled_dot_product_attention(Q, K, V, mask=None):
        rows = []
        for i in range(Q.shape[-2]):
            scores = (Q[..., i : i + 1, :] * K).sum(-1) * math.sqrt(Q.shape[-1])  # <- here
            if mask is not None:
                scores = scores.masked_fill(~mask[..., i, :], -math.inf)
            rows.append((torch.softmax(scores, -1).unsqueeze(-1) * V).sum(-2))
        return torch.stack(rows, -2)
"""
IN_NUMPY = """
    import numpy as np
    import torch

    def softmax(x, axis):
        e = np.exp(x - x.max(axis, keepdims=True))
        return e / e.sum(axis, keepdims=True)

    def scores_of(q, k):
        return q @ k.swapaxes(-1, -2) / q.shape[-1]  # <- here

    def run_scaled_dot_product_attention(Q, K, V, mask=None):
        scores = scores_of(Q.numpy(), K.numpy())
        if mask is not None:
            scores = np.where(mask.numpy(), scores, -np.inf)
        return torch.from_numpy(softmax(scores, -1) @ V.numpy())
"""
HEADS_BY_RESHAPE = """
    import math
    import torch

    def run_multihead_self_attention(
        d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
    ):
        q, k, v = (in_features @ w.T for w in (q_proj_weight, k_proj_weight, v_proj_weight))
        *batch, seq, width = q.shape
        q, k, v = (t.reshape(*batch, num_heads, seq, width // num_heads) for t in (q, k, v))  # <- here
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        mask = torch.ones(seq, seq, dtype=torch.bool).tril()
        weights = torch.softmax(scores.masked_fill(~mask, -math.inf), -1)
        return (weights @ v).transpose(-2, -3).reshape(*batch, seq, width) @ o_proj_weight.T
"""
HEAD_BY_HEAD = """
    import math
    import torch

    def run_multihead_self_attention(
        d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
    ):
        width, seq = d_model // num_heads, in_features.shape[-2]
        mask, heads = torch.ones(seq, seq, dtype=torch.bool).tril(), []
        for h in range(num_heads):
            part = slice(h * width, (h + 1) * width)
            q, k, v = (in_features @ w[part].T for w in (q_proj_weight, k_proj_weight, v_proj_weight))
            scores = q @ k.mT / math.sqrt(d_model)  # <- here
            heads.append(torch.softmax(scores.masked_fill(~mask, -math.inf), -1) @ v)
        return torch.cat(heads, -1) @ o_proj_weight.T
"""
ROPE_IN_PLACE = """
    import torch

    def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
        x = in_query_or_key
        angles = token_positions[..., None] * theta ** (-torch.arange(0, d_k, 2) / d_k)
        out = torch.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * angles.cos() - x[..., 1::2] * angles.sin()
        out[..., 1::2] = x[..., 1::2] * angles.cos() - x[..., 0::2] * angles.sin()  # <- here
        return out
"""
ROPE_FREQUENCIES = """
    import torch

    def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
        x = in_query_or_key
        frequencies = theta ** (-torch.arange(d_k // 2) / d_k)  # <- here
        angles = token_positions[..., None] * frequencies
        even, odd, cos, sin = x[..., 0::2], x[..., 1::2], angles.cos(), angles.sin()
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
"""
SILU_OF_THE_WRONG_BRANCH = """
    import torch

    def run_silu(in_features):
        return in_features * torch.sigmoid(in_features)

    def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
        gate = in_features @ w1_weight.T
        value = in_features @ w3_weight.T
        hidden = run_silu(value) * gate  # <- here
        return hidden @ w2_weight.T
"""
NORM = """
    import torch

    def run_rmsnorm(d_model, eps, weights, in_features):
        mean_square = (in_features**2).sum(-1, keepdim=True)
        return in_features / torch.sqrt(mean_square + eps) * weights  # <- here
"""
LOADED_FOR_EACH_OTHER = """
    import math
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self, d, h):
            super().__init__()
            self.h = h
            self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))

        def forward(self, x):
            q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(-2, -3) for f in (self.q, self.k, self.v))
            scores = q @ k.mT / math.sqrt(q.shape[-1])
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
            weights = torch.softmax(scores.masked_fill(~mask, -math.inf), -1)
            return self.o((weights @ v).transpose(-2, -3).flatten(-2))

    def run_multihead_self_attention(
        d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
    ):
        attention = Attention(d_model, num_heads)
        attention.q.weight.data = q_proj_weight
        attention.k.weight.data = v_proj_weight  # <- here
        attention.v.weight.data = k_proj_weight
        attention.o.weight.data = o_proj_weight
        return attention(in_features)
"""
TURNED_FOR_NOTHING = """
    import math
    import torch

    def turned(x, theta, positions):
        pairs = torch.arange(0, x.shape[-1], 2)
        angles = positions[..., None] * theta ** (-pairs / x.shape[-1])
        even, odd, cos, sin = x[..., 0::2], x[..., 1::2], angles.cos(), angles.sin()
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)

    def attend(num_heads, q, k, v, o, x, theta=None, positions=None):
        q, k, v = ((x @ w.T).unflatten(-1, (num_heads, -1)).transpose(-2, -3) for w in (q, k, v))
        if theta is not None:
            positions = torch.arange(q.shape[-2]) if positions is None else positions.unsqueeze(-2)
            turned(q, theta, positions), turned(k, theta, positions)  # <- here
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        weights = torch.softmax(scores.masked_fill(~mask, -math.inf), -1)
        return (weights @ v).transpose(-2, -3).flatten(-2) @ o.T

    def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
        return turned(in_query_or_key, theta, token_positions)

    def run_multihead_self_attention(
        d_model, num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features
    ):
        return attend(num_heads, q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features)

    def run_multihead_self_attention_with_rope(
        d_model, num_heads, max_seq_len, theta,
        q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight, in_features, token_positions=None,
    ):
        weights = q_proj_weight, k_proj_weight, v_proj_weight, o_proj_weight
        return attend(num_heads, *weights, in_features, theta, token_positions)
"""
STYLES = {
    "einsum": ("scaled_dot_product_attention", ATTENTION_AS_EINSUM, "0.3536 times the scaled scores"),
    "scale on the queries": ("scaled_dot_product_attention", SCALE_ON_THE_QUERIES, "0.3536 times the scaled scores"),
    "mask": ("scaled_dot_product_attention", MASK_FILLS_TOO_LITTLE, "-2 instead of −∞"),
    "row by row": ("scaled_dot_product_attention", QUERY_BY_QUERY, ""),
    "numpy": ("scaled_dot_product_attention", IN_NUMPY, "0.3536 times the scaled scores"),
    "reshape": ("multihead_self_attention", HEADS_BY_RESHAPE, ""),
    "head by head": ("multihead_self_attention", HEAD_BY_HEAD, ""),
    "in place": ("rope", ROPE_IN_PLACE, "the output except in"),
    "constants": ("rope", ROPE_FREQUENCIES, ""),
    "called with the wrong thing": ("positionwise_feedforward", SILU_OF_THE_WRONG_BRANCH, ""),
    "sum for mean": ("rmsnorm", NORM, ""),
    "loaded for each other": ("multihead_self_attention", LOADED_FOR_EACH_OTHER, "W_V in the place of W_K"),
    "turned for nothing": ("multihead_self_attention", TURNED_FOR_NOTHING, ""),
}


def wrote(root: Path, source: str) -> tuple[Path, int]:
    """A submission of this source; gives its folder and the line that is marked."""
    text = textwrap.dedent(source)
    (root / "adapters.py").write_text(text, "utf-8")
    return root, next((i for i, line in enumerate(text.split("\n"), 1) if HERE in line), 0)


@contextlib.contextmanager
def opened(root: Path, level: str) -> Iterator[Any]:
    layout = find_adapters(root)
    if level == "none":
        yield open_in_process(layout, files=Files(root))
        return
    try:
        isolation = choose(level, layout)
    except Refused as reason:
        pytest.skip(str(reason))
    with WalledSubmission(layout, isolation=isolation) as submission:
        yield submission


def clue_for(problem: str, submission: Any) -> Clue | None:
    return next((clue for failure in failures(problem, submission) if (clue := locate(failure, submission))), None)


@pytest.mark.parametrize("style", STYLES)
def test_the_line_is_found_in_every_style(style, tmp_path):
    problem, source, relation_said = STYLES[style]
    root, line = wrote(tmp_path, source)
    with opened(root, "process") as submission:
        clue = clue_for(problem, submission)
    assert clue is not None
    assert (clue.file, clue.line) == ("adapters.py", line), clue.says
    assert any(number == line and HERE in text for number, text in clue.code)
    assert relation_said in clue.relation, clue.says
    assert clue.missing


LAYERS = """
    import math
    import torch

    def softmax(x, dim):
        x = torch.exp(x - x.amax(dim, keepdim=True))
        return x / x.sum(dim, keepdim=True)

    def attention(Q, K, V, mask=None):
        scores = Q @ K.mT / math.sqrt(Q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return weigh(scores) @ V

    def weigh(scores):
        return softmax(scores, -2)  # <- here
"""


def test_a_helper_that_is_called_with_the_wrong_thing_is_told_with_the_calls_that_led_there(tmp_path):
    """What goes wrong first is often a line that is right in itself: the reader looks for who asked for that."""
    _, line = wrote(tmp_path, LAYERS)
    (tmp_path / "adapters.py").rename(tmp_path / "layers.py")
    adapter = "from layers import attention\n\ndef run_scaled_dot_product_attention(Q, K, V, mask=None):\n"
    (tmp_path / "adapters.py").write_text(f"{adapter}    return attention(Q, K, V, mask)\n", "utf-8")
    with opened(tmp_path, "process") as submission:
        clue = clue_for("scaled_dot_product_attention", submission)
    assert clue is not None
    helper = line - 9
    assert (clue.file, clue.line) == ("layers.py", helper)
    assert clue.says[-1] == f"Line {helper}, called from line {line}, gives the weights, but taken over dimension -2."
    assert clue.callers == (
        ("layers.py", line, "return softmax(scores, -2)  # <- here"),
        ("layers.py", line - 3, "return weigh(scores) @ V"),
        ("adapters.py", 4, "return attention(Q, K, V, mask)"),
    )
    assert Clue.from_plain(json.loads(json.dumps(clue.legible().as_plain()))) == clue
    shown = io.StringIO()
    Console(file=shown, width=100).print(*terminal._clue(clue), sep="\n")
    assert f"called from line {line}:  return softmax(scores, -2)" in shown.getvalue()
    assert "called from adapters.py:4:  return attention" in shown.getvalue()


def test_that_an_adapter_calls_its_function_goes_without_saying(tmp_path):
    _, line = wrote(tmp_path, ATTENTION_AS_EINSUM)
    (tmp_path / "adapters.py").rename(tmp_path / "layers.py")
    (tmp_path / "adapters.py").write_text(
        "import layers\n\ndef run_scaled_dot_product_attention(Q, K, V, mask=None):\n"
        "    return layers.run_scaled_dot_product_attention(Q, K, V, mask)\n",
        "utf-8",
    )
    with opened(tmp_path, "process") as submission:
        clue = clue_for("scaled_dot_product_attention", submission)
    assert clue is not None
    assert clue.says[-1] == f"Line {line} gives 0.3536 times the scaled scores."
    assert clue.callers == ()


@pytest.mark.parametrize("level", ["none", "process", "bubblewrap"])
def test_the_same_is_said_behind_every_wall(level, tmp_path):
    root, line = wrote(tmp_path, ATTENTION_AS_EINSUM)
    with opened(root, level) as submission:
        clue = clue_for("scaled_dot_product_attention", submission)
    assert clue is not None
    assert clue.line == line
    assert clue.says == (
        f"Up to adapters.py:{line - 1} your code has the scores Q Kᵀ. Next would come the scaled scores Q Kᵀ / √d_k; "
        "nothing that your code computes is that.",
        f"Line {line} gives 0.3536 times the scaled scores.",
    )


def test_an_exception_is_placed_after_what_was_right(tmp_path):
    root, line = wrote(
        tmp_path,
        """
        import math

        def run_scaled_dot_product_attention(Q, K, V, mask=None):
            scores = Q @ K.mT / math.sqrt(Q.shape[-1])
            scores[~mask[0, 0, 0]] = -math.inf  # <- here
            return scores.softmax(-1) @ V
        """,
    )
    with opened(root, "process") as submission:
        clue = clue_for("scaled_dot_product_attention", submission)
    assert clue is not None
    assert (clue.file, clue.line) == ("adapters.py", line)
    assert clue.agrees_until == "the scaled scores Q Kᵀ / √d_k"


def test_what_ends_in_one_line_is_not_recorded_again_and_again(tmp_path, monkeypatch):
    root, line = wrote(
        tmp_path,
        """
        def run_scaled_dot_product_attention(Q, K, V, mask=None):
            scores = Q @ K.mT
            return scores.no_such_method() @ V  # <- here
        """,
    )
    asked = []
    look_into = tracing._look_into

    def noted(question: Any, *more: Any) -> Any:
        asked.append(question)
        return look_into(question, *more)

    monkeypatch.setattr(tracing, "_look_into", noted)
    with opened(root, "process") as submission:
        failed = list(failures("scaled_dot_product_attention", submission))
        clues = [locate(failure, submission) for failure in failed]
    assert len(failed) > 2
    assert {(clue.file, clue.line, clue.agrees_until) for clue in clues if clue} == {
        ("adapters.py", line, "the scores Q Kᵀ")
    }
    assert all(clues)
    assert len(asked) == 1


def test_what_is_asked_otherwise_may_end_in_a_line_for_reasons_of_its_own(tmp_path):
    """Sines are looked up rightly for positions of each sequence, and for none there is one dimension too many."""
    root, _ = wrote(
        tmp_path,
        """
        def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
            return in_query_or_key @ in_query_or_key
        """,
    )
    with opened(root, "process") as submission:
        failure = next(failures("rope", submission))
        (operation, arguments), *_ = failure.asked
        recording = submission.record(operation, arguments)
        assert recording is not None
        assert recording.ended is not None
        positions = arguments["token_positions"]
        for given, alike in ((positions, True), (positions + 1, True), (positions[None], False), (None, False)):
            question = operation, {**arguments, "token_positions": given}
            assert tracing._stops_there(recording.ended, question, failure, submission) is alike


def test_another_questions_exception_is_no_clue_to_a_failure_that_ended_otherwise(tmp_path, monkeypatch):
    """Attention that needs a mask, and also has no place for matrices without a batch."""
    root, line = wrote(
        tmp_path,
        """
        import math

        def run_scaled_dot_product_attention(Q, K, V, mask=None):
            if mask is None:
                raise ValueError("a mask is needed")
            scores = Q @ K.mT / math.sqrt(Q.shape[-1])
            assert scores.size(-3)  # <- here
            return scores.masked_fill(~mask, -math.inf).softmax(-1) @ V
        """,
    )
    operation = "run_scaled_dot_product_attention"
    inputs = [case.inputs for case in stored_cases("scaled_dot_product_attention") if case.operation == operation]
    without_batch = next(given for given in inputs if given["Q"].ndim == 2 and given["mask"] is not None)
    without_mask = {**without_batch, "mask": None}
    monkeypatch.setattr(tracing, "_stored_questions", lambda *_: (((-1, 0.0), (operation, dict(without_batch))),))

    def clue_of(given):
        submission.begin_transcript()
        with contextlib.suppress(Exception):
            submission.perform(operation, given)
        outcome, answers = Outcome("test_x.py::test_no_mask", Result.FAIL), tuple(submission.transcript)
        assert isinstance(answers[0], Exception)
        asked = ((operation, given),)
        return locate(Failure("scaled_dot_product_attention", outcome, "test", None, asked, answers), submission)

    with opened(root, "process") as submission:
        same, other = clue_of(without_batch), clue_of(without_mask)
    assert same.line == line
    assert same.agrees_until == "the scaled scores Q Kᵀ / √d_k"
    assert other.line == line - 2
    assert not other.says


TABLE_IN_PYTHON = """
    import math
    import torch

    def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
        x = in_query_or_key
        angles = [[i / theta ** (k / d_k) for k in range(d_k // 2)] for i in range(max_seq_len)]
        cos = torch.tensor([[math.cos(angle) for angle in row] for row in angles])[token_positions]
        sin = torch.tensor([[math.sin(angle) for angle in row] for row in angles])[token_positions]
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
"""
TABLE_IN_NUMPY = """
    import numpy as np
    import torch

    def run_rope(d_k, theta, max_seq_len, in_query_or_key, token_positions):
        x = in_query_or_key
        frequencies = theta ** (-np.arange(d_k // 2) / d_k)
        angles = np.arange(max_seq_len)[:, None] * frequencies
        cos = torch.from_numpy(np.cos(angles)).float()[token_positions]
        sin = torch.from_numpy(np.sin(angles)).float()[token_positions]
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
"""


@pytest.mark.parametrize("source", [TABLE_IN_PYTHON, TABLE_IN_NUMPY])
def test_no_line_is_blamed_for_numbers_that_came_from_where_nothing_is_recorded(source, tmp_path):
    root, _ = wrote(tmp_path, source)
    with opened(root, "process") as submission:
        clue = clue_for("rope", submission)
    assert clue is not None
    assert (clue.file, clue.line, clue.code) == ("", 0, ())
    assert "makes a tensor of numbers that are something else already" in clue.says[-1]


def adam_that_updates(lines: str) -> str:
    """An AdamW that does this with each parameter p, whose gradient is g and whose state s has t, m and v."""
    before = """
        import torch

        class AdamW(torch.optim.Optimizer):
            def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
                super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

            @torch.no_grad()
            def step(self, closure=None):
                for group in self.param_groups:
                    (b1, b2), lr = group["betas"], group["lr"]
                    for p in group["params"]:
                        if p.grad is None:
                            continue
                        s, g = self.state[p], p.grad
                        if not s:
                            s["t"], s["m"], s["v"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                        s["t"] += 1
    """
    update = textwrap.indent(textwrap.dedent(lines).strip(), 16 * " ")
    return f"{textwrap.dedent(before).rstrip()}\n{update}\n\ndef get_adamw_cls():\n    return AdamW\n"


def test_what_a_line_gives_is_its_last_step(tmp_path):
    """The square of the damped gradient happens to be 10 times the second moment; what the line gives is 0.01 times."""
    root, line = wrote(
        tmp_path,
        adam_that_updates(
            """
            s["m"].mul_(b1).add_(g.mul_(1 - b1))
            s["v"].mul_(b2).add_(g.pow(2).mul_(1 - b2))  # <- here
            rate = lr * (1 - b2 ** s["t"]) ** 0.5 / (1 - b1 ** s["t"])
            p.sub_(rate * s["m"] / (s["v"].sqrt() + group["eps"]) + lr * group["weight_decay"] * p)
            """
        ),
    )
    with opened(root, "process") as submission:
        clue = clue_for("adamw", submission)
    assert clue is not None
    assert clue.line == line
    assert clue.relation == "0.01 times the second moment at step 1", clue.says


def test_a_step_is_said_to_be_left_only_where_nothing_takes_it_up(tmp_path):
    """Whether weights decay before or after the gradient's step hardly shows in the answer, but in what is computed.

    Here they decay first, and t counts every parameter: the first one is right, and nothing of it is lost.
    """
    root, line = wrote(
        tmp_path,
        adam_that_updates(
            """
            self.t = getattr(self, "t", 0) + 1
            s["m"].lerp_(g, 1 - b1)
            s["v"].mul_(b2).addcmul_(g, g, value=1 - b2)
            p.mul_(1 - lr * group["weight_decay"])
            rate = lr * (1 - b2**self.t) ** 0.5 / (1 - b1**self.t)
            p.addcdiv_(s["m"], s["v"].sqrt() + group["eps"], value=-rate)  # <- here
            """
        ),
    )
    parameters = [torch.tensor([0.8, -1.2, 0.5]), torch.tensor([[0.3, -0.7], [1.1, 0.2]]), torch.tensor([1.7, 0.4])]
    arguments = {
        "parameters": parameters,
        "gradients": [[0.3 * parameter.flip(0) for parameter in parameters]] * 2,
        "options": {"lr": 0.03, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1},
    }
    with opened(root, "process") as submission:
        recording = submission.record("adamw_trajectory", arguments)
    assert recording is not None
    followed = departure_of(readings_of("adamw_trajectory", arguments), recording.answer, recording)
    assert followed is not None
    known, wrong = followed
    departure = find(known, recording, *wrong)
    assert departure is not None
    assert departure.first == ("adapters.py", line)
    assert departure.unused is None
    assert str(departure.had).startswith("parameter 1 at step 1, decayed")


def test_where_an_exception_comes_from_is_not_said_twice(tmp_path):
    """The traceback names file, line and type; the clue adds the lines around it."""
    root, line = wrote(
        tmp_path,
        """
        def run_softmax(in_features, dim):
            return [in_features][dim + 7]  # <- here
        """,
    )
    with opened(root, "process") as submission:
        clue = clue_for("softmax", submission)
    assert clue is not None
    assert (clue.says, clue.line) == ((), line)
    assert any(HERE in text for _, text in clue.code)


NUCLEUS = """
    import torch

    def run_next_token_probabilities(logits, temperature, top_p):
        p = torch.softmax(logits / temperature, -1)
        if top_p == 1:
            return p
        ordered, index = torch.sort(p, dim=-1, descending=True, stable=True)
        keep = ordered.cumsum(-1) <= top_p  # <- here
        keep[..., 0] = True
        ordered = ordered * keep
        ordered = ordered / ordered.sum(-1, keepdim=True)
        return torch.zeros_like(p).scatter(-1, index, ordered)
"""


def test_what_was_decided_is_blamed_where_it_was_decided(tmp_path):
    """A comparison gives no numbers; what applies its outcome does what it was told."""
    root, line = wrote(tmp_path, NUCLEUS)
    with opened(root, "process") as submission:
        clue = clue_for("decoding", submission)
    assert clue is not None
    assert clue.line == line, clue.says


def test_single_numbers_on_the_way_leave_the_line_open(tmp_path):
    """Of two numbers each is a multiple of the other, and which of them was wrong first nobody can tell."""
    root, _ = wrote(
        tmp_path,
        """
        def run_gradient_clipping(parameters, max_l2_norm):
            gradients = [p.grad for p in parameters if p.grad is not None]
            norm = sum(g.norm() for g in gradients)
            scale = max_l2_norm / (norm + 1e-6)
            if norm > max_l2_norm:
                for g in gradients:
                    g.mul_(scale)
        """,
    )
    with opened(root, "process") as submission:
        clue = clue_for("gradient_clipping", submission)
    assert clue is not None
    assert clue.line == 0
    assert "times the sum" not in " ".join(clue.says)


def test_a_line_that_is_right_elsewhere_may_overflow_here(tmp_path):
    root, line = wrote(
        tmp_path,
        """
        import torch

        def silu(x):
            e = torch.exp(x)
            return x * e / (1 + e)  # <- here

        def run_silu(in_features):
            return silu(in_features)

        def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
            gate = in_features @ w1_weight.T
            value = in_features @ w3_weight.T

            hidden = silu(gate) * value
            return hidden @ w2_weight.T
        """,
    )
    big = next(case for case in stored_cases("positionwise_feedforward") if case.operation == "run_swiglu")
    question = (big.operation, {**big.inputs, "in_features": 300 * big.inputs["in_features"]})
    with opened(root, "process") as submission:
        answer = submission.perform(*question)
        assert answer.isnan().any()
        failure = Failure("positionwise_feedforward", Outcome("t", Result.FAIL), "t", None, (question,), (answer,))
        clue = locate(failure, submission)
    assert clue is not None
    assert clue.line == line, clue.says


@pytest.fixture(scope="module")
def without_lines(tmp_path_factory) -> Report:
    """A grade of wrong attention, where staff have switched lines off."""
    root, _ = wrote(tmp_path_factory.mktemp("wrong"), ATTENTION_AS_EINSUM)
    rubric = replace(load_rubric(), lines=False)
    wanted = rubric.select(["scaled_dot_product_attention"])
    return grade(str(root), rubric, wanted, isolation="process", jobs=1)


IN_WORDS = "Your code has the scores Q Kᵀ. Next would come the scaled scores Q Kᵀ / √d_k"
A_LINE = re.compile(r"adapters\.py:\d|[Ll]ine \d")


def test_staff_may_switch_lines_off(without_lines):
    """In JSON, terminal, page and hints: what is right and what is missing is said, and the line is left to find."""
    clues = [test.clue for problem in without_lines.problems for test in problem.tests if test.clue]
    assert any(clue.missing and "0.3536 times the scaled scores" in clue.relation for clue in clues)
    assert not any(clue.file or clue.line or clue.code for clue in clues)
    page, console = html.render(without_lines), Console(width=200, record=True, file=io.StringIO())
    terminal.show(without_lines, console)
    hinted = "\n".join(step for test in without_lines.problems[0].failing for step in hints(test))
    for said in (json.dumps(without_lines.as_json(), ensure_ascii=False), page, console.export_text(), hinted):
        assert IN_WORDS in said
        assert not A_LINE.search(said)


def test_lines_are_switched_off_in_pytest_too(tmp_path, tmp_path_factory):
    root, _ = wrote(tmp_path, ATTENTION_AS_EINSUM)
    plugins = tmp_path_factory.mktemp("plugins")
    plugin = """
        import dataclasses

        def pytest_sessionstart():
            from grader.guide import pytest_summary

            shipped = pytest_summary.load_rubric
            pytest_summary.load_rubric = lambda: dataclasses.replace(shipped(), lines=False)
    """
    (plugins / "no_lines.py").write_text(textwrap.dedent(plugin), "utf-8")
    file = "tests/test_scaled_dot_product_attention.py"
    command = [sys.executable, "-m", "pytest", "-p", "no_lines", file, "-q", "--submission", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(plugins), "COLUMNS": "200", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=KIT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert IN_WORDS in done.stdout, done.stdout + done.stderr
    assert not A_LINE.search(done.stdout)


# ----------------------------------------------------------------------------------------------------------------
# A student's copy


@pytest.fixture
def copy_without_formulas(monkeypatch):
    """What is left where there is no solution: the quantities of a few stored cases."""
    caches = (tracing._formulas, tracing._stored_questions)
    monkeypatch.setattr(tracing, "has_quantities", lambda: False)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("style", sorted(STYLES.keys() - {"loaded for each other"}))  # that, a formula tells
def test_stored_quantities_find_the_line_too(style, tmp_path, copy_without_formulas):
    problem, source, _ = STYLES[style]
    root, line = wrote(tmp_path, source)
    with opened(root, "process") as submission:
        clue = clue_for(problem, submission)
    assert clue is not None
    assert (clue.file, clue.line) == ("adapters.py", line), clue.says


def test_stored_quantities_are_those_of_the_formulas():
    """If a formula or a case was changed: `python -m grader.fixtures cases`."""
    stored = {(k.problem, k.question[0]) for k in known_questions()}
    assert {problem for problem, _ in stored} == set(FORMULA_PROBLEMS)
    for known in known_questions():
        live = readings_of(*known.question)
        assert len(live) == len(known.readings)
        for one, other in zip(live, known.readings, strict=True):
            assert [str(q) for q in one] == [str(q) for q in other]
            for q, kept in zip(one, other, strict=True):
                assert (q.kind.name, q.in_order, q.at, q.free) == (kept.kind.name, kept.in_order, kept.at, kept.free)
                np.testing.assert_allclose(kept.value, q.value, rtol=1e-6)
    assert QUANTITIES_FILE.stat().st_size < 300_000


def test_nothing_is_said_of_the_reference_by_stored_quantities(copy_without_formulas):
    submission = InProcess(importlib.import_module("grader.reference.adapters"))
    for known in known_questions():
        answer = submission.perform(*known.question)
        failure = Failure(known.problem, Outcome("t", Result.FAIL), "t", None, (known.question,), (answer,))
        assert locate(failure, submission) is None, known.question[0]


# ----------------------------------------------------------------------------------------------------------------
# Right code


def honest() -> Iterator[Variant]:
    for problem in FORMULA_PROBLEMS:
        yield from importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS


def asked(problem: str, submission: Submission) -> Iterator[Failure]:
    """The stored questions of a problem that have a formula, two of them, as if each had been answered wrongly."""
    cases = [case for case in stored_cases(problem) if is_formula(case.operation)]
    for case in sorted(cases, key=lambda case: len(case.name))[:1]:
        test = Outcome(f"test_{problem}.py::test[{case.id}]", Result.FAIL)
        yield Failure(problem, test, "test", case, ((case.operation, case.inputs),), (ValueError("a lie"),))


@pytest.mark.parametrize("variant", list(honest()), ids=lambda variant: variant.id)
def test_nothing_is_said_of_right_code(variant):
    submission = InProcess(importlib.import_module("grader.reference.adapters"), files=Files(KIT))
    with variant.planted():
        said = [locate(failure, submission) for failure in asked(variant.problem, submission)]
    # An exception is no claim about a value, and some honest code refuses what no assignment promises.
    assert [clue for clue in said if clue and (clue.missing or clue.relation)] == []


@pytest.mark.parametrize("variant", list(honest()), ids=lambda variant: variant.id)
def test_what_right_code_does_without_is_never_missed(variant, monkeypatch):
    """The answer is spoilt at the very end: what else is said to be missing would be a quantity that was skipped."""
    adapters = importlib.import_module("grader.reference.adapters")
    problem = variant.problem
    names = {case.operation for case in stored_cases(problem) if case.operation in FORMULAS}
    names = {name for name in names if name.startswith("run_")}
    if not names:
        pytest.skip("a driver is asked, whose answers are no adapter's")
    with variant.planted(), monkeypatch.context() as spoilt:  # what is undone first is what came last
        for name in names:
            right = getattr(adapters, name)
            spoilt.setattr(adapters, name, lambda right=right, **inputs: right(**inputs) * 2 + 0.1)
        submission = InProcess(adapters, files=Files(KIT))
        clues = [locate(failure, submission) for failure in failures(problem, submission)]
    for clue in filter(None, clues):
        assert not clue.missing, clue.says


def test_right_answers_are_right_for_every_formula():
    """The formulas, written down twice, agree: with what the cases expect of every operation that has one."""
    seen = set()
    for problem in FORMULA_PROBLEMS:
        for case in stored_cases(problem):
            readings = readings_of(case.operation, case.inputs)
            if readings and is_precise(case.inputs):
                seen.add(case.operation)
                assert departure_of(readings, case.expected) is None, f"{problem} {case.id}"
    assert seen == set(FORMULAS)


# ----------------------------------------------------------------------------------------------------------------
# Recording counts nowhere and believes nothing


def test_a_recorded_call_counts_nowhere(tmp_path):
    root, _ = wrote(
        tmp_path,
        """
        import os, torch

        def run_softmax(in_features, dim):
            os.kill(os.getppid(), 0)
            return torch.softmax(in_features, dim)
        """,
    )
    with opened(root, "process") as submission:
        submission.begin_transcript()
        recording = submission.record("run_softmax", {"in_features": torch.randn(3, 4), "dim": -1})
        assert recording is not None
        assert [step.name for step in recording.steps] == ["softmax"]
        assert (submission.transcript, submission.asked) == ([], [])
        assert (submission.uses_seen, submission.noticed) == ([], [])
        submission.run_softmax(in_features=torch.randn(3, 4), dim=-1)
        assert submission.uses_seen, "a call that is not recorded still counts"


def test_a_recording_is_bounded(tmp_path):
    root, _ = wrote(
        tmp_path,
        """
        import torch

        def run_silu(in_features):
            for _ in range(10_000):
                in_features = in_features + 1
            return in_features

        def run_softmax(in_features, dim):
            return torch.zeros(1 << 22) + 0.5
        """,
    )
    with opened(root, "process") as submission:
        long = submission.record("run_silu", {"in_features": torch.randn(3)})
        large = submission.record("run_softmax", {"in_features": torch.randn(3), "dim": 0})
    assert long is not None
    assert long.full
    assert len(long.steps) <= 2000
    assert large is not None
    assert all(step.value is None for step in large.steps)


def test_an_endless_loop_is_no_recording(tmp_path):
    root, _ = wrote(tmp_path, "def run_silu(in_features):\n    while True:\n        pass\n")
    with opened(root, "process") as submission:
        submission.call_limit_s = 0.5
        assert submission.record("run_silu", {"in_features": torch.randn(3)}) is None


STEP = {"file": "a.py", "line": 1, "call": 0, "callers": [], "name": "add", "value": None, "from": [], "writes": False}


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {"steps": [], "full": 1, "answer": None, "ended": None},
        {"steps": [{**STEP, "from": [0]}], "full": False},
        {"steps": [{**STEP, "from": [True]}], "full": False},
        {"steps": [{**STEP, "line": 10**30}], "full": False},
        {"steps": [{**STEP, "file": b"a.py"}], "full": False},
        {"steps": [{**STEP, "callers": [["a.py", "1"]]}], "full": False},
        {"steps": [{**STEP, "callers": [["a.py", 0]]}], "full": False},
        {"steps": [{**STEP, "value": np.zeros(0)}], "full": False},
        {"steps": [{**STEP, "value": np.zeros(3, int)}], "full": False},
        {"steps": [{**STEP, "value": np.zeros(1 << 20)}], "full": False},
        {"steps": [STEP] * 5000, "full": False},
        {"steps": [STEP], "full": False, "ended": {"type": "E", "file": 3, "line": 1}},
    ],
)
def test_a_made_up_recording_is_refused(said):
    with pytest.raises(WireError):
        Recording.read(said)


def test_a_hostile_recording_gives_a_silly_clue_at_worst(tmp_path):
    """Code that says it stands in another file, with a name that a terminal would obey."""
    root, _ = wrote(
        tmp_path,
        r"""
        import os, torch

        HERE = os.path.dirname(os.path.abspath(__file__))
        lie = "def attend(Q, K, V):\n    s = Q @ K.mT / Q.shape[-1]\n    return torch.softmax(s, -1) @ V\n"
        exec(compile(lie, HERE + "/../secret\x1b[31m.py", "exec"))
        exec(compile(lie.replace("attend", "within"), HERE + "/\x1b[31m.py", "exec"))

        def run_scaled_dot_product_attention(Q, K, V, mask=None):
            return attend(Q, K, V) if mask is None else within(Q, K, V)
        """,
    )
    (tmp_path.parent / "secret\x1b[31m.py").write_text("secret", "utf-8")
    with opened(root, "process") as submission:
        clues = [locate(failure, submission) for failure in failures("scaled_dot_product_attention", submission)]
    assert any(clues)
    for clue in filter(None, clues):
        assert "secret" not in str(clue)
        assert "\x1b" not in "".join([*clue.legible().says, clue.legible().file])


def test_the_recorder_sees_lines_in_place_operations_and_gradients_of_none():
    def call() -> torch.Tensor:
        x = torch.arange(6.0).reshape(2, 3)
        x += 0.25
        x[0] = x[1] * 2
        return x

    said = Recorder(str(KIT)).record(call)
    names = [step["name"] for step in said["steps"]]
    assert names == ["arange", "reshape", "add_", "__getitem__", "mul", "__setitem__"]
    assert all(step["file"].endswith("test_tracing.py") for step in said["steps"])
    assert said["steps"][-1]["value"][0].tolist() == said["steps"][-2]["value"].tolist()
    assert said["steps"][-1]["writes"]


# ----------------------------------------------------------------------------------------------------------------
# Matching

X = np.random.default_rng(0).normal(size=(2, 3, 4, 5))


@pytest.mark.parametrize(
    "other",
    [
        X.transpose(0, 2, 1, 3),
        X.transpose(0, 2, 1, 3).reshape(2, 4, 15),
        X.reshape(6, 4, 5),
        X[:, 1],
        X[0, :, 2:3],
        X[..., ::2],
        np.concatenate([X, X + 1], -1),
        np.broadcast_to(X[:, :, None], (2, 3, 7, 4, 5)),
        np.repeat(X, 2, -1),
    ],
)
def test_layouts_and_parts_are_the_same_quantity(other):
    assert same(Pattern.of(np.ascontiguousarray(other, np.float32)), Pattern.of(X))


@pytest.mark.parametrize(
    "other",
    [X.reshape(2, 4, 3, 5), X * 1.01, X + 0.01, np.flip(X, 1) * np.ones(5), np.zeros_like(X), np.round(X)],
)
def test_other_numbers_and_reshapes_are_not(other):
    is_flipped = other.shape == X.shape and np.array_equal(np.flip(other, 1), X)
    assert is_flipped or not same(Pattern.of(other), Pattern.of(X))


def test_whole_numbers_tell_nothing():
    whole = np.arange(24.0).reshape(4, 6)
    assert not same(Pattern.of(whole), Pattern.of(whole))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (X / 4, "0.25 times it"),
        (-X, "the negative of it"),
        (X + 3, "it plus 3"),
        (X**2, "the square of it"),
        (X.reshape(2, 4, 3, 5), "the numbers of it in other places"),
        (np.where(X > 1.5, 0, X), "it except in"),
        (X * np.arange(1, 5)[:, None], "it times a number of each row's own"),
        (np.random.default_rng(1).normal(size=X.shape), ""),
    ],
)
def test_what_stands_in_its_place(wrong, said):
    found = relation(Pattern.of(wrong), Pattern.of(X), "it", loosely=True)
    assert found.startswith(said)
    assert bool(found) == bool(said)


# ----------------------------------------------------------------------------------------------------------------
# Planted mistakes: `python -m grader.selftest.located` counts them all


@pytest.mark.parametrize("problem", ["rmsnorm", "softmax"])
def test_planted_mistakes_are_found_where_they_are(problem):
    from grader.misconceptions.catalogue import load_catalogue

    verdicts = [try_to_locate(variant).verdict for variant in load_catalogue(problem)]
    seen = [verdict for verdict in verdicts if verdict != "unseen"]
    assert verdicts.count("elsewhere") == 0
    assert verdicts.count("located") >= 0.6 * len(seen)


def test_the_example_in_readme_is_what_pytest_says(tmp_path):
    """The code of README's example stands here; what README shows of it are lines of the real answer."""
    source = """\
import torch


def attend(q, k, v, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", q, k)
    scores = scores / k.shape[-1]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    weights = weights / weights.sum(dim=-2, keepdim=True)
    return weights @ v
"""
    adapters = (
        "from attention import attend\n\n\n"
        "def run_scaled_dot_product_attention(Q, K, V, mask=None):\n    return attend(Q, K, V, mask)\n"
    )
    root = written(tmp_path / "readme", {"attention.py": source, "adapters.py": adapters})
    tests = "tests/test_scaled_dot_product_attention.py"
    command = [sys.executable, "-m", "pytest", tests, "-q", "--submission", str(root)]
    environment = {**os.environ, "COLUMNS": "80", "PYTEST_ADDOPTS": ""}
    said = subprocess.run(command, cwd=KIT, env=environment, capture_output=True, text=True, check=False).stdout
    readme = (KIT / "README.md").read_text("utf-8")
    shown = readme.partition("╭─ scaled_dot_product_attention ─")[2].partition("╰")[0].splitlines()[1:]
    assert len(shown) > 8
    assert [line for line in shown if line not in said.splitlines()] == []
