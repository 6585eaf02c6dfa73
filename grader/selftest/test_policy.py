"""The from-scratch rule: honest code raises no finding, disguises are seen through, and only what ran costs points."""

from __future__ import annotations

import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from grader.kit.paths import KIT, REFERENCE
from grader.report.model import build_report
from grader.report.terminal import show
from grader.rules.from_scratch import Effect, Finding, find_breaches, mentions_in, worth_keeping
from grader.scoring.outcome import Outcome, PlannedTest, Result, Tier
from grader.scoring.points import Status
from grader.scoring.rubric import Policy, Problem, load_rubric
from grader.selftest.forked import run_grader
from grader.selftest.layouts import marked, public_layout, written
from grader.selftest.report_contract import checked
from grader.submission.in_process import InProcess
from grader.submission.locate import locate
from grader.worker.operation_table import adapters_of
from grader.worker.usage_monitor import UsageMonitor

RUBRIC = load_rubric()
SNIPPETS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("policy_snippets.toml").read_text("utf-8"))
HONEST, DISGUISED, SEEN_WHEN_RUN = SNIPPETS["honest"], SNIPPETS["disguised"], SNIPPETS["seen_when_run"]


def submission_of(snippet: dict[str, Any], folder: Path) -> Path:
    adapters = {"adapters.py": snippet["adapters"]} if "adapters" in snippet else {}
    return written(folder, {**adapters, **snippet.get("files", {})})


def static_findings(folder: Path, problem: str) -> tuple[Finding, ...]:
    problems = [RUBRIC[problem]]
    return find_breaches(problems, mentions_in(locate(folder), problems), {}).get(problem, ())


# ----------------------------------------------------------------------------------------------------------------
# Reading the source


@pytest.mark.parametrize("name", HONEST)
def test_honest_code_raises_no_finding(tmp_path, name):
    assert static_findings(submission_of(HONEST[name], tmp_path), HONEST[name]["problem"]) == ()


@pytest.mark.parametrize("layout", ["reference", "skeleton", "public"])
def test_our_own_code_raises_no_finding(tmp_path, layout):
    place = {"reference": REFERENCE, "skeleton": KIT}.get(layout) or public_layout(tmp_path / "s")
    assert find_breaches(RUBRIC.problems, mentions_in(locate(place), RUBRIC.problems), {}) == {}


def test_the_reading_reaches_what_the_adapters_use(tmp_path):
    (problem,) = RUBRIC.select(["transformer_lm"])
    mentions = mentions_in(locate(public_layout(tmp_path / "s")), [problem])["transformer_lm"]
    names = {mention.name for mention in mentions}
    assert {"torch.nn.ModuleList", "torch.nn.Parameter", "torch.nn.init.trunc_normal_"} <= names


def test_every_adapter_of_the_reference_belongs_to_a_problem():
    import grader.reference.adapters as adapters

    ours = {name for name in vars(adapters) if name.startswith(("run_", "get_"))}
    assert ours == {name for problem in RUBRIC.problems for name in adapters_of(problem.id)}


@pytest.mark.parametrize("name", DISGUISED)
def test_a_disguise_is_seen_through(tmp_path, name):
    snippet = DISGUISED[name]
    findings = static_findings(submission_of(snippet, tmp_path), snippet["problem"])
    assert [(f.rule, f.where, f.problem, f.kind, f.effect) for f in findings] == [
        (snippet["rule"], marked(tmp_path), snippet["problem"], "static", Effect.WARN)
    ]


@pytest.mark.parametrize("name", SEEN_WHEN_RUN)
def test_a_disguise_that_is_not_followed_is_seen_when_it_runs(tmp_path, name):
    snippet = SEEN_WHEN_RUN[name]
    problem = RUBRIC[snippet["problem"]]
    path = submission_of(snippet, tmp_path) / "adapters.py"
    adapters: Any = type(sys)("adapters")  # in a module of its own, as behind the wall
    exec(compile(path.read_text(), str(path), "exec"), vars(adapters))
    submission = InProcess(adapters, UsageMonitor(str(tmp_path)))
    submission.run_softmax(in_features=torch.randn(3, 4), dim=-1)
    found = find_breaches([problem], {}, {problem.id: submission.uses_seen})[problem.id]
    assert [(f.rule, f.where, f.kind, f.effect) for f in found] == [
        (snippet["rule"], marked(tmp_path), "dynamic", Effect.ZERO)
    ]


def test_nothing_outside_the_submission_is_read(tmp_path):
    (tmp_path / "secret.py").write_text("from torch.nn.functional import softmax\n")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "linked.py").symlink_to(tmp_path / "secret.py")
    source = """
        from linked import softmax
        from ..secret import softmax as other
        def run_softmax(in_features, dim):
            return softmax(other(in_features))
        """
    written(tmp_path / "s", source)
    assert static_findings(tmp_path / "s", "softmax") == ()


ENTANGLED = {
    "a name in terms of itself": "x = f(x, x)\nx = g(x, x)\n" * 40,
    "texts that double": "".join(f"t{i + 1} = t{i} + t{i}\n" for i in range(60)) + "t0 = 'softmax'\n",
    "classes of classes": "".join(f"class C{i}(C{i + 1}, C{i + 2}, C{i + 1}): pass\n" for i in range(60)),
    "names in a circle": "".join(f"y{i} = y{(i + 1) % 50}(y{(i + 2) % 50})\n" for i in range(50)),
    "a long sum": "z = " + " + ".join(["a"] * 3000) + "\n",
    "a long chain": "z = a" + ".b" * 900 + "\n",
}


@pytest.mark.parametrize("name", ENTANGLED)
def test_entangled_source_is_read_quickly(tmp_path, name):
    source = ENTANGLED[name] + "def run_softmax(in_features, dim):\n    return getattr(x, t60)(C0(y0), z)\n"
    start = time.process_time()
    assert static_findings(written(tmp_path, source), "softmax") == ()
    assert time.process_time() - start < 5


def test_source_that_refers_to_itself_ends(tmp_path):
    adapters = """
        from a import *
        from adapters import run_softmax as x
        y = z
        z = y
        class A(A):
            pass
        def run_softmax(in_features, dim):
            return x(y(q(A())))
        """
    a = "from b import *\nfrom b import q\n"
    b = "from a import *\nfrom a import q\n"
    written(tmp_path, {"adapters.py": adapters, "a.py": a, "b.py": b})
    assert static_findings(tmp_path, "softmax") == ()


# ----------------------------------------------------------------------------------------------------------------
# From evidence to points


def use(name: str, where: str = "a.py:1", how: str = "answer") -> dict[str, str]:
    return {"name": name, "where": where, "how": how}


def problems(*ids: str, policy: Policy = Policy.ZERO) -> list[Problem]:
    return [replace(RUBRIC[problem], policy=policy) for problem in ids]


def effects(findings: dict[str, tuple[Finding, ...]]) -> dict[str, list[str]]:
    return {problem: [str(finding.effect) for finding in found] for problem, found in findings.items()}


def test_one_use_costs_once():
    seen = {"linear": [use("torch.nn.functional.linear")], "transformer_lm": [use("torch.nn.functional.linear")]}
    assert effects(find_breaches(problems(*seen), {}, seen)) == {"linear": ["zero"], "transformer_lm": ["carried"]}


def test_another_place_is_another_use():
    seen = {"softmax": [use("torch.nn.functional.softmax")], "rope": [use("torch.nn.functional.softmax", "b.py:2")]}
    assert effects(find_breaches(problems(*seen), {}, seen)) == {"softmax": ["zero"], "rope": ["warn"]}


def test_the_rubric_may_only_warn():
    seen = {"linear": [use("torch.nn.functional.linear")]}
    assert effects(find_breaches(problems("linear", policy=Policy.WARN), {}, seen)) == {"linear": ["warn"]}


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        ("cross_entropy", "torch.nn.functional.one_hot"),
        ("transformer_block", "torch.nn.Dropout"),
    ],
)
def test_what_replaces_no_piece_is_only_mentioned(problem, name):
    assert effects(find_breaches(problems(problem), {}, {problem: [use(name)]})) == {problem: ["warn"]}


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        ("scaled_dot_product_attention", "torch.softmax"),
        ("cross_entropy", "torch.logsumexp"),
        ("cross_entropy", "torch.log_softmax"),
        ("rmsnorm", "torch.rsqrt"),
        ("checkpointing", "torch.optim.AdamW"),
        ("linear", "tiktoken.Encoding"),
        ("tokenizer", "torch.nn.functional.pad"),
        ("training_together", "torch._C._nn._parse_to"),  # model.to(device)
    ],
)
def test_what_is_allowed_in_a_problem_is_no_finding_there(problem, name):
    assert find_breaches(problems(problem), {}, {problem: [use(name)]}) == {}


@pytest.mark.parametrize(
    "record",
    [
        *(None, 3, "torch.nn.Linear", [], {}, {"name": "torch.nn.Linear"}),
        {"name": 1, "where": "a.py:1", "how": "ran"},
        {"name": "torch.nn.Linear", "where": "a.py:1", "how": "because"},
        {"name": "torch.nn.Linear [bold]", "where": "a.py:1", "how": "ran"},
    ],
)
def test_nonsense_from_behind_the_wall_is_dropped(record):
    assert find_breaches(problems("linear"), {}, {"linear": [record]}) == {}


@pytest.mark.parametrize("where", ["a\n.py:1", "a" * 400 + ".py:1", "\x1b[2J.py:1"])
def test_a_strange_place_is_shown_shortened_and_in_one_line(where):
    (finding,) = find_breaches(problems("linear"), {}, {"linear": [use("torch.nn.Linear", where)]})["linear"]
    assert finding.where.isprintable()
    assert finding.where.endswith(".py:1")
    assert len(finding.where) <= 200


@pytest.mark.parametrize("how", ["ran", "beside"])
def test_only_what_gave_the_answer_costs_points(how):
    seen = {"linear": [use("torch.nn.Linear", how=how)], "transformer_lm": [use("torch.nn.functional.linear")]}
    assert effects(find_breaches(problems(*seen), {}, seen)) == {"linear": ["warn"], "transformer_lm": ["warn"]}


def test_of_several_uses_in_a_file_the_one_that_gave_the_answer_is_shown():
    seen = [use("torch.nn.Linear", f"a.py:{line}", how) for line, how in enumerate(("ran", "beside", "answer"))]
    (finding,) = find_breaches(problems("linear"), {}, {"linear": seen})["linear"]
    assert (finding.where, finding.effect) == ("a.py:2", Effect.ZERO)


def test_many_harmless_uses_do_not_hide_the_one_that_matters():
    def place(number: int) -> str:
        return f"a.py:{number}"

    harmless = [use(f"torch.nn.functional.relu{i}", place(i), "ran") for i in range(100)]
    beside = [use("torch.nn.functional.softmax", place(i), "beside") for i in range(100, 200)]
    gave = use("torch.nn.functional.softmax", place(200))
    kept: list[Any] = []
    for seen in (harmless, beside, [gave, use("tiktoken.Encoding"), 3, {}]):
        kept += worth_keeping("softmax", seen, kept, most=50)
    assert gave in kept
    assert sum(known in kept for known in beside) == 5
    assert sum(known in kept for known in harmless) == 50
    assert len(kept) == 56
    assert worth_keeping("softmax", [gave], kept, most=50) == []


def report_of(findings: dict[str, tuple[Finding, ...]], result: Result = Result.PASS):
    return build_report(
        "here",
        RUBRIC,
        problems("linear"),
        [PlannedTest("t::a", "linear", "a", "A claim", Tier.CORE, True, False)],
        [Outcome("t::a", result)],
        {},
        policy=findings,
        seed=None,
        isolation={"level": "process", "missing": []},
        environment={"seconds": 0.0},
    )


def test_points_are_withheld_for_what_ran():
    findings = find_breaches(problems("linear"), {}, {"linear": [use("torch.nn.Linear")]})
    (problem,) = report_of(findings).problems
    assert (problem.score.earned, problem.score.status) == (0, Status.FAIL)
    (finding,) = problem.as_json()["policy"]
    assert finding.keys() >= {"rule", "where", "evidence", "kind", "problem", "effect"}


def test_points_stay_where_there_is_only_a_warning():
    findings = find_breaches(problems("linear", policy=Policy.WARN), {}, {"linear": [use("torch.nn.Linear")]})
    (problem,) = report_of(findings).problems
    assert (problem.score.earned, problem.score.status) == (1, Status.PASS)


def test_an_unwritten_problem_stays_todo():
    findings = find_breaches(problems("linear"), {}, {"linear": [use("torch.nn.Linear")]})
    assert report_of(findings, Result.TODO).problems[0].score.status is Status.TODO


def test_the_terminal_says_which_rule_where_and_what_it_costs(capsys):
    from rich.console import Console

    findings = find_breaches(problems("linear"), {}, {"linear": [use("torch.nn.Linear", "lm/layers.py:12")]})
    show(report_of(findings), Console(width=200))
    shown = capsys.readouterr().out
    assert "torch.nn at lm/layers.py:12  (the problem earns no points)" in shown
    assert "torch.nn.Linear ran when this line called it" in shown
    assert "points withheld: from-scratch rule" in shown


def test_a_grade_from_end_to_end(tmp_path):
    written(
        tmp_path,
        """
        import torch
        def run_rmsnorm(d_model, eps, weights, in_features):
            return torch.nn.functional.rms_norm(in_features, (d_model,), weights, eps)  # here
        """,
    )
    result = run_grader(tmp_path, "--problem", "rmsnorm", "--json", "-")
    (problem,) = checked(result.stdout)["problems"]
    assert (problem["earned"], problem["status"]) == (0, "fail")
    assert [(f["rule"], f["where"], f["kind"], f["effect"]) for f in problem["policy"]] == [
        ("torch.nn.functional", marked(tmp_path), "dynamic", "zero")
    ]
