"""The attacks as data: what each one's docstring promises, and how it becomes a submission."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from grader.cases.store import stored_cases
from grader.kit.paths import KIT, REFERENCE
from grader.wall.isolation import Level

HERE = Path(__file__).resolve().parent
MARK = "grader-attack-was-here"
"""The name of every file that an attack tries to leave somewhere."""

_TIMED = "timing"
_KEYS = {"Stopped from", "Problem", "Earns", "Bystander", "Limits", "Call limit", "Noticed"}


@dataclass(frozen=True)
class Attack:
    """One hostile submission.

    tries: what it tries, in a sentence; stopped_from: the weakest level that must stop it; earns, bystander: what its
    problem and the other one must earn, "everything", "nothing" or "any"; noticed: kinds of suspicions that must be
    raised; limits: of the wall, where they differ.
    """

    family: str
    name: str
    tries: str
    stopped_from: Level
    problem: str
    earns: str
    bystander: str
    noticed: tuple[str, ...]
    limits: dict[str, float]
    call_limit_s: float
    source: Path

    @property
    def id(self) -> str:
        return f"{self.family}/{self.name}"

    def is_claimed_at(self, level: Level) -> bool:
        """Whether this level promises to stop the attack."""
        return list(Level).index(level) <= list(Level).index(self.stopped_from)

    def write(self, folder: Path, port: int) -> Path:
        """Write the submission; `port` is one on which somebody listens on this machine."""
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REFERENCE, folder / "honest", ignore=ignored)
        shutil.copy(self.source, folder / "adapters.py")
        (folder / "port.txt").write_text(str(port), "utf-8")
        (folder / "stored.json").write_text(json.dumps(sorted(_digests_of_stored(self.problem))), "utf-8")
        for name, content in _files(self.source).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("-> "):
                target.symlink_to(content.removeprefix("-> ").replace("{kit}", str(KIT)))
            else:
                target.write_text(content, "utf-8")
        return folder


def load_attacks(timed: bool = False) -> list[Attack]:
    """The attacks, by family and name: those on tests, or those on the judge's clock, which no test hears of."""
    return [_read(path) for path in sorted(HERE.glob("*/*.py")) if (path.parent.name == _TIMED) == timed]


def _read(path: Path) -> Attack:
    documentation = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    tries, _, rest = documentation.partition("\n\n")
    fields = dict(re.findall(r"^([A-Z][a-z ]+): (.+)$", rest, re.MULTILINE))
    if not tries or set(fields) - _KEYS:
        raise ValueError(f"{path}: the docstring lacks a first line or has unknown keys {set(fields) - _KEYS}")
    limits = dict(pair.split("=") for pair in fields.get("Limits", "").split())
    return Attack(
        family=path.parent.name,
        name=path.stem,
        tries=" ".join(tries.split()),
        stopped_from=Level(fields.get("Stopped from", "process")),
        problem=fields.get("Problem", "softmax"),
        earns=fields.get("Earns", "nothing"),
        bystander=fields.get("Bystander", "everything"),
        noticed=tuple(fields.get("Noticed", "").split()),
        limits={name: int(value) for name, value in limits.items()},
        call_limit_s=float(fields.get("Call limit", "10")),
        source=path,
    )


@functools.cache
def _digests_of_stored(problem: str) -> set[str]:
    """Digests of the tensors in the stored cases of a problem, which anybody who has the kit can take."""
    pending: list[Any] = [case.inputs for case in stored_cases(problem)]
    digests = set()
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, torch.Tensor):
            digests.add(hashlib.sha256(value.double().numpy().tobytes()).hexdigest())
    return digests


def _files(path: Path) -> dict[str, str]:
    """The literal `FILES` of an attack."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "FILES":
            return ast.literal_eval(node.value)
    return {}
