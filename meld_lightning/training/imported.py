"""Imports predictions from a file as a run: `train model=imported predictions=FILE`.

Reads the prepared corpus and the file; writes runs/<modality>-imported/<hash>/ with the files of a
training except checkpoints, so that tables, fusions and reports treat it alike. Used by train.py.
"""

import logging
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from meld_lightning.corpus import SPLITS, Corpus, prepared_corpus
from meld_lightning.corpus.vote_counts import votes_file
from meld_lightning.data.predictions import Predictions, read_predictions
from meld_lightning.data.votes import aligned_votes, votes_as_predictions, votes_digest
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.fusion.method import log_prior
from meld_lightning.metrics import METRICS, check_monitor
from meld_lightning.runs.identity import Identity, identify
from meld_lightning.runs.inputs import labelled, majority
from meld_lightning.runs.lifecycle import RunRequest
from meld_lightning.runs.provenance import device_here
from meld_lightning.storage.atomic import write_csv
from meld_lightning.storage.fingerprint import file_digest

logger = logging.getLogger(__name__)

NAMES = re.compile(r"[A-Za-z]\w*")
FUSION = "fusion"  # the first part of a fusion's folder


class Importing(RunRequest):
    """One import: its config (conf/train.yaml with model=imported)."""

    @cached_property
    def corpus(self) -> Corpus:
        """The prepared corpus; NotPrepared where there is none."""
        return prepared_corpus(self.cfg.corpus, Path(self.cfg.paths.cache))

    @cached_property
    def path(self) -> Path:
        """The file of predictions."""
        given = self.cfg.predictions
        if given is None:
            raise UserError(
                "model=imported: name the file of predictions: predictions=FILE (CSV or Parquet: a"
                " column key and one for each label)"
            )
        path = Path(given).expanduser()
        # committed evidence of the run can be read without the file
        if not (path.exists() if self.has_votes else path.is_file()):
            raise NotPrepared(f"predictions={given}: no such file")
        return votes_file(path) if self.has_votes else path

    @property
    def has_votes(self) -> bool:
        """Whether the file holds people's votes, rather than scores."""
        return self.cfg.model.get("scores") == "votes"

    @cached_property
    def votes(self) -> np.ndarray:
        """The votes for each row of the corpus and each label (N, C)."""
        labels, keys = self.corpus.labels(self.cfg.target), self.corpus.table["key"].tolist()
        return aligned_votes(self.path, self.modality, keys, labels)

    @cached_property
    def modality(self) -> str:
        """What the predictions were made from."""
        return str(self.cfg.model.modality)

    @cached_property
    def identity(self) -> Identity:
        if self.has_votes:
            read = votes_digest(self.votes, self.corpus.table["key"].tolist())
        else:
            read = file_digest(self.path)
        digests = {"predictions": read, "corpus": self.corpus.digest}
        return identify(self.cfg, self.modality, self.cfg.model.name, digests)

    @property
    def device(self) -> str:
        return device_here("cpu")

    def check(self) -> None:
        from meld_lightning.config.check import check
        from meld_lightning.config.nodes import Train

        check(self.cfg, Train)
        check_monitor(self.cfg.monitor)
        if not NAMES.fullmatch(self.modality) or self.modality == FUSION:
            raise UserError(
                f"model.modality={self.modality!r}: expected a word of letters, digits and _ that"
                f" begins with a letter and is not {FUSION!r}"
            )
        if self.cfg.model.get("votes") is not None and not self.has_votes:
            raise UserError(
                f"model.votes={self.cfg.model.votes} draws people's votes, and model.scores="
                f"{self.cfg.model.get('scores')} holds none: leave it out, or give"
                " model.scores=votes"
            )

    def execute(self) -> None:
        import torch

        from meld_lightning.runs.logits import write_logits
        from meld_lightning.runs.predictions import predictions, write_predictions
        from meld_lightning.runs.result import Result, provenance, split_metrics, write_result

        cfg, folder = self.cfg, self.identity.folder
        table, labels = labelled(self.corpus, cfg.target)
        found = self._predictions(table["key"].tolist(), labels)
        table["present"] = found.given_N
        self._mention_missing(table)
        train_N = table.loc[table["split"] == "train", "label"].to_numpy()
        log_prior_C = log_prior(train_N, len(labels))  # as models/classifier.py has it
        logits_NC = np.where(found.given_N[:, None], found.logits_NC, log_prior_C)
        figures, frames = {}, []
        for split in SPLITS:
            mine = (table["split"] == split).to_numpy()
            rows, logits = table[mine], logits_NC[mine]
            write_logits(folder / "logits" / f"{split}.parquet", rows, logits, labels)
            figures[split] = split_metrics(rows["label"].to_numpy(copy=True), logits, labels)
            frames.append(predictions(rows, logits, labels))
        write_predictions(folder, pd.concat(frames))
        val = {f"val/{name}": figures["val"][name] for name in ("loss", *METRICS)}
        write_csv(folder / "metrics.csv", [{"epoch": 0, "step": 0, **val}])
        result = Result(
            **provenance(self.identity, torch.device("cpu")),
            modality=self.modality,
            model=cfg.model.name,
            checkpoint="people's votes" if self.has_votes else f"predictions in {self.path.name}",
            seed=cfg.seed,
            fold=cfg.corpus.fold if cfg.corpus.split else None,
            labels=labels,
            train_majority=majority(table, labels),
            metrics=figures,
            best={"monitor": cfg.monitor, "epoch": 0, "step": 0, "value": val[cfg.monitor]},
        )
        write_result(folder, result)

    def _predictions(self, keys: Sequence[str], labels: Sequence[str]) -> Predictions:
        model = self.cfg.model
        if self.has_votes:
            smoothing, most = model.get("smoothing", 1.0), model.get("votes")
            return votes_as_predictions(
                self.votes, self.modality, keys, smoothing, most, self.cfg.seed
            )
        return read_predictions(self.path, keys, labels, model.scores)

    def _mention_missing(self, table: pd.DataFrame) -> None:
        """Warns of utterances without a prediction; UserError if no utterance of val has one."""
        lacking = table[~table["present"]]
        counts = [
            f"{count} of {int((table['split'] == split).sum())} of {split}"
            for split in SPLITS
            if (count := int((lacking["split"] == split).sum()))
        ]
        if not table.loc[table["split"] == "val", "present"].any():
            raise UserError(
                f"predictions={self.path}: no prediction for val; runs are compared and fused by"
                " their scores on val: add val's rows"
            )
        if counts:
            logger.warning(
                "predictions=%s: no prediction for %s, such as %s; the modality counts as missing",
                self.path,
                ", ".join(counts),
                lacking["key"].iloc[0],
            )
