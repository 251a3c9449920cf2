"""Shows what the package's modules log, as lines on stdout; warnings start with `warning: `.

Modules log through `logging.getLogger(__name__)`. Each process that a user watches calls
`show_messages` once: the commands, the processes of a job, and the ranks of a run. As a library the
package leaves logging to whoever imports it.
"""

import logging
import sys


class _Console(logging.Handler):
    """Prints each message above the progress bars, if any, and flushes so that a log shows it.

    An error of stdout (a full disk, a closed pipe) is raised where the message was logged.
    """

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm  # a tenth of the time that `--help` takes: only where it is needed

        level = "warning: " if record.levelno >= logging.WARNING else ""
        tqdm.write(f"{level}{self.format(record)}", file=sys.stdout)
        sys.stdout.flush()


def show_messages() -> None:
    """Prints the package's messages from INFO on; further calls change nothing."""
    logger = logging.getLogger("meld_lightning")
    if not any(isinstance(handler, _Console) for handler in logger.handlers):
        logger.addHandler(_Console())
    logger.setLevel(logging.INFO)
    logger.propagate = False  # Hydra prints what reaches the root logger
