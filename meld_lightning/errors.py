"""The exceptions that users are meant to see: the command line prints each as a single line, without a traceback."""


class UserError(Exception):
    """Says in one line what is wrong, where, what was expected and what to do."""


class NotPrepared(UserError):  # noqa: N818 -- says what is the matter, as Stopped does
    """What `meld-lightning prepare` makes is not there yet (as against: there, and wrong)."""


class Stopped(Exception):  # noqa: N818 -- nothing went wrong
    """The user or the machine asked a run to end early; says where it stands. The same command goes on from there."""
