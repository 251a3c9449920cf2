"""Time of predicting a folder of clips: in one call, clip by clip, and that of the models alone.

    python benchmarks/prediction.py --source FOLDER --clips FOLDER [--count 64] [--rounds 3]

Three ways over the same clips with one loaded Predictor, taken in turn:

    one_call    all clips in one call, decoding included
    each_call   a call for each clip
    models      the models alone, on clips that are decoded already: encoders, heads, no fusion

Goals, in wall time: each_call takes 3 times one_call or more, one_call at most 1.2 times models.
The first depends on what a call costs besides the models, the second on how much heavier the models
are than decoding; the reader chooses both by what --source and --clips name. Probabilities of the
first two ways are compared first; where they are more than 1e-4 apart nothing is timed and the exit
status is 1. Otherwise it is 0, however fast or slow. Writes to temporary folders alone. The last
line printed is one JSON object.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.side_by_side import Timing, timed
from meld_lightning.inference.answers.output import LABEL
from meld_lightning.inference.items.media import decode_items
from meld_lightning.inference.items.table import read_items
from meld_lightning.inference.parts import Scoring
from meld_lightning.inference.predictor import Asked, Predictor
from meld_lightning.training.process import quieten

TOLERANCE = 1e-4  # of probabilities
GOALS = {"each_call": 3.0, "models": 1 / 1.2}  # of one_call's time


def main(arguments: list[str] | None = None) -> int:
    """Compares, then measures; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="a run, a fusion or an exported folder")
    parser.add_argument("--clips", required=True, help="a folder of clips, or a table")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    quieten()
    predictor = Predictor.from_pretrained(given.source, allow_mini=True)
    items = read_items(given.clips).iloc[: given.count].reset_index(drop=True)
    ways = {"one_call": one_call, "each_call": each_call, "models": models(predictor, items)}
    difference = float(
        np.abs(one_call(predictor, items) - each_call(predictor, items)).max()  # warms up, too
    )
    print(f"{len(items)} items; largest difference of probabilities: {difference:.2e}")
    if difference > TOLERANCE:
        print(f"more than {TOLERANCE:.0e}: the results differ, so nothing is timed")
        print(json.dumps({"same": False, "items": len(items), "difference": difference}))
        return 1
    found: dict[str, list[Timing]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, way in ways.items():
            found[name].append(timed(partial(way, predictor, items), len))
    wall = {name: statistics.median(one.wall_s for one in each) for name, each in found.items()}
    for name, seconds in wall.items():
        ratio = seconds / wall["one_call"]
        goal = f", goal {GOALS[name]:.2f} or more" if name in GOALS else ""
        print(f"{name:<10} {seconds:8.2f} s  {ratio:5.2f} times one_call{goal}")
    print(json.dumps({"same": True, "items": len(items), "difference": difference, "wall_s": wall}))
    return 0


def one_call(predictor: Predictor, items: pd.DataFrame) -> np.ndarray:
    """Probabilities (N, C)."""
    return probabilities(predictor.answer(items, Asked(), Scoring()))


def each_call(predictor: Predictor, items: pd.DataFrame) -> np.ndarray:
    """Probabilities (N, C)."""
    rows = [items.iloc[[row]].reset_index(drop=True) for row in range(len(items))]
    return np.concatenate(
        [probabilities(predictor.answer(row, Asked(), Scoring())) for row in rows]
    )


def models(
    predictor: Predictor, items: pd.DataFrame
) -> Callable[[Predictor, pd.DataFrame], np.ndarray]:
    """A way that scores clips which are decoded here, before it is timed."""
    kept = tempfile.TemporaryDirectory()
    decoded: dict[str, Any] = {
        name: decode_items(items, member.media_settings, Path(kept.name))
        for name, member in predictor.source.members.items()
        if member.model.decoded
    }

    def models_alone(predictor: Predictor, items: pd.DataFrame) -> np.ndarray:
        """Logits (N, C) of each model, side by side; `kept` lives as long as this function."""
        with tempfile.TemporaryDirectory(dir=kept.name) as features:
            return np.concatenate(
                [
                    member.score(items, decoded.get(name), Path(features)).logits_NC
                    for name, member in predictor.source.members.items()
                ],
                axis=1,
            )

    return models_alone


def probabilities(answers: pd.DataFrame) -> np.ndarray:
    """Of each label (N, C)."""
    return answers[[name for name in answers if name.startswith(LABEL)]].to_numpy()


if __name__ == "__main__":
    sys.exit(main())
