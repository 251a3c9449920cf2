"""Which modalities are right where others are wrong, and what a fusion makes of it."""

import numpy as np
import pytest

from meld_lightning.report.complement import Complement, complement
from meld_lightning.report.scored import Scored

LABELS = ("joy", "fear")


def scored(*right: bool) -> Scored:
    """Utterances of joy, of which these are predicted as joy."""
    n = len(right)
    keys = np.array([f"test/{place}" for place in range(n)], object)
    predicted = np.where(right, 0, 1)
    return Scored("a run", LABELS, keys, keys, np.zeros(n, np.int64), predicted, np.ones(n, bool))


@pytest.fixture
def found() -> Complement:
    voice = scored(True, True, True, False, False, False)
    face = scored(True, False, False, True, False, False)
    fusion = scored(True, True, False, False, True, False)
    return complement([(fusion, {"voice": voice, "face": face})])


def test_utterances_are_counted_by_the_modalities_that_are_right(found: Complement) -> None:
    assert {one.right: (one.n, one.fused) for one in found.subsets} == {
        ("voice", "face"): (1, 1),
        ("voice",): (2, 1),
        ("face",): (1, 0),
        (): (2, 1),
    }
    assert found.oracle == pytest.approx(4 / 6)
    assert found.fused == pytest.approx(3 / 6)


def test_what_the_fusion_owes_to_one_modality_are_those_that_it_gets_right(
    found: Complement,
) -> None:
    assert found.fused_with_one == {"voice": 1}  # and not the 2 of voice, nor face, which it misses
    assert found.fused_with_none == 1
