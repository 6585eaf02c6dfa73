"""Where an algorithm leaves the right path, and which other algorithm walks the student's: one module for each.

Each holds a plain form of its algorithm whose steps can be done in other *ways*. A way, or two together, is said when it
gives the student's wrong answers exactly, and nothing else tried does. Imports what `diagnosis` may; nothing of it
needs the reference, so it works in a student's copy. Start reading at `ways.py`, then `gradient_scaling.py`.
"""
