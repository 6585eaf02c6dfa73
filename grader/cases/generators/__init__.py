"""One generator per problem: `generate(draw)` yields that problem's cases with inputs from the drawing's seed.

Staff only: with these and the reference, a grade uses inputs that nobody has seen before.
"""
