"""What a person asks beside a grade: what a problem wants, whether this machine is ready.

Imports `scoring`, `wall`, `submission` and `kit`. Start reading at `explanation`.
"""
