"""What the explorer shows beside predictions: votes in the labels' order, small clips, and what is
left out."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meld_lightning.corpus import Corpus
from meld_lightning.media import Media, prepare_media
from meld_lightning.page.clips import BINS, FRAMES, SIDE
from meld_lightning.page.explorer import ExplorerData, explorer_data
from meld_lightning.page.predictions import UtteranceSet
from meld_lightning.page.study_report import StudyReport
from meld_lightning.report.results import Material
from tests.media.conftest import encode_clip
from tests.page.reports import corpus_of

LABELS = ["joy", "neutral"]
SETTINGS = {
    "keep": ["frames", "audio"],
    "every": 10,
    "size": 64,
    "decoder": "pyav",
    "rate": 16000,
    "channels": "center",
    "timeout_s": 60,
}


@pytest.fixture
def corpus() -> Corpus:
    found = corpus_of(["b", "a"], ["Well!", "Oh."], ["joy", "neutral"], LABELS)
    found.table["votes.neutral"] = [1, 5]
    found.table["votes.joy"] = [4, 0]
    return found


@pytest.fixture
def media(corpus: Corpus, tmp_path: Path) -> Media:
    encode_clip(tmp_path / "one.mp4", frames=60)
    corpus.table.loc[corpus.table["key"] == "b", "clip"] = str(tmp_path / "one.mp4")
    return prepare_media(corpus.table, corpus.name, SETTINGS, tmp_path, processes=1)


def explored(
    corpus: Corpus | None = None, media: Media | None = None, show_clips: bool = False
) -> ExplorerData:
    study = {"title": "own", "note": "", "show_clips": show_clips}
    report = StudyReport(Material({}, {}, [1], study), [], corpus=corpus, media=media)
    return explorer_data(report, [UtteranceSet(LABELS, ["a", "b"], ["u"], [0, 0], "")])


def test_without_the_corpus_one_line_says_what_adds_it() -> None:
    assert explored() == ExplorerData([None], [None], explored().left_out)
    (line,) = explored().left_out
    assert "the corpus is not prepared here" in line
    assert "meld-lightning prepare" in line


def test_a_corpus_with_other_utterances_counts_as_none() -> None:
    other = corpus_of(["a", "c"], ["", ""], LABELS, LABELS)
    assert explored(other) == explored()


def test_votes_follow_the_labels_and_keys_of_the_predictions(corpus: Corpus) -> None:
    (votes,) = explored(corpus).votes
    assert votes is not None
    assert list(base64.b64decode(votes)) == [0, 5, 4, 1]


@pytest.mark.parametrize(
    ("show", "line"), [(False, "study.show_clips=true adds them"), (True, "clips are not decoded")]
)
def test_clips_that_are_not_shown_are_explained(corpus: Corpus, show: bool, line: str) -> None:
    found = explored(corpus, show_clips=show)
    assert found.clips == [None]
    assert line in found.left_out[0]


@pytest.mark.slow
def test_a_clip_becomes_a_strip_and_a_waveform(corpus: Corpus, media: Media) -> None:
    found = explored(corpus, media)
    (clips,) = found.clips
    assert clips is not None
    assert found.left_out == []
    assert clips.strips[0] == ""  # utterance a has no clip
    head, content = clips.strips[1].split(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as strip:
        assert strip.size == (FRAMES * SIDE, SIDE)
    waveforms = np.frombuffer(base64.b64decode(clips.waveforms), np.uint8).reshape(2, BINS, 2)
    assert not waveforms[0].any()
    assert {waveforms[1].min(), waveforms[1].max()} & {0, 255}  # scaled to the loudest sample
    assert (waveforms[1, :, 0] < waveforms[1, :, 1]).all()
    assert explored(corpus, media) == found
