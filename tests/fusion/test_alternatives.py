"""Runs that were themselves chosen on val do not win over equal ones because of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meld_lightning.commands.cli import main
from meld_lightning.fusion.alone import Alone
from meld_lightning.fusion.alternatives import repeat_choices
from meld_lightning.fusion.chosen import Chosen
from meld_lightning.fusion.joined import Joined, LogitsBatch
from meld_lightning.fusion.selection import Selection, select, unit_folds
from meld_lightning.metrics import scores
from meld_lightning.mini.cues import PRIOR_C
from tests.fusion.conftest import MakeRun, joined
from tests.fusion.test_command import findings
from tests.repeats import few

METRIC = "weighted_f1"


def equal_runs(seed: int, number: int = 100, texts: int = 6) -> tuple[Joined, list[LogitsBatch]]:
    """Val as the best of several text runs and one audio run score it, all equally good; and as
    the other text runs do."""
    rng = np.random.default_rng(seed)
    labels_N = rng.choice(len(PRIOR_C), number, p=PRIOR_C)
    noise_RNC = rng.normal(size=(texts + 1, number, len(PRIOR_C)))
    logits_RNC = noise_RNC + 1.5 * np.eye(len(PRIOR_C))[labels_N] + np.log(PRIOR_C)
    values = [scores(labels_N, one_NC)[METRIC] for one_NC in logits_RNC[:texts]]
    best = int(np.argmax(values))
    others = [
        joined(logits_RNC[[place]], labels_N).batch for place in range(texts) if place != best
    ]
    return joined(logits_RNC[[best, texts]], labels_N), others


@pytest.mark.slow
def test_the_best_of_many_runs_wins_half_the_ties_against_an_equal_one() -> None:
    wins = {"as it is": 0, "repeated": 0}
    candidates = {"text": Alone("text", "text"), "audio": Alone("audio", "audio")}
    for seed in range(120):
        val, others = equal_runs(seed)
        fold_N = unit_folds(val, 5)
        repeated = repeat_choices(val, {"text": others}, fold_N, METRIC)
        for how, data in (("as it is", val), ("repeated", repeated)):
            wins[how] += select(candidates, data, fold_N, metric=METRIC, seed=1).name == "text"
    assert wins["as it is"] > 90
    assert 45 <= wins["repeated"] <= 75


def test_the_logits_of_a_fold_are_those_of_the_run_that_is_best_on_the_other_folds() -> None:
    val, others = equal_runs(5)
    missing = others[2]._replace(present_MN=np.zeros_like(others[2].present_MN))
    others[2], fold_N = missing, unit_folds(val, 4)
    found = repeat_choices(val, {"text": others}, fold_N, METRIC)
    every = [val.batch, *others]
    used = set()
    for fold in range(4):
        rest_N = fold_N != fold
        values = [
            scores(val.labels_N[rest_N], one.log_probs_MNC[0, rest_N])[METRIC] for one in every
        ]
        best = every[int(np.argmax(values))]
        used.add(int(np.argmax(values)))
        expected_NC = best.log_probs_MNC[0, ~rest_N]
        assert np.array_equal(found.batch.log_probs_MNC[0, ~rest_N], expected_NC)
        assert np.array_equal(found.batch.present_MN[0, ~rest_N], best.present_MN[0, ~rest_N])
    assert len(used) > 1
    assert np.array_equal(found.batch.log_probs_MNC[1], val.batch.log_probs_MNC[1])


def selected(val: Joined, others: list[LogitsBatch], fold_N: np.ndarray) -> Selection:
    """What `fuse` selects where the text run was chosen over `others`."""

    def without(*folds: int) -> Joined:
        return repeat_choices(val, {"text": others}, fold_N, METRIC, left_out=folds)

    candidates = Chosen("chosen", {}).candidates(val.modalities)
    return select(candidates, without(), fold_N, metric=METRIC, seed=1, without=without)


@pytest.mark.parametrize("folds", few([2, 3], 1))
def test_the_labels_of_a_fold_decide_neither_its_choices_nor_its_scores(folds: int) -> None:
    """Neither which fusion is chosen without the fold, nor which run's logits that rests on."""
    changed = 0
    for seed in range(3):
        val, others = equal_runs(seed, number=60)
        fold_N = unit_folds(val, folds)
        before = selected(val, others, fold_N)
        assert np.isfinite(before.nested_NC).all()
        for fold in range(folds):
            inside_N = fold_N == fold
            other_N = np.where(inside_N, (val.labels_N + 3) % 7, val.labels_N)
            after = selected(replace(val, labels_N=other_N), others, fold_N)
            assert after.chosen_without[fold] == before.chosen_without[fold]
            assert np.array_equal(after.nested_NC[inside_N], before.nested_NC[inside_N])
            changed += after.chosen_without != before.chosen_without
    assert changed, "no label decides anything, so that a leak would not show"


@pytest.mark.slow
def test_the_command_takes_the_runs_that_a_run_was_chosen_over(
    tmp_path: Path,
    make_run: MakeRun,
    undrawn: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An alternative that is better on val takes its place there, and nothing changes on test; one
    of another modality, or of one that is not fused, is refused."""
    monkeypatch.chdir(tmp_path / "work")
    text, audio = make_run("text", 0.5), make_run("audio", 0.4)
    better = make_run("text", (0.9, 0.1), name="better")
    runs = [f"runs.text={text}", f"runs.audio={audio}"]
    known: dict[str, Sequence[Any]] = {}
    for arguments in ([], [f"alternatives.text=[{better}]"]):
        assert main(["fuse", "fusion=average", *runs, *arguments]) == 0
        folders = {path.parent for path in Path("runs").glob("fusion-average/*/result.json")}
        (folder,) = folders - set(map(Path, known))
        known[str(folder)] = findings(folder), (folder / "logits/test.parquet").read_bytes()
    (before, test_before), (after, test_after) = known.values()
    assert before["alternatives"] == {}
    assert after["alternatives"] == {"text": 1}
    assert before["runs"]["text"] < 0.7 < after["runs"]["text"]
    assert before["runs"]["audio"] == after["runs"]["audio"]
    assert test_before == test_after
    said = capsys.readouterr().out
    assert "each modality alone on val: " in said
    assert "text was the best of 2 runs on val: the scores above are not those of this run" in said
    for arguments, expected in (
        ([*runs, f"alternatives.text=[{audio}]"], "is a run of audio, expected one of text"),
        ([runs[0], f"alternatives.audio=[{audio}]"], "alternatives.audio: there is no runs.audio"),
    ):
        assert main(["fuse", "fusion=average", *arguments]) == 1
        said = capsys.readouterr().err.strip()
        assert expected in said
        assert len(said.splitlines()) == 1, said
