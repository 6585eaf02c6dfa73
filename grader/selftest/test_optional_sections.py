"""What nobody has begun of an optional section costs nothing: no points, hardly any time, one line of the report."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from grader.examination.runner import ExaminationResult, run_tests
from grader.kit.stubs import skeleton
from grader.misconceptions.catalogue import owner_of
from grader.report.formats.account import accounts
from grader.report.html import render
from grader.report.model import Report, build_report
from grader.report.terminal import show
from grader.scoring.outcome import Outcome, PlannedTest, Result, Tier
from grader.scoring.points import Status
from grader.scoring.rubric import Problem, ProblemKind, Rubric, RubricError, load_rubric
from grader.selftest.forked import ForkedExaminer
from grader.selftest.layouts import written
from grader.submission.locate import locate
from grader.trials.evidence import building_on, dependents
from grader.wall.isolation import Isolation, Level

RUBRIC = load_rubric()
LINEAR, LAYERNORM = RUBRIC["linear"], RUBRIC["layernorm"]


def test_the_architecture_lab_is_optional_and_has_a_total_of_its_own():
    assert RUBRIC.optional_sections == ("architecture",)
    assert "architecture" not in RUBRIC.base_sections


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('optional_sections = ["modle"]', "optional section 'modle' is not among the sections"),
        ('optional_sections = ["model"]', "section 'model' is a base section, and cannot be optional"),
    ],
)
def test_an_optional_section_that_makes_no_sense_is_named(tmp_path, line, complaint):
    path = tmp_path / "rubric.toml"
    path.write_text(f'base_sections = ["model"]\n{line}\nproblem = []\n[sections]\nmodel = "Model"\n')
    with pytest.raises(RubricError, match=complaint):
        load_rubric(path)


def test_what_is_asked_for_by_itself_is_never_settled():
    lab = RUBRIC.select(section="architecture")
    assert RUBRIC.settled_unless_begun(RUBRIC.problems) == lab
    assert RUBRIC.settled_unless_begun([LINEAR, LAYERNORM]) == (LAYERNORM,)
    assert RUBRIC.settled_unless_begun(lab) == RUBRIC.settled_unless_begun([LAYERNORM]) == ()
    assert RUBRIC.settled_unless_begun([LINEAR]) == ()


def test_bugs_of_the_base_are_not_tried_on_what_few_submissions_have():
    sections = {problem.id: problem.section for problem in RUBRIC.problems}
    base = {sections[other] for problem, others in dependents().items() for other in others
            if sections[problem] != "architecture"}  # fmt: skip
    assert "architecture" not in base
    assert all(set(others) <= set(building_on()[problem]) for problem, others in dependents().items())


# ------------------------------------------------------------------------------------------------------------
# A grade. `relu` stands for a problem with two functions, of which one may be written.


STUB = """
    def run_linear(d_in, d_out, weights, in_features):
        return in_features @ weights.T


    def run_layernorm(d_model, eps, weight, bias, in_features):
        raise NotImplementedError("layernorm: write LayerNorm.__init__ in cs336_basics/architecture/norms.py")
"""
HALF = STUB.replace(
    "        raise NotImpl", "        if weight is None:\n            return in_features * 0\n        raise NotImpl"
)
ABSENT = STUB.partition("\n\n\n")[0]


def graded(folder: Path, source: str) -> ExaminationResult:
    return run_tests(
        locate(written(folder, source)), [LINEAR, LAYERNORM], optional=[LAYERNORM], seed=1,
        isolation=Isolation(Level.PROCESS), launch=ForkedExaminer,
    )  # fmt: skip


@pytest.mark.parametrize(("source", "result"), [(STUB, Result.TODO), (ABSENT, Result.SKIP)])
def test_what_is_not_begun_is_settled_without_its_tests(tmp_path, source, result):
    found = graded(tmp_path, source)
    assert found.unbegun == {"layernorm": result}
    assert {test.problem for test in found.planned} == {"linear"}
    assert all(outcome.result is Result.PASS for outcome in found.outcomes if "reference" in outcome.id)


def test_what_is_written_in_part_is_tested_as_always(tmp_path):
    found = graded(tmp_path, HALF)
    assert found.unbegun == {}
    results = {outcome.result for outcome in found.outcomes if outcome.id.startswith("test_layernorm")}
    assert results >= {Result.TODO, Result.FAIL}


# ------------------------------------------------------------------------------------------------------------
# The report


def reported(unbegun: dict[str, Result], problems: list[Problem], rubric: Rubric = RUBRIC, **options) -> Report:
    planned = [
        PlannedTest(f"test_{p.id}.py::test_a", p.id, f"test_{p.id}.py::test_a", "A.", Tier.CORE, True, False)
        for p in problems
        if p.id not in unbegun
    ]
    outcomes = [Outcome(test.id, Result.PASS) for test in planned]
    return build_report(
        "x", rubric, problems, planned, outcomes, {}, policy={}, seed=None,
        isolation={"level": "process", "missing": []}, environment={"seconds": 1.0}, unbegun=unbegun,
        own_adapters=options.get("own_adapters", ["run_layernorm"]),
    )  # fmt: skip


def shown(report: Report) -> str:
    page = io.StringIO()
    show(report, Console(file=page, width=120))
    return page.getvalue()


def with_two_problems() -> tuple[Rubric, list[Problem]]:
    other = Problem("othernorm", "Other norm", "architecture", ProblemKind.CODE, 2)
    return replace(RUBRIC, problems=(*RUBRIC.problems, other)), [LINEAR, LAYERNORM, other]


def test_a_section_that_nobody_began_is_one_line_of_the_report():
    rubric, problems = with_two_problems()
    report = reported(dict.fromkeys(("layernorm", "othernorm"), Result.TODO), problems, rubric)
    assert (report.earned, report.assessed, report.total) == (1, 1, 1)
    for page in (shown(report), render(report)):
        assert "layernorm" not in page
        assert page.count("Architecture lab") == 1
        assert "Not begun, and no part of the total: Architecture lab (extension), 2 problems, 3 points." in page
    in_json = [problem.as_json() for problem in report.problems[1:]]
    everything = {"problems": [problem.as_json() for problem in report.problems], "extensions": {"architecture": {}}}
    assert [one.id for one in accounts(everything)] == ["linear"], "neither has any other format more to say"
    assert [(p["id"], p["status"], p["note"], p["tests"]) for p in in_json] == [
        ("layernorm", "todo", "", []), ("othernorm", "todo", "", []),
    ]  # fmt: skip


def test_of_a_section_that_was_begun_every_problem_is_listed_and_counts():
    rubric, problems = with_two_problems()
    report = reported({"othernorm": Result.TODO}, problems, rubric)
    assert report.extensions["architecture"].as_json() == {"earned": 1, "assessed": 3, "total": 3}
    assert (report.earned, report.total) == (1, 1)
    page = shown(report)
    everything = {"problems": [problem.as_json() for problem in report.problems], "extensions": {"architecture": {}}}
    assert [one.id for one in accounts(everything)] == ["linear", "layernorm", "othernorm"]
    assert "othernorm" in page
    assert "Not begun" not in page
    assert "Architecture lab (extension): 1 of 3" in page


def test_a_solution_of_the_public_assignment_is_not_charged():
    report = reported({"layernorm": Result.SKIP}, [LINEAR, LAYERNORM], own_adapters=[])
    score = report.problems[1].score
    assert (score.status, score.unassessed) == (Status.NOT_PROVIDED, LAYERNORM.points)


# ------------------------------------------------------------------------------------------------------------
# Packages within the reference


def test_the_skeleton_has_the_packages_of_the_reference(tmp_path):
    written(tmp_path, {
        "grader/reference/__init__.py": '"""Staff."""\n',
        "grader/reference/adapters.py": "def run_a(x):\n    from .lab.norms import a\n\n    return a(x)\n",
        "grader/reference/runs/data.py.txt": "no module\n",
        "grader/reference/lab/__init__.py": '"""A lab."""\n',
        "grader/reference/lab/_private.py": "X = 1\n",
        "grader/reference/lab/norms.py": '"""Norms."""\n\nfrom ..layers import b\n\n\ndef a(x):\n    """A.\n\n    '
                                         'Problem: layernorm\n    """\n    return b(x)\n',
    })  # fmt: skip
    files = skeleton(tmp_path)
    assert {name for name in files if "lab" in name} == {"cs336_basics/lab/__init__.py", "cs336_basics/lab/norms.py"}
    assert files["cs336_basics/lab/__init__.py"] == '"""A lab."""\n'
    assert (
        'NotImplementedError("layernorm: write a in cs336_basics/lab/norms.py")' in files["cs336_basics/lab/norms.py"]
    )
    assert "import b" not in files["cs336_basics/lab/norms.py"]
    assert "from cs336_basics.lab.norms import a" in files["adapters.py"]


def test_what_a_variant_replaces_may_lie_in_a_package():
    from grader.reference.architecture.norms import LayerNorm

    assert owner_of("architecture.norms.LayerNorm.forward") == (LayerNorm, "forward")
    owner, attribute = owner_of("architecture.norms.LayerNorm")
    assert getattr(owner, attribute) is LayerNorm
