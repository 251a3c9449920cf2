"""Small disks that fill up or turn read-only, and undisturbed runs to compare with."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from meld_lightning.config.tree import plain
from meld_lightning.corpus import prepared_corpus
from meld_lightning.errors import UserError
from meld_lightning.media import prepared_media
from meld_lightning.pretrained.checkpoints import prepared_checkpoint
from tests.finished import SMALL, only_run
from tests.running import CHECKOUT, argv, folder_over, run_well, shared

TRAIN = [*SMALL, "epochs=1"]
FEW_CLIPS = """
import sys
from meld_lightning.commands.cli import main
from meld_lightning.mini import clips as mini_clips
from meld_lightning.mini.checkpoints import clip
write, clip.STEPS = mini_clips.write_clips, 10
mini_clips.write_clips = lambda root, plans, stubs: write(root, plans[::32], stubs)
sys.exit(main(sys.argv[1:]))
"""
PREPARE = [sys.executable, "-c", FEW_CLIPS, "prepare"]  # every 32nd clip of the mini corpus


class Disk:
    """A small file system."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.filler = folder, folder / "filler"

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.folder)], check=True)

    def fill(self, leave: int = 0) -> None:
        """Leaves that many bytes (whole pages of 4096) free."""
        self.filler.unlink(missing_ok=True)
        free = os.statvfs(self.folder)
        with self.filler.open("wb") as file:
            file.write(bytes(free.f_bavail * free.f_bsize - leave // 4096 * 4096))
        assert os.statvfs(self.folder).f_bavail == leave // 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path, str], Disk]]:
    """Mounts a disk of a size at a folder, which is made."""
    if os.geteuid() != 0:
        pytest.skip("a small disk of its own can only be mounted by root")
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> Disk:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(
                f"no disk can be mounted here, as in many containers: {done.stderr.strip()}"
            )
        mounted.append(folder)
        return Disk(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def assert_one_line(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [words for words in said if words not in done.stderr] == [], done.stderr


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".tmp" in path.name]


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Which file, and of when, each one is."""
    found = {}
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names if not name.endswith(".lock")):
            with suppress(FileNotFoundError):  # others may be at work
                found[path] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def read_back(folder: Path) -> dict[str, str]:
    """The digests of what the readers of a cache take for whole, clips to the last sample."""
    cache, found = folder / "cache", {}
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose("prepare", [f"paths.cache='{cache}'"])
    with suppress(UserError):
        corpus = prepared_corpus(cfg.corpus, cache)
        found["corpus"] = corpus.digest
        media = prepared_media(corpus.table, corpus.name, plain(cfg.media), cache)
        found["media"] = media.digest("all")
        arrays = (
            array
            for row in range(len(media.entries))
            for array in (media.frames(row), media.waveform(row))
        )
        found["clips"] = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    for name in filter(None, cfg.checkpoints.values()):
        with suppress(UserError):
            found[name] = prepared_checkpoint(name, cache).digest
    return found


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared with few clips, undisturbed."""

    def make(folder: Path) -> None:
        run_well(PREPARE, folder)
        assert len(read_back(folder)) == 8

    return shared(tmp_path_factory, "few-clips", make)


@pytest.fixture(scope="session")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run of one epoch, undisturbed."""

    def make(folder: Path) -> None:
        run_well(argv(*TRAIN), folder_over(prepared, folder))

    return only_run(shared(tmp_path_factory, "finished-epoch", make))
