"""What can be wrong with a submission beyond an exception of its own."""


class NotProvided(Exception):
    """The submission's adapters module has no such adapter."""


class NothingSeen(Exception):
    """What was asked about does not show in this submission, which speaks neither for nor against it."""


class ContractBroken(Exception):
    """Student code ran to its end but broke a promise that its result alone does not show."""
