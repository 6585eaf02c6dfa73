"""What a problem is worth and what was earned: the rubric, outcomes of tests, points, races.

Imports the root's `errors` and `escape` alone; neither torch nor pytest. Start reading at `outcome`, then `points`.
"""
