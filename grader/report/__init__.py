"""The report: one frozen result object, and the renderings of it.

`model.py` is the object and its JSON form: start there. `terminal.py` and `html.py` draw it and read nothing else.
Imports `scoring`, `rules`, `diagnosis`, `submission` and `kit`; neither torch nor pytest.
"""
