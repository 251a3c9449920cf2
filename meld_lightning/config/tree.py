"""Where config files lie, and a composed config as plain Python values. Used wherever a config is
read."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from meld_lightning.errors import UserError

_user_folders: list[Path] = []


def conf_dir() -> Path:
    """The folder of our configs: meld_lightning/conf in a wheel, conf/ beside the package in a
    checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"no conf/ found in or beside {package}: reinstall meld-lightning")


def user_folders() -> list[Path]:
    """Folders whose files Hydra finds before those of conf/."""
    return copy.copy(_user_folders)


@contextmanager
def before_conf(folders: Iterable[Path]) -> Iterator[None]:
    """Within the block, Hydra searches these folders before conf/."""
    earlier = user_folders()
    _user_folders[:0] = folders
    try:
        yield
    finally:
        _user_folders[:] = earlier


def plain(cfg: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """The config as plain dicts and lists, by default with its interpolations resolved."""
    container = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
