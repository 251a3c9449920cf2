"""Rows whose runs start from the weights of another row's runs: which rows come first, and the run
folders that their names stand for.

Reads planned runs, writes nothing. Used by `reproduce` and `report`.
"""

from collections.abc import Mapping, Sequence

from omegaconf import DictConfig

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.study.plan import PlannedRun
from meld_lightning.study.spec import RowKey
from meld_lightning.training.train import training_request

Planned = Mapping[RowKey, Sequence[PlannedRun]]


def in_waves(planned: Planned) -> list[list[RowKey]]:
    """The rows in groups, each after the groups whose runs its own runs start from.

    Raises UserError for a row that is not among the planned ones, and for rows that start from each
    other.
    """
    before = {row: _source(row, planned) for row in planned}
    waves: list[list[RowKey]] = []
    done: set[RowKey] = set()
    while len(done) < len(planned):
        ready = [row for row in planned if row not in done and before[row] in (None, *done)]
        if not ready:
            circular = ", ".join(".".join(row) for row in planned if row not in done)
            raise UserError(f"warm_start: the rows {circular} start from each other")
        waves.append(ready)
        done.update(ready)
    return waves


def resolve_warm_starts(planned: Planned, waves: Sequence[Sequence[RowKey]]) -> None:
    """Replaces TABLE.ROW in each run's warm_start by the folder of that row's run of the same seed
    and fold, if the corpus is prepared; otherwise the name stays, and no run is looked for by it.

    waves: `in_waves(planned)`: a run's folder depends on what it starts from.

    Raises UserError where the other row has no run of that seed and fold.
    """
    for row in (row for wave in waves for row in wave):
        if (source := _source(row, planned)) is not None:
            _resolve(row, planned[row], planned[source])


def _source(row: RowKey, planned: Planned) -> RowKey | None:
    """The row whose runs those of `row` start from; None without one, or if they name a folder."""
    given = planned[row][0].config.get("warm_start")
    if given is None or "/" in str(given):
        return None
    table, _, name = str(given).partition(".")
    if (table, name) not in planned:
        rows = ", ".join(".".join(one) for one in planned if one != row)
        raise UserError(
            f"table.{row[0]}.rows.{row[1]}: warm_start={given} is not a trained row of these"
            f" tables, which have {rows}"
        )
    return table, name


def _resolve(row: RowKey, runs: Sequence[PlannedRun], sources: Sequence[PlannedRun]) -> None:
    by_draw = {_draw(one.config): one.config for one in sources}
    for run in runs:
        seed, fold = draw = _draw(run.config)
        if draw not in by_draw:
            raise UserError(
                f"table.{row[0]}.rows.{row[1]}: warm_start={run.config.warm_start} has no run of"
                f" seed {seed}, fold {fold}; give both tables the same folds"
            )
        try:
            identity = training_request(by_draw[draw]).identity
        except NotPrepared:
            return
        run.config.warm_start = str(identity.folder)


def _draw(config: DictConfig) -> tuple[int, int]:
    return config.seed, config.corpus.fold
