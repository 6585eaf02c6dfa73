"""A submission's Python files, read as text: nothing of it is run, and it may be written for any Python."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from ..escape import visible
from .faults import Fault
from .files import Files

_MOST_FILES, _DEPTH = 200, 6
_FILE_BYTES, _ALL_BYTES = 1 << 20, 8 << 20
_NOT_THEIRS = re.compile(r"^(\.|__pycache__$|site-packages$|node_modules$|venv$)")
_OF_A_KIT = ("grader/", "tests/", "benchmarks/")
"""What people have from the kit, or to try their code with."""

_GOES_ON = "#)]}"
"""How a line begins that may stand at the left of a body without ending it."""

_FUNCTION = re.compile(r"^[ \t]*(?:async )?def[ \t]")
_DEFINED = re.compile(r"^(?:def|class)[ \t]+(?P<name>\w+)")
_DOES_SOMETHING = re.compile(r"^[ \t]+(?:return|yield|self\.\w+[^=\n]*=|for|while)\b", re.MULTILINE)

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "train_bpe": ("trainbpe", "bpetrainer"),
    "tokenizer": ("tokenizer", "bpetokenizer"),
    "linear": ("linear",),
    "embedding": ("embedding",),
    "rmsnorm": ("rmsnorm",),
    "positionwise_feedforward": ("swiglu", "positionwisefeedforward", "feedforward"),
    "rope": ("rotarypositionalembedding", "rope", "rotaryembedding"),
    "softmax": ("softmax",),
    "scaled_dot_product_attention": ("scaleddotproductattention", "sdpa"),
    "multihead_self_attention": ("multiheadselfattention", "causalmultiheadselfattention", "multiheadattention"),
    "transformer_block": ("transformerblock",),
    "transformer_lm": ("transformerlm", "transformer"),
    "cross_entropy": ("crossentropy", "crossentropyloss"),
    "adamw": ("adamw",),
    "learning_rate_schedule": ("getlrcosineschedule", "lrcosineschedule", "cosineschedule"),
    "gradient_clipping": ("gradientclipping", "clipgradients", "clipgradnorm"),
    "data_loading": ("getbatch", "dataloading"),
    "checkpointing": ("savecheckpoint",),
}
"""{problem: what people call the code for it, in small letters and without underscores}"""


def python_files(files: Files) -> list[str]:
    """The paths of a submission's Python files, those in the upper folders first, as far as they can be looked at."""
    found: list[str] = []
    folders = [("", 0)]
    while folders and len(found) < _MOST_FILES:
        folder, depth = folders.pop(0)
        try:
            names = files.names(folder) if folder else sorted(os.listdir(files.root))
        except (Fault, OSError):  # no folder, or none to look into
            continue
        for name in names:
            path = f"{folder}/{name}" if folder else name
            if name.endswith(".py"):
                found.append(path)
            elif "." not in name and depth < _DEPTH and not _NOT_THEIRS.match(name):
                folders.append((path, depth + 1))
    return found[:_MOST_FILES]


def source_lines(files: Files) -> Iterator[tuple[str, list[str]]]:
    """Each of these files with its lines; those that cannot be read, and what is too much, are left out."""
    left = _ALL_BYTES
    for path in python_files(files):
        try:
            text = files.read_text(path, _FILE_BYTES)
        except Fault:
            continue
        if (left := left - len(text)) < 0:
            return
        yield path, text.split("\n")


def not_connected(files: Files, adapters: str, problems: Iterable[str]) -> dict[str, str]:
    """{problem: where the code for it seems to be}, for problems whose adapters say that nothing is written.

    Args:
        adapters: the file with the adapters, which is no such place; nor are tests.
    """
    wanted = {name: problem for problem in problems for name in USUAL_NAMES.get(problem, ())}
    found: dict[str, str] = {}
    if not wanted:
        return found
    for path, lines in source_lines(files):
        if path == adapters or _is_beside(path):
            continue
        for start, line in enumerate(lines):
            name = defined["name"] if (defined := _DEFINED.match(line)) else ""
            problem = wanted.get(name.replace("_", "").lower())
            if problem and problem not in found and name[0] != "_" and _is_written(lines[start : end_of(lines, start)]):
                found[problem] = visible(f"{path}:{start + 1} has {name}")
    return found


def share_written(files: Files, adapters: str) -> float:
    """About which share of its functions a submission has written, from 0 to 1, by how many say that they are not.

    Args:
        adapters: the file with the adapters, which only call the others, where there are others.
    """
    behind = in_adapters = unwritten = 0
    for path, lines in source_lines(files):
        if path != adapters and _is_beside(path):
            continue
        defined = sum(_FUNCTION.match(line) is not None for line in lines)
        in_adapters += defined if path == adapters else 0
        behind += defined if path != adapters else 0
        unwritten += sum("raise NotImplementedError" in line for line in lines)
    functions = behind or in_adapters
    return max(0.0, 1 - unwritten / functions) if functions else 1.0


def _is_beside(path: str) -> bool:
    """Whether a file is nothing that a student writes as a solution."""
    return path.startswith(_OF_A_KIT) or path.rpartition("/")[2].startswith("test")


def _is_written(definition: list[str]) -> bool:
    """Whether a function or class does something, and none of it is a stub."""
    text = "\n".join(definition)
    return "NotImplementedError" not in text and _DOES_SOMETHING.search(text) is not None


def end_of(lines: list[str], start: int) -> int:
    """The index behind the function or class that begins at an index, told by how far lines stand in."""
    depth = depth_of(lines[start])
    for i, line in enumerate(lines[start + 1 :], start + 1):
        if line.strip() and depth_of(line) <= depth and line.lstrip()[0] not in _GOES_ON:
            return i
    return len(lines)


def depth_of(line: str) -> int:
    """How many characters a line stands in."""
    return len(line) - len(line.lstrip())
