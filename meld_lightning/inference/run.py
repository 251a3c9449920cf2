"""`load_run` as users import it: a finished run whose model can be loaded.

Reads run folders. Exported as meld_lightning.load_run. Importing it imports neither torch
nor Lightning.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from meld_lightning.runs import run as runs

if TYPE_CHECKING:
    from meld_lightning.inference.loaded import LoadedModel


class Run(runs.Run):
    """A finished run, with its model.

    Its base class, which the other rooms use, does not load models.
    """

    def model(self, cache: str | Path | None = None) -> "LoadedModel":
        """The trained model with its weights and its processor; see loaded.load_model."""
        from meld_lightning.inference.loaded import load_model

        return load_model(self.folder, cache)


def load_run(folder: str | Path) -> Run:
    """Reads a finished run; UserError if there is none in `folder`, or a damaged one."""
    found = runs.load_run(folder)
    return Run(found.folder, found.result, found.config)
