"""The exceptions that users are meant to see: commands print each as one line, without a
traceback."""

import difflib
import re
from collections.abc import Iterable, Sequence

LINE_ENDS = re.compile(r"\s*[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]\s*")
# what would steer a terminal: control characters, and those that turn the direction of text
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class UserError(Exception):
    """Says in one line what is wrong, where, what was expected and what to do.

    details: lines below it, such as one for each job that failed.

    What a message quotes may come from anybody: line ends in it become blanks, and control
    characters escapes such as \\x1b.
    """

    def __init__(self, message: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)

    def __str__(self) -> str:
        return "\n".join(map(_one_line, (super().__str__(), *self.details)))


def _one_line(text: str) -> str:
    text = LINE_ENDS.sub(" ", text)
    return CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


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


def first_line(error: BaseException) -> str:
    """The first line of what an error says; the name of its class where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


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
