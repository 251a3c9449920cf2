"""The exceptions that users are meant to see: the command line prints each as a single line,
without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Says in one line what is wrong, where, what was expected and what to do."""


class NotPrepared(UserError):  # noqa: N818 -- says what is the matter, as Stopped does
    """What `meld-lightning prepare` makes is not there yet (as against: there, and wrong)."""


class OutOfMemory(UserError):  # noqa: N818 -- as above
    """A run did not fit; its folder says that the next try takes smaller pieces, and whoever
    started it tries again."""


class Stopped(Exception):  # noqa: N818 -- nothing went wrong
    """The user or the machine asked a run to end early; says where it stands. The same command goes
    on from there."""


class Preempted(Stopped):
    """The cluster wants the machine back, or the time limit is near: the job asks to be queued
    again."""


def near_miss(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where something close to `word` is known, whatever its case; else the
    empty string."""
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.5)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a torch allocator, on any device, could not provide the memory asked for."""
    import torch  # not at the top: most commands start without it

    others = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in others)
    )
