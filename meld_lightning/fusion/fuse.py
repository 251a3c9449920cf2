"""A fusion as a run: what `fuse` asks for, from config to finished run folder.

Reads run folders; writes runs/fusion-<name>/<hash>/ through fit.py. Used by the commands `fuse`,
`reproduce` and `report`, and by the launchers.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from omegaconf import DictConfig, OmegaConf, open_dict

from meld_lightning.config.check import check
from meld_lightning.config.keys import defaults_of
from meld_lightning.config.nodes import Fuse
from meld_lightning.errors import UserError, near_miss
from meld_lightning.fusion.joined import SPLITS
from meld_lightning.metrics import check_monitor
from meld_lightning.runs.identity import Identity, identify
from meld_lightning.runs.lifecycle import RunRequest, obtain
from meld_lightning.runs.names import find_folder
from meld_lightning.runs.provenance import device_here
from meld_lightning.runs.run import Run, load_run
from meld_lightning.storage.atomic import writing
from meld_lightning.storage.fingerprint import digest_of

logger = logging.getLogger(__name__)

# of logits, by file and its inode, size and time of change
_digests: dict[tuple[Path, int, int, int], str] = {}

Embed = Callable[[Run], None]


class Fusing(RunRequest):
    """One fusion: its config (conf/fuse.yaml, composed) and the finished runs that it names.

    A run may be named by its folder, its hash or the beginning of it, or its name: the config of
    the fusion has the folder.

    Args:
        embed: makes sure that a run has its embeddings, for a fusion that reads them; without it
            they have to be there.
        known: finished runs by their folders, as they have just been read: a study fuses the same
            ones many times.
    """

    def __init__(
        self,
        cfg: DictConfig,
        embed: Embed = lambda run: None,
        known: Mapping[str, Run] = MappingProxyType({}),
    ) -> None:
        super().__init__(cfg)
        self.embed = embed
        self.known = known
        runs = Path(cfg.paths.runs)
        for name, given in cfg.runs.items():
            if given is not None and str(name) in _wanted(cfg):
                cfg.runs[name] = str(find_folder(str(given), runs))
        for name, others in cfg.alternatives.items():
            cfg.alternatives[name] = [str(find_folder(str(given), runs)) for given in others]

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Modality -> the finished run that is fused for it."""
        return named_runs(self.cfg, self.known)

    @cached_property
    def alternatives(self) -> dict[str, list[Run]]:
        """Modality -> the runs that its run was chosen over by their val scores, where it was.

        Raises UserError for alternatives without a run, or of another modality than it.
        """
        found: dict[str, list[Run]] = {}
        for name, folders in self.cfg.alternatives.items():
            if not self.cfg.runs.get(name):
                raise UserError(
                    f"alternatives.{name}: there is no runs.{name}, which was chosen over"
                    f" them{near_miss(str(name), self.cfg.runs)}"
                )
            for folder in folders if name in self.runs else ():
                other = self.known.get(str(folder)) or load_run(str(folder))
                wanted = self.runs[name].result.modality
                if other.result.modality != wanted:
                    raise UserError(
                        f"alternatives.{name}: {folder} is a run of {other.result.modality},"
                        f" expected one of {wanted}"
                    )
                found.setdefault(str(name), []).append(other)
        return found

    @cached_property
    def identity(self) -> Identity:
        """Depends on the settings and on the logits themselves: runs that were made again with
        other logits make another fusion. Embeddings follow from the weights that gave the logits.
        """
        digests = {
            name: digest_of([_logits_digest(run, split) for split in SPLITS])
            for name, run in self.runs.items()
        }
        for name, others in self.alternatives.items():
            each = sorted(_logits_digest(run, "val") for run in others)
            # named so since cross-validation repeats the choice without the folds it leaves out;
            # fusions without alternatives kept their identity then
            digests[f"{name} chosen over"] = digest_of(each)
        digests["corpus"] = next(iter(self.runs.values())).result.digests["corpus"]
        return identify(self.cfg, "fusion", self.cfg.fusion.name, digests)

    @property
    def device(self) -> str:
        return device_here("cpu")

    def check(self) -> None:
        check(self.cfg, Fuse)
        check_monitor(self.cfg.monitor)

    def execute(self) -> None:
        from meld_lightning.fusion.fit import fit_fusion

        self._mention_weights()
        with writing(self.identity.folder):
            fit_fusion(self.cfg, self.identity, self.runs, self.alternatives, self.embed)

    def _mention_weights(self) -> None:
        """Logs the given weights as they are used, where they do not sum to 1."""
        given = self.cfg.fusion.get("weights") or {}
        used = {name: float(given[name]) for name in self.runs if given.get(name)}
        total = sum(used.values())
        if abs(total - 1) > 1e-9 and min(used.values(), default=0) > 0:  # others are refused
            shares = ", ".join(f"{name} {weight / total:.3g}" for name, weight in used.items())
            logger.info(
                "fusion.weights of %s sum to %.3g; they are divided by it: %s",
                " and ".join(used),
                total,
                shares,
            )


def fuse(cfg: DictConfig, embed: Embed = lambda run: None) -> Run:
    """The fusion run that `cfg` describes: read if it is finished, else fitted.

    embed: see Fusing.
    """
    return obtain(Fusing(cfg, embed))


def _logits_digest(run: Run, split: str) -> str:
    """The digest of a run's logits. A study fuses the same runs many times: each file is read once
    a process, until it changes."""
    from meld_lightning.runs.logits import logits_digest

    file = run.folder / "logits" / f"{split}.parquet"
    if not file.is_file():
        return logits_digest(run.logits(split))  # which says what is missing
    stat = file.stat()
    key = (file, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        _digests[key] = logits_digest(run.logits(split))
    return _digests[key]


def _wanted(cfg: DictConfig) -> list[str]:
    """The modalities that are fused, whether or not they have a run."""
    return [str(name) for name in (cfg.runs if cfg.modalities is None else cfg.modalities)]


def with_corpus_of_runs(cfg: DictConfig, given: Sequence[str]) -> DictConfig:
    """`cfg` with the corpus and the target of the first run, where `given`, the words of the
    command line, names none."""
    run = next(iter(named_runs(cfg).values()))
    asked = {re.split("[.=]", word.lstrip("+"))[0] for word in given}
    found = cfg.copy()
    if not asked & {"corpus", "study"} and OmegaConf.select(run.config, "corpus.root") is not None:
        with open_dict(found):  # a run of an earlier version may lack a key of today
            found.corpus = OmegaConf.merge(cfg.corpus, run.config.corpus)
    if not asked & {"target", "study"}:
        found.target = run.config.get("target", cfg.target)
    return found


def named_runs(cfg: DictConfig, known: Mapping[str, Run] = MappingProxyType({})) -> dict[str, Run]:
    """Modality -> the run that cfg.runs names for it; of cfg.modalities alone where that is given.

    known: see Fusing.

    Raises UserError for a modality without a run, and for a run of another modality than the one it
    is named for.
    """
    listed = list(defaults_of(Fuse)["runs"])
    given = {str(name): folder for name, folder in cfg.runs.items() if folder is not None}
    # the order of the command line must not count: it is no part of the identity
    ordered = [name for name in listed if name in given] + sorted(given.keys() - set(listed))
    wanted = ordered if cfg.modalities is None else [str(name) for name in cfg.modalities]
    for name in wanted:
        if name not in given:
            raise UserError(
                f"modalities names {name}, but no run: give it as"
                f" runs.{name}=FOLDER{near_miss(name, given)}"
            )
    for name in {"true", "predicted"}.intersection(wanted):
        raise UserError(
            f"runs.{name}: predictions.csv has a column {name}_label of its own; name the run"
            " otherwise"
        )
    if not wanted:
        raise UserError(
            "no run to fuse: give some as runs.text=FOLDER runs.audio=FOLDER runs.video=FOLDER"
        )
    runs = {name: known.get(str(given[name])) or load_run(str(given[name])) for name in wanted}
    of_runs = {run.result.modality for run in runs.values()}
    for name, run in runs.items():
        modality = run.result.modality
        if modality != name and name in of_runs.union(listed):
            raise UserError(
                f"runs.{name}={run.folder}: a run of {modality}, expected one of {name}"
            )
    return runs
