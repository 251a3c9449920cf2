"""The audits that a study's tables declare: computed where the corpus is prepared, else read from
the evidence in experiments/<study>/audits.json.

Reads runs, the prepared corpus and audits.json, which it also writes: figures of groups, and
nothing about single utterances. Used by report/results.py and report/render.py.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from meld_lightning.errors import NotPrepared
from meld_lightning.report.audit import Audit, Audited, Group, Model, audit
from meld_lightning.report.groupings import Grouping, Speakers
from meld_lightning.report.rows import Runs
from meld_lightning.report.scored import scored
from meld_lightning.storage.atomic import write_json
from meld_lightning.study.sources import FinishedRun, source_runs
from meld_lightning.study.spec import Source, Table

logger = logging.getLogger(__name__)

FILE = "audits.json"
FindGroupings = Callable[[FinishedRun, Sequence[str], Speakers, str], list[Grouping]]


def table_audit(
    table: Table,
    tables: Mapping[str, Table],
    runs: Runs,
    seeds: Sequence[int],
    find_groupings: FindGroupings,
    kept: Audit | None,
) -> Audit | None:
    """The audit that `table` declares. Where the groups are not known here, `kept`, if the same
    groups of the same runs were audited; None where there is none, or a run is missing."""
    of_source = {
        name: _runs_of(source, tables, runs, seeds) for name, source in table.sources.items()
    }
    if not all(of_source.values()):
        return None
    (metric,) = table.metrics
    declared = {
        "models": list(of_source),
        "by": list(table.by),
        "speakers": {name: dict(groups) for name, groups in table.speakers.items()},
    }
    try:
        models = [
            Model(
                name,
                [scored(run, table.split) for run in found],
                found[0].result.train_majority,
                find_groupings(found[0], table.by, table.speakers, table.split),
                tuple(run.result.hash for run in found),
            )
            for name, found in of_source.items()
        ]
    except NotPrepared as error:
        hashes = tuple(run.result.hash for found in of_source.values() for run in found)
        asked = (metric, hashes, declared)
        if kept is not None and (kept.metric, kept.runs, kept.declared) == asked:
            return kept
        logger.info("%s is not computed: %s", table.name, error)
        return None
    return replace(audit(models, metric), declared=declared)


def _runs_of(
    source: Source, tables: Mapping[str, Table], runs: Runs, seeds: Sequence[int]
) -> list[FinishedRun]:
    """One run for each seed of the source's table; a seed that the source names counts once."""
    owner = tables[tables[source.tables[0]].source]
    found = source_runs(source, tables, runs, owner.seeds(seeds))
    return list({run.result.hash: run for run in found.values()}.values())


def kept_audits(folder: Path) -> dict[str, Audit]:
    """Table -> its audit as kept in a study's folder; empty where none was."""
    path = folder / FILE
    if not path.is_file():
        return {}
    return {name: _audit(one) for name, one in json.loads(path.read_text()).items()}


def keep_audits(folder: Path, audits: Mapping[str, Audit]) -> None:
    """Keeps these audits, and those kept before of other tables."""
    kept = {**kept_audits(folder), **audits}
    write_json(folder / FILE, {name: asdict(one) for name, one in kept.items()})


def _audit(kept: Mapping[str, Any]) -> Audit:
    audited = tuple(
        Audited(**{**one, "groups": tuple(Group(**group) for group in one["groups"])})
        for one in kept["audited"]
    )
    declared = kept.get("declared", {})  # of a version that did not keep it: matches no table
    return Audit(kept["metric"], tuple(kept["runs"]), audited, tuple(kept["single"]), declared)
