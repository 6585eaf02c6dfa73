"""`python -m grader hunt`: the rules, the tables, and rounds as a person plays them, in a student's copy, too."""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from grader.__main__ import main
from grader.cases.hunt_table import (
    HUNTS,
    HuntTable,
    Refusal,
    TableInput,
    problems_with_hunts,
    read_hunt_table,
    same_output,
    write_hunt_table,
)
from grader.diagnosis.known_bugs import KnownBug, load_known_bugs
from grader.errors import Refused
from grader.fixtures.hunt_inputs import TABLES
from grader.guide import hunt_session, hunt_text
from grader.guide.hunt_game import EXPOSED, NAMED, Round, found_in, new_round, next_bug, read_progress, with_found
from grader.guide.hunt_session import STATE_FILE, hunt, progress_lines
from grader.kit.handout import write_handout
from grader.kit.paths import KIT, REFERENCE
from grader.misconceptions.catalogue import load_catalogue
from grader.scoring.rubric import load_rubric
from grader.selftest.layouts import public_solution, with_rope_in_halves
from grader.selftest.pseudo_terminal import PseudoTerminal
from grader.trials.hunt_outputs import answers_of, make_table

RUBRIC = load_rubric()


def small_table() -> HuntTable:
    """Three inputs, whose right outputs are 0, 1 and 2, and three bugs."""
    inputs = tuple(TableInput(f"input {n}", "run_silu", {}, float(n)) for n in range(3))
    return HuntTable("rope", inputs, {"one": {1: 9.0}, "two": {1: 9.0, 2: 9.0}, "three": {0: Refusal("TypeError: no")}})


def bug(name: str, frequency: str = "common") -> KnownBug:
    return KnownBug(name, "rope", f"Does {name}.", f"Look for {name}.", frequency, {})


# --- rules ------------------------------------------------------------------------------------------------------------


def test_inputs_tell_bugs_apart_by_what_is_seen():
    table = small_table()
    assert not table.tells_apart("one", "two", 1)
    assert table.tells_apart("one", "two", 2)
    assert table.tells_apart("one", "three", 0)


def test_a_round_knows_what_speaks_against_a_choice():
    game = Round(small_table(), "one", ("one", "two", "three")).after_looking(1)
    assert game.speaks_against("three") == 1
    assert game.speaks_against("two") is None
    assert game.undecided == ("two",)
    assert game.after_looking(2).undecided == ()
    assert game.after_naming("two").undecided == ()
    assert game.after_looking(1).looked == (1,)


def test_the_fewest_looks_are_those_that_settle_it():
    table = small_table()
    assert Round(table, "two", ("one", "two", "three")).fewest_looks() == (2,)
    assert Round(table, "one", ("one", "two", "three")).fewest_looks() == (0, 2)
    assert Round(table, "one", ("one",)).fewest_looks() != (0, 1)


def test_a_bug_is_never_named_among_bugs_that_look_the_same():
    table = small_table()
    alike = HuntTable("rope", table.inputs, {**table.wrong, "same": {1: 9.0}})
    for seed in range(20):
        assert set(new_round(alike, "one", random.Random(seed)).choices) == {"one", "two", "three"}


def test_common_bugs_come_first_and_found_ones_last():
    bugs = [bug("a", "rare"), bug("b"), bug("c", "occasional")]
    draw = random.Random(0)
    found: list[str] = []
    for expected in ("b", "c", "a"):
        assert next_bug(bugs, found, draw).id == expected
        found.append(expected)
    assert next_bug(bugs, found, draw) in bugs


def test_progress_keeps_the_best_of_several_rounds():
    progress = with_found(with_found({}, "rope", "a", NAMED, 3), "rope", "a", NAMED, 5)
    progress = with_found(progress, "rope", "a", EXPOSED, 2)
    assert progress == {"rope": {"a": {NAMED: 3, EXPOSED: 2}}}
    assert found_in(progress, "rope", EXPOSED) == {"a"}
    assert found_in(progress, "softmax", NAMED) == set()
    assert read_progress(json.loads(json.dumps(progress))) == progress


@pytest.mark.parametrize("plain", [None, [], {"rope": 1}, {"rope": {"a": 3}}, {"rope": {"a": {"named": "x"}}}])
def test_a_damaged_file_of_progress_is_as_if_nothing_was_found(plain):
    assert not any(found_in(read_progress(plain), "rope", way) for way in (NAMED, EXPOSED))


def test_values_are_shown_in_few_characters():
    assert hunt_text.value(torch.tensor([[1.0, 1 / 3]])) == "[[1, 0.3333]]"
    assert hunt_text.value(torch.tensor([0.5], dtype=torch.bfloat16)) == "bfloat16 [0.5]"
    assert hunt_text.value(list(range(257))) == "[0 to 256]"
    assert hunt_text.value([bytes([i]) for i in range(256)] + [b"ab"]) == "[all 256 single bytes, b'ab']"
    assert hunt_text.value(torch.zeros(1000, 1000)) == "float32[1000, 1000]"
    assert len(hunt_text.output("x" * 100_000)) < 2000
    assert hunt_text.output(Refusal("TypeError: no")) == "raises TypeError: no"


# --- tables -----------------------------------------------------------------------------------------------------------


def test_every_problem_with_known_bugs_has_a_table_or_a_reason():
    covered = {known.problem for known in load_catalogue()}
    assert covered == {*problems_with_hunts(), *hunt_session._NO_TABLE}
    assert set(problems_with_hunts()) == set(TABLES)


@pytest.mark.parametrize("problem", sorted(TABLES))
def test_a_table_can_be_read_by_a_person_and_knows_its_bugs(problem):
    table = read_hunt_table(problem)
    names = [one.about for one in table.inputs]
    assert len(set(names)) == len(names)
    known = {one.id for one in load_known_bugs() if one.problem == problem}
    assert set(table.wrong) <= known, "make fixtures"
    assert len(table.wrong) >= 10
    for one in table.inputs:
        assert len(hunt_text.call(one.operation, one.arguments)) <= 1300, one.about
        assert len(hunt_text.output(one.right)) <= 700, one.about
        assert hunt_text.output(one.right) != ""
    for numbers in table.wrong.values():
        assert all(not same_output(table.inputs[n].right, output) for n, output in numbers.items())


@pytest.mark.parametrize("problem", ["softmax", "learning_rate_schedule", "gradient_clipping"])
def test_what_is_stored_is_what_the_bugs_give(problem):
    made, stored = make_table(problem, list(TABLES[problem]())), read_hunt_table(problem)
    assert list(made.wrong) == list(stored.wrong), "make fixtures"
    for known in made.wrong:
        assert made.wrong[known].keys() == stored.wrong[known].keys()
        assert all(same_output(made.output(known, n), stored.output(known, n)) for n in made.wrong[known])


LEFT_OPEN = {
    "embedding": {"float64", "bfloat16"},
    "cross_entropy": {"float64"},
    "adamw": {"one step, eps = 1", "one step, gradient 1e-4, eps = 1e-4"},
    "adamw_accounting": {"FLOPs of a step of AdamW", "bytes for", "values kept", "the largest batch"},
    "decoding": {"two equal logits, top_p = 0.5", "four equal logits, top_p = 0.4"},
}
"""Beginnings of the lines whose output the assignment leaves open; tests accept each of its readings."""


@pytest.mark.parametrize("problem", sorted(TABLES))
def test_right_code_in_other_words_gives_what_is_stored(problem):
    """Or refuses an input, as where it takes batches only."""
    table, lines = read_hunt_table(problem), list(TABLES[problem]())
    for variant in importlib.import_module(f"grader.selftest.honest.{problem}").VARIANTS:
        for one, output in zip(table.inputs, answers_of(variant, lines), strict=True):
            is_open = one.about.startswith(tuple(LEFT_OPEN.get(problem, ())))
            said = f"{variant.id}, {one.about}: {hunt_text.output(output)} for {hunt_text.output(one.right)}"
            assert is_open or isinstance(output, Refusal) or same_output(one.right, output), said


def test_not_a_number_is_the_same_everywhere():
    nothing = torch.tensor([1.0, torch.nan])
    assert same_output(nothing, nothing.clone())
    assert same_output({"loss": float("nan")}, {"loss": float("nan")})
    assert not same_output(nothing, torch.tensor([torch.nan, 1.0]))
    assert not same_output(nothing, torch.tensor([1.0, 0.0]))
    assert not same_output(nothing, torch.tensor([1.2, torch.nan]))


def test_tables_are_small():
    assert sum(path.stat().st_size for path in HUNTS.glob("*")) < 200_000


def test_a_table_survives_being_written_and_a_damaged_one_is_refused(tmp_path):
    table = HuntTable(
        "rope", (TableInput("x", "run_silu", {"in_features": torch.ones(2)}, None),), {"one": {0: Refusal("no")}}
    )
    again = read_hunt_table("rope", write_hunt_table(table, tmp_path).parent)
    assert (again.wrong, again.inputs[0].right, again.inputs[0].about) == (table.wrong, None, "x")
    (tmp_path / "rope.msgpack").write_bytes(b"not this")
    with pytest.raises(Refused, match="git checkout tests/fixtures"):
        read_hunt_table("rope", tmp_path)


# --- a round ----------------------------------------------------------------------------------------------------------


class Person:
    """Types these lines, and then nothing more; keeps what is said."""

    def __init__(self, *lines: str) -> None:
        self.lines = iter(lines)
        self.heard: list[str] = []

    def ask(self, prompt: str) -> str:
        self.heard.append(prompt)
        try:
            return next(self.lines)
        except StopIteration:
            raise EOFError from None

    @property
    def said(self) -> str:
        return "\n".join(self.heard)


@pytest.fixture(scope="module")
def solution(tmp_path_factory) -> Path:
    return public_solution(tmp_path_factory.mktemp("hunted") / "solution")


def played(solution: Path, *lines: str, way: str = NAMED, anyway: bool = False, passes: bool = False) -> str:
    person = Person(*lines)
    hunt("rope", solution, RUBRIC, person.ask, person.heard.append, lambda: passes, way, anyway, seed=3)
    return person.said


def test_a_bug_is_looked_at_and_named(solution):
    (solution / STATE_FILE).unlink(missing_ok=True)
    first = played(solution)  # and nothing is typed
    assert "Stopped; nothing is remembered" in first
    assert "l      list inputs" in first, "the first hunt explains itself"
    right = next(
        letter
        for letter in "abcd"
        if "Yes, it is" in played(solution, letter) and (solution / STATE_FILE).unlink() is None
    )
    wrong = next(letter for letter in "abcd" if letter != right)
    said = played(solution, wrong, "99", "5", "5", "nonsense", "l", "4", wrong, right)
    assert f"No, it is not {wrong}; nothing that you have looked at speaks against it yet" in said
    assert "There are inputs 1 to 27." in said
    assert '"nonsense" is neither' in said
    assert "your code" in said
    assert "You needed 2 looks, and 1 wrong name." in said
    assert "would have told it from the other choices" in said
    assert "A check that finds it:" in said
    (took,) = json.loads((solution / STATE_FILE).read_text("utf-8"))["rope"].values()
    assert took == {"named": 2}
    again = played(solution)
    assert "? explains what can be typed" in again
    assert "rope: bug 2 of 37" in again


def test_an_input_is_chosen_that_exposes_a_bug(solution):
    (solution / STATE_FILE).unlink(missing_ok=True)
    said = played(solution, "1", "4", "5", "8", "2", way=EXPOSED)
    assert re.search(r"Yes, it shows there\. You needed \d (try|tries)\.", said)
    listed = list(progress_lines(solution, RUBRIC, "rope"))
    assert listed[0].split() == ["rope", "1", "of", "37", "bugs", "found"]
    assert len(listed) == 2
    assert "exposed at try" in listed[1]


def test_ctrl_c_while_something_is_shown_ends_the_round_as_at_the_prompt(solution):
    person = Person("1")
    pressed: list[str] = []

    def say(text: str) -> None:
        if "the bug   " in text and not pressed:
            pressed.append(text)
            raise KeyboardInterrupt
        person.heard.append(text)

    hunt("rope", solution, RUBRIC, person.ask, say, lambda: True, NAMED, seed=3)
    assert pressed
    assert "Stopped; nothing is remembered" in person.heard[-1]


def test_who_gives_up_is_told_and_has_not_found_it(solution):
    (solution / STATE_FILE).unlink(missing_ok=True)
    said = played(solution, "2", "g")
    assert "A check that finds it:" in said
    assert "You needed" not in said
    assert not (solution / STATE_FILE).exists()


def test_the_list_names_nothing_that_was_not_found(solution):
    (solution / STATE_FILE).unlink(missing_ok=True)
    listed = "\n".join(progress_lines(solution, RUBRIC, None))
    assert listed.count(" 0 of ") == len(problems_with_hunts())
    assert "Your" not in listed


def test_code_that_is_wrong_is_mended_first(tmp_path):
    root = with_rope_in_halves(public_solution(tmp_path / "wrong"))
    with pytest.raises(Refused, match=r'rope is not known to pass: for "\[1, 0, 0, 0\] at position 1" your code gives'):
        played(root)
    said = played(root, "4", anyway=True)
    assert "right is" in said
    assert "your code  " not in said


def test_right_code_that_refuses_an_input_of_the_table_hunts_once_its_tests_pass(tmp_path):
    root = public_solution(tmp_path / "batches")
    path = root / "cs336_basics" / "rope.py"
    source = path.read_text("utf-8")
    begins = "        precision = "
    assert begins in source
    path.write_text(source.replace(begins, f"        assert x.ndim > 2, 'batches only'\n{begins}", 1), "utf-8")
    with pytest.raises(Refused, match="your code gives raises AssertionError: batches only"):
        played(root)
    said = played(root, "4", "15", passes=True)
    assert "right is" in said
    assert "your code  " in said


@pytest.mark.parametrize(
    ("problem", "why"),
    [
        ("training_together", "does not lend itself to a hunt"),
        ("unicode1", "which has no known bugs"),
        ("rop", "Did you mean 'rope'"),
        ("rope", "not written yet"),
    ],
)
def test_what_cannot_be_hunted_is_refused_in_a_sentence(problem, why, capsys):
    assert main(["hunt", problem]) == 2
    assert why in capsys.readouterr().err


# --- as a student has it ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def students_copy(tmp_path_factory) -> Path:
    """The handout, with the skeleton written."""
    copy = tmp_path_factory.mktemp("student") / "copy"
    write_handout(copy)
    for path in REFERENCE.glob("*.py"):
        if path.name not in ("adapters.py", "__init__.py"):
            shutil.copy(path, copy / "cs336_basics")
    return copy


def test_the_students_copy_hunts_through_a_pipe(students_copy):
    done = subprocess.run(
        [sys.executable, "-m", "grader", "hunt", "softmax", "--seed", "1"],
        cwd=students_copy,
        input="1\n2\na\nb\nc\nd\n",
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert "Yes, it is" in done.stdout
    assert list(json.loads((students_copy / STATE_FILE).read_text("utf-8"))) == ["softmax"]
    for path in students_copy.joinpath("grader").rglob("*.py"):
        assert "MISCONCEPTIONS = (" not in path.read_text("utf-8")


def test_a_round_on_a_terminal_that_ends_with_ctrl_c(students_copy):
    command = [sys.executable, "-m", "grader", "hunt", "rope", "--seed", "3"]
    terminal = PseudoTerminal(command, students_copy, columns=100, PYTHONPATH="")
    try:
        terminal.wait_for(r"name the bug \(a to d\):$")
        terminal.press("4\n")
        screen = terminal.wait_for("different|the same")
        assert "in_query_or_key=[[1, 0, 0, 0]]" in screen
        terminal.press("\x03")
        assert terminal.ends_with() == 0
        assert "Stopped; nothing is remembered of this round." in terminal.screen
        assert "Traceback" not in terminal.screen
    finally:
        terminal.close()


def test_help_explains_and_imports_nothing_heavy():
    program = (
        "import sys; from grader.__main__ import main\n"
        "try: main(['hunt', '--help'])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=KIT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--expose" in done.stdout
