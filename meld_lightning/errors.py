"""The exceptions that users are meant to see: commands print each as one line, without a
traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Says in one line what is wrong, where, what was expected and what to do."""


class NotPrepared(UserError):  # noqa: N818 -- named by what is the case
    """What `meld-lightning prepare` makes does not exist yet, rather than being damaged."""


class OutOfMemory(UserError):  # noqa: N818 -- as above
    """A run ran out of memory and has doubled the microbatches in its folder; whoever started it
    tries again."""


class Stopped(Exception):  # noqa: N818 -- nothing went wrong
    """The user or the machine asked for a stop; says how far the work got. The same command
    resumes it."""


class Preempted(Stopped):
    """The cluster needs the machine back, or the time limit is near: the job asks to be
    requeued."""


def near_miss(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """` (did you mean 'x'?)` where something close to `word` is known, whatever its case; else the
    empty string. cutoff: the least similarity, from 0 to 1 (difflib's ratio)."""
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=cutoff)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a torch allocator, on any device, could not provide the memory asked for."""
    import torch  # not at the top: most commands start without it

    others = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in others)
    )
