"""Hostile run folders, fusions, exports, logits, weights and archives: read, or refused in one
line, with nothing written outside of the output folder."""

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from omegaconf import OmegaConf
from safetensors.numpy import save as packed_arrays

from meld_lightning import load_run
from meld_lightning.fetch.unpack import DamagedArchiveError, Limits, unpack
from meld_lightning.fusion.joined import LogitsBatch
from meld_lightning.fusion.state import ARRAYS, DESCRIPTION, load_fusion, save_fusion
from meld_lightning.inference.allowed import checked
from meld_lightning.inference.bundle import read_bundle
from meld_lightning.inference.val_scores import FILE, ValScores
from meld_lightning.listing.entries import read_entry
from meld_lightning.listing.overview import record
from meld_lightning.media.face_weights import DETECTOR, read_face_weights
from meld_lightning.runs.logits import logits_of, read_logits
from meld_lightning.runs.settings import Settings
from meld_lightning.storage.fingerprint import file_digest
from tests.fetch.archives import file, other, packed
from tests.fusion.conftest import configured, drawn
from tests.hostile.mutated import (
    SEEDS,
    answers,
    cases,
    made,
    mutated,
    mutation,
    replaced,
    replacement,
    some_text,
)
from tests.listing.made import LABELS, made_run

pytestmark = pytest.mark.slow

KEPT = Path(__file__).parents[1] / "backwards" / "kept"
CONFIG = next(KEPT.glob("runs/text-bert/*/config.yaml")).read_bytes()
RESULT = json.loads(next(KEPT.glob("runs/text-bert/*/result.json")).read_text())
BUNDLE = json.loads((KEPT / "export" / "bundle.json").read_text())
VAL_SCORES = (KEPT / "export" / FILE).read_bytes()
WHOLE_LOGITS = pd.read_parquet(next(KEPT.glob("runs/text-bert/*/logits/test.parquet")))
LOGITS = [
    frame.to_parquet()
    for frame in (
        WHOLE_LOGITS,
        pd.concat([WHOLE_LOGITS, WHOLE_LOGITS]),
        WHOLE_LOGITS.drop(columns="logit.joy"),
        WHOLE_LOGITS.assign(**{"logit.joy": np.nan}),
        WHOLE_LOGITS.assign(label="bored"),
    )
]
BOMB = b"".join(  # a few aliases of aliases, which make 10^9 values
    b"%c: &%c [%s]\n" % (97 + place, 97 + place, b",".join([b"*%c" % (96 + place)] * 10))
    for place in range(1, 9)
)
SHARDS = [{"weights": [{"name": "a/filters", "shape": [2, 2], "dtype": "float32"}]}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("hostile") / "runs", "a")


@pytest.fixture(scope="module")
def fusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fusion")
    fitted = configured("learned")
    fitted.fit(drawn(20)[0], seed=1)
    save_fusion(fitted, folder)
    return folder


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(KEPT / "export", tmp_path_factory.mktemp("export") / "it"))


def assert_run(folder: Path) -> None:
    found = answers(lambda: load_run(folder))
    if found is not None:
        assert isinstance(found.result.labels, tuple)
        assert all(isinstance(label, str) for label in found.result.labels)
    entry = answers(lambda: read_entry(folder))
    if entry is not None:
        answers(lambda: (record(entry), entry.rank, entry.get("corpus.name")))
        json.dumps(record(entry))


@cases
@given(result=replaced(RESULT))
@example(result={**RESULT, "labels": "joy"})
@example(result={**RESULT, "metrics": {"val": 1}})
def test_a_result_of_other_values_is_read_or_refused(run: Path, result: Any) -> None:
    (run / "result.json").write_text(json.dumps(result))
    assert_run(run)


@cases
@given(content=mutated(json.dumps(RESULT).encode()))
@example(content=b"[" * 100_000)
@example(content=b"\xff")
def test_a_damaged_result_is_read_or_refused(run: Path, content: bytes) -> None:
    (run / "result.json").write_bytes(content)
    assert_run(run)


@cases
@given(content=mutated(CONFIG))
@example(content=b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + BOMB)
@example(content=b"a: " + b"[" * 5000)
@example(content=CONFIG.replace(b"meld_lightning.models", b"meld_lightning." + b"x" * 3000))
@example(content=CONFIG.replace(b"models.text.", b"models.text../."))
def test_a_damaged_config_is_read_or_refused(run: Path, content: bytes) -> None:
    (run / "result.json").write_text(json.dumps(RESULT))
    (run / "config.yaml").write_bytes(content)
    found = answers(lambda: load_run(run))
    if found is not None:
        answers(lambda: checked(found.config, run, True))
        answers(lambda: (Settings(run).flat(), Settings(run).differing))


@cases
@given(content=mutated(*LOGITS))
def test_damaged_logits_are_read_or_refused(run: Path, content: bytes) -> None:
    (run / "logits.parquet").write_bytes(content)
    found = answers(lambda: read_logits(run / "logits.parquet", ("neutral", "joy", "anger")))
    if found is not None:
        assert found["key"].is_unique
        assert np.isfinite(logits_of(found, ("neutral", "joy", "anger"))).all()


@cases
@given(drawn_seed=SEEDS)
@example(drawn_seed=b"\x05\xe7e\xf0?\xa5&C")  # a weight of 1e300
def test_a_fusion_of_other_values_is_read_or_refused(fusion: Path, drawn_seed: bytes) -> None:
    draw = Random(drawn_seed)
    stored = (fusion / "stored.json", fusion / "stored.bin")
    if not stored[0].is_file():
        shutil.copyfile(fusion / DESCRIPTION, stored[0])
        shutil.copyfile(fusion / ARRAYS, stored[1])
    arrays = mutation(draw, stored[1].read_bytes())
    (fusion / ARRAYS).write_bytes(arrays)
    described = json.loads(stored[0].read_text())
    described = {**described, "sha256": file_digest(fusion / ARRAYS)}
    (fusion / DESCRIPTION).write_text(json.dumps(replacement(draw, described)))
    found = answers(lambda: load_fusion(fusion))
    if found is not None and found.modalities == ("text", "audio", "video"):
        batch = drawn(3)[0].batch
        scores_NC = found(LogitsBatch(batch.log_probs_MNC, batch.present_MN))
        assert scores_NC.shape == (3, len(found.labels))
        assert np.isfinite(scores_NC).all()


@cases
@given(bundle=replaced(BUNDLE))
@example(bundle={**BUNDLE, "sha256": {"../../../../etc/passwd": "0"}})
@example(bundle={**BUNDLE, "modalities": ["../text"]})
def test_an_export_of_other_values_is_read_or_refused(export: Path, bundle: Any) -> None:
    (export / "bundle.json").write_text(json.dumps(bundle))
    found = answers(lambda: read_bundle(export))
    if found is not None:
        answers(found.check_files)
        assert all(isinstance(one, str) for one in (*found.labels, *found.modalities))
        assert all("/" not in one for one in found.modalities)


@cases
@given(content=mutated(VAL_SCORES))
@example(content=VAL_SCORES.replace(b'"shape":[9,3]', b'"shape":[3,9]'))
def test_damaged_scores_of_val_are_read_or_refused(export: Path, content: bytes) -> None:
    (export / FILE).write_bytes(content)
    found = answers(lambda: ValScores.load(export))
    if found is not None:
        assert found.probabilities_NC.shape == (len(found.labels_N), len(found.labels))
        assert found.mistakes.shape == found.labels_N.shape
        assert ((found.confidences > 0) & (found.confidences <= 1 + 1e-6)).all()


@cases
@given(manifest=replaced(SHARDS), content=mutated(bytes(16)))
@example(manifest=[{"weights": [{"name": "a", "shape": [2**40, -1], "dtype": "O"}]}], content=b"")
def test_weights_of_faces_are_read_or_refused(run: Path, manifest: Any, content: bytes) -> None:
    (run / f"{DETECTOR}_model-weights_manifest.json").write_text(json.dumps(manifest))
    (run / f"{DETECTOR}_model.bin").write_bytes(content)
    answers(lambda: read_face_weights(run, DETECTOR))


@cases
@given(content=mutated(packed_arrays({"a/filters": np.ones((2, 2), np.float32)})))
def test_weights_of_faces_in_safetensors_are_read_or_refused(export: Path, content: bytes) -> None:
    (export / f"{DETECTOR}.safetensors").write_bytes(content)
    answers(lambda: read_face_weights(export, DETECTOR))


NAMES = ("a", "a/b", "../a", "/a", "a/../../b", ".", "..", "a.tar.gz", "x" * 300, "a/")
KINDS = (b"1", b"2", b"3", b"4", b"5", b"6", b"S")  # links, devices, folders, pipes, sparse files


def name(draw: Random) -> str:
    return draw.choice(NAMES) if draw.random() < 0.5 else some_text(draw, 8)


def member(draw: Random) -> Any:
    if draw.random() < 0.5:
        return file(name(draw), draw.randbytes(draw.randrange(21)))
    return other(name(draw), draw.choice(KINDS), name(draw))


WHOLE = packed([file("a/b", b"1" * 50), file("c.tar.gz", packed([file("d")]))])


def assert_unpacks_inside(folder: Path, content: bytes) -> None:
    place = folder / "here"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "it.tar.gz").write_bytes(content)
    limits = Limits(size=10_000, members=20)
    answers(lambda: unpack(place / "it.tar.gz", place / "out", limits), DamagedArchiveError)
    assert {path.name for path in place.iterdir()} <= {"it.tar.gz", "out"}
    assert {path.name for path in folder.iterdir()} == {"here"}
    inside = list((place / "out").rglob("*")) if (place / "out").is_dir() else []
    assert not [
        path for path in inside if path.is_symlink() or not (path.is_file() or path.is_dir())
    ]
    assert sum(path.stat().st_size for path in inside if path.is_file()) <= limits.size


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives")


@cases
@given(members=made(lambda draw: [member(draw) for _ in range(draw.randrange(5))]))
def test_archives_of_hostile_names_stay_inside(empty: Path, members: Any) -> None:
    try:
        content = packed(members)
    except (ValueError, UnicodeEncodeError):  # no archive has such a name
        return
    assert_unpacks_inside(empty, content)


@cases
@given(content=mutated(WHOLE))
def test_damaged_archives_stay_inside(empty: Path, content: bytes) -> None:
    assert_unpacks_inside(empty, content)


def test_what_is_stored_here_is_what_is_changed(run: Path) -> None:
    assert OmegaConf.create(CONFIG.decode()).model.name == "bert"
    assert set(LABELS) <= {"neutral", "joy"}
