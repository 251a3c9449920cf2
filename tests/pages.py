"""The commands, snippets and files that the pages of docs/ show: for the tests that run them."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from tests.running import CHECKOUT

DOCS = CHECKOUT / "docs"
NAMES = sorted(path.name for path in DOCS.glob("*.md"))
# what marks a command that is composed and not run, and why
NOT_HERE = {
    "/data/": "MELD's clips",
    "data/MELD": "MELD's files, which test_the_way_to_a_table_of_meld reads if they are there",
    "friends.json": "EmotionLines",
    "CREMA-D": "CREMA-D",
    "package/model": "weights that npm downloads",
    "slurm": "a cluster; see tests/system/cluster",
    "only=checkpoints": "the network",
    "clips=false": "the network; see tests/fetch",
    "push=": "the network",
    "serve=true": "runs until it is stopped; see tests/page",
    "report study=": "made again by tests/report/test_evidence.py",
}
LONG = {"context.md": "trainings of minutes"}
LISTED = re.compile(r"\$\(ls -d ([^)]+)\)")


def blocks(page: str, *languages: str) -> list[str]:
    """The contents of a page's fenced blocks in these languages, in order."""
    text = (DOCS / page).read_text()
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.M | re.S)


def commands(page: str) -> list[str]:
    """The command lines of a page, each on one line and without its comment."""
    joined = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return [line.partition("  # ")[0].strip() for line in joined.splitlines() if line.strip()]


def is_run(page: str, command: str) -> bool:
    """Whether a test runs the command, rather than only checking it."""
    return page not in LONG and not any(mark in command for mark in NOT_HERE)


def ours(page: str) -> list[str]:
    """The commands of this project that a page shows."""
    return [command for command in commands(page) if command.startswith("meld-lightning ")]


def files(page: str) -> dict[str, str]:
    """The files that a page shows: blocks whose first line, or the next one after Hydra's @package,
    is a comment with the file's name."""
    named = [
        (block, re.match(r"(?:# @package .+\n)?# ([\w/.-]+\.(?:py|yaml))\n", block))
        for block in blocks(page, "python", "yaml")
    ]
    return {match[1]: block for block, match in named if match}


def replaced(text: str, stands_for: Mapping[str, str]) -> str:
    """The text with each name of a page's example replaced by what there is in a test."""
    for name, there in stands_for.items():
        text = text.replace(name, there)
    return text


def words(command: str, folder: Path) -> list[str]:
    """The words that a shell in `folder` makes of a command line."""
    return [
        LISTED.sub(lambda listed: _listed(folder, listed[1]), word) for word in shlex.split(command)
    ]


def _listed(folder: Path, pattern: str) -> str:
    (found,) = folder.glob(pattern)
    return str(found.relative_to(folder))
