"""The settings of imported predictions, made by another program or by people.

There is no network: training/imported.py reads the predictions from a file and scores them.
"""

from typing import Annotated, Literal

from pydantic import Field


class Imported:
    """Predictions from a file: `predictions=FILE`.

    Args:
        name: names the run's folder and its model in reports.
        modality: what the predictions were made from: text, audio, video or a word of your own,
            such as votes.
        scores: what the file's columns hold; each row of probabilities has to sum to 1. Votes are
            numbers of people, in columns such as voice_joy for model.modality=voice.
        smoothing: with votes: added to the votes for each label, so that none has probability 0.
        votes: with votes: how many of each utterance's votes are drawn at random; null: all.
    """

    def __init__(
        self,
        name: str,
        modality: str = "imported",
        scores: Literal["probabilities", "logits", "votes"] = "probabilities",
        smoothing: Annotated[float, Field(gt=0)] = 1.0,
        votes: Annotated[int, Field(ge=1)] | None = None,
    ) -> None:
        self.name, self.modality, self.scores = name, modality, scores
        self.smoothing, self.votes = smoothing, votes
