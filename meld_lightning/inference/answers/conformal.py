"""Sets of labels that contain the true one with a given probability, by MAPIE (extra
`[conformal]`).

Reads and writes no files. Used by decision.py. Axes: N utterances, C classes.
"""

import warnings

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.inference.val_scores import ValScores


def label_sets(val: ValScores, probabilities_NC: np.ndarray, level: float) -> np.ndarray:
    """The labels in the set of each row of `probabilities_NC`, bool (N, C).

    Split conformal prediction with the score 1 - p (Sadinle, Lei and Wasserman, Least ambiguous
    set-valued classifiers with bounded error levels, JASA 2019): for a new utterance from the
    same distribution as val, the set contains the true label with probability `level` or more. If
    no label is probable enough, the set is empty.

    Raises UserError if MAPIE is missing, or if val has too few utterances for this level.
    """
    try:
        from mapie.classification import SplitConformalClassifier
    except ImportError:
        raise UserError(
            "conformal= needs MAPIE, which is not installed; run: pip install"
            " 'meld-lightning[conformal]'"
        ) from None
    if len(val.labels_N) <= max(1 / level, 1 / (1 - level)):
        raise UserError(
            f"conformal={level:g}: val has {len(val.labels_N)} utterances, too few for sets of this"
            " level; choose one nearer to 0.5"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a rare label may be missing from val
        classifier = SplitConformalClassifier(
            _given(probabilities_NC.shape[1]), confidence_level=level, prefit=True
        )
        classifier.conformalize(val.probabilities_NC, val.labels_N)
        if not len(probabilities_NC):
            return np.zeros(probabilities_NC.shape, dtype=bool)
        return classifier.predict_set(probabilities_NC)[1][:, :, 0]


def _given(classes: int) -> object:
    """A scikit-learn classifier whose inputs are the probabilities themselves."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(classes)

        def fit(self, inputs: np.ndarray, labels: np.ndarray) -> "Given":
            return self

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
            return inputs

        def predict(self, inputs: np.ndarray) -> np.ndarray:
            return inputs.argmax(1)

    return Given()
