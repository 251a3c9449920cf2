"""The runs behind a finished run: those that a fusion fuses, or a single run itself.

Reads run folders and writes nothing. Used by loaded.py, export/folder.py and source.py.
"""

from pathlib import Path

from meld_lightning.errors import UserError
from meld_lightning.fusion.state import load_fusion
from meld_lightning.mini import checkpoints as mini
from meld_lightning.runs.logits import logits_digest
from meld_lightning.runs.names import started_in
from meld_lightning.runs.run import Run, load_run
from meld_lightning.storage.fingerprint import digest_of

FUSION = "fusion"  # the modality of a fusion's run
FUSED_SPLITS = ("val", "test")  # their logits are part of a fusion's identity


def member_runs(run: Run) -> dict[str, Run]:
    """Modality -> run: the runs that a fusion fuses, in the order of its axis M, or the run itself.

    Raises UserError if one of them is missing, or has been made again with other logits.
    """
    if run.result.modality != FUSION:
        return {run.result.modality: run}
    named = run.config.get("runs") or {}
    found = {}
    for name in load_fusion(run.folder).modalities:
        if not named.get(name):
            raise UserError(
                f"{run.folder}: its config names no run for {name}, as in the evidence of a study;"
                " name the folder that `fuse` wrote"
            )
        found[name] = load_run(where_it_ran(run) / str(named[name]))
        digest = digest_of([logits_digest(found[name].logits(split)) for split in FUSED_SPLITS])
        if digest != run.result.digests[name]:
            raise UserError(
                f"{run.folder}: its {name} run {found[name].folder} has other logits than those"
                " that were fused; fuse again"
            )
    return found


def where_it_ran(run: Run) -> Path:
    """The folder that relative paths in the run's config start from."""
    return started_in(run.folder, str(run.config.paths.runs))


def is_mini(run: Run) -> bool:
    """Whether the run's corpus is the mini corpus, or its checkpoint was made from it."""
    checkpoint = str(run.config.model.get("checkpoint") or "")
    return run.config.corpus.layout == mini.LAYOUT or checkpoint.startswith(mini.PREFIX)
