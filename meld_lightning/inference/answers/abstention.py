"""When not to answer: the least confidence that keeps the share of wrong answers below a stated
risk.

Reads and writes no files. Used by decision.py. Axis: N utterances of val.
"""

from dataclasses import dataclass

import numpy as np

from meld_lightning.inference.val_scores import ValScores

DELTA = 0.05  # probability, over the sampling of val, that a bound does not hold


@dataclass(frozen=True)
class Threshold:
    """The least confidence that is answered.

    confidence: infinite if val supports no threshold, so that nothing is answered.
    coverage: the share of val that is answered.
    error: the share of wrong answers among those, on val.
    bound: upper bound of the share of wrong answers among new utterances that are answered; it
        holds with probability 1 - DELTA.
    utterances: the number of utterances of val.
    """

    confidence: float
    coverage: float
    error: float
    bound: float
    utterances: int


def threshold_for(val: ValScores, risk: float) -> Threshold:
    """A threshold with a large coverage whose bound is at most `risk`.

    This is the SGR algorithm of Geifman and El-Yaniv, Selective classification for deep neural
    networks, NeurIPS 2017: a binary search over the confidences of val. Each of its ceil(log2 N)
    steps computes a bound at level DELTA / ceil(log2 N), so that all bounds hold together with
    probability 1 - DELTA.
    """
    order_N = np.argsort(-val.confidences, kind="stable")
    confidence_N, wrong_N = val.confidences[order_N], val.mistakes[order_N]
    count = len(order_N)
    best = Threshold(np.inf, 0.0, 0.0, 0.0, count)
    steps = max(1, int(np.ceil(np.log2(max(count, 2)))))
    fewest, most = 0, count  # counts of answers; `fewest` meets the bound, or is 0
    for _ in range(steps):
        wanted = -(-(fewest + most) // 2)
        if wanted <= fewest or not count:
            break
        # utterances of equal confidence are answered together
        answered = int((confidence_N >= confidence_N[wanted - 1]).sum())
        mistakes = int(wrong_N[:answered].sum())
        bound = upper_bound(mistakes, answered, DELTA / steps)
        if bound <= risk:
            best = Threshold(
                float(confidence_N[wanted - 1]), answered / count, mistakes / answered, bound, count
            )
            fewest = max(wanted, min(answered, most))
        else:
            most = wanted - 1
    return best


def upper_bound(mistakes: int, answered: int, delta: float) -> float:
    """The largest error rate under which `mistakes` or fewer of `answered` independent answers
    being wrong has a probability of `delta` (Clopper and Pearson, Biometrika 1934)."""
    from scipy.special import betaincinv

    if mistakes >= answered:
        return 1.0
    return float(betaincinv(mistakes + 1, answered - mistakes, 1 - delta))
