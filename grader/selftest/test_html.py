"""The HTML report: complete, self-contained, and deaf to what a submission writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import escape

from grader.diagnosis.known_bugs import KnownBug
from grader.report.dependency_graph import lay_out
from grader.report.html import render, write_html
from grader.report.model import ProblemReport, Report, TestReport, build_report
from grader.rules.from_scratch import Effect, Evidence, Finding
from grader.rules.integrity import Suspicion
from grader.scoring.outcome import Clue, Difference, Outcome, PlannedTest, Result, Tier, Written
from grader.scoring.races import RaceResult, Speed
from grader.scoring.rubric import load_rubric
from grader.selftest.browser import Page, browser, find_browser

HOSTILE = '<script>owned = "points"</script><img src="x" onerror="owned = 1">'
LONG = "x" * 300
RACE = RaceResult(
    "softmax_speed", "8,192 × 8,192 float32", "measured", verdict="between", ratio=5.0, low=4.9, high=5.1, full=4.0,
    none=16.0, share=0.9, pairs=12, student_ms=5.0, reference_ms=1.0, roofline_ms=0.8, work=2.4e9, unit="B",
)  # fmt: skip
BUG = KnownBug("rope/halves", "rope", "It rotates halves.", "Which pairs turn together?", "common", {})
MAP = {"at": [1], "rows": 4, "columns": 64, "cells": ["0000000000000000", *3 * ["0001233300000000"]]}
WHERE = {
    "case": "x",
    "part": "output",
    "kind": "value",
    "index": [1, 1, 12],
    "differing": 9,
    "of": 512,
    "largest": None,
}


def planned(problem: str, claim: str, title: str, tier: Tier = Tier.CORE) -> PlannedTest:
    name = f"test_{problem}.py::{claim}"
    return PlannedTest(name, problem, name, title, tier, True, False, asked="handout, section 1")


@pytest.fixture
def report() -> Report:
    rubric = load_rubric()
    problems = rubric.select(["rope", "softmax_speed", "linear"])
    test = PlannedTest("test_rope.py::test_x", "rope", "test_rope.py::test_x", "RoPE rotates.", Tier.CORE, True, False)
    return build_report(
        "their-solution", rubric, problems, [test], [Outcome(test.id, Result.FAIL, HOSTILE, f"At {HOSTILE}")], {},
        policy={}, seed=7, isolation={"level": "process", "missing": []}, environment={"seconds": 1.0},
        speed=Speed((RACE, replace(RACE, tensors="other", status="wrong", message=HOSTILE))),
    )  # fmt: skip


@pytest.fixture
def full(report) -> Report:
    """A report with everything that a page can show; whatever a submission wrote in it is hostile, or long."""
    rubric = load_rubric()
    ids = ["train_bpe", "tokenizer", "tokenizer_experiments", "softmax", "scaled_dot_product_attention", "rope",
           "linear", "multihead_self_attention", "decoding", "experiment_log", "softmax_speed"]  # fmt: skip
    tests = {
        planned("rope", "test_pairs", "RoPE turns pairs."): Result.FAIL,
        planned("rope", "test_edge", "It turns long ones.", Tier.EDGE): Result.TIMEOUT,
        planned("rope", "test_advice", "It turns matrices.", Tier.ADVICE): Result.FAIL,
        planned("softmax", "test_sum", "Probabilities sum to 1."): Result.ERROR,
        planned("scaled_dot_product_attention", "test_values", "Attention averages."): Result.FAIL,
        planned("multihead_self_attention", "test_heads", "Heads are apart."): Result.FAIL,
        planned("linear", "test_product", "Linear multiplies."): Result.PASS,
        planned("train_bpe", "test_merges", "It merges pairs."): Result.TODO,
    }
    said = (HOSTILE, LONG)
    outcomes = [
        Outcome(test.id, result, said[i % 2], said[1 - i % 2], difference=Difference(1.0, 2.0, {**WHERE, "map": MAP}))
        for i, (test, result) in enumerate(tests.items())
    ]
    clue = Clue((HOSTILE, LONG), "their file.py", 2, ((1, HOSTILE), (2, LONG), (3, "")))
    built = build_report(
        f"{HOSTILE}/{LONG}", rubric, rubric.select(ids), list(tests), outcomes, {},
        policy={"rope": (Finding("rope", "nn.Linear", LONG, HOSTILE, Evidence.DYNAMIC, Effect.WARN),)}, seed=7,
        isolation={"level": "process", "missing": ["It could read everything."]},
        environment={"seconds": 1.0, "stand_ins": ["wandb"]},
        suspicions=(Suspicion("answers", "rope", LONG, HOSTILE),),
        for_staff={"experiment_log": (Written(f"Why? {LONG}", HOSTILE + LONG),)}, speed=report.speed,
        clues={test.id: clue for test in list(tests)[3:5]},
    )  # fmt: skip
    carried = [replace(p, blocked_by=("rope",)) if p.problem.id.startswith("multi") else p for p in built.problems]
    return replace(built, problems=tuple(with_bug(p) if p.problem.id == "rope" else p for p in carried))


def with_bug(problem: ProblemReport) -> ProblemReport:
    """What costs points has a name; the advice is about something else."""
    return replace(
        problem, tests=tuple(t if t.plan.tier is Tier.ADVICE else replace(t, bug=BUG) for t in problem.tests)
    )


def test_what_a_submission_writes_is_text(report):
    page = render(report)
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;") == 3


def test_nothing_that_a_submission_writes_is_markup(full):
    """Whatever it is: every tag on the page is one of the template's."""
    page = render(full)
    assert HOSTILE not in page
    assert not {"script", "img", "iframe"}.intersection(re.findall(r"<(\w+)", page))
    assert page.count(escape(HOSTILE)) >= 20


def test_it_needs_nothing_else(report):
    page = render(report)
    assert not re.search(r"<script|<link|<[^>]* src=|href=.[^#]|url\(|@import", page)


def test_it_shows_points_and_rates(report):
    page = render(report)
    assert "RoPE rotates." in page
    assert re.search(r"480 GB/s, reference 2,400 GB/s, roofline 3,000 GB/s", page)
    assert re.search(r'<rect x="0" y="20" width="76.8"', page)
    assert "0 of 2 assessed points" in page


def test_a_known_bug_is_named_once(report):
    """However many tests show it."""
    linear, rope, softmax = report.problems
    (only,) = (test.plan for test in rope.tests)
    plans = [replace(only, id=f"{only.claim}_{x}", claim=f"{only.claim}_{x}", title=f"Claim {x}.") for x in "abc"]
    tests = [TestReport(plan, Outcome(plan.id, Result.FAIL, "differs"), BUG) for plan in plans[:2]]
    unexplained = TestReport(plans[2], Outcome(plans[2].id, Result.FAIL, "something else"))
    page = render(replace(report, problems=(linear, replace(rope, tests=(unexplained, *tests)), softmax)))
    assert page.count("<strong>It rotates halves.") == 1
    assert page.index("Claim a.") < page.index("Claim b.") < page.index("Claim c.")


# --- the graph -------------------------------------------------------------------------------------------------------


def test_the_graph_marks_what_fails_by_itself_and_where_it_shows_again(full):
    graph = lay_out(full)
    assert graph is not None
    roots = {node.problem.problem.id for node in graph.nodes if node.is_root}
    assert roots == {"rope", "softmax", "scaled_dot_product_attention"}
    failing = {(e.source.problem.problem.id, e.target.problem.problem.id) for e in graph.edges if e.fails}
    assert failing == {("rope", "multihead_self_attention")}


def test_the_graph_of_every_problem_is_drawn_without_overlap():
    rubric = load_rubric()
    report = build_report(
        "x", rubric, rubric.problems, [], [], {}, policy={}, seed=None, isolation={"level": "process", "missing": []},
        environment={"seconds": 1.0},
    )  # fmt: skip
    graph = lay_out(report)
    assert graph is not None
    ids = [node.problem.problem.id for node in graph.nodes]
    assert len(ids) == len(set(ids)) > 20
    for edge in graph.edges:
        assert edge.source.x + edge.source.width < edge.target.x
    for one in graph.nodes:
        assert one.x >= 0 <= one.y
        assert one.x + one.width <= graph.width + 1
        assert one.y + one.height <= graph.height + 1
        apart = [
            other is one
            or one.x + one.width <= other.x or other.x + other.width <= one.x
            or one.y + one.height <= other.y or other.y + other.height <= one.y
            for other in graph.nodes
        ]  # fmt: skip
        assert all(apart), one.lines
    assert graph.width < 970  # as wide as the page: see report.css


def test_where_nothing_builds_on_anything_there_is_no_graph():
    rubric = load_rubric()
    report = build_report(
        "x", rubric, rubric.select(["linear", "train_bpe"]), [], [], {}, policy={}, seed=None,
        isolation={"level": "process", "missing": []}, environment={"seconds": 1.0},
    )  # fmt: skip
    assert lay_out(report) is None
    assert "What builds on what" not in render(report)


# --- in a browser ----------------------------------------------------------------------------------------------------

needs_browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed here")

CONTRASTS = """(() => {
    const numbers = color => color.match(/[\\d.]+/g).map(Number);
    const over = (top, below) => {
        const alpha = top[3] ?? 1;
        return [0, 1, 2].map(i => top[i] * alpha + below[i] * (1 - alpha));
    };
    const luminance = color => {
        const linear = color.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const painted = element => {
        const style = getComputedStyle(element);
        if (!(element instanceof SVGElement) || element.tagName == "svg") return style.backgroundColor;
        return ["rect", "path"].includes(element.tagName) ? style.fill : "none";
    };
    document.querySelectorAll("details").forEach(details => details.open = true);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) {
        const text = texts.currentNode, range = document.createRange();
        range.selectNodeContents(text);
        const box = range.getClientRects()[0];
        if (!text.data.trim() || !box || box.x < 0) continue;
        const x = box.x + Math.min(box.width / 2, 20);
        let stack = document.elementsFromPoint(x, box.y + box.height / 2);
        if (!stack.includes(text.parentElement)) {  // scrolled out of sight: what it lies in, not what is there instead
            stack = [];
            for (let e = text.parentElement; e; e = e.parentElement) stack.push(e);
        }
        const below = stack.reverse().map(painted).filter(color => color != "none").map(numbers);
        const ground = below.reduce((ground, color) => over(color, ground), [255, 255, 255]);
        const style = getComputedStyle(text.parentElement);
        const ink = over(numbers(text.parentElement instanceof SVGElement ? style.fill : style.color), ground);
        const [dark, light] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
        found.push([(light + 0.05) / (dark + 0.05), text.data.trim().slice(0, 40)]);
    }
    return found;
})()"""
"""[contrast as WCAG 2 has it, text] of each text, from the colours as computed, of all that lies below it."""

WIDEST = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
READABLE = 4.5


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(chromium: Page, full, tmp_path: Path) -> Page:
    write_html(full, tmp_path / "report.html")
    chromium.show(width=1100)
    chromium.open(tmp_path / "report.html")
    return chromium


@needs_browser
def test_a_browser_has_nothing_to_complain_of_and_runs_nothing(page):
    assert page.evaluate("document.querySelectorAll('section.problem').length") >= 4
    assert page.evaluate("typeof owned") == "undefined"
    page.show(width=390, height=844, scale=3, dark=True)
    assert page.troubles == []


@needs_browser
def test_what_a_browser_complains_of_is_seen(page, tmp_path):
    (tmp_path / "bad.html").write_text("<img src='nowhere.png'><script>console.error('oh'); throw Error('no')</script>")
    page.open(tmp_path / "bad.html")
    assert len(page.troubles) == 3


@needs_browser
@pytest.mark.parametrize("width", [320, 390, 768, 1100])
def test_a_page_is_never_wider_than_the_screen(page, width):
    page.show(width=width, height=844)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert page.evaluate(WIDEST) == width


@needs_browser
@pytest.mark.parametrize("width", [390, 1100])
@pytest.mark.parametrize("look", [{}, {"dark": True}, {"paper": True, "dark": True}], ids=["light", "dark", "print"])
def test_every_text_stands_out_from_its_background(page, look, width):
    page.show(width=width, height=20_000, **look)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 150
    assert [found for found in contrasts if found[0] < READABLE] == []


@needs_browser
def test_a_text_that_does_not_stand_out_is_found(page):
    page.show(width=1100, height=20_000)
    page.evaluate("document.querySelector('h1').style.color = '#888'")
    page.evaluate("document.querySelector('.graph .root rect').style.fill = '#b3261e'")
    assert len([found for found in page.evaluate(CONTRASTS) if found[0] < READABLE]) == 3


@needs_browser
def test_dark_is_dark_and_paper_is_white(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    page.show(width=1100, dark=True)
    assert page.evaluate(ground) == "rgb(20, 23, 28)"
    page.show(width=1100, dark=True, paper=True)
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


@needs_browser
def test_paper_shows_what_is_folded_away_on_a_screen(page):
    folded = "[...document.querySelectorAll('details pre')].map(pre => pre.checkVisibility())"
    assert set(page.evaluate(folded)) == {False}
    page.show(width=794, paper=True)
    assert set(page.evaluate(folded)) == {True}
    assert page.print().startswith(b"%PDF")


@needs_browser
def test_keys_are_enough(page):
    """Tab comes to everything that can be used, and each shows that it is there; Enter uses it."""
    every = "[...document.querySelectorAll('a[href], summary, [tabindex]')]"
    usable = page.evaluate(f"{every}.filter(element => element.checkVisibility()).length")
    assert usable > 20
    seen = []
    for _ in range(usable):
        page.press("Tab", 9)
        name, outline = page.evaluate(
            "(e => [e.className.baseVal ?? e.className, getComputedStyle(e).outlineStyle])(document.activeElement)"
        )
        seen.append(name)
        assert outline == "solid", name
    assert seen[0] == "skip"
    page.evaluate("document.activeElement.blur(), document.querySelector('.skip').focus()")
    page.press("Enter", 13)
    assert page.evaluate("location.hash").removeprefix("#") == page.evaluate("document.querySelector('section').id")
    page.evaluate("document.querySelector('summary').focus()")
    page.press("Enter", 13)
    assert page.evaluate("document.querySelector('details').open")
