"""What doctor finds about a study: corpus, checkpoints, disk and memory, and how long it takes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from omegaconf import DictConfig

from meld_lightning.corpus import load_corpus
from meld_lightning.doctor import memory, study
from meld_lightning.doctor.duration import Timed, estimate, in_words
from meld_lightning.doctor.examine import examine_study
from tests.finished import SMALL
from tests.running import call

Compose = Callable[..., DictConfig]
LIMITS_1 = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")  # of cgroups of version 1


def test_a_corpus_that_is_not_there_stops_it(compose_train: Compose, tmp_path: Path) -> None:
    for root, message in ((tmp_path / "none", "no such folder"), ("''", "corpus.root is not set")):
        found, corpus = study.examine_corpus(compose_train(["corpus=meld", f"corpus.root={root}"]))
        assert (found.state, corpus) == ("stop", None)
        assert message in found.text
    found, corpus = study.examine_corpus(compose_train([]))
    assert (found.state, corpus is not None) == ("ok", True)
    assert found.text == "mini: train 640, val 160, test 480, prepared"


def test_checkpoints_are_whole_or_said_what_will_become_of_them(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    names = ["mini:roberta", "mini:none", "/no/such/folder", "some/model"]
    found = study.examine_checkpoints(names, prepared / "cache")
    assert [one.state for one in found] == ["ok", "ok", "stop", "stop"]
    assert found[0].text.startswith("whole, ")
    assert "HF_HUB_OFFLINE" in found[3].text
    (local := tmp_path / "local").mkdir()
    (local / "config.json").write_text("{}")
    (local / "model.safetensors").write_bytes(b"damaged")
    (damaged,) = study.examine_checkpoints([str(local)], prepared / "cache")
    assert (damaged.state, "model.safetensors: damaged" in damaged.text) == ("stop", True)
    cache = tmp_path / "cache"
    shutil.copytree(prepared / "cache" / "checkpoints", cache / "checkpoints")
    (weights,) = cache.glob("checkpoints/mini-roberta-*/model.safetensors")
    weights.write_bytes(b"damaged")
    (damaged,) = study.examine_checkpoints(["mini:roberta"], cache)
    assert (damaged.state, "not the file that prepare recorded" in damaged.text) == ("note", True)


def hour_of_clips(prepared: Path) -> Any:
    """The mini corpus as if its clips took an hour in all."""
    corpus = load_corpus(prepared / "cache" / "mini")
    table: pd.DataFrame = corpus.table
    table["start_s"], table["end_s"] = 0.0, 3600 / len(table)
    table["clip"] = "clip.mp4"
    return corpus


@pytest.mark.slow
@pytest.mark.parametrize(("free", "state"), [(20e9, "ok"), (5e9, "stop")])
def test_disk_is_held_against_clips_and_runs(
    prepared: Path,
    compose_train: Compose,
    free: float,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = shutil.disk_usage(prepared)._replace(free=int(free))
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    runs = [100_000_000] * 10
    found = study.examine_disk(compose_train([]), hour_of_clips(prepared), runs, at_once=2)
    assert found.state == state
    # 3600 s of 2.4 frames of 150,528 bytes and of 16,000 samples of 4; 10 x 0.4 GB; 2 x 1.2 GB
    assert found.text.startswith(
        "7.9 GB needed: 1.5 for 1.0 h of clips, 4.0 for the weights of 10 runs, 2.4 while 2 of them"
    )


@pytest.mark.parametrize(("free", "state"), [(10e9, "ok"), (4e9, "note"), (2e9, "stop")])
def test_memory_is_held_against_the_largest_run(
    free: float, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_free", lambda: int(free))
    found = memory.examine_memory([100_000_000, 1], at_once=2, accelerator="cpu")
    assert found.state == state
    assert found.text.startswith("6.2 GB needed: 2 at a time, each 1.5 GB and 1.6 GB")


def test_runs_whose_checkpoint_is_not_here_are_counted_apart(
    prepared: Path, compose_train: Compose, tmp_path: Path
) -> None:
    names = ["mini:roberta", "mini:none", "some/model"]
    sizes = [study.parameters(name, prepared / "cache") for name in names]
    assert sizes[0]
    assert sizes[1:] == [None, None]
    for runs, said in (
        ([None, None], "0.0 for the weights of 0 runs, "),
        ([100_000_000, None], "0.4 for the weights of 1 run, 1.2 while it trains; "),
    ):
        disk = study.examine_disk(compose_train([]), None, runs, at_once=1)
        of_memory = memory.examine_memory(runs, 1, "cpu")
        for found in (disk, of_memory):
            assert found.state == "note"
            assert f"{runs.count(None)} run" in found.text
            assert "not counted, because the checkpoint is not here yet" in found.text
        assert said in disk.text
        assert " at a time" not in of_memory.text


def test_memory_free_is_that_of_this_machine() -> None:
    assert 0 < memory.memory_free() < 1e14


@pytest.mark.parametrize(
    ("groups", "folder", "files"),
    [
        ("0::/a/b", "a", ("max", "current", "inactive_file")),
        ("4:cpu,memory:/a\n0::/", "memory/a", LIMITS_1),
        ("4:memory:/of/the/host\n0::/", "memory", LIMITS_1),
    ],
    ids=["version 2, of a group above", "version 1", "in a container"],
)
def test_memory_free_is_what_a_control_group_leaves(
    groups: str,
    folder: str,
    files: tuple[str, str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A limit of 5,000 bytes, of which 4,000 are used; 3,000 of these are files in the cache."""
    limit, used, cached = files
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / f"memory.{limit}").write_text("5000\n")
    (tmp_path / folder / f"memory.{used}").write_text("4000\n")
    (tmp_path / folder / "memory.stat").write_text(f"anon 1000\n{cached} 3000\n")
    (tmp_path / "cgroup").write_text(f"{groups}\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "cgroup")
    assert memory.memory_free() == 4000


def test_disk_is_that_of_what_is_still_to_be_written(
    prepared: Path, compose_train: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 GB are free for the cache, and any number for the runs, on another disk."""

    def usage(path: Path) -> Any:
        return SimpleNamespace(free=int(5e9 if Path("/dev/shm") in (path, *path.parents) else 1e12))

    monkeypatch.setattr("shutil.disk_usage", usage)
    elsewhere = compose_train(["paths.cache=/dev/shm"])
    clips, runs = hour_of_clips(prepared), [100_000_000] * 100
    found = study.examine_disk(elsewhere, clips, runs, at_once=1)
    assert found.state == "ok"
    assert "; 5.0 GB free for 1.5 of cache, 1000.0 GB free for 41.2 of runs" in found.text
    clips.table["end_s"] *= 10
    assert study.examine_disk(elsewhere, clips, runs, at_once=1).state == "stop"
    found = study.examine_disk(elsewhere, clips, runs, at_once=1, decode=False)
    assert (found.state, "needed: no clips to decode, 40.0" in found.text) == ("ok", True)
    monkeypatch.setattr(study, "prepared_media", lambda *_: None)
    found = study.examine_disk(elsewhere, clips, runs, at_once=1)
    assert "no clips to decode, because all are in the cache" in found.text


@pytest.mark.slow
def test_a_study_of_finished_runs_takes_no_time(
    finished: Path, compose_train: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.parents[2])
    cfg = compose_train(SMALL[1:])
    monkeypatch.chdir(finished.parents[2])
    found = list(examine_study(cfg, [cfg], at_once=1, measure_s=1))
    assert [one.state for one in found] == ["ok"] * len(found)
    assert str(found[-1]) == "ok    duration: 1 run of the study, all finished"


def test_a_duration_is_said_in_words() -> None:
    words = {40: "40 seconds", 100: "1.7 minutes", 7200: "2 hours", 400_000: "4.6 days"}
    assert {seconds: in_words(seconds) for seconds in words} == words


@pytest.mark.slow
def test_every_kind_of_run_is_measured_once_and_leaves_nothing(
    prepared: Path, compose_train: Compose, tmp_path: Path
) -> None:
    before = sorted(prepared.rglob("*"))
    configs = [compose_train([*SMALL[1:], f"seed={seed}"]) for seed in (1, 2)]
    found = estimate(configs, at_once=2, budget_s=60)
    assert (found.runs, found.kinds) == (2, 1)
    assert found.seconds > 0
    assert sorted(prepared.rglob("*")) == before


@pytest.mark.parametrize(("each_s", "sizes"), [(0.04, [48, 144]), (0.001, [48, 1048, 1280])])
def test_costs_are_extrapolated_to_all_utterances_and_epochs(
    each_s: float, sizes: list[int], compose_train: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of a kind on 1,280 utterances; the second finds its features in the cache. The last
    size is such that its epoch takes long enough."""
    measured: list[int] = []

    def timed(_: DictConfig, count: int) -> Timed:
        measured.append(count)
        return Timed(count, 5 + 0.01 * count, 0.096 + each_s * count, 1 + 0.005 * count)

    monkeypatch.setattr("meld_lightning.doctor.duration._timed", timed)
    monkeypatch.setattr("meld_lightning.doctor.duration._process_start", lambda: 2.0)
    configs = [
        compose_train([f"epochs={epochs}", "checkpoints.bert=mini:roberta"]) for epochs in (1, 3)
    ]
    found = estimate(configs, at_once=2, budget_s=60)
    before_s, epoch_s, after_s = 2 * 5 + 12.8, 0.096 + each_s * 1280, 1 + 6.4
    assert found.seconds == pytest.approx((2 + before_s + 4 * epoch_s + 2 * after_s) / 2)
    assert measured == sizes


def test_what_only_the_first_training_loads_is_no_cost(
    compose_train: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([Timed(48, 30.0, 0.0, 1.0), Timed(144, 2.0, 0.0, 1.0)])
    monkeypatch.setattr("meld_lightning.doctor.duration._timed", lambda *_: next(times))
    monkeypatch.setattr("meld_lightning.doctor.duration._process_start", lambda: 0.0)
    found = estimate([compose_train(["checkpoints.bert=mini:roberta"])], at_once=1, budget_s=60)
    assert found.seconds == pytest.approx(3.0)


def test_the_command_ends_with_1_where_something_stops_the_study(prepared: Path) -> None:
    asked = ["tables=[table_02]", "checkpoints.clip=null", "measure_s=0"]
    done = call(["doctor", "study=mini", *asked], prepared)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line[:5] for line in done.stdout.splitlines()} <= {"ok   ", "note "}
    done = call(["doctor", "study=meld", *asked], prepared)
    assert done.returncode == 1
    assert "stop  corpus: corpus.root is not set" in done.stdout
    assert done.stderr.count("\n") == 1


def test_the_cluster_is_looked_at_before_a_sweep_is_sent_there(prepared: Path) -> None:
    asked = ["tables=[table_02]", "hydra/launcher=slurm", "measure_s=0"]
    done = call(["doctor", "study=mini", *asked], prepared)
    assert "  Slurm" in done.stdout, done.stderr
