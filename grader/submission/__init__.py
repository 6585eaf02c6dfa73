"""What somebody handed in: where its code lies, how its files are read, and what tests may ask of it.

Imports `scoring` and `worker`. Start reading at `interface`, which tests talk to, and `locate`, which finds the code.
"""
