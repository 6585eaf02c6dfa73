"""Correct implementations written differently from the reference; every test must pass on every one of them.

One module per problem with a tuple `VARIANTS` of `grader.misconceptions.catalogue.Variant`.
"""
