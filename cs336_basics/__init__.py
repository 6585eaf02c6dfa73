"""Your language model: every function and class in here waits to be written by you.

A docstring says what to compute and ends with the id of its problem; `pytest tests/test_<problem>.py` checks
what you wrote. The tests reach it through `adapters.py`, one folder up, which is ready as long as you keep
the names of this skeleton.
"""
