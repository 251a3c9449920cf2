"""The command that makes a run again: config groups, and the keys in which the run's config differs
from what these groups compose to.

Reads a run's config, and conf/ through Hydra, which has to be initialised; writes nothing. Used by
`show`. The command is composed to check that it gives the run's hash.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from meld_lightning.config.modules import locate
from meld_lightning.config.tree import conf_dir, plain, user_folders
from meld_lightning.config.words import setting
from meld_lightning.errors import NotPrepared, UserError, first_line
from meld_lightning.launching.jobs import request_of
from meld_lightning.runs.identity import canonical_config
from meld_lightning.runs.provenance import LIBRARIES
from meld_lightning.runs.run import Run
from meld_lightning.runs.settings import leaves
from meld_lightning.storage.fingerprint import digest_of

# nodes that change no result, and keys that other overrides set
NOT_REPEATED = (
    *("hydra", "machine", "logger", "study", "table", "checkpoints", "rerun", "keep_last"),
    *("media.processes", "media.timeout_s", "paths.runs", "paths.experiments"),
)
# group -> the key whose value identifies the choice
IDENTIFIED_BY = {
    "data": "_target_",
    "corpus": "layout",
    "numerics": "precision",
    "optimizer": "_target_",
}
USUAL_STUDY = "mini"  # conf/common.yaml's
BARE = re.compile(r"[A-Za-z_/~.][\w/.:@%+~-]*")  # text that Hydra's grammar reads without quotes
SAME, SAME_SETTINGS, OTHER, UNCHECKED = "same run", "same settings", "another run", "not checked"


@dataclass(frozen=True)
class Again:
    """How a run is made again.

    overrides: the arguments after the command.
    check: SAME if the command gives the run's hash here; SAME_SETTINGS if the data is not prepared
        here and the settings are the same; OTHER or UNCHECKED, with the reason.
    """

    command: str
    overrides: tuple[str, ...]
    check: str
    reason: str = ""

    @property
    def line(self) -> str:
        """The command line, quoted for a shell."""
        own = [part for folder in user_folders() for part in ("--config-dir", str(folder))]
        return shlex.join(["meld-lightning", self.command, *own, *self.overrides])


def make_again(run: Run) -> Again:
    """The command that makes `run` again."""
    config = plain(run.config)
    command = "fuse" if "fusion" in config else "train"
    groups: list[str] = []
    if unknown := sorted(_unread(config)):  # composing would import what the run names
        return Again(command, (), UNCHECKED, f"{unknown[0]} is no class of this package or yours")
    try:
        groups = _groups(command, config)
        base = plain(compose(command, groups))
        overrides = [*groups, *_differences(config, base)]
        cfg = compose(command, overrides)
    except (HydraException, UserError) as error:
        return Again(command, tuple(groups), UNCHECKED, first_line(error))
    check, reason = _checked(command, cfg, run)
    return Again(command, tuple(overrides), check, reason)


def _unread(node: Any) -> set[str]:
    """The classes named in a node that are neither known libraries' nor readable as source."""
    inner = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else []
    found = {target for one in inner for target in _unread(one)}
    target = str(node["_target_"]) if isinstance(node, Mapping) and "_target_" in node else ""
    known = not target or target.split(".")[0] in LIBRARIES or locate(target)
    return found if known else {target, *found}


def _checked(command: str, cfg: DictConfig, run: Run) -> tuple[str, str]:
    """Whether the composed config is that of the run."""
    with open_dict(cfg):
        cfg.pop("hydra", None)
    try:
        made = request_of(command, cfg).identity.hash
    except NotPrepared:
        same = digest_of(canonical_config(cfg)) == run.result.config_hash
        return (SAME_SETTINGS, "") if same else (OTHER, "its settings are not the same")
    except UserError as error:
        return UNCHECKED, str(error)
    if made == run.result.hash:
        return SAME, ""
    same = digest_of(canonical_config(cfg)) == run.result.config_hash
    why = "the settings are the same, the data is not" if same else "its settings are not the same"
    return OTHER, f"it would be {made}: {why}"


def _groups(command: str, config: Mapping[str, Any]) -> list[str]:
    """The choices of groups that come closest to `config`: first its study and its model or fusion,
    then groups in which these differ from it."""
    study = config.get("study", {}).get("name")
    found = [f"study={study}"] if study in _choices("study") and study != USUAL_STUDY else []
    main = "fusion" if command == "fuse" else "model"
    if config[main].get("name") in _choices(main):
        found.append(f"{main}={config[main]['name']}")
    base = plain(compose(command, found), resolve=False)
    for group, key in IDENTIFIED_BY.items():
        wanted = config.get(group, {}).get(key)
        if group in base and base[group].get(key) != wanted:
            named = [name for name, file in _choices(group).items() if file.get(key) == wanted]
            found += [f"{group}={name}" for name in named[:1]]
    return found


def _choices(group: str) -> dict[str, dict[str, Any]]:
    """Choice -> content of its file, uncomposed, of a group in conf/ and the user's own folders."""
    folders = [*user_folders(), conf_dir()]
    files = {file.stem: file for folder in folders for file in (folder / group).glob("*.yaml")}
    return {name: yaml.safe_load(file.read_text()) or {} for name, file in files.items()}


def _differences(config: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """The overrides that turn the composed `base` into `config`."""
    wanted, there = dict(leaves(config)), dict(leaves(base))
    found = []
    for key, value in wanted.items():
        if _left_out(key) or (key in there and there[key] == value):
            continue
        known = key in there or any(one.startswith(f"{key}.") for one in there)
        found.append(f"{'' if known else '+'}{key}={spelled(value)}")
    return found


def _left_out(key: str) -> bool:
    return any(key == one or key.startswith(f"{one}.") for one in NOT_REPEATED)


def spelled(value: Any) -> str:
    """A value as Hydra's grammar reads it back."""
    if isinstance(value, Mapping):
        inner = ",".join(f"{key}:{spelled(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(spelled(one) for one in value)}]"
    if not isinstance(value, str):
        exact = not isinstance(value, float) or float(setting(value)) == value
        return setting(value) if exact else repr(value)
    if BARE.fullmatch(value) and value.lower() not in ("null", "true", "false", "nan", "inf"):
        return value
    return json.dumps(value, ensure_ascii=False).replace("$", "\\$")
