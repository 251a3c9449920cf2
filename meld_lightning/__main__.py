"""`python -m meld_lightning COMMAND` is `meld-lightning COMMAND`."""

import sys

from meld_lightning.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
