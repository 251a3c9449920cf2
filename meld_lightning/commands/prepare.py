"""`meld-lightning prepare`: find and check the corpus, make or fetch the checkpoints, write the corpus report."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.commands import run_hydra


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("prepare", _prepare, arguments)


def _prepare(cfg: DictConfig) -> None:
    from meld_lightning.config import Common, check

    check(cfg, Common)
    prepare(cfg)


def prepare(cfg: DictConfig) -> None:
    """Prepares what `cfg` names, for the command and for `reproduce`; what is prepared already is only checked."""
    from meld_lightning.checkpoints import prepare_checkpoint
    from meld_lightning.corpus import SPLITS, prepare_corpus, prepared_folder

    cache = Path(cfg.paths.cache)
    corpus = prepare_corpus(cfg.corpus, cache)
    counts = ", ".join(f"{split} {(corpus.table['split'] == split).sum()}" for split in SPLITS)
    print(
        f"corpus {corpus.name}: {counts} utterances; report: {prepared_folder(cfg.corpus, cache) / 'report.md'}",
        flush=True,
    )
    for role, name in cfg.checkpoints.items():
        if name is not None:
            checkpoint = prepare_checkpoint(str(name), cache, _mini_texts(cache) if name.startswith("mini:") else ())
            print(f"checkpoint {role}: {checkpoint.name} ({checkpoint.digest[:12]})", flush=True)


def _mini_texts(cache: Path) -> list[str]:
    """What the tokenizers of the mini checkpoints are trained on, whichever corpus they then run over."""
    from meld_lightning.corpus import prepare_corpus

    mini = {"name": "mini", "layout": "meld", "root": str(cache / "mini"), "split": None, "folds": 5, "fold": 0}
    table = prepare_corpus(mini, cache).table
    return table.loc[table["split"] == "train", "text"].tolist()
