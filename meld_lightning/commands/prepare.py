"""`meld-lightning prepare`: find and check the corpus, make or fetch the checkpoints, write the
corpus report."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from meld_lightning.commands import run_hydra

if TYPE_CHECKING:
    from meld_lightning.corpus import Corpus
    from meld_lightning.mini.checkpoints import MiniSources


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("prepare", run, arguments)


def run(cfg: DictConfig) -> None:
    """Checks the config and prepares all that it names."""
    from meld_lightning.config.check import Prepare, check

    check(cfg, Prepare)
    prepare(cfg)


def prepare(
    cfg: DictConfig, checkpoints: Collection[str] | None = None, decode: bool = True
) -> None:
    """Prepares what `cfg` names, for the command and for `reproduce`; what is prepared already is
    only checked.

    checkpoints: those wanted; None is all. decode: whether anything will read the clips.
    """
    from meld_lightning.corpus import SPLITS, prepare_corpus, prepared_folder
    from meld_lightning.pretrained.checkpoints import prepare_checkpoint

    cache = Path(cfg.paths.cache)
    corpus = prepare_corpus(cfg.corpus, cache)
    counts = ", ".join(f"{split} {(corpus.table['split'] == split).sum()}" for split in SPLITS)
    print(
        f"corpus {corpus.name}: {counts} utterances; report:"
        f" {prepared_folder(cfg.corpus, cache) / 'report.md'}",
        flush=True,
    )
    if decode and cfg.media.keep:
        print(f"clips: {_decode(cfg, corpus, cache)}", flush=True)
    names = {role: str(name) for role, name in cfg.checkpoints.items() if name is not None}
    wanted = {
        role: name for role, name in names.items() if checkpoints is None or name in checkpoints
    }
    mini = (
        _mini_sources(cfg, cache)
        if any(name.startswith("mini:") for name in wanted.values())
        else None
    )
    for role, name in wanted.items():
        checkpoint = prepare_checkpoint(name, cache, mini if name.startswith("mini:") else None)
        print(f"checkpoint {role}: {checkpoint.name} ({checkpoint.digest[:12]})", flush=True)


def _decode(cfg: DictConfig, corpus: "Corpus", cache: Path) -> str:
    """Decodes the corpus's clips into the cache, adds what is missing to the corpus report, and
    sums it up."""
    from meld_lightning.config.check import plain
    from meld_lightning.corpus import report_media
    from meld_lightning.media import media_report, prepare_media

    shard = int(cfg.get("shard", 0))
    media = prepare_media(
        corpus.table, corpus.name, plain(cfg.media), cache, shard, cfg.media.processes
    )
    report = media_report(media, corpus.table)
    report_media(cfg.corpus, cache, report)
    return str(report["summary"])


def _mini_sources(cfg: DictConfig, cache: Path) -> "MiniSources":
    """What the mini checkpoints are made of, whichever corpus they then run over."""
    from hydra import compose

    from meld_lightning.config.check import plain
    from meld_lightning.corpus import prepare_corpus
    from meld_lightning.media import Media, prepare_media
    from meld_lightning.mini.checkpoints import MiniSources

    own = compose("prepare")
    own.paths = cfg.paths
    corpus = prepare_corpus(own.corpus, cache)

    def decode() -> Media:
        return prepare_media(
            corpus.table, corpus.name, plain(own.media), cache, 0, cfg.media.processes
        )

    return MiniSources(corpus.table, decode)
