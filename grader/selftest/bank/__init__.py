"""Wrong solutions as students write them, by somebody who had not seen the kit's own catalogue of mistakes.

Each file is a student's module with one or two faults, and ends in the adapters that connect it; a submission is the
reference with these adapters replaced. Every fault shows on inputs that the handout promises. `bank.toml` says what is
wrong and in which lines; start there. Nothing imports these files but the tool that measures what the grader makes of
them.
"""
