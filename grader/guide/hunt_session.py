"""`python -m grader hunt rope`: a known bug is planted, and a person finds it from inputs of their choice.

Nothing wrong is run: what a bug gives is read from a table (`cases/hunt_table.py`). Beside it stands what the person's
own code gives, which runs behind the wall. Progress is kept below the submission in `.grader/hunts.json`:

    {"rope": {"rope-halves-instead-of-pairs": {"named": 3, "exposed": 1}}}

that is for each problem and bug how many looks naming it took at best, and how many tries exposing it. It is for
practice: no grade reads it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cases.hunt_table import HuntTable, Refusal, problems_with_hunts, read_hunt_table
from ..diagnosis.known_bugs import KnownBug, load_known_bugs
from ..errors import Refused
from ..escape import visible
from ..scoring.rubric import Rubric
from ..submission.faults import AdapterMissing, Fault, NothingToAssess, Todo
from ..submission.files import Files
from ..submission.locate import locate
from ..wall.isolation import choose
from ..wall.walled import WalledSubmission
from . import hunt_text
from .hunt_game import (
    EXPOSED,
    NAMED,
    UNKNOWN,
    Round,
    first_wrong,
    found_in,
    known_right,
    new_round,
    next_bug,
    read_progress,
    with_found,
)

STATE_FILE = ".grader/hunts.json"

_LAB = "nobody has written inputs for a hunt in the architecture lab yet"
_NO_TABLE = {
    "checkpointing": "its bugs show in files and in training that goes on, not in an output that can be read",
    "data_loading": "what it gives depends on chance, so that no output is wrong by itself",
    "flash_attention_pytorch": "its bugs show in tiles of at least 16 rows, too many numbers to be read",
    "flash_attention_triton": "its bugs show in tiles of at least 16 rows, too many numbers to be read",
    "fused_rmsnorm": "its bugs show in rows that are too long to be read",
    **dict.fromkeys(("layernorm", "activations", "gated_ffn", "norm_placement", "qk_norm", "parallel_block"), _LAB),
    **dict.fromkeys(("grouped_query_attention", "windowed_attention", "alibi", "rope_variants"), _LAB),
    **dict.fromkeys(
        (
            "sinusoidal_embedding",
            "learned_positions",
            "relative_positions",
            "rope_scaling",
            "online_attention",
            "kv_cache",
            "interleaved_attention",
        ),
        _LAB,
    ),
    **dict.fromkeys(("stability", "moe_routing", "moe_layer", "precision", "fp8"), _LAB),
    **dict.fromkeys(("architecture_accounting", "model_families"), _LAB),
    "training_together": "its bugs show in runs that take minutes",
}
"""Problems that have known bugs and no table, each with the reason."""

Ask = Callable[[str], str]
"""`input`: shows a prompt and gives what was typed. Raises EOFError when nothing more will come."""

Say = Callable[[str], None]

Own = Sequence[Any]
"""What one's own code gives, one output for each input; UNKNOWN where it is not what is right, or is not known."""

NAMING_HELP = """\
A bug is planted: you are shown its outputs, as if it were in your code. Find out which one it is.

  5      look at input 5: what the code with the bug gives, and what is right
  b      name it: "it is bug b"
  l      list inputs and choices again
  g      give up, and be told      q  stop      ?  this text

Look at as few inputs as you can, the simplest first: what is the least that goes wrong? Which choice would give just
that? It is practice: no points depend on it."""

EXPOSING_HELP = """\
A bug is planted, and you are told which. Choose an input in which it shows, before you see any output: that is what a
test needs.

  5      try input 5
  l      list the inputs again
  g      give up, and be told      q  stop      ?  this text

It is practice: no points depend on it."""


class _Stopped(Exception):
    """The person has had enough, or nothing more comes from them."""


def hunt(
    problem: str,
    submission: Path,
    rubric: Rubric,
    ask: Ask,
    say: Say,
    passes: Callable[[], bool],
    way: str = NAMED,
    anyway: bool = False,
    seed: int | None = None,
) -> None:
    """Play one round.

    Args:
        passes: runs the problem's tests, and says whether all of its points are earned; asked only where one's own code
            does not give all of the table's right outputs, which right code need not: the table has one reading.
        way: NAMED or EXPOSED; anyway: whether one's own code need not be right; seed: of what is drawn, or None.

    Raises:
        Refused: for a problem that has no table, and for one that is not known to pass (unless `anyway`).
    """
    table = _table(problem, rubric)
    files = Files(Path(locate(submission).root))
    own = _own_code(problem, submission, table, passes, anyway, say)
    bugs = {bug.id: bug for bug in load_known_bugs() if bug.id in table.wrong}
    table = HuntTable(table.problem, table.inputs, {bug: table.wrong[bug] for bug in bugs})
    progress = read_progress(files.recall(STATE_FILE))
    draw = random.Random(seed)
    found = found_in(progress, problem, way)
    if found >= bugs.keys():
        say(f"You have found all {len(bugs)} bugs of {problem}; here is one of them again.")
    bug = next_bug(bugs.values(), found, draw)
    game = new_round(table, bug.id, draw)
    say(f"{problem}: bug {min(len(found) + 1, len(bugs))} of {len(bugs)}")
    explanation = NAMING_HELP if way == NAMED else EXPOSING_HELP
    is_first = not any(found_in(progress, one, way) for one in progress)
    say(f"\n{explanation}" if is_first else "? explains what can be typed.")
    playing = _naming if way == NAMED else _exposing
    try:
        took = playing(game, bugs, own, ask, say)
    except (_Stopped, KeyboardInterrupt):  # Ctrl-C may come while something is shown, too
        say("\nStopped; nothing is remembered of this round.")
        return
    if took:
        why_not = files.remember(STATE_FILE, with_found(progress, problem, bug.id, way, took))
        other = " --expose" * (way == EXPOSED)
        say(
            f"\nThis is not remembered: {why_not}"
            if why_not
            else f"\nThe next one: python -m grader hunt {problem}{other}"
        )


def progress_lines(submission: Path, rubric: Rubric, problem: str | None) -> Iterator[str]:
    """What was found so far, by problem; what was not found is counted and not named."""
    if problem is not None:
        _table(problem, rubric)
    progress = read_progress(Files(Path(locate(submission).root)).recall(STATE_FILE))
    with_hunts = problems_with_hunts()
    bugs = {bug.id: bug for bug in load_known_bugs()}
    for one in (p.id for p in rubric.problems if p.id in with_hunts and problem in (None, p.id)):
        known = [bug for bug in read_hunt_table(one).wrong if bug in bugs]
        found = {bug: took for bug, took in progress.get(one, {}).items() if bug in known and took}
        yield f"{one:30} {len(found):2d} of {len(known):2d} bugs found"
        for bug, took in found.items():
            ways = [f"named after {_counted(took[NAMED], 'look')}"] if NAMED in took else []
            ways += [f"exposed at try {took[EXPOSED]}"] if EXPOSED in took else []
            yield f"    {bugs[bug].diagnosis} ({', '.join(ways)})"


def _table(problem: str, rubric: Rubric) -> HuntTable:
    rubric.select([problem])  # a misspelt one is told what there is
    if problem in problems_with_hunts():
        return read_hunt_table(problem)
    if problem in _NO_TABLE:
        raise Refused(f"{problem} does not lend itself to a hunt: {_NO_TABLE[problem]}.")
    raise Refused(
        f"There is no hunt in {problem}, which has no known bugs. There are: {', '.join(problems_with_hunts())}."
    )


# --- one's own code ---------------------------------------------------------------------------------------------------


def _own_code(
    problem: str, submission: Path, table: HuntTable, passes: Callable[[], bool], anyway: bool, say: Say
) -> Own:
    """Run one's own code on the inputs of the table, behind the wall.

    Raises:
        Refused: it is not right there and does not pass its tests, and nobody said `anyway`.
    """
    say("Running your code on the inputs of the table ...")
    outputs, why_not = _outputs(submission, table)
    if not why_not and (number := first_wrong(table, outputs)) is not None:
        one = table.inputs[number]
        gives, right = visible(hunt_text.output(outputs[number])), hunt_text.output(one.right)
        why_not = f'for "{one.about}" your code gives {gives}, where {right} is right'
    if why_not and not anyway:
        if outputs:
            say(f"Running the tests of {problem} ...")
        if not outputs or not passes():
            raise Refused(
                f"{problem} is not known to pass: {why_not}. See to that first (python -m grader hint {problem}), or "
                f"hunt all the same: python -m grader hunt {problem} --anyway"
            )
    return known_right(table, outputs)


def _outputs(submission: Path, table: HuntTable) -> tuple[list[Any], str]:
    """One's own outputs, and why there are none, or ""."""
    layout = locate(submission)
    outputs: list[Any] = []
    with WalledSubmission(layout, isolation=choose("auto", layout)) as walled:
        for one in table.inputs:
            try:
                outputs.append(walled.perform(one.operation, one.arguments))
            except Todo:
                return [], "it is not written yet"
            except AdapterMissing as fault:
                return [], fault.message
            except NothingToAssess:
                outputs.append(UNKNOWN)
            except Fault as fault:
                outputs.append(Refusal(fault.message))
    return outputs, ""


# --- a round ----------------------------------------------------------------------------------------------------------


def _naming(game: Round, bugs: Mapping[str, KnownBug], own: Own, ask: Ask, say: Say) -> int:
    """Let the bug be named; gives how many looks it took, 0 for one that was given up."""
    letters = {chr(ord("a") + i): bug for i, bug in enumerate(game.choices)}
    _say_inputs(game.table, say)
    _say_choices(game, letters, bugs, say)
    while True:
        typed = _typed(ask, f"\nlook at an input (1 to {len(game.table.inputs)}), or name the bug ({_span(letters)}): ")
        if (number := _number(typed, game.table, say)) is not None:
            game = game.after_looking(number)
            _say_look(game, number, own, say)
        elif typed in letters:
            named = letters[typed]
            if named == game.bug:
                say(f"\nYes, it is {typed}.")
                _say_story(game, bugs, say)
                _say_worth(game, say)
                return max(1, len(game.looked))
            game = game.after_naming(named)
            _say_refuted(game, named, typed, say)
        elif typed == "l":
            _say_inputs(game.table, say)
            _say_choices(game, letters, bugs, say)
        elif typed == "g":
            say("")
            _say_story(game, bugs, say)
            return 0
        elif not _common(typed, say, NAMING_HELP):
            say(f'"{visible(typed)}" is neither an input nor a choice; ? explains what can be typed.')


def _exposing(game: Round, bugs: Mapping[str, KnownBug], own: Own, ask: Ask, say: Say) -> int:
    """Let an input be chosen in which the bug shows; gives how many tries it took, 0 for one that was given up."""
    _say_inputs(game.table, say)
    say(f"\nThe bug: {bugs[game.bug].diagnosis}")
    while True:
        typed = _typed(ask, f"\nin which input does it show (1 to {len(game.table.inputs)})? ")
        if (number := _number(typed, game.table, say)) is not None:
            game = game.after_looking(number)
            _say_look(game, number, own, say)
            if number in game.shows_in:
                say(f"\nYes, it shows there. You needed {_counted(len(game.looked), 'try', 'tries')}.")
                _say_where(game, say)
                return len(game.looked)
            say("It does not show there: what would the bug have to change for the output to differ?")
        elif typed == "l":
            _say_inputs(game.table, say)
        elif typed == "g":
            say("")
            _say_where(game, say)
            return 0
        elif not _common(typed, say, EXPOSING_HELP):
            say(f'"{visible(typed)}" is no input; ? explains what can be typed.')


def _typed(ask: Ask, prompt: str) -> str:
    try:
        return ask(prompt).strip().lower()
    except EOFError:
        raise _Stopped from None


def _number(typed: str, table: HuntTable, say: Say) -> int | None:
    """The number of an input, from 0, if a number was typed; one that is out of range is told and asked for again."""
    if not (typed.isascii() and typed.isdigit()):
        return None
    number = int(typed[:6]) - 1
    if 0 <= number < len(table.inputs):
        return number
    say(f"There are inputs 1 to {len(table.inputs)}.")
    return None


def _common(typed: str, say: Say, explanation: str) -> bool:
    """What can be typed at any time; whether it was that."""
    if typed in ("q", "quit", "exit"):
        raise _Stopped
    if typed in ("?", "h", "help"):
        say(explanation)
    elif typed and not (typed.isascii() and typed.isdigit()):
        return False
    return True


# --- words ------------------------------------------------------------------------------------------------------------


def _say_inputs(table: HuntTable, say: Say) -> None:
    say("\nInputs:")
    for number, one in enumerate(table.inputs, start=1):
        say(f"  {number:2d}  {one.about}")


def _say_choices(game: Round, letters: Mapping[str, str], bugs: Mapping[str, KnownBug], say: Say) -> None:
    say("\nWhich one is it?")
    for letter, bug in letters.items():
        say(f"  {letter}  {'(no) ' * (bug in game.refuted)}{bugs[bug].diagnosis}")


def _say_look(game: Round, number: int, own: Own, say: Say) -> None:
    one = game.table.inputs[number]
    yours = own[number]
    label, right = ("right is ", one.right) if yours is UNKNOWN else ("your code", yours)
    say(f"\n  input {number + 1}: {one.about}")
    say(f"  {hunt_text.call(one.operation, one.arguments)}")
    say(f"    the bug    {hunt_text.output(game.table.output(game.bug, number))}")
    say(f"    {label}  {visible(hunt_text.output(right))}")
    say("    different" if number in game.shows_in else "    the same")


def _say_refuted(game: Round, named: str, letter: str, say: Say) -> None:
    number = game.speaks_against(named)
    if number is None:
        say(f"\nNo, it is not {letter}; nothing that you have looked at speaks against it yet. Look at more inputs.")
        return
    would = hunt_text.output(game.table.output(named, number))
    say(f"\nNo. Input {number + 1} speaks against {letter}: there, it would give\n    {would}")


def _say_story(game: Round, bugs: Mapping[str, KnownBug], say: Say) -> None:
    """What it was, where it shows, and how one finds such a bug."""
    bug = bugs[game.bug]
    say(f"  {bug.diagnosis}")
    say(f"  A check that finds it: {bug.hint}")
    _say_where(game, say)


def _say_worth(game: Round, say: Say) -> None:
    """How many looks it took, whether they settled it, and how few are enough."""
    wrong = f", and {_counted(len(game.refuted), 'wrong name')}" if game.refuted else ""
    say(f"  You needed {_counted(len(game.looked), 'look')}{wrong}.")
    if game.undecided:
        say("  It was a guess: what you have looked at would fit another choice as well.")
    if fewest := game.fewest_looks():
        numbers = " and ".join(str(number + 1) for number in fewest)
        alone = "Input {} alone" if len(fewest) == 1 else "Inputs {} together"
        say(f"  {alone.format(numbers)} would have told it from the other choices.")


def _say_where(game: Round, say: Say) -> None:
    numbers = game.shows_in
    simplest = game.table.inputs[numbers[0]].about
    shown = _ranges([number + 1 for number in numbers])
    say(f'  It shows in {len(numbers)} of {len(game.table.inputs)} inputs ({shown}); the simplest is "{simplest}".')


def _ranges(numbers: list[int]) -> str:
    """`2, 4 to 9, 11` for ascending numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _counted(count: int, what: str, plural: str = "") -> str:
    return f"{count} {what if count == 1 else plural or what + 's'}"


def _span(letters: Iterable[str]) -> str:
    first, *rest = letters
    return f"{first} to {rest[-1]}" if rest else first
