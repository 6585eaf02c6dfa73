"""A report that is read from its JSON form is the report that was written, and shows what a person gave since."""

from __future__ import annotations

import json

import pytest

from grader.report.html import render
from grader.report.manual_scores import ManualScore, with_scores
from grader.report.stored import report_from_json
from grader.scoring.rubric import load_rubric
from grader.selftest.golden import load_cases, rendered
from grader.selftest.report_contract import check
from grader.staff.manual_class import enter_class_scores, show_on_pages

CASES = {case.name: case for case in load_cases()}
RUBRIC = load_rubric()
HOSTILE = "Good.</pre><script>owned = 1</script>"


def stored(name: str) -> dict:
    return json.loads(CASES[name].stored()["report.json"])


@pytest.mark.parametrize("name", CASES)
def test_it_says_word_for_word_what_it_said(name):
    report = report_from_json(stored(name), RUBRIC, folder="solution")
    now = rendered(report)
    assert json.loads(now["report.json"]) == stored(name)
    commands = ("uv run", "python -m grader")  # which name the folder that a test was graded in
    lines = [[line for line in text.splitlines() if not any(command in line for command in commands)]
             for text in (now["report.txt"], CASES[name].stored()["report.txt"])]  # fmt: skip
    assert lines[0] == lines[1]


def test_a_page_shows_scores_and_comments():
    table = stored("known_bug")
    problem = table["problems"][0]["id"]
    graded = with_scores(table, {problem: ManualScore(0.5, HOSTILE)})
    check(graded)
    page = render(report_from_json(graded, RUBRIC))
    assert "Graded by a person" in page
    assert "Good.&lt;/pre&gt;&lt;script&gt;" in page
    assert "<script" not in page
    assert "graded by hand" in page
    assert f"<h1>{graded['score']['earned']:g} of {graded['score']['assessed']:g} assessed points</h1>" in page
    assert "Graded by a person" not in render(report_from_json(table, RUBRIC))


def test_a_comment_alone_leaves_the_points_and_the_remark():
    table = stored("known_bug")
    first = table["problems"][0]
    scored = with_scores(table, {first["id"]: ManualScore(0.5, "")})
    again = with_scores(scored, {first["id"]: ManualScore(None, "Look again.")})
    assert {key: again["problems"][0][key] for key in ("earned", "remark")} == {
        key: first[key] for key in ("earned", "remark")
    }
    page = render(report_from_json(again, RUBRIC))
    assert "Look again." in page
    assert "graded by hand" not in page


def test_a_problem_that_the_kit_no_longer_has_is_shown_all_the_same():
    table = stored("right")
    table["problems"][0] |= {"id": "of_another_kit", "section": "of_another_kit", "kind": "manual"}
    assert "of_another_kit" in render(report_from_json(table, RUBRIC))


def test_scores_of_a_class_reach_the_pages_of_students(tmp_path):
    """But where an older kit wrote the report: that page stays as it was, and whoever enters the scores is told."""
    for id in ("ada", "old"):
        folder = tmp_path / "reports" / id
        folder.mkdir(parents=True)
        table = stored("half_done")
        if id == "old":
            for problem in table["problems"]:
                del problem["remark"], problem["begun"], problem["troubles"]
        (folder / "report.json").write_text(json.dumps(table))
        (folder / "report.html").write_text("as it was graded")
    problem = stored("half_done")["problems"][0]["id"]
    given = {id: {problem: ManualScore(0.5, "Careful.")} for id in ("ada", "old")}
    assert [id for id, _ in enter_class_scores(tmp_path, given)] == ["ada", "old"]
    assert list(show_on_pages(tmp_path, given)) == ["old"]
    assert "Careful." in (tmp_path / "reports" / "ada" / "report.html").read_text()
    assert (tmp_path / "reports" / "old" / "report.html").read_text() == "as it was graded"
