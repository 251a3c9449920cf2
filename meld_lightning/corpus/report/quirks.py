"""Counts irregularities of a corpus and lists its doubtful rows.

Plain functions of the table, which they do not change. Used by build.py.
"""

import re
from collections.abc import Iterator

import pandas as pd

from meld_lightning.corpus.labels import SPLITS
from meld_lightning.corpus.readers.csv_records import controls_left
from meld_lightning.corpus.texts import has_text

Counts = dict[str, int]
Doubt = tuple[str, str, str]  # key, reason, detail
_PAIR = re.compile(r"/|,|&|\band\b", re.IGNORECASE)
OVERLONG_S = 30.0
OVERLAP_MS = 500


def per_split(chosen: pd.Series) -> Counts:
    """The number of rows in each split, given the split column of the rows to count."""
    counts = chosen.value_counts()
    return {split: int(counts.get(split, 0)) for split in SPLITS}


def id_quirks(table: pd.DataFrame) -> dict[str, Counts]:
    """Missing utterance and dialogue ids; the ids must count up from 0 in each split, as MELD's
    do."""
    quirks: dict[str, Counts] = {
        "missing_utterance_ids": {},
        "dialogues_missing_utterance_ids": {},
        "missing_dialogue_ids": {},
    }
    for split, rows in _splits(table):
        gaps = rows.groupby("dialogue_id")["utterance_id"].agg(
            lambda ids: int(ids.max()) + 1 - len(ids)
        )
        quirks["missing_utterance_ids"][split] = int(gaps.sum())
        quirks["dialogues_missing_utterance_ids"][split] = int((gaps > 0).sum())
        quirks["missing_dialogue_ids"][split] = int(rows["dialogue_id"].max()) + 1 - len(gaps)
    return quirks


def time_quirks(table: pd.DataFrame) -> tuple[dict[str, Counts], list[Doubt]]:
    """Lengths of rows and their order in time.

    Times are compared in whole milliseconds, since .1 + .2 is not .3 in floats.
    """
    timed = table[table["start_s"].notna() & table["end_s"].notna()]
    start, end = _ms(timed["start_s"]), _ms(timed["end_s"])
    span = end - start
    place = [name for name in ("season", "episode") if timed[name].notna().all()]
    # Equal times mean the same stretch of video only within an episode, or else a dialogue.
    shared = timed.duplicated(
        ["split", *(place or ["dialogue_id"]), "start_s", "end_s"], keep=False
    )
    if not place:
        shared &= timed["dialogue_id"].notna()
    in_order = timed.sort_values(["split", "dialogue_id", "utterance_id"], kind="stable")
    back = (
        _ms(in_order["start_s"]).groupby([in_order["split"], in_order["dialogue_id"]]).diff() < 0
    ).reindex(timed.index)
    marks = {
        "rows_sharing_times": (shared, "same start and end as another row"),
        "rows_starting_earlier": (back, "starts before the previous row of its dialogue"),
        "end_before_start": (span < 0, "ends before it starts"),
        "zero_length": (span == 0, "zero length"),
        "overlong": (span > OVERLONG_S * 1000, f"longer than {OVERLONG_S:.0f} s"),
        "under_100_ms": ((span < 100) & (span > 0), "shorter than 0.1 s"),
    }
    quirks = {name: per_split(timed.loc[mark, "split"]) for name, (mark, _) in marks.items()}
    quirks["under_200_ms"] = per_split(timed.loc[span < 200, "split"])
    quirks["under_1_s"] = per_split(timed.loc[span < 1000, "split"])
    quirks["dialogues_with_decreasing_starts"] = per_split(
        timed[back].drop_duplicates(["split", "dialogue_id"])["split"]
    )
    doubts = [
        (
            str(timed.at[index, "key"]),
            reason,
            f"{timed.at[index, 'start_s']:.3f} s to {timed.at[index, 'end_s']:.3f} s",
        )
        for mark, reason in marks.values()
        for index in timed.index[mark]
    ]
    return quirks, doubts


def speaker_quirks(table: pd.DataFrame) -> tuple[dict[str, Counts], list[Doubt]]:
    """Rows with several speakers, and rows whose speaker does not occur in train."""
    spoken = table[table["speaker"].notna()]
    everyone = spoken["speaker"].str.casefold() == "all"
    several = (
        spoken["speaker"].map(lambda name: _PAIR.search(name) is not None).astype(bool) & ~everyone
    )
    known = set(spoken.loc[spoken["split"] == "train", "speaker"])
    unseen = ~spoken["speaker"].isin(known) & (spoken["split"] != "train")
    quirks = {
        name: per_split(spoken.loc[mark, "split"])
        for name, mark in (
            ("spoken_by_all", everyone),
            ("spoken_by_several", several),
            ("speaker_unseen_in_train", unseen),
        )
    }
    doubts = [
        (str(row.key), "several speakers", str(row.speaker))
        for row in spoken[everyone | several].itertuples()
    ]
    return quirks, doubts


def text_quirks(table: pd.DataFrame) -> tuple[dict[str, Counts], list[Doubt]]:
    """Missing texts, control characters that could not be repaired, and texts with several
    emotions."""
    bare = table["text"].map(lambda text: re.sub(r"[\W_]+", " ", text.lower()).strip())
    clash = table[bare != ""].groupby([table["split"], bare])["emotion"].nunique() > 1
    empty = ~table["text"].map(has_text).astype(bool)
    control = table["text"].map(controls_left).astype(bool)
    quirks = {
        "texts_under_two_labels": {
            split: int(clash.get(split, pd.Series([False])).sum()) for split in SPLITS
        },
        "empty_texts": per_split(table.loc[empty, "split"]),
        "rows_with_controls_left": per_split(table.loc[control, "split"]),
    }
    doubts = [(key, "no text", "") for key in table.loc[empty, "key"]]
    doubts += [
        (key, "control character that could not be repaired", "")
        for key in table.loc[control, "key"]
    ]
    return quirks, doubts


def overlap_quirks(table: pd.DataFrame) -> tuple[dict[str, Counts], list[Doubt]]:
    """Episodes that val and test share with train, and rows that overlap a train row of their
    episode by more than OVERLAP_MS."""
    place = ["season", "episode"]
    timed = table[
        table[place].notna().all(axis=1) & table["start_s"].notna() & table["end_s"].notna()
    ]
    train = dict(list(timed[timed["split"] == "train"].groupby(place)))
    quirks: dict[str, Counts] = {
        "episodes": {},
        "episodes_shared_with_train": {},
        "rows_overlapping_train": {},
    }
    doubts: list[Doubt] = []
    for split, rows in _splits(timed):
        episodes = dict(list(rows.groupby(place)))
        quirks["episodes"][split] = len(episodes)
        if split == "train":
            continue
        shared = [name for name in episodes if name in train]
        quirks["episodes_shared_with_train"][split] = len(shared)
        found = [doubt for name in shared for doubt in _overlapping(episodes[name], train[name])]
        quirks["rows_overlapping_train"][split] = len(found)
        doubts += found
    return quirks, doubts


def _overlapping(rows: pd.DataFrame, train: pd.DataFrame) -> Iterator[Doubt]:
    starts, ends = _ms(train["start_s"]).to_numpy(), _ms(train["end_s"]).to_numpy()
    for key, start, end in zip(rows["key"], _ms(rows["start_s"]), _ms(rows["end_s"]), strict=True):
        common = ends.clip(max=end) - starts.clip(min=start)
        most = int(common.argmax())
        if common[most] > OVERLAP_MS:
            yield (
                str(key),
                "overlaps a train row of the same episode",
                f"{train['key'].iloc[most]} by {common[most] / 1000:.3f} s",
            )


def _ms(seconds: pd.Series) -> pd.Series:
    return (seconds * 1000).round().astype("int64")


def _splits(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for split in SPLITS:
        rows = table[table["split"] == split]
        if len(rows):
            yield split, rows
