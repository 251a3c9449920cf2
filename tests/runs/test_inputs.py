"""What a training refuses to read, and the `prepare` command that it then suggests."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
from hydra import compose, initialize_config_dir

from meld_lightning.corpus import load_corpus
from meld_lightning.pretrained.checkpoints import Checkpoint
from meld_lightning.runs import inputs
from tests.corpus.manifests import manifest, speech
from tests.running import CHECKOUT, call, call_well

WORDS = ("corpus=manifest", "corpus.root=mine.csv", "checkpoints=minilm")


@pytest.mark.slow
def test_each_refusal_names_the_cause_and_the_same_checkpoints(tmp_path: Path) -> None:
    def refused(*words: str) -> str:
        done = call(["train", *WORDS, *words], tmp_path)
        assert done.returncode == 1
        assert not (tmp_path / "runs").exists()
        return done.stderr.strip().splitlines()[-1]

    path = manifest(tmp_path, speech())
    remedy = f"run: meld-lightning prepare corpus=manifest corpus.root={path} corpus.split="
    rest = "corpus.folds=5 corpus.fold=0 checkpoints=minilm"
    said = refused("corpus.split=row")
    assert said.endswith(f"is not prepared in cache; {remedy}row {rest}")
    call_well(["prepare", *WORDS, "corpus.split=row", "media.keep=[]"], tmp_path)
    said = refused("corpus.split=dialogue")
    other = "with these settings (it is with other values of corpus.split)"
    assert said.endswith(f"is not prepared in cache {other}; {remedy}dialogue {rest}")
    said = refused("corpus.split=row", "model=mfcc")
    assert "corpus manifest has no sound: no row has a file in clip or audio; train a text" in said
    manifest(tmp_path, speech(59))
    said = refused("corpus.split=row")
    assert said.endswith(f"mine.csv: missing or changed since it was prepared; {remedy}row {rest}")


@pytest.mark.parametrize(
    ("task", "words", "moved"),
    [
        ("BertForSequenceClassification", (), True),
        ("BertForSequenceClassification", ("model.keep_head=true",), False),
        ("BertForSequenceClassification", ("model.pooling=mean",), False),
        ("BertForMaskedLM", (), False),
        ("BertModel", (), False),
        (None, (), False),
    ],
)
def test_a_head_that_is_replaced_moves_the_run(
    task: str | None,
    words: tuple[str, ...],
    moved: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same settings kept the checkpoint's head once."""
    corpus = load_corpus(manifest(tmp_path, speech()), "manifest", split="dialogue")
    (tmp_path / "config.json").write_text(json.dumps({"architectures": task and [task]}))
    checkpoint = Checkpoint("mine", tmp_path, "0")
    monkeypatch.setattr(inputs, "prepared_corpus", lambda *_: corpus)
    monkeypatch.setattr(
        "meld_lightning.pretrained.checkpoints.prepared_checkpoint", lambda *_: checkpoint
    )
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose("train", ["checkpoints.bert=mine", *words])
    found = inputs.read_inputs(cfg).digests
    assert set(found) == {"corpus", "checkpoint", *(["replaced_head"] if moved else [])}


def test_the_trainings_of_a_study_read_their_corpus_and_clips_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[str] = []

    def read(kind: str) -> Mock:
        reads.append(kind)
        return Mock()

    monkeypatch.setattr(inputs, "prepared_corpus", lambda *_: read("corpus"))
    monkeypatch.setattr("meld_lightning.media.prepared_media", lambda *_: read("media"))
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose("train", ["model=mfcc", "corpus=mini"])
    with inputs.inputs_read_once():
        first, second = inputs.read_inputs(cfg), inputs.read_inputs(cfg)
        assert reads == ["corpus", "media"]
        assert (first.corpus, first.media) == (second.corpus, second.media)
        cfg.corpus.fold = 1
        inputs.read_inputs(cfg)
        assert reads == ["corpus", "media"] * 2
    inputs.read_inputs(cfg)
    assert reads == ["corpus", "media"] * 3
