"""How a launcher starts a job: `python -m meld_lightning.launching.job COMMAND FILE`, FILE being a
composed config."""

import sys

from meld_lightning.commands import exit_status
from meld_lightning.launching.jobs import run_job

if __name__ == "__main__":
    sys.exit(exit_status(lambda: run_job(*sys.argv[1:])))
