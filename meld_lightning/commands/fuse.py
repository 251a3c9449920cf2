"""`meld-lightning fuse`: one fusion of finished runs, fitted on val by cross-validation. A finished
one is read."""

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("fuse", run, arguments)


def run(cfg: DictConfig) -> None:
    """One fusion; what it found is printed."""
    from meld_lightning.fusion.fuse import fuse
    from meld_lightning.training.process import quieten

    quieten()
    found = fuse(cfg)
    test = found.result["metrics"]["test"]
    print(
        f"{found.folder}: {found.result['best']['monitor']} {found.result['best']['value']:.4f}"
        f" (cross-validated), test weighted F1 {test['weighted_f1']:.4f}, accuracy"
        f" {test['accuracy']:.4f}"
    )
    print("\n".join(summary(found.folder)))


def summary(folder: Path) -> list[str]:
    """What fusion.json says, in lines for the terminal."""
    found = json.loads((folder / "fusion.json").read_text())
    scores = ", ".join(f"{name} {value:.4f}" for name, value in found["cross_validated"].items())
    lines = [f"chosen: {found['chosen']} (val, cross-validated over dialogues: {scores})"]
    if weights := found["fitted"].get("weights"):
        lines.append(
            "weights: " + ", ".join(f"{name} {value:.2f}" for name, value in weights.items())
        )
    if unseen := found["fitted"].get("never_seen"):
        lines.append(
            f"no utterance of val has {' or '.join(unseen)}: what it says of test is left out"
        )
    lines.append(
        f"oracle: some modality is right for {found['oracle']:.1%} of {found['n']} test utterances"
    )
    for name, fixed in found["fixes"].items():
        others = ", ".join(
            f"{other} is right in {count}" for other, count in fixed.items() if other != "wrong"
        )
        if others:
            lines.append(f"where {name} is wrong ({fixed['wrong']}): {others}")
    for name in (*found["modalities"], "fused"):
        error = found["calibration"][name]
        before = f"{error['before']:.3f} before, " if "before" in error else ""
        lines.append(f"calibration error, {name}: {before}{error['after']:.3f} after")
    return lines
