"""Which bug is it: known bugs and their fingerprints, and whether a failure comes from what the code builds on.

Imports `cases` and `submission`, and the catalogue of `misconceptions` where there is one. Start at `known_bugs`.
"""
