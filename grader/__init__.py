"""The grader: runs the tests in `tests/` against a submission, and turns what comes of them into a report.

Start at `__main__.py` (the command line), then `grading.py` (a whole grade), `examination/runner.py` (who runs the
tests), `examination/session.py` (what happens to one test) and `wall/walled.py` (how a student's function is called
without trusting it). Which room may import which is a table in `selftest/test_architecture.py`.
"""
