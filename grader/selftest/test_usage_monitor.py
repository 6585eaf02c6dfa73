"""The usage monitor names what really ran, on whose behalf, and is otherwise not to be noticed."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from grader.cases.store import stored_cases
from grader.kit.paths import FIXTURES, KIT, REFERENCE
from grader.rules.from_scratch import Effect, Finding, find_breaches
from grader.scoring.rubric import Policy, load_rubric
from grader.selftest.kill_matrix import honest_variants
from grader.selftest.layouts import marked, written
from grader.submission.faults import NothingToAssess, Todo
from grader.submission.in_process import InProcess
from grader.submission.locate import locate
from grader.wall.walled import WalledSubmission
from grader.wall.worker_start import Limits
from grader.worker.operations import Operations
from grader.worker.ready_made import MODEL_PACKAGES, TOKENIZER_PACKAGES, rule_against
from grader.worker.usage_monitor import UsageMonitor

RUBRIC = {problem.id: dataclasses.replace(problem, policy=Policy.ZERO) for problem in load_rubric().problems}

RUNS = """
    import functools
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    class Derived(nn.Linear):  # derived
        pass
    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.layers = nn.Sequential(nn.Identity(), Derived(d, d))
    class Wrapped(torch.optim.Optimizer):
        def __init__(self, params, **options):
            params = list(params)
            super().__init__(params, options)
            self.inner = torch.optim.AdamW(params, **options)
        def step(self, closure=None):
            return self.inner.step(closure)  # adamw
    def run_softmax(in_features, dim):
        name = "".join(reversed("xamtfos"))
        return getattr(__import__("torch").nn.functional, name)(in_features, dim=dim)  # softmax
    def run_silu(in_features):
        return torch.ops.aten.silu(in_features)  # silu
    def run_linear(d_in, d_out, weights, in_features):
        layer = nn.Linear(d_in, d_out, bias=False)
        layer.weight.data = weights
        return layer(in_features)  # linear
    def run_embedding(vocab_size, d_model, weights, token_ids):
        return functools.partial(F.embedding, weight=weights)(token_ids)  # embedding
    def run_rmsnorm(d_model, eps, weights, in_features):
        return torch.rms_norm(in_features, (d_model,), weights, eps)  # rmsnorm
    def run_scaled_dot_product_attention(Q, K, V, mask):
        return F.scaled_dot_product_attention(Q, K, V, mask)  # attention
    def run_cross_entropy(inputs, targets):
        return nn.CrossEntropyLoss()(inputs, targets)  # cross_entropy
    def run_gradient_clipping(parameters, max_l2_norm):
        nn.utils.clip_grad_norm_(parameters, max_l2_norm)  # clip
    def get_adamw_cls():
        return Wrapped
    def get_linear_module(in_features, out_features, device, dtype):
        return Block(in_features)
    def run_get_lr_cosine_schedule(it, **options):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5).get_last_lr()[0]  # schedule
    def get_tokenizer(vocab, merges, special_tokens):
        import tiktoken
        class Mine:
            def __init__(self):
                ranks = {bytes([i]): i for i in range(256)}
                self.inner = tiktoken.Encoding("mine", pat_str=".", mergeable_ranks=ranks, special_tokens={})
            def encode(self, text):
                return self.inner.encode(text)  # encode
        return Mine()
    def run_save_checkpoint(model, optimizer, iteration, out):
        torch.save([model.state_dict(), optimizer.state_dict(), iteration], out)
    def run_load_checkpoint(src, model, optimizer):
        weights, moments, iteration = torch.load(src)
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        return iteration
    """

X = torch.randn(3, 4)
W = torch.randn(5, 4)
CALLS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "softmax": ("run_softmax", "softmax", {"in_features": X, "dim": -1}, "torch.nn.functional.softmax"),
    "silu": ("run_silu", "positionwise_feedforward", {"in_features": X}, "torch.silu"),
    "linear": ("run_linear", "linear", {"d_in": 4, "d_out": 5, "weights": W, "in_features": X}, "torch.nn.Linear"),
    "embedding": (
        "run_embedding",
        "embedding",
        {"vocab_size": 5, "d_model": 4, "weights": W, "token_ids": torch.tensor([1, 2])},
        "torch.nn.functional.embedding",
    ),
    "rmsnorm": (
        "run_rmsnorm",
        "rmsnorm",
        {"d_model": 4, "eps": 1e-5, "weights": torch.ones(4), "in_features": X},
        "torch.rms_norm",
    ),
    "attention": (
        "run_scaled_dot_product_attention",
        "scaled_dot_product_attention",
        {"Q": X, "K": X, "V": X, "mask": None},
        "torch.nn.functional.scaled_dot_product_attention",
    ),
    "cross_entropy": (
        "run_cross_entropy",
        "cross_entropy",
        {"inputs": X, "targets": torch.tensor([0, 1, 2])},
        "torch.nn.CrossEntropyLoss",
    ),
    "clip": (
        "clip",
        "gradient_clipping",
        {"parameters": [X], "gradients": [X], "max_l2_norm": 1.0},
        "torch.nn.utils.clip_grad_norm_",
    ),
    "adamw": (
        "adamw_trajectory",
        "adamw",
        {"parameters": [X], "gradients": [[X]], "options": {"lr": 0.1}},
        "torch.optim.AdamW",
    ),
    "derived": (
        "module_placement",
        "linear",
        {
            "factory": "get_linear_module",
            "config": {"in_features": 4, "out_features": 4},
            "device": None,
            "dtype": None,
        },
        "torch.nn.Linear",
    ),
    "schedule": (
        "run_get_lr_cosine_schedule",
        "learning_rate_schedule",
        {"it": 1},
        "torch.optim.lr_scheduler.CosineAnnealingLR",
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Iterator[WalledSubmission]:
    folder = written(tmp_path_factory.mktemp("runs"), RUNS)
    with WalledSubmission(locate(folder), Limits(call_s=60)) as submission:
        yield submission


def dynamic_findings(submission: WalledSubmission | InProcess, problem: str) -> tuple[Finding, ...]:
    uses_seen, submission.uses_seen = submission.uses_seen, []
    return find_breaches([RUBRIC[problem]], {}, {problem: uses_seen}).get(problem, ())


@pytest.mark.parametrize("name", CALLS)
def test_what_ran_is_named_with_its_place(runs, name):
    operation, problem, arguments, used = CALLS[name]
    for _ in range(2):  # an optimizer's first call imports much, and what takes long is not made again
        runs.perform(operation, arguments)
    findings = dynamic_findings(runs, problem)
    where = marked(Path(runs.layout.root), f"# {name}")
    assert [(f.where, f.kind, f.effect) for f in findings if f" {used}" in f" {f.evidence}"] == [
        (where, "dynamic", Effect.ZERO)
    ]


def test_a_tokenizer_library_inside_the_tokenizer_is_seen(runs):
    handle = runs.perform("open_tokenizer", {"vocab": {0: b"a"}, "merges": []})
    opened = dynamic_findings(runs, "tokenizer")
    assert [(f.rule, f.effect) for f in opened] == [("ready-made tokenizer", Effect.ZERO)]
    assert "tiktoken.Encoding" in opened[0].evidence
    runs.perform("tokenizer_encode", {"handle": handle, "text": "abc"})
    assert [f.where for f in dynamic_findings(runs, "tokenizer")] == [marked(Path(runs.layout.root), "# encode")]


def test_what_the_driver_itself_uses_is_not_the_students(runs):
    arguments = {"seed": 0, "iteration": 3, "target": "path"}
    assert runs.perform("checkpoint_round_trip", arguments)["iteration"] == 3
    assert runs.uses_seen == []


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import torch\ndef get_adamw_cls():\n    return torch.optim.AdamW\n", "returned torch.optim.AdamW"),
        (
            "from torch.optim import AdamW\nclass Mine(AdamW):\n    pass\ndef get_adamw_cls():\n    return Mine\n",
            "derived from torch.optim.AdamW",
        ),
    ],
)
def test_a_class_of_torch_optim_is_seen_when_it_is_returned(tmp_path, source, used):
    adapters: Any = type(sys)("adapters")
    path = written(tmp_path, source) / "adapters.py"
    exec(compile(path.read_text(), str(path), "exec"), vars(adapters))
    submission = InProcess(adapters, UsageMonitor(str(tmp_path)))
    submission.perform("adamw_trajectory", {"parameters": [X], "gradients": [[X]], "options": {"lr": 0.1}})
    (finding,) = dynamic_findings(submission, "adamw")
    assert used in finding.evidence
    assert finding.effect is Effect.ZERO


def reference_calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(problem, operation, arguments) of one call for nearly everything that the reference does."""
    d, ff, n = 8, 16, 4
    x = torch.randn(2, n, d)
    square = {f"{name}_proj_weight": torch.randn(d, d) for name in "qkvo"}
    block = {f"attn.{name}.weight": torch.randn(d, d) for name in ("q_proj", "k_proj", "v_proj", "output_proj")}
    block |= {"ln1.weight": torch.ones(d), "ln2.weight": torch.ones(d)}
    feed_forward = {"w1": torch.randn(ff, d), "w2": torch.randn(d, ff), "w3": torch.randn(ff, d)}
    block |= {f"ffn.{name}.weight": weight for name, weight in feed_forward.items()}
    lm = {"token_embeddings.weight": torch.randn(11, d), "ln_final.weight": torch.ones(d)}
    lm |= {"lm_head.weight": torch.randn(11, d)} | {f"layers.0.{key}": value for key, value in block.items()}
    heads = {"d_model": d, "num_heads": 2}
    yield "linear", "run_linear", {"d_in": d, "d_out": 5, "weights": torch.randn(5, d), "in_features": x}
    yield (
        "linear",
        "module_placement",
        {
            "factory": "get_linear_module",
            "config": {"in_features": d, "out_features": 3},
            "device": None,
            "dtype": None,
        },
    )
    yield "embedding", "run_embedding", {"vocab_size": 5, "d_model": 4, "weights": W, "token_ids": torch.tensor([1])}
    yield "rmsnorm", "run_rmsnorm", {"d_model": d, "eps": 1e-5, "weights": torch.ones(d), "in_features": x}
    yield "positionwise_feedforward", "run_silu", {"in_features": x}
    yield (
        "positionwise_feedforward",
        "run_swiglu",
        {
            "d_model": d,
            "d_ff": ff,
            "in_features": x,
            **{f"{name}_weight": weight for name, weight in feed_forward.items()},
        },
    )
    yield (
        "rope",
        "run_rope",
        {"d_k": d, "theta": 1e4, "max_seq_len": n, "in_query_or_key": x, "token_positions": torch.arange(n)},
    )
    yield "softmax", "run_softmax", {"in_features": x, "dim": -1}
    yield (
        "softmax",
        "gradients",
        {"adapter": "run_softmax", "inputs": {"in_features": X, "dim": -1}, "wrt": ["in_features"], "cotangent": X},
    )
    yield "scaled_dot_product_attention", "run_scaled_dot_product_attention", {"Q": x, "K": x, "V": x, "mask": None}
    yield "multihead_self_attention", "run_multihead_self_attention", {**heads, **square, "in_features": x}
    yield (
        "transformer_block",
        "run_transformer_block",
        {**heads, "d_ff": ff, "max_seq_len": n, "theta": 1e4, "weights": block, "in_features": x},
    )
    yield (
        "transformer_lm",
        "run_transformer_lm",
        {
            **heads,
            "vocab_size": 11,
            "context_length": n,
            "num_layers": 1,
            "d_ff": ff,
            "rope_theta": 1e4,
            "weights": lm,
            "in_indices": torch.tensor([[1, 2, 3]]),
        },
    )
    yield "cross_entropy", "run_cross_entropy", {"inputs": X, "targets": torch.tensor([0, 1, 2])}
    yield (
        "adamw",
        "adamw_trajectory",
        {"parameters": [X], "gradients": [[X], [X]], "options": {"lr": 0.1}, "reload_after": 1},
    )
    yield (
        "learning_rate_schedule",
        "run_get_lr_cosine_schedule",
        {"it": 1, "max_learning_rate": 1.0, "min_learning_rate": 0.1, "warmup_iters": 2, "cosine_cycle_iters": 5},
    )
    yield "gradient_clipping", "clip", {"parameters": [X], "gradients": [X], "max_l2_norm": 1.0}
    yield (
        "data_loading",
        "run_get_batch",
        {"dataset": torch.arange(50).numpy(), "batch_size": 2, "context_length": 4, "device": "cpu"},
    )
    yield (
        "checkpointing",
        "checkpoint_round_trip",
        {"seed": 0, "iteration": 3, "target": "file"},
    )


def test_the_reference_runs_without_a_finding():
    import grader.reference.adapters as adapters

    submission = InProcess(adapters, UsageMonitor(str(REFERENCE)))
    for problem, operation, arguments in reference_calls():
        submission.perform(operation, arguments)
        assert dynamic_findings(submission, problem) == (), operation


BY_TORCH = {
    *("block-by-torch", "lm-padded-to-context", "cross-entropy-in-float64"),
    *("adamw-of-pytorch", "gradient-clipping-of-pytorch"),
}
"""Variants that are right because PyTorch is: correct outputs, and breaches of the rule."""

VARIANTS = [
    variant
    for problem in RUBRIC.values()
    if (FIXTURES / "cases" / f"{problem.id}.msgpack").exists()
    for variant in honest_variants(problem.id)
]


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.id for variant in VARIANTS])
def test_correct_variants_breach_the_rule_only_where_they_use_pytorch(variant):
    import grader.reference.adapters as adapters

    submission = InProcess(adapters, UsageMonitor(str(KIT / "grader")))
    cases = stored_cases(variant.problem)
    with variant.planted():
        for case in (cases[0], cases[-1]):
            with contextlib.suppress(NothingToAssess, Todo):  # what a variant leaves out is no use of anything
                submission.perform(case.operation, case.inputs)
    assert bool(dynamic_findings(submission, variant.problem)) is (variant.id in BY_TORCH)


# ----------------------------------------------------------------------------------------------------------------
# The usage monitor stays out of the way


def operations(folder: Path, source: str) -> Operations:
    adapters: Any = type(sys)("adapters")
    path = written(folder, source) / "adapters.py"
    exec(compile(path.read_text(), str(path), "exec"), vars(adapters))
    return Operations(adapters, UsageMonitor(str(folder)))


def test_an_exception_comes_through_as_it_is(tmp_path):
    watched = operations(tmp_path, "import torch\ndef run_silu(in_features):\n    return torch.sigmoid(None)\n")
    texts = []
    for perform in (watched.perform, watched._perform):
        with pytest.raises(TypeError) as raised:
            perform("run_silu", {"in_features": X})
        frames = traceback.extract_tb(raised.tb)
        texts.append((str(raised.value), [(f.filename, f.lineno) for f in frames if "adapters.py" in f.filename]))
        assert not [
            frame for frame in frames if frame.filename.endswith("worker/usage_monitor.py") and frame.name != "watching"
        ]
    assert texts[0] == texts[1]
    assert sys.getprofile() is None


def test_compiled_code_runs_as_without_a_witness(tmp_path):
    source = """
        import torch
        @torch.compile(fullgraph=True, backend="eager")
        def run_silu(in_features):
            return in_features * torch.sigmoid(in_features)
        """
    assert torch.equal(operations(tmp_path, source).perform("run_silu", {"in_features": X}), X * torch.sigmoid(X))


def test_a_profiler_of_the_students_own_is_left_alone(tmp_path):
    source = """
        import cProfile, torch
        def run_silu(in_features):
            with cProfile.Profile():
                return torch.sigmoid(in_features)
        """
    with_profiler = operations(tmp_path, source)
    for _ in range(3):
        assert torch.equal(with_profiler.perform("run_silu", {"in_features": X}), torch.sigmoid(X))
    assert sys.getprofile() is None


def test_only_the_first_calls_and_a_few_others_are_watched(tmp_path, monkeypatch):
    for package in TOKENIZER_PACKAGES | MODEL_PACKAGES:  # other self-tests import tiktoken as an oracle
        monkeypatch.delitem(sys.modules, package, raising=False)
    monitor = UsageMonitor(str(tmp_path))
    due = [monitor.is_due("run_silu") for _ in range(2000)]
    assert due[:2] == [True, True]
    assert 60 < sum(due) < 220
    assert not any(monitor.is_due("tokenizer_encode") for _ in range(20))


def test_what_torch_calls_itself_is_not_the_students(tmp_path):
    source = """
        import torch
        def run_silu(in_features):
            probabilities = torch.distributions.Categorical(logits=in_features).probs
            repr(torch.nn.Sequential(torch.nn.Identity()))
            return torch.masked.softmax(probabilities, -1) * torch.nn.init.trunc_normal_(torch.empty(()))
        """
    watched = operations(tmp_path, source)
    watched.perform("run_silu", {"in_features": X})
    assert [u for u in watched.uses_seen() if rule_against(u["name"], "positionwise_feedforward")] == []
