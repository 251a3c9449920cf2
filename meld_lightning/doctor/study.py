"""What a study needs and what is there: corpus, checkpoints, disk and memory, with the arithmetic.

Reads the cache, the corpus and the weights' headers; writes nothing.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open

from meld_lightning.config.tree import plain
from meld_lightning.config.words import counted
from meld_lightning.corpus import SPLITS, Corpus, load_corpus, prepared_corpus
from meld_lightning.doctor.finding import Finding, State, stop_if_refused
from meld_lightning.doctor.place import existing
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.mini.checkpoints import LAYOUT, PREFIX
from meld_lightning.pretrained.checkpoints import prepared_checkpoint
from meld_lightning.pretrained.find import find_checkpoint, local_folder

BUNDLED_PREFIX = "bundled:"
GB = 1e9
FLOAT = 4  # bytes
FPS = 24000 / 1001  # of most of MELD's clips
# A process with torch, Lightning and transformers; a training of MiniLM on the CPU holds about it.
PROCESS_BYTES = 1.5e9
# While it trains, a model is there with its gradients and AdamW's two averages, which last.ckpt
# holds, too, but for the gradients.
TRAINED, SAVED = 4, 3


def examine_corpus(cfg: DictConfig) -> tuple[Finding, Corpus | None]:
    """A finding about the corpus, and the corpus where it can be read."""
    try:
        corpus = prepared_corpus(cfg.corpus, Path(cfg.paths.cache))
        return Finding("ok", "corpus", f"{_counts(corpus)}, prepared"), corpus
    except UserError as error:  # not prepared, or changed since: reproduce prepares it again
        changed = "not prepared yet" if isinstance(error, NotPrepared) else "changed since prepare"
    if cfg.corpus.layout == LAYOUT:
        return Finding("ok", "corpus", f"the mini corpus, {changed}: prepare writes it"), None
    try:
        corpus = _load(cfg.corpus)
    except UserError as error:
        return Finding("stop", "corpus", str(error)), None
    return Finding("ok", "corpus", f"{_counts(corpus)}, {changed}: reproduce does it"), corpus


def _load(cfg_corpus: DictConfig) -> Corpus:
    given: dict[str, Any] = plain(cfg_corpus)
    if not given["root"]:
        raise UserError("corpus.root is not set; add corpus.root=PATH")
    keys = ("root", "layout", "name", "split", "folds", "fold", "test", "votes", "realignment")
    names: dict[str, Any] = {
        key: {str(one): str(other) for one, other in given[key].items() if other is not None}
        for key in ("columns", "labels")
    }
    wanted: dict[str, Any] = {key: given[key] for key in keys}
    return load_corpus(**wanted, **names)


def _counts(corpus: Corpus) -> str:
    sizes = corpus.table["split"].value_counts()
    return f"{corpus.name}: " + ", ".join(f"{split} {sizes.get(split, 0)}" for split in SPLITS)


def examine_checkpoints(names: Iterable[str], cache: Path) -> list[Finding]:
    """One finding for each checkpoint."""
    return [
        stop_if_refused(f"checkpoint {name}", partial(_checkpoint, name, cache)) for name in names
    ]


def _checkpoint(name: str, cache: Path) -> Finding:
    subject = f"checkpoint {name}"
    try:
        found = prepared_checkpoint(name, cache)
    except NotPrepared:
        return Finding("ok", subject, _before_prepare(name))
    except UserError as error:  # changed since it was recorded
        reason = str(error).removeprefix(f"{subject}: ")
        return Finding("note", subject, f"{reason} (reproduce does that, too)")
    size = sum(file.stat().st_size for file in found.folder.iterdir() if file.is_file())
    return Finding("ok", subject, f"whole, {size / 1e6:.0f} MB in {found.folder}")


def _before_prepare(name: str) -> str:
    """What `prepare` will do about a checkpoint; UserError where it cannot."""
    if name.startswith(PREFIX):
        return "prepare will make it"
    folder = _at_hand(name)
    return (
        f"prepare will take it from {folder}" if folder else "prepare will look on the hub for it"
    )


def is_of_hub(name: str) -> bool:
    """Whether a checkpoint's name is one of the Hugging Face hub."""
    return not name.startswith((PREFIX, BUNDLED_PREFIX)) and not Path(name).expanduser().is_dir()


def _at_hand(name: str) -> Path | None:
    """The folder of a checkpoint that is not prepared; None where it has to be made or may have to
    be downloaded. UserError where it cannot be found."""
    from huggingface_hub import constants

    if name.startswith(PREFIX):
        return None
    if name.startswith(BUNDLED_PREFIX) or local_folder(name) or constants.HF_HUB_OFFLINE:
        return find_checkpoint(name)
    return None


def parameters(name: str, cache: Path) -> int | None:
    """How many numbers the weights of a checkpoint are; None where they are not on this machine, or
    not as they were prepared."""
    folder: Path | None
    try:
        folder = prepared_checkpoint(name, cache).folder
    except NotPrepared:
        folder = _at_hand(name)
    except UserError:
        return None
    return None if folder is None else _parameters_in(folder)


def _parameters_in(folder: Path) -> int:
    count = 0
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "np") as weights:
                for name in weights.keys():  # noqa: SIM118 -- no mapping
                    size = 1
                    for side in weights.get_slice(name).get_shape():
                        size *= side
                    count += size
        except SafetensorError as error:
            raise UserError(f"{file}: damaged ({error}); run: meld-lightning prepare") from error
    pickled = sum(file.stat().st_size for file in folder.glob("pytorch_model*.bin"))
    return count or pickled // FLOAT


def examine_disk(
    cfg: DictConfig, corpus: Corpus | None, runs: Sequence[int | None], at_once: int
) -> Finding:
    """Whether clips and runs fit on the disk.

    runs: the parameters of each run that is to be made; None: not known. at_once: how many run
        side by side.
    """
    known = [one for one in runs if one is not None]
    kept = sum(known) * FLOAT
    running = SAVED * FLOAT * max(known, default=0) * at_once
    decoded, arithmetic = _decoded(plain(cfg.media), corpus)
    needed = kept + running + decoded
    free = {
        key: shutil.disk_usage(existing(Path(cfg.paths[key]))).free for key in ("cache", "runs")
    }
    at_work = f"{at_once} of them train" if at_once > 1 else "one of them trains"
    at_work = at_work if len(known) > 1 else "it trains"
    text = (
        f"{needed / GB:.1f} GB needed: {arithmetic}, {kept / GB:.1f} for the weights of"
        f" {counted(len(known), 'run')}, {running / GB:.1f} while {at_work};"
        f" {min(free.values()) / GB:.1f} GB free{_not_counted(runs)}"
    )
    if needed > min(free.values()):
        return Finding("stop", "disk", f"{text}: free some, or choose other paths.*")
    return Finding(_state(runs), "disk", text)


def _not_counted(runs: Sequence[int | None]) -> str:
    """The runs that the arithmetic leaves out, if there are any."""
    if not (unknown := runs.count(None)):
        return ""
    whose = counted(unknown, "run")
    return f"; {whose} not counted, because the checkpoint is not here yet: call prepare, then this"


def _state(runs: Sequence[int | None]) -> State:
    return "note" if None in runs else "ok"


def _decoded(media: Mapping[str, Any], corpus: Corpus | None) -> tuple[float, str]:
    """Bytes of the decoded clips, and how they come about; twice as much for none that are in the
    cache already would not matter."""
    if (
        corpus is None
        or not media["keep"]
        or not corpus.table[["clip", "audio"]].notna().any(axis=None)
    ):
        return 0.0, "no clips to decode"
    seconds = float((corpus.table["end_s"] - corpus.table["start_s"]).clip(lower=0).sum())
    frames = seconds * FPS / media["every"] * media["size"] ** 2 * 3
    sound = seconds * media["rate"] * FLOAT
    kept = {"frames": frames, "audio": sound, "faces": frames}
    total = sum(kept[kind] for kind in media["keep"])
    return total, f"{total / GB:.1f} for {seconds / 3600:.1f} h of clips"


def examine_memory(runs: Sequence[int | None], at_once: int, accelerator: str) -> Finding:
    """Whether the largest run fits into memory, as often as runs are made side by side."""
    import torch

    weights = TRAINED * FLOAT * max((one for one in runs if one is not None), default=0)
    text = (
        f"{weights / GB:.1f} GB for weights, gradients and AdamW of the largest run, and its"
        " activations"
    )
    if accelerator in ("auto", "cuda") and torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        text += f"; {free / GB:.1f} GB free on the GPU{_not_counted(runs)}"
        if weights > free:
            return Finding("stop", "memory", f"{text}: choose a smaller checkpoint")
        return Finding(_state(runs), "memory", text)
    needed, free = at_once * (PROCESS_BYTES + weights), memory_free()
    text = (
        f"{needed / GB:.1f} GB needed: {f'{at_once} at a time, each ' if at_once > 1 else ''}"
        f"{PROCESS_BYTES / GB:.1f} GB and {text}; {free / GB:.1f} GB free{_not_counted(runs)}"
    )
    if PROCESS_BYTES + weights > free:
        return Finding("stop", "memory", f"{text}: choose a smaller checkpoint")
    if needed > free:
        return Finding("note", "memory", f"{text}: give hydra.launcher.jobs=1")
    return Finding(_state(runs), "memory", text)


def memory_free() -> int:
    """Bytes that this process may still take: of the machine, or of its control group."""
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    known = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    free = known.get("MemAvailable", pages)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and (most := limit.read_text().strip()).isdecimal():
        free = min(free, int(most) - int(used.read_text()))
    return free
