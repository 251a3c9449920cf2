"""One fusion run: chosen and fitted on val, scored on test, and written into its folder.

Reads the logits of the runs and the prepared corpus. Writes logits/, predictions.*, metrics.csv,
fusion.json, the fitted fusion, the reliability diagram and, last, result.json. Used by fuse.py.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from meld_lightning.corpus import prepared_corpus
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.fusion.alternatives import alternative_scores, repeat_choices
from meld_lightning.fusion.calibration import calibration
from meld_lightning.fusion.complementarity import complementarity
from meld_lightning.fusion.joined import SPLITS, Joined, JoinedRuns, LogitsBatch
from meld_lightning.fusion.method import Fusion
from meld_lightning.fusion.selection import better_run, run_scores, select, unit_folds
from meld_lightning.fusion.state import load_fusion, save_fusion
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.inputs import labelled, majority
from meld_lightning.runs.logits import write_logits
from meld_lightning.runs.predictions import predictions, write_predictions
from meld_lightning.runs.result import Result, provenance, split_metrics, write_result
from meld_lightning.runs.run import Run
from meld_lightning.storage.atomic import atomic_write, write_json


def fit_fusion(
    cfg: DictConfig,
    identity: Identity,
    runs: Mapping[str, Run],
    alternatives: Mapping[str, Sequence[Run]],
    embed: Callable[[Run], None],
) -> None:
    """Fits the fusion that `cfg` describes and writes its run into `identity.folder`.

    alternatives: modality -> the runs that its run was chosen over on val; see alternatives.py.
    embed: makes sure that a run has its embeddings; called for a fusion that reads them.
    """
    torch.set_num_threads(cfg.numerics.threads)
    candidates, folder = instantiate(cfg.fusion).candidates(tuple(runs)), identity.folder
    reads_embeddings = any(one.reads_embeddings for one in candidates.values())
    joined_runs = JoinedRuns(runs, reads_embeddings)
    table = _corpus_table(cfg, identity, joined_runs)
    if reads_embeddings:
        _refuse_alternatives(cfg.fusion.name, alternatives)
        for run in runs.values():
            embed(run)
    val, test = joined_runs.split("val"), joined_runs.split("test")
    metric, fold_N = cfg.monitor.removeprefix("val/"), unit_folds(val, cfg.folds)
    others = alternative_scores(runs, alternatives)

    @functools.cache
    def without(*folds: int) -> Joined:
        return repeat_choices(val, others, fold_N, metric, left_out=folds)

    fitted_on = without()
    selection = select(
        candidates,
        fitted_on,
        fold_N,
        metric=metric,
        seed=cfg.seed,
        without=without if others else None,
    )
    fusion: Fusion = candidates[selection.name]
    fusion.fit(fitted_on, cfg.seed)
    _save(fusion, folder, test.batch)

    data = {"val": val, "test": test}
    logits = {"val": selection.nested_NC, "test": fusion(test.batch)}
    _write_scores(folder, table, data, logits)
    metrics = {
        split: split_metrics(data[split].labels_N, logits[split], val.labels) for split in SPLITS
    }
    _write_metrics(folder, metrics["val"])
    found = {
        "modalities": list(val.modalities),
        "chosen": selection.name,
        "cross_validated": selection.cross_validated,
        "nested": {
            cfg.monitor: metrics["val"][metric],
            "chosen_without_fold": selection.chosen_without,
        },
        "runs": (alone := run_scores(fitted_on, metric)),
        "better_run": better_run(alone, selection, metric),
        "alternatives": {name: len(rejected) for name, rejected in alternatives.items()},
        "fitted": fusion.describe(),
        "calibration": calibration(fitted_on, test, fusion, folder),
        **complementarity(test),
    }
    write_json(folder / "fusion.json", found)
    result = Result(
        **provenance(identity, torch.device("cpu")),
        modality="fusion",
        model=cfg.fusion.name,
        checkpoint=" + ".join(dict.fromkeys(run.result.checkpoint for run in runs.values())),
        seed=cfg.seed,
        fold=cfg.corpus.fold if cfg.corpus.split else None,
        labels=val.labels,
        train_majority=majority(table, val.labels),
        metrics=metrics,
        best={"monitor": cfg.monitor, "epoch": 0, "value": float(metrics["val"][metric])},
    )
    write_result(folder, result)


def _refuse_alternatives(name: str, alternatives: Mapping[str, Sequence[Run]]) -> None:
    """UserError if any run was chosen over others: the choice is repeated without each fold, and
    embeddings of two runs cannot stand for each other as logits can."""
    if alternatives:
        modality = next(iter(alternatives))
        raise UserError(
            f"fusion={name}: the {modality} run was chosen on val over others, whose embeddings"
            " cannot replace its own when the choice is repeated: name one row in the table's"
            f" sources.{modality}, or leave out alternatives.{modality}"
        )


def _corpus_table(cfg: DictConfig, identity: Identity, runs: JoinedRuns) -> pd.DataFrame:
    """The prepared corpus with true labels; UserError unless it is the one that the runs saw."""
    try:
        corpus = prepared_corpus(cfg.corpus, Path(cfg.paths.cache))
    except NotPrepared as error:
        raise UserError(
            f"{error}; if the runs were made with another corpus, give the corpus= and corpus.*"
            " keys that they were made with"
        ) from error
    table, labels = labelled(corpus, cfg.target)
    if corpus.digest != identity.digests["corpus"]:
        raise UserError(
            f"the runs were made with another corpus than {corpus.name} as it is prepared now; give"
            " the corpus= and corpus.* keys that the runs were made with"
        )
    if labels != runs.labels:
        raise UserError(
            f"target={cfg.target}: the runs predict {', '.join(runs.labels)}; give the target= that"
            " they were made with"
        )
    return table


def _save(fusion: Fusion, folder: Path, batch: LogitsBatch) -> None:
    """Saves the fusion and makes sure that, loaded again, it gives the same scores."""
    save_fusion(fusion, folder)
    try:
        same = np.array_equal(load_fusion(folder)(batch), fusion(batch))
    except AttributeError:  # something was fitted and not saved
        same = False
    if not same:
        raise UserError(
            f"{type(fusion).__name__} gives other scores once it is saved and loaded: list every"
            f" array that it fits in {type(fusion).__name__}.fitted"
        )


def _write_scores(
    folder: Path,
    table: pd.DataFrame,
    data: Mapping[str, Joined],
    logits: Mapping[str, np.ndarray],
) -> None:
    """Logits of each split, and the predictions of the fusion beside those of each modality."""
    by_key, frames = table.set_index("key", drop=False), []
    for split, joined in data.items():
        rows = by_key.loc[joined.keys_N].reset_index(drop=True)
        rows["present"] = joined.batch.present_MN.any(0)
        write_logits(folder / "logits" / f"{split}.parquet", rows, logits[split], joined.labels)
        frame = predictions(rows, logits[split], joined.labels)
        for name, log_probs_NC in zip(joined.modalities, joined.batch.log_probs_MNC, strict=True):
            frame[f"{name}_label"] = [joined.labels[index] for index in log_probs_NC.argmax(1)]
            frame[f"{name}_confidence"] = np.exp(log_probs_NC.max(1))
        frames.append(frame)
    write_predictions(folder, pd.concat(frames))


def _write_metrics(folder: Path, of_val: Mapping[str, Any]) -> None:
    """metrics.csv as training writes it, with the one line of a fusion."""
    scalars = {f"val/{name}": value for name, value in of_val.items() if name not in ("f1", "n")}
    with atomic_write(folder / "metrics.csv") as fresh:
        pd.DataFrame([{"epoch": 0, "step": 0, **scalars}]).to_csv(fresh, index=False)
