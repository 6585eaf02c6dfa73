"""All formulas, and the changes that are searched for each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from .anywhere import changes_by_sizes, changes_of_arguments, changes_of_output
from .attention_formulas import ATTENTIONS
from .change import Change, Formulas
from .layer_formulas import LAYERS
from .model_formulas import MODELS

FORMULAS = Formulas((*LAYERS, *ATTENTIONS, *MODELS))


@functools.cache
def space_of(operation: str) -> Sequence[Change]:
    """Every single change that may explain an operation's output, the likely ones first."""
    formula = FORMULAS.of[operation]
    own = [*formula.changes]
    below = [
        replace(change, words=_within(FORMULAS.of[part].title, change.words))
        for part in FORMULAS.below(operation)
        if FORMULAS.of[part].changes is not formula.changes
        for change in FORMULAS.of[part].changes
    ]
    return (*own, *changes_of_arguments(formula), *changes_of_output(), *below, *changes_by_sizes(formula))


def _within(title: str, words: str) -> str:
    """The words of a change where the formula is but a part of another."""
    return words if title in words else f"in {title}, {words}"
