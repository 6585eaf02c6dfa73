"""The report: one frozen result object, and the renderings of it.

`model.py` is the object and its JSON form; `terminal.py` draws it for a terminal. A rendering reads the report and
nothing else; none of them imports torch or pytest.
"""
