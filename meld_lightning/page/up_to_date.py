"""Whether a study's tables and page are up to date, so that they need not be rendered again.

Reads everything that rendering rests on, and the files that it left; writes
reports/<study>/rendered.json beside the page. Used by `reproduce`.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.corpus import prepared_folder
from meld_lightning.page.at_hand import clips_at_hand, corpus_at_hand
from meld_lightning.storage.atomic import write_json
from meld_lightning.storage.fingerprint import Fingerprint, bytes_digest, digest_of, file_digest
from meld_lightning.storage.json_files import read_json
from meld_lightning.study.evidence import study_folder
from meld_lightning.study.plan import Plans
from meld_lightning.study.sources import FinishedRun
from meld_lightning.study.spec import RowKey

RECORD = "rendered.json"
READ_OF_RUNS = ("", "logits", "embeddings")  # folders below a run's; "" is its own
# libraries that compute, draw or encode what a report shows
LIBRARIES = (
    *("av", "matplotlib", "numpy", "pandas", "pillow", "pyarrow", "scipy"),
    *("torch", "transformers"),
)


@dataclass(frozen=True)
class Rendering:
    """The tables and the page of a study.

    digest: of everything that they rest on.
    folders: what they are written to; no other process writes there meanwhile.
    record: the file that says what the last rendering rested on and left.
    """

    digest: str
    folders: tuple[Path, ...]
    record: Path

    def is_up_to_date(self) -> bool:
        """Whether the last rendering rested on the same, and every file is as it left it. A record
        that is damaged counts as none."""
        try:
            kept = read_json(self.record)
            known = {name: Fingerprint.from_json(one) for name, one in kept["files"].items()}
            same = kept["digest"] == self.digest
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False
        found = self._files()
        return (
            same
            and known.keys() == found.keys()
            and all(known[name].matches(path) for name, path in found.items())
        )

    def keep(self) -> None:
        """Records what has just been rendered."""
        files = {name: Fingerprint.of(path).as_json() for name, path in self._files().items()}
        write_json(self.record, {"digest": self.digest, "files": files})

    def _files(self) -> dict[str, Path]:
        paths = [path for folder in self.folders for path in folder.rglob("*") if path.is_file()]
        return {path.as_posix(): path for path in paths if path != self.record}


def rendering(
    cfg: DictConfig,
    asked: Sequence[str],
    plans: Plans,
    runs: Mapping[RowKey, Sequence[FinishedRun]],
) -> Rendering:
    """The rendering of a study from these runs. asked: the command's own overrides."""
    page = Path(cfg.reports) / cfg.study.name
    prepared = prepared_folder(cfg.corpus, Path(cfg.paths.cache))
    corpus = corpus_at_hand(cfg)
    clips = None if corpus is None else clips_at_hand(cfg, corpus)
    rests_on: list[Any] = [
        _package_digest(),
        _versions(),
        plain(cfg),
        list(asked),
        [[list(row), [one.overrides for one in of_row]] for row, of_row in plans.runs.items()],
        [[list(row), [plain(one.config) for one in of_row]] for row, of_row in plans.runs.items()],
        [[list(row), [plain(one) for one in of_row]] for row, of_row in plans.fusions.items()],
        [[list(row), [_run_files(run) for run in of_row]] for row, of_row in runs.items()],
        _digests(prepared.iterdir()),
        clips.digest("all") if clips else None,
    ]
    return Rendering(digest_of(rests_on, 64), (study_folder(cfg), page), page / RECORD)


def _run_files(run: FinishedRun) -> list[Any]:
    """The folder of a run, and digests of all that a report may read of it: not its weights."""
    folder = Path(run.folder)
    return [str(folder), *(_digests((folder / part).glob("*")) for part in READ_OF_RUNS)]


def _digests(paths: Iterable[Path]) -> dict[str, str]:
    return {path.name: file_digest(path) for path in paths if path.is_file()}


def _versions() -> list[str]:
    return [platform.python_version(), platform.machine(), *map(version, LIBRARIES)]


@functools.cache
def _package_digest() -> str:
    """Over every file of this package, by path and content: code, scripts and styles."""
    package = Path(__file__).resolve().parents[1]

    def parts() -> Iterator[bytes]:
        for path in sorted(package.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                yield path.relative_to(package).as_posix().encode() + b"\0"
                yield path.read_bytes() + b"\0"

    return bytes_digest(parts())
