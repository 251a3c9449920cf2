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
from meld_lightning.corpus import SPLITS, Corpus, load_corpus, prepared_corpus
from meld_lightning.doctor.finding import Finding, stop_if_refused
from meld_lightning.doctor.place import existing
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.mini.checkpoints import LAYOUT, PREFIX
from meld_lightning.pretrained.checkpoints import Checkpoint, prepared_checkpoint
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
    from huggingface_hub import constants

    if name.startswith(PREFIX):
        return "prepare will make it"
    if name.startswith(BUNDLED_PREFIX) or local_folder(name) or constants.HF_HUB_OFFLINE:
        return f"prepare will take it from {find_checkpoint(name)}"
    return "prepare will look for it on the hub"


def parameters_of(checkpoint: Checkpoint) -> int:
    """How many numbers the weights of a checkpoint are."""
    count = 0
    for file in checkpoint.folder.glob("*.safetensors"):
        try:
            with safe_open(file, "np") as weights:
                for name in weights.keys():  # noqa: SIM118 -- no mapping
                    size = 1
                    for side in weights.get_slice(name).get_shape():
                        size *= side
                    count += size
        except SafetensorError as error:
            raise UserError(f"{file}: damaged ({error}); run: meld-lightning prepare") from error
    pickled = sum(file.stat().st_size for file in checkpoint.folder.glob("pytorch_model*.bin"))
    return count or pickled // FLOAT


def examine_disk(
    cfg: DictConfig, corpus: Corpus | None, runs: Sequence[int], at_once: int
) -> Finding:
    """Whether clips and runs fit on the disk.

    runs: the parameters of each run that is to be made. at_once: how many run side by side.
    """
    kept = sum(runs) * FLOAT
    running = SAVED * FLOAT * max(runs, default=0) * at_once
    decoded, arithmetic = _decoded(plain(cfg.media), corpus)
    needed = kept + running + decoded
    free = {
        key: shutil.disk_usage(existing(Path(cfg.paths[key]))).free for key in ("cache", "runs")
    }
    text = (
        f"{needed / GB:.1f} GB needed: {arithmetic}, {kept / GB:.1f} for the weights of"
        f" {len(runs)} runs, {running / GB:.1f} while {at_once} of them train;"
        f" {min(free.values()) / GB:.1f} GB free"
    )
    if needed > min(free.values()):
        return Finding("stop", "disk", f"{text}: free some, or choose other paths.*")
    return Finding("ok", "disk", text)


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


def examine_memory(runs: Sequence[int], at_once: int, accelerator: str) -> Finding:
    """Whether the largest run fits into memory, as often as runs are made side by side."""
    import torch

    weights = TRAINED * FLOAT * max(runs, default=0)
    text = (
        f"{weights / GB:.1f} GB for weights, gradients and AdamW of the largest run, and its"
        " activations"
    )
    if accelerator in ("auto", "cuda") and torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        text += f"; {free / GB:.1f} GB free on the GPU"
        if weights > free:
            return Finding("stop", "memory", f"{text}: choose a smaller checkpoint")
        return Finding("ok", "memory", text)
    needed, free = at_once * (PROCESS_BYTES + weights), memory_free()
    text = (
        f"{needed / GB:.1f} GB needed: {at_once} at a time, each {PROCESS_BYTES / GB:.1f} GB and"
        f" {text}; {free / GB:.1f} GB free"
    )
    if PROCESS_BYTES + weights > free:
        return Finding("stop", "memory", f"{text}: choose a smaller checkpoint")
    if needed > free:
        return Finding("note", "memory", f"{text}: give hydra.launcher.jobs=1")
    return Finding("ok", "memory", text)


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
