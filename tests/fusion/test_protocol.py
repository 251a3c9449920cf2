"""No fusion has seen what it is judged on, as one that remembers all it was fitted on shows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meld_lightning.commands.cli import main
from meld_lightning.corpus import EMOTIONS
from meld_lightning.fusion.calibration import calibration_error
from meld_lightning.fusion.joined import Joined, JoinedRuns, LogitsBatch, normalised
from meld_lightning.fusion.likelihood_ratio import temperature
from meld_lightning.fusion.method import Fusion
from meld_lightning.runs.run import load_run
from tests.fusion.conftest import MakeRun, write_run
from tests.running import folder_over


class Memory(Fusion):
    """Predicts fear for every utterance whose logits it was fitted on, else neutral."""

    fitted = ("seen_NC",)

    def fit_to(self, data: Joined, seed: int) -> None:
        self.seen_NC = data.batch.log_probs_MNC[0]

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        seen = {row.tobytes() for row in self.seen_NC}
        seen_N = np.array([row.tobytes() in seen for row in batch.log_probs_MNC[0]])
        scores_NC = np.zeros((len(seen_N), len(EMOTIONS)))
        scores_NC[~seen_N, EMOTIONS.index("neutral")] = 5
        scores_NC[seen_N, EMOTIONS.index("fear")] = 5
        return normalised(scores_NC)


def test_no_utterance_is_scored_by_a_fusion_that_has_seen_its_dialogue(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The utterances of a dialogue all have the same logits, and no two dialogues do. So whoever is
    fitted on the fold or the dialogue that it scores, or on test, predicts fear."""
    folder = folder_over(prepared, tmp_path / "work")
    corpus = next((prepared / "cache/corpus").glob("mini-*/corpus.parquet"))
    table, rng, frames = pd.read_parquet(corpus), np.random.default_rng(0), {}
    for split in ("val", "test"):
        frame = table.loc[table["split"] == split, ["key", "unit"]].assign(present=True)
        frame["label"] = table.loc[frame.index, "emotion"]
        assert len(frame) > 2 * frame["unit"].nunique() > 8
        of_unit = {unit: rng.normal(size=len(EMOTIONS)) for unit in frame["unit"].unique()}
        frame[list(EMOTIONS)] = np.stack([of_unit[unit] for unit in frame["unit"]])
        frames[split] = frame.reset_index(drop=True)
    digest = json.loads((corpus.parent / "manifest.json").read_text())["digest"]
    run = write_run(folder / "runs/text-fake/abc", "text", frames, digest)

    monkeypatch.chdir(folder)
    memory = ["fusion=average", "~fusion.weights", f"fusion._target_={__name__}.Memory"]
    assert main(["fuse", *memory, "fusion.name=memory", f"runs.text={run}"]) == 0
    (fused,) = folder.glob("runs/fusion-memory/*/")
    predictions = pd.read_csv(fused / "predictions.csv")
    assert set(predictions["split"]) == {"val", "test"}
    assert set(predictions["predicted_label"]) == {"neutral"}


@pytest.mark.slow
def test_the_command_calibrates_on_val(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("text", (1.0, 0.2))  # far better on val than on test
    monkeypatch.chdir(tmp_path / "work")
    assert main(["fuse", "fusion=searched", f"runs.text={run}"]) == 0
    (folder,) = Path("runs").glob("fusion-searched/*/")
    found = json.loads((folder / "fusion.json").read_text())
    runs = JoinedRuns({"text": load_run(run)})
    val, test = runs.split("val"), runs.split("test")
    of_val, of_test = (temperature(one.batch.log_probs_MNC[0], one.labels_N) for one in (val, test))
    assert of_val < 0.5 < 1 < of_test
    assert found["fitted"]["temperatures"]["text"] == of_val
    scaled_NC = normalised(test.batch.log_probs_MNC[0] / of_val)
    expected = calibration_error(scaled_NC, test.labels_N)
    assert found["calibration"]["text"]["after"] == pytest.approx(expected, abs=1e-6)
