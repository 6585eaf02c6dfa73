"""Hostile submissions, one file each, and the proof that they gain nothing. `make attacks` prints the table.

Start with any file in the folders below, one folder for each family. A file is the adapters module of a submission
whose other files are the reference under the name `honest`; its docstring says what it tries and what must happen:

    The first line says what the code tries.

    Stopped from: landlock      the weakest level of isolation that stops it (default: process)
    Problem: train_bpe          what it attacks (default: softmax); the bystander is learning_rate_schedule. One
                                that takes long for each question takes a problem with few tests
    Earns: everything           "nothing" (the default), or "everything": its answers are right, its manners are bad
    Bystander: nothing          what the other problem earns: "everything" (the default), "nothing", or "any"
    Limits: disk_mib=64         limits of the wall that differ, so that little is enough to break them
    Call limit: 1               seconds for a call of the attacked problem

Those in `timing/` attack the judge's clock instead of tests; `test_timing.py` runs them.

An attack that would like to read, reach or keep something gives the right answers exactly when it succeeds, so that
points are the proof. `FILES`, when there is one, names further files of the submission. Every attack is bounded: a few
dozen processes, a few hundred megabytes, a marked name for whatever it leaves behind.
"""
