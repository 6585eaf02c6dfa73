"""Staff with a class: many submissions graded side by side, and what comes of them together.

`class_run.py` is a batch as it is typed: start there. `collection.py` says who handed in what, `batch.py` hands it
out, `unit.py` grades one submission in a process of its own, and everything else reads what that left in
`OUT/reports/<id>/`. `leaderboard_run.py` does the same for the weights of a class. `commands.py` is what staff type.
Staff only. Imports `grading` and what lies below it; nothing imports it but the command line.
"""
