"""Groups of utterances: each row is in the group that its own facts put it in."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from meld_lightning.corpus import EMOTIONS
from meld_lightning.errors import NotPrepared
from meld_lightning.report.groupings import groupings

# split, dialogue, utterance, speaker, text; train has seven speakers, of whom Gil speaks least
TRAIN = [("train", 0, number, name, "x") for number, name in enumerate("AABBCCDDEEFFG")]
TEST = [
    ("test", 3, 12, "A", "one two three"),
    ("test", 3, 2, "G", "one two three four"),
    ("test", 3, 30, "New", "word " * 16),
    ("test", 9, 0, None, ""),
]


@pytest.fixture
def table() -> pd.DataFrame:
    columns = ["split", "dialogue_id", "utterance_id", "speaker", "text"]
    rows = pd.DataFrame([*TRAIN, *TEST], columns=columns)
    return rows.assign(key=[f"{s}/{d}_{u}" for s, d, u, *_ in [*TRAIN, *TEST]])


def found(table: pd.DataFrame, name: str, **speakers: Any) -> dict[str, str]:
    names = [] if speakers else [name]
    (one,) = groupings(table, names, speakers, "test")
    assert one.name == name
    assert set(one.group_of.values()) <= set(one.groups)
    return {key.removeprefix("test/"): group for key, group in one.group_of.items()}


def test_speakers_are_the_frequent_ones_of_train_and_the_others(table: pd.DataFrame) -> None:
    frequent, others = "6 most frequent in train", "all others"
    assert found(table, "speaker") == {"3_12": frequent, "3_2": others, "3_30": others}
    seen, unseen = "speaks in train", "does not speak in train"
    assert found(table, "seen") == {"3_12": seen, "3_2": seen, "3_30": unseen}


def test_lengths_are_in_words_and_places_in_turns(table: pd.DataFrame) -> None:
    assert found(table, "length") == {
        "3_12": "1 to 3 words",
        "3_2": "4 to 8 words",
        "3_30": "16 words or more",
    }
    # by the order of the turns that are there, whatever their numbers
    assert found(table, "position") == {
        "3_2": "first turn",
        "3_12": "turns 2 to 4",
        "3_30": "turns 2 to 4",
        "9_0": "first turn",
    }


def test_each_frequent_speaker_is_a_group_and_the_others_are_one(table: pd.DataFrame) -> None:
    assert found(table, "each_speaker") == {"3_12": "A", "3_2": "G", "3_30": "New"}
    many = pd.DataFrame(
        {"speaker": [f"speaker {place % 12:02d}" for place in range(24)] + ["Gunther"]}
    )
    many = many.assign(split="test", key=[f"test/{place}" for place in many.index])
    (one,) = groupings(many, ["each_speaker"], {}, "test")
    assert one.groups == (*(f"speaker {place:02d}" for place in range(12)), "all others")
    assert one.group_of["test/24"] == "all others"


def test_a_shift_is_from_the_turn_before_in_the_same_dialogue(table: pd.DataFrame) -> None:
    emotions = ["joy"] * len(TRAIN) + ["joy", "joy", "fear", "fear"]
    assert found(table.assign(emotion=emotions), "shift") == {
        "3_2": "first turn",
        "3_12": "emotion stays",
        "3_30": "emotion changes",
        "9_0": "first turn",
    }


def test_declared_groups_go_by_the_speakers_names(table: pd.DataFrame) -> None:
    table["speaker"] = [f"actor_{number:02d}" for number in range(len(table) - 1)] + [None]
    sexes = {"male": "*[13579]", "female": "*[02468]"}
    assert found(table, "sex", sex=sexes) == {"3_12": "male", "3_2": "female", "3_30": "male"}


def test_agreement_is_that_of_the_readers(table: pd.DataFrame) -> None:
    with pytest.raises(NotPrepared, match=r"corpus.votes=FILE"):
        groupings(table, ["agreement"], {}, "test")
    votes: dict[str, Any] = {f"votes.{name}": 0 for name in EMOTIONS}
    counts = {"joy": [5, 1, 2, 0], "fear": [0, 4, 2, 0], "anger": [0, 0, 1, 0]}
    for name, values in counts.items():
        votes[f"votes.{name}"] = pd.array([0] * len(TRAIN) + values, "Int64")
    assert found(table.assign(**votes), "agreement") == {
        "3_12": "5 of 5 agree",
        "3_2": "4 of 5 agree",
        "3_30": "no majority",
    }


def test_the_speakers_of_every_fold_are_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fold of a run that pools folds has its own speakers in test."""
    from types import SimpleNamespace

    from omegaconf import OmegaConf

    from meld_lightning.report import groupings as module

    def of_fold(speaker: str) -> SimpleNamespace:
        row = {"key": speaker, "split": "test", "speaker": speaker}
        return SimpleNamespace(table=pd.DataFrame([row]), digest="d")

    corpora = iter([of_fold("Ann"), of_fold("Ben")])
    monkeypatch.setattr(module, "prepared_corpus", lambda *_: next(corpora))
    result = SimpleNamespace(digests={"corpus": "d"})
    part = SimpleNamespace(config=OmegaConf.create({"corpus": {}}), result=result, folder="f")
    monkeypatch.setattr(module, "unpooled", lambda run: [part, part])
    cfg: Any = OmegaConf.create({"corpus": {}, "paths": {"cache": "cache"}})
    [found] = module.groupings_of(cfg, part, ["each_speaker"], {}, "test")
    assert found.groups == ("Ann", "Ben")
    assert found.group_of == {"Ann": "Ann", "Ben": "Ben"}
