"""Runs: a folder per finished training, named by the hash of what determines its result.

    runs/<modality>-<model>/<hash>/{config.yaml, checkpoints/, logits/, metrics.csv, predictions.*,
    result.json last}

Used by training (which writes them), the launchers (which skip finished ones) and the report (which
reads them). Imports neither torch nor Lightning.
"""

import csv
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import remove_leftovers
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.storage.once import locked

if TYPE_CHECKING:
    import pandas as pd

    from meld_lightning.pretrained.checkpoints import Checkpoint
    from meld_lightning.corpus import Corpus
    from meld_lightning.media import Media

RESULT_VERSION = 1  # raise it when the same config and data would now give another result

# What never changes a result: where things lie, on what they run, who watches, and which report
# asks.
NOT_HASHED = ("hydra", "machine", "logger", "paths", "study", "table", "checkpoints", "media", "runs")
MEDIA_NOT_HASHED = ("keep", "processes", "timeout_s")
DECODED = {"audio": "audio", "video": "frames"}  # what of its clips a modality reads


@dataclass(frozen=True)
class Identity:
    """What a run is before it exists. `hash` names its folder; `config_hash` leaves the data's
    digests out."""

    hash: str
    config_hash: str
    folder: Path
    digests: dict[str, str]
    config: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A finished run, or the evidence of one."""

    folder: Path
    result: dict[str, Any]
    config: DictConfig

    def logits(self, split: str) -> "pd.DataFrame":
        """key, label, unit and a column per label, one row per utterance of `split`."""
        from meld_lightning.runs.logits import read_logits

        return read_logits(self.folder / "logits" / f"{split}.parquet", self.result["labels"])


def load_run(folder: str | Path) -> Run:
    """Reads a finished run; raises UserError if `folder` is none."""
    folder = Path(folder)
    if not (folder / "result.json").is_file():
        raise UserError(f"{folder}: no finished run there: it has no result.json")
    try:
        result = json.loads((folder / "result.json").read_text())
        config = OmegaConf.load(folder / "config.yaml")
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"{folder}: damaged ({said}); delete that folder and ask for the run again") from error
    assert isinstance(config, DictConfig)
    return Run(folder, result, config)


def find_run(identity: Identity) -> Run | None:
    """The finished run, if there is one; raises UserError if something of it was lost."""
    if not (identity.folder / "result.json").is_file():
        return None
    run = load_run(identity.folder)
    for split in run.result["metrics"]:
        if not (identity.folder / "logits" / f"{split}.parquet").is_file():
            raise UserError(f"{identity.folder}: logits/{split}.parquet is gone; delete that folder and run it again")
    return run


class Inputs(NamedTuple):
    """What a run reads, as `prepare` left it; None for what it does not read."""

    corpus: "Corpus"
    media: "Media | None"
    checkpoint: "Checkpoint | None"

    def digests(self, modality: str) -> dict[str, str]:
        """What the data and weights are, whatever they are called."""
        found = {"corpus": self.corpus.digest}
        if self.checkpoint is not None:
            found["checkpoint"] = self.checkpoint.digest
        if self.media is not None:
            found["media"] = self.media.digest(DECODED.get(modality, "all"))
        return found


def inputs(cfg: DictConfig) -> Inputs:
    """The prepared corpus, clips and checkpoint that `cfg` names; UserError if `prepare` has not
    been run."""
    from meld_lightning.pretrained.checkpoints import prepared_checkpoint
    from meld_lightning.corpus import prepared_corpus

    cache, checkpoint, media = Path(cfg.paths.cache), None, None
    if "checkpoint" in cfg.model and cfg.model.checkpoint is None:
        raise UserError(f"model={cfg.model.name}: this choice of checkpoints= has none for it; choose another")
    corpus = prepared_corpus(cfg.corpus, cache)
    if modality_of(cfg) != "text":
        from meld_lightning.media import prepared_media

        settings: Any = OmegaConf.to_container(cfg.media, resolve=True)
        reads = DECODED.get(modality_of(cfg))
        if reads is not None and reads not in settings["keep"]:
            raise UserError(
                f"media.keep={settings['keep']}: model={cfg.model.name} reads {reads}; add it to media.keep"
            )
        media = prepared_media(corpus.table, corpus.name, settings, cache)
    if "checkpoint" in cfg.model:
        checkpoint = prepared_checkpoint(str(cfg.model.checkpoint), cache)
    return Inputs(corpus, media, checkpoint)


def modality_of(cfg: DictConfig) -> str:
    """text, audio or video: the first word of the datamodule's file."""
    return str(cfg.data._target_).rsplit(".", 2)[-2].split("_")[0]


def identify(cfg: DictConfig, digests: dict[str, str] | None = None) -> Identity:
    """The identity of the run that `cfg` (conf/train.yaml, composed) describes."""
    modality = modality_of(cfg)
    if digests is None:
        digests = inputs(cfg).digests(modality)
    config = hashed_config(cfg)
    config_hash = digest_of(config)
    whole = digest_of({"config": config_hash, "digests": digests})
    folder = Path(cfg.paths.runs) / f"{modality}-{cfg.model.name}" / whole
    return Identity(whole, config_hash, folder, digests, config)


def hashed_config(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config without what never changes a result; data and weights enter by digest,
    not by path."""
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "config"
        raise UserError(f"config key '{key}' has no value: give it as {key}=...") from error
    assert isinstance(plain, dict)
    kept = {str(key): value for key, value in plain.items() if key not in NOT_HASHED}
    test = kept["corpus"].pop("test", None)
    kept["corpus"] = {key: value for key, value in kept["corpus"].items() if key not in ("root", "layout")}
    if test is not None:  # tells two runs of one study apart, one of them with a test of its own
        kept["corpus"]["test"] = Path(test).name
    if "model" not in kept:  # a fusion
        return {**kept, "result_version": RESULT_VERSION}
    kept["model"] = {key: value for key, value in kept["model"].items() if key != "checkpoint"}
    if modality_of(cfg) != "text":  # which no clip touches
        kept["media"] = {key: value for key, value in plain["media"].items() if key not in MEDIA_NOT_HASHED}
    kept["result_version"] = RESULT_VERSION
    return kept


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Holds the run: of two processes asking for the same one, one runs and the other waits. A dead
    holder lets go."""


    def tell() -> None:
        print(f"{folder}: another process is running it; waiting for its result", flush=True)

    with locked(folder.with_name(f"{folder.name}.lock"), tell):
        folder.mkdir(exist_ok=True)
        for part in ("checkpoints", "logits"):
            remove_leftovers(folder / part)
        yield


def keep_evidence(run: Run, folder: Path) -> None:
    """A small copy of `run` in folder/<hash>: result, metrics, config without paths, logits of val
    and test; of a fusion also what each modality predicted."""
    target = folder / run.result["hash"]
    temporary = folder / f".{run.result['hash']}.{os.getpid()}"
    (temporary / "logits").mkdir(parents=True, exist_ok=True)
    config = {**hashed_config(run.config), "checkpoint": run.result["checkpoint"]}
    OmegaConf.save(OmegaConf.create(config), temporary / "config.yaml")
    if (run.folder / "fusion.json").is_file():
        shutil.copyfile(run.folder / "fusion.json", temporary / "fusion.json")
        _without_text(run.folder / "predictions.csv", temporary / "predictions.csv")
    for split in ("val", "test"):
        shutil.copyfile(run.folder / "logits" / f"{split}.parquet", temporary / "logits" / f"{split}.parquet")
    shutil.copyfile(run.folder / "metrics.csv", temporary / "metrics.csv")
    shutil.copyfile(run.folder / "result.json", temporary / "result.json")
    if target.exists():
        shutil.rmtree(target)
    temporary.replace(target)


def _without_text(source: Path, target: Path) -> None:
    """predictions.csv but for what a corpus's licence may forbid to hand on."""
    with source.open(newline="", encoding="utf-8") as read, target.open("w", newline="", encoding="utf-8") as written:
        rows = csv.DictReader(read)
        columns = [name for name in rows.fieldnames or () if name not in ("text", "speaker")]
        writer = csv.DictWriter(written, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@functools.cache
def git_commit() -> tuple[str | None, bool]:
    """The commit that the package's code stands at and whether files differ from it; (None, False)
    outside git."""
    here = Path(__file__).resolve().parents[1]
    ask = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True, check=False)
    try:
        tracked = ask(["git", "ls-files", "--error-unmatch", "__init__.py"])
        if tracked.returncode != 0:  # no repository, or one that this package merely lies in
            return None, False
        head = ask(["git", "rev-parse", "HEAD"])
        changed = ask(["git", "status", "--porcelain", "--", ".", "../conf", "../hydra_plugins"])
    except OSError:  # no git on this machine
        return None, False
    return head.stdout.strip(), bool(changed.stdout.strip())
