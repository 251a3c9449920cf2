"""What names a run's folder: whatever determines the result moves it, and nothing else does."""

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from meld_lightning.runs.identity import canonical_config, identify
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.training.train import Training
from tests.running import CHECKOUT

IDENTIFY = """
import sys
from hydra import compose, initialize_config_dir
from meld_lightning.runs.identity import canonical_config
with initialize_config_dir(sys.argv[1], version_base="1.3"):
    print(canonical_config(compose("train", sys.argv[2:])))
"""
OWN_MODEL = """
from meld_lightning.models.text import TextClassifier


class Mine(TextClassifier):
    STRENGTH = 1.0
"""


DIGESTS = {"corpus": "0", "checkpoint": "0"}


@cache
def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


def hashed(*overrides: str, **digests: str) -> str:
    return identify(composed(*overrides), "text", "bert", DIGESTS | digests).hash


def in_package(folder: Path, *overrides: str) -> str:
    """The canonical config, as the copy of the package in `folder` has it."""
    done = subprocess.run(
        [sys.executable, "-c", IDENTIFY, str(folder / "conf"), *overrides],
        cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package and its configs, to be changed."""
    for name in ("meld_lightning", "hydra_plugins", "conf"):
        shutil.copytree(CHECKOUT / name, tmp_path / name)
    return tmp_path


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


CHANGES_NOTHING = (
    "machine.workers=3",
    "machine.accelerator=cpu",
    "machine.checkpoint_every_s=1",
    "logger=wandb",
    "paths.runs=/elsewhere",
    "paths.cache=/elsewhere",
    "corpus.root=/elsewhere",
    "study.name=mine",
    "rerun=true",
    "media.every=5",  # text reads no clip
    "media.rate=8000",
    "checkpoints.bert=/models/the-same-weights",  # they enter by digest
)


@pytest.mark.slow
def test_what_changes_no_result_changes_no_hash() -> None:
    assert hashed(*CHANGES_NOTHING) == hashed()


@pytest.mark.parametrize("choice", ["numerics=bf16", "optimizer=adafactor", "model=roberta"])
def test_a_choice_that_changes_a_result_changes_the_hash(choice: str) -> None:
    assert hashed(choice) != hashed()


@pytest.mark.parametrize(
    "value",
    [
        "seed=2",
        "epochs=2",
        "gradient_clip=0",
        "eval_batch_size=32",
        "monitor=val/accuracy",
        "target=sentiment",
        "numerics.threads=2",
        "numerics.world_size=2",
        "optimizer.lr=3e-5",
        "scheduler.name=cosine",
        "scheduler.warmup=0.1",
        "data.max_tokens=256",
        "data.batch_size=8",
        "data.sampling=oversampled",
        "model.dropout=0.2",
        "model.class_weights=inverse",
    ],
)
def test_a_value_that_changes_a_result_changes_the_hash(value: str) -> None:
    changed = copy.deepcopy(composed())
    changed.merge_with_dotlist([value])
    assert identify(changed, "text", "bert", DIGESTS).hash != hashed()


def test_other_data_or_weights_change_the_hash() -> None:
    assert len({hashed(), hashed(corpus="1"), hashed(checkpoint="1"), hashed(media="1")}) == 4


@pytest.mark.slow
def test_media_settings_count_where_their_kind_is_read() -> None:
    for model, counts, not_read in (
        ("wav2vec2", "media.rate=8000", "media.every=5"),
        ("mfcc", "media.channels=mean", "media.size=112"),
        ("clip", "media.every=5", "media.rate=8000"),
    ):
        plain = canonical_config(composed(f"model={model}"))
        assert canonical_config(composed(f"model={model}", not_read)) == plain
        assert canonical_config(composed(f"model={model}", counts)) != plain


def test_the_sound_a_run_reads_does_not_move_with_frame_settings() -> None:
    """The digest of decoded media, too, is that of the kind which is read."""
    from meld_lightning.media import Media

    entry = {"key": "u0", "frames": {"count": 1, "crc": 1, "reason": None}}
    entry["audio"] = {"count": 9, "crc": 2, "reason": None}
    settings = {"every": 10, "size": 224, "decoder": "pyav", "rate": 16000, "channels": "center"}
    plain = Media(Path(), settings, [[entry]])
    sparse = Media(Path(), {**settings, "every": 5}, [[entry]])
    assert sparse.digest("audio") == plain.digest("audio")
    assert sparse.digest("frames") != plain.digest("frames")


def test_a_class_may_move_to_another_file_and_gain_an_option(package: Path) -> None:
    """With its default the option moves no hash; with another value it does."""
    before = f"{canonical_config(composed('model=bert'))}\n"
    moved = package / "meld_lightning/models/words.py"
    (package / "meld_lightning/models/text.py").rename(moved)
    edit(package / "conf/model/bert.yaml", "models.text.", "models.words.")
    edit(moved, "        *,\n", "        lora: int | None = None,\n        *,\n")
    assert in_package(package, "model=bert") == before
    assert in_package(package, "model=bert", "+model.lora=8") != before


def test_a_kind_of_run_whose_result_changed_has_its_own_version() -> None:
    """The others keep theirs, and with it their folders."""

    def version(*overrides: str) -> int:
        return int(canonical_config(composed(*overrides))["result_version"])

    votes = ("model=imported", "model.scores=votes")
    assert version("model=bert") == version("model=bert_context") == version(*votes) == 1
    assert version("model=wav2vec2") == version("model=bert", "numerics=bf16") == 1
    assert version(*votes, "model.votes=1") == version("model=bert", "model.layer_decay=0.9") == 2
    assert version("model=wav2vec2", "numerics=bf16") == 2


def test_a_users_model_is_hashed_with_its_source(
    compose_train: Callable[[Sequence[str]], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited, it is another run; moved to another file as it is, the same."""
    monkeypatch.syspath_prepend(tmp_path)

    def identity(module: str, source: str) -> str:
        (tmp_path / f"{module}.py").write_text(source)
        cfg = compose_train(["model=bert", f"model._target_={module}.Mine"])
        return Training(cfg).identity.hash

    first = identity("mine_a", OWN_MODEL)
    assert identity("mine_a", OWN_MODEL.replace("1.0", "2.0")) != first
    assert identity("mine_a", OWN_MODEL) == first
    assert identity("mine_b", OWN_MODEL) == first
    assert digest_of(first) != digest_of(Training(compose_train(["model=bert"])).identity.hash)
