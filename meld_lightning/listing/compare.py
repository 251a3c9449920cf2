"""`runs compare`: how two runs differ in settings, provenance and val scores, with a paired test.

Reads two run folders; writes nothing. Test is not read, because comparisons lead to choices.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meld_lightning.config.words import setting
from meld_lightning.errors import UserError
from meld_lightning.listing.layout import Shown, fold, table, width
from meld_lightning.report.comparisons import CAUTION_UNITS, TEST_UNITS, TESTED, comparisons
from meld_lightning.report.scored import scored
from meld_lightning.runs.names import find_folder, run_name
from meld_lightning.runs.result import Result
from meld_lightning.runs.run import Run, load_run
from meld_lightning.runs.settings import Settings

ABSENT = "-"


def compare_runs(one: str, other: str, runs: Path) -> Shown:
    """Compares run `one` with run `other`; differences are one minus other.

    UserError if both are the same run, or if they do not score the same val utterances.
    """
    folders = [find_folder(given, runs) for given in (one, other)]
    if folders[0].resolve() == folders[1].resolve():
        raise UserError(f"{one} and {other} are the same run, {folders[0]}; give two runs")
    first, second = (load_run(folder) for folder in folders)
    _check_comparable(first, second)
    settings = _settings(*folders)
    provenance = _provenance(first.result, second.result)
    tests, units = _tests(first, second)
    names = [run.result.hash for run in (first, second)]
    heads = [
        f"{label}  {run.result.hash}  {run_name(Settings(run.folder))}"
        for label, run in (("A", first), ("B", second))
    ]
    blocks = [
        "\n".join(fold(head, width()) for head in heads),
        _table("setting", settings) if settings else "the settings are the same",
        _table("made with", provenance) if provenance else "made with the same code and versions",
        _val(first, second, tests, units),
    ]
    data = {
        "runs": names,
        "settings": settings,
        "provenance": provenance,
        "val": {name: _scores(first, second, name) for name in ("loss", *TESTED)},
        "tests": tests,
        "units": units,
    }
    return Shown("\n\n".join(blocks), data)


def _check_comparable(first: Run, second: Run) -> None:
    """UserError unless both runs score the same utterances with the same labels."""
    both = f"{first.result.hash} and {second.result.hash}"
    corpora = [Settings(run.folder).get("corpus.name") for run in (first, second)]
    if first.result.digests.get("corpus") != second.result.digests.get("corpus"):
        named = f"{corpora[0]} and {corpora[1]}"
        if corpora[0] == corpora[1]:
            named = f"{corpora[0]} as it was prepared at two times"
        raise UserError(f"{both} were made from different corpora ({named}): compare runs of one")
    if first.result.labels != second.result.labels:
        raise UserError(f"{both} predict different labels: compare runs of one target")
    if first.result.fold != second.result.fold:
        raise UserError(
            f"{both} have different folds for val ({first.result.fold}, {second.result.fold}):"
            " compare runs of one fold"
        )


def _settings(one: Path, other: Path) -> dict[str, list[str]]:
    """Key -> its two values, where they differ."""
    ours, theirs = (_shown(Settings(folder).flat()) for folder in (one, other))
    return _differing(ours, theirs)


def _shown(flat: Mapping[str, Any]) -> dict[str, str]:
    return {key: setting(value) for key, value in flat.items() if not key.endswith("_partial_")}


def _provenance(one: Result, other: Result) -> dict[str, list[str]]:
    def of(result: Result) -> dict[str, str]:
        return {
            "commit": f"{(result.commit or 'none')[:12]}{' (changed)' if result.dirty else ''}",
            "package source": str(result.source),
            "device": result.device,
            "checkpoint": result.checkpoint,
            **result.versions,
            **{f"digest of {name}": digest[:12] for name, digest in result.digests.items()},
        }

    return _differing(of(one), of(other))


def _differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        key: [ours.get(key, ABSENT), theirs.get(key, ABSENT)]
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key, ABSENT) != theirs.get(key, ABSENT)
    }


def _tests(first: Run, second: Run) -> tuple[dict[str, dict[str, Any]], int]:
    """Metric -> difference, interval and p on val; and the number of units."""
    ours, theirs = scored(first, "val"), scored(second, "val")
    (found,) = comparisons([[ours]], [theirs])
    return {
        name: {
            "difference": one.value,
            "low": None if math.isnan(one.low) else one.low,
            "high": None if math.isnan(one.high) else one.high,
            "p": one.p,
            "p_at_floor": one.at_floor,
        }
        for name, one in found.items()
    }, len(set(ours.units))


def _val(first: Run, second: Run, tests: Mapping[str, Mapping[str, Any]], units: int) -> str:
    rows = []
    for name in ("loss", *TESTED):
        ours, theirs = _scores(first, second, name)
        row = [name, f"{ours:.4f}", f"{theirs:.4f}", f"{ours - theirs:+.4f}"]
        rows.append([*row, *(_interval(tests[name]) if name in tests else ("", ""))])
    found = table(["on val", "A", "B", "A - B", "95 % interval", "p"], rows, "on val")
    notes = [
        f"paired on {first.result.metrics['val']['n']} utterances of val in {units} units that are"
        " left out and swapped together (dialogues, speakers or utterances: docs/statistics.md);"
        " one seed each: other seeds may differ by as much"
    ]
    if units < TEST_UNITS:
        notes.append(f"fewer than {TEST_UNITS} units: no p-value")
    elif units < CAUTION_UNITS:
        notes.append(f"fewer than {CAUTION_UNITS} units: interval and p are approximate")
    notes.append("val chose both runs' epochs, so both scores are optimistic")
    return "\n".join([found, *(fold(note, width()) for note in notes)])


def _scores(first: Run, second: Run, name: str) -> list[float]:
    return [float(run.result.metrics["val"][name]) for run in (first, second)]


def _interval(one: Mapping[str, Any]) -> tuple[str, str]:
    if one["low"] is None:
        return "", ""
    p = one["p"]
    sign = "<=" if one["p_at_floor"] else ""
    return (
        f"[{one['low']:+.4f}, {one['high']:+.4f}]",
        "" if p is None else f"{sign}{p:.4f}" if p >= 1e-4 else "<0.0001",
    )


def _table(what: str, rows: Mapping[str, list[str]]) -> str:
    return table([what, "A", "B"], [[key, *values] for key, values in rows.items()], what)
