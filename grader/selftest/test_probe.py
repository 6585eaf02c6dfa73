"""What costs points is an answer that came from ready-made code, and nothing that ran beside it."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from grader.rules.from_scratch import Effect, Finding, find_breaches
from grader.scoring.rubric import Policy, load_rubric
from grader.selftest.layouts import written
from grader.submission.in_process import InProcess
from grader.submission.locate import locate
from grader.wall.walled import WalledSubmission
from grader.worker.probe import same
from grader.worker.usage_monitor import UsageMonitor

RUBRIC = {problem.id: dataclasses.replace(problem, policy=Policy.ZERO) for problem in load_rubric().problems}
X = torch.randn(3, 4)

OWN = """
import functools, operator, os, random, time
import concurrent.futures
import torch
import torch.nn as nn
import torch.nn.functional as F

def own(x, dim=-1):
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)
"""

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "softmax": ("run_softmax", {"in_features": X, "dim": -1}),
    "linear": ("run_linear", {"d_in": 4, "d_out": 3, "weights": torch.randn(3, 4), "in_features": X}),
    "rmsnorm": ("run_rmsnorm", {"d_model": 4, "eps": 1e-5, "weights": torch.ones(4), "in_features": X}),
    "positionwise_feedforward": ("run_silu", {"in_features": X}),
    "embedding": (
        "run_embedding",
        {"vocab_size": 3, "d_model": 4, "weights": X, "token_ids": torch.tensor([1, 2])},
    ),
    "scaled_dot_product_attention": (
        "run_scaled_dot_product_attention",
        {"Q": X[None], "K": X[None], "V": X[None], "mask": None},
    ),
    "cross_entropy": ("run_cross_entropy", {"inputs": X, "targets": torch.tensor([0, 1, 2])}),
    "gradient_clipping": ("clip", {"parameters": [X], "gradients": [X], "max_l2_norm": 1.0}),
    "adamw": ("adamw_trajectory", {"parameters": [X], "gradients": [[X]], "options": {"lr": 0.1}}),
    "learning_rate_schedule": ("run_get_lr_cosine_schedule", {"it": 1}),
}


def findings(folder: Path, problem: str, source: str, calls: int = 2) -> tuple[Finding, ...]:
    """What is found when the operation of a problem is called; in a module of its own, as behind the wall."""
    path = written(folder, OWN + source) / "adapters.py"
    adapters: Any = type(sys)("adapters")
    exec(compile(path.read_text(), str(path), "exec"), vars(adapters))
    submission = InProcess(adapters, UsageMonitor(str(folder)))
    operation, arguments = CALLS[problem]
    for _ in range(calls):
        submission.perform(operation, arguments)
    return find_breaches([RUBRIC[problem]], {}, {problem: submission.uses_seen}).get(problem, ())


BESIDE = {
    "asserted with allclose": (
        "softmax",
        """
def run_softmax(x, dim):
    mine = own(x, dim)
    assert torch.allclose(mine, torch.softmax(x, dim))
    return mine
""",
    ),
    "asserted with assert_close": (
        "softmax",
        """
def run_softmax(x, dim):
    mine = own(x, dim)
    torch.testing.assert_close(mine, F.softmax(x, dim))
    return mine
""",
    ),
    "compared with each other for equality": (
        "softmax",
        """
def run_softmax(x, dim):
    assert torch.equal(torch.softmax(x, dim).clone(), F.softmax(x, dim))
    return own(x, dim)
""",
    ),
    "printed": (
        "softmax",
        """
def run_softmax(x, dim):
    print("theirs", x.softmax(dim))
    return own(x, dim)
""",
    ),
    "a layer to compare with": (
        "linear",
        """
def run_linear(d_in, d_out, weights, in_features):
    mine = in_features @ weights.T
    theirs = nn.Linear(d_in, d_out, bias=False)
    theirs.weight.data = weights
    assert torch.allclose(mine, theirs(in_features), atol=1e-5)
    return mine
""",
    ),
    "norms to compare with": (
        "rmsnorm",
        """
def run_rmsnorm(d_model, eps, weights, in_features):
    mine = in_features * (in_features.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * weights
    torch.testing.assert_close(mine, nn.RMSNorm(d_model, eps)(in_features) * weights)
    torch.testing.assert_close(mine, F.rms_norm(in_features, (d_model,), weights, eps))
    return mine
""",
    ),
    "attention to compare with": (
        "scaled_dot_product_attention",
        """
def run_scaled_dot_product_attention(Q, K, V, mask):
    mine = own(Q @ K.mT / Q.shape[-1] ** 0.5) @ V
    torch.testing.assert_close(mine, F.scaled_dot_product_attention(Q, K, V, mask))
    return mine
""",
    ),
    "a loss to compare with": (
        "cross_entropy",
        """
def run_cross_entropy(inputs, targets):
    mine = (inputs.logsumexp(-1) - inputs[torch.arange(len(targets)), targets]).mean()
    torch.testing.assert_close(mine, nn.CrossEntropyLoss()(inputs, targets))
    assert abs(mine.item() - F.cross_entropy(inputs, targets).item()) < 1e-5
    return mine
""",
    ),
    "clipping to compare with": (
        "gradient_clipping",
        """
def run_gradient_clipping(parameters, max_l2_norm):
    parameters = list(parameters)
    copies = [nn.Parameter(p.detach().clone()) for p in parameters]
    for p, c in zip(parameters, copies):
        c.grad = p.grad.clone()
    nn.utils.clip_grad_norm_(copies, max_l2_norm)
    norm = torch.sqrt(sum(p.grad.pow(2).sum() for p in parameters))
    for p, c in zip(parameters, copies):
        p.grad.mul_(max_l2_norm / (norm + 1e-6))
        assert torch.allclose(p.grad, c.grad)
""",
    ),
    "an optimizer to compare with": (
        "adamw",
        """
class Mine(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(list(params), {"lr": lr})
        self.copies = [nn.Parameter(p.detach().clone()) for p in self.param_groups[0]["params"]]
        self.theirs = torch.optim.AdamW(self.copies, lr=lr)
    def step(self):
        for p, c in zip(self.param_groups[0]["params"], self.copies):
            c.grad = p.grad.clone()
            p.data -= self.param_groups[0]["lr"] * (p.grad / (p.grad.abs() + 1e-8) + 0.01 * p.data)
        self.theirs.step()
        for p, c in zip(self.param_groups[0]["params"], self.copies):
            assert torch.allclose(p, c, atol=1e-5)
def get_adamw_cls():
    return Mine
""",
    ),
    "a schedule to compare with": (
        "learning_rate_schedule",
        """
import math
def run_get_lr_cosine_schedule(it):
    mine = (1 + math.cos(math.pi / 5)) / 2 if it else 1.0
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    optimizer.step()
    theirs.step()
    assert math.isclose(mine, theirs.get_last_lr()[0])
    return mine
""",
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_ran_beside_the_answer_costs_nothing(tmp_path, name):
    found = findings(tmp_path, *BESIDE[name])
    assert found
    assert {finding.effect for finding in found} == {Effect.WARN}
    pieces = [finding for finding in found if "SGD" not in finding.evidence]
    assert all("the answer does not come from it" in finding.evidence for finding in pieces)


UNKNOWN = {
    "compared for equality": (
        "linear",
        """
def run_linear(d_in, d_out, weights, in_features):
    mine = in_features @ weights.T
    assert torch.equal(mine, F.linear(in_features, weights))
    return mine
""",
    ),
    "compared in the first call only": (
        "softmax",
        """
checked = []
def run_softmax(x, dim):
    if not checked:
        checked.append(True)
        assert torch.allclose(own(x, dim), F.softmax(x, dim))
    return own(x, dim)
""",
    ),
    "another answer each time": (
        "softmax",
        """
def run_softmax(x, dim):
    F.softmax(x, dim)
    return own(x, dim) + int.from_bytes(os.urandom(4), "big") / 2**32
""",
    ),
    "slow": (
        "softmax",
        """
def run_softmax(x, dim):
    time.sleep(1.1)
    return F.softmax(x, dim)
""",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_known_costs_nothing_and_is_listed(tmp_path, name):
    found = findings(tmp_path, *UNKNOWN[name], calls=1)
    assert {finding.effect for finding in found} == {Effect.WARN}
    assert any("could not be found out" in finding.evidence for finding in found)


ANSWERS = {
    "a function": ("softmax", "def run_softmax(x, dim):\n    return F.softmax(x, dim)\n"),
    "a method": ("softmax", "def run_softmax(x, dim):\n    return x.softmax(dim)\n"),
    "a method by name": (
        "softmax",
        "def run_softmax(x, dim):\n    return operator.methodcaller('soft' 'max', dim)(x)\n",
    ),
    "a partial of a function in C": (
        "positionwise_feedforward",
        "run = functools.partial(torch._C._nn.silu)\ndef run_silu(x):\n    return run(x)\n",
    ),
    "map": ("softmax", "def run_softmax(x, dim):\n    return next(map(torch.softmax, [x], [dim]))\n"),
    "an output given": (
        "softmax",
        "def run_softmax(x, dim):\n    return torch.softmax(x, dim, out=torch.empty_like(x))\n",
    ),
    "in place": ("positionwise_feedforward", "def run_silu(x):\n    F.silu(x, inplace=True)\n    return x\n"),
    "a copy of the result": (
        "softmax",
        "def run_softmax(x, dim):\n    y = torch.empty_like(x)\n    y.copy_(F.softmax(x, dim))\n    return y\n",
    ),
    "in float64": ("softmax", "def run_softmax(x, dim):\n    return F.softmax(x.double(), dim).float()\n"),
    "in half precision": ("softmax", "def run_softmax(x, dim):\n    return F.softmax(x.bfloat16(), dim).float()\n"),
    "compared with itself": (
        "softmax",
        """
def run_softmax(x, dim):
    theirs = torch.softmax(x, dim)
    assert torch.allclose(theirs, own(x, dim))
    return theirs
""",
    ),
    "tree_map": (
        "softmax",
        "from torch.utils._pytree import tree_map\ndef run_softmax(x, dim):\n    return tree_map(F.softmax, [x])[0]\n",
    ),
    "vmap": ("softmax", "def run_softmax(x, dim):\n    return torch.func.vmap(lambda row: F.softmax(row, -1))(x)\n"),
    "a decomposition": (
        "positionwise_feedforward",
        "from torch._decomp.decompositions import silu\ndef run_silu(x):\n    return silu(x)\n",
    ),
    "a reference": (
        "softmax",
        "import torch._refs\ndef run_softmax(x, dim):\n    return torch._refs.softmax(x, dim)\n",
    ),
    "TorchScript from a text": (
        "softmax",
        "unit = torch.jit.CompilationUnit('def f(x, dim: int):\\n  return torch.softmax(x, dim)\\n')\n"
        "def run_softmax(x, dim):\n    return unit.f(x, dim)\n",
    ),
    "TorchScript": (
        "positionwise_feedforward",
        "unit = torch.jit.trace(lambda x: F.silu(x), torch.ones(2))\ndef run_silu(x):\n    return unit(x)\n",
    ),
    "an operator": ("softmax", "def run_softmax(x, dim):\n    return torch.ops.aten._softmax.default(x, dim, False)\n"),
    "a thread": (
        "softmax",
        "pool = concurrent.futures.ThreadPoolExecutor(1)\n"
        "def run_softmax(x, dim):\n    return pool.submit(F.softmax, x, dim).result()\n",
    ),
    "a function in C in a thread": (
        "softmax",
        "pool = concurrent.futures.ThreadPoolExecutor(1)\n"
        "def run_softmax(x, dim):\n    return pool.submit(torch.softmax, x, dim).result()\n",
    ),
    "compiled": (
        "softmax",
        "@torch.compile(backend='eager')\ndef run_softmax(x, dim):\n    return F.softmax(x, dim)\n",
    ),
    "code with the name of the import system's": (
        "softmax",
        "exec(compile('def run_softmax(x, dim):\\n    return F.softmax(x, dim)', "
        "'<frozen importlib._bootstrap>', 'exec'))\n"
        "inner = run_softmax\ndef run_softmax(x, dim):\n    return inner(x, dim)\n",
    ),
    "code with the name of torch's": (
        "softmax",
        "exec(compile('def inner(x, dim):\\n    return torch.softmax(x, dim)', F.__file__, 'exec'))\n"
        "def run_softmax(x, dim):\n    return inner(x, dim)\n",
    ),
    "a module with another name": (
        "softmax",
        "F.__name__ = 'elsewhere'\ndef run_softmax(x, dim):\n    return F.softmax(x, dim)\n",
    ),
    "twenty others first": (
        "softmax",
        """
def run_softmax(x, dim):
    for name in ("relu relu6 elu selu celu gelu mish hardswish hardtanh softsign tanhshrink softplus hardshrink "
                 "softshrink leaky_relu threshold logsigmoid normalize dropout alpha_dropout hardsigmoid tanh "
                 "sigmoid one_hot").split():
        try:
            getattr(F, name)(x, 0.1) if name != "threshold" else F.threshold(x, 0.1, 0.1)
        except Exception:
            pass
    for _ in range(3):
        exec("\\n" * 40 * _ + "F.relu(x)\\nF.elu(x)\\nF.selu(x)\\nF.celu(x)\\nF.silu(x)\\nF.gelu(x)\\nF.linear(x, x)")
    return F.softmax(x, dim)
""",
    ),
    "twenty times beside the answer first": (
        "softmax",
        "def run_softmax(x, dim):\n" + "    F.softmax(x, dim)\n" * 20 + "    return x.softmax(dim)\n",
    ),
    "the embedding": (
        "embedding",
        "def run_embedding(vocab_size, d_model, weights, token_ids):\n    return F.embedding(token_ids, weights)\n",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_came_from_ready_made_code_costs_its_points(tmp_path, name):
    found = findings(tmp_path, *ANSWERS[name])
    assert [f.effect for f in found if f.effect is not Effect.WARN] == [Effect.ZERO], found


def test_a_comparison_while_a_module_is_imported_is_nobodys_use(tmp_path):
    files = {
        "adapters.py": """
            def run_softmax(in_features, dim):
                from layers import softmax
                return softmax(in_features, dim)
            """,
        "layers.py": """
            import torch
            import torch.nn.functional as F
            def softmax(x, dim):
                e = (x - x.amax(dim, keepdim=True)).exp()
                return e / e.sum(dim, keepdim=True)
            def check():
                x = torch.randn(3, 4)
                assert torch.allclose(softmax(x, 0), F.softmax(x, 0))
                assert torch.allclose(softmax(x, 0), torch.softmax(x, 0))
            check()
            """,
    }
    with WalledSubmission(locate(written(tmp_path, files))) as submission:
        for _ in range(3):
            submission.perform(*CALLS["softmax"])
    assert submission.uses_seen == []


def test_an_answer_computed_while_a_module_is_imported_is_a_use(tmp_path):
    files = {
        "adapters.py": """
            import importlib, sys
            def run_softmax(in_features, dim):
                sys.question = in_features, dim
                sys.modules.pop("answer", None)
                return importlib.import_module("answer").answer
            """,
        "answer.py": "import sys, torch\nx, dim = sys.question\nanswer = torch.softmax(x, dim)\n",
    }
    with WalledSubmission(locate(written(tmp_path, files))) as submission:
        for _ in range(2):
            submission.perform(*CALLS["softmax"])
        uses_seen = submission.uses_seen
    (finding,) = find_breaches([RUBRIC["softmax"]], {}, {"softmax": uses_seen})["softmax"]
    assert (finding.where, finding.effect) == ("answer.py:3", Effect.ZERO)


@pytest.mark.parametrize("file", ["a\nb.py", "a" * 250 + ".py", "\u202eyp.a.py"])
def test_a_use_in_a_file_with_any_name_is_listed(tmp_path, file):
    source = f"""
import runpy
inner = runpy.run_path({str(tmp_path / file)!r})["f"]
def run_softmax(x, dim):
    return inner(x, dim)
"""
    (tmp_path / file).write_text("import torch\ndef f(x, dim):\n    return torch.softmax(x, dim)\n")
    (finding,) = findings(tmp_path, "softmax", source)
    assert finding.effect is Effect.ZERO
    assert finding.where.isprintable()
    assert finding.where.endswith(":3")
    assert len(finding.where) <= 200


ENDED = {
    "switched off": "    sys.setprofile(None)\n",
    "and on again": "    was = sys.getprofile()\n    sys.setprofile(None)\n    sys.setprofile(was)\n",
    "through partial": "    was = sys.getprofile()\n    off = functools.partial(sys.setprofile, None)\n    off()\n"
    "    sys.setprofile(was)\n",
    "for threads": "    import threading\n    threading.setprofile(None)\n",
    "another profiler": "    import cProfile\n    with cProfile.Profile():\n        own(x)\n",
}


@pytest.mark.parametrize("name", ENDED)
def test_who_ends_the_watch_is_named_and_loses_nothing(tmp_path, name):
    if name == "another profiler" and sys.version_info >= (3, 12):
        pytest.skip("from Python 3.12 on cProfile is no profile function")
    source = f"import sys\ndef run_softmax(x, dim):\n{ENDED[name]}    return own(x, dim)\n"
    try:
        (finding,) = findings(tmp_path, "softmax", source, calls=1)
    finally:
        sys.setprofile(None)
    assert (finding.rule, finding.effect) == ("not watched", Effect.WARN)


def test_a_profile_function_from_the_start_is_named(tmp_path):
    source = "import sys\nsys.setprofile(lambda *_: None)\ndef run_softmax(x, dim):\n    return F.softmax(x, dim)\n"
    try:
        (finding,) = findings(tmp_path, "softmax", source)
    finally:
        sys.setprofile(None)
    assert finding.rule == "not watched"


def test_tokens_of_a_library_are_told_from_own_ones(tmp_path):
    pytest.importorskip("tiktoken")
    source = """
import tiktoken
ranks = {bytes([i]): i for i in range(256)}
theirs = tiktoken.Encoding("theirs", pat_str=".", mergeable_ranks=ranks, special_tokens={})
class Tokenizer:
    def __init__(self, *_):
        pass
    def encode(self, text):
        return LINE
def get_tokenizer(vocab, merges, special_tokens=None):
    return Tokenizer()
"""
    found = {}
    for line in ("theirs.encode(text)", "[list(text.encode()), print(theirs.encode(text))][0]"):
        path = written(tmp_path, source.replace("LINE", line)) / "adapters.py"
        adapters: Any = type(sys)("adapters")
        exec(compile(path.read_text(), str(path), "exec"), vars(adapters))
        submission = InProcess(adapters, UsageMonitor(str(tmp_path)))
        handle = submission.perform("open_tokenizer", {"vocab": {0: b"a"}, "merges": []})
        for _ in range(2):
            submission.perform("tokenizer_encode", {"handle": handle, "text": "abc"})
        breaches = find_breaches([RUBRIC["tokenizer"]], {}, {"tokenizer": submission.uses_seen})
        found[line] = breaches["tokenizer"]
    assert [[str(finding.effect) for finding in findings] for findings in found.values()] == [["zero"], ["warn"]], found


def test_a_class_of_pythons_is_nobodys_library(tmp_path, monkeypatch):
    """Libraries have names of their own for `str`: bytes of a text do not come from whoever does."""
    library = types.ModuleType("tokenizers")
    library.__file__ = str(tmp_path / "elsewhere" / "tokenizers" / "__init__.py")
    vars(library).update(TextInputSequence=str, Path=Path)
    monkeypatch.setitem(sys.modules, "tokenizers", library)
    source = """
class Tokenizer:
    def __init__(self, *_):
        pass
    def encode(self, text):
        return list(text.encode())
def get_tokenizer(vocab, merges, special_tokens=None):
    return Tokenizer()
"""
    path = written(tmp_path / "own", source) / "adapters.py"
    adapters: Any = types.ModuleType("adapters")
    exec(compile(path.read_text(), str(path), "exec"), vars(adapters))
    submission = InProcess(adapters, UsageMonitor(str(tmp_path / "own")))
    handle = submission.perform("open_tokenizer", {"vocab": {0: b"a"}, "merges": []})
    for _ in range(2):
        submission.perform("tokenizer_encode", {"handle": handle, "text": "abc"})
    assert submission.uses_seen == []


def test_answers_are_compared_bit_by_bit():
    nan = float("nan")
    assert same({"a": [X, nan, 1]}, {"a": [X.clone(), nan, 1]})
    assert same(X, X * (1 + 4e-7)) is False
    assert same(torch.tensor([0.0]), torch.tensor([-0.0])) is False
    assert same(torch.tensor(1.0), torch.tensor(1.0))
    assert same([1, 2], [1, 2, 3]) is False
    assert same(object(), object()) is None
    assert same([object(), 1], [object(), 2]) is False
