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

Parsed = tuple[dict[str, str | None], dict[str, Any]]
_parsed: dict[tuple[Path, int], Parsed] = {}  # by file and the time of its last change


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
        header, tree = self._read(config_path)
        name = config_path.removesuffix(".yaml")
        config = OmegaConf.create(completed(name, tree, self._load))
        for key in OPEN if name in COMMANDS else ():
            if (node := OmegaConf.select(config, key)) is not None:
                OmegaConf.set_struct(node, False)
        return ConfigResult(self.provider, self.full_path(), config, dict(header))

    def _read(self, name: str) -> Parsed:
        """The header and content of a file. Each is parsed once a process, which may compose it
        many times."""
        file = Path(self.path, self._normalize_file_name(name))
        key = (file, file.stat().st_mtime_ns)
        if key not in _parsed:
            from meld_lightning.errors import UserError

            found = super().load_config(name)
            tree = OmegaConf.to_container(found.config)
            if not isinstance(tree, dict):
                raise UserError(f"{file}: expected keys with values, found a list")
            _parsed[key] = found.header, {str(name): value for name, value in tree.items()}
        return _parsed[key]

    def _load(self, name: str) -> dict[str, Any] | None:
        return self._read(name)[1] if super().is_config(name) else None

    def _tables(self) -> list[str]:
        from meld_lightning.config.tree import conf_dir, user_folders

        folders = [folder / "table" for folder in (conf_dir(), *user_folders())]
        return sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
