"""What a report says first, what it says together, and what it advises: as its reader needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from grader.cases.compare import Mismatch, compare
from grader.diagnosis.known_bugs import KnownBug
from grader.kit.paths import KIT
from grader.report.model import ProblemReport, Report, build_report
from grader.report.terminal import show
from grader.scoring.outcome import Clue, Outcome, PlannedTest, Result, Tier
from grader.scoring.rubric import load_rubric

Failures = Mapping[str, tuple[Tier, Result, str, str]]
"""{claim of a problem, as "rope::a": tier, result, message, detail}"""


def report_of(problems: list[str], claims: Failures, submission: str = "../ada", folder: str = "/ada") -> Report:
    planned = [
        PlannedTest(
            f"test_{name}", name.split("::")[0], f"test_{name}", f"Claim of {name}.", tier, tier is Tier.CORE, False
        )
        for name, (tier, *_) in claims.items()
    ]
    outcomes = [
        Outcome(f"test_{name}", result, message, detail) for name, (_, result, message, detail) in claims.items()
    ]
    rubric = load_rubric()
    return build_report(
        submission, rubric, rubric.select(problems), planned, outcomes, {}, policy={}, seed=None,
        isolation={"level": "process", "missing": []}, environment={"seconds": 1.0}, folder=folder,
    )  # fmt: skip


def shown(report: Report, width: int = 100) -> str:
    console = Console(record=True, width=width, file=open("/dev/null", "w"))  # noqa: SIM115  (lives as long as the test)
    show(report, console)
    return console.export_text()


PASSES = (Tier.CORE, Result.PASS, "", "")
FAILS = (Tier.CORE, Result.FAIL, "output differs", "")


def test_what_costs_most_comes_first():
    claims = {
        "train_bpe::a": PASSES,
        "train_bpe::odd": (Tier.EDGE, Result.FAIL, "regex", ""),
        "train_bpe::b": (Tier.EDGE, Result.PASS, "", ""),
        "train_bpe::c": (Tier.EDGE, Result.PASS, "", ""),
        "positionwise_feedforward::a": FAILS,
    }
    report = report_of(["train_bpe", "positionwise_feedforward"], claims)
    assert report.problems[0].lost < report.problems[1].lost
    text = shown(report)
    assert text.index("Claim of positionwise_feedforward::a") < text.index("Claim of train_bpe::odd")


def test_core_comes_before_edge_within_a_problem():
    claims = {"rope::a": (Tier.EDGE, Result.FAIL, "x", ""), "rope::b": (Tier.CORE, Result.FAIL, "y", "")}
    (problem,) = report_of(["rope"], claims).problems
    assert [trouble.tests[0].plan.id for trouble in problem.troubles] == ["test_rope::b", "test_rope::a"]


def test_one_cause_is_shown_once():
    detail = '  File "cs336_basics/rope.py", line 7, in forward\n    x @ y\n'
    claims = {
        f"rope::{name}": (
            Tier.CORE,
            Result.ERROR,
            f"RuntimeError: sizes {i} and 8 differ",
            f"{detail}RuntimeError: {i}",
        )
        for i, name in enumerate("abcde")
    } | {"rope::f": FAILS}
    report = report_of(["rope"], claims)
    assert [len(trouble.tests) for trouble in report.problems[0].troubles] == [5, 1]
    assert shown(report).count("line 7, in forward") == 1


def test_where_a_tensor_differs_is_drawn_unless_it_does_everywhere_or_is_known_why():
    expected = torch.ones(2, 3, 4)
    row = expected.clone()
    row[1, 2, :3] = torch.tensor([1.05, 1.5, -7.0])

    def with_output(actual: torch.Tensor, bug: KnownBug | None = None) -> str:
        report = report_of(["rope"], {"rope::a": FAILS})
        with pytest.raises(Mismatch) as caught:
            compare(expected, actual)
        (problem,) = report.problems
        (test,) = problem.tests
        outcome = replace(test.outcome, difference=caught.value.difference())
        return shown(replace(report, problems=(replace(problem, tests=(replace(test, outcome=outcome, bug=bug),)),)))

    text = with_output(row)
    assert "where output[1] differs (3 × 4; a cell is one value)" in text.lower()
    assert [line.strip("│ ") for line in text.splitlines() if " . ." in line or "# ." in line] == 2 * [". . . ."] + [
        "- + # ."
    ]
    assert "a cell is" not in with_output(expected + 2)
    assert "a cell is" not in with_output(row, KnownBug("rope/x", "rope", "It is x.", "Look at x.", "common", {}))


def test_no_problem_is_blamed_without_evidence():
    """A block that fails beside an unfinished neighbour may have a bug of its own."""
    claims = {"rope::a": FAILS, "multihead_self_attention::a": FAILS}
    report = report_of(["rope", "multihead_self_attention"], claims)
    assert report.problems[1].blocked_by == ()
    unwritten = {
        "rope::a": (Tier.CORE, Result.TODO, "NotImplementedError: rope: turn pairs of features", ""),
        "multihead_self_attention::a": (Tier.CORE, Result.TODO, "NotImplementedError: rope: turn pairs", ""),
    }
    report = report_of(["rope", "multihead_self_attention"], unwritten)
    assert report.problems[0].blocked_by == ()
    assert report.problems[1].blocked_by == ("rope",)


@pytest.mark.parametrize(
    ("submission", "folder", "command"),
    [
        (".", str(KIT), "uv run pytest tests/test_rope::a"),
        ("../ada's", "/somewhere/ada's", "uv run pytest tests/test_rope::a --submission '../ada'\"'\"'s'"),
        ("ada.zip", "", "python -m grader ada.zip --problem rope"),
    ],
)
def test_the_command_to_see_it_works_where_the_reader_stands(submission, folder, command):
    report = report_of(["rope"], {"rope::a": FAILS}, submission, folder)
    assert report.how_to_see(report.problems[0]) == command
    assert command in " ".join(shown(report).replace("│", " ").split())


def test_advice_is_shown_and_costs_nothing():
    report = report_of(["rope"], {"rope::a": PASSES, "rope::b": (Tier.ADVICE, Result.FAIL, "half precision", "")})
    assert report.earned == report.assessed == 2
    text = shown(report)
    assert "Advice" in text
    assert "Claim of rope::b" in text
    assert "rope: " not in text  # no panel of failures


def test_a_bug_that_costs_points_is_not_named_once_more_as_advice():
    advice = (Tier.ADVICE, Result.FAIL, "half precision", "")
    (problem,) = report_of(["rope"], {"rope::a": FAILS, "rope::b": advice, "rope::c": advice}).problems
    bug = KnownBug("rope-halves", "rope", "Your RoPE pairs halves.", "Which features belong together?", "common", {})
    a, b, c = problem.tests
    known = replace(problem, tests=(replace(a, bug=bug), replace(b, bug=bug), c))
    assert [test.plan.id for test in problem.advice] == ["test_rope::b", "test_rope::c"]
    assert [test.plan.id for test in known.advice] == ["test_rope::c"]


def test_where_infinity_was_expected_no_right_element_is_named():
    expected = torch.tensor([1.0, -torch.inf, 3.0])
    with pytest.raises(Mismatch) as caught:
        compare(expected, torch.tensor([1.0, -5.0, 3.0]))
    assert "first difference at [1]: expected -inf, got -5" in caught.value.message
    assert "largest difference" not in caught.value.message


@pytest.mark.parametrize("width", [48, 80, 100, 160])
def test_a_long_remark_stands_below_its_row_and_no_line_is_longer_than_the_terminal(width):
    report = report_of(["scaled_dot_product_attention"], {"scaled_dot_product_attention::a": FAILS})
    remark = "run_transformer_lm builds no torch.nn.Module, so that nothing can be seen of it"
    text = shown(replace(report, problems=(replace(report.problems[0], note=remark),)), width)
    assert max(map(len, text.splitlines())) <= width
    row, *below = text.partition("\n\n")[0].partition("  scaled_dot_product_attention")[2].splitlines()
    assert row.split()[:5] == ["✗", "fail", "0", "/", "5"]
    assert ("0/1" in row) == (width > 48)
    if width == 160:
        assert row.endswith(remark)
    else:
        assert below[0].startswith("      in part: run_transformer_lm builds")


def raised_at(line: int, kind: str = "TypeError") -> tuple[Result, str, str]:
    message = f"{kind}: 'NoneType' object is not iterable"
    return (
        Result.ERROR,
        message,
        f'  File "tokenizer.py", line {line}, in __init__\n    for token in tokens:\n{message}',
    )


def test_what_raises_where_points_are_lost_is_no_advice_as_well():
    """Whatever the advice is about, nobody has seen it: the code did not come so far."""
    claims = {
        "rope::a": PASSES,
        "rope::b": (Tier.EDGE, *raised_at(7)),
        "rope::c": (Tier.ADVICE, *raised_at(7)),
        "rope::d": (Tier.ADVICE, *raised_at(8)),
        "rope::e": (Tier.ADVICE, *raised_at(7, "ValueError")),
        "rope::f": (Tier.ADVICE, Result.FAIL, "half precision", ""),
    }
    (problem,) = report_of(["rope"], claims).problems
    assert [test.plan.id for test in problem.advice] == ["test_rope::d", "test_rope::e", "test_rope::f"]


def test_an_exceptions_words_are_said_once():
    text = shown(report_of(["rope"], {"rope::a": PASSES, "rope::b": (Tier.CORE, *raised_at(7))}))
    assert text.count("'NoneType' object is not iterable") == 1
    assert 'File "tokenizer.py", line 7, in __init__' in text


def with_clues(claims: Failures, clues: Mapping[str, Clue]) -> ProblemReport:
    (problem,) = report_of(["rope"], claims).problems
    return replace(problem, tests=tuple(replace(test, clue=clues.get(test.plan.id)) for test in problem.tests))


def test_a_cause_is_shown_before_what_only_says_where_to_look():
    """A report shows three of what has no name; the sentence that says what is wrong must be among them."""
    look, cause = Clue(("Print your counts.",)), "Your update forgets the left neighbour."
    place = Clue(("Line 3 is the first that differs.",), "rope.py", 3)
    clues = {"test_rope::a": look, "test_rope::c": place, "test_rope::e": Clue((cause, "Look there."), cause=(cause,))}
    claims = {f"rope::{name}": (Tier.CORE, Result.FAIL, f"output {name}", "") for name in "abcd"}
    problem = with_clues({**claims, "rope::e": (Tier.EDGE, Result.FAIL, "output e", "")}, clues)
    assert [trouble.tests[0].plan.id[-1] for trouble in problem.troubles] == ["c", "a", "b", "d", "e"]
    report = replace(report_of(["rope"], claims), problems=(problem,))
    text = shown(report)
    assert cause in text
    assert "2 more: " in text


def test_what_has_one_cause_is_one_trouble_wherever_it_shows():
    cause = "Your update forgets the left neighbour."
    clues = {f"test_rope::{name}": Clue((cause, f"Look at {name}."), cause=(cause,)) for name in "ab"}
    claims = {f"rope::{name}": (Tier.CORE, Result.FAIL, f"output {name}", "") for name in "abc"}
    assert [len(trouble.tests) for trouble in with_clues(claims, clues).troubles] == [2, 1]


def test_advice_says_why_and_where():
    cause = "Your code reads the file in text mode."
    claims = {"rope::a": PASSES, "rope::b": (Tier.ADVICE, Result.FAIL, "the vocabulary differs", "")}
    problem = with_clues(claims, {"test_rope::b": Clue((cause,), "bpe.py", 5, cause=(cause,))})
    text = shown(replace(report_of(["rope"], claims), problems=(problem,)))
    assert f"{cause}  bpe.py:5" in text
