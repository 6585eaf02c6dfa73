"""What a student sees while working: tests that run when a file is saved, and how far the assignment is.

Imports `grading` and what lies below it, but for `performance`. Start reading at `watch`; what decides is in `work`,
`milestones` and `screen`, which are pure.
"""
