"""How much is written is seen in the text; code that nobody calls is pointed at where its problem is todo."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from grader.grading import grade
from grader.report import terminal
from grader.scoring.points import Status
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import written
from grader.submission.files import Files
from grader.submission.source_files import not_connected, python_files, share_written

SOFTMAX = """
    import torch

    def softmax(x, dim):
        e = torch.exp(x - x.amax(dim, keepdim=True))
        return e / e.sum(dim, keepdim=True)
"""
ADAPTERS = """
    def run_softmax(in_features, dim):
        raise NotImplementedError
"""


def test_a_report_says_where_code_is_that_no_adapter_calls(tmp_path):
    """The public assignment's adapters are written by the students, who forget one now and then."""
    root = written(tmp_path, {"tests/adapters.py": ADAPTERS, "cs336_basics/layers.py": SOFTMAX})
    rubric = load_rubric()
    report = grade(str(root), rubric, rubric.select(["softmax"]), isolation="process", jobs=1)
    (problem,) = report.problems
    assert problem.score.status is Status.TODO
    assert problem.remark == "cs336_basics/layers.py:3 has softmax: does the adapter call it?"
    shown = io.StringIO()
    terminal.show(report, Console(file=shown, width=100))
    assert "cs336_basics/layers.py:3 has softmax: does the adapter call it?" in shown.getvalue()


WRITTEN = {
    "a function": ("softmax", "def softmax(x, dim):\n    return x\n"),
    "a class": ("rope", "class RotaryPositionalEmbedding:\n    def forward(self, x):\n        return x\n"),
    "other letters": (
        "multihead_self_attention",
        "class MultiHead_SelfAttention:\n    def f(self):\n        return 1\n",
    ),
    "a long signature": ("train_bpe", "def train_bpe(\n    path,\n):\n    return {}, []\n"),
}
NOT_WRITTEN = {
    "a stub": ("softmax", 'def softmax(x, dim):\n    raise NotImplementedError("softmax")\n'),
    "a class with a stub": ("rope", "class RoPE:\n    def f(self):\n        raise NotImplementedError\n        return"),
    "a mere signature": ("softmax", "def softmax(x, dim): ...\n"),
    "another one": ("softmax", "def log_softmax(x, dim):\n    return x\n"),
    "somebody's own": ("softmax", "def _softmax(x, dim):\n    return x\n"),
    "a method": ("softmax", "class A:\n    def softmax(self, x):\n        return x\n"),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*WRITTEN, *NOT_WRITTEN])
def test_what_counts_as_written(kind, tmp_path):
    problem, source = {**WRITTEN, **NOT_WRITTEN}[kind]
    (tmp_path / "code.py").write_text(source, "utf-8")
    found = not_connected(Files(tmp_path), "adapters.py", [problem])
    assert list(found) == ([problem] if kind in WRITTEN else [])


@pytest.mark.parametrize("path", ["adapters.py", "tests/helpers.py", "grader/x.py", "test_softmax.py", ".venv/x.py"])
def test_what_is_not_the_students_own_code_is_passed_over(path, tmp_path):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(WRITTEN["a function"][1], "utf-8")
    assert not_connected(Files(tmp_path), "adapters.py", ["softmax"]) == {}


def test_the_name_of_a_file_is_text(tmp_path):
    """It is shown in a terminal."""
    (tmp_path / "a\x1b[2Jb.py").write_text(WRITTEN["a function"][1], "utf-8")
    (said,) = not_connected(Files(tmp_path), "adapters.py", ["softmax"]).values()
    assert said.isprintable()
    assert said.endswith("b.py:1 has softmax")


def test_links_and_what_is_no_text_are_left_alone(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.py").write_text(WRITTEN["a function"][1], "utf-8")
    root = tmp_path / "submission"
    (root / "folder.py").mkdir(parents=True)
    (root / "link").symlink_to(outside)
    (root / "linked.py").symlink_to(outside / "x.py")
    (root / "bytes.py").write_bytes(b"\xff\xfe")
    assert not_connected(Files(root), "adapters.py", ["softmax"]) == {}


def test_many_files_are_not_all_read(tmp_path):
    for folder in range(30):
        Path(tmp_path, f"f{folder}").mkdir()
        for name in range(10):
            Path(tmp_path, f"f{folder}", f"{name}.py").write_text("", "utf-8")
    assert len(python_files(Files(tmp_path))) == 200


A_STUB = "def one():\n    raise NotImplementedError\n"
A_FUNCTION = "def one():\n    return 1\n"


@pytest.mark.parametrize(
    ("adapters", "package", "share"),
    [
        pytest.param(A_FUNCTION * 3, A_STUB * 4, 0.0, id="the skeleton: adapters that call stubs"),
        pytest.param(A_STUB * 20, "", 0.0, id="the public skeleton: adapters that are stubs, and no code"),
        pytest.param(A_FUNCTION * 3, A_STUB + A_FUNCTION * 3, 0.75, id="begun"),
        pytest.param(A_STUB * 3 + A_FUNCTION, "", 0.25, id="begun in the adapters"),
        pytest.param(A_STUB * 3 + A_FUNCTION, A_FUNCTION * 4, 0.25, id="code that few adapters call"),
        pytest.param(A_FUNCTION * 3, A_FUNCTION * 4, 1.0, id="done"),
        pytest.param("import solution\n", "", 1.0, id="nothing can be seen"),
        pytest.param(A_STUB * 9, A_FUNCTION, 0.0, id="more stubs than code"),
    ],
)
def test_how_much_is_written_is_told_by_what_says_that_it_is_not(tmp_path, adapters, package, share):
    files = {"tests/adapters.py": adapters, "code/all.py": package, "tests/test_all.py": A_FUNCTION * 50}
    root = written(tmp_path, files)
    assert share_written(Files(root), "tests/adapters.py") == share
