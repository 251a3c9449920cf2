"""Prepares what runs read: the corpus and its report, decoded clips, checkpoints.

Reads conf/prepare.yaml's nodes, corpora and hubs; writes the cache. Used by the command `prepare`,
by its jobs and, for the runs that tables need, by `reproduce`.
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from meld_lightning.config.check import check
from meld_lightning.config.nodes import Prepare
from meld_lightning.config.tree import plain
from meld_lightning.errors import UserError
from meld_lightning.pretrained.checkpoints import Checkpoint, prepare_checkpoint
from meld_lightning.pretrained.find import BUNDLED, NotInHubCacheError, not_in_hub_cache
from meld_lightning.runs.identity import decoded_kind
from meld_lightning.study.plan import checkpoints_of

if TYPE_CHECKING:
    from meld_lightning.corpus import Corpus
    from meld_lightning.media import Media
    from meld_lightning.mini.checkpoints import MiniSources

logger = logging.getLogger(__name__)


def prepare_study(cfg: DictConfig) -> None:
    """Checks the config and prepares everything that it names, or its checkpoints alone."""
    alone = cfg.get("only") == "checkpoints"
    if alone and OmegaConf.is_missing(cfg.corpus, "root"):
        cfg.corpus.root = ""  # which is not read
    check(cfg, Prepare)
    if alone:
        _find_checkpoints(cfg, _named(cfg), Path(cfg.paths.cache))
    else:
        prepare(cfg)


def prepare_for_runs(cfg: DictConfig, configs: Sequence[DictConfig]) -> None:
    """Prepares what the runs read and no more: a table of text models needs no decoded clips.

    cfg: the study's own config, whose corpus is prepared even if no run reads it.
    configs: one per run; runs of several folds read one corpus each, and rows may decode their
        clips in several ways.
    """
    wanted = checkpoints_of(configs)
    by_corpus: dict[str, list[DictConfig]] = {OmegaConf.to_yaml(cfg.corpus, resolve=True): []}
    for config in configs:
        by_corpus.setdefault(OmegaConf.to_yaml(config.corpus, resolve=True), []).append(config)
    for of_corpus in by_corpus.values():
        decoding = {
            OmegaConf.to_yaml(config.media, resolve=True): config
            for config in of_corpus
            if decoded_kind(config.data)
        }
        for config in [*decoding.values()] or [*of_corpus[:1]] or [cfg]:
            prepare(config, wanted, bool(decoding))
            wanted = []


def prepare(
    cfg: DictConfig, checkpoints: Collection[str] | None = None, decode: bool = True
) -> None:
    """Prepares what `cfg` names; what is prepared already is only checked.

    checkpoints: the names of those wanted; None is all.
    decode: whether to decode the clips, too.
    """
    from meld_lightning.corpus import (
        SPLITS,
        check_learnable,
        differs_from_published,
        missing_files,
        prepare_corpus,
        prepared_folder,
    )
    from meld_lightning.mini.checkpoints import PREFIX, recipe
    from meld_lightning.runs.inputs import warn_of_toy  # imports pandas

    cache = Path(cfg.paths.cache)
    corpus = prepare_corpus(cfg.corpus, cache)
    if unlearnable := check_learnable(corpus):
        logger.warning("%s", unlearnable)
    if differs := differs_from_published(corpus.report):
        logger.warning("corpus %s: %s", corpus.name, differs)
    decode = decode and bool(cfg.media.keep)
    if decode and (missing := missing_files(corpus, bool(cfg.corpus.allow_missing))):
        logger.warning("%s", missing)
    counts = ", ".join(f"{split} {(corpus.table['split'] == split).sum()}" for split in SPLITS)
    report = prepared_folder(cfg.corpus, cache) / "report.md"
    logger.info("corpus %s: %s utterances; report: %s", corpus.name, counts, report)
    names = _named(cfg) if checkpoints is None else sorted(checkpoints)
    made_here = [name for name in names if name.startswith(PREFIX)]
    for name in names:
        warn_of_toy(name, cfg.corpus)
    # before the clips, whose decoding takes long: a checkpoint that is missing is known at once
    _find_checkpoints(cfg, names, cache)
    media = None
    if decode:
        logger.info("decoding the clips of %s that are not in the cache ...", corpus.name)
        media = _decode(cfg, corpus, cache)
    if made_here:
        mini = _mini_sources(cfg, cache, corpus, media)
        for name in made_here:
            _announce(prepare_checkpoint(name, cache, recipe(name, mini)))


def _named(cfg: DictConfig) -> list[str]:
    """The checkpoints that the config names, sorted; logs how to name one if there is none."""
    from meld_lightning.runs.inputs import CHECKPOINTS_AT_HAND  # imports pandas

    names = sorted({str(name) for name in cfg.checkpoints.values() if name is not None})
    if not names:
        logger.info(
            "checkpoints: none is named; for models that start from pretrained weights give prepare"
            " and train %s",
            CHECKPOINTS_AT_HAND,
        )
    return names


def _find_checkpoints(cfg: DictConfig, names: Sequence[str], cache: Path) -> None:
    """Finds or downloads every checkpoint but those that are made here. UserError once all were
    tried: one line names all that the hub's cache lacks, so that one way to the network is
    enough."""
    from meld_lightning.mini.checkpoints import PREFIX

    missing: list[NotInHubCacheError] = []
    for name in names:
        if name.startswith(PREFIX):
            continue
        try:
            _find_checkpoint(cfg, name, cache)
        except NotInHubCacheError as error:
            missing.append(error)
    if missing:
        raise UserError(not_in_hub_cache(missing))


def _find_checkpoint(cfg: DictConfig, name: str, cache: Path) -> None:
    """Finds or downloads a checkpoint and, unless its digest is published, loads it as the models
    will that its keys in `checkpoints` are for."""
    from meld_lightning.pretrained.check import check_loads

    roles = [str(key) for key, value in cfg.checkpoints.items() if value == name]

    def load(folder: Path) -> None:
        for role in roles:
            check_loads(folder, role)

    _announce(prepare_checkpoint(name, cache, check=None if name in BUNDLED else load))


def _announce(checkpoint: Checkpoint) -> None:
    logger.info("checkpoint %s (%s)", checkpoint.name, checkpoint.digest[:12])


def _decode(cfg: DictConfig, corpus: "Corpus", cache: Path) -> "Media":
    """Decodes the corpus's clips into the cache, adds the missing ones to the corpus report, and
    logs a summary. UserError if not one can be decoded, unless corpus.allow_missing."""
    from meld_lightning.corpus import report_media
    from meld_lightning.media import media_report, nothing_decoded, prepare_media

    shard = int(cfg.get("shard", 0))
    media = prepare_media(
        corpus.table, corpus.name, plain(cfg.media), cache, shard, cfg.media.processes
    )
    report = media_report(media, corpus.table)
    report_media(cfg.corpus, cache, report)
    if (failure := nothing_decoded(media, corpus.table)) and not cfg.corpus.allow_missing:
        raise UserError(
            f"corpus {corpus.name}: {failure}; give other files or media.keep, or set"
            " corpus.allow_missing=true to go on without them"
        )
    logger.info("clips: %s", report["summary"])
    return media


def _mini_sources(
    cfg: DictConfig, cache: Path, prepared: "Corpus", decoded: "Media | None"
) -> "MiniSources":
    """The mini corpus and its clips, which the mini checkpoints are made from, whichever corpus
    they are used on.

    prepared, decoded: the corpus of `cfg` and its clips, where they have been decoded: not read
        again if that is the mini corpus.
    """
    from hydra import compose

    from meld_lightning.corpus import prepare_corpus
    from meld_lightning.media import prepare_media
    from meld_lightning.mini.checkpoints import MiniSources

    own = compose("prepare")
    own.paths = cfg.paths
    if decoded is not None and (own.corpus, own.media) == (cfg.corpus, cfg.media):
        return MiniSources(prepared.table, lambda: decoded)
    corpus = prepare_corpus(own.corpus, cache)

    def decode() -> "Media":
        return prepare_media(
            corpus.table, corpus.name, plain(own.media), cache, 0, cfg.media.processes
        )

    return MiniSources(corpus.table, decode)
