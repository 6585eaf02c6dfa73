"""The student's side of the wall: everything that runs in one process with a submission's code.

May be imported by the judge (for the wire format and to run a submission in-process), but imports nothing from
the rest of `grader` itself: in the worker process only this folder exists. Start at `serve.py`.
"""
