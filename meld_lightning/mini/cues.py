"""The probability model of the mini corpus: P(cue | emotion), from which the best possible accuracy
follows.

Each modality shows one cue: with probability 1 - share the emotion's own cue, otherwise an
ambiguous cue that several emotions share. Reads and writes nothing; used by corpus.py and by tests
that need known answers.

Axes: M modalities, N utterances, C emotions, K cues.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meld_lightning.corpus.labels import EMOTIONS
from meld_lightning.mini.words import AMBIGUOUS

# About MELD's proportions, with the rare ones raised so that every split contains all seven.
PRIOR = {
    "neutral": 0.46,
    "joy": 0.17,
    "surprise": 0.12,
    "anger": 0.11,
    "sadness": 0.07,
    "disgust": 0.035,
    "fear": 0.035,
}
PRIOR_C = np.array([PRIOR[name] for name in EMOTIONS])


@dataclass(frozen=True)
class Cues:
    """The cues of one modality.

    share: the probability that a cue is ambiguous.
    sets: ambiguous cue -> emotion -> the cue's weight among that emotion's ambiguous cues.
    """

    share: float
    sets: Mapping[str, Mapping[str, float]]

    @property
    def names(self) -> tuple[str, ...]:
        """The emotions' own cues, then the ambiguous ones (K,)."""
        return (*EMOTIONS, *self.sets)

    @property
    def given_emotion(self) -> np.ndarray:
        """P(cue | emotion), (C, K)."""
        table = np.zeros((len(EMOTIONS), len(self.names)))
        for row, emotion in enumerate(EMOTIONS):
            weights = np.array([shares.get(emotion, 0.0) for shares in self.sets.values()])
            table[row, row] = 1 - self.share
            table[row, len(EMOTIONS) :] = self.share * weights / weights.sum()
        return table

    def posterior(self, cue: str) -> dict[str, float]:
        """P(emotion | cue), exactly."""
        joint_C = PRIOR_C * self.given_emotion[:, self.names.index(cue)]
        return dict(zip(EMOTIONS, (joint_C / joint_C.sum()).tolist(), strict=True))


CUES = {
    "text": Cues(0.3, {name: shares for name, (shares, _, _) in AMBIGUOUS.items()}),
    "audio": Cues(
        0.35,
        {
            "murmur": {"neutral": 1.0, "sadness": 0.7, "disgust": 0.6},
            "shout": {"anger": 1.0, "joy": 0.6, "surprise": 0.5, "neutral": 0.25},
            "gasp": {"fear": 1.0, "surprise": 0.8, "sadness": 0.3, "joy": 0.2},
        },
    ),
    "video": Cues(
        0.4,
        {
            "blank": {"neutral": 1.0, "sadness": 0.5, "fear": 0.3},
            "grimace": {"anger": 1.0, "disgust": 1.0, "fear": 0.5, "neutral": 0.2},
            "agape": {"surprise": 1.0, "joy": 0.8, "anger": 0.2},
        },
    ),
}


def optimum(posteriors_MNC: np.ndarray) -> np.ndarray:
    """P(emotion | all cues) (N, C) from each modality's posterior (M, N, C).

    The cues are independent given the emotion, so this is the product of the likelihoods and the
    prior. The posterior of a missing modality is the prior.
    """
    fused_NC = np.prod(posteriors_MNC / PRIOR_C, axis=0) * PRIOR_C
    return fused_NC / fused_NC.sum(1, keepdims=True)


def draw_posteriors(
    count: int, seed: int, modalities: Sequence[str] = tuple(CUES)
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `count` utterances without text or media: posteriors (M, N, C), and labels (N,) as
    indices into EMOTIONS."""
    rng = np.random.default_rng(seed)
    labels_N = rng.choice(len(EMOTIONS), count, p=PRIOR_C)
    posteriors = []
    for name in modalities:
        given_CK = CUES[name].given_emotion
        posterior_KC = (PRIOR_C[:, None] * given_CK / (PRIOR_C @ given_CK)).T
        below_NK = rng.random(count)[:, None] < given_CK.cumsum(1)[labels_N]
        posteriors.append(posterior_KC[below_NK.argmax(1)])
    return np.stack(posteriors), labels_N
