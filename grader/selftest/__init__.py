"""The kit's own tests: they prove that the reference passes, that known bugs fail, and that the wall holds.

`attacks/` are hostile submissions, `honest/` right code that must never fail, `kernels/` the tests of the Triton
kernels. May import every room. Start at `layouts.py`, which builds submissions, and `test_architecture.py`, the table
of rooms.
"""
