"""The sizes of a study's checkpoints, which the arithmetic about disk and memory is made of.

Reads the weights' headers; writes nothing. Used by study.py and memory.py.
"""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from meld_lightning.config.words import counted
from meld_lightning.doctor.finding import State
from meld_lightning.errors import UserError

GB = 1e9
FLOAT = 4  # bytes


def parameters_in(folder: Path) -> int:
    """How many numbers the weights in a checkpoint's folder are; UserError for a damaged file."""
    count = 0
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "np") as weights:
                for name in weights.keys():  # noqa: SIM118 -- no mapping
                    size = 1
                    for side in weights.get_slice(name).get_shape():
                        size *= side
                    count += size
        except SafetensorError as error:
            raise UserError(f"{file}: damaged ({error}); run: meld-lightning prepare") from error
    pickled = sum(file.stat().st_size for file in folder.glob("pytorch_model*.bin"))
    return count or pickled // FLOAT


def not_counted(runs: Sequence[int | None]) -> str:
    """The runs that the arithmetic leaves out, if there are any."""
    if not (unknown := runs.count(None)):
        return ""
    whose = counted(unknown, "run")
    return f"; {whose} not counted, because the checkpoint is not here yet: call prepare, then this"


def state_of(runs: Sequence[int | None]) -> State:
    """A note where the arithmetic leaves out runs."""
    return "note" if None in runs else "ok"
