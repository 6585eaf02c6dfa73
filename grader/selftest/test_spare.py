"""Examiners that are started ahead: at every level they grade what lies there when they are asked, nothing older."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time

import pytest

from grader.errors import Failed
from grader.examination.spare import Cancelled, Spare
from grader.grading import grade
from grader.scoring.points import Status
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import written
from grader.submission.locate import locate
from grader.wall.isolation import FileAccess, Isolation, Level, ahead, available

RUBRIC = load_rubric()
SOFTMAX = RUBRIC.select(["softmax"])
WRONG = "import torch\n\ndef run_softmax(in_features, dim):\n    return in_features\n"
RIGHT = """
import torch

def run_softmax(in_features, dim):
    shifted = (in_features - in_features.amax(dim, keepdim=True)).exp()
    return shifted / shifted.sum(dim, keepdim=True)
"""


@pytest.mark.parametrize("level", ["bubblewrap", "landlock", "process", "none"])
def test_what_is_saved_after_the_start_is_what_is_graded(tmp_path, level):
    root = written(tmp_path / "solution", {"adapters.py": WRONG})
    layout = locate(root)
    isolation = next((one for one in available(layout) if one.level == level), None)
    if isolation is None:
        pytest.skip(f"{level} does not work here")
    spare = Spare(layout, isolation)
    try:
        time.sleep(3)  # long enough for a start ahead to matter; the answer is right in any case
        replaced = root / "adapters.py.new"
        replaced.write_text(RIGHT)
        os.replace(replaced, root / "adapters.py")
        report = grade(str(root), RUBRIC, SOFTMAX, isolation=spare.isolation, jobs=1, launch=spare.launch)
        assert report.problems[0].score.status is Status.PASS
        assert report.isolation["level"] == level
    finally:
        spare.close()


def test_an_overlay_gives_way_to_what_may_change_below_it(tmp_path):
    layout = locate(written(tmp_path / "solution", {"adapters.py": RIGHT}))
    overlay = Isolation(Level.BUBBLEWRAP, FileAccess.OVERLAY, missing=("a sentence",))
    early = ahead(overlay, layout)
    assert early == dataclasses.replace(overlay, files=FileAccess.COPY)


def test_rules_about_files_that_may_be_replaced_are_not_made_early(tmp_path):
    layout = locate(written(tmp_path / "solution", {"adapters.py": RIGHT}))
    assert ahead(Isolation(Level.LANDLOCK, FileAccess.READ_ONLY), layout) is None
    assert ahead(Isolation(Level.NONE), layout) is None


def test_a_cancelled_examiner_ends_whoever_follows_it(tmp_path):
    root = written(tmp_path / "solution", {"adapters.py": RIGHT})
    layout = locate(root)
    spare = Spare(layout, Isolation(Level.PROCESS))
    spare.cancel()
    with pytest.raises(Cancelled):
        grade(str(root), RUBRIC, SOFTMAX, isolation=spare.isolation, jobs=1, launch=spare.launch)
    spare.close()


def test_one_that_has_died_is_replaced(tmp_path):
    root = written(tmp_path / "solution", {"adapters.py": RIGHT})
    spare = Spare(locate(root), Isolation(Level.PROCESS))
    with tempfile.TemporaryFile() as nothing:
        spare.launch(nothing).kill()  # it was handed out once; the next is an ordinary one
    report = grade(str(root), RUBRIC, SOFTMAX, isolation=spare.isolation, jobs=1, launch=spare.launch)
    assert report.problems[0].score.status is Status.PASS
    spare.close()


def test_what_an_examiner_says_at_its_end_is_heard_whatever_it_did_not_hear(tmp_path):
    root = written(tmp_path / "solution", {"adapters.py": RIGHT})
    full = """print('{"event": "failed", "message": "what the tests need cannot be written: the disk is full."}')"""

    def launch(stderr):
        process = subprocess.Popen(
            [sys.executable, "-c", full], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # its end of the pipe is closed when it is told
        return process

    with pytest.raises(Failed, match="the disk is full"):
        grade(str(root), RUBRIC, SOFTMAX, isolation=Isolation(Level.PROCESS), jobs=1, launch=launch)
