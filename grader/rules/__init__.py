"""Rules that no single test can hold: what must be written from scratch, and what nobody may tamper with.

Imports `scoring`, `submission` and `worker`. Start reading at `from_scratch`; `integrity` speaks about attacks.
"""
