"""What `watch` runs next and shows, and what `status` says: values in, values out."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from grader.guide.explanation import HANDOUT
from grader.kit.paths import KIT
from grader.report.model import build_report
from grader.report.remembered import STATE_FILE, Remembered
from grader.scoring.outcome import Outcome, PlannedTest, Result, Tier
from grader.scoring.points import Status
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import written
from grader.watching import editor, screen, work
from grader.watching.milestones import ago, bar, render, stages_in, standings

RUBRIC = load_rubric()
STAGES = stages_in(HANDOUT.read_text("utf-8"), RUBRIC)


def known(status: Status = Status.PASS, *problems: str, at: float = 1000.0) -> dict[str, Remembered]:
    return {
        name: Remembered(status, RUBRIC[name].points if status is Status.PASS else 0.0, RUBRIC[name].points, "", at, "")
        for name in problems
    }


def shown(what: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


# What runs next


def test_what_others_build_on_runs_first():
    waiting = work.merged(["transformer_lm", "linear", "softmax", "multihead_self_attention"], [], RUBRIC)
    assert work.next_batch(waiting, {}, RUBRIC) == ("linear", "softmax")
    rest = tuple(name for name in waiting if name not in ("linear", "softmax"))
    assert work.next_batch(rest, known(Status.PASS, "linear", "softmax"), RUBRIC) == ("multihead_self_attention",)


def test_what_builds_on_something_broken_waits_until_that_is_mended():
    waiting = ("multihead_self_attention", "transformer_block")
    broken = known(Status.ERROR, "linear")
    assert work.next_batch(waiting, broken, RUBRIC) == ()
    assert work.held_up(waiting, broken, RUBRIC) == ("linear",)
    assert work.next_batch(waiting, known(Status.PARTIAL, "linear"), RUBRIC) == ("multihead_self_attention",)
    assert work.next_batch(("linear", *waiting), broken, RUBRIC) == ("linear",)  # it may be mended by now


def test_what_fails_comes_before_what_is_unwritten():
    results = known(Status.PASS, "linear") | known(Status.PARTIAL, "rope")
    assert work.next_todo(results, RUBRIC) == "rope"


def test_of_two_that_fail_the_one_below_comes_first():
    results = known(Status.FAIL, "linear", "positionwise_feedforward")
    assert work.next_todo(results, RUBRIC) == "linear"


def test_what_comes_next_belongs_to_the_section_of_what_was_done_last():
    assert work.next_todo({}, RUBRIC) == "unicode1"
    assert work.next_todo(known(Status.PASS, "linear", "embedding"), RUBRIC) == "rmsnorm"


def test_when_everything_is_done_nothing_comes_next():
    assert work.next_todo(known(Status.PASS, *(p.id for p in RUBRIC.problems)), RUBRIC) is None


def test_results_for_files_as_they_were_are_outdated():
    results = {"rope": Remembered(Status.PASS, 2, 2, "", 0, "as it was"), **known(Status.PASS, "linear")}
    problems = [RUBRIC[name] for name in ("rope", "linear", "softmax")]
    assert work.outdated(problems, results, {"rope": "as it is", "linear": "", "softmax": ""}) == ["rope", "softmax"]


# Milestones


def test_the_handouts_stages_hold_every_problem_of_the_assignment_once():
    base = sorted(problem.id for problem in RUBRIC.problems if problem.section in RUBRIC.base_sections)
    assert sorted(problem.id for stage in STAGES for problem in stage.problems) == base
    assert all(0 < stage.hours[0] < stage.hours[1] for stage in STAGES)


def test_hours_that_are_left_are_those_of_what_is_not_done():
    layers = next(stage for stage in STAGES if stage.name == "layers")
    (none,) = standings([layers], {})
    assert none.hours == layers.hours
    (some,) = standings([layers], known(Status.PASS, "linear", "embedding", "rmsnorm"))
    assert some.hours == pytest.approx((layers.hours[0] * 2 / 5, layers.hours[1] * 2 / 5))
    (all_done,) = standings([layers], known(Status.PASS, *(problem.id for problem in layers.problems)))
    assert all_done.hours == (0, 0)
    assert (all_done.earned, all_done.possible, all_done.open) == (5, 5, ())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_status_fits_the_terminal(width):
    results = known(Status.PASS, "linear", "embedding") | known(Status.FAIL, "rmsnorm")
    text = shown(render(standings(STAGES, results), results, ["linear"], RUBRIC, now=1000 + 7300), width)
    assert max(map(len, text.splitlines())) <= width
    flat = " ".join(text.split())
    assert "rmsnorm ✗ fail" in flat
    assert "Next: rmsnorm (✗ fail). See why: python -m grader watch rmsnorm" in flat
    assert "As it was found 2 hours ago." in flat
    assert "Changed since then: linear. Look again: python -m grader --problem linear" in flat


def test_status_without_any_result_says_what_to_type():
    text = " ".join(shown(render(standings(STAGES, {}), {}, [], RUBRIC, now=0)).split())
    assert "0 of 109 points. About 35 to 57 hours are left." in text
    assert "Nothing was run here yet: python -m grader watch runs what you save." in text


def test_a_bar_is_full_only_when_all_is_earned():
    assert bar(99.9, 100, 10) == "█████████░"
    assert bar(100, 100, 10) == "██████████"
    assert bar(0, 0, 4) == "████"


def test_how_long_ago():
    seconds = (5, 60, 150, 3600, 86400 * 3)
    assert [ago(s) for s in seconds] == ["just now", "1 minute ago", "2 minutes ago", "1 hour ago", "3 days ago"]


def test_a_grade_is_remembered_where_the_code_is_ones_own(tmp_path):
    own, another = tmp_path / "own", tmp_path / "another"
    for folder in (own, another):
        written(folder, {"adapters.py": "def run_silu(in_features): raise NotImplementedError('silu')"})
    environment = {"PYTHONPATH": str(KIT), "PATH": "/usr/bin:/bin"}
    for folder in (own, another):
        command = [sys.executable, "-m", "grader", str(folder), "--problem", "softmax", "--isolation", "process"]
        subprocess.run(command, cwd=own, env=environment, check=True, capture_output=True)
    assert (own / STATE_FILE).is_file()
    assert not (another / STATE_FILE).exists()
    said = subprocess.run(
        [sys.executable, "-m", "grader", "status"],
        cwd=own,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "As it was found just now." in said.stdout


# The screen


def report(*problems: tuple[str, Result]):
    planned = [
        PlannedTest(f"test_{n}.py::t", n, f"test_{n}.py::t", "It holds.", Tier.CORE, True, False) for n, _ in problems
    ]
    outcomes = [Outcome(f"test_{n}.py::t", result, "what it saw") for n, result in problems]
    chosen = [RUBRIC[name] for name, _ in problems]
    return build_report(".", RUBRIC, chosen, planned, outcomes, {}, policy={}, seed=None, isolation={}, environment={})


def test_many_that_pass_are_counted_and_what_fails_is_named():
    passing = [(name, Result.PASS) for name in ("linear", "embedding", "rope", "softmax", "cross_entropy")]
    view = screen.View(RUBRIC, reports=(report(*passing, ("rmsnorm", Result.FAIL)),))
    text = "".join(map(shown, screen.draw(view)))
    assert "✓ 5 problems pass" in text
    assert "✗ rmsnorm 0/1" in text
    assert "linear" not in text.partition("points")[0]


def test_what_fails_first_is_what_hints_are_about():
    view = screen.View(RUBRIC, reports=(report(("linear", Result.PASS), ("rmsnorm", Result.FAIL)),))
    found = screen.subject(view)
    assert found
    assert found[0].problem.id == "rmsnorm"
    assert screen.subject(screen.View(RUBRIC)) is None


def test_answers_are_not_written_in_python():
    text = "".join(map(shown, screen.draw(screen.View(RUBRIC))))
    assert "next: answer unicode1 in answers.toml" in text


# Editors


@pytest.mark.parametrize(
    ("named", "command"),
    [
        ("vim", ["vim", "+12", "a.py"]),
        ("/usr/bin/nano -l", ["/usr/bin/nano", "-l", "+12", "a.py"]),
        ("emacs -nw", ["emacs", "-nw", "+12", "a.py"]),
        ("code --wait", ["code", "--goto", "a.py:12"]),
        ("'/Applications/My Editors/cursor' -w", ["/Applications/My Editors/cursor", "--goto", "a.py:12"]),
        ("subl -n -w", ["subl", "-n", "a.py:12"]),
        ("pycharm", ["pycharm", "--line", "12", "a.py"]),
    ],
)
def test_editors_are_asked_in_their_own_way(named, command):
    assert editor.command(named, "a.py", 12) == command


def test_an_editor_with_half_a_quotation_is_refused():
    with pytest.raises(ValueError, match="quotation"):
        editor.command("'vim", "a.py", 1)


def test_the_place_of_an_exception_is_its_last_frame():
    detail = '  File "adapters.py", line 3, in run\n    f()\n  File "pkg/nn.py", line 7, in f\n    boom()\nError'
    planned = PlannedTest("t", "rope", "t", "It holds.", Tier.CORE, True, False)
    outcomes = [Outcome("t", Result.ERROR, "boom", detail)]
    made = build_report(
        ".", RUBRIC, [RUBRIC["rope"]], [planned], outcomes, {}, policy={}, seed=None, isolation={}, environment={}
    )
    assert editor.place_of(made.problems[0]) == ("pkg/nn.py", 7)
    assert editor.place_in("importing adapters.py failed: pkg/nn.py:4: SyntaxError: invalid syntax.") == (
        "pkg/nn.py",
        4,
    )
    assert editor.place_in("importing adapters.py failed.") is None


# Without the library that watches


def test_without_watchfiles_one_sentence_says_what_to_install(tmp_path):
    written(tmp_path, {"adapters.py": ""})
    code = "import sys; sys.modules['watchfiles'] = None; from grader.__main__ import main; sys.exit(main(['watch']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(KIT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "grader: watching files needs the package watchfiles, which is not installed here; `make setup` installs it, "
        "or `pip install watchfiles`.\n"
    )
