"""prepare_corpus writes a checked corpus into the cache, prepared_corpus reads it back and refuses
changed data.

Writes and reads <cache>/corpus/<name>-<8 hex>/{corpus.parquet, report.json, report.md, media.json,
manifest.json}; the hex digits stand for the root and the settings. The folder appears under its
name whole or not at all, but for what became of the clips (media.json), which is added later.
`prepare` writes it, `train` and others read it.
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from meld_lightning.corpus.load import load_corpus
from meld_lightning.corpus.report.markdown import render_report
from meld_lightning.corpus.table import Corpus, typed
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.mini import corpus as mini
from meld_lightning.storage.atomic import atomic_folder, atomic_write
from meld_lightning.storage.fingerprint import Fingerprint, digest_of, file_digest
from meld_lightning.storage.once import made_once

PREPARED_VERSION = 2
_FILES = (
    "corpus.parquet",
    "report.json",
)  # report.md is for people: media.json, made later, is part of it


def prepare_corpus(cfg_corpus: Mapping[str, Any], cache: Path) -> Corpus:
    """Load the corpus that `cfg_corpus` (conf/corpus) describes, store it below `cache`, and return
    it.

    The mini corpus is written first where it is absent, of another version or damaged. Processes
    that prepare the same corpus at once wait for each other. UserError as load_corpus.
    """
    settings = _settings(cfg_corpus)
    folder = _folder(settings, Path(cache))
    root = Path(settings["root"])
    if settings["name"] == "mini":
        made_once(
            Path(f"{root}.lock"), lambda: mini.mini_is_current(root), lambda: mini.write_mini(root)
        )
    corpus = load_corpus(**settings)
    made_once(
        Path(f"{folder}.lock"),
        lambda: _is_stored(corpus, cfg_corpus, cache),
        lambda: _store(corpus, settings, folder),
    )
    return corpus


def prepared_corpus(cfg_corpus: Mapping[str, Any], cache: Path) -> Corpus:
    """The corpus as `prepare` stored it; UserError where it is absent, or its files have changed
    since."""
    settings = _settings(cfg_corpus)
    folder = _folder(settings, Path(cache))
    again = _command(settings)
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotPrepared(
            f"corpus {settings['name']!r} at {settings['root']} is not prepared in {cache}; {again}"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'manifest.json'}: cannot be read ({error}); {again}") from error
    if manifest.get("version") != _version(settings):
        raise UserError(f"{folder}: prepared by another version of this package; {again}")
    for name, digest in manifest["files"].items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise UserError(
                f"{folder / name}: missing or changed since it was written; remove {folder} and"
                f" {again}"
            )
    base = _base(settings)
    for source in manifest["sources"]:
        if not Fingerprint.from_json(source).matches(base / source["name"]):
            raise UserError(
                f"{base / source['name']}: missing or changed since it was prepared; {again}"
            )
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    corpus = Corpus(
        manifest["name"],
        typed(pd.read_parquet(folder / "corpus.parquet")),
        tuple(manifest["emotions"]),
        tuple(manifest["sentiments"]),
        report,
        tuple(base / source["name"] for source in manifest["sources"]),
    )
    if (
        corpus.digest != manifest["digest"]
    ):  # the files are whole, so another pandas or pyarrow reads them otherwise
        raise UserError(
            f"{folder}: reads otherwise than it was written, as with other versions of pandas;"
            f" {again}"
        )
    return corpus


def report_media(cfg_corpus: Mapping[str, Any], cache: Path, media: Mapping[str, Any]) -> None:
    """Add what became of the clips (see media.media_report) to the stored corpus report: media.json
    and report.md."""
    folder = prepared_folder(cfg_corpus, cache)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    texts = {
        "media.json": json.dumps(media, indent=1, ensure_ascii=False) + "\n",
        "report.md": render_report(report, media),
    }
    for name, text in texts.items():
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text:
            with atomic_write(folder / name) as fresh:
                _write(fresh, text)


def prepared_folder(cfg_corpus: Mapping[str, Any], cache: Path) -> Path:
    """Where prepare_corpus stores this corpus and its report."""
    return _folder(_settings(cfg_corpus), Path(cache))


def _settings(cfg_corpus: Mapping[str, Any]) -> dict[str, Any]:
    """load_corpus's arguments; UserError where root is not given."""
    name, root = str(cfg_corpus["name"]), cfg_corpus.get("root")
    if root is None or str(root) in ("", "???"):
        raise UserError(f"corpus.root is not set for corpus {name!r}; add corpus.root=PATH")
    if not re.fullmatch(r"[\w.-]+", name):
        raise UserError(
            f"corpus.name {name!r}: only letters, digits, '.', '_' and '-' are possible, as it"
            " names a folder"
        )
    split, test = cfg_corpus.get("split"), cfg_corpus.get("test")
    return {
        "name": name,
        "layout": str(cfg_corpus.get("layout") or "meld"),
        "root": str(Path(str(root)).expanduser().resolve()),
        "split": None if split is None else str(split),
        "folds": int(cfg_corpus.get("folds", 5)),
        "fold": int(cfg_corpus.get("fold", 0)),
        "test": None if test is None else str(test),
    }


def _command(settings: Mapping[str, Any]) -> str:
    """What to type so that prepare_corpus stores these very settings."""
    if settings["name"] == "mini":
        return "run: meld-lightning prepare corpus=mini"
    words = [f"corpus={settings['layout']}", f"corpus.root={settings['root']}"]
    if settings["name"] != settings["layout"]:
        words.append(f"corpus.name={settings['name']}")
    if settings["split"] is not None:
        words += [f"corpus.{name}={settings[name]}" for name in ("split", "folds", "fold")]
    if settings["test"] is not None:
        words.append(f"corpus.test={settings['test']}")
    return f"run: meld-lightning prepare {shlex.join(words)}"


def _version(settings: Mapping[str, Any]) -> list[int]:
    return (
        [PREPARED_VERSION, mini.MINI_VERSION] if settings["name"] == "mini" else [PREPARED_VERSION]
    )


def _folder(settings: Mapping[str, Any], cache: Path) -> Path:
    return cache / "corpus" / f"{settings['name']}-{digest_of(settings, 8)}"


def _base(settings: Mapping[str, Any]) -> Path:
    """What the names of sources are relative to."""
    root = Path(settings["root"])
    return root.parent if settings["layout"] == "manifest" else root


def _is_stored(corpus: Corpus, cfg_corpus: Mapping[str, Any], cache: Path) -> bool:
    try:
        stored = prepared_corpus(cfg_corpus, cache)
    except UserError:  # absent, damaged, or of other data or another version: to be written
        return False
    return bool(stored.table.equals(corpus.table)) and stored.report == corpus.report


def _store(corpus: Corpus, settings: Mapping[str, Any], folder: Path) -> None:
    base = _base(settings)
    # The report took the digests when the files were read: what changes later is caught by the next
    # reader.
    times = [(base / source["name"]).stat().st_mtime_ns for source in corpus.report["sources"]]
    sources = [
        {**source, "mtime_ns": time}
        for source, time in zip(corpus.report["sources"], times, strict=True)
    ]
    with atomic_folder(folder) as fresh:
        corpus.table.to_parquet(fresh / "corpus.parquet", index=False)
        _write(
            fresh / "report.json", json.dumps(corpus.report, indent=1, ensure_ascii=False) + "\n"
        )
        _write(fresh / "report.md", render_report(corpus.report))
        manifest = {
            "version": _version(settings),
            "name": corpus.name,
            "digest": corpus.digest,
            "emotions": corpus.emotions,
            "sentiments": corpus.sentiments,
            "settings": dict(settings),
            "sources": sources,
            "files": {name: file_digest(fresh / name) for name in _FILES},
        }
        _write(fresh / "manifest.json", json.dumps(manifest, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
