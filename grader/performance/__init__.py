"""Judge-owned clocks: how fast a piece of code is, beside what the machine allows and what others reach.

Nothing here is imported by the tests or by a submission. Start with `measure.py`, which
times the Triton kernels.
"""
