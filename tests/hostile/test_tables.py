"""Hostile tables: manifests, votes, clip maps, predictions, lists of items. Each is read as the csv
module or pyarrow read it, or refused in one line."""

import csv
import io
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given

from meld_lightning.corpus import emotionlines, vote_counts
from meld_lightning.corpus.readers import manifest
from meld_lightning.corpus.readers.csv_records import read_records
from meld_lightning.corpus.readers.csv_text import is_blank
from meld_lightning.corpus.readers.layout import ReadRequest
from meld_lightning.corpus.readers.realignment import read_clip_map
from meld_lightning.data.predictions import read_predictions
from meld_lightning.inference.items.table_files import table_rows
from tests.hostile.mutated import answers, cases, mutated

pytestmark = pytest.mark.slow

MANIFEST = (
    b"id,text,emotion,split,speaker,dialogue,start,end\n"
    b'a,"Oh, no!",joy,train,Ann,1,0.5,1:02\nb,"He said ""no"".\nTwice.",anger,val,Bob,1,0,2\n'
    b"c,caf\xc3\xa9,joy,test,Ann,2,,\n"
)
SHEET = "sep=;\r\nid;text;emotion;split\r\n1;„So”;joy;train\r\n2;x;joy;dev\r\n3;y;a;test\r\n"
LABELS = ("joy", "anger")
KEYS = ("train/a", "val/b")
PREDICTED = b"key,joy,anger\ntrain/a,0.5,0.5\nval/b,0.25,0.75\n"
TWICE = PREDICTED + b"train/a,0.5,0.5\n"
EMOTION_LINES = (
    b'[[{"speaker": "Ann", "utterance": "Oh no!", "emotion": "joy", "annotation": "1400000"}]]'
)
VOTES = b"id,voice_joy,voice_anger\na,3,2\nb,0,5\n"
CREMA = b'"","A","D","F","H","N","S","fileName"\n100001,1,2,3,4,5,6,x\n200001,0,0,0,0,9,1,x\n'
PIECES = (
    b"Split,Dialogue ID,Utterance ID,Original Dialogue ID,Original Utterance ID,"
    b"Start Time,End Time\n"
    b"train,0,0,0,1,0.5,1.5\ntrain,0,0,0,2,0,0.25\n"
)
IDS = b"Dialogue_ID,Utterance_ID,Original Utterance_ID\n0,0,1\n"


def parquet(content: bytes) -> bytes:
    file = io.BytesIO()
    pd.read_csv(io.BytesIO(content)).to_parquet(file)
    return file.getvalue()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "file.csv"


def written(path: Path, content: bytes, suffix: str = ".csv") -> Path:
    path = path.with_suffix(suffix)
    path.write_bytes(content)
    return path


@cases
@given(content=mutated(MANIFEST, SHEET.encode(), SHEET.encode("utf-16")))
@example(content=b"sep=\r\n")
def test_csv_is_read_as_the_csv_module_reads_it(file: Path, content: bytes) -> None:
    found = answers(lambda: read_records(written(file, content), ("id", "text")))
    if found is None or found.assumed:
        return
    text = content.decode("utf-8-sig")
    rows = [
        row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if not is_blank(row)
    ]
    assert len(found.records) == len(rows) - 1
    for record, row in zip(found.records, rows[1:], strict=True):
        assert len(record.fields) == len(found.columns)
        if not record.repaired and len(row) == len(found.columns):
            assert list(record.fields.values()) == row


@cases
@given(content=mutated(MANIFEST, SHEET.encode()))
def test_a_manifest_is_a_corpus_or_refused(file: Path, content: bytes) -> None:
    request = ReadRequest(written(file, content))
    found = answers(lambda: manifest.read(request))
    if found is not None:
        assert found.table["key"].is_unique
        assert set(found.table["split"]) <= {"train", "val", "test"}
        assert set(found.table["emotion"]) <= set(found.emotions)


@cases
@given(content=mutated(parquet(MANIFEST), parquet(PREDICTED)))
def test_parquet_is_read_as_pyarrow_reads_it(file: Path, content: bytes) -> None:
    path = written(file, content, ".parquet")
    found = answers(lambda: manifest.read(ReadRequest(path)))
    if found is not None:
        assert len(found.table) == pq.read_metadata(path).num_rows


@cases
@given(content=mutated(MANIFEST, b"clip,text\nx.mp4,hello\n,\xe2\x80\x9cso\xe2\x80\x9d\n"))
def test_a_list_of_items_is_read_or_refused(file: Path, content: bytes) -> None:
    found = answers(lambda: table_rows(written(file, content)))
    assert found is None or len({row["id"] for row in found}) == len(found)


@cases
@given(content=mutated(EMOTION_LINES))
@example(content=b"[" * 100_000)
@example(content="[[{}]]".encode("utf-16"))
def test_votes_of_readers_are_read_or_refused(file: Path, content: bytes) -> None:
    found = answers(lambda: emotionlines.read_emotionlines(written(file, content)))
    assert found is None or all(sum(line.votes) > 0 for part in found for line in part)


@cases
@given(content=mutated(VOTES, CREMA, VOTES + b"a,1,1\n"))
@example(content=b"id,voice_joy,voice_anger\na,3,2\nb,0," + b"9" * 102)
def test_counts_of_votes_are_read_or_refused(file: Path, content: bytes) -> None:
    path = written(file, content)
    assert_counts(answers(lambda: vote_counts.counts_of(path, "voice", LABELS)))


@cases
@given(content=mutated(parquet(VOTES), parquet(CREMA)))
def test_counts_of_votes_in_parquet_are_read_or_refused(file: Path, content: bytes) -> None:
    path = written(file, content, ".parquet")
    assert_counts(answers(lambda: vote_counts.counts_of(path, "voice", LABELS)))


def assert_counts(found: Any) -> None:
    assert found is None or (found.index.is_unique and (found.to_numpy() >= 0).all())


@cases
@given(pieces=mutated(PIECES), ids=mutated(IDS))
def test_a_clip_map_is_read_or_refused(file: Path, pieces: bytes, ids: bytes) -> None:
    for name in ("train", "dev", "test"):
        (file.parent / f"realigned_{name}_sent_emo.csv").write_bytes(ids)
    answers(lambda: read_clip_map(written(file, pieces)))


@cases
@given(content=mutated(PREDICTED, PREDICTED.replace(b"joy", b"logit.joy"), TWICE))
def test_predictions_are_read_or_refused(file: Path, content: bytes) -> None:
    assert_predictions(written(file, content))


@cases
@given(content=mutated(parquet(PREDICTED)))
def test_predictions_in_parquet_are_read_or_refused(file: Path, content: bytes) -> None:
    assert_predictions(written(file, content, ".parquet"))


def assert_predictions(path: Path) -> None:
    for scores in ("probabilities", "logits"):
        found = answers(partial(read_predictions, path, KEYS, LABELS, scores))
        assert found is None or pd.notna(found.logits_NC[found.given_N]).all()
