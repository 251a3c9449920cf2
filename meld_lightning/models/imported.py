"""The settings of predictions that another program, or people, made. There is no network here:
training/imported.py reads them from a file and scores them.
"""

from typing import Literal


class Imported:
    """Predictions from a file: `predictions=FILE`.

    Args:
        name: names the run's folder and its model in reports.
        modality: what the predictions were made from, as a fusion names it: text, audio, video or a
            word of your own, such as votes.
        scores: what the file's columns hold; each row of probabilities has to sum to 1.
    """

    def __init__(
        self,
        name: str,
        modality: str = "imported",
        scores: Literal["probabilities", "logits"] = "probabilities",
    ) -> None:
        self.name, self.modality, self.scores = name, modality, scores
