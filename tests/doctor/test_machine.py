"""What doctor finds about a machine: each thing that can be wrong is one line with what to do."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av.codec.codec
import pytest
import torch

from meld_lightning.doctor import place, services, software
from meld_lightning.doctor.finding import Finding
from tests.fetch.server import serving

REAL = time.time
CFG: dict[str, Any] = {
    "machine": {"accelerator": "cpu"},
    "numerics": {"world_size": 1, "precision": "32-true"},
    "media": {"decoder": "pyav"},
}


def about(subject: str, findings: Iterable[Finding]) -> Finding:
    (found,) = (one for one in findings if one.subject == subject)
    assert "\n" not in str(found)
    return found


def test_this_environment_is_ok() -> None:
    states = {one.subject: one.state for one in software.examine_software(CFG)}
    assert list(states) == [
        "Python", "libraries", "device", "torchaudio", "decoders",
    ]  # fmt: skip
    assert "stop" not in states.values()


def test_libraries_that_are_missing_or_too_old_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = ["torch>=99", "no-such-library>=1", "numpy", 'tensorflow; extra == "other"']
    monkeypatch.setattr(software, "requires", lambda _: stated)
    found = about("libraries", software.examine_software(CFG))
    assert found.state == "stop"
    assert " is not >=99, no-such-library is not installed; run: make setup" in found.text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_not_there_stops_it() -> None:
    found = about("device", software.examine_software({**CFG, "machine": {"accelerator": "cuda"}}))
    assert (found.state, "finds no GPU" in found.text) == ("stop", True)
    cfg = {**CFG, "machine": {"accelerator": "cuda"}}
    found = about("device", software.examine_software(cfg, elsewhere=True))
    assert (found.state, "Slurm's machines may differ" in found.text) == ("note", True)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("used", [["32-true"], ["bf16-mixed"], ["bf16-mixed", "32-true"]])
def test_precision_is_noted_where_another_one_is_faster(
    fast: bool, used: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meld_lightning.training.process.is_bf16_fast", lambda _: fast)
    found = software.examine_precision("cpu", used)
    best = "bf16-mixed" if fast else "32-true"
    assert found.state == ("ok" if used == [best] else "note")
    if found.state == "note":
        assert f"numerics={'bf16' if fast else 'fp32'}" in found.text


@pytest.mark.parametrize(
    ("library", "subject", "media"),
    [
        ("torchaudio", "torchaudio", "pyav"),
        ("decord", "decoders", "decord"),
        ("av", "decoders", "pyav"),
    ],
)
def test_what_does_not_load_stops_it(
    library: str, subject: str, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    found = about(subject, software.examine_software({**CFG, "media": {"decoder": media}}))
    assert found.state == "stop"
    assert "install" in found.text


def test_a_decoder_that_ffmpeg_lacks_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str, _: str) -> None:
        raise av.codec.codec.UnknownCodecError(name)

    monkeypatch.setattr("av.codec.Codec", unknown)
    found = about("decoders", software.examine_software(CFG))
    assert (found.state, "cannot decode h264; install" in found.text) == ("stop", True)


def test_a_good_file_system_is_left_as_it_was(tmp_path: Path) -> None:
    found = place.examine_places({"cache": tmp_path / "not" / "there", "runs": tmp_path})
    assert [one.state for one in found] == ["ok", "ok", "ok"]
    assert list(tmp_path.iterdir()) == []


@contextmanager
def always(_: Path) -> Iterator[bool]:
    yield True


@contextmanager
def nowhere(target: Path) -> Iterator[Path]:
    elsewhere = target.with_name("elsewhere")
    elsewhere.mkdir(exist_ok=True)
    target.mkdir(exist_ok=True)
    yield elsewhere


@pytest.mark.parametrize(
    ("name", "broken", "message"),
    [
        ("locked_if_free", always, "locks do not hold"),
        ("atomic_folder", nowhere, "renamed files are not seen"),
    ],
)
def test_a_file_system_without_locks_or_renames_stops_it(
    tmp_path: Path, name: str, broken: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, broken)
    found = about("file system of runs", place.examine_places({"runs": tmp_path}))
    assert found.state == "stop"
    assert message in found.text
    assert "paths.*" in found.text


def test_a_full_disk_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("meld_lightning.storage.atomic.put_in_place", full)
    found = about("file system of runs", place.examine_places({"runs": tmp_path}))
    assert (found.state, "No space left on device; free some" in found.text) == ("stop", True)


def test_a_folder_that_cannot_be_written_to_stops_it() -> None:
    found = place.examine_places({"runs": Path("/proc/self/runs")})
    assert [one.state for one in found] == ["stop", "stop"]


@pytest.mark.parametrize(
    ("clock", "state", "message"),
    [(lambda: 0.0, "stop", "1970"), (lambda: REAL() + 100, "note", "differs by -100 s")],
)
def test_a_wrong_clock_is_found(
    tmp_path: Path,
    clock: Callable[[], float],
    state: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place.time, "time", clock)
    found = about("clock", place.examine_places({"runs": tmp_path}))
    assert (found.state, message in found.text) == (state, True)


def outside(
    logger: str = "none", launcher: str = "local", options: Mapping[str, object] | None = None
) -> list[Finding]:
    return services.examine_services(logger, launcher, {"minutes": 240, **(options or {})})


def test_the_hub_is_asked_unless_it_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "nothing is downloaded" in about("hub", outside()).text
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with serving() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        assert about("hub", outside()).state == "ok"
    found = about("hub", outside())
    assert (found.state, "HF_HUB_OFFLINE=1" in found.text) == ("note", True)


def test_of_a_study_only_the_services_that_it_uses_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def subjects(logger: str, launcher: str, hub: bool) -> list[str]:
        options = {"minutes": 240}
        found = services.examine_services(logger, launcher, options, hub)
        return [one.subject for one in found]

    assert subjects("none", "local", hub=False) == []
    assert subjects("none", "slurm", hub=True) == ["hub", "Slurm"]


@pytest.mark.slow
def test_wandb_is_asked_only_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not used" in about("W&B", outside()).text
    monkeypatch.setattr("meld_lightning.tracking.wandb_logger.wandb_online", lambda: False)
    assert "wandb sync" in about("W&B", outside("wandb")).text


def sinfo(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Puts a stand-in for Slurm's sinfo first on PATH."""
    script = folder / "sinfo"
    script.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("options", "state", "message"),
    [
        ({}, "ok", "jobs of 240 minutes fit partition gpu"),
        ({"partition": "long", "minutes": 5000}, "ok", "fit partition long"),
        ({"partition": "short"}, "stop", "partition short allows 30; give at most that"),
        ({"partition": "big"}, "stop", "no such partition; there are: gpu, short, long"),
        ({"partition": "short,gpu"}, "ok", "jobs of 240 minutes fit partition gpu"),
        ({"partition": "gpu,big"}, "stop", "hydra.launcher.partition=big: no such partition"),
        ({"partition": "gpu,short", "minutes": 5000}, "stop", "partition gpu allows 1440"),
    ],
)
def test_a_job_that_slurm_would_never_start_stops_it(
    tmp_path: Path,
    options: dict[str, object],
    state: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sinfo(tmp_path, monkeypatch, "echo 'gpu* 1-00:00:00'; echo short 30:00; echo long infinite")
    found = about("Slurm", outside(launcher="slurm", options=options))
    assert (found.state, message in found.text) == (state, True)
    assert about("Slurm", outside()).state == "note"
    sinfo(tmp_path, monkeypatch, "echo gpu 1-00:00:00")
    found = about("Slurm", outside(launcher="slurm"))
    assert "no default partition: give hydra.launcher.partition=, one of gpu" in found.text


def test_a_cluster_that_does_not_answer_stops_only_its_own_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinfo(tmp_path, monkeypatch, "echo unreachable >&2; echo more >&2; exit 1")
    assert about("Slurm", outside(launcher="slurm")).state == "stop"
    found = about("Slurm", outside())
    assert (found.state, "unreachable" in found.text) == ("note", True)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert about("Slurm", outside(launcher="slurm")).state == "stop"
    assert about("Slurm", outside()).state == "ok"


def test_slurm_s_time_limits_are_read() -> None:
    limits = {"1-00:00:00": 1440, "2:30:00": 150, "30:00": 30, "0:30": 0.5, "infinite": None}
    assert {limit: services.minutes_of(limit) for limit in limits} == limits
