"""Judge-owned clocks: how fast a piece of code is, beside the reference and beside what the machine allows.

Imports `examination` and below, and `kernels`; nothing here is imported by the tests or by a submission. Start with
`contestants.py`, which says how a turn is timed and what keeps it honest; `race.py`, `tensor_races.py` and
`text_races.py` say what is timed, `paired_turns.py` in which order, `statistics.py` what follows from the times;
`racing.py` puts them together, and `judge.py` is the process in which all that happens, as `holding.py` says.

`measure.py` times the Triton kernels themselves (what beside what: `kernel_benchmarks.py`), and the method.
"""
