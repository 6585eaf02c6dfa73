"""The wall between the judge and a submission: its process, what that may reach, and how long a call may take.

Imports `submission`, `worker` and `cases.compare`. Start reading at `walled`, then `worker_process` and `isolation`.
"""
