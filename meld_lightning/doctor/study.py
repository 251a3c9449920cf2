"""What a study needs and what is there: corpus, checkpoints and disk, with the arithmetic.

Reads the cache, the corpus and the weights' headers; writes nothing.
"""

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.config.words import counted
from meld_lightning.corpus import (
    SPLITS,
    Corpus,
    differs_from_published,
    load_corpus,
    prepared_corpus,
)
from meld_lightning.doctor.finding import Finding, stop_if_refused
from meld_lightning.doctor.place import existing
from meld_lightning.doctor.weights import FLOAT, GB, not_counted, parameters_in, state_of
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.media import prepared_media
from meld_lightning.mini.checkpoints import LAYOUT, PREFIX
from meld_lightning.pretrained.checkpoints import prepared_checkpoint
from meld_lightning.pretrained.find import BUNDLED_PREFIX, find_checkpoint, local_folder

CHANGED = "changed since prepare; reproduce will prepare it again"
FPS = 24000 / 1001  # of most of MELD's clips
SAVED = 3  # last.ckpt of a run that trains holds its weights and AdamW's two averages


def examine_corpus(cfg: DictConfig) -> tuple[Finding, Corpus | None]:
    """A finding about the corpus, and the corpus where it can be read."""
    try:
        corpus = prepared_corpus(cfg.corpus, Path(cfg.paths.cache))
        return _read(corpus, "prepared"), corpus
    except UserError as error:  # not prepared, or changed since: reproduce prepares it again
        is_new = isinstance(error, NotPrepared)
        what = "not prepared yet: reproduce does it" if is_new else CHANGED
    if cfg.corpus.layout == LAYOUT:
        return Finding("ok", "corpus", f"the mini corpus, {what}"), None
    try:
        corpus = _load(cfg.corpus)
    except UserError as error:
        return Finding("stop", "corpus", str(error)), None
    return _read(corpus, what), corpus


def _read(corpus: Corpus, what: str) -> Finding:
    """The finding about a corpus that can be read."""
    if differs := differs_from_published(corpus.report):
        return Finding("note", "corpus", f"{_counts(corpus)}, {what}. {differs}")
    return Finding("ok", "corpus", f"{_counts(corpus)}, {what}")


def _load(cfg_corpus: DictConfig) -> Corpus:
    given: dict[str, Any] = plain(cfg_corpus)
    if not given["root"]:
        raise UserError("corpus.root is not set; add corpus.root=PATH")
    keys = (
        *("root", "layout", "name", "split", "folds", "fold", "test", "test_by"),
        *("votes", "realignment"),
    )
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
    parameters_in(found.folder)  # or says which file is damaged
    size = sum(file.stat().st_size for file in found.folder.iterdir() if file.is_file())
    return Finding("ok", subject, f"whole, {size / 1e6:.0f} MB in {found.folder}")


def _before_prepare(name: str) -> str:
    """What `prepare` will do about a checkpoint; UserError where it cannot."""
    if name.startswith(PREFIX):
        return "prepare will make it"
    if (folder := _at_hand(name)) is None:
        return "prepare will look on the hub for it"
    parameters_in(folder)  # or says which file is damaged
    return f"prepare will take it from {folder}"


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
    return None if folder is None else parameters_in(folder)


def examine_disk(
    cfg: DictConfig,
    corpus: Corpus | None,
    runs: Sequence[int | None],
    at_once: int,
    decode: bool = True,
) -> Finding:
    """Whether clips and runs fit on their disks, or on the one that holds both.

    corpus: None: the mini corpus, which is not prepared yet.
    runs: the parameters of each run that is to be made; None: not known. at_once: how many run
        side by side. decode: whether any run reads decoded clips.
    """
    known = [one for one in runs if one is not None]
    kept = sum(known) * FLOAT
    running = SAVED * FLOAT * max(known, default=0) * at_once
    decoded, arithmetic = _decoded(cfg, corpus) if decode else (0.0, "no clips to decode")
    at_work = f"{at_once} of them train" if at_once > 1 else "one of them trains"
    at_work = at_work if len(known) > 1 else "it trains"
    places = {key: existing(Path(cfg.paths[key])) for key in ("cache", "runs")}
    needed, free = {"cache": decoded, "runs": kept + running}, dict[str, float]()
    if len({place.stat().st_dev for place in places.values()}) == 1:
        needed = {"": sum(needed.values())}
        free[""] = shutil.disk_usage(places["runs"]).free
    else:
        free = {key: shutil.disk_usage(place).free for key, place in places.items()}
    there = ", ".join(
        f"{size / GB:.1f} GB free{f' for {needed[key] / GB:.1f} of {key}' if key else ''}"
        for key, size in free.items()
    )
    text = (
        f"{(decoded + kept + running) / GB:.1f} GB needed: {arithmetic}, {kept / GB:.1f} for the"
        f" weights of {counted(len(known), 'run')}, {running / GB:.1f} while {at_work};"
        f" {there}{not_counted(runs)}"
    )
    if any(size > free[key] for key, size in needed.items()):
        return Finding("stop", "disk", f"{text}: free some, or choose other paths.*")
    return Finding(state_of(runs), "disk", text)


def _decoded(cfg: DictConfig, corpus: Corpus | None) -> tuple[float, str]:
    """Bytes of the clips that are still to be decoded, and the arithmetic in words. Where only some
    are in the cache, these are counted again."""
    media: dict[str, Any] = plain(cfg.media)
    if not media["keep"]:
        return 0.0, "no clips to decode"
    if corpus is None:
        return 0.0, "the few clips of the mini corpus"
    if not corpus.table[["clip", "audio"]].notna().any(axis=None):
        return 0.0, "no clips to decode"
    with suppress(UserError):  # not decoded yet, or changed since
        prepared_media(corpus.table, corpus.name, media, Path(cfg.paths.cache))
        return 0.0, "no clips to decode, because all are in the cache"
    seconds = float((corpus.table["end_s"] - corpus.table["start_s"]).clip(lower=0).sum())
    frames = seconds * FPS / media["every"] * media["size"] ** 2 * 3
    sound = seconds * media["rate"] * FLOAT
    kept = {"frames": frames, "audio": sound, "faces": frames}
    total = sum(kept[kind] for kind in media["keep"])
    return total, f"{total / GB:.1f} for {seconds / 3600:.1f} h of clips"
