"""`meld-lightning fuse`: one fusion of finished runs, fitted and chosen on val. A finished one is
read, not fitted again."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra

HASH = re.compile(r"[0-9][0-9a-f]*")


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("fuse", run, [_any_modality(argument) for argument in arguments])


def run(cfg: DictConfig) -> None:
    """Fits one fusion, or finds it finished, and prints its val scores and what was chosen."""
    from hydra.core.hydra_config import HydraConfig

    from meld_lightning.fusion.fuse import fuse, with_corpus_of_runs
    from meld_lightning.runs.val_score import show_val_score
    from meld_lightning.training.embeddings import keep_embeddings
    from meld_lightning.training.process import quieten

    quieten()
    run = fuse(with_corpus_of_runs(cfg, HydraConfig.get().overrides.task), keep_embeddings)
    show_val_score(run, "nested cross-validation")
    print("\n".join(summary(run.folder)))


def summary(folder: Path) -> list[str]:
    """fusion.json in lines for the terminal."""
    found = json.loads((folder / "fusion.json").read_text())
    return [*_choice(found), f"complementarity and calibration on test: see {folder}/fusion.json"]


def _choice(found: dict[str, Any]) -> list[str]:
    fitted = found["fitted"]
    lines = [
        f"chosen: {found['chosen']}",
        "each candidate on val, cross-validated over units (used to choose, so that the best is"
        " optimistic):",
    ]
    lines += [f"  {name} {value:.4f}" for name, value in found["cross_validated"].items()]
    shown = ", ".join(f"{name} {value:.4f}" for name, value in found["runs"].items())
    lines.append(f"each modality alone on val: {shown}")
    for name, number in found["alternatives"].items():
        lines.append(
            f"{name} was the best of {number + 1} runs on val: the scores above are not those of"
            " this run, but repeat the choice without each fold"
        )
    if better := found["better_run"]:
        lines.append(f"{better} alone is better on val; fusion=chosen takes the best of them")
    if weights := fitted.get("weights"):
        shown = ", ".join(f"{name} {value:.2f}" for name, value in weights.items())
        lines.append(f"weights: {shown}")
    if gates := fitted.get("gates"):
        shown = ", ".join(f"{name} {value:.2f}" for name, value in gates.items())
        lines.append(f"mean gates on val: {shown}")
    if left_out := fitted.get("left_out"):
        lines.append(
            f"left out because it has no weight: {', '.join(left_out)}; give one as"
            f" +fusion.weights.{left_out[0]}=0.5"
        )
    if never_seen := fitted.get("never_seen"):
        lines.append(f"left out because no utterance of val has it: {', '.join(never_seen)}")
    return lines


def _any_modality(argument: str) -> str:
    """`runs.NAME=FOLDER` or `alternatives.NAME=[FOLDER]` so that Hydra takes a NAME that
    conf/fuse.yaml does not list, and no hash, such as 12e5, for a number."""
    key, _, value = argument.partition("=")
    if argument.startswith("runs.") and HASH.fullmatch(value):
        argument = f"{key}='{value}'"
    return f"++{argument}" if argument.startswith(("runs.", "alternatives.")) else argument
