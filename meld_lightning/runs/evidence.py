"""Evidence: a small copy of a finished run that can be committed.

Reads run folders; writes <study>/runs/<hash>/ with result, metrics, config without paths, and the
logits of val and test; of a fusion, which can be fitted again from its runs, those of test. A run
whose embeddings a fusion has read keeps those of test. Used by studies.
"""

import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from meld_lightning.media import SETTINGS, deciding
from meld_lightning.runs.embeddings import embeddings_file
from meld_lightning.runs.identity import NOT_IDENTIFYING, decoded_kind
from meld_lightning.runs.run import Run, undamaged_run
from meld_lightning.storage.atomic import beside

# its findings, and the fitted fusion itself
OF_A_FUSION = ("fusion.json", "fitted_fusion.json", "fitted_fusion.safetensors")


# of the corpus's settings: paths, whose content the digests name, and what is not decisive
NOT_KEPT = ("root", "layout", "votes")
# whose logits are evidence: tables read no others
KEPT_SPLITS = ("val", "test")
KEPT_OF_A_FUSION = ("test",)
KEPT_EMBEDDINGS = ("test",)  # where a fusion read them: curves of missing modalities score it again


def kept_run(folder: Path) -> Run | None:
    """The run whose evidence is in `folder`; None, with a line that says why, if it is damaged."""
    return undamaged_run(folder, _splits(folder))


def _splits(folder: Path) -> tuple[str, ...]:
    """The splits whose logits are evidence of the run in `folder`."""
    return KEPT_OF_A_FUSION if (folder / "fusion.json").is_file() else KEPT_SPLITS


def keep_evidence(run: Run, folder: Path) -> None:
    """Copies `run` to folder/<hash>; of a fusion also its findings and the fitted fusion."""
    target = folder / run.result.hash
    temporary = beside(target)
    (temporary / "logits").mkdir(parents=True, exist_ok=True)
    config = {**settings(run.config), "checkpoint": run.result.checkpoint}
    OmegaConf.save(OmegaConf.create(config), temporary / "config.yaml")
    for name in OF_A_FUSION:
        if (run.folder / name).is_file():
            shutil.copyfile(run.folder / name, temporary / name)
    for split in _splits(run.folder):
        name = f"{split}.parquet"
        shutil.copyfile(run.folder / "logits" / name, temporary / "logits" / name)
    for split in KEPT_EMBEDDINGS:
        if (path := embeddings_file(run.folder, split)).is_file():
            (temporary / path.parent.name).mkdir(exist_ok=True)
            shutil.copyfile(path, embeddings_file(temporary, split))
    shutil.copyfile(run.folder / "metrics.csv", temporary / "metrics.csv")
    shutil.copyfile(run.folder / "result.json", temporary / "result.json")
    if target.exists():
        shutil.rmtree(target)
    temporary.replace(target)


def settings(config: DictConfig) -> dict[str, Any]:
    """A run's config, defaults included, without paths and without what changes no result."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    kept = {str(key): value for key, value in plain.items() if key not in NOT_IDENTIFYING}
    corpus = {key: value for key, value in kept["corpus"].items() if key not in NOT_KEPT}
    if corpus.get("test") is None:
        corpus.pop("test", None)
    else:
        corpus["test"] = Path(corpus["test"]).name
    if corpus.get("test_by") is None:
        corpus.pop("test_by", None)
    kept["corpus"] = corpus
    if "model" in kept:
        kept["model"] = {key: value for key, value in kept["model"].items() if key != "checkpoint"}
        if decoded := decoded_kind(config.data):
            kept["media"] = deciding(plain["media"], SETTINGS[decoded])
    return kept
