"""What dashboards need to know about a run that W&B shows: its id, name, project, group, settings.

Writes and reads RUN/tracking.json; settings come from RUN/config.yaml. Used by the W&B logger and
by `dashboards`.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from meld_lightning.config.tree import plain
from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import write_json

FILE = "tracking.json"
NOT_A_SETTING = ("paths", "table", "logger", "rerun", "keep_last")


@dataclass(frozen=True)
class Tracked:
    """A run's place in W&B. `id` stays the same however often the run is resumed."""

    id: str
    name: str
    project: str
    group: str | None


def track(folder: Path, name: str, project: str, group: str | None) -> Tracked:
    """Writes folder/tracking.json, with the id that is there or a new one.

    The id is random in part: the same run made twice, in two folders, is two runs in W&B.
    """
    known = read_tracked(folder)
    run_id = known.id if known else f"{folder.name}-{secrets.token_hex(3)}"
    tracked = Tracked(run_id, name, project, group)
    if tracked != known:
        write_json(folder / FILE, asdict(tracked))
    return tracked


def read_tracked(folder: Path) -> Tracked | None:
    """The run's place in W&B; None if it was never logged there."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        return Tracked(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}: damaged ({error}); delete it: a new one is written") from error


def tracked_runs(runs: Path) -> dict[Path, Tracked]:
    """Run folder -> place in W&B, of every run below the folder of all runs that was logged
    there."""
    folders = sorted(file.parent for file in runs.glob(f"*/*/{FILE}"))
    return {folder: tracked for folder in folders if (tracked := read_tracked(folder))}


def settings_in(folder: Path) -> dict[str, Any]:
    """The settings of the run in `folder`."""
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    return settings_of(config)


def settings_of(cfg: DictConfig) -> dict[str, Any]:
    """The run's settings as one flat table with keys like data/batch_size: W&B reads a dot in a key
    as a path into nested ones."""
    nested = {key: value for key, value in plain(cfg).items() if key not in NOT_A_SETTING}
    nested["study"] = cfg.study.name
    nested["corpus"] = {
        key: value for key, value in nested["corpus"].items() if key not in ("root", "test")
    }
    return _flat(nested)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}/")
        else:
            found[f"{prefix}{key}"] = value
    return found
