"""The words of a command line that Hydra's grammar must not read: clips, folders and texts, with
whatever characters they hold.

Looks for files that have the words as names. Used by `predict`, `demo` and `runs`.
"""

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from omegaconf import DictConfig

from meld_lightning.errors import UserError

KEY = re.compile(r"[+~]*[A-Za-z_][\w./@-]*=")
TAKES_A_VALUE = ("--config-dir", "-cd", "--cfg", "-c", "--package", "-p")  # in the next word


@dataclass(frozen=True)
class Words:
    """A command line, taken apart.

    named: files and folders, in order.
    literal: KEY -> the values of its KEY=VALUE words, in order, as they were typed.
    rest: what Hydra reads.
    """

    named: list[str] = field(default_factory=list)
    literal: dict[str, list[str]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def last(self, key: str) -> str | None:
        """The last value of a literal key; None where it is not given."""
        return self.literal.get(key, [None])[-1]

    def source(self, cfg: DictConfig) -> str:
        """What `from` names, here or in a config; UserError if nothing does."""
        found = self.last("from") or cfg["from"]
        if found is None:
            raise UserError("give from=FOLDER: the folder of a finished run, a fusion or an export")
        return str(found)


def taken_apart(arguments: Sequence[str], literal: Collection[str]) -> Words:
    """The words of a command line.

    A word is a file or folder if there is one of that name, or if it is neither a flag nor
    KEY=VALUE. literal: keys whose values are taken as they are, quotes and all.
    """
    words, queue = Words(), list(arguments)
    while queue:
        word = queue.pop(0)
        key, equals, value = word.partition("=")
        if equals and key in literal:
            words.literal.setdefault(key, []).append(value)
        elif _exists(word):
            words.named.append(word)
        elif word.startswith("-"):
            words.rest.append(word)
            if word in TAKES_A_VALUE and queue:
                words.rest.append(queue.pop(0))
        elif KEY.match(word):
            words.rest.append(word)
        else:
            words.named.append(word)
    return words


def _exists(word: str) -> bool:
    try:
        return os.path.lexists(word)
    except (OSError, ValueError):  # too long for a name, or a NUL in it
        return False
