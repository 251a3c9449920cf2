"""The layout "crema_d": the clips of CREMA-D, which people voted on; no media are read.

Reads the votes (see vote_counts.py) for the names of the clips alone: a name such as
1001_DFA_ANG_XX states actor, sentence, acted emotion and intensity (Cao et al., CREMA-D, IEEE
Transactions on Affective Computing 5, 2014). Used by load.py.
"""

import re
from pathlib import Path

import pandas as pd

from meld_lightning.corpus.folds import split_by_units
from meld_lightning.corpus.labels import EMOTIONS, ordered
from meld_lightning.corpus.readers.layout import Found, ReadRequest
from meld_lightning.corpus.table import typed
from meld_lightning.corpus.vote_counts import read_votes, votes_file
from meld_lightning.errors import UserError

VERSION = 1

NAME = re.compile(r"(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_[A-Z]{1,2}")
ACTED = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "joy",
    "NEU": "neutral",
    "SAD": "sadness",
}
SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
NOTE = (
    "CREMA-D: H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova and R. Verma, IEEE"
    " Transactions on Affective Computing 5(4), 2014; Open Database License 1.0, contents under the"
    " Database Contents License 1.0. The label of a clip is the emotion that its actor was asked to"
    " act. Each sentence is spoken with every emotion, so the text says nothing about it."
)


def read(request: ReadRequest) -> Found:
    """Every clip with votes, by name; folds keep actors whole. UserError for a name that is not
    CREMA-D's and for a corpus.split that would divide actors."""
    if request.split != "speaker":
        raise UserError(
            f"corpus.split={request.split or 'null'}: CREMA-D has no split of its own, and an actor"
            " must not be in two of them; set corpus.split=speaker"
        )
    path = votes_file(request.root)
    rows = [_row(path, key) for key in sorted(read_votes(path).index)]
    actors = [row["speaker"] for row in rows]
    splits = split_by_units(actors, request.folds, request.fold)
    table = typed(pd.DataFrame(rows).assign(split=splits, unit=actors))
    return Found(
        name="crema_d",
        folder=path.parent,
        table=table,
        emotions=ordered(table["emotion"], EMOTIONS),
        sentiments=(),
        sources=(path,),
        repaired=(0,) * len(rows),
        note=NOTE,
    )


def _row(path: Path, key: str) -> dict[str, str]:
    found = NAME.fullmatch(key)
    if not found or found["emotion"] not in ACTED or found["sentence"] not in SENTENCES:
        raise UserError(
            f"{path}: {key!r} is no name of a CREMA-D clip, such as 1001_DFA_ANG_XX; correct it or"
            " remove the row"
        )
    return {
        "key": key,
        "speaker": found["actor"],
        "text": SENTENCES[found["sentence"]],
        "emotion": ACTED[found["emotion"]],
    }
