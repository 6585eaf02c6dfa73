"""Cases: inputs with the output that is right for them, drawn from a seed.

`case.py` says what a case is and how an output is compared with it, `store.py` reads the stored ones in
`tests/fixtures/cases/` (seed 0) and, for staff who have the reference, draws fresh ones; `generators/` holds one
generator per problem. Imports `worker.wire` and `scoring.outcome` alone. Tests name the cases they want with
`@pytest.mark.cases(...)`.
"""
