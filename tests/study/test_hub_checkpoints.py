"""`prepare only=checkpoints` gets every checkpoint of a study from the hub, and offline names all
that are missing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from transformers import BertConfig, BertModel, BertTokenizer

from meld_lightning.errors import UserError
from meld_lightning.pretrained.checkpoints import prepared_checkpoint
from meld_lightning.study.preparation import prepare_study
from tests.pretrained.hub import local_hub
from tests.running import CHECKOUT

Prepare = Callable[..., None]


@pytest.fixture(scope="module")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of a few kB, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("small-bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "oh", "my", "god"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """`meld-lightning prepare study=meld only=checkpoints` with these checkpoints."""

    def prepared(**names: str) -> None:
        given = {"roberta": "null", "wav2vec2": "null", "speech_emotion": "null", "clip": "null"}
        overrides = [f"checkpoints.{role}={name}" for role, name in {**given, **names}.items()]
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
            cfg = compose(
                "prepare",
                ["study=meld", "only=checkpoints", f"paths.cache={tmp_path / 'cache'}", *overrides],
            )
        prepare_study(cfg)

    return prepared


def test_checkpoints_are_got_without_a_corpus_and_found_offline(
    tmp_path: Path, small_bert: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    repositories = {"small/bert": small_bert, "other/bert": small_bert}
    with local_hub(repositories, tmp_path / "hub", monkeypatch) as server:
        prepare(bert="small/bert", roberta="other/bert")
        asked = len(server.ranges)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        prepare(bert="small/bert", roberta="other/bert")
        assert len(server.ranges) == asked
    found = prepared_checkpoint("small/bert", tmp_path / "cache")
    assert (found.folder / "model.safetensors").read_bytes() == (
        small_bert / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_offline_all_missing_checkpoints_are_in_one_line(
    tmp_path: Path, small_bert: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_hub({"small/bert": small_bert}, tmp_path / "hub", monkeypatch):
        prepare(bert="small/bert")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = (
        "checkpoints a/clip, b/bert: not in the hub's local cache, .*hub, and the download failed"
        r" \(HF_HUB_OFFLINE is set\); run meld-lightning prepare only=checkpoints"
    )
    with pytest.raises(UserError, match=message) as caught:
        prepare(bert="small/bert", roberta="b/bert", clip="a/clip")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_download_that_was_killed_is_not_taken_for_the_checkpoint(
    tmp_path: Path, small_bert: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_hub({"small/bert": small_bert}, tmp_path / "hub", monkeypatch):
        prepare(bert="small/bert")
    (weights,) = (tmp_path / "hub").rglob("snapshots/*/model.safetensors")
    weights.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="checkpoint small/bert: not in the hub's local cache"):
        prepare(bert="small/bert")
