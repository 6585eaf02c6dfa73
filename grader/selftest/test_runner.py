"""How problems are dealt out to examiners, and what the process that does it leaves alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from grader.diagnosis.known_bugs import load_known_bugs
from grader.examination.runner import _shares, has_tests
from grader.kit.paths import KIT
from grader.scoring.rubric import load_rubric

RUBRIC = load_rubric()
TESTED = [problem for problem in RUBRIC.problems if has_tests(problem)]


@pytest.mark.parametrize("jobs", [1, 2, 3, 4, 50])
def test_every_problem_has_one_examiner(jobs):
    shares = _shares(TESTED, jobs)
    assert sorted(p.id for share in shares for p in share) == sorted(p.id for p in TESTED)
    assert len(shares) <= jobs


def test_examiners_have_about_as_much_to_do():
    seconds = [sum(problem.seconds for problem in share) for share in _shares(TESTED, 2)]
    assert max(seconds) < 1.2 * min(seconds)


def test_a_bug_and_where_it_shows_have_the_same_examiner():
    for share in _shares(TESTED, 50):
        ids = {problem.id for problem in share}
        assert ("rope" in ids) == ("multihead_self_attention" in ids) == ("transformer_lm" in ids)
    examined = {problem.id: i for i, share in enumerate(_shares(TESTED, 50)) for problem in share}
    apart = {
        (bug.problem, other)
        for bug in load_known_bugs()
        for other in bug.evidence
        if examined.get(bug.problem) != examined.get(other)
    }
    assert not apart


def test_a_small_grade_starts_one_examiner():
    assert len(_shares(RUBRIC.select(["rope", "unicode1"]), 4)) == 1


def test_progress_does_not_wait_for_large_imports():
    code = "import sys, grader.grading; sys.exit(bool({'torch', 'pytest', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


LIMITED = """
import json, resource, sys
from grader.examination import examiner
try:
    examiner.main()
except json.JSONDecodeError:  # there is no order
    print(resource.getrlimit(resource.RLIMIT_DATA)[0], file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_an_examiner_limits_its_memory_before_it_hears_of_a_submission():
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(command, cwd=KIT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert 0 < int(done.stderr) <= 8 << 30
