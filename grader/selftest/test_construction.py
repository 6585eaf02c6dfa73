"""What is built behind the public assignment's adapters: initialisation, registration, gradients and types.

Submissions here have nothing but public adapters, so a layer shows only while one of these runs. What is wrong with it
costs the claim that is about it and no other; what cannot be seen costs nothing.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

from grader.cases.assets import Recipe
from grader.cases.case import Draw
from grader.cases.store import draw_cases, stored_cases
from grader.cases.weights import usual_d_ff
from grader.checks.initialisation import check_cut, check_spread
from grader.checks.new_layers import New
from grader.scoring.outcome import Result
from grader.scoring.points import Status
from grader.selftest.layouts import written
from grader.selftest.test_wild_submissions import by_id, grade, problems
from grader.submission.locate import locate
from grader.wall.walled import WalledSubmission

RECIPE = [[-1.8890717029571533, -1.2695355415344238], [2.0602080821990967, 1.2211278676986694]]
LAYERS = ("linear", "embedding", "rmsnorm", "positionwise_feedforward")

MODEL = """
    import torch
    from torch import nn


    class Linear(nn.Module):
        def __init__(self, d_in, d_out):
            super().__init__()
            self.W = nn.Parameter(torch.empty(d_out, d_in))
            std = (2 / (d_in + d_out)) ** 0.5
            nn.init.trunc_normal_(self.W, std=std, a=-3 * std, b=3 * std)

        def forward(self, x):
            return x @ self.W.T


    class Embedding(nn.Module):
        def __init__(self, vocab_size, d_model):
            super().__init__()
            self.table = nn.Parameter(torch.empty(vocab_size, d_model))
            nn.init.trunc_normal_(self.table, a=-3, b=3)

        def forward(self, ids):
            return self.table[ids]


    class RMSNorm(nn.Module):
        def __init__(self, d_model, eps):
            super().__init__()
            self.eps = eps
            self.gain = nn.Parameter(torch.ones(d_model))

        def forward(self, x):
            wide = x.float()
            return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps) * self.gain).to(x.dtype)


    class SwiGLU(nn.Module):
        def __init__(self, d_model, d_ff):
            super().__init__()
            self.up, self.gate, self.down = Linear(d_model, d_ff), Linear(d_model, d_ff), Linear(d_ff, d_model)

        def forward(self, x):
            gate = self.gate(x)
            return self.down(gate * torch.sigmoid(gate) * self.up(x))
"""

ASSIGNING = """
    import torch
    from model import Embedding, Linear, RMSNorm, SwiGLU


    def run_linear(d_in, d_out, weights, in_features):
        layer = Linear(d_in, d_out)
        layer.W.data = weights
        return layer(in_features)


    def run_embedding(vocab_size, d_model, weights, token_ids):
        layer = Embedding(vocab_size, d_model)
        layer.table.data = weights
        return layer(token_ids)


    def run_rmsnorm(d_model, eps, weights, in_features):
        layer = RMSNorm(d_model, eps)
        layer.gain.data = weights
        return layer(in_features)


    def run_silu(in_features):
        raise NotImplementedError


    def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
        layer = SwiGLU(d_model, d_ff)
        layer.gate.W.data, layer.down.W.data, layer.up.W.data = w1_weight, w2_weight, w3_weight
        return layer(in_features)
"""
WITHOUT_GRADIENTS = ASSIGNING.replace("    def run_", "    @torch.no_grad()\n    def run_")
COPYING = re.sub(r"(\S+)\.data = (\w+)", r"\1.copy_(\2)", ASSIGNING).replace(
    "layer.gate.W.data, layer.down.W.data, layer.up.W.copy_(w1_weight), w2_weight, w3_weight",
    "layer.gate.W.copy_(w1_weight), layer.down.W.copy_(w2_weight), layer.up.W.copy_(w3_weight)",
)
IN_INFERENCE_MODE = COPYING.replace("    def run_", "    @torch.inference_mode()\n    def run_")
OFF_FOR_GOOD = ASSIGNING.replace("import torch\n", "import torch\n    torch.set_grad_enabled(False)\n", 1)
FUNCTIONAL = """
    import torch


    def run_linear(d_in, d_out, weights, in_features):
        return in_features @ weights.T


    def run_embedding(vocab_size, d_model, weights, token_ids):
        return weights[token_ids]


    def run_rmsnorm(d_model, eps, weights, in_features):
        wide = in_features.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps) * weights
        return wide.to(in_features.dtype)


    def run_silu(in_features):
        return in_features * torch.sigmoid(in_features)


    def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
        return (run_silu(in_features @ w1_weight.T) * (in_features @ w3_weight.T)) @ w2_weight.T
"""


def claims_lost(report, problem: str) -> set[str]:
    """The claims of a problem that some test speaks against."""
    silent = (Result.PASS, Result.ABSENT, Result.SKIP)
    tests = by_id(report)[problem].tests
    return {test.plan.claim.partition("::")[2] for test in tests if test.outcome.result not in silent}


def changed(*pairs: tuple[str, str]) -> str:
    model = MODEL
    for right, wrong in pairs:
        assert right in model
        model = model.replace(right, wrong)
    return model


def graded(folder: Path, model: str, adapters: str):
    return grade(written(folder, {"model.py": model, "tests/adapters.py": adapters}), problems(*LAYERS))


@pytest.mark.parametrize(
    "adapters",
    [ASSIGNING, WITHOUT_GRADIENTS, IN_INFERENCE_MODE, OFF_FOR_GOOD, FUNCTIONAL],
    ids=["assigning", "without gradients", "in inference mode", "gradients off for good", "functional"],
)
def test_right_layers_lose_nothing_whatever_the_glue(tmp_path, adapters):
    report = graded(tmp_path, MODEL, adapters)
    for problem in report.problems:
        assert not claims_lost(report, problem.problem.id)
        assert problem.score.status is Status.PASS
        assert problem.score.earned == pytest.approx(problem.problem.points - problem.score.unassessed)


def test_what_an_adapter_hides_is_seen(tmp_path):
    model = changed(
        ("std = (2 / (d_in + d_out)) ** 0.5", "std = 2 / (d_in + d_out)"),
        ("nn.init.trunc_normal_(self.table, a=-3, b=3)", "pass"),
        ("torch.ones(d_model)", "torch.zeros(d_model)"),
        ("Linear(d_model, d_ff), Linear(d_model, d_ff), Linear(d_ff, d_model)",
         "Linear(d_ff, d_model), Linear(d_ff, d_model), Linear(d_model, d_ff)"),
    )  # fmt: skip
    report = graded(tmp_path, model, ASSIGNING)
    assert claims_lost(report, "linear") == {"test_initial_weight"}
    assert claims_lost(report, "embedding") == {"test_initial_table", "test_initial_table_is_cut"}
    assert claims_lost(report, "rmsnorm") == {"test_gain_starts_at_one"}
    assert claims_lost(report, "positionwise_feedforward") == {"test_parameters"}
    messages = [test.outcome.message for test in by_id(report)["embedding"].tests]
    assert any("never given its first values" in message for message in messages)


@pytest.mark.parametrize("glue", [WITHOUT_GRADIENTS, IN_INFERENCE_MODE], ids=["no_grad", "inference_mode"])
def test_a_layer_that_does_not_learn_is_seen_through_glue_without_gradients(tmp_path, glue):
    model = changed(
        ("x @ self.W.T", "x @ self.W.data.T"), ("self.table[ids]", "self.table.detach()[ids]"),
        ("wide = x.float()", "wide = x.detach().float()"),
    )  # fmt: skip
    report = graded(tmp_path, model, glue)
    assert claims_lost(report, "linear") == {"test_weight_learns"}
    assert claims_lost(report, "embedding") == {"test_rows_learn"}
    assert claims_lost(report, "rmsnorm") == {"test_gradients"}
    assert claims_lost(report, "positionwise_feedforward") == {"test_weights_learn"}


def test_silu_through_data_is_charged_where_it_is_written(tmp_path):
    adapters = FUNCTIONAL.replace(
        "in_features * torch.sigmoid(in_features)", "in_features.data.sigmoid() * in_features.data"
    )
    report = graded(tmp_path, MODEL, adapters)
    assert claims_lost(report, "positionwise_feedforward") == {"test_gradients", "test_silu_in_training"}


def test_a_loss_of_one_dimension_with_the_right_value_costs_nothing(tmp_path):
    loss = """
        def run_cross_entropy(inputs, targets):
            picked = inputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            return (inputs.logsumexp(-1) - picked).mean().reshape(1)
    """
    report = grade(written(tmp_path, loss), problems("cross_entropy"))
    assert claims_lost(report, "cross_entropy") == {"test_scalar"}
    assert by_id(report)["cross_entropy"].score.status is Status.PASS


def test_an_unwritten_layer_is_todo(tmp_path):
    adapters = """
        def run_silu(in_features):
            raise NotImplementedError


        def run_swiglu(**arguments):
            raise NotImplementedError
    """
    report = grade(written(tmp_path, adapters), problems("positionwise_feedforward"))
    assert by_id(report)["positionwise_feedforward"].score.status is Status.TODO


def test_an_adapter_cannot_say_that_there_is_nothing_to_see(tmp_path):
    silent = """
        def run_linear(**arguments):
            from grader_worker.exceptions import NothingSeen
            raise NothingSeen("nothing here")
    """
    report = grade(written(tmp_path, silent), problems("linear"))
    assert {"test_matches_reference", "test_large_inputs", "test_dtype"} <= claims_lost(report, "linear")
    assert by_id(report)["linear"].score.earned == 0


# ------------------------------------------------------------------------------------------------------------
# Watching


def moments(folder: Path, source: str) -> list[dict]:
    """What is seen of the layer of one adapter, at each moment at which it may have had its first values."""
    inputs = {"d_in": 3, "d_out": 2, "weights": torch.full((2, 3), 9.0), "in_features": torch.ones(1, 1, 3)}
    with WalledSubmission(locate(written(folder, source))) as submission:
        return submission.new_parameters(adapter="run_linear", inputs=inputs, seed=0)


LATE = """
    import torch
    from torch import nn


    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.W = nn.Parameter(torch.empty(2, 3))

        def start(self):
            self.W.data.fill_(5.0)

        def forward(self, x):
            return x @ self.W.T


    def run_linear(d_in, d_out, weights, in_features):
        layer = Linear()
        layer.start()
        layer.load_state_dict({"W": weights})
        return layer(in_features)
"""


def test_first_values_may_come_from_a_method_of_its_own(tmp_path):
    at_birth, started = moments(tmp_path, LATE)
    assert at_birth["parameters"]["W"].isnan().all()
    assert (started["parameters"]["W"] == 5).all()


def test_what_fails_while_loading_is_seen_all_the_same(tmp_path):
    wrong = LATE.replace("torch.empty(2, 3)", "torch.empty(3, 2)").replace("layer.start()", "")
    (at_birth,) = moments(tmp_path, wrong)
    assert at_birth["parameters"]["W"].shape == (3, 2)


# ------------------------------------------------------------------------------------------------------------
# Statistics


def truncated(n: int, std: float, cut: float = 3.0) -> torch.Tensor:
    return torch.nn.init.trunc_normal_(torch.empty(n), std=std, a=-cut * std, b=cut * std)


def test_right_starts_pass_with_every_seed():
    for seed in range(300):
        torch.manual_seed(seed)
        check_spread(truncated(2000, 0.05), 0.05, "a weight")
        check_cut(truncated(20_000, 0.05), "a weight")


def test_wrong_starts_fail_with_every_seed():
    for seed in range(100):
        torch.manual_seed(seed)
        for weight in (truncated(2000, 0.05**2), truncated(2000, 0.05 * 1.4), torch.rand(2000), torch.zeros(2000)):
            with pytest.raises(AssertionError):
                check_spread(weight, 0.05, "a weight")
        for weight in (truncated(20_000, 0.05, cut=2), torch.randn(20_000), torch.rand(20_000) - 0.5):
            with pytest.raises(AssertionError):
                check_cut(weight, "a weight")


@pytest.mark.parametrize(
    ("sigma", "cut", "words"),
    [(0.06**2, 3, "0.0036 is sigma squared"), (1.0, 2, "sigma = 1"), (0.06**0.5, 9, "root of sigma"), (0.02, 3, "")],
)
def test_a_spread_that_is_another_one_of_the_formulas_is_said_to_be(sigma, cut, words):
    torch.manual_seed(0)
    with pytest.raises(AssertionError) as refused:
        check_spread(truncated(60_000, sigma, cut=cut), 0.06, "a weight")
    assert words in str(refused.value)
    assert bool(words) == (str(refused.value).count(";") == 2)


# ------------------------------------------------------------------------------------------------------------
# Sizes


def test_core_cases_of_swiglu_have_sizes_on_which_all_readings_agree():
    for case in stored_cases("positionwise_feedforward"):
        if case.group in ("reference", "large"):
            d_model, d_ff = case.inputs["d_model"], case.inputs["d_ff"]
            assert d_ff == math.floor(8 / 3 * d_model / 64) * 64 == math.ceil(8 / 3 * d_model / 64) * 64
    with pytest.raises(ValueError, match="24"):
        usual_d_ff(64)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cases_of_adamw_that_cost_points_have_options_that_all_readings_take(seed):
    """An `assert weight_decay > 0` is no wrong optimizer: nobody is promised a decay or an average of 0."""
    for case in draw_cases("adamw", seed):
        options = case.inputs.get("options", {})
        if case.group != "corners":  # advice
            assert options.get("weight_decay", 0.1) > 0, case.name
            assert all(0 < beta < 1 for beta in options.get("betas", (0.9, 0.99))), case.name


@pytest.mark.parametrize("problem", ["linear", "embedding", "rmsnorm", "softmax", "positionwise_feedforward"])
def test_some_stored_output_is_larger_than_a_shortcut_would_assume(problem):
    sizes = [case.expected.numel() for case in stored_cases(problem) if isinstance(case.expected, torch.Tensor)]
    assert max(sizes) > 6000


def test_a_recipe_means_the_same_numbers_for_good():
    recipe = Recipe((2, 2), 2.0, 12345)
    assert recipe.tensor().tolist() == RECIPE
    large = Draw(0, "a recipe").recipe(300, 400).tensor()
    assert abs(large.mean().item()) < 0.02
    assert abs(large.std().item() - 1) < 0.01


def test_cases_that_are_not_stored_are_drawn():
    drawn = {case.name for case in draw_cases("softmax", 7)}
    assert drawn - {case.name for case in stored_cases("softmax")} == {"much_larger", "many_more_rows"}


def test_sizes_that_are_exchanged_are_said_to_be():
    """A layer made with (d_ff, d_model) for (d_model, d_ff) has the transposed weight; so it was in a real solution."""
    shapes = {"w1": (6, 16), "w2": (16, 6), "w3": (6, 16)}
    moment = {
        "parameters": {name: torch.zeros(shape) for name, shape in shapes.items()},
        "trainable": dict.fromkeys(shapes, True),
        "saved": list(shapes.values()),
        "whole": True,
    }
    new = New("a new SwiGLU(6, 16)", [moment])
    with pytest.raises(AssertionError, match="the transpose of what is missing: are sizes exchanged where layers are"):
        new.check_registered([((16, 6), None), ((6, 16), None), ((16, 6), None)])
    with pytest.raises(AssertionError, match=r"too many: 2 of shape \(6, 16\)$"):
        new.check_registered([((16, 6), None), ((6, 4), None), ((4, 16), None)])
