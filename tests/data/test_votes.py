"""Votes as log-probabilities: smoothed shares, and draws of a few votes that are parts of one
another."""

import numpy as np

from meld_lightning.data.votes import votes_as_predictions, votes_digest

KEYS = ["a", "b", "c", "d"]
VOTES_NC = np.array([[3, 1, 0], [0, 0, 0], [0, 9, 1], [4, 4, 4]])


def test_shares_are_smoothed_and_no_votes_are_missing() -> None:
    found = votes_as_predictions(VOTES_NC, "voice", KEYS, 1.0, None, seed=1)
    assert found.given_N.tolist() == [True, False, True, True]
    np.testing.assert_allclose(np.exp(found.logits_NC[0]), [4 / 7, 2 / 7, 1 / 7])
    assert np.isnan(found.logits_NC[1]).all()


def test_fewer_votes_are_a_part_of_more() -> None:
    def drawn(most: int, seed: int) -> np.ndarray:
        found = votes_as_predictions(VOTES_NC, "voice", KEYS, 1.0, most, seed)
        present = found.logits_NC[found.given_N]
        return np.rint(np.exp(present) * (most + VOTES_NC.shape[1]) - 1)

    for seed in range(20):
        one, two, three = (drawn(most, seed) for most in (1, 2, 3))
        assert (one.sum(1) == 1).all()
        assert (three.sum(1) == 3).all()
        assert (one <= two).all()
        assert (two <= three).all()
        assert (three <= VOTES_NC[[0, 2, 3]]).all()
    assert any((drawn(1, 1) != drawn(1, seed)).any() for seed in range(2, 9))


def test_votes_on_two_modalities_are_drawn_independently() -> None:
    """Two votes of four for each of two labels agree by chance in half of the utterances."""
    votes_NC, keys = np.full((2000, 2), 2), [str(number) for number in range(2000)]
    voice, face = (
        votes_as_predictions(votes_NC, perceived, keys, 1.0, 1, seed=1).logits_NC.argmax(1)
        for perceived in ("voice", "face")
    )
    assert 0.45 < (voice == face).mean() < 0.55  # 4.5 standard errors


def test_the_digest_is_of_the_votes_in_any_order() -> None:
    one = votes_digest(VOTES_NC, KEYS)
    assert votes_digest(VOTES_NC[::-1], KEYS[::-1]) == one
    assert votes_digest(VOTES_NC, KEYS[::-1]) != one
