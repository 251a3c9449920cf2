"""Configs of a table's rows, composed from one base for all rows that choose the same config files.

Hydra reads and merges the files that the overrides of groups choose, and then sets the single keys
that the other overrides name. Only the first step takes long, and a grid's rows share it. Reads
conf/; used by `plan`.
"""

import copy
from collections.abc import Sequence

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from meld_lightning.config.composed import config_groups


class Compositions:
    """What `hydra.compose(command, overrides)` gives, for many lists of overrides."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.groups = config_groups()
        self.bases: dict[tuple[str, ...], DictConfig] = {}
        self.parser = OverridesParser.create()

    def of(self, words: Sequence[str]) -> DictConfig:
        """The config of the command with the overrides `words`, for the caller to change.

        Raises Hydra's exceptions where `words` is wrong.
        """
        parsed = self.parser.parse_overrides(list(words))
        keys = [one for one in parsed if self._sets_a_key(one)]
        files = tuple(str(one.input_line) for one in parsed if one not in keys)
        if files not in self.bases:
            self.bases[files] = compose(self.command, list(files))
        config = copy.deepcopy(self.bases[files])
        try:
            for key in keys:
                OmegaConf.update(config, key.key_or_group, key.value(), merge=True)
        except OmegaConfBaseException:
            return compose(self.command, list(words))  # raises what explains the error
        return config

    def _sets_a_key(self, override: Override) -> bool:
        """Whether an override is KEY=VALUE, and neither chooses a file nor adds or deletes a
        key."""
        name = override.key_or_group
        return (
            override.type == OverrideType.CHANGE
            and not override.is_hydra_override()
            and not override.is_sweep_override()
            and override.package is None
            and "/" not in name
            and name not in self.groups
        )
