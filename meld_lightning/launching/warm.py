"""What the server that jobs are forked from does when it starts: imports what trainings import.

multiprocessing's fork server imports this module before the first job; see forked.py. No other
process should import it: it leaves the terminal.
"""

import gc
import os
from importlib import import_module

os.setsid()  # a terminal's Ctrl-C is the launcher's, which tells the jobs

for name in (
    "hydra",
    "pandas",
    "pyarrow.parquet",
    "pytorch_lightning",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.optimization",
    "meld_lightning.runs.val_score",
    "meld_lightning.tracking.console",
    "meld_lightning.data.audio",
    "meld_lightning.data.text",
    "meld_lightning.data.video",
    "meld_lightning.models.audio",
    "meld_lightning.models.text",
    "meld_lightning.models.video",
    "meld_lightning.training.train",
):
    import_module(name)

# what is loaded is never garbage: a job that looked through it would copy every page of it
gc.collect()
gc.freeze()
