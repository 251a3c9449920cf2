"""The real MELD files, against pandas and the published counts. Skipped where the files are
absent."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from meld_lightning.corpus import EMOTIONS, SENTIMENTS, Corpus, load_corpus, render_report

FILES = {"train": "train_sent_emo.csv", "val": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}


@pytest.fixture(scope="module")
def meld(meld_root: Path) -> Corpus:
    return load_corpus(meld_root)


@pytest.fixture(scope="module")
def reference(meld_root: Path) -> pd.DataFrame:
    """The same files as pandas reads them."""
    parts = [
        pd.read_csv(meld_root / name, keep_default_na=False, encoding="utf-8").assign(split=split)
        for split, name in FILES.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_every_row_is_what_pandas_reads(meld: Corpus, reference: pd.DataFrame) -> None:
    table = meld.table
    assert table["key"].is_unique
    for ours, theirs in {
        "split": "split",
        "text": "Utterance",
        "speaker": "Speaker",
        "emotion": "Emotion",
        "sentiment": "Sentiment",
        "dialogue_id": "Dialogue_ID",
        "utterance_id": "Utterance_ID",
        "season": "Season",
        "episode": "Episode",
    }.items():
        assert table[ours].tolist() == reference[theirs].tolist(), ours
    for ours, theirs in {"start_s": "StartTime", "end_s": "EndTime"}.items():
        seconds = pd.to_timedelta(reference[theirs].str.replace(",", ".")).dt.total_seconds()
        assert table[ours].to_numpy() == pytest.approx(seconds.to_numpy(), abs=1e-9)
    assert table["key"].iloc[-1] == "test/dia279_utt15"
    assert table["clip"].tolist() == [None] * len(table)
    assert (meld.emotions, meld.sentiments) == (EMOTIONS, SENTIMENTS)


def test_published_counts(meld: Corpus) -> None:
    report = meld.report
    assert report["table_01"] == {
        "paper": {"train": 9989, "val": 1112, "test": 4807},
        "official": {"train": 9989, "val": 1109, "test": 2610},
        "found": {"train": 9989, "val": 1109, "test": 2610},
    }
    published = {
        "train": (4710, 1743, 1205, 1109, 683, 271, 268),
        "val": (470, 163, 150, 153, 111, 22, 40),
        "test": (1256, 402, 281, 345, 208, 68, 50),
    }
    assert {
        split: tuple(counts[name] for name in EMOTIONS)
        for split, counts in report["emotions"].items()
    } == published
    facts = (
        "dialogues",
        "dialogues_of_one",
        "turns_median",
        "turns_max",
        "speakers",
        "words_median",
        "words_p99",
    )
    assert {split: tuple(report["splits"][split][name] for name in facts) for split in FILES} == {
        "train": (1038, 70, 9, 24, 260, 6, 27),
        "val": (114, 6, 10, 23, 47, 6, 24),
        "test": (280, 12, 9, 33, 100, 7, 27),
    }
    assert [report["splits"][split]["words_max"] for split in FILES] == [69, 37, 45]


@pytest.mark.parametrize(
    ("quirk", "counts"),
    [
        ("repaired_rows", (0, 0, 0)),
        ("missing_utterance_ids", (100, 4, 5)),
        ("missing_dialogue_ids", (1, 0, 0)),
        ("rows_sharing_times", (40, 2, 8)),
        ("texts_under_two_labels", (156, 13, 37)),
        ("overlong", (1, 0, 2)),
        ("speaker_unseen_in_train", (0, 37, 109)),
        ("spoken_by_all", (33, 10, 8)),
    ],
)
def test_quirks_as_others_counted_them(
    meld: Corpus, quirk: str, counts: tuple[int, int, int]
) -> None:
    assert tuple(meld.report["quirks"][quirk].values()) == counts


def test_overlaps_and_order_against_a_direct_computation(
    meld: Corpus, reference: pd.DataFrame
) -> None:
    span = pd.DataFrame(
        {
            "split": reference["split"],
            "key": meld.table["key"],
            "place": list(zip(reference["Season"], reference["Episode"], strict=True)),
            "start": pd.to_timedelta(reference["StartTime"].str.replace(",", "."))
            // pd.Timedelta("1ms"),
            "end": pd.to_timedelta(reference["EndTime"].str.replace(",", "."))
            // pd.Timedelta("1ms"),
        }
    )
    train = span[span["split"] == "train"]
    quirks, rows = meld.report["quirks"], meld.report["rows"]
    for split in ("val", "test"):
        pairs = span[span["split"] == split].merge(train, on="place")
        common = pairs[["end_x", "end_y"]].min(axis=1) - pairs[["start_x", "start_y"]].max(axis=1)
        keys = set(pairs.loc[common > 500, "key_x"])
        assert quirks["rows_overlapping_train"][split] == len(keys)
        listed = {
            row["key"]
            for row in rows
            if "overlaps" in row["reason"] and row["key"].startswith(split)
        }
        assert listed == keys
    assert quirks["episodes_shared_with_train"]["test"] == 142
    assert quirks["episodes"]["test"] == 143
    back = span["start"].diff()[meld.table["unit"] == meld.table["unit"].shift()] < 0
    assert sum(quirks["rows_starting_earlier"].values()) == back.sum() == 31
    overlong = {row["key"] for row in rows if "longer" in row["reason"]}
    assert not any(
        "clip" in row["reason"] for row in rows
    )  # without any clip it is a corpus of text
    assert overlong == {"test/dia38_utt4", "test/dia220_utt0", "train/dia309_utt0"}


@pytest.mark.slow
def test_an_older_copy_reads_as_the_same_data(
    meld: Corpus, meld_root: Path, meld_like: Callable[..., Path]
) -> None:
    """Older copies: every character that cp1252 has between 0x80 and 0x9f as a C1 control, in all
    rows but a few."""
    undefined = (0x81, 0x8D, 0x8F, 0x90, 0x9D)
    legacy = {
        bytes([code]).decode("cp1252"): chr(code)
        for code in range(0x80, 0xA0)
        if code not in undefined
    }
    texts = {split: (meld_root / name).read_bytes().decode() for split, name in FILES.items()}
    old = {
        split: re.sub(".", lambda char: legacy.get(char[0], char[0]), text)
        for split, text in texts.items()
    }
    corpus = load_corpus(meld_like(train=old["train"], dev=old["val"], test=old["test"]))
    assert corpus.digest == meld.digest
    rows = {split: text.split("\r\n") for split, text in texts.items()}
    expected = {
        split: sum(any(char in legacy for char in row) for row in lines)
        for split, lines in rows.items()
    }
    assert corpus.report["quirks"]["repaired_rows"] == expected
    assert expected["train"] > 2000


def test_the_report_shows_table_1_three_ways_and_no_text(meld: Corpus) -> None:
    text = render_report(meld.report)
    for line in (
        "| as printed in the paper | 9989 | 1112 | 4807 |",
        "| this corpus | 9989 | 1109 | 2610 |",
    ):
        assert line in text
    shared = sum(meld.report["quirks"]["rows_sharing_times"].values())
    assert f"and {shared - 20} more (all are in report.json)" in text
    assert not any(utterance in text for utterance in meld.table["text"] if len(utterance) > 40)
