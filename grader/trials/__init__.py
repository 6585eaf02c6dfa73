"""Staff: known bugs are planted into the reference, tried, and leave the evidence that diagnosis compares with.

Imports `examination` and below, `misconceptions` and `reference`. Start reading at `trial`.
"""
