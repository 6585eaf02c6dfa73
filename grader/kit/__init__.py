"""The kit itself: where it lies, what students get of it, and what a person downloads for it.

Imports `grader.errors` alone; `paths` is open to every room but `worker`. Start reading at `paths`.
"""
