"""Hypotheses: small changes of a formula, searched for the one that gives the submission's wrong output.

Formulas are written here once more, step by step and in float64, so that a step can be changed; a student's copy of the
kit has them, too. Imports `cases` and `submission`. Start at `change`, then `search`; `wrong_formula` is the source
that `diagnosis.clues` asks.
"""
