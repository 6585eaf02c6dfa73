"""The two ways in which a command can end without doing its work. Both carry a sentence, never a traceback."""


class Refused(Exception):
    """What was asked for makes no sense or is not there; a person can mend it (exit code 2)."""


class Failed(Exception):
    """The grader itself is at fault (exit code 3)."""
