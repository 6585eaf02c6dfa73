"""Written answers: right ones in any form pass, wrong ones fail, and what is hostile is refused or made legible."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from grader.artifacts.answers import ANSWERS, answers_to, questions, remarks_on
from grader.examination.runner import run_tests
from grader.kit.paths import KIT, REFERENCE
from grader.report.model import Report, build_report
from grader.scoring.outcome import Written
from grader.scoring.points import Status
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import written
from grader.submission.faults import NothingToAssess, Todo, WrongResult
from grader.submission.files import Files
from grader.submission.locate import locate
from grader.wall.isolation import choose

PROBLEMS = load_rubric().select(["unicode1", "unicode2", "learning_rate_tuning", "tokenizer_experiments"])
STAFF = (REFERENCE / ANSWERS).read_text("utf-8")
ADAPTERS = """
from pathlib import Path

def run_train_bpe(input_path, vocab_size, special_tokens, **kwargs):
    from reference.bpe import train_bpe
    return train_bpe(input_path, vocab_size, special_tokens)
"""


def grade(root: Path, answers: str | None) -> Report:
    """A report on the written answers of a submission that can train tokenizers and nothing else."""
    written(root, ADAPTERS)
    shutil.copytree(REFERENCE, root / "reference", ignore=shutil.ignore_patterns("runs"))
    if answers is not None:
        (root / ANSWERS).write_text(answers, "utf-8")
    layout = locate(root)
    isolation = choose("process", layout)
    run = run_tests(layout, PROBLEMS, seed=1, isolation=isolation)
    return build_report(
        str(root), load_rubric(), PROBLEMS, run.planned, run.outcomes, run.explanations,
        policy={}, seed=run.seed, isolation=isolation.as_json(), environment={"seconds": 0.0},
        for_staff=run.for_staff, left_out=run.left_out,
    )  # fmt: skip


def with_values(text: str, **values: str) -> str:
    """The answers with some values replaced, given as TOML."""
    lines = []
    for line in text.splitlines():
        key = line.partition(" = ")[0]
        lines.append(f"{key} = {values.pop(key)}" if key in values else line)
    assert not values
    return "\n".join(lines)


def test_other_right_answers_pass(tmp_path):
    other = with_values(
        STAFF,
        code_point='"nul"', repr="''' '\\x00' '''", length="12.0", utf16_bytes="34", utf32_bytes="64",
        breaking_text='"é"', undecodable='"0xc0 0x80"', lr_1e1='"Faster"', last_over_first_1e1="0.118",
        bytes_per_second="1.5e6", hours_for_the_pile="164", stories_bytes_per_token="3.19",
    )  # fmt: skip
    report = grade(tmp_path, other)
    failed = [t.outcome for p in report.problems for t in p.tests if t.outcome.result != "pass"]
    assert not failed
    assert report.earned == report.assessed == 9


def test_wrong_answers_fail_each_its_own_claim(tmp_path):
    wrong = with_values(
        STAFF,
        code_point='"U+0030"', repr="'\\0'", length="11", utf8_bytes="22", zero_bytes="75", breaking_text='"bear"',
        undecodable='"c3 a4"', lr_1e1='"slower"', lr_1e2='"diverges"', lr_1e3='"faster"', last_over_first_1e1="0.5",
        stories_bytes_per_token="4.1", crossed_bytes_per_token="3.2", hours_for_the_pile="458", ids_of_uint16="65535",
    )  # fmt: skip
    report = grade(tmp_path, wrong)
    passed = [t.outcome.id for p in report.problems for t in p.tests if t.outcome.result != "fail"]
    assert not passed
    assert report.earned == 0


def test_no_answers_are_not_assessed(tmp_path):
    report = grade(tmp_path, None)
    assert {problem.score.status for problem in report.problems} == {Status.NOT_ASSESSED}
    assert {problem.note for problem in report.problems} == {f"no {ANSWERS}"}
    assert report.assessed == 0


def test_the_template_is_all_todo(tmp_path):
    report = grade(tmp_path, (KIT / ANSWERS).read_text("utf-8"))
    assert {problem.score.status for problem in report.problems} == {Status.TODO}
    assert not any(problem.for_staff for problem in report.problems)


def test_free_text_reaches_staff_beside_its_question(tmp_path):
    nasty = with_values(STAFF, why_utf8='"short\\u001b[31m\\u202e\\u0007 text"', tokenizers='""')
    report = grade(tmp_path, nasty)
    shown = {written.question: written.answer for problem in report.problems for written in problem.for_staff}
    assert shown["(a) Why train a tokenizer on UTF-8 rather than on UTF-16 or UTF-32?"] == (
        "short\\x1b[31m\\u202e\\x07 text"
    )
    assert len(shown) == 8
    as_json = {problem.problem.id: problem.as_json()["for_staff"] for problem in report.problems}
    assert set(as_json["unicode2"][0]) == {"question", "answer"}


def test_every_question_has_its_words():
    known = questions((KIT / ANSWERS).read_text("utf-8"))
    for problem, table in tomllib.loads(STAFF).items():
        for key in table:
            assert len(known[problem, key]) > 20, (problem, key)


def read(tmp_path: Path, text: str):
    (tmp_path / ANSWERS).write_text(text, "utf-8")
    return answers_to("unicode1", Files(tmp_path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[unicode1", "not valid TOML"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("[unicode1]\nlength = " + "9" * 100_000, "cannot be read"),
        ("[unicode1]\nlength = 2023-02-30", "cannot be read|not valid TOML"),
        ("[unicode1]\nlength = 1\nlength = 2", "not valid TOML"),
        ("unicode1 = 3", "must be a table"),
        ("[[unicode1]]\nlength = 1", "must be a table"),
        ("x = '" + "x" * (1 << 18) + "'", "the grader reads at most 262,144"),
        ("[unicode1]\nrepr = '\u001b[2J'", "not valid TOML"),
    ],
)
def test_what_is_no_answer_sheet_is_refused(tmp_path, text, says):
    with pytest.raises(WrongResult, match=says) as refused:
        read(tmp_path, text)
    assert refused.value.message.replace("\n", "").isprintable()
    assert len(refused.value.message) < 400


@pytest.mark.parametrize(
    "value",
    ['"21"', "true", "nan", "-inf", "1e300", "0x" + "f" * 5000, "[21]", "{a = 1}", "2026-01-01", "[" * 200 + "]" * 200],
)
def test_what_is_no_number_is_refused(tmp_path, value):
    with pytest.raises(WrongResult, match=r"answers\.toml: length in \[unicode1\] is .*; it must be a") as refused:
        read(tmp_path, f"[unicode1]\nlength = {value}").number("length")
    assert len(refused.value.message) < 300


@pytest.mark.parametrize("value", ["21", "['a']", "false"])
def test_what_is_no_text_is_refused(tmp_path, value):
    with pytest.raises(WrongResult, match="it must be text"):
        read(tmp_path, f"[unicode1]\nrepr = {value}").text("repr")


def test_an_open_question_is_todo(tmp_path):
    answers = read(tmp_path, '[unicode1]\nlenght = 21\nrepr = "  "')
    with pytest.raises(Todo, match=r"length in \[unicode1\] is not answered yet. There is 'lenght': did you mean that"):
        answers.number("length")
    with pytest.raises(Todo, match="not answered yet"):
        answers.text("repr")
    with pytest.raises(Todo, match=r"no table \[unicode1\]"):
        read(tmp_path, "[unicode2]")


def test_an_answer_sheet_behind_a_link_is_not_read(tmp_path):
    (tmp_path / "elsewhere.toml").write_text(STAFF)
    (tmp_path / ANSWERS).symlink_to("elsewhere.toml")
    with pytest.raises(WrongResult, match="is a link"):
        answers_to("unicode1", Files(tmp_path))


def test_remarks_are_no_duty(tmp_path):
    seen: list[Written] = []
    remarks_on("generate", Files(tmp_path)).pass_on(lambda q, a: seen.append(Written(q, a)), "comment")
    assert not seen
    with pytest.raises(NothingToAssess):
        answers_to("generate", Files(tmp_path))
