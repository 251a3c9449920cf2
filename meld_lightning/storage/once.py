"""Makes something once, however many processes ask for it at the same time.

Writes a lock file beside what is made. Used wherever a cache, a checkpoint or a run is made; no
other file of the package takes a lock.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

SOON_S = 0.2  # a lock held for less than this is not worth a message
FOREVER = -1.0  # as filelock has it


class ReadOnlyFolder(OSError):  # noqa: N818 -- says what is wrong, as NotPrepared does
    """The lock file cannot be created, because the folder may only be read."""


def made_once(
    lock: Path, is_made: Callable[[], bool], make: Callable[[], None], *, wait: bool = True
) -> bool:
    """Calls `make` unless `is_made` says there is nothing to do; one process works, the others
    wait.

    `is_made` is asked first without the lock, so that a finished cache may be read-only, and again
    once the lock is held. With wait=False a lock that another process holds is not waited for, and
    the answer is False; otherwise it is True. Raises ReadOnlyFolder where something has to be made
    in a folder that cannot be written to.
    """
    if is_made():
        return True
    held = _acquire(lock, FOREVER if wait else 0)
    if held is None:
        return False
    try:
        if not is_made():
            make()
    finally:
        held.release()
    return True


@contextmanager
def locked(lock: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds the lock file `lock` for the block; a process that dies lets go of it.

    on_wait: called once, before waiting, if another process holds the lock.
    """
    held = _acquire(lock, SOON_S)
    if held is None:
        on_wait()
        held = _acquire(lock, FOREVER)
    assert held is not None
    try:
        yield
    finally:
        held.release()


@contextmanager
def locked_if_free(lock: Path) -> Iterator[bool]:
    """Holds the lock file `lock` for the block, and gives True; False, at once, where another
    process holds it."""
    held = _acquire(lock, 0)
    try:
        yield held is not None
    finally:
        if held is not None:
            held.release()


def _acquire(lock: Path, timeout_s: float) -> BaseFileLock | None:
    """The lock, held; None if another process kept it for `timeout_s` (FOREVER: until it is
    free)."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        held.acquire(timeout=timeout_s)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        raise ReadOnlyFolder(error.errno, error.strerror, str(lock.parent)) from error
    return held
