"""A method that is spelt otherwise than Python looks for it is pointed at, and nothing else is."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from grader.diagnosis.clues import Failure
from grader.diagnosis.misspelt import find_misspelt
from grader.grading import grade
from grader.scoring.outcome import Clue, Outcome, Result
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import written
from grader.submission.faults import StudentError
from grader.submission.files import Files
from grader.submission.in_process import open_in_process
from grader.submission.locate import locate

HERE = "# <- here"
ADAPTERS = "def run_softmax(in_features, dim):\n    return in_features\n"


def said(folder: Path, source: str, message: str, lines: bool = True) -> Clue | None:
    """What is said of an exception of this message in a submission with this module."""
    (folder / "adapters.py").write_text(ADAPTERS, "utf-8")
    (folder / "package").mkdir()
    (folder / "package" / "model.py").write_text(textwrap.dedent(source), "utf-8")
    submission = open_in_process(locate(folder), files=Files(folder))
    outcome = Outcome("test_softmax.py::test_x", Result.ERROR)
    error = StudentError(message, type_name=message.partition(":")[0])
    return find_misspelt(Failure("softmax", outcome, "test_x", None, (), (error,)), submission, lines)


NONE, THREE = (
    "TypeError: Model() takes no arguments",
    "TypeError: Model.merge() takes 2 positional arguments but 3 were given",
)


def model(signature: str, name: str = "Model") -> str:
    return f"class {name}:\n    def {signature}:  {HERE}\n        pass\n"


MISSPELT = {
    "one underscore": (NONE, model("_init_(self, x)")),
    "two at one end": (NONE, model("__init(self, x)")),
    "letters exchanged": (NONE, model("__inti__(self, x)")),
    "behind a constant": (NONE, "class Model:\n    y = 1\n\n    def init(self, x):  # <- here\n        pass\n"),
    "another class beside": (
        NONE,
        "class Other:\n    def __init__(self):\n        pass\n\n\n" + model("__int__(self, x)"),
    ),
    "call": ("TypeError: 'Model' object is not callable", model("call(self, x)")),
    "length": ("TypeError: object of type 'Model' has no len()", model("_len_(self)")),
    "forward": (
        'NotImplementedError: Module [Model] is missing the required "forward" function',
        model("foward(self)"),
    ),
    "no self": (THREE, "class Model:\n    def merge(  # <- here\n        word, pair\n    ):\n        return word\n"),
}


@pytest.mark.parametrize("kind", MISSPELT)
def test_the_line_is_pointed_at(kind, tmp_path):
    message, source = MISSPELT[kind]
    clue = said(tmp_path, source, message)
    assert clue is not None
    assert clue.file == "package/model.py"
    assert HERE in source.split("\n")[clue.line - 1]
    assert clue.cause == clue.says
    assert any(HERE in text for _, text in clue.code)


def test_staff_may_have_no_lines_named(tmp_path):
    message, source = MISSPELT["two at one end"]
    clue = said(tmp_path, source, message, lines=False)
    assert clue == Clue(clue.says, cause=clue.says) if clue else False


SILENT = {
    "there is one": (NONE, model("__init__(self)")),
    "none is alike": (NONE, model("load(self)")),
    "two classes of the name": (NONE, model("__init(self)") + model("__init(self)")),
    "another class's": (NONE, "class Model:\n    pass\n\n\n" + model("__init(self)", "Other")),
    "a function behind the class": (NONE, "class Model:\n    x = 1\n\n\ndef init(model):\n    pass\n"),
    "a function in a branch behind it": (
        NONE,
        "class Model:\n    x = 1\n\n\nif True:\n    def init(model):\n        pass\n",
    ),
    "self on the next line": (THREE, "class Model:\n    def merge(\n        self, pair\n    ):\n        return pair\n"),
    "static": (THREE, "class Model:\n    @staticmethod\n    def merge(word, pair):\n        return word\n"),
    "two more than it takes": (THREE.replace("takes 2", "takes 1"), model("merge(word)")),
    "a list": ("TypeError: 'list' object is not callable", model("call(self)")),
    "something else": ("ValueError: too many values to unpack", model("__init(self)")),
}


@pytest.mark.parametrize("kind", SILENT)
def test_nothing_is_said_where_nothing_is_misspelt(kind, tmp_path):
    message, source = SILENT[kind]
    assert said(tmp_path, source, message) is None


def test_a_report_says_it(tmp_path):
    rubric = load_rubric()
    root = written(
        tmp_path,
        """
        import torch

        class Softmax:
            def __init(self, dim):
                self.dim = dim

            def __call__(self, x):
                return torch.exp(x) / torch.exp(x).sum(self.dim, keepdim=True)

        def run_softmax(in_features, dim):
            return Softmax(dim)(in_features)
        """,
    )
    report = grade(str(root), rubric, rubric.select(["softmax"]), isolation="process", jobs=1)
    (trouble, *_) = report.problems[0].troubles
    assert trouble.clue
    assert (
        "Your class Softmax has no __init__, which Python looks for here. Is __init meant to be it?"
        in trouble.clue.says
    )
    assert (trouble.clue.file, trouble.clue.code[2]) == ("adapters.py", (4, "    def __init(self, dim):"))
