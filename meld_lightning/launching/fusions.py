"""Runs the fusions of a study, one after another: each takes seconds.

Reads run folders, writes those of the fusions. Used by `reproduce`.
"""

from collections.abc import Mapping, Sequence

from omegaconf import DictConfig

from meld_lightning.errors import UserError
from meld_lightning.fusion.fuse import Fusing
from meld_lightning.runs.lifecycle import mention_differences, obtain
from meld_lightning.runs.run import Run
from meld_lightning.study.spec import RowKey


def fuse_all(
    fusions: Mapping[RowKey, Sequence[DictConfig]], runs: Mapping[RowKey, Sequence[Run]]
) -> tuple[dict[RowKey, list[Run]], list[str]]:
    """The fusions' runs, read or fitted in this process, and one line per failure.

    runs: the finished trainings that they are fitted on.
    """
    from meld_lightning.training.embeddings import keep_embeddings

    found: dict[RowKey, list[Run]] = {}
    failures, read = [], []
    known = {str(run.folder): run for of_row in runs.values() for run in of_row}
    for (table, row), configs in fusions.items():
        for config in configs:
            request = Fusing(config, keep_embeddings, known)
            try:
                if run := request.find():
                    read.append(run)
                found.setdefault((table, row), []).append(run or _fitted(request))
            except UserError as error:
                failures.append(f"  {table} {row}, seed {config.seed}: {error}")
    mention_differences(read)
    return found, failures


def _fitted(request: Fusing) -> Run:
    """The fusion, fitted here: this alone imports Lightning."""
    from meld_lightning.training.process import quieten

    quieten()
    return obtain(request)
