"""Tests are run against a submission: processes of the judge's own, pytest inside them, and what they report.

Imports `wall`, `diagnosis`, `artifacts`, `checks`, `cases`, `submission` and `scoring`. Start reading at `runner`.
"""
