"""Known bugs as data: wrong variants of one piece of the reference, each with a diagnosis and a hint.

`catalogue.py` says what a misconception is and collects them; there is one module per problem with a tuple
`MISCONCEPTIONS`. Imports `reference` alone; `trials` plants them. They prove the tests (each must fail its own
problem's), and they put a name to a wrong output.
"""
