"""A run's identity: the hash of everything that determines its result, and of nothing else.

Reads composed configs and the digests of what `prepare` made; writes nothing. Used by training and
fusion to name run folders, and by launchers and studies to recognise finished runs.

A config enters in a canonical form. Our own classes enter by their class name, so that a file may
move. Keys that equal the default in the code are left out, so that an option may be added. A class
of a library whose version every result records enters by its full name; any other class is the
user's own and enters with the digest of its source file, so that editing it makes another run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from meld_lightning.config.modules import source_file
from meld_lightning.config.signatures import class_attribute, parameters, read_parameters
from meld_lightning.errors import UserError
from meld_lightning.runs.provenance import LIBRARIES
from meld_lightning.storage.fingerprint import digest_of, file_digest

# Raise it when the same config and data now give another result, or when a default changes.
RESULT_VERSION = 1
FUSION_RESULT_VERSION = 2  # likewise, but moves fusions alone
DRAWN_VOTES_RESULT_VERSION = 2  # likewise, but moves imports of drawn votes alone
# likewise, but moves text models with a layer_decay and their architecture's own head alone
OWN_HEAD_RESULT_VERSION = 2
BF16_AUDIO_RESULT_VERSION = 2  # likewise, but moves runs on audio in bf16 alone

# Left out of the hash: keys that change no result, and keys whose effect enters by digest
# (checkpoints, runs, alternatives, predictions, warm_start) or is added below (media).
NOT_IDENTIFYING = (
    "hydra",
    "machine",
    "logger",
    "paths",
    "study",
    "table",
    "checkpoints",
    "media",
    "runs",
    "alternatives",
    "rerun",
    "predictions",
    "warm_start",
    "keep_last",
)
IMPORTED = "models.imported.Imported"  # the end of the class's dotted path
# what an import of predictions does not read
OF_FITTING = (
    *("data", "optimizer", "scheduler", "numerics"),
    *("epochs", "gradient_clip", "eval_batch_size"),
)


@dataclass(frozen=True)
class Identity:
    """What a run is before it exists.

    hash: names its folder; of the canonical config and the digests of what it reads.
    config_hash: of the canonical config alone; finds evidence where no data is prepared.
    digests: of the corpus, and of the decoded media and checkpoint or the logits that it reads.
    result_version: that of its kind of run.
    """

    hash: str
    config_hash: str
    folder: Path
    digests: dict[str, str]
    result_version: int = RESULT_VERSION


def identify(cfg: DictConfig, modality: str, name: str, digests: Mapping[str, str]) -> Identity:
    """The identity of the run that `cfg` (conf/train.yaml or conf/fuse.yaml, composed) describes.

    Its folder is <paths.runs>/<modality>-<name>/<hash>.
    """
    config = canonical_config(cfg)
    config_hash = digest_of(config)
    whole = digest_of({"config": config_hash, "digests": dict(digests)})
    folder = Path(cfg.paths.runs) / f"{modality}-{name}" / whole
    return Identity(whole, config_hash, folder, dict(digests), config["result_version"])


def canonical_config(cfg: DictConfig) -> dict[str, Any]:
    """The part of a config that determines the result, as JSON-able data; data and weights enter by
    digest, not by path."""
    plain = _resolved(cfg)
    kept = {key: value for key, value in plain.items() if key not in NOT_IDENTIFYING}
    kept["corpus"] = _split_settings(kept["corpus"])
    if "model" in kept:
        kept["model"] = {key: value for key, value in kept["model"].items() if key != "checkpoint"}
        if is_import(kept["model"]):
            kept = {key: value for key, value in kept.items() if key not in OF_FITTING}
            # a file of predictions is identified by its name, like a test manifest, since the file
            # itself may be missing here; votes by their modality, since their file's name varies
            votes = kept["model"].get("scores") == "votes"
            kept["predictions"] = "" if votes else Path(plain.get("predictions") or "").name
        elif decoded := decoded_kind(cfg.data):
            from meld_lightning.media import SETTINGS, deciding

            kept["media"] = deciding(plain["media"], SETTINGS[decoded])
        if plain.get("warm_start"):
            # which run it is enters by digest; this tells evidence of both kinds apart without one
            kept["warm_start"] = True
    version = _result_version(kept)
    return {**{key: canonical(value) for key, value in kept.items()}, "result_version": version}


def _result_version(config: Mapping[str, Any]) -> int:
    """The version of the results of a config's kind of run."""
    if "fusion" in config:
        return FUSION_RESULT_VERSION
    model = config.get("model", {})
    if is_import(model):
        drawn = model.get("votes") is not None
        return DRAWN_VOTES_RESULT_VERSION if drawn else RESULT_VERSION
    bf16 = str(config["numerics"]["precision"]).startswith("bf16")
    if bf16 and class_attribute(str(config["data"]["_target_"]), "decoded") == "audio":
        return BF16_AUDIO_RESULT_VERSION
    if model.get("layer_decay", 1) != 1 and model.get("pooling", "classifier") == "classifier":
        return OWN_HEAD_RESULT_VERSION
    return RESULT_VERSION


def canonical(value: Any, importing: bool = True) -> Any:
    """`value` with every node that has a `_target_` reduced to its class and the arguments that
    differ from the defaults of its signature.

    importing: False for a config that somebody else may have written: of a class that has to be
        imported to be known, all arguments are kept.
    """
    if isinstance(value, list | tuple):
        return [canonical(one, importing) for one in value]
    if not isinstance(value, dict):
        return value
    if "_target_" not in value:
        return {str(key): canonical(one, importing) for key, one in value.items()}
    target = str(value["_target_"])
    inner = {key: one for key, one in value.items() if not str(key).startswith("_")}
    given = {key: canonical(one, importing) for key, one in inner.items()}
    known = importing or read_parameters(target) is not None
    if target.split(".")[0] in LIBRARIES or not known:
        return {"class": target, **given}
    defaults = {name: canonical(one.default) for name, one in parameters(target).items()}
    changed = {
        key: one for key, one in given.items() if key not in defaults or defaults[key] != one
    }
    return {**_public_name(target), **changed}


def class_value(node: DictConfig, name: str) -> Any:
    """The value of a class attribute of the class that a config node's `_target_` names."""
    return class_attribute(str(node._target_), name)


def is_import(model: Mapping[str, Any]) -> bool:
    """Whether a config's node `model` stands for predictions of others: nothing is trained."""
    return str(model.get("_target_")).endswith(IMPORTED)


def decoded_kind(node: DictConfig) -> str | None:
    """The kind of decoded media that the datamodule of a config's node `data` reads: frames, faces
    or audio; None if it reads none."""
    kind = class_value(node, "decoded")
    if isinstance(kind, Mapping):  # its first entry is the default: `crop` came later
        kind = kind[str(node.get("crop") or next(iter(kind)))]
    return None if kind is None else str(kind)


def _public_name(target: str) -> dict[str, str]:
    """A class as an identity knows it; the user's own with the digest of its source file."""
    package, _, name = target.rpartition(".")
    if package.split(".")[0] == "meld_lightning":
        return {"class": name}
    source = source_file(target)
    return {"class": name, "source": file_digest(source)} if source else {"class": target}


def _split_settings(corpus: dict[str, Any]) -> dict[str, Any]:
    """How the corpus is split; its content enters by digest, wherever it lies."""
    kept = {}
    if corpus["split"] is not None:  # without it there are no folds
        kept = {key: corpus[key] for key in ("split", "folds", "fold")}
    if corpus.get("test") is not None:  # tells runs with and without a test manifest apart
        kept["test"] = Path(corpus["test"]).name
    if corpus.get("test_by") is not None:
        kept["test_by"] = corpus["test_by"]
    return kept


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "config"
        raise UserError(f"config key '{key}' has no value: give it as {key}=...") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
