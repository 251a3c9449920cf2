"""The console script: `meld-lightning COMMAND key=value ...`.

Each command is a Hydra app over conf/COMMAND.yaml and a module of this package, imported only when
it is called.
"""

import importlib
import sys
from collections.abc import Sequence

import meld_lightning
from meld_lightning.config.collector import collector_paused
from meld_lightning.errors import near_miss
from meld_lightning.launching.exits import exit_status, refuse
from meld_lightning.tracking.console import show_messages

COMMANDS = {
    "fetch": "get MELD: download it, or take an archive at hand, unpack it and count it",
    "doctor": "say whether this machine can run a study, how long it takes, and what to do",
    "prepare": "check the corpus, decode its clips, get the checkpoints, write the corpus report",
    "train": "train and score one run, or with --multirun a sweep of runs",
    "fuse": "fit a fusion of finished runs on val and score it on test",
    "reproduce": "run whatever the study's tables still need, then render the tables",
    "report": "render the tables from the runs that exist",
    "export": "write a run or fusion as one folder that loads anywhere, or push it to the hub",
    "predict": "tell the emotions of your own clips and texts",
    "demo": "open a page on this machine that answers about a clip: drop one, or record one",
    "runs": "list, show, compare and clean the run folders that are there",
    "dashboards": "make a W&B view and report for each sweep that was logged with logger=wandb",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if name == "--version":
        print(f"meld-lightning {meld_lightning.__version__}")
        return 0
    if name in ("-h", "--help"):
        print(_usage())
        return 0
    if name not in COMMANDS:
        return refuse(
            f"no command '{name}'{near_miss(name, COMMANDS)}; commands: {', '.join(COMMANDS)}"
        )
    show_messages()
    with collector_paused():  # until the config stands, see hydra_app
        command = importlib.import_module(f"meld_lightning.commands.{name}")
        return exit_status(lambda: command.main(rest))


def _usage() -> str:
    lines = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: meld-lightning COMMAND [key=value ...] [--multirun]",
            "",
            *lines,
            "",
            "meld-lightning COMMAND --help lists the command's config groups and keys.",
        ]
    )
