"""Predictions of others as a run: the same scores as the run they came from, an identity of what
they are, and a place in fusions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meld_lightning import load_run
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.runs.lifecycle import obtain
from meld_lightning.runs.logits import PREFIX
from meld_lightning.training.train import training_request
from tests.finished import linked_runs
from tests.repeats import few
from tests.running import argv, run_well

Compose = Callable[[Sequence[str]], Any]


@pytest.fixture
def votes(finished: Path, tmp_path: Path) -> Path:
    """The probabilities of the finished run as a file, its rows in another order."""
    run = load_run(finished)
    frame = pd.concat([run.logits(split) for split in ("train", "val", "test")])
    columns = [f"{PREFIX}{label}" for label in run.result.labels]
    odds = np.exp(frame[columns])
    shares = odds.div(odds.sum(axis=1), axis=0).set_axis(run.result.labels, axis=1).round(6)
    path = tmp_path / "votes.csv"
    shares.assign(key=frame["key"]).sample(frac=1, random_state=0).to_csv(path, index=False)
    return path


def asked(folder: Path, path: Path, *more: str) -> list[str]:
    modality = "model.modality=votes"
    return ["model=imported", f"predictions={path}", modality, f"paths.runs={folder}/runs", *more]


def test_the_scores_are_those_of_the_run_they_came_from(
    votes: Path, finished: Path, tmp_path: Path, compose_train: Compose
) -> None:
    imported = obtain(training_request(compose_train(asked(tmp_path, votes))))
    expected = load_run(finished).result
    for split, figures in expected.metrics.items():
        for name in ("weighted_f1", "accuracy", "n", "f1"):
            assert imported.result.metrics[split][name] == figures[name]
        assert imported.result.metrics[split]["loss"] == pytest.approx(figures["loss"], abs=1e-4)
    assert imported.folder.parent.name == "votes-imported"
    assert imported.result.checkpoint == "predictions in votes.csv"
    assert imported.result.best["value"] == expected.metrics["val"]["weighted_f1"]
    with pytest.raises(UserError, match="imported predictions, which have no model"):
        load_run(imported.folder).model()


@pytest.mark.slow
def test_an_import_is_named_by_its_file_and_by_no_setting_of_training(
    votes: Path, tmp_path: Path, compose_train: Compose
) -> None:
    def hash_of(*more: str) -> str:
        return training_request(compose_train(asked(tmp_path, votes, *more))).identity.hash

    first = hash_of()
    assert first == hash_of("optimizer.lr=1", "epochs=9", "data.batch_size=4", "numerics=bf16")
    assert len({first, hash_of("seed=2"), hash_of("model.scores=logits")}) == 3
    votes.write_text(votes.read_text().replace("0.", "0.0", 1))
    assert hash_of() != first


@pytest.mark.slow
def test_utterances_without_a_row_lack_the_modality(
    votes: Path, tmp_path: Path, compose_train: Compose, caplog: pytest.LogCaptureFixture
) -> None:
    frame = pd.read_csv(votes)
    frame[~frame["key"].str.startswith("train/")].iloc[3:].to_csv(votes, index=False)
    run = obtain(training_request(compose_train(asked(tmp_path, votes))))
    [line] = [text for text in caplog.messages if "counts as missing" in text]
    assert "no prediction for 640 of 640 of train, " in line
    train = run.logits("train")
    assert not train["present"].any()
    assert train[f"{PREFIX}neutral"].nunique() == 1  # the prior
    frame[frame["key"].str.startswith("test/")].to_csv(votes, index=False)
    request = training_request(compose_train(asked(tmp_path, votes)))
    with pytest.raises(UserError, match="no prediction for val; runs are compared and"):
        obtain(request)
    assert not request.identity.folder.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "line"),
    few(
        [
            (["model=imported"], UserError, "name the file of predictions: predictions=FILE"),
            (
                ["model=imported", "predictions=absent"],
                NotPrepared,
                "predictions=absent: no such file",
            ),
            (
                ["model=bert", "predictions=x"],
                UserError,
                "model=bert is trained and reads none; add",
            ),
            (["model.modality=fusion"], UserError, "model.modality='fusion': expected a word"),
            (["model.modality=a/b"], UserError, "model.modality='a/b': expected a word of letters"),
            (
                ["model.scores=vote"],
                UserError,
                "model.scores='vote': expected probabilities, logits o",
            ),
            (["model.scores=votes"], UserError, "no column votes_"),
            (["model.votes=2"], UserError, "model.votes=2 draws people's votes, and model.scores"),
        ],
        4,
    ),
)
def test_wrong_settings_are_refused(
    arguments: list[str], error: type[UserError], line: str, votes: Path, tmp_path: Path,
    compose_train: Compose,
) -> None:  # fmt: skip
    given = arguments if "model" in arguments[0].split("=") else asked(tmp_path, votes, *arguments)
    with pytest.raises(error) as said:
        obtain(training_request(compose_train(given)))
    assert line in str(said.value)


@pytest.mark.slow
def test_an_import_is_fused_like_any_run(votes: Path, finished: Path, tmp_path: Path) -> None:
    folder = linked_runs(finished.parents[2], tmp_path / "own", finished.parent.name)
    command = ["train", "model=imported", f"predictions={votes}", "model.modality=votes"]
    run_well(argv(*command), folder)
    [imported] = folder.glob("runs/votes-imported/*")
    given = [f"runs.text={finished.name[:6]}", f"runs.votes={imported.name[:6]}"]
    run_well(argv("fuse", *given, "fusion=learned"), folder)
    [fusion] = folder.glob("runs/fusion-learned/*")
    assert json.loads((fusion / "fusion.json").read_text())["modalities"] == ["text", "votes"]
    config = load_run(fusion).config
    assert config.runs.text == f"runs/{finished.parent.name}/{finished.name}"


@pytest.mark.slow
def test_votes_are_named_by_the_votes_and_drawn_by_the_seed(
    finished: Path, tmp_path: Path, compose_train: Compose
) -> None:
    run = load_run(finished)
    frame = pd.concat([run.logits(split) for split in ("train", "val", "test")])
    counts = pd.DataFrame({"id": frame["key"]})
    for label in run.result.labels:
        counts[f"face_{label}"] = np.where(frame["label"] == label, 5, 1)
    path, other = tmp_path / "votes.csv", tmp_path / "other.csv"
    counts.to_csv(path, index=False)
    counts.iloc[::-1].to_csv(other, index=False)

    def request(path: Path, *more: str) -> Any:
        words = asked(tmp_path, path, "model.scores=votes", "model.modality=face", *more)
        return training_request(compose_train(words))

    one = obtain(request(path))
    assert one.result.metrics["test"]["accuracy"] == 1
    assert request(other).identity.hash == one.result.hash
    drawn = [obtain(request(path, "model.votes=1", f"seed={seed}")) for seed in (1, 2)]
    assert all(0.3 < run.result.metrics["test"]["accuracy"] < 0.7 for run in drawn)
    assert not drawn[0].logits("test").equals(drawn[1].logits("test"))
    assert (one.result.result_version, drawn[0].result.result_version) == (1, 2)
