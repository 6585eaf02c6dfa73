"""What a new problem needs is said, one thing after the other; and every problem of the rubric has all of it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader.cases.assets import FixtureError
from grader.cases.generators import reference_oracle
from grader.cases.store import draw_cases, stored_cases
from grader.errors import Refused
from grader.fixtures.__main__ import main as write_fixtures
from grader.grading import grade
from grader.kit.paths import KIT
from grader.scoring.rubric import load_rubric
from grader.selftest.complete import Tree, main, missing
from grader.selftest.layouts import copy_of_kit, written


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_kit(tmp_path_factory.mktemp("complete"))


def test_every_problem_of_the_rubric_is_complete():
    tree = Tree(KIT)
    assert {p.id: lacks for p in load_rubric().problems if (lacks := missing(tree, p.id))} == {}


# ------------------------------------------------------------------------------------------------------------
# A made-up problem, from nothing to a grade


CLAIMS = '''
    """Leaky ReLU."""

    import pytest


    @pytest.mark.cases
    def test_values(submission, case):
        """What is negative is multiplied by the slope."""
        case.check(submission.run_leaky(**case.inputs))
'''

SOLUTION = '''
    """Leaky ReLU."""

    from torch import Tensor


    def leaky_relu(x: Tensor, slope: float) -> Tensor:
        """x where it is positive, else x times the slope.

        Problem: leaky
        """
        return x.where(x > 0, x * slope)
'''

ADAPTER = '''

def run_leaky(in_features: Float[Tensor, " ..."], slope: float) -> Float[Tensor, " ..."]:
    """Apply leaky ReLU."""
    from .leaky import leaky_relu

    return leaky_relu(in_features, slope)
'''

GENERATOR = '''
    """Cases for leaky ReLU."""

    from collections.abc import Iterator

    from ..case import Case, Draw


    def generate(draw: Draw) -> Iterator[Case]:
        yield Case("matrix", "run_leaky", {"in_features": draw.normal(3, 5), "slope": draw.number(0.1, 0.5)})
'''

MISCONCEPTIONS = '''
    """How leaky ReLU goes wrong."""

    from .catalogue import Misconception

    MISCONCEPTIONS = (
        Misconception(
            id="leaky-ignores-slope",
            problem="leaky",
            replaces={"leaky.leaky_relu": lambda x, slope: x.clamp(min=0)},
            diagnosis="Your leaky ReLU gives 0 for what is negative.",
            hint="What does it give for -1 with a slope of 0.5?",
            frequency="common",
        ),
    )
'''

HONEST = '''
    """Leaky ReLU, written in other ways."""

    from grader.misconceptions.catalogue import Variant

    VARIANTS = (
        Variant("in-two-parts", "leaky", {"leaky.leaky_relu": lambda x, slope: x.relu() - slope * (-x).relu()}),
    )
'''

ROW = """
[[problem]]
id = "leaky"
title = "Leaky ReLU"
section = "kernels"
kind = "code"
points = 1
"""

SECTION = """
### `leaky` Leaky ReLU (1 point)

What is negative leaks.

```sh
pytest tests/test_leaky.py
```
"""


def append(name: str, text: str) -> Callable[[Path, str], None]:
    def step(kit: Path, sentence: str) -> None:
        (kit / name).write_text((kit / name).read_text("utf-8") + text, "utf-8")

    return step


def replace(name: str, old: str, new: str) -> Callable[[Path, str], None]:
    def step(kit: Path, sentence: str) -> None:
        text = (kit / name).read_text("utf-8")
        assert text.count(old) == 1
        (kit / name).write_text(text.replace(old, new), "utf-8")

    return step


def write(name: str, text: str) -> Callable[[Path, str], None]:
    return lambda kit, sentence: void(written(kit, {name: text}))


def void(_: object) -> None: ...


def do_as_it_says(kit: Path, sentence: str) -> None:
    """Run the command that the sentence names."""
    (command,) = re.findall(r"`python (.+?)`", sentence)
    ran = subprocess.run([sys.executable, *shlex.split(command)], cwd=kit, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


STEPS: list[tuple[str, Callable[[Path, str], None]]] = [
    ("grader/scoring/rubric.toml has no problem 'leaky'.", append("grader/scoring/rubric.toml", ROW)),
    ("tests/test_leaky.py is missing", write("tests/test_leaky.py", CLAIMS)),
    (
        "tests/test_leaky.py: test_values does not say where it is asked for.",
        replace("tests/test_leaky.py", 'slope."""', 'slope.\n\n    Asked: the definition.\n    """'),
    ),
    (
        "grader/worker/operation_table.py has no operation run_leaky, for which tests/test_leaky.py asks.",
        replace("grader/worker/operation_table.py", "_ALL = (\n", '_ALL = (\n    _function("run_leaky", "leaky"),\n'),
    ),
    ("grader/reference/ has no solution of leaky.", write("grader/reference/leaky.py", SOLUTION)),
    ("grader/reference/adapters.py has no function run_leaky.", append("grader/reference/adapters.py", ADAPTER)),
    ("grader/cases/generators/leaky.py is missing", write("grader/cases/generators/leaky.py", GENERATOR)),
    ("grader/misconceptions/leaky.py is missing", write("grader/misconceptions/leaky.py", MISCONCEPTIONS)),
    ("grader/selftest/honest/leaky.py is missing", write("grader/selftest/honest/leaky.py", HONEST)),
    ("tests/fixtures/cases/leaky.msgpack is missing. Run `python -m grader.fixtures cases --problem", do_as_it_says),
    ("adapters.py is not what grader/reference/ gives. Run `python -m grader.kit.stubs`", do_as_it_says),
    ("HANDOUT.md has no section '### `leaky` Leaky ReLU (1 point)'.", append("HANDOUT.md", SECTION)),
]


def test_a_new_problem_is_led_from_one_step_to_the_next_until_it_is_graded(tmp_path):
    kit = copy_of_kit(tmp_path)
    for says, take in STEPS:
        sentence = missing(Tree(kit), "leaky")[0]
        assert sentence.startswith(says)
        take(kit, sentence)
    assert missing(Tree(kit), "leaky") == []

    command = ["-m", "grader", "grader/reference", "--problem", "leaky", "--isolation", "process", "--json", "r.json"]
    graded = subprocess.run([sys.executable, *command], cwd=kit, capture_output=True, text=True, check=False)
    assert graded.returncode == 0, graded.stderr
    (problem,) = json.loads((kit / "r.json").read_text("utf-8"))["problems"]
    assert (problem["status"], problem["earned"]) == ("pass", 1)
    assert [test["id"] for test in problem["tests"]] == [
        f"test_leaky.py::test_values[{case}]" for case in ("matrix", "matrix-fresh")
    ]


# ------------------------------------------------------------------------------------------------------------
# What else can be missing


@pytest.fixture
def damage(kit: Path) -> Iterator[Callable[[str, str, str], None]]:
    """Change a file of the copy for one test."""
    before: dict[Path, bytes] = {}

    def change(name: str, pattern: str, new: str) -> None:
        path = kit / name
        before[path] = path.read_bytes()
        changed, count = re.subn(pattern, new, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
        assert count == 1
        path.write_text(changed, "utf-8")

    yield change
    for path, content in before.items():
        path.write_bytes(content)


TABLE = "grader/worker/operation_table.py"


@pytest.mark.parametrize(
    ("problem", "file", "pattern", "new", "says"),
    [
        ("rope", "grader/scoring/rubric.toml", '^id = "rope"', 'id = "rope', "is not valid TOML"),
        ("rope", "tests/test_rope.py", "^import", "imp ort", "tests/test_rope.py, line 7, is not Python"),
        ("generate", "tests/test_generate.py", r"@pytest\.mark\.decisive\n", "", "no core claim judges values"),
        ("softmax", TABLE, "run_softmax", "run_sofmax", "no operation run_softmax, for which tests/test_softmax.py as"),
        ("softmax", TABLE, '"run_softmax", "softmax"', '"run_softmax", ""', "gives softmax no adapter"),
        (
            "gradient_clipping",
            "grader/worker/drivers/optimizer.py",
            r"^DRIVERS = \(([^)]*) clip,",
            r"DRIVERS = (\1",
            "no driver clip, which",
        ),
        ("unicode1", "grader/reference/answers.toml", r"^\[unicode1\]", "[unicode]", "has no table [unicode1]"),
        ("rope_speed", "grader/performance/tensor_races.py", '"rope_speed": ', '"ropes": ', "no race belongs to rope_"),
        (
            "rope_speed",
            "HANDOUT.md",
            r"^\| `rope_speed`(.*)\| 1 \|",
            r"| `rope_speed`\1| 2 |",
            "has no row `rope_speed`",
        ),
        ("softmax", "HANDOUT.md", "pytest tests/test_softmax.py$", "", "does not say 'pytest tests/test_softmax.py'"),
        ("rope", "HANDOUT.md", "there are 109", "there are 108", "does not say 'together there are 109.'"),
        ("leaderboard", "HANDOUT.md", "A person judges this problem: the l", "L", "does not say 'A person judges'"),
        ("rope", "cs336_basics/rope.py", r"\Z", "\n", "cs336_basics/rope.py is not what grader/reference/ gives"),
        ("rope", "grader/reference/rope.py", r'^    """(.*\n)*?    """', "    pass", "has no docstring"),
    ],
)
def test_what_is_damaged_is_named(kit, damage, problem, file, pattern, new, says):
    damage(file, pattern, new)
    sentences = missing(Tree(kit), problem)
    assert any(says in sentence for sentence in sentences), sentences


def test_what_was_deleted_is_named(kit):
    gone = {
        "no_pos_emb": ("grader/reference/runs/no_pos_emb", "runs/no_pos_emb/ is missing"),
        "rmsnorm": ("tests/fixtures/cases/misconceptions.msgpack", "Run `python -m grader.fixtures misconceptions"),
    }
    for problem, (name, says) in gone.items():
        path, aside = kit / name, kit / "aside"
        path.rename(aside)
        try:
            assert any(says in sentence for sentence in missing(Tree(kit), problem))
        finally:
            aside.rename(path)


def test_the_command_lists_what_is_missing_and_fails(kit, damage, capsys):
    assert main(["linear"], kit) == 0
    assert capsys.readouterr().out == "1 of 1 problems are complete.\n"
    assert main(["linear", "lineal"], kit) == 1
    said = capsys.readouterr().out
    assert said.startswith("lineal:\n  1. grader/scoring/rubric.toml has no problem 'lineal'. Did you mean 'linear'?")
    assert said.endswith("1 of 2 problems are complete.\n")


# ------------------------------------------------------------------------------------------------------------
# The errors of those who did not ask


@pytest.mark.parametrize("cases", [stored_cases, lambda problem: list(draw_cases(problem, 0))])
def test_cases_that_nothing_draws_name_the_generator(cases):
    with pytest.raises(FixtureError, match=r"^grader/cases/generators/leaky\.py is missing, which draws the cases"):
        cases("leaky")


def test_fixtures_of_an_unknown_problem_are_refused(capsys):
    assert write_fixtures(["cases", "--problem", "sofmax"]) == 1
    assert "no problem is called 'sofmax'. Did you mean 'softmax'?" in capsys.readouterr().err


def test_tests_that_cannot_be_planned_end_the_grade_with_the_reason(kit, damage):
    damage("tests/test_softmax.py", r'cases\("dimensions"', 'cases("dimension"')
    command = [sys.executable, "-m", "grader", "grader/reference", "--problem", "softmax", "--no-gpu"]
    ended = subprocess.run(command, cwd=kit, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert "A test of the kit's own is wrong. tests/test_softmax.py cannot be collected" in ended.stderr
    assert "test_any_dimension: no case belongs to 'dimension'. There are reference, dimensions, " in ended.stderr


def test_an_adapter_that_the_reference_lacks_is_named_and_costs_nobody_a_point(monkeypatch, tmp_path):
    import grader.reference.adapters as reference

    submission = written(tmp_path, "def run_softmax(in_features, dim):\n    return in_features\n")
    monkeypatch.delattr(reference, "run_softmax")
    sentence = r"^run_softmax has no answer, since the reference has no adapter run_softmax\. Write it in grader/refer"
    with pytest.raises(FixtureError, match=sentence):
        reference_oracle()("run_softmax", {})
    rubric = load_rubric()
    with pytest.raises(Refused, match=sentence):
        grade(str(submission), rubric, rubric.select(["softmax"]), isolation="process", gpu=False)
