"""What a course has differently from the rubric, and what it cannot have."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from grader.kit.paths import KIT
from grader.scoring.rubric import Policy, RubricError, Visibility, load_rubric
from grader.staff.batch import digest
from grader.staff.unit import Options


def course(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "course.toml"
    path.write_text(text, "utf-8")
    return path


def test_what_the_document_shows_is_a_course(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", (KIT / "docs" / "course.md").read_text("utf-8"), re.DOTALL)
    rubric, plain = load_rubric(course=course(tmp_path, text)), load_rubric()
    assert rubric.edition == "2025"
    assert not rubric.lines
    assert (rubric["rope"].points, rubric["train_bpe"].points, rubric["train_bpe"].call_limit_s) == (3, 20, 60)
    assert {problem.policy for problem in rubric.problems} == {Policy.WARN}
    assert rubric.visibility == {"tokenizer": Visibility.AFTER_DUE_DATE}
    assert rubric["cross_entropy"].points == 2
    assert (rubric.package, plain.package) == ("my_model", "")
    asked = [problem.id for problem in rubric.select()]
    assert asked == [problem.id for problem in plain.select() if problem.id not in tomllib.loads(text)["left_out"]]


def test_the_command_line_names_an_edition_above_the_courses(tmp_path):
    path = course(tmp_path, 'edition = "2025"')
    assert load_rubric(course=path)["cross_entropy"].points == 2
    assert load_rubric(course=path, edition="26.0.3")["cross_entropy"].points == 1


def test_a_problem_that_is_left_out_is_still_built_on(tmp_path):
    rubric = load_rubric(course=course(tmp_path, 'left_out = ["rope"]'))
    attention = rubric["multihead_self_attention"]
    assert "rope" in [problem.id for problem in rubric.below([attention])]
    assert "rope" not in [problem.id for problem in rubric.select(section="model")]
    with pytest.raises(RubricError, match="the course leaves out rope"):
        rubric.select(["rope"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('left_out = ["ropes"]', "course.toml: no problem is called 'ropes'. Did you mean 'rope'?"),
        ('left_out = "rope"', "left_out is 'rope', and must be a list"),
        ("[problem.ropes]\npoints = 1", "no problem is called 'ropes'"),
        ("[problem.rope]\npionts = 1", "unknown key 'pionts'. Did you mean 'points'?"),
        ("[problem.rope]\npoints = -1", "points must not be negative"),
        ("[problem.rope]\nneeds = []", "a course cannot change needs"),
        ("[problem]\nrope = 3", "write a table for each problem"),
        ('[visibility]\nrope = "later"', "visibility of rope is 'later', and must be one of visible, hidden"),
        ('[visibility]\nropes = "hidden"', "no problem is called 'ropes'"),
        ('visibility = "hidden"', "write a table [visibility]"),
        ('policy = "none"', "policy is 'zero' or 'warn', not 'none'"),
        ("lines = 1", "course.toml: lines is 1"),
        ('edition = "1999"', "no edition of the handout is called '1999'"),
        ("colour = 1", "course.toml: unknown key 'colour'"),
        ("points = = 1", "is not valid TOML"),
        ('package = "my-model"', "package is 'my-model', and must be a name that Python can import"),
        ('package = "class"', "package is 'class', and must be"),
        ("package = 3", "package is 3, and must be"),
        ('package = "grader"', "package is 'grader', which is the name of something else"),
        ('package = "json"', "package is 'json', which is the name of something else"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path, text, says):
    with pytest.raises(RubricError, match=re.escape(says)):
        load_rubric(course=course(tmp_path, text))


def test_a_course_that_changes_is_another_grade(tmp_path):
    """So that a batch grades everything again."""
    path = course(tmp_path, "lines = true")
    options = Options(course=str(path))
    before = digest(tmp_path, options)
    path.write_text("lines = false")
    assert digest(tmp_path, options) != before


def test_as_listed(tmp_path):
    path = course(tmp_path, 'left_out = ["linear"]\n[problem.rope]\npoints = 7')
    command = [sys.executable, "-m", "grader", "--list", "--course", str(path)]
    shown = subprocess.run(command, cwd=KIT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^  rope +7 ", shown, re.MULTILINE)
    assert not re.search(r"^  linear ", shown, re.MULTILINE)
