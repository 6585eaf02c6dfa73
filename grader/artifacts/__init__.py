"""What experiments leave behind, read as data: run folders with their configuration, curve, weights and vocabulary.

Nothing in here runs or unpickles anything of a submission, and nothing believes it: every file is bounded, every number
is checked before it is used. `vocabulary.py` reads tokenizers, `run.py` a run folder; `consistency.py` holds it to its
own configuration, `measurement.py` to what the reference model measures, where there is one. Imports `cases` and
`submission`. The tests of the experiments
are written with these.
"""
