"""The page of a class: what its statistics say, what a reader finds on it, and how fast for five hundred students."""

from __future__ import annotations

import copy
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.selftest.browser import Page, browser, find_browser
from grader.selftest.golden import load_cases
from grader.staff.class_page import render_class
from grader.staff.class_statistics import ClassStatistics, correlation, histogram, statistics_of
from grader.staff.collection import HandedIn
from grader.staff.grade_state import Grade, GradeState, claim_titles, summary_of, write_grade
from grader.staff.grade_table import ClassRow
from grader.staff.roster import Student

REPORTS = {case.name: json.loads(case.stored()["report.json"]) for case in load_cases()}
HOSTILE = '<script>owned = "points"</script><img src="x" onerror="owned = 1">'
BUG = "linear-weight-not-transposed"


def row(id: str, summary: dict[str, Any] | None, name: str = "") -> ClassRow:
    grade = (
        Grade(GradeState.GRADED, seconds=60.0, summary=summary) if summary else Grade(GradeState.FAILED, "a power cut")
    )
    return ClassRow(HandedIn(id, (Student(id, name),), Path(id)), grade)


def made_up(strength: float, draw: random.Random) -> dict[str, Any]:
    """A summary as a student of this strength, 0 to 1, might earn it: a real one with other problems."""
    base = SUMMARY["problems"]["linear"]
    problems = {}
    for number in range(35):
        claims = {f"test_{number}.py::claim_{i}": "pass" if draw.random() < strength else "fail" for i in range(8)}
        share = sum(outcome == "pass" for outcome in claims.values()) / len(claims)
        status = "pass" if share == 1 else "partial" if share else "fail"
        problems[f"problem_{number}"] = {
            **base, "points": 3, "earned": 3 * share, "unassessed": 0, "claims": claims, "status": status,
            "bugs": base["bugs"] if number == 0 and share < 1 else {}, "blocked_by": [],
        }  # fmt: skip
    earned = sum(problem["earned"] for problem in problems.values())
    return {**SUMMARY, "problems": problems, "score": {"earned": earned, "assessed": 105.0, "total": 105}}


SUMMARY = summary_of(REPORTS["known_bug"])


@pytest.fixture(scope="module")
def large() -> ClassStatistics:
    draw = random.Random(7)
    rows = [row(f"student{i:03}", made_up(draw.betavariate(5, 2), draw), f"Name {i} {HOSTILE}") for i in range(497)]
    rows += [
        row("failed", None),
        row("mallory", summary_of(REPORTS["attack"])),
        row("ready", summary_of(REPORTS["ready_made"])),
    ]
    return statistics_of(rows)


def test_who_has_which_bug():
    rows = [row("ada", SUMMARY), row("grace", SUMMARY), row("alan", summary_of(REPORTS["right"]))]
    (bug,) = (bug for bug in statistics_of(rows).bugs if bug.id == BUG)
    assert (bug.problem, bug.who) == ("linear", ("ada", "grace"))


def test_rates_count_whom_they_can():
    """Neither who has no report nor whose problem could not be assessed."""
    without = copy.deepcopy(SUMMARY)
    without["problems"]["linear"]["unassessed"] = without["problems"]["linear"]["points"]
    right = copy.deepcopy(SUMMARY)
    right["problems"]["linear"] |= {
        "earned": 1,
        "claims": dict.fromkeys(SUMMARY["problems"]["linear"]["claims"], "pass"),
    }
    statistics = statistics_of([row("a", SUMMARY), row("b", right), row("c", without), row("d", None)])
    (linear,) = (problem for problem in statistics.problems if problem.item.id == "linear")
    assert (linear.item.rate, linear.item.count) == (0.5, 2)
    assert {claim.count for claim in linear.claims} == {2}
    assert statistics.states == {"graded": 3, "failed": 1}


def test_what_tells_good_from_weak_students_apart(large):
    """Made-up claims follow the student's strength, and all of them alike."""
    by_problem = [problem.item for problem in large.problems if problem.item.id.startswith("problem_")]
    assert len(by_problem) == 35
    assert all(item.discrimination and item.discrimination > 0.4 for item in by_problem)
    assert correlation([(0, 1), (1, 0)] * 3) == pytest.approx(-1)
    assert correlation([(0, 1), (1, 2), (2, 3), (3, 4)]) is None
    assert correlation([(1, x) for x in range(9)]) is None


def test_a_hundred_percent_belongs_to_the_last_tenth():
    assert histogram([0, 9.99, 10, 99.9, 100]) == (2, 1, 0, 0, 0, 0, 0, 0, 0, 2)


def test_what_somebody_wrote_is_text(large):
    page = render_class(large, {}, HOSTILE)
    assert HOSTILE not in page
    assert len(re.findall(r"<script|<img|<iframe", page)) == 1


def test_it_needs_nothing_else(large):
    page = render_class(large, {}, "lm")
    assert not re.search(r"<link|<(?:img|script|iframe)[^>]* src=|url\(|@import|https?://", page)
    assert set(re.findall(r'href="([^"]*)"', page)) <= {"#students", *(one.page for one in large.students)}


def test_titles_come_from_the_reports(tmp_path):
    for id, report in (("ada", REPORTS["known_bug"]), ("bob", REPORTS["known_bug"])):
        (folder := tmp_path / "reports" / id).mkdir(parents=True)
        write_grade(Grade(GradeState.GRADED, summary=summary_of(report)), folder)
        (folder / "report.json").write_text(json.dumps(report) if id == "ada" else "damaged")
    titles = claim_titles(tmp_path)
    assert titles["test_linear.py::test_matches_reference"].startswith("Linear multiplies the last dimension")


@pytest.fixture(scope="module")
def opened(large, tmp_path_factory) -> Iterator[tuple[Page, float]]:
    """The page of five hundred students in a browser, and the seconds until it was there."""
    if find_browser() is None:
        pytest.skip("needs a Chromium: apt install chromium")
    path = tmp_path_factory.mktemp("class") / "index.html"
    path.write_text(render_class(large, {}, "lm"), "utf-8")
    with browser() as page:
        page.show(width=1200)
        page.open(path)  # the first time also starts the browser's own parts
        start = time.monotonic()
        page.open(path)
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        yield page, time.monotonic() - start


def shown(page: Page) -> list[str]:
    """The ids of the students who can be seen, in their order."""
    rows = "Array.from(document.querySelectorAll('#class tbody tr')).filter(row => !row.hidden)"
    return page.evaluate(f"{rows}.map(row => row.cells[0].textContent)")


def search(page: Page, words: str) -> list[str]:
    field = "document.querySelector('#find')"
    page.evaluate(f"{field}.value = {json.dumps(words)}, {field}.dispatchEvent(new Event('input'))")
    return shown(page)


def test_it_opens_fast_and_without_complaint(opened):
    page, seconds = opened
    assert page.troubles == []
    assert len(search(page, "")) == 500
    assert seconds < 3.0  # under one on a machine with nothing else to do
    assert page.evaluate("typeof owned") == "undefined"
    spent = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert spent < 2000


def test_who_has_a_bug_is_one_click_away(opened, large):
    page, _ = opened
    (bug,) = (bug for bug in large.bugs if bug.id == BUG and bug.problem == "problem_0")
    page.evaluate(f"document.querySelector('#bugs button[data-find={json.dumps(BUG)}]').click()")
    assert set(bug.who) <= set(shown(page))
    assert page.evaluate("getComputedStyle(document.querySelector('#bugs .who')).display") == "none"
    page.evaluate("document.querySelector('#names').click()")
    assert page.evaluate("getComputedStyle(document.querySelector('#bugs .who')).display") == "block"
    assert search(page, "student007") == ["student007"]
    assert search(page, "ONERROR student007") == ["student007"]


def test_columns_sort_both_ways(opened, large):
    page, _ = opened
    search(page, "")
    percents = {one.id: -1 if one.percent is None else one.percent for one in large.students}
    click = "document.querySelectorAll('#class th button')[4].click()"
    page.evaluate(click)
    assert [percents[id] for id in shown(page)] == sorted(percents.values())
    page.evaluate(click)
    assert [percents[id] for id in shown(page)] == sorted(percents.values(), reverse=True)
    assert page.evaluate("document.querySelectorAll('#class th')[4].ariaSort") == "descending"


def test_keys_find_and_walk(opened):
    page, _ = opened
    page.evaluate("document.activeElement.blur()")
    page.press("/", 191)
    assert page.evaluate("document.activeElement.id") == "find"
    search(page, "student00")
    page.press("Escape", 27)
    assert len(shown(page)) == 500
    page.press("j", 74)
    page.press("j", 74)
    page.press("k", 75)
    assert page.evaluate("document.querySelector('#class tr.here') === document.querySelector('#class tbody').rows[0]")


def test_a_narrow_page_does_not_scroll_sideways(opened):
    page, _ = opened
    page.show(width=375)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.show(width=1200)
