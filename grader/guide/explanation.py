"""`python -m grader explain rope`: what a problem asks, in the handout's words, and how it is tested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from ..kit.paths import KIT, TESTS
from ..scoring.outcome import Tier
from ..scoring.rubric import Problem, ProblemKind, Rubric
from .claim_list import ListedClaim, claims_of

HANDOUT = KIT / "HANDOUT.md"

_TIERS = {
    Tier.CORE: "what the assignment plainly asks",
    Tier.EDGE: "what its text implies, or plain safety asks",
    Tier.ADVICE: "goes further; worth no points",
}


@dataclass(frozen=True)
class Explained:
    """What there is to say of a problem.

    text: the handout's section on it, in Markdown; "" where there is none; needed_by: problems that build on it.
    """

    problem: Problem
    text: str
    claims: tuple[ListedClaim, ...]
    needed_by: tuple[str, ...]


def explain(problem: Problem, rubric: Rubric, handout: str) -> Explained:
    """Put together what the rubric, the handout and the tests say of a problem.

    Args:
        handout: the text of HANDOUT.md.
    """
    needed_by = tuple(other.id for other in rubric.problems if problem.id in other.needs)
    return Explained(problem, section_of(problem.id, handout), claims_of(problem), needed_by)


def section_of(problem: str, handout: str) -> str:
    """The section of the handout with this problem's id in its heading, without the heading; "" if there is none."""
    parts = re.split(rf"^### `{re.escape(problem)}`.*$", handout, maxsplit=1, flags=re.MULTILINE)
    if len(parts) == 1:
        return ""
    return re.split(r"^#{1,3} ", parts[1], maxsplit=1, flags=re.MULTILINE)[0].strip()


def render(explanation: Explained) -> RenderableType:
    """For a terminal: the text first, then how the problem is tested and what it has to do with others."""
    problem = explanation.problem
    shown: list[RenderableType] = [
        Text.assemble((problem.title, "bold"), f"  {problem.id}, {problem.points:g} points"),
        Text(),
    ]
    if explanation.text:
        shown += [Markdown(_readable(explanation.text)), Text()]
    shown += _how_it_is_tested(explanation)
    return Group(*shown, *_beside(explanation))


def _how_it_is_tested(explanation: Explained) -> Iterator[RenderableType]:
    problem = explanation.problem
    if problem.kind is ProblemKind.MANUAL:
        yield Text("A person grades it.", style="bold")
    elif problem.kind is ProblemKind.PERFORMANCE:
        yield Text("It is a race against the reference; first the code must be right.", style="bold")
    if not explanation.claims:
        return
    yield Text("How it is tested", style="bold")
    for tier, meaning in _TIERS.items():
        claims = [claim for claim in explanation.claims if claim.tier is tier]
        if not claims:
            continue
        table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for claim in claims:
            said = Text(claim.title)
            if claim.asked:
                said.append(f"\n{claim.asked}", style="dim")
            table.add_row(f"{claim.points:.2f}" if claim.points else "", said)
        yield Text(f"\n{tier}: {meaning}", style="cyan")
        yield table
    yield Text(
        "\nA claim earns its points when all of its cases pass. Beside the stored inputs, a grade draws fresh ones.",
        style="dim",
    )


def _beside(explanation: Explained) -> Iterator[RenderableType]:
    problem = explanation.problem
    if problem.needs:
        yield Text(f"It builds on {', '.join(problem.needs)}.")
    if explanation.needed_by:
        yield Text(f"On it build {', '.join(explanation.needed_by)}.")
    yield Text()
    if (TESTS / f"test_{problem.id}.py").is_file():
        yield Text(f"try it:  uv run pytest tests/test_{problem.id}.py", style="dim")
    yield Text(f"a hint:  python -m grader hint {problem.id}", style="dim")


_SYMBOLS = {
    r"\alpha": "α", r"\beta": "β", r"\epsilon": "ε", r"\theta": "θ", r"\Theta": "Θ", r"\lambda": "λ", r"\pi": "π",
    r"\sigma": "σ", r"\tau": "τ", r"\ell": "ℓ", r"\sum": "Σ", r"\top": "ᵀ", r"\odot": "⊙", r"\cdot": "·", 
    r"\times": "×", r"\lt": "<", r"\gt": ">", r"\le": "≤", r"\approx": "≈", r"\infty": "∞", r"\leftarrow": "←",
    r"\ldots": "…", r"\lVert": "‖", r"\rVert": "‖", r"\left": "", r"\right": "", r"\quad": "  ", r"\qquad": "    ",
}  # fmt: skip
"""The commands of the handout's formulas that are not simply left as words, such as log, cos and max."""


def _readable(markdown: str) -> str:
    """Markdown whose formulas a terminal can show: displayed ones as blocks, the commonest commands as symbols."""
    blocks = re.sub(r"\$\$\n?(.*?)\n?\$\$", lambda m: f"```text\n{_plain(m[1])}\n```", markdown, flags=re.DOTALL)
    return re.sub(r"(?<!\$)\$([^$\n]+(?:\n[^$\n]+)?)\$", lambda m: f"*{_plain(m[1])}*", blocks)


def _plain(formula: str) -> str:
    """A formula in LaTeX, as far as the handout uses it, as text."""
    text = re.sub(r"\\mathrm\{([^{}]*)\}", r"\1", formula)
    text = re.sub(r"([_^])\{\\top\}", r"ᵀ", text)
    for _ in range(3):  # nested ones from the inside
        text = re.sub(r"\\sqrt\{([^{}]*)\}", r"√(\1)", text)
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"(\1) / (\2)", text)
        text = re.sub(r"([_^])\{([^{}]*)\}", r"\1(\2)", text)
    for command, symbol in _SYMBOLS.items():
        text = re.sub(re.escape(command) + r"(?![A-Za-z])", symbol, text)
    text = re.sub(r"\\([A-Za-z]+)", r"\1", text)
    return re.sub(r"\n\s*\n", "\n", text)
