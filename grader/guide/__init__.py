"""What a person asks beside a grade: what a problem wants, whether this machine is ready, a bug to hunt.

Imports `scoring`, `wall`, `submission`, `kit` and what cases are compared with. Start reading at `explanation`.
"""
