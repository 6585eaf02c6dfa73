"""The grader: runs the assignment's tests against a submission and turns their outcomes into a report.

Start at `__main__.py` (the command line), then `runner.py` (who runs the tests), `examiner.py` (what happens to
one test) and `wall.py` (how a student's function is called without trusting it). Nothing here is imported by a
submission; `cs336_basics/` and `adapters.py` know nothing of this package.
"""
