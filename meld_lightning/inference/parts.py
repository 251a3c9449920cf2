"""Scores items in parts: while the models score one part, the clips of the next are decoded.
Finished parts are kept in a folder, so that the same call continues after a kill.

Writes one Parquet file per finished part if a folder is given, and decoded clips into temporary
folders that are removed. Used by Predictor.

Axes: M modalities, N items, C classes.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from meld_lightning.inference.items.media import GivenMedia, ItemMedia, decode_items
from meld_lightning.inference.score import Scored
from meld_lightning.inference.source import Source
from meld_lightning.storage.atomic import remove_leftovers, writing
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.storage.parquet import read_parquet, write_parquet

PART = 64  # items per part; media/store.py decodes as many into one file


@dataclass(frozen=True)
class Scoring:
    """How items are scored.

    kept: the folder of finished parts; None keeps none.
    decoding: keys of conf/media that differ from those of the runs.
    given: id -> arrays, for items without a file.
    """

    kept: Path | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, GivenMedia] = field(default_factory=dict)


def score_items(source: Source, items: pd.DataFrame, how: Scoring) -> dict[str, Scored]:
    """Modality -> its model's logits for all items, in their order."""
    done = {} if how.kept is None else _read_kept(how.kept)
    digests = item_digests(source, items, how.decoding)
    by_id = dict(zip(items["id"], digests, strict=True))
    missing = items[[digest not in done for digest in digests]]
    with (
        _progress(len(items), len(items) - len(missing)) as bar,
        closing(_scored_parts(source, missing, how)) as parts,
    ):
        for part, scored in parts:
            frame = _frame(source, part, scored, by_id)
            if how.kept is not None:
                _keep(how.kept, frame)
            done |= dict(zip(frame["item"], frame.to_dict("records"), strict=True))
            bar.update(len(part))
    return _joined(source, items, [done[digest] for digest in digests])


def item_digests(source: Source, items: pd.DataFrame, decoding: Mapping[str, Any]) -> list[str]:
    """A digest of all that an item's logits depend on: the models, the item's files (by path, size
    and modification time), its start and end, its text and the turns of its dialogue."""
    turns = {
        dialogue: rows[["id", "speaker", "text"]].to_numpy().tolist()
        for dialogue, rows in items.groupby("dialogue", sort=False)
    }
    digests = []
    for row in items.to_dict("records"):
        files = [_stamp(row["clip"]), _stamp(row["audio"])]
        span = [None if np.isnan(row[one]) else float(row[one]) for one in ("start", "end")]
        said = [row["id"], row["text"], row["speaker"], turns.get(row["dialogue"])]
        digests.append(digest_of([source.digest, dict(decoding), *files, *span, *said], 32))
    return digests


def split_parts(items: pd.DataFrame, size: int = PART) -> Iterator[pd.DataFrame]:
    """The items in parts of at most `size`, except that a dialogue is never divided."""
    groups: dict[Any, list[int]] = {}
    for place, dialogue in enumerate(items["dialogue"]):
        groups.setdefault(("row", place) if dialogue is None else dialogue, []).append(place)
    part: list[int] = []
    for rows in groups.values():
        if part and len(part) + len(rows) > size:
            yield items.iloc[part]
            part = []
        part += rows
    if part:
        yield items.iloc[part]


def _scored_parts(
    source: Source, items: pd.DataFrame, how: Scoring
) -> Generator[tuple[pd.DataFrame, dict[str, Scored]], None, None]:
    parts, stop = list(split_parts(items)), threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="meld-lightning-") as temporary,
        ThreadPoolExecutor(1) as ahead,
    ):
        caches = [Path(temporary) / str(number) for number in range(len(parts))]

        def decoding(number: int) -> Future[dict[Any, ItemMedia]]:
            return ahead.submit(_decoded, source, parts[number], how, caches[number], stop)

        try:
            pending = decoding(0) if parts else None
            for number, (part, cache) in enumerate(zip(parts, caches, strict=True)):
                assert pending is not None
                media = pending.result()
                pending = decoding(number + 1) if number + 1 < len(parts) else None
                yield (
                    part,
                    {
                        name: member.score(part, media.get(member.decoded_as), cache)
                        for name, member in source.members.items()
                    },
                )
                media.clear()
                shutil.rmtree(cache)
        finally:
            stop.set()  # ends the decoding of a part that is no longer wanted, as after Ctrl+C


def _decoded(
    source: Source, part: pd.DataFrame, how: Scoring, cache: Path, stop: threading.Event
) -> dict[Any, ItemMedia]:
    """What a member decodes (`decoded_as`) -> the decoded clips of a part, written into `cache`."""
    media: dict[Any, ItemMedia] = {}
    cache.mkdir()
    with writing(cache):
        for settings, members in _decodings(source, how.decoding):
            items = decode_items(part, settings, cache, how.given, stop)
            media |= dict.fromkeys(members, items)
    return media


def _decodings(
    source: Source, decoding: Mapping[str, Any]
) -> list[tuple[dict[str, Any], list[Any]]]:
    """The settings of each decoding that the members need, and the `decoded_as` of its members:
    frames and sound are decoded together if their runs' other settings are equal."""
    found: dict[str, tuple[dict[str, Any], list[Any]]] = {}
    for member in source.members.values():
        settings = {**member.media_settings, **decoding}
        kept = settings.pop("keep")
        if not kept:
            continue
        both, served = found.setdefault(digest_of(settings), ({**settings, "keep": []}, []))
        both["keep"] = sorted({*both["keep"], *kept})
        served.append(member.decoded_as)
    return list(found.values())


def _frame(
    source: Source, part: pd.DataFrame, scored: Mapping[str, Scored], digests: Mapping[str, str]
) -> pd.DataFrame:
    """A finished part as a table to keep. digests: id -> item digest."""
    columns: dict[str, Any] = {"item": [digests[key] for key in part["id"]]}
    for name, one in scored.items():
        columns[f"present.{name}"] = one.present_N
        columns[f"why.{name}"] = [one.why.get(key) for key in part["id"]]
        for place, label in enumerate(source.labels):
            columns[f"logit.{name}.{label}"] = one.logits_NC[:, place]
        if one.embeddings_ND is not None:
            columns[f"embedding.{name}"] = list(one.embeddings_ND)
    return pd.DataFrame(columns)


def _joined(
    source: Source, items: pd.DataFrame, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Scored]:
    return {
        name: Scored(
            np.array(
                [[row[f"logit.{name}.{label}"] for label in source.labels] for row in rows],
                dtype=np.float32,
            ).reshape(-1, len(source.labels)),
            np.array([row[f"present.{name}"] for row in rows], dtype=bool),
            {
                key: row[f"why.{name}"]
                for key, row in zip(items["id"], rows, strict=True)
                if isinstance(row[f"why.{name}"], str)
            },
            None if member.width is None else _embeddings(name, rows, member.width),
        )
        for name, member in source.members.items()
    }


def _embeddings(name: str, rows: Sequence[Mapping[str, Any]], width: int) -> np.ndarray:
    """Of all items, float32 (N, D)."""
    found = [row[f"embedding.{name}"] for row in rows]
    return np.array(found, dtype=np.float32).reshape(-1, width)


def _read_kept(kept: Path) -> dict[str, dict[str, Any]]:
    """Item digest -> its row, of the finished parts; a part that is damaged is scored again."""
    done: dict[str, dict[str, Any]] = {}
    for path in sorted(kept.glob("*.parquet")):
        try:
            frame = read_parquet(path)
            done |= dict(zip(frame["item"], frame.to_dict("records"), strict=True))
        except (OSError, ValueError, KeyError):
            path.unlink(missing_ok=True)
    return done


def _keep(kept: Path, frame: pd.DataFrame) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    remove_leftovers(kept)
    write_parquet(kept / f"{digest_of(frame['item'].tolist())}.parquet", frame, "zstd")


def _stamp(path: Any) -> list[Any] | None:
    """The current path, size and modification time of a file."""
    if path is None:
        return None
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return [str(path)]
    return [os.path.realpath(path), found.st_size, found.st_mtime_ns]


@contextmanager
def _progress(items: int, done: int) -> Iterator[Any]:
    """A progress bar over the items, on a terminal and for more than one part."""
    hidden = True if items <= PART else None
    with tqdm(total=items, initial=done, desc="items", unit="item", disable=hidden) as bar:
        yield bar
