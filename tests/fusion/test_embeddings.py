"""The fusion that reads embeddings: its network beside numpy, missing modalities, folds, and the
runs' embeddings joined by key."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meld_lightning.commands.cli import main
from meld_lightning.errors import UserError
from meld_lightning.fusion.joined import Joined, normalised
from meld_lightning.fusion.method import Fusion
from meld_lightning.fusion.selection import held_out_scores
from meld_lightning.fusion.state import load_fusion, save_fusion
from meld_lightning.runs.embeddings import embeddings_file, read_embeddings, write_embeddings
from meld_lightning.runs.run import load_run
from tests.fusion.conftest import MakeRun, configured, drawn, with_gaps

WIDTHS = (3, 5, 4)


def embedded(number: int, gaps: bool = True) -> Joined:
    """Utterances whose embeddings hold what their logits do not: noise, but for the text's first
    dimension, which is 1 for the first label alone."""
    data = drawn(number)[0]
    rng = np.random.default_rng(0)
    embeddings = [rng.normal(size=(number, width)).astype(np.float32) for width in WIDTHS]
    embeddings[0][:, 0] = data.labels_N == 0
    data = with_gaps(data) if gaps else data
    return replace(data, batch=data.batch._replace(embeddings_M=tuple(embeddings)))


def fitted(data: Joined, *overrides: str) -> Fusion:
    fusion = configured("embeddings", "fusion.steps=5", *overrides)
    fusion.fit(data, seed=1)
    return fusion


@pytest.mark.parametrize("late", [True, False])
def test_numpy_gives_the_same_scores_from_the_saved_arrays(tmp_path: Path, late: bool) -> None:
    """Also where modalities are missing, and after the fusion has been saved and loaded."""
    data = embedded(200)
    save_fusion(fitted(data, f"fusion.late={late}"), tmp_path)
    fusion = load_fusion(tmp_path)
    arrays, present_MN = fusion.arrays(), data.batch.present_MN
    hidden, gates = [], []
    for place, embeddings_ND in enumerate(data.batch.embeddings_M):
        part = {
            name.removeprefix(f"module.projections.{place}."): value
            for name, value in arrays.items()
        }
        own_ND = embeddings_ND[present_MN[place]].astype(np.float64)
        np.testing.assert_allclose(part["mean_D"], own_ND.mean(0))
        np.testing.assert_allclose(part["deviation_D"], own_ND.std(0))
        standardised_ND = (embeddings_ND - own_ND.mean(0)) / own_ND.std(0)
        hidden.append(np.tanh(standardised_ND @ part["linear.weight"].T + part["linear.bias"]))
        score_N = hidden[-1] @ part["gate.weight"][0] + part["gate.bias"]
        gates.append(np.exp(score_N) * present_MN[place])
    gate_MN = np.array(gates) / np.maximum(np.sum(gates, 0), 1e-300)
    pooled_NH = np.einsum("mn,mnh->nh", gate_MN, np.array(hidden))
    expected_NC = arrays["prior_C"] + pooled_NH @ arrays["module.output.weight"].T
    if late:
        expected_NC = expected_NC + fusion.evidence(data.batch).sum(0)  # type: ignore[attr-defined]
    np.testing.assert_allclose(fusion(data.batch), normalised(expected_NC), atol=1e-9)
    np.testing.assert_allclose(arrays["gate_M"], gate_MN.mean(1))
    assert np.abs(arrays["module.output.weight"]).max() > 0.01
    with pytest.raises(
        ValueError, match=r"width_M is \[3, 5, 1000000000000\], expected \[3, 5, 4\]"
    ):
        fusion.restore({**arrays, "width_M": np.array([3, 5, 10**12])})


def test_what_is_missing_has_no_influence_and_nothing_gives_the_prior() -> None:
    data = embedded(300)
    fusion = fitted(data)
    other = [
        np.where(present_N[:, None], one_ND, 99)
        for one_ND, present_N in zip(data.batch.embeddings_M, data.batch.present_MN, strict=True)
    ]
    scores_NC = fusion(data.batch)
    np.testing.assert_array_equal(fusion(data.batch._replace(embeddings_M=tuple(other))), scores_NC)
    nothing_N = ~data.batch.present_MN.any(0)
    assert nothing_N.any()
    np.testing.assert_allclose(scores_NC[nothing_N], np.tile(fusion.prior_C, (nothing_N.sum(), 1)))


@pytest.mark.slow
def test_it_learns_from_embeddings_what_logits_do_not_say() -> None:
    """Without logits too, as late=false has it."""
    data = embedded(2000, gaps=False)
    inside = np.arange(2000) < 1000
    for late in (True, False):
        fusion = configured("embeddings", f"fusion.late={late}")
        fusion.fit(data.where(inside), seed=1)
        scored = data.where(~inside)
        first_N = scored.labels_N == 0
        assert ((fusion(scored.batch).argmax(1) == 0) == first_N).mean() > 0.97
    noise = scored.batch._replace(log_probs_MNC=scored.batch.log_probs_MNC[:, ::-1])
    np.testing.assert_array_equal(fusion(noise), fusion(scored.batch))


@pytest.mark.slow
def test_labels_of_a_fold_do_not_change_its_own_scores() -> None:
    data, fold_N = embedded(120), np.arange(120) % 3
    fusion = configured("embeddings", "fusion.steps=3")
    changed_N = np.where(fold_N == 1, (data.labels_N + 1) % len(data.labels), data.labels_N)
    other = replace(data, labels_N=changed_N)
    one_KNC, two_KNC = (
        held_out_scores(fusion, each, fold_N, 1, nested=False) for each in (data, other)
    )
    np.testing.assert_array_equal(one_KNC[1, fold_N == 1], two_KNC[1, fold_N == 1])
    assert not np.array_equal(one_KNC[0, fold_N == 0], two_KNC[0, fold_N == 0])


@pytest.mark.slow
def test_the_command_joins_embeddings_by_key_and_names_a_run_without_them(
    tmp_path: Path,
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path / "work")
    runs = {name: make_run(name, 0.5) for name in ("text", "audio")}
    rng = np.random.default_rng(0)
    for name, folder in runs.items():
        for split in ("val", "test"):
            frame = load_run(folder).logits(split).sample(frac=1, random_state=len(name))
            embeddings_ND = rng.normal(size=(len(frame), 3)) * 0.1
            embeddings_ND[:, 0] += frame["label"] == "joy"
            write_embeddings(embeddings_file(folder, split), frame["key"].tolist(), embeddings_ND)
    ask = ["fuse", "fusion=embeddings", "folds=2", *(f"runs.{k}={v}" for k, v in runs.items())]
    assert main(ask) == 0
    assert "mean gates on val: audio 0." in capsys.readouterr().out
    (folder,) = Path("runs").glob("fusion-embeddings/*/")
    for split in ("val", "test"):
        frame = load_run(folder).logits(split)
        predicted = frame.filter(like="logit.").idxmax(axis=1) == "logit.joy"
        assert (predicted == (frame["label"] == "joy")).mean() > 0.97
    embeddings_file(runs["audio"], "test").unlink()
    imported = "model: {_target_: meld_lightning.models.imported.Imported}"
    (runs["audio"] / "config.yaml").write_text(imported)
    capsys.readouterr()
    assert main([*ask, "seed=2"]) == 1
    said = capsys.readouterr().err.strip()
    assert "a fusion or an import has no model, and so no embeddings" in said
    assert len(said.splitlines()) == 1, said


def test_embeddings_come_back_by_key_and_damage_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "embeddings" / "val.parquet"
    write_embeddings(path, ["a", "b"], np.array([[1.0, 2], [3, 4]]))
    np.testing.assert_array_equal(read_embeddings(path, ["b", "a"]), [[3, 4], [1, 2]])
    for keys, expected in ((["a", "c"], "lacks utterances"), (["a"], "")):
        if not expected:
            path.write_bytes(path.read_bytes()[:-9])
            expected = "cannot be read"
        with pytest.raises(UserError, match=expected):
            read_embeddings(path, keys)
    with pytest.raises(UserError, match="the embedding of b is not finite"):
        write_embeddings(path, ["a", "b"], np.array([[1.0], [np.inf]]))
    path.unlink()
    with pytest.raises(UserError, match="missing; a fusion that reads embeddings"):
        read_embeddings(path, ["a"])
