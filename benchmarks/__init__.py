"""Speed and memory of the kit, as ratios taken in one run. `python -m benchmarks` prints the table.

Not tests: nothing here passes or fails, because a busy machine would decide it.
"""
