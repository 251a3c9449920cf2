"""How many errors of one modality another would fix.

Reads and writes no files; used by fit.py. Axes: M modalities, N utterances, C classes.
"""

from typing import Any

from meld_lightning.fusion.joined import Joined


def complementarity(test: Joined) -> dict[str, Any]:
    """The modalities' errors, as fusion.json reports them; a missing modality is never right.

    Returns:
        oracle: the accuracy of always taking a modality that is right, where there is one.
        fixes: modality -> {"wrong": utterances it gets wrong, other modality -> how many of these
            the other gets right}.
        n: utterances.
    """
    right_MN = (test.batch.log_probs_MNC.argmax(-1) == test.labels_N) & test.batch.present_MN
    right = dict(zip(test.modalities, right_MN, strict=True))
    fixes = {
        one: {"wrong": int((~right[one]).sum())}
        | {other: int((~right[one] & right[other]).sum()) for other in right if other != one}
        for one in right
    }
    return {"oracle": float(right_MN.any(0).mean()), "fixes": fixes, "n": len(test.labels_N)}
