"""The report in the formats of other systems: Gradescope, JUnit, GitHub Actions, Classroom 50, CSV.

Each module is one function from a report's JSON form (`model.Report.as_json`, or a file that `--json` wrote) to what
its consumer reads. All of them take what they say of a problem from `account.py`: start there. Part of the room
`report`.
"""
