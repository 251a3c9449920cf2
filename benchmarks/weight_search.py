"""CPU time of searching fusion weights, beside a loop over scikit-learn's F1.

    python benchmarks/weight_search.py --steps 20

Two ways of scoring the same points of the simplex on the same logits of three modalities, taken in
turn, each in a process of its own:

    ours          fusion/searched.py's weight_scores
    scikit_learn  for every point the weighted sum, its argmax, and f1_score(average="weighted")

Goal, in CPU time: scikit_learn takes 70 times ours, at 231 points (--steps 20) and as many
utterances as MELD's test split. The logits are those that perfect models of the mini corpus would
have. Scores are compared first; where one is more than 1e-12 apart or another point is the best,
nothing is timed and the exit status is 1. Otherwise it is 0, however fast or slow. Reads and writes
no file. The last line printed is one JSON object.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.side_by_side import Timing, in_a_process, in_turn, one_thread, summary, timed

TOLERANCE = 1e-12  # of F1
GOALS = {"scikit_learn": 70.0}
REPEATS = 50  # searches that ours is timed over, since one takes milliseconds


@dataclass(frozen=True)
class Setting:
    """What is searched: the grid's parts of a whole, and how many utterances."""

    steps: int
    utterances: int


def ours(setting: Setting) -> Timing:
    """The project's way, REPEATS times over."""
    from meld_lightning.fusion.searched import weight_scores

    prior_C, evidence_MNC, labels_N, grid_WM = drawn(setting)
    weight_scores(prior_C, evidence_MNC, grid_WM, labels_N)
    return timed(
        lambda: [weight_scores(prior_C, evidence_MNC, grid_WM, labels_N) for _ in range(REPEATS)],
        lambda found: len(found) * len(grid_WM),
    )


def scikit_learn(setting: Setting) -> Timing:
    """The usual way, the whole of it once before: the garbage collection of all that was imported
    falls in there."""
    prior_C, evidence_MNC, labels_N, grid_WM = drawn(setting)
    _loop(prior_C, evidence_MNC, labels_N, grid_WM)
    return timed(lambda: _loop(prior_C, evidence_MNC, labels_N, grid_WM), len)


WAYS = (ours, scikit_learn)


def _loop(
    prior_C: np.ndarray, evidence_MNC: np.ndarray, labels_N: np.ndarray, grid_WM: np.ndarray
) -> np.ndarray:
    """Weighted F1 of every point (W,)."""
    from sklearn.metrics import f1_score

    scores = []
    for weight_M in grid_WM:
        fused_NC = prior_C + len(weight_M) * np.tensordot(weight_M, evidence_MNC, 1)
        scores.append(float(f1_score(labels_N, fused_NC.argmax(1), average="weighted")))
    return np.array(scores)


def drawn(setting: Setting) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Log prior (C,), evidence (M, N, C) as Searched makes it of calibrated models, labels (N,) and
    grid (W, M)."""
    from meld_lightning.fusion.joined import normalised
    from meld_lightning.fusion.method import FLOOR, log_prior
    from meld_lightning.fusion.searched import simplex
    from meld_lightning.mini.cues import draw_posteriors

    posteriors_MNC, labels_N = draw_posteriors(setting.utterances, seed=1)
    logits_MNC = normalised(np.log(np.maximum(posteriors_MNC, np.exp(FLOOR))))
    prior_C = log_prior(labels_N, logits_MNC.shape[-1])
    return prior_C, logits_MNC - prior_C, labels_N, simplex(len(logits_MNC), setting.steps)


def compare(setting: Setting) -> tuple[float, list[list[float]]]:
    """Largest difference of the two ways' F1s, and the best point (M,) of each, ours first."""
    from meld_lightning.fusion.searched import weight_scores

    prior_C, evidence_MNC, labels_N, grid_WM = drawn(setting)
    found_W = weight_scores(prior_C, evidence_MNC, grid_WM, labels_N)
    expected_W = _loop(prior_C, evidence_MNC, labels_N, grid_WM)
    best = [
        grid_WM[one_W.round(12).argmax()].tolist() for one_W in (found_W, expected_W)
    ]  # rounded as Searched does
    return float(np.abs(found_W - expected_W).max()), best


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=20, help="parts of a whole: 20 are weights in steps of .05"
    )
    parser.add_argument("--utterances", type=int, default=2610)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    one_thread(args.threads)
    setting = Setting(args.steps, args.utterances)
    difference, best = in_a_process(compare, setting)
    same = difference <= TOLERANCE and best[0] == best[1]
    print(f"F1s {difference:.1e} apart; best points " + " and ".join(map(str, best)), flush=True)
    told: dict[str, Any] = {"same": same, "difference": difference, "best": best}
    if same:
        told |= vars(args)
        told["ways"] = summary(in_turn(WAYS, args.rounds, setting), "point", GOALS, "ours")
    else:
        print(
            f"more than {TOLERANCE:.0e} or another point: the results differ, so nothing is timed",
            flush=True,
        )
    print(json.dumps(told))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
