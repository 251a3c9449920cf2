"""prepare_corpus stores a checked corpus in the cache; prepared_corpus reads it back and refuses
changed data.

Writes and reads <cache>/corpus/<name>-<8 hex>/{corpus.parquet, report.json, report.md, media.json,
manifest.json}; the hex digits are a digest of the settings, root included. The folder is written
atomically, except for media.json, which is added when the clips have been decoded. `prepare` writes
it; `train` and the other commands read it.
"""

import json
import logging
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from meld_lightning.corpus.load import absolute, load_corpus
from meld_lightning.corpus.readers.layout import find_reader
from meld_lightning.corpus.report.markdown import render_report
from meld_lightning.corpus.table import Corpus, typed
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.storage.atomic import (
    atomic_folder,
    json_text,
    remove_leftovers,
    write_text,
)
from meld_lightning.storage.fingerprint import Fingerprint, digest_of, file_digest
from meld_lightning.storage.once import locked, made_once
from meld_lightning.storage.parquet import save_parquet

PREPARED_VERSION = 5
logger = logging.getLogger(__name__)
_NAMES = ("columns", "labels")  # settings that map names
_FILES = ("corpus.parquet", "report.json")  # report.md is for people, and changes with media.json


def prepare_corpus(cfg_corpus: Mapping[str, Any], cache: Path) -> Corpus:
    """Loads the corpus that `cfg_corpus` (conf/corpus) describes, stores it below `cache`, and
    returns it.

    Processes that prepare the same corpus at once wait for each other. Raises UserError as
    load_corpus does.
    """
    settings = _settings(cfg_corpus)
    folder = _folder(settings, Path(cache))
    corpus = load_corpus(**settings)
    for line in corpus.report["assumed"]:
        logger.info("%s", line)
    made_once(
        _lock(folder),
        lambda: _is_stored(corpus, cfg_corpus, cache),
        lambda: _store(corpus, settings, folder),
    )
    return corpus


def prepared_corpus(
    cfg_corpus: Mapping[str, Any], cache: Path, others: Sequence[str] = ()
) -> Corpus:
    """The corpus as `prepare` stored it; UserError if it is not there or its files have changed
    since.

    others: further words of the `prepare` command that an error suggests, such as checkpoints=hub.
    """
    settings = _settings(cfg_corpus)
    folder = _folder(settings, Path(cache))
    again = _command(settings, Path(cache), others)
    manifest = _manifest(folder, settings, again)
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise UserError(
                f"{folder / name}: missing or changed since it was written; remove {folder} and"
                f" {again}"
            )
    sources = [_below(settings["root"], source["path"]) for source in manifest["sources"]]
    for path, known in zip(sources, manifest["sources"], strict=True):
        if not Fingerprint.from_json(known).matches(path):
            raise UserError(f"{path}: missing or changed since it was prepared; {again}")
    corpus = Corpus(
        manifest["name"],
        typed(pd.read_parquet(folder / "corpus.parquet"), votes=True),
        tuple(manifest["emotions"]),
        tuple(manifest["sentiments"]),
        json.loads((folder / "report.json").read_text(encoding="utf-8")),
        tuple(sources),
    )
    if corpus.digest != manifest["digest"]:  # another pandas or pyarrow reads the file differently
        raise UserError(
            f"{folder}: its table reads differently than when it was written, as happens with"
            f" another version of pandas; {again}"
        )
    return corpus


def report_media(cfg_corpus: Mapping[str, Any], cache: Path, media: Mapping[str, Any]) -> None:
    """Adds the outcome of decoding (see media.media_report) to the stored corpus report: writes
    media.json and report.md."""
    folder = prepared_folder(cfg_corpus, cache)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    texts = {
        "media.json": json_text(media, sort_keys=False),
        "report.md": render_report(report, media),
    }
    changed = {name: text for name, text in texts.items() if _text(folder / name) != text}
    if not changed:  # as in a cache that may only be read
        return
    with locked(_lock(folder)):
        remove_leftovers(folder)
        for name, text in changed.items():
            write_text(folder / name, text)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _lock(folder: Path) -> Path:
    """What a process that writes into the folder of a stored corpus holds."""
    return Path(f"{folder}.lock")


def prepared_folder(cfg_corpus: Mapping[str, Any], cache: Path) -> Path:
    """Where prepare_corpus stores this corpus and its report."""
    return _folder(_settings(cfg_corpus), Path(cache))


def _settings(cfg_corpus: Mapping[str, Any]) -> dict[str, Any]:
    """load_corpus's arguments; UserError if root is not given."""
    name, root = str(cfg_corpus["name"]), cfg_corpus.get("root")
    if root is None or str(root) in ("", "???"):
        raise UserError(f"corpus.root is not set for corpus {name!r}; add corpus.root=PATH")
    if not re.fullmatch(r"[\w.-]+", name):
        raise UserError(
            f"corpus.name {name!r}: it names a folder, so only letters, digits, '.', '_' and '-'"
            " are possible"
        )
    split, test, votes = (cfg_corpus.get(key) for key in ("split", "test", "votes"))
    realignment, test_by = cfg_corpus.get("realignment"), cfg_corpus.get("test_by")
    names = {
        key: {
            str(one): str(other)
            for one, other in dict(cfg_corpus.get(key) or {}).items()
            if other is not None
        }
        for key in _NAMES
    }
    return {
        "name": name,
        "layout": str(cfg_corpus.get("layout") or "meld"),
        "root": str(absolute(str(root))),
        "split": None if split is None else str(split),
        "folds": int(cfg_corpus.get("folds", 5)),
        "fold": int(cfg_corpus.get("fold", 0)),
        "test": None if test is None else str(test),
        **{
            key: given for key, given in names.items() if given
        },  # else settings stay what they were
        **({} if test_by is None else {"test_by": str(test_by)}),
        **({} if realignment is None else {"realignment": str(absolute(str(realignment)))}),
        **({} if votes is None else {"votes": str(absolute(str(votes)))}),
    }


def _command(settings: Mapping[str, Any], cache: Path, others: Sequence[str]) -> str:
    """The command line with which prepare_corpus stores exactly these settings."""
    name, layout, root = settings["name"], settings["layout"], Path(settings["root"])
    group = name if "." in layout else layout  # a layout of this package has a file in conf/corpus
    words = [f"corpus={group}"]
    if root != (cache / name).resolve():  # which is where a corpus that is written here lies
        words.append(f"corpus.root={root}")
    if name != group:
        words.append(f"corpus.name={name}")
    if settings["split"] is not None:
        words += [f"corpus.{key}={settings[key]}" for key in ("split", "folds", "fold")]
    if settings["test"] is not None:
        words.append(f"corpus.test={settings['test']}")
    if "test_by" in settings:
        words.append(f"corpus.test_by={settings['test_by']}")
    if "votes" in settings:
        words.append(f"corpus.votes={settings['votes']}")
    if "realignment" in settings:
        words.append(f"corpus.realignment={settings['realignment']}")
    for key in _NAMES:
        words += [f"corpus.{key}.{one}={other}" for one, other in settings.get(key, {}).items()]
    return f"run: meld-lightning prepare {shlex.join([*words, *others])}"


def _folder(settings: Mapping[str, Any], cache: Path) -> Path:
    return cache / "corpus" / f"{settings['name']}-{digest_of(settings, 8)}"


def _version(settings: Mapping[str, Any]) -> list[int]:
    return [PREPARED_VERSION, find_reader(settings["layout"]).VERSION]


def _manifest(folder: Path, settings: Mapping[str, Any], again: str) -> dict[str, Any]:
    """What the manifest in `folder` holds; UserError if it cannot be used."""
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        find_reader(settings["layout"])  # a remedy must not repeat a layout that does not exist
        own = "." not in settings["layout"]  # other readers may write the root themselves
        if own and not Path(settings["root"]).exists():
            raise NotPrepared(
                f"corpus.root={settings['root']}: no such file or folder; give the one that holds"
                " the corpus"
            ) from None
        raise NotPrepared(
            f"corpus {settings['name']!r} at {settings['root']} is not prepared in"
            f" {folder.parents[1]}{_otherwise(folder, settings)}; {again}"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {again}") from error
    if manifest.get("version") != _version(settings):
        raise UserError(f"{folder}: prepared by another version of this package; {again}")
    return manifest


def _otherwise(folder: Path, settings: Mapping[str, Any]) -> str:
    """The settings that differ in another prepared form of the same corpus, in brackets; empty if
    there is none."""
    for path in sorted(folder.parent.glob(f"{settings['name']}-*/manifest.json")):
        try:
            known = dict(json.loads(path.read_text(encoding="utf-8"))["settings"])
        except (OSError, ValueError, TypeError, KeyError):  # damaged, or of an old version
            continue
        if known == {**settings, "root": known.get("root")} and not Path(known["root"]).exists():
            return (
                f" (it was at {known['root']}, which is gone; if it was moved, preparing it again"
                " is quick, since clips that are decoded already are kept)"
            )
        if known.get("root") == settings["root"]:
            keys = [key for key in {**known, **settings} if known.get(key) != settings.get(key)]
            return (
                f" with these settings (it is with other values of corpus.{', corpus.'.join(keys)})"
            )
    return ""


def _is_stored(corpus: Corpus, cfg_corpus: Mapping[str, Any], cache: Path) -> bool:
    try:
        stored = prepared_corpus(cfg_corpus, cache)
    except UserError:  # absent, damaged, of other data or of another version: to be written
        return False
    return bool(stored.table.equals(corpus.table)) and stored.report == corpus.report


def _store(corpus: Corpus, settings: Mapping[str, Any], folder: Path) -> None:
    with atomic_folder(folder) as fresh:
        save_parquet(corpus.table, fresh / "corpus.parquet")
        (fresh / "report.json").write_text(json_text(corpus.report, sort_keys=False))
        (fresh / "report.md").write_text(render_report(corpus.report), encoding="utf-8")
        manifest = {
            "version": _version(settings),
            "name": corpus.name,
            "digest": corpus.digest,
            "emotions": corpus.emotions,
            "sentiments": corpus.sentiments,
            "settings": dict(settings),
            "sources": [
                {"path": os.path.relpath(path, settings["root"]), **_fingerprint(path, known)}
                for path, known in zip(corpus.sources, corpus.report["sources"], strict=True)
            ],
            "files": {name: file_digest(fresh / name) for name in _FILES},
        }
        (fresh / "manifest.json").write_text(json_text(manifest))


def _fingerprint(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """The fingerprint of a source; UserError if it is no longer the file that was read."""
    now = Fingerprint.of(path)
    if now.sha256 != known["sha256"]:
        raise UserError(f"{path}: changed while it was being prepared; run the command again")
    return now.as_json()


def _below(root: str, relative: str) -> Path:
    """The path that os.path.relpath made relative to `root`, which may be a file."""
    return Path(os.path.normpath(Path(root, relative)))
