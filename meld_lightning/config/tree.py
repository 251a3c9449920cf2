"""The tree of config files and of composed configs: where conf/ lies, the keys of a config, and a
config as plain Python values. Used wherever a config is read."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from meld_lightning.errors import UserError, near_miss

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
    """Composes configs with these folders searched before conf/."""
    earlier = user_folders()
    _user_folders[:0] = folders
    try:
        yield
    finally:
        _user_folders[:] = earlier


def keys_of(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every key of a nested mapping in dotted form, inner nodes included."""
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{prefix}{key}.")


def plain(cfg: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """The config as plain dicts and lists, by default with its interpolations resolved."""
    container = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def meant(key: str, known: Iterable[str]) -> str:
    """` (did you mean 'optimizer.lr'?)` for `lr` or `model.lr`: a key with the same last part, else
    one spelt much like it; else the empty string."""
    known = list(known)
    leaf = key.rpartition(".")[2]
    same = [one for one in known if one.rpartition(".")[2] == leaf and one != key]
    if 0 < len(same) <= 3:
        return f" (did you mean {' or '.join(map(repr, same))}?)"
    parent = key.rpartition(".")[0]
    beside = [one for one in known if one.rpartition(".")[0] == parent]
    if found := near_miss(key, beside):
        return found
    close = near_miss(leaf, {one.rpartition(".")[2] for one in known})
    name = close.split("'")[1] if close else ""
    full = [one for one in known if one.rpartition(".")[2] == name]
    return f" (did you mean {full[0]!r}?)" if full else near_miss(key, known)
