"""The libraries that commands import: loaded once by the process that forked.py forks from."""

from importlib import import_module

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
    "statsmodels.stats.multitest",
    "torch",
    "torchaudio",
    "transformers.optimization",
    "transformers.models.bert.modeling_bert",
    "transformers.models.roberta.modeling_roberta",
):
    import_module(name)
