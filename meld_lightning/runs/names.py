"""Names of runs for people, and the run folder that a hash, its beginning or a name stands for.

A run is identified by its hash. Its name says in words what it is: the model, the settings that
differ from the defaults, and the seed, such as `bert-batch_size:32-lr:2e-4-seed:1`. Two runs may
have one name, as on two corpora. Reads run folders, writes nothing. Used by the commands that take
a run.
"""

import os
import re
from pathlib import Path

from meld_lightning.errors import UserError, near_miss
from meld_lightning.runs.settings import MISSING, Settings

HASH = re.compile(r"[0-9a-f]{1,12}")


def run_folders(runs: Path) -> list[Path]:
    """Every folder of a run below the folder of all runs: finished, running or left over."""
    if not runs.is_dir():
        raise UserError(
            f"{runs}: no such folder: there are no runs yet; run this where train or fuse was run,"
            " or give paths.runs=FOLDER"
        )
    return sorted(
        Path(run.path)
        for kind in os.scandir(runs)
        if not kind.name.startswith(".") and kind.is_dir()
        for run in os.scandir(kind.path)
        if not run.name.startswith(".") and run.is_dir()
    )


def run_name(settings: Settings) -> str:
    """`bert-batch_size:32-lr:2e-4-seed:1`; of a fusion `chosen-text+audio-seed:1`."""
    parts = [str(settings.get("fusion" if settings.fuses else "model"))]
    if settings.fuses:
        fused, only = settings.block("runs"), settings.block("modalities")
        given = [name for name, folder in fused.items() if folder] if fused is not MISSING else []
        parts += ["+".join(given if only in (None, MISSING) else only)] if given else []
    parts += [f"{key}:{value}" for key, value in settings.differing.items()]
    parts.append(f"seed:{settings.get('seed')}")
    # no character that a shell or Hydra would read as more than itself
    return re.sub(r"[^\w.:+-]+", "", "-".join(parts).replace(",", "+"))


def find_folder(given: str, runs: Path) -> Path:
    """The run folder that `given` stands for: a path, a hash or its beginning, or a name, of the
    runs in the folder `runs`.

    UserError if it stands for none, or for several. A path is given back as it is.
    """
    path = Path(given).expanduser()
    if path.is_dir() or os.sep in given or not runs.is_dir():
        return path
    folders = run_folders(runs)
    if HASH.fullmatch(given):
        found = [folder for folder in folders if folder.name.startswith(given)]
        if len(found) > 1:
            raise UserError(
                f"{given}: the hashes of {len(found)} runs begin so"
                f" ({', '.join(one.name for one in found[:4])}{', ...' if found[4:] else ''}); give"
                " more of it"
            )
        if found:
            return found[0]
    names = _names(folders)
    found = [folder for folder, name in names.items() if name == given]
    if len(found) > 1:
        raise UserError(
            f"{given}: {len(found)} runs have this name; give the hash of one:"
            f" {', '.join(one.name for one in found[:4])}{', ...' if found[4:] else ''}"
        )
    if not found:
        known = [*names.values(), *(folder.name for folder in folders)]
        raise UserError(
            f"{given}: no run in {runs} has this hash or name{near_miss(given, known)}; give the"
            " folder of a finished run, or what `meld-lightning runs list` shows"
        )
    return found[0]


def started_in(folder: Path, runs: str) -> Path:
    """The folder in which the command that made the run in `folder` was started; relative paths in
    the run's config start from there.

    runs: paths.runs of that config. The current folder where the run does not lie below it.
    """
    recorded, parent = Path(runs).parts, folder.resolve().parents[1]
    if parent.parts[-len(recorded) :] == recorded:
        return Path(*parent.parts[: -len(recorded)])
    return Path()


def _names(folders: list[Path]) -> dict[Path, str]:
    """Folder -> name, of every run whose config can be read."""
    found = {}
    for folder in folders:
        try:
            found[folder] = run_name(Settings(folder))
        except UserError:  # a damaged run has no name, and is found by its hash
            continue
    return found
