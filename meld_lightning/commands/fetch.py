"""`meld-lightning fetch`: gets MELD, or what of it is missing, into one folder."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("fetch", _fetch, arguments)


def _fetch(cfg: DictConfig) -> None:
    from meld_lightning.config.check import check
    from meld_lightning.config.nodes import Fetch
    from meld_lightning.corpus.load import absolute
    from meld_lightning.fetch.meld import Request, fetch
    from meld_lightning.fetch.sources import meld

    check(cfg, Fetch)
    request = Request(
        to=absolute(cfg.to),
        clips=cfg.clips,
        archive=None if cfg.archive is None else absolute(cfg.archive),
        url=cfg.url,
        accepted=cfg.accept,
        keep_archive=cfg.keep_archive,
    )
    found = fetch(request, meld(), _ask)
    counts = ", ".join(
        f"{split} {rows} rows and {found.clips[split]} clips"
        for split, rows in found.records.items()
    )
    root = shlex.quote(f"corpus.root={Path(cfg.to)}")
    print(f"MELD in {cfg.to}: {counts}")
    print(f"next: meld-lightning prepare corpus=meld {root}, with checkpoints=minilm or hub")


def _ask(terms: str) -> bool:
    """Asks on a terminal; elsewhere nobody answers."""
    if not sys.stdin.isatty():
        return False
    print(terms)
    try:
        answer = input("Do you accept these terms? [y/N] ")
    except EOFError:  # Ctrl-D
        print()
        return False
    return answer.strip().lower() in ("y", "yes")
