"""A mini corpus of a few utterances, from which "mini:roberta" is made, and odd texts to encode."""

from collections.abc import Sequence

import pandas as pd
import pytest

from meld_lightning.mini.checkpoints import MiniSources, recipe
from meld_lightning.pretrained.checkpoints import Recipe

TEXTS = ["Oh my God!", "I’m so happy for you.", "What? No way, no way!", "Get out of my house."] * 5
ODD_TEXTS = ["", " ", "I’m 😀 okay", "naïve\u0085 café", "  two  spaces ", "한국어", "<s> </s>"]
PREPARE_MINI = """
import json, sys
from pathlib import Path
from meld_lightning.pretrained.checkpoints import prepare_checkpoint
from tests.pretrained.made import made_of
made = made_of(json.loads(sys.argv[2]))
print(prepare_checkpoint("mini:roberta", Path(sys.argv[1]), made).digest)
"""


def made_of(texts: Sequence[str]) -> Recipe:
    """How to make "mini:roberta" from these utterances; nothing asks for their clips."""
    table = pd.DataFrame({"text": texts, "split": "train", "emotion": "neutral"})
    return recipe("mini:roberta", MiniSources(table, pytest.fail))
