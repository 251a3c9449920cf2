"""Hydra reads our config files through this: each is completed with the defaults that the code
states (see meld_lightning.config.complete).

Hydra imports this file at every start, also for other applications of the same environment, which
it leaves alone: nothing heavy stands at its top.
"""

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins import file_config_source
from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

SCHEME = "meld-lightning"
ALL = "table/all"  # not a file: every file of conf/table, and of table/ in a user's own folder


class CompletedSearchPath(SearchPathPlugin):
    """Puts our own kind of source in the place of conf/, and a user's folders before it."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from meld_lightning.config.tree import conf_dir, user_folders

        for element in search_path.get_path():
            path = str(element.path).removeprefix("file://")
            if element.provider == "main" and "://" not in path and Path(path) == conf_dir():
                element.path = f"{SCHEME}://{path}"
                for folder in reversed(user_folders()):
                    search_path.prepend("command-line", f"{SCHEME}://{folder.resolve()}")
                return


class CompletedConfigSource(file_config_source.FileConfigSource):
    """Files of a folder, each completed with defaults."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def is_config(self, config_path: str) -> bool:
        return config_path == ALL or super().is_config(config_path)

    def load_config(self, config_path: str) -> ConfigResult:
        from meld_lightning.config.complete import completed
        from meld_lightning.config.nodes import COMMANDS, OPEN

        if config_path == ALL:
            config: Any = OmegaConf.create({"defaults": self._tables()})
            return ConfigResult(self.provider, self.full_path(), config, {"package": None})
        found = super().load_config(config_path)
        tree = OmegaConf.to_container(found.config)
        if isinstance(tree, dict):
            name = config_path.removesuffix(".yaml")
            config = OmegaConf.create(completed(name, tree, self._load))  # type: ignore[arg-type]
            for key in OPEN if name in COMMANDS else ():
                if (node := OmegaConf.select(config, key)) is not None:
                    OmegaConf.set_struct(node, False)
            found.config = config
        return found

    def _load(self, name: str) -> dict[str, Any] | None:
        if not super().is_config(name):
            return None
        tree = OmegaConf.to_container(super().load_config(name).config)
        assert isinstance(tree, dict)
        return {str(key): value for key, value in tree.items()}

    def _tables(self) -> list[str]:
        from meld_lightning.config.tree import conf_dir, user_folders

        folders = [folder / "table" for folder in (conf_dir(), *user_folders())]
        return sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
