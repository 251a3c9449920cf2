"""Exit statuses: turns every expected failure into one line on stderr and a status.

0 is done, 1 refused or failed, 75 asks to be queued again, 130 was stopped; with 141 the reader of
the output closed the pipe. Used by the console script and by the processes of a job; Slurm and
shells read the statuses. Imports nothing heavy.
"""

import errno
import os
import sys
from collections.abc import Callable

from meld_lightning.errors import Preempted, Stopped, UserError
from meld_lightning.storage.atomic import disk_error

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
STOPPED = 130  # what shells report for Ctrl-C
CLOSED_PIPE = 141  # what shells report for SIGPIPE

# by the system's number of the error: what may help besides another folder
FIRST_REMEDIES = {
    errno.EROFS: "make it writable",
    errno.EACCES: "change its permissions",
    errno.EPERM: "change its permissions",
}


def exit_status(work: Callable[[], None]) -> int:
    """Calls `work`; prints an expected failure as one line and returns the exit status."""
    try:
        work()
    except UserError as error:
        return refuse(str(error))
    except BrokenPipeError:  # whoever read the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush
        return CLOSED_PIPE
    except OSError as error:  # a full disk, a read-only folder, a file where a folder is expected
        reason = disk_error(error)
        if error.filename is None and not reason:
            raise
        reason = reason or f"{error.strerror}; {_remedy(error)}"
        return refuse(f"{error.filename or 'a file that was being written'}: {reason}")
    except Preempted as error:
        print(f"meld-lightning: preempted; {error}; it resumes when requeued", file=sys.stderr)
        return TRY_AGAIN
    except (Stopped, KeyboardInterrupt) as error:
        state = str(error) or "everything finished is kept"
        print(f"meld-lightning: stopped; {state}; run the same command to resume", file=sys.stderr)
        return STOPPED
    return 0


def _remedy(error: OSError) -> str:
    """What to do about a file that cannot be read or written."""
    if (first := FIRST_REMEDIES.get(error.errno or 0)) is None:
        return "check the path"
    return f"{first} or choose another folder (paths.*; of fetch: to=)"


def refuse(line: str) -> int:
    """Prints the line on stderr and returns the status of a refused command."""
    print(f"meld-lightning: {line}", file=sys.stderr)
    return 1
