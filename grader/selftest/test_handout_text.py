"""HANDOUT agrees with the rubric, names only what exists, and renders. Its commands are run by `readme.py`."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.kit.handout import ASSISTANTS, CONTENTS, write_handout
from grader.kit.paths import KIT
from grader.reference.config import load_config
from grader.scoring.rubric import Problem, ProblemKind, load_rubric
from grader.selftest.readme import SOLVED, all_commands, unseen_commands

RUBRIC = load_rubric()
TEXTS = ("README.md", "README.zh-CN.md", "HANDOUT.md")

# What KaTeX (GitLab, Codeberg) and MathJax (GitHub) both know, and GitHub does not forbid.
MACROS = {
    *("frac", "sqrt", "sum", "log", "exp", "cos", "sin", "max", "min", "left", "right", "mathrm", "quad", "qquad"),
    *(
        "alpha",
        "beta",
        "epsilon",
        "theta",
        "Theta",
        "lambda",
        "mu",
        "sigma",
        "tau",
        "Phi",
        "pi",
        "ell",
        "tanh",
        "lfloor",
        "rfloor",
    ),
    *("cdot", "odot", "times", "approx", "le", "lt", "gt", "leftarrow", "top", "lVert", "rVert", "ldots", "infty"),
}


def read(name: str) -> str:
    return (KIT / name).read_text("utf-8")


def prose(markdown: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", markdown, flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """What HANDOUT says on one problem."""

    title: str
    points: float
    text: str


def sections() -> dict[str, Section]:
    parts = re.split(r"^#{2,3} (.*)$", read("HANDOUT.md"), flags=re.MULTILINE)[1:]
    found: dict[str, Section] = {}
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        if match := re.fullmatch(r"`(\w+)` (.+) \(([\d.]+) points?\)", heading):
            assert match[1] not in found, f"{match[1]} has two sections"
            found[match[1]] = Section(match[2], float(match[3]), text)
    return found


SECTIONS = sections()


WRITTEN = tuple(problem for problem in RUBRIC.problems if problem.kind is not ProblemKind.PERFORMANCE)
RACES = tuple(problem for problem in RUBRIC.problems if problem.kind is ProblemKind.PERFORMANCE)


@pytest.mark.parametrize("problem", WRITTEN, ids=lambda problem: problem.id)
def test_every_problem_has_a_section_with_its_title_and_points(problem: Problem):
    assert problem.id in SECTIONS
    section = SECTIONS[problem.id]
    assert (section.title, section.points) == (problem.title, problem.points)


def test_sections_come_in_the_order_of_the_rubric():
    assert list(SECTIONS) == [problem.id for problem in WRITTEN]


def test_races_stand_in_one_table_with_their_points():
    rows = re.findall(r"^\| `(\w+_speed)` \|.*\| ([\d.]+) \|", read("HANDOUT.md"), re.MULTILINE)
    assert [(name, float(points)) for name, points in rows] == [(race.id, race.points) for race in RACES]


def test_the_total_is_the_rubrics():
    total = sum(problem.points for problem in RUBRIC.problems if problem.section in RUBRIC.base_sections)
    assert f"together there are {total:g}." in " ".join(read("HANDOUT.md").split())


@pytest.mark.parametrize("problem", WRITTEN, ids=lambda problem: problem.id)
def test_every_section_shows_how_the_problem_is_tested(problem: Problem):
    text = SECTIONS[problem.id].text
    lines = [command.line for command in all_commands(text)]
    if problem.kind is ProblemKind.CODE:
        assert f"pytest tests/test_{problem.id}.py" in lines
    elif problem.kind is ProblemKind.MANUAL:
        assert "A person judges" in text
    else:
        assert f"python -m grader --problem {problem.id}" in lines


@pytest.mark.parametrize("name", TEXTS)
def test_commands_name_what_exists(name):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for command in all_commands(read(name)):
        words = shlex.split(command.line, comments=True)
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, command.line
        for word in words:
            if re.fullmatch(r"(tests|configs|grader|benchmarks)/[\w/.-]+?(::\w+)?", word):
                assert (KIT / word.partition("::")[0]).exists(), command.line
        if "--problem" in words:
            after = words[words.index("--problem") + 1 :]
            RUBRIC.select(list(itertools.takewhile(lambda word: not word.startswith("-"), after)))


@pytest.mark.parametrize("name", TEXTS)
def test_no_command_stands_where_nothing_runs_it(name):
    """Blocks are run when they are ```sh; one that is indented, or of no language, would be passed over in silence."""
    assert unseen_commands(read(name)) == []


def test_a_command_in_another_block_is_seen():
    text = "Try:\n\n    python -m grader\n\n```\nmake test\n```\n\n```sh\nmake grade\n```\n\n- a list\n    of words\n"
    assert unseen_commands(text) == ["make test", "python -m grader"]


def test_what_is_not_run_is_downloads_and_long_trainings():
    unrun = {name: [c for c in all_commands(read(name)) if c.reason] for name in TEXTS}
    assert [command.line for command in unrun["HANDOUT.md"] if command.reason == "network"] == [
        "make data CORPUS=tinystories",
        "make data CORPUS=owt",
    ]
    for command in (command for commands in unrun.values() for command in commands if command.reason == "minutes"):
        assert re.match(r"python -m cs336_basics\.(train|prepare|sample) |cp -r runs/", command.line), command.line


def test_every_long_training_shown_has_a_configuration_that_makes_sense(monkeypatch):
    """They are not run, so that at least their keys and values are checked."""
    monkeypatch.chdir(KIT)
    for command in all_commands(read("HANDOUT.md")):
        words = shlex.split(command.line)
        if words[:3] == ["python", "-m", "cs336_basics.train"]:
            config = load_config(words[3], words[4:])
            assert config.batch_size * config.context_length * config.steps <= 1_300_000, (
                "two minutes, as the text says"
            )


def test_the_texts_that_need_written_code_are_run_with_it():
    assert SOLVED == ("HANDOUT.md",)
    assert "grader.selftest.readme" in (KIT / ".ci" / "run").read_text("utf-8")


def formulas(markdown: str) -> list[tuple[str, str, str, bool]]:
    """(before, formula, after, display) of every formula; code is not looked at."""
    text = re.sub(r"`[^`\n]*`", lambda code: "x" * len(code[0]), prose(markdown))
    displays = [("\n", match[1], "\n", True) for match in re.finditer(r"^\$\$\n(.*?)\n\$\$$", text, re.M | re.S)]
    text = re.sub(r"^\$\$\n.*?\n\$\$$", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = [
        (text[max(match.start() - 1, 0)], match[1], text[match.end() : match.end() + 1], False)
        for match in re.finditer(r"\$([^$]*)\$", text)
    ]
    return displays + inline


def test_dollars_come_in_pairs():
    text = re.sub(r"`[^`\n]*`", "", prose(read("HANDOUT.md")))
    assert len(re.findall(r"^\$\$$", text, re.MULTILINE)) % 2 == 0
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^\$\$\n.*?\n\$\$$", "", text, flags=re.MULTILINE | re.DOTALL)):
        assert paragraph.count("$") % 2 == 0, paragraph


def test_formulas_render_everywhere():
    """Where Markdown is read before mathematics, an escaped or emphasised character would be lost."""
    found = formulas(read("HANDOUT.md"))
    assert len(found) > 50
    for before, formula, after, display in found:
        assert set(re.findall(r"\\([a-zA-Z]+)", formula)) <= MACROS, formula
        assert not re.search(r"\\[^a-zA-Z]", formula), (
            f"{formula}: a backslash before punctuation is taken for Markdown's"
        )
        assert not re.search(r"[*<>&#%~|]", formula), formula
        assert formula.count("{") == formula.count("}"), formula
        assert len(re.findall(r"\\left\b", formula)) == len(re.findall(r"\\right\b", formula)), formula
        if not display:
            assert not re.search(r"(?<![A-Za-z0-9])_", formula), f"{formula}: after punctuation, _ may start emphasis"
            assert "\n" not in formula, formula
            assert formula == formula.strip() != "", f"${formula}$: a space inside a dollar opens and closes nothing"
            assert before in " (\n", f"{before}${formula}$: a dollar after a letter opens no formula"
            assert after in " .,;:?)\n", f"${formula}${after}: a dollar before a letter closes none"


def slug(heading: str) -> str:
    """The anchor that code hosts give a heading."""
    text = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@pytest.mark.parametrize("name", TEXTS)
def test_links_inside_resolve(name):
    headings = {
        other: {slug(heading) for heading in re.findall(r"^#+ (.*)$", prose(read(other)), re.MULTILINE)}
        for other in TEXTS
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(read(name))):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        assert not path or (KIT / path).exists(), target
        if anchor:
            assert anchor in headings[path or name], target


def test_files_that_the_text_names_exist():
    for path in re.findall(r"`((?:cs336_basics|tests|configs|grader)/[\w./-]+)`", prose(read("HANDOUT.md"))):
        assert (KIT / path).exists(), path


def test_students_get_it(tmp_path):
    assert "HANDOUT.md" in CONTENTS
    write_handout(tmp_path / "skeleton")
    assert (tmp_path / "skeleton" / "HANDOUT.md").read_text("utf-8") == read("HANDOUT.md")


def test_readme_links_to_it():
    assert "](HANDOUT.md)" in read("README.md")


def test_the_students_copy_has_every_file_that_its_commands_name(tmp_path):
    skeleton: Path = tmp_path / "skeleton"
    write_handout(skeleton)
    for command in all_commands(read("HANDOUT.md")):
        for path in re.findall(r"(?:tests|configs)/[\w./-]+\.\w+", command.line):
            assert (skeleton / path).exists(), command.line


def test_assistants_are_told_what_they_may_do(tmp_path):
    write_handout(tmp_path / "with")
    told = (tmp_path / "with" / "AGENTS.md").read_text("utf-8")
    assert "What you may not do" in told
    assert "@AGENTS.md" in (tmp_path / "with" / "CLAUDE.md").read_text("utf-8")
    write_handout(tmp_path / "without", assistants=False)
    assert not list((tmp_path / "without").glob("[AC]*.md"))


def test_the_commands_that_assistants_are_told_of_exist():
    said = ASSISTANTS.read_text("utf-8")
    named = set(re.findall(r"python -m grader (\w+)", said))
    assert named == {"explain", "hint"}
    listed = subprocess.run(
        [sys.executable, "-m", "grader", "--help"], capture_output=True, text=True, check=True, cwd=KIT
    ).stdout
    assert all(f"grader {name} " in listed for name in named)


def test_the_chinese_quick_start_shows_the_commands_of_readme():
    """In their order, up to comments; and it names every file that it links to."""
    english, chinese = ([command.line for command in all_commands(read(name))] for name in TEXTS[:2])
    assert chinese == english[: len(chinese)]
    assert len(chinese) >= 10


@pytest.mark.parametrize("name", ["README.md", "HANDOUT.md", "configs/experiment.toml"])
def test_a_run_of_an_experiment_takes_as_long_wherever_one_reads_it(name):
    text = " ".join((KIT / name).read_text("utf-8").split())
    assert re.findall(r"(?i)\brun(?: of it)? takes ([\w ]+ on \w+ CPU core)", text) == [
        "about a quarter of a minute on one CPU core"
    ]


def test_whose_rope_pairs_what():
    """Meta's Llama pairs neighbours; it is in Hugging Face's port of it that feature k turns with k + d_k / 2."""
    halves = re.findall(r"[^.]*GPT-NeoX and [^.]*pair[^.]*\.", read("HANDOUT.md").replace("\n", " "))
    assert halves
    assert all("Hugging Face's port of Llama" in sentence for sentence in halves)
