"""Size, speed and val score of a model loaded in int8, beside the full one.

    python benchmarks/int8_loading.py runs/text-bert/HASH

Takes a finished run whose corpus is prepared, and whose model holds its encoder (text, wav2vec2).
The full model is first compared with the run's own logits of val; where they differ nothing is
timed and the exit status is 1. Otherwise it is 0, whatever int8 gains or loses. Both then score val
in turn. Reads the run and its caches. The last line printed is one JSON object.
"""

import argparse
import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Timing, one_thread, summary, timed

TOLERANCE = 1e-5  # of logits, fp32
WAYS = ("full", "int8")


def main() -> int:
    """Compares, then measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    one_thread(args.threads)
    import torch

    from meld_lightning.inference.loaded import load_model
    from meld_lightning.inference.members import where_it_ran
    from meld_lightning.inference.quantised import weight_bytes
    from meld_lightning.metrics import scores
    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.runs.run import load_run
    from meld_lightning.training.build import build
    from meld_lightning.training.process import quieten

    quieten()
    run = load_run(args.run.resolve())
    os.chdir(where_it_ran(run))
    datamodule = build(run.config, read_inputs(run.config)).datamodule
    modules = {way: load_model(run.folder, int8=way == "int8").module for way in WAYS}

    def logits(way: str) -> np.ndarray:
        with torch.inference_mode():
            found = [
                (batch.rows_N, modules[way](batch))
                for batch in datamodule.scoring_dataloader("val")
            ]
        rows_N = torch.cat([rows for rows, _ in found])
        return torch.cat([one for _, one in found])[rows_N.argsort()].numpy()

    own = run.logits("val").set_index("key").loc[datamodule.table["key"][datamodule.rows("val")]]
    own_NC = own[[f"logit.{label}" for label in run.result.labels]].to_numpy()
    off = float(np.abs(logits("full") - own_NC).max())
    print(f"largest difference of the full model from the run's own logits: {off:.1e}", flush=True)
    told: dict[str, Any] = {"same": off <= TOLERANCE, "difference": off, "n": len(own_NC)}
    if told["same"]:
        labels_N = np.array([run.result.labels.index(label) for label in own["label"]])
        rounds: dict[str, list[Timing]] = {way: [] for way in WAYS}
        for _ in range(args.rounds):  # both in this process: what differs is the model alone
            for way in WAYS:
                rounds[way].append(timed(functools.partial(logits, way), len))
        told["ways"] = summary(rounds, "utterance", {}, "full")
        for way in WAYS:
            output_NC = rounds[way][0].output
            found = {
                "weights_mb": weight_bytes(modules[way]) / 1e6,
                "val_weighted_f1": scores(labels_N, output_NC)["weighted_f1"],
                "same_label": float((output_NC.argmax(1) == own_NC.argmax(1)).mean()),
            }
            told["ways"][way] |= found
            print(
                f"{way}: {found['weights_mb']:.1f} MB of weights, val weighted F1"
                f" {found['val_weighted_f1']:.4f}, the full model's label for"
                f" {found['same_label']:.1%}"
            )
    print(json.dumps(told))
    return 0 if told["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
