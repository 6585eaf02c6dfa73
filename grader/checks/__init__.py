"""Judgements that several tests share and that no pair of expected and given values expresses.

Imports `cases` and `submission`. Start reading at the check that your test names.
"""
