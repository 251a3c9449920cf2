"""Generates the mini corpus if it is missing, then reads it as MELD.

Writes what corpus.py describes; used through conf/corpus/mini.yaml by corpus/load.py.
"""

from dataclasses import replace
from pathlib import Path

from meld_lightning.corpus.readers import meld
from meld_lightning.corpus.readers.layout import Found, ReadRequest
from meld_lightning.mini import corpus as mini
from meld_lightning.storage.once import made_once

VERSION = mini.MINI_VERSION
NOTE = (
    "This is the project's own mini corpus, which it writes itself. Results on it show that the"
    " code works; they say nothing about MELD."
)


def read(request: ReadRequest) -> Found:
    """The mini corpus in the folder `request.root`, which is written first if it is missing, of
    another version or damaged.

    Raises UserError if something else is in that folder.
    """
    root = request.root
    made_once(
        Path(f"{root}.lock"), lambda: mini.mini_is_current(root), lambda: mini.write_mini(root)
    )
    return replace(
        meld.read(request),
        name="mini",
        paper=None,
        official=None,
        note=NOTE,
        optimum=mini.mini_optimum(root),
    )
