"""Batches: every utterance once per epoch, grouped by length, the same on all ranks and after a
resume."""

import numpy as np
import pytest

from meld_lightning.data.batches import (
    EpochPlan,
    balanced_draw,
    by_length,
    length_grouped,
    rank_share,
)

LENGTHS = np.random.default_rng(0).geometric(1 / 14, 2001)


def padding(batches: list[np.ndarray]) -> float:
    cells = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    return 1 - LENGTHS.sum() / cells


@pytest.mark.parametrize("batch_size", [8, 31, 5000])
def test_an_epoch_holds_every_row_once(batch_size: int) -> None:
    batches = length_grouped(LENGTHS, batch_size, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(2001))
    assert sorted(len(batch) for batch in batches)[1:] == [min(batch_size, 2001)] * (
        len(batches) - 1
    )


def test_grouping_leaves_little_padding_and_every_epoch_is_shuffled() -> None:
    first, second = (length_grouped(LENGTHS, 16, seed=1, epoch=epoch) for epoch in (0, 1))
    shuffled = np.random.default_rng(1).permutation(2001)
    assert padding(first) < 0.1 < 0.5 < padding(np.array_split(shuffled, 126))
    assert {tuple(sorted(batch)) for batch in first} != {tuple(sorted(batch)) for batch in second}
    longest = [LENGTHS[batch].max() for batch in first]  # says nothing of a batch's place
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.3


def test_ranks_share_a_batch_and_score_each_row_once() -> None:
    for batch in (np.arange(7), np.arange(1)):
        shares = [rank_share(batch, rank, 2) for rank in (0, 1)]
        owned = [rank < len(batch) for rank in (0, 1)]
        assert sorted(
            np.concatenate([s for s, own in zip(shares, owned, strict=True) if own])
        ) == list(batch)
        assert all(len(s) for s in shares)
    scored = np.concatenate([np.concatenate(by_length(LENGTHS, 64, rank, 3)) for rank in range(3)])
    assert sorted(scored) == list(range(2001))


def test_a_plan_continues_at_its_first_unseen_batch() -> None:
    plan = EpochPlan(LENGTHS, 16, seed=3)
    whole = [tuple(batch) for batch, _ in plan]
    plan.first = 40
    assert [tuple(batch) for batch, _ in plan] == whole[40:]


def test_oversampling_draws_classes_equally() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [3] * 10)
    draw = balanced_draw(labels)
    assert draw.sum() == pytest.approx(1)
    drawn = np.concatenate(length_grouped(np.ones(1000, dtype=int), 10, 0, 0, draw))
    assert np.bincount(labels[drawn], minlength=4) == pytest.approx([333, 333, 0, 333], abs=60)
