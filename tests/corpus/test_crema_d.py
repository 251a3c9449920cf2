"""CREMA-D: its published file of votes and a table of the same votes are the same corpus."""

from pathlib import Path

import pandas as pd
import pytest

from meld_lightning.corpus import load_corpus
from meld_lightning.corpus.vote_counts import LETTERS, PERCEIVED, counts_of, read_votes
from meld_lightning.errors import UserError

EMOTIONS = ("neutral", "joy", "anger", "sadness", "disgust", "fear")
CLIPS = [
    f"{actor}_{sentence}_{emotion}_XX"
    for actor in (1001, 1002, 1003, 1004)
    for sentence, emotion in (("IEO", "ANG"), ("DFA", "HAP"), ("TSI", "SAD"))
]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder with a file as in CREMA-D's repository; clip n has n votes for joy by voice."""
    rows = [
        {
            "": 100_000 * kind + number,
            "fileName": clip,
            "numResponses": 9,
            **dict.fromkeys("ADFHNS", 1),
        }
        | {"H": number if kind == 1 else kind}
        for kind in PERCEIVED
        for number, clip in enumerate(CLIPS, start=1)
    ]
    path = tmp_path / "CREMA-D" / "processedResults" / "tabulatedVotes.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    return tmp_path / "CREMA-D"


@pytest.fixture
def table(published: Path, tmp_path: Path) -> Path:
    """The same votes, a row for each clip."""
    path = tmp_path / "votes.csv"
    read_votes(published).rename_axis("id").sample(frac=1, random_state=0).to_csv(path)
    return path


@pytest.mark.slow
def test_both_forms_are_the_same_corpus_and_the_same_votes(published: Path, table: Path) -> None:
    one, other = (
        load_corpus(path, "crema_d", split="speaker", folds=3, fold=1)
        for path in (published, table)
    )
    assert one.digest == other.digest
    assert one.emotions == ("joy", "anger", "sadness")
    assert set(one.table.groupby("split")["speaker"].nunique()) == {1, 2}
    [row] = one.table[one.table["key"] == "1001_DFA_HAP_XX"].to_dict("records")
    assert (row["text"], row["emotion"], row["unit"]) == ("Don't forget a jacket.", "joy", "1001")
    for path in (published, table):
        voice = counts_of(path, "voice", EMOTIONS)
        assert voice.loc[CLIPS, "joy"].tolist() == list(range(1, len(CLIPS) + 1))
        assert set(voice["anger"]) == {1}
        assert set(counts_of(path, "both", EMOTIONS)["joy"]) == {3}
    assert set(LETTERS.values()) == set(EMOTIONS)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("1001_IEO_ANG_XX", "1001_IEO_ANG"), "'1001_IEO_ANG' is no name of a CREMA-D clip, such"),
        (("1001_IEO_ANG_XX", "1001_DFA_HAP_XX"), "1001_DFA_HAP_XX occurs twice; expected one row"),
        (("1001_IEO_ANG_XX", ""), "no key in 1 of "),
        (("100001", "400001"), "has '400001', expected a number that begins with 1 (voice), 2"),
        (("fileName", "file"), "no column key or id; its columns: Unnamed: 0, file"),
    ],
)
def test_other_files_are_refused(published: Path, change: tuple[str, str], line: str) -> None:
    path = published / "processedResults" / "tabulatedVotes.csv"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError) as said:
        load_corpus(published, "crema_d", split="speaker", folds=3)
    assert line in str(said.value)


def test_wrong_requests_are_refused(published: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"corpus.split=null: .* set corpus.split=speaker"):
        load_corpus(published, "crema_d")
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no file is called tabulatedVotes.csv there"):
        load_corpus(empty, "crema_d", split="speaker")
    with pytest.raises(UserError, match=r"no column smell_joy .*; expected one for each label"):
        counts_of(table, "smell", ["joy"])
    table.write_text(table.read_text().replace(f"{CLIPS[0]},1", f"{CLIPS[0]},1.5"))
    with pytest.raises(UserError, match=f"voice_anger of {CLIPS[0]} is .*1.5.*, expected a number"):
        counts_of(table, "voice", EMOTIONS)
