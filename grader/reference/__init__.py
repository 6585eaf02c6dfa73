"""The staff solution: module for module what `cs336_basics/` is, which `grader.kit.stubs` generates from it.

It imports nothing from `grader` outside this folder, and no student gets it. Public docstrings are the
assignment's specification and are handed out; whatever starts with an underscore stays here. Start at
`transformer.py`; for byte-pair encoding at `_simple_bpe.py`, which is there to be read, before `bpe.py`, which is fast.
"""
