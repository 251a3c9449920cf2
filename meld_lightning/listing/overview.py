"""`runs list` and `runs best`: lists runs with their val scores.

Reads run folders; writes nothing. Test is not shown, because people choose runs from these lists.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meld_lightning.config.suggestions import suggestion
from meld_lightning.config.words import setting
from meld_lightning.errors import UserError, near_miss
from meld_lightning.listing.entries import (
    DAMAGED,
    FINISHED,
    RUNNING,
    Entry,
    chosen,
    known_keys,
    moment,
    read_entries,
)
from meld_lightning.listing.layout import Shown, coloured, size, table, width
from meld_lightning.runs.settings import MISSING

ORDERS = ("when", "score", "size", "name")
WIDE = 100  # columns of a terminal that a list needs to show the device
USUAL = "val/weighted_f1"  # the default monitor, which a list does not name


def list_runs(runs: Path, filters: Mapping[str, str], sort: str) -> Shown:
    """The runs that `filters` select, sorted by `sort`: newest, best or largest first, by name, or
    by the value of a setting."""
    entries = read_entries(runs)
    found = _sorted(chosen(entries, filters), sort, entries)
    if not found:
        chosen_by = " ".join(f"{key}={value}" for key, value in filters.items())
        return Shown(f"{runs}: no run{f' with {chosen_by}' if chosen_by else ''}", [])
    extra = [] if sort in ORDERS else [sort]
    headers = ["hash", "run", "corpus", "val", *extra, "when", "size", "where"]
    rows = [_row(entry, extra) for entry in found]
    if width() < WIDE:  # the run's name needs the room
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    counts = [
        f"{count} {state}"
        for state in dict.fromkeys(entry.state for entry in found)
        if (count := sum(entry.state == state for entry in found))
    ]
    total = f"{', '.join(counts)}; {size(sum(entry.size for entry in found))} in {runs}/"
    notes = [f"{entry.hash}: {entry.problem}" for entry in found if entry.state == DAMAGED]
    text = "\n".join([table(headers, rows, "run"), "", *notes, total])
    return Shown(text, [record(entry) for entry in found])


def best_runs(runs: Path, filters: Mapping[str, str], key: str) -> Shown:
    """The finished run with the best val score for each value of the setting `key`.

    Runs with different corpora, targets, folds or monitors are not compared, but grouped apart.
    """
    entries = [one for one in chosen(read_entries(runs), filters) if one.state == FINISHED]
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        value = entry.get(key)
        if value is not MISSING:
            groups.setdefault((*compared_within(entry), setting(value)), []).append(entry)
    if not entries:
        return Shown(f"{runs}: no finished run", [])
    if not groups:
        raise UserError(
            f"key={key}: no run here has the setting '{key}'{suggestion(key, known_keys(entries))}"
        )
    found = [(group, max(of_group, key=lambda one: one.rank)) for group, of_group in groups.items()]
    found.sort(key=lambda pair: (pair[0][:-1], -pair[1].rank))
    rows, data = [], []
    for group, best in found:
        count = len(groups[group])
        rows.append([" ".join(filter(None, group[:-1])), group[-1], _score(best), str(count)])
        rows[-1] += [best.hash, best.name]
        data.append({"key": key, "value": group[-1], "runs": count, "best": record(best)})
    text = table(["compared within", key, "val", "runs", "hash", "best run"], rows, "best run")
    note = "the best of several runs on val is optimistic; of equal settings, compare several seeds"
    return Shown(f"{text}\n\n{note}", data)


def compared_within(entry: Entry) -> tuple[str, ...]:
    """Corpus, target, fold and monitor, which comparable val scores share, as words."""
    assert entry.result is not None
    corpus, target = str(entry.get("corpus.name")), entry.get("target")
    return (
        corpus,
        entry.result.digests.get("corpus", "")[:4],
        "" if target == "emotion" else str(target),
        "" if entry.result.fold is None else f"fold {entry.result.fold}",
        "" if entry.result.best["monitor"] == USUAL else entry.result.best["monitor"],
    )


def record(entry: Entry) -> dict[str, Any]:
    """One run as data for JSON."""
    result = entry.result
    corpus = entry.get("corpus.name")
    return {
        "hash": entry.hash,
        "name": entry.name,
        "folder": str(entry.folder),
        "state": entry.state,
        "problem": entry.problem,
        "modality": entry.modality,
        "corpus": None if corpus is MISSING else corpus,
        "monitor": result.best["monitor"] if result else None,
        "score": None if entry.score is None or math.isnan(entry.score) else entry.score,
        "seed": result.seed if result else None,
        "fold": result.fold if result else None,
        "when": datetime.fromtimestamp(entry.when, UTC).isoformat(timespec="seconds"),
        "bytes": entry.size,
        "device": result.device if result else None,
        "wall_s": result.wall_s if result else None,
    }


def _row(entry: Entry, extra: Sequence[str]) -> list[str]:
    corpus = entry.get("corpus.name")
    values = [entry.get(key) for key in extra]
    return [
        entry.hash,
        entry.name,
        "" if corpus is MISSING else str(corpus),
        _score(entry) if entry.result else _state(entry),
        *("" if value is MISSING else setting(value) for value in values),
        moment(entry.when),
        size(entry.size),
        entry.result.device if entry.result else "",
    ]


def _score(entry: Entry) -> str:
    assert entry.result is not None
    assert entry.score is not None
    monitor = entry.result.best["monitor"]
    name = "" if monitor == USUAL else f" ({monitor.removeprefix('val/')})"
    return f"{entry.score:.4f}{name}"


def _state(entry: Entry) -> str:
    return coloured(entry.state, {RUNNING: "green", DAMAGED: "red"}.get(entry.state, "yellow"))


def _sorted(found: Sequence[Entry], sort: str, entries: Sequence[Entry]) -> list[Entry]:
    if sort == "when":
        return sorted(found, key=lambda entry: -entry.when)
    if sort == "score":
        return sorted(found, key=lambda entry: -entry.rank)
    if sort == "size":
        return sorted(found, key=lambda entry: -entry.size)
    if sort == "name":
        return sorted(found, key=lambda entry: (entry.name, entry.hash))
    values = {entry.folder: entry.get(sort) for entry in found}
    if entries and all(entry.get(sort) is MISSING for entry in entries):
        known = {*ORDERS, *known_keys(entries)}
        raise UserError(
            f"sort={sort}: expected {', '.join(ORDERS)} or a setting of the runs"
            f"{near_miss(sort, ORDERS) or suggestion(sort, known)}"
        )
    return sorted(found, key=lambda entry: _order(values[entry.folder]))


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then text, then what is missing."""
    if isinstance(value, (int, float)):
        return (0, float(value), "")
    return (2, 0.0, "") if value is MISSING else (1, 0.0, setting(value))
