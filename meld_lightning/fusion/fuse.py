"""One fusion run: joined logits of finished runs to a fitted fusion, cross-validated over dialogues
of val.

Reads run folders; writes runs/fusion-<name>/<hash>/ as training does, with fusion.json and a
reliability diagram. Used by `fuse` and `reproduce`. Axes: M modalities, N utterances, C classes.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from meld_lightning.config import check as config
from meld_lightning.corpus import prepared_corpus
from meld_lightning.corpus.folds import balanced_folds
from meld_lightning.errors import UserError, near_miss
from meld_lightning.fusion.calibration import draw_reliability, expected_calibration_error
from meld_lightning.fusion.joined import Joined, LogitsBatch, LogitsDataModule
from meld_lightning.fusion.methods import Fusion
from meld_lightning.metrics import scores
from meld_lightning.runs.logits import write_logits
from meld_lightning.runs.result import (
    check_monitor,
    labelled,
    predictions,
    provenance,
    split_metrics,
    write_predictions,
)
from meld_lightning.runs.run import Identity, Run, claimed, find_run, hashed_config, load_run
from meld_lightning.storage.atomic import write_json, writing
from meld_lightning.storage.fingerprint import digest_of

MODALITIES = ("text", "audio", "video")
SPLITS = (
    "val",
    "test",
)  # train's logits are those of models that have seen it: no fusion is fitted or judged on them


def fuse(cfg: DictConfig) -> Run:
    """The fusion run that `cfg` (conf/fuse.yaml, composed) describes: read if it is finished, else
    fitted."""
    config.check(cfg, config.Fuse)
    check_monitor(cfg.monitor)
    runs = named_runs(cfg)
    identity = identify_fusion(cfg, runs)
    if run := find_run(identity):
        return run
    with claimed(identity.folder):
        if run := find_run(identity):
            return run
        try:
            with writing(identity.folder):
                OmegaConf.save(cfg, identity.folder / "config.yaml", resolve=True)
                _run(cfg, identity, runs)
        except UserError:
            shutil.rmtree(identity.folder)
            raise
    return load_run(identity.folder)


def named_runs(cfg: DictConfig) -> dict[str, Run]:
    """modality -> the run that cfg.runs names for it, those of cfg.modalities alone where that is
    given."""
    given = {str(name): folder for name, folder in cfg.runs.items() if folder is not None}
    wanted = list(given) if cfg.modalities is None else [str(name) for name in cfg.modalities]
    for name in wanted:
        if name not in given:
            raise UserError(
                f"modalities names {name}, but no run: give it as"
                f" runs.{name}=FOLDER{near_miss(name, given)}"
            )
    if not wanted:
        raise UserError(
            "no run to fuse: give some as runs.text=FOLDER runs.audio=FOLDER runs.video=FOLDER"
        )
    runs = {name: load_run(str(given[name])) for name in wanted}
    for name, run in runs.items():
        modality = run.result.get("modality", name)
        if name in MODALITIES and modality != name:
            raise UserError(
                f"runs.{name}={run.folder}: a run of {modality}, expected one of {name}"
            )
    return runs


def identify_fusion(cfg: DictConfig, runs: Mapping[str, Run]) -> Identity:
    """What the fusion is: its settings, and the hashes of the runs it builds on."""
    digests = {name: run.result["hash"] for name, run in runs.items()}
    digests["corpus"] = next(iter(runs.values())).result["digests"]["corpus"]
    kept = hashed_config(cfg)
    config_hash = digest_of(kept)
    whole = digest_of({"config": config_hash, "digests": digests})
    return Identity(
        whole,
        config_hash,
        Path(cfg.paths.runs) / f"fusion-{cfg.fusion.name}" / whole,
        digests,
        kept,
    )


def _run(cfg: DictConfig, identity: Identity, runs: Mapping[str, Run]) -> None:
    torch.set_num_threads(cfg.numerics.threads)
    data = LogitsDataModule(runs)
    corpus = prepared_corpus(cfg.corpus, Path(cfg.paths.cache))
    table, labels = labelled(corpus, cfg.target)
    if corpus.digest != identity.digests["corpus"]:
        raise UserError(
            "the runs are of another corpus than the one prepared; fuse them with the corpus= and"
            " corpus.* keys that they were run with"
        )
    if labels != data.labels:
        raise UserError(
            f"the runs tell {', '.join(data.labels)}; fuse them with the target= they were run with"
        )
    joined = {split: data.joined(split) for split in SPLITS}
    candidates = instantiate(cfg.fusion).candidates(data.modalities)
    held_out = {
        name: _held_out(one, joined["val"], data.modalities, cfg)
        for name, one in candidates.items()
    }
    metric = cfg.monitor.removeprefix("val/")
    cv = {
        name: scores(joined["val"].batch.labels_N, logits)[metric]
        for name, logits in held_out.items()
    }
    best = (min if metric == "loss" else max)(cv, key=cv.__getitem__)  # the first of equals
    fusion: Fusion = candidates[best]
    fusion.fit(joined["val"].batch, data.modalities, cfg.seed)
    logits = {"val": held_out[best], "test": fusion(joined["test"].batch)}
    frames = []
    for split in SPLITS:
        rows = table.set_index("key", drop=False).loc[joined[split].keys_N].reset_index(drop=True)
        rows["present"] = joined[split].batch.present_MN.any(0)
        write_logits(identity.folder / "logits" / f"{split}.parquet", rows, logits[split], labels)
        frame = predictions(rows, logits[split], labels)
        for name, log_probs_NC in zip(
            data.modalities, joined[split].batch.log_probs_MNC, strict=True
        ):
            frame[f"{name}_label"] = [labels[index] for index in log_probs_NC.argmax(1)]
            frame[f"{name}_confidence"] = np.exp(log_probs_NC.max(1))
        frames.append(frame)
    write_predictions(identity.folder, pd.concat(frames))
    by_split = {
        split: split_metrics(joined[split].batch.labels_N, logits[split], labels)
        for split in SPLITS
    }
    value = float(by_split["val"][metric])
    pd.DataFrame(
        [
            {
                "epoch": 0,
                "step": 0,
                **{f"val/{k}": v for k, v in by_split["val"].items() if k not in ("f1", "n")},
            }
        ]
    ).to_csv(identity.folder / "metrics.csv", index=False)
    found = {
        "modalities": list(data.modalities),
        "chosen": best,
        "cross_validated": cv,
        "fitted": fusion.describe(),
        "calibration": _calibration(data, joined["test"], fusion, identity.folder),
        **errors(data.modalities, joined["test"].batch),
    }
    write_json(identity.folder / "fusion.json", found)
    write_json(
        identity.folder / "result.json",
        {
            **provenance(cfg, identity, table, labels, torch.device("cpu")),
            "model": cfg.fusion.name,
            "checkpoint": " + ".join(
                dict.fromkeys(str(run.result["checkpoint"]) for run in runs.values())
            ),
            "metrics": by_split,
            "best": {"monitor": cfg.monitor, "epoch": 0, "value": value},
        },
    )


def _held_out(
    fusion: Fusion, joined: Joined, modalities: tuple[str, ...], cfg: DictConfig
) -> np.ndarray:
    """Log-scores (N, C) of every utterance of val by a fusion fitted on the other folds; no
    dialogue is torn apart."""
    folds = min(cfg.folds, len(set(joined.units_N)))
    if folds < 2:
        raise UserError(
            "val holds a single dialogue (or speaker): too little to fit a fusion on; see"
            " corpus.split"
        )
    fold_N = np.array(balanced_folds(list(joined.units_N), folds))
    out = np.zeros(joined.batch.log_probs_MNC.shape[1:])
    for fold in range(folds):
        fusion.fit(joined.batch.where(fold_N != fold), modalities, cfg.seed)
        out[fold_N == fold] = fusion(joined.batch.where(fold_N == fold))
    return out


def _calibration(
    data: LogitsDataModule, test: Joined, fusion: Fusion, folder: Path
) -> dict[str, Any]:
    """Expected calibration error on test of each modality as it came and after its temperature, and
    of the fusion."""
    from meld_lightning.fusion.methods import Single

    val, batch, errors_, curves = data.joined("val").batch, test.batch, {}, {}
    for place, name in enumerate(data.modalities):
        single = Single(name, name)
        single.fit(val, data.modalities, 0)
        before, after = batch.log_probs_MNC[place], single(batch)
        errors_[name] = {
            "before": expected_calibration_error(before, batch.labels_N),
            "after": expected_calibration_error(after, batch.labels_N),
        }
        curves[f"{name}, before"], curves[f"{name}, after"] = (
            (before, batch.labels_N),
            (after, batch.labels_N),
        )
    fused = fusion(batch)
    errors_["fused"] = {"after": expected_calibration_error(fused, batch.labels_N)}
    curves["fused"] = (fused, batch.labels_N)
    draw_reliability(curves, "Calibration on test", folder / "reliability")
    return errors_


def errors(modalities: tuple[str, ...], batch: LogitsBatch) -> dict[str, Any]:
    """oracle: accuracy if the right modality were known for each utterance. fixes: how often one
    modality is wrong, and in how many of those utterances another is right. A missing modality is
    never right."""
    right_MN = (batch.log_probs_MNC.argmax(-1) == batch.labels_N) & batch.present_MN
    fixes = {
        one: {
            "wrong": int((~right_MN[place]).sum()),
            **{
                other: int((~right_MN[place] & right_MN[k]).sum())
                for k, other in enumerate(modalities)
                if other != one
            },
        }
        for place, one in enumerate(modalities)
    }
    return {"oracle": float(right_MN.any(0).mean()), "fixes": fixes, "n": len(batch.labels_N)}
