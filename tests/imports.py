"""The libraries that commands import: loaded once by the process that forked.py forks from."""

import gc
from importlib import import_module
from pkgutil import walk_packages

from hydra.core.plugins import Plugins

import meld_lightning

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

# What is loaded is never garbage: a child that looks through it would copy every page of it
gc.collect()
gc.freeze()
