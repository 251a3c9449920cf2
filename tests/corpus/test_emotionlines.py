"""Readers' votes: joined to the right rows, counted in the report, and in no other result."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from meld_lightning.corpus import load_corpus, prepare_corpus, prepared_corpus, prepared_folder
from meld_lightning.corpus.emotionlines import VOTED, agreement, read_emotionlines, votes_of
from meld_lightning.corpus.report.votes import readers_labels
from meld_lightning.errors import UserError
from tests.corpus.conftest import HEADER

SHARED = Path(__file__).parents[2] / "../shared/data/emotionlines/friends.json"
Spoken = Sequence[tuple[str, str]]
SCENE = [("Ada", "What?"), ("Bob", "It’s over there."), ("Ada", "What?"), ("Bob", "Oh, fiiine!")]
OTHER = [("Cleo", "Good morning, all of you."), ("Dan", "Who took my cup?")]
GREETING = [("Ada", "Hey!")]


def dialogues_csv(*dialogues: Spoken) -> str:
    """MELD's CSV of these dialogues; every label is joy."""
    lines = [
        f'1,"{text}",{speaker},joy,positive,{number},{place},1,1,"00:00:01,000","00:00:02,000"\r\n'
        for number, dialogue in enumerate(dialogues)
        for place, (speaker, text) in enumerate(dialogue)
    ]
    return HEADER + "".join(lines)


def votes_file(folder: Path, *dialogues: Sequence[tuple[str, str, str]]) -> Path:
    """EmotionLines' file of (speaker, text, annotation)."""
    found = [
        [{"speaker": s, "utterance": t, "emotion": "joy", "annotation": a} for s, t, a in dialogue]
        for dialogue in dialogues
    ]
    path = folder / "friends.json"
    path.write_text(json.dumps(found))
    return path


@pytest.fixture
def root(meld_like: Callable[..., Path]) -> Path:
    return meld_like(train=dialogues_csv([*SCENE, *OTHER], GREETING))


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """The scene under another encoding and spelling, with a line that MELD lacks; the rest of the
    dialogue in a dialogue of its own; and a greeting that two dialogues hold."""
    return votes_file(
        tmp_path,
        [
            ("Ada", "What?!", "5000000"),
            ("Bob", "It\u0092s over there", "0400001"),
            ("Eve", "Nobody kept this line.", "0000050"),
            ("Ada", "WHAT?", "0300020"),
            ("Bob", "Oh, fine!", "0200210"),
        ],
        [("Cleo", "Good morning, all of you.", "0050000"), ("Dan", "Who took my cup?", "0005000")],
        [("Ada", "Hey!", "0500000")],
        [("Ada", "Hey!", "5000000")],
    )


def test_each_row_gets_the_votes_of_its_own_line(root: Path, votes: Path) -> None:
    corpus = load_corpus(root, votes=votes)
    train = corpus.table[corpus.table["split"] == "train"]
    found_NC = votes_of(train, VOTED)
    assert found_NC is not None
    joined = ["".join(str(count) for count in row) for row in found_NC]
    scene = ["5000000", "0400001", "0300020", "0200210"]  # the second What? is not the first
    assert joined == [*scene, "0050000", "0005000", "0000000"]
    assert agreement(found_NC).tolist() == ["5", "4", "3", "tie", "5", "5", ""]


def test_the_report_counts_what_was_joined_and_whose_labels_are_the_readers(
    root: Path, votes: Path
) -> None:
    report = load_corpus(root, votes=votes).report
    found = report["votes"]
    assert found["joined"] == {"train": 6, "val": 0, "test": 0}
    assert found["ambiguous"] == {"train": 1, "val": 0, "test": 0}
    assert found["not_found"] == {"train": 0, "val": 1, "test": 1}
    assert found["other_lines"] == 3  # the line that MELD lacks, and both greetings
    levels = {level: one["train"] for level, one in found["agreement"].items()}
    assert levels == {
        "5": {"rows": 3, "labels": 0},  # every label is joy
        "4": {"rows": 1, "labels": 1},
        "3": {"rows": 1, "labels": 1},
        "tie": {"rows": 1, "labels": 1},
    }
    assert readers_labels(found, "train") == (2, 5)
    assert [source["name"] for source in report["sources"]][-1].endswith("friends.json")


def test_votes_are_prepared_and_move_nothing_else(root: Path, votes: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    plain = {"name": "meld", "layout": "meld", "root": str(root), "split": None}
    voted = {**plain, "votes": str(votes)}
    bare, corpus = (prepare_corpus(OmegaConf.create(one), cache) for one in (plain, voted))
    assert bare.digest == corpus.digest
    assert "votes" not in bare.report
    assert votes_of(bare.table, VOTED) is None
    read = prepared_corpus(OmegaConf.create(voted), cache)
    np.testing.assert_array_equal(votes_of(read.table, VOTED), votes_of(corpus.table, VOTED))
    text = (prepared_folder(OmegaConf.create(voted), cache) / "report.md").read_text()
    assert "does not allow anything joined with them to be passed on" in text
    finding = "agree in 5 of 6 rows (83.3%), and the label is theirs in 2 of these (40.0%)"
    assert finding in text
    votes.write_text(votes.read_text().replace("5000000", "4000001"))
    with pytest.raises(UserError, match=rf"friends.json: missing or changed.*corpus.votes={votes}"):
        prepared_corpus(OmegaConf.create(voted), cache)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file; expected EmotionLines' own file"),
        ("[[", "cannot be read as JSON; expected"),
        ('{"a": 1}', "is no list of dialogues; expected"),
        ('[["Hey!"]]', "dialogue 1, line 1: has no text under 'speaker'; expected"),
        (
            '[[{"speaker": "A", "utterance": "Hey!", "annotation": 5}]]',
            "dialogue 1, line 1: has no text under 'annotation'; expected",
        ),
        (
            '[[], [{"speaker": "A", "utterance": "Hey!", "annotation": "500"}]]',
            "dialogue 2, line 1: annotation '500', expected 7 digits, the votes for neutral, joy",
        ),
        (
            '[[{"speaker": "A", "utterance": "Elsewhere", "annotation": "5000000"}]]',
            "no row of the corpus is in the file; expected",
        ),
    ],
)
def test_another_file_is_refused_in_one_line(
    content: str | None, said: str, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "given.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as refused:
        load_corpus(root, votes=path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_corpus_with_other_emotions_has_no_use_for_votes(votes: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    rows = [f"{n},Hey!,joy,{split},Ada,d{n}" for n, split in enumerate(("train", "val", "test"))]
    mine.write_text("id,text,emotion,split,speaker,dialogue\n" + "\n".join(rows) + "\n")
    with pytest.raises(UserError, match="the corpus has no neutral or sadness or"):
        load_corpus(mine, "manifest", votes=votes)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_file(), reason="EmotionLines is not at ../shared/data")
def test_melds_labels_are_the_readers_where_three_agree(meld_root: Path) -> None:
    found: dict[str, Any] = load_corpus(meld_root, votes=SHARED).report["votes"]
    assert found["joined"] == {"train": 9966, "val": 1109, "test": 2603}
    assert readers_labels(found, "train") == (8117, 8122)
    assert readers_labels(found, "val") == (905, 905)
    assert readers_labels(found, "test") == (2093, 2094)
    lines = sum(len(dialogue) for dialogue in read_emotionlines(SHARED))
    assert lines - found["other_lines"] == 9966 + 1109 + 2603  # no line is joined twice
