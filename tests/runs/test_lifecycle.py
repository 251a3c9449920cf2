"""One lifecycle for every run: read if finished, made if not, made again if asked, and honest about
what a finished run was made with."""

import dataclasses
import json
import logging
import multiprocessing
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.lifecycle import RunRequest, obtain
from meld_lightning.runs.logits import write_logits
from meld_lightning.runs.provenance import (
    device_here,
    differences,
    installed_versions,
    source_digest,
)
from meld_lightning.runs.result import Result, write_result
from meld_lightning.runs.run import load_run, undamaged_run

LABELS = ("neutral", "joy")


class Toy(RunRequest):
    """A run that appends a line to a log and writes a result."""

    def __init__(self, folder: Path, fails: bool = False, **config: Any) -> None:
        super().__init__(OmegaConf.create({"seed": 1, **config}))
        self.folder, self.fails = folder, fails

    @property
    def device(self) -> str:
        return device_here("cpu")

    def check(self) -> None:
        if self.cfg.seed < 0:
            raise UserError("seed: expected at least 0")

    @cached_property
    def identity(self) -> Identity:
        return Identity("h", "c", self.folder / "runs" / "text-toy" / "h", {"corpus": "0"})

    def execute(self) -> None:
        with (self.folder / "log").open("a") as log:
            log.write("executed\n")
        if self.fails:
            raise UserError("it cannot be done")
        (self.identity.folder / "checkpoints").mkdir(exist_ok=True)
        write_result(self.identity.folder, result())


class WithLogits(Toy):
    """Writes logits of val besides."""

    def execute(self) -> None:
        super().execute()
        row = pd.DataFrame({"key": ["a"], "label": [0], "unit": ["a"], "present": [True]})
        folder = self.identity.folder
        write_logits(folder / "logits" / "val.parquet", row, np.zeros((1, 2)), LABELS)
        write_result(folder, result(metrics={"val": {"n": 1}}))


def result(**changed: Any) -> Result:
    fields: dict[str, Any] = {
        "hash": "h", "config_hash": "c", "result_version": 1, "modality": "text", "model": "toy",
        "checkpoint": "none", "seed": 1, "fold": None, "labels": LABELS,
        "train_majority": "neutral", "digests": {"corpus": "0"}, "metrics": {},
        "best": {"monitor": "val/loss", "value": 0.5, "epoch": 1}, "commit": "abcdef1234567",
        "dirty": False, "versions": installed_versions(), "device": device_here("cpu"),
        "source": source_digest(),
    }  # fmt: skip
    return Result(**fields | changed)


def executed(folder: Path) -> int:
    return len((folder / "log").read_text().splitlines())


def _ask(folder: Path) -> None:
    obtain(Toy(folder))


def test_a_finished_run_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "meld_lightning"):
        first, second = obtain(Toy(tmp_path)), obtain(Toy(tmp_path))
    assert first.result == second.result == result()
    assert first.config == second.config == OmegaConf.create({"seed": 1})
    assert executed(tmp_path) == 1
    assert caplog.messages == []  # the same code, versions and device


def test_locks_lie_in_one_hidden_folder(tmp_path: Path) -> None:
    obtain(Toy(tmp_path))
    assert [path.name for path in (tmp_path / "runs" / "text-toy").iterdir()] == ["h"]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {".locks", "text-toy"}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("result.json", '{"best": ', "damaged result.json"),
        ("config.yaml", "[", "damaged config.yaml"),
        ("logits/val.parquet", "PAR1", "logits/val.parquet: cannot be read"),
        ("logits/val.parquet", None, "logits/val.parquet: missing"),
    ],
)
def test_a_damaged_run_is_made_again_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, content: str | None, said: str
) -> None:
    folder = obtain(WithLogits(tmp_path)).folder
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with caplog.at_level(logging.INFO, "meld_lightning"):
        again = obtain(WithLogits(tmp_path))
    assert again.logits("val")["key"].tolist() == ["a"]
    assert executed(tmp_path) == 2
    [line] = caplog.messages
    assert said in line
    assert line.endswith("; the run counts as missing")


def test_a_folder_without_a_result_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its message says nothing about what to do, and is kept as it is."""
    assert undamaged_run(tmp_path) is None
    [line] = caplog.messages
    assert line == (
        f"{tmp_path}: no finished run there: it has no result.json; the run counts as missing"
    )


def test_of_several_that_ask_at_once_one_makes_it(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_ask, [tmp_path] * 4)
    assert executed(tmp_path) == 1


@pytest.mark.parametrize(
    ("field", "value", "phrase"),
    [
        ("source", "0" * 12, "made with other package source"),
        ("versions", {**installed_versions(), "torch": "2.0.0"}, "made with torch 2.0.0 (here "),
        ("device", "NVIDIA H100 80GB HBM3", "made with NVIDIA H100 80GB HBM3 (here cpu "),
    ],
)
def test_a_run_made_otherwise_is_read_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, field: str, value: Any, phrase: str
) -> None:
    folder = obtain(Toy(tmp_path)).folder
    write_result(folder, result(**{field: value}))
    with caplog.at_level(logging.INFO, "meld_lightning"):
        found = obtain(Toy(tmp_path))
    assert getattr(found.result, field) == value
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{folder}: {phrase}")
    assert "rerun=true makes it again" in caplog.messages[0]


def test_rerun_makes_it_again_and_leaves_nothing_of_before(tmp_path: Path) -> None:
    folder = obtain(Toy(tmp_path)).folder
    write_result(folder, result(source="0" * 12))
    (folder / "checkpoints" / "last.ckpt").write_text("of before")
    again = obtain(Toy(tmp_path, rerun=True))
    assert again.result.source == source_digest()
    assert not (folder / "checkpoints" / "last.ckpt").exists()
    assert executed(tmp_path) == 2


class Waiting(Toy):
    """A run that another process finishes, and leaves by SIGKILL, while this one waits."""

    def find_or_check(self) -> None:
        assert super().find_or_check() is not None


@pytest.mark.parametrize("request_type", [Toy, Waiting])
def test_what_a_killed_process_leaves_of_a_finished_run_is_removed(
    request_type: type[Toy], tmp_path: Path
) -> None:
    last = obtain(Toy(tmp_path)).folder / "checkpoints" / "last.ckpt"
    last.write_text("left")
    obtain(request_type(tmp_path))
    assert (last.exists(), executed(tmp_path)) == (False, 1)


def test_a_refused_config_runs_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="seed: expected at least 0"):
        obtain(Toy(tmp_path, seed=-1))
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_config_is_refused_before_what_is_not_prepared(tmp_path: Path) -> None:
    class Unprepared(Toy):
        @cached_property
        def identity(self) -> Identity:
            raise NotPrepared("corpus is not prepared")

    with pytest.raises(UserError, match="seed: expected at least 0"):
        obtain(Unprepared(tmp_path, seed=-1))
    with pytest.raises(NotPrepared):
        obtain(Unprepared(tmp_path))


def test_a_failure_before_the_first_checkpoint_takes_the_folder_with_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it cannot be done"):
        obtain(Toy(tmp_path, fails=True))
    assert not (tmp_path / "runs/text-toy/h").exists()


def test_a_result_survives_the_disk_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    folder = obtain(Toy(tmp_path)).folder
    assert load_run(folder).result == result()
    on_disk = json.loads((folder / "result.json").read_text())
    assert on_disk == {**dataclasses.asdict(result()), "labels": list(LABELS)}
    (folder / "result.json").write_text('{"hash": "h"}')
    with pytest.raises(
        UserError,
        match=rf"{folder}: damaged result.json \(it lacks 'config_hash'\); make that run again",
    ):
        load_run(folder)


def test_results_of_one_table_that_differ_are_told_apart_in_plain_phrases() -> None:
    one = result(source=None, commit="1111111aaa")
    assert differences([one, one]) == []
    other = result(
        source=None,
        commit="2222222bbb",
        versions={**installed_versions(), "torch": "2.0.0"},
        device="NVIDIA H100 80GB HBM3",
        accumulation=[{"from_step": 0, "microbatches": 4}],
    )
    assert differences([one, other]) == [
        "commits 1111111 and 2222222",
        f"torch {installed_versions()['torch']} and 2.0.0",
        f"devices {device_here('cpu')} and NVIDIA H100 80GB HBM3",
        "gradient accumulation none and up to 4 microbatches",
    ]
    # commits that left the package's source as it was make no difference
    assert differences([result(commit="1" * 9), result(commit="2" * 9)]) == []
