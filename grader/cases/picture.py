"""A picture of where a tensor is wrong, in characters: what a list of indices does not show at a glance."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

_ROWS, _COLUMNS = 8, 32
"""No picture is larger: a character then stands for several values."""

_TELLING = 1 / 8
"""Where less of a picture agrees, "17 of 18 values differ" has said it all."""

_RIGHT, _PARTLY, _WRONG = ".", "+", "#"


def picture(wrong: Tensor, index: Sequence[int]) -> list[str]:
    """Lines that show where the matrix around `index` is wrong; none where that is no matrix, or hardly right anywhere.

    Args:
        wrong: bool, [... rows columns]; index: of one wrong value, which says which matrix of several is shown.
    """
    if wrong.ndim < 2:
        return []
    matrix = wrong[tuple(index[:-2])]
    rows, columns = matrix.shape
    if rows < 2 or columns < 2:
        return []
    down, across = _bounds(rows, _ROWS), _bounds(columns, _COLUMNS)
    drawn = ["".join(_mark(matrix[top:end, left:right]) for left, right in across) for top, end in down]
    if sum(line.count(_RIGHT) for line in drawn) < _TELLING * sum(map(len, drawn)):
        return []
    which = f" in [{', '.join([*map(str, index[:-2]), ':', ':'])}]" * (wrong.ndim > 2)
    meaning = f"{_WRONG} differs, {_RIGHT} agrees"
    if len(down) < rows or len(across) < columns:
        meaning += f", {_PARTLY} partly; a character is up to {-(-rows // len(down))} by {-(-columns // len(across))}"
    return [f"where{which}, {rows} by {columns} ({meaning}):", *(f"  {line}" for line in drawn)]


def _bounds(size: int, most: int) -> list[tuple[int, int]]:
    """Beginning and end of each of at most `most` parts of nearly one size."""
    parts = min(size, most)
    return [(i * size // parts, (i + 1) * size // parts) for i in range(parts)]


def _mark(part: Tensor) -> str:
    if bool(part.all()):
        return _WRONG
    return _PARTLY if bool(part.any()) else _RIGHT
