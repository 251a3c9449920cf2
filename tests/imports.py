"""The libraries that commands import: loaded once by the process that forked.py forks from."""

import gc
import multiprocessing
import os
from importlib import import_module
from pkgutil import walk_packages

from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins

import meld_lightning
from meld_lightning.launching import forked
from meld_lightning.training import ranks

for name in (
    "hydra._internal.hydra",
    "hydra.core.override_parser.overrides_parser",
    "hydra.main",
    "matplotlib.pyplot",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic.main",
    "pydantic.plugin",
    "pytorch_lightning",
    "scipy.stats",
    "sklearn.metrics",
    "torch",
    "torchaudio",
    "transformers.optimization",
    "transformers.models.bert.modeling_bert",
    "transformers.models.roberta.modeling_roberta",
):
    import_module(name)

# The package itself too, and what Hydra finds out at every start
for found in walk_packages(meld_lightning.__path__, "meld_lightning."):
    if not found.name.endswith(("__main__", ".warm")):  # which do more than define
        import_module(found.name)
Plugins.instance()

# Jobs and ranks are forked from the command, which has imported everything and computes nothing:
# without this a sweep imports it once more, and each rank too. As a user's are they are started in
# test_ctrl_c_leaves_resumable_runs_and_one_line and
# test_two_processes_score_and_train_on_text_like_one.
forked.FORKS = multiprocessing.get_context("fork")  # type: ignore[assignment]
ranks.START = "fork"
os.register_at_fork(after_in_child=lambda: GlobalHydra.instance().clear())  # a job has its own

# What is loaded is never garbage: a child that looks through it would copy every page of it
gc.collect()
gc.freeze()
