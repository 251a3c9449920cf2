"""An export: it loads elsewhere with the same logits, holds no pickles and no paths, and is refused
where anything in it is missing, altered or of another version."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, RepoUrl
from huggingface_hub.utils import validate_repo_id
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from meld_lightning import load_run
from meld_lightning.commands import export as command
from meld_lightning.commands.cli import main
from meld_lightning.data.text import TextBatch
from meld_lightning.errors import UserError
from meld_lightning.fusion.state import load_fusion
from meld_lightning.inference.bundle import Bundle, read_bundle
from meld_lightning.inference.export import folder as exporting
from meld_lightning.inference.export import push as pushing
from meld_lightning.inference.loaded import LoadedModel, load_model
from meld_lightning.inference.predictor import Predictor
from meld_lightning.inference.quantised import weight_bytes
from meld_lightning.inference.val_scores import ValScores, val_scores_of
from meld_lightning.report.exported import figures_of
from tests.running import CHECKOUT

TEXTS = ["oh no", "I am so happy about that, Ross!"]


def exported(finished: Path, target: Path, **options: Any) -> Bundle:
    run = load_run(finished)
    return exporting.export(run, target, figures_of(run), **options)


@pytest.fixture(scope="module")
def export(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return exported(finished, tmp_path_factory.mktemp("export") / "model", licence="mit")


@pytest.fixture
def copied(export: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(export.folder, tmp_path / "copy"))


def logits(loaded: LoadedModel) -> torch.Tensor:
    tokens = loaded.processor(TEXTS, padding=True, return_tensors="pt")
    mask, zeros = tokens["attention_mask"], torch.zeros(len(TEXTS), dtype=torch.long)
    with torch.no_grad():
        return loaded.module(
            TextBatch(tokens["input_ids"], mask, mask.bool(), zeros, zeros, zeros, zeros)
        )


def test_it_loads_with_the_runs_weights_prior_and_calibration(
    export: Bundle, finished: Path
) -> None:
    ours, theirs = load_run(finished).model(), load_model(export.member_folder("text"))
    assert torch.equal(logits(ours), logits(theirs))
    state, other = ours.module.state_dict(), theirs.module.state_dict()
    assert state.keys() == other.keys()
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert (ours.prior_C == theirs.prior_C).all()
    assert torch.equal(ours.module.class_weights_C, theirs.module.class_weights_C)
    assert load_fusion(export.fusion_folder).modalities == ("text",)
    assert (export.labels, export.mini) == (ours.labels, True)
    stored, own = ValScores.load(export.folder), val_scores_of(load_run(finished))
    assert (stored.probabilities_NC == own.probabilities_NC).all()


@pytest.mark.slow
def test_plain_transformers_loads_it_with_the_labels_names(
    export: Bundle, finished: Path, tmp_path: Path
) -> None:
    loaded = load_run(finished).model()
    loaded.save_pretrained(tmp_path / "plain")
    for folder in (tmp_path / "plain", export.member_folder("text") / "checkpoint"):
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
        with torch.no_grad():
            found = model(**tokens).logits
        torch.testing.assert_close(found, logits(loaded), atol=1e-5, rtol=0)
        assert tuple(model.config.id2label.values()) == loaded.labels
    with pytest.raises(UserError, match="something is there already"):
        loaded.save_pretrained(tmp_path / "plain")


def test_it_holds_neither_pickles_nor_paths_of_this_machine(export: Bundle, finished: Path) -> None:
    paths = [finished.parents[2], finished.parents[2].resolve(), Path.home(), CHECKOUT]
    forbidden = [str(path).encode() for path in paths]
    files = [path for path in export.folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".yaml", ".md", ".txt", ".safetensors"}
    for path in files:
        content = path.read_bytes()
        assert not [name for name in forbidden if name in content], path
        assert not content.startswith((b"PK", b"\x80")), path  # torch.save, pickle
        assert path.stat().st_mode & 0o444 == (export.folder / "README.md").stat().st_mode & 0o444


def test_the_card_states_the_scores_with_intervals(export: Bundle, finished: Path) -> None:
    card = ModelCard.load(export.folder / "README.md")
    results = {
        (one.dataset_split, one.metric_name.split(" (")[0]): one.metric_value
        for one in card.data.eval_results
    }
    metrics = load_run(finished).result.metrics
    assert results["test", "weighted F1"] == round(metrics["test"]["weighted_f1"], 4)
    assert results["val", "accuracy"] == round(metrics["val"]["accuracy"], 4)
    test = export.scores["test"]
    weighted = test.metrics["weighted_f1"]
    assert weighted.low is not None
    assert weighted.high is not None
    assert weighted.low < weighted.value < weighted.high
    assert f"{weighted.low:.4f} to {weighted.high:.4f}" in card.text
    assert (card.data.license, test.n) == ("mit", metrics["test"]["n"])
    assert "A toy" in card.text


def test_the_card_states_scores_by_group(export: Bundle, finished: Path, tmp_path: Path) -> None:
    text = (export.folder / "README.md").read_text()
    groups = text[text.index("## By group, on test") : text.index("## Data")]
    lines = [line.split(" | ") for line in groups.splitlines() if line.startswith("| first turn ")]
    [first_turn] = lines
    run = load_run(finished)
    firsts = run.logits("test").drop_duplicates("unit")  # a dialogue's rows are in its order
    assert int(first_turn[1]) == len(firsts)
    assert "By length of the utterance" in groups
    assert "compare with it before calling a difference a bias" in groups
    bare = figures_of(run, tmp_path)  # a cache where nothing is prepared
    assert (list(bare.groups), bare.groups_note) == ([], "")


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load_model(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_missing_or_altered_file_is_named(copied: Path) -> None:
    weights = copied / "members" / "text" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "model.safetensors: not the file that was exported" in refusal(copied)
    with pytest.raises(UserError, match="not the file that was exported"):
        load_model(copied / "members" / "text")
    weights.unlink()
    assert "model.safetensors: missing from the export" in refusal(copied)
    (copied / "bundle.json").write_text("{}")
    assert "bundle.json: damaged" in refusal(copied)


def test_the_card_may_be_edited_and_the_folder_moved(copied: Path) -> None:
    (copied / "README.md").write_text("mine")
    assert load_model(copied).labels


def test_another_versions_export_is_refused(copied: Path) -> None:
    stored = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps({**stored, "format": 2, "package": "9.0"}))
    message = refusal(copied)
    assert "format 2, written by meld-lightning 9.0" in message
    assert "reads format 1" in message


def test_a_member_alone_is_refused(copied: Path, tmp_path: Path) -> None:
    shutil.move(copied / "members" / "text", tmp_path / "text")
    with pytest.raises(UserError, match="outside of its export"):
        load_model(tmp_path / "text")


def test_targets_that_hold_something_else_are_refused(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    (tmp_path / "file").touch()
    for target, problem in [
        (finished / "export", "lies in the run"),
        (finished.parent, "or holds it"),
        (tmp_path / "mine", "not empty"),
        (tmp_path / "file", "a file is there"),
    ]:
        with pytest.raises(UserError, match=problem):
            exporting.check_target(target, [load_run(finished)], overwrite=True)
    (tmp_path / "empty").mkdir()
    exporting.check_target(tmp_path / "empty", [load_run(finished)], overwrite=False)


@pytest.mark.slow
def test_an_export_is_replaced_only_when_asked(
    finished: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "members" / "text" / "old").touch()
    with pytest.raises(UserError, match="add overwrite=true"):
        exported(finished, copied)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "write_bundle", full)
        with pytest.raises(UserError, match="No space left"):
            exported(finished, copied, overwrite=True)
    assert (copied / "members" / "text" / "old").exists()  # the old one stays
    assert [path.name for path in copied.parent.iterdir()] == ["copy"]
    exported(finished, copied, overwrite=True)
    assert not (copied / "members" / "text" / "old").exists()
    assert [path.name for path in copied.parent.iterdir()] == ["copy"]


def test_wrong_input_is_one_line(
    export: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "export").symlink_to(export.folder)
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        composed = compose("export")
    for given, problem in [
        ({}, "give from=FOLDER"),
        ({"from": "none", "to": "x"}, "no such folder"),
        ({"from": "unfinished", "to": "x"}, "no finished run"),
        ({"from": "unfinished"}, "give to=FOLDER"),
        ({"from": "export"}, "an export already"),
        ({"from": "export", "to": "x", "push": "me/x"}, "an export already"),
    ]:
        cfg = OmegaConf.merge(composed, given)
        assert isinstance(cfg, DictConfig)
        with pytest.raises(UserError, match=problem) as error:
            command.run(cfg)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()


class Hub:
    """Stands for the hub: records what is uploaded."""

    def __init__(self, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uploads: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        monkeypatch.setattr(pushing, "get_token", lambda: token)
        monkeypatch.setattr(pushing, "HfApi", lambda **_: self)

    def create_repo(self, name: str, **options: Any) -> RepoUrl:
        validate_repo_id(name)
        self.uploads.append({"name": name, **options})
        return RepoUrl(f"https://huggingface.co/{name}")

    def upload_folder(self, **options: Any) -> None:
        if self.failure:
            raise self.failure
        self.uploads.append(options)


def test_an_export_is_pushed_once_it_is_checked(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub("a token", monkeypatch)
    assert main(["export", f"from={copied}", "push=me/emotions"]) == 0
    assert "pushed: https://huggingface.co/me/emotions" in capsys.readouterr().out
    created, uploaded = hub.uploads
    assert (created["name"], created["private"]) == ("me/emotions", True)
    assert (uploaded["repo_id"], Path(uploaded["folder_path"])) == ("me/emotions", copied)


def test_what_cannot_be_pushed_is_one_line(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, hub = read_bundle(copied), Hub("a token", monkeypatch)
    with pytest.raises(UserError, match="not a valid name on the hub"):
        pushing.push(bundle, "not a name", private=True)
    hub.failure = OSError("connection lost")
    with pytest.raises(UserError, match=r"the upload failed \(connection lost\)"):
        pushing.push(bundle, "me/x", private=True)
    hub = Hub(None, monkeypatch)
    with pytest.raises(UserError, match="hf auth login"):
        pushing.push(bundle, "me/x", private=True)
    (copied / "members" / "text" / "config.yaml").write_text("altered")
    with pytest.raises(UserError, match="not the file that was exported"):
        pushing.push(bundle, "me/x", private=True)
    assert hub.uploads == []


@pytest.mark.slow
def test_int8_is_smaller_and_close(export: Bundle) -> None:
    full, int8 = load_model(export.folder), load_model(export.folder, int8=True)
    assert weight_bytes(int8.module) < 0.6 * weight_bytes(full.module)
    difference = (logits(full) - logits(int8)).abs().max()
    assert 0 < difference < 0.2
    predictor = Predictor.from_pretrained(export.folder, int8=True)
    answering = predictor.source.members["text"].model.module
    assert weight_bytes(answering) == weight_bytes(int8.module)
    with pytest.raises(UserError, match="int8 models compute on the CPU"):
        Predictor.from_pretrained(export.folder, device="cuda", int8=True)
