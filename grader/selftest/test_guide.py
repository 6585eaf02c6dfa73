"""`explain` and `doctor`: what a person asks beside a grade."""

from __future__ import annotations

import io
import shutil

import pytest
from rich.console import Console

from grader.__main__ import main
from grader.cases import store
from grader.examination.session import planned_tests
from grader.guide import doctor
from grader.guide.claim_list import claims_of
from grader.guide.doctor import Health, of_fixtures, of_packages, of_system
from grader.guide.explanation import HANDOUT, explain, render, section_of
from grader.kit.paths import FIXTURES
from grader.scoring.outcome import Tier
from grader.scoring.rubric import ProblemKind, load_rubric

RUBRIC = load_rubric()
TEXT = HANDOUT.read_text("utf-8")
TESTED = [problem for problem in RUBRIC.problems if claims_of(problem)]


@pytest.fixture(scope="module")
def planned():
    return planned_tests([problem.id for problem in TESTED])


def test_the_claims_that_are_read_are_those_that_pytest_collects(planned):
    collected = {
        (test.claim.partition("::")[2], test.problem): (test.title, test.tier, test.asked, test.own_adapter)
        for test in planned
    }
    read = {
        (claim.name, problem.id): (claim.title, claim.tier, claim.asked, claim.own_adapter)
        for problem in TESTED
        for claim in claims_of(problem)
    }
    assert collected.items() <= read.items()
    fresh_only = {name for name, _ in read.keys() - collected.keys()}  # their cases are too large to be stored
    assert len(fresh_only) < 0.1 * len(read), fresh_only


@pytest.mark.parametrize("problem", TESTED, ids=lambda problem: problem.id)
def test_claims_share_the_points(problem):
    claims = claims_of(problem)
    assert sum(claim.points for claim in claims) == pytest.approx(problem.points)
    assert all((claim.points == 0) == (claim.tier is Tier.ADVICE) for claim in claims)


@pytest.mark.parametrize("problem", RUBRIC.problems, ids=lambda problem: problem.id)
def test_every_problem_is_explained_without_latex(problem):
    page = io.StringIO()
    Console(file=page, width=100).print(render(explain(problem, RUBRIC, TEXT)))
    said = page.getvalue()
    assert problem.title in said
    if problem.section != "kernels":
        assert section_of(problem.id, TEXT)
    assert not [line for line in said.splitlines() if "\\frac" in line or "\\mathrm" in line or "$$" in line]


def test_the_command_explains(capsys):
    assert main(["explain", "rope"]) == 0
    said = capsys.readouterr().out
    assert "How it is tested" in said
    assert "neighbour" in said
    assert main(["explain", "ropes"]) == 2
    assert "did you mean 'rope'" in capsys.readouterr().err.lower()


def test_a_python_that_is_too_old_is_named():
    found = of_system("linux", "3.9.18", ">=3.11")
    assert found.state is Health.WRONG
    assert "3.9.18" in found.says
    assert found.do.startswith("make setup PYTHON=")
    assert of_system("win32", "3.12.1", ">=3.11").do.startswith("wsl")


def test_packages_are_held_to_their_bounds():
    found = list(of_packages(["torch>=2.6,<2.14", "numpy>=1.26", "nonesuch"], {"torch": "1.13.1", "numpy": "2.1.0"}))
    assert [one.state for one in found] == [Health.WRONG, Health.WRONG]
    assert "torch 1.13.1" in found[0].says
    assert "torch<2.14,>=2.6" in found[0].do
    assert "nonesuch" in found[1].says


def test_line_ends_of_windows_are_told_from_damage(tmp_path):
    copy = tmp_path / "fixtures"
    shutil.copytree(FIXTURES, copy)
    assert [one.state for one in of_fixtures(copy)] == [Health.FINE]
    stories = copy / "text" / "stories.txt"
    stories.write_bytes(stories.read_bytes().replace(b"\n", b"\r\n"))
    (copy / "gpt2" / "merges.txt").unlink()
    converted, damaged = of_fixtures(copy)
    assert "stories.txt" in converted.says
    assert "autocrlf" in converted.do
    assert "merges.txt" in damaged.says


def test_a_machine_that_is_ready_is_fine(capsys):
    assert main(["doctor", "grader/reference"]) == 0
    said = capsys.readouterr().out
    assert "✗" not in said
    assert "Isolation: " in said


def test_what_is_wrong_ends_with_exit_code_1(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_installed", dict)
    assert main(["doctor", "grader/reference"]) == 1
    assert "make setup" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["rope", "misconceptions", "quantities"])
def test_damaged_cases_are_named_whichever_file_it_is(name, tmp_path, monkeypatch):
    folder = tmp_path / "cases"
    shutil.copytree(doctor.CASES, folder)
    for module in (doctor, store):
        monkeypatch.setattr(module, "CASES", folder)
    assert list(doctor._unreadable_cases()) == []
    (folder / f"{name}.msgpack").write_bytes(b"\x00damaged")
    assert list(doctor._unreadable_cases()) == [f"{name}.msgpack"]


@pytest.mark.parametrize("problem", TESTED, ids=lambda problem: problem.id)
def test_every_problem_has_a_core_claim_that_judges_values(planned, problem):
    """Without one, a problem's properties would earn points by themselves: wholly wrong values have many of them."""
    if problem.kind is not ProblemKind.CODE:
        pytest.skip("experiments and answers have no properties")
    assert any(test.judges_values for test in planned if test.problem == problem.id and test.tier is Tier.CORE)


READINGS = {
    "gradient_clipping": ("test_no_gradient_at_all",),
    "learning_rate_schedule": ("test_cycle_ends_with_warmup",),
    "multihead_self_attention": ("test_no_positions", "test_any_leading_dimensions", "test_half_precision"),
    "positionwise_feedforward": ("test_any_d_ff", "test_any_leading_dimensions"),
    "rmsnorm": ("test_any_leading_dimensions",),
    "rope": ("test_half_precision", "test_double_precision", "test_no_batch_dimension"),
    "scaled_dot_product_attention": ("test_no_batch_dimension", "test_half_precision"),
    "train_bpe": ("test_longest_special_token_counts", "test_nothing_to_learn", "test_line_ends_are_kept"),
    "adamw": ("test_corner_options", "test_closure"),
}
"""What the public assignment does not ask for, and cost most of its solutions points before it was advice."""


@pytest.mark.parametrize("problem", READINGS)
def test_readings_that_the_assignment_does_not_ask_for_cost_nothing(problem):
    points = {claim.name: claim.points for claim in claims_of(RUBRIC[problem])}
    assert {points[name] for name in READINGS[problem]} == {0}


@pytest.mark.parametrize("name", ["test_silu", "test_silu_far_from_zero", "test_silu_in_training"])
def test_silu_by_itself_is_no_core_claim(name):
    """The handout speaks of it within SwiGLU only."""
    (claim,) = (claim for claim in claims_of(RUBRIC["positionwise_feedforward"]) if claim.name == name)
    assert claim.tier is not Tier.CORE
