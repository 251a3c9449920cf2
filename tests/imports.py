"""The libraries that commands import: loaded once by the process that forked.py forks from."""

from importlib import import_module

for name in (
    "matplotlib.pyplot",
    "pyarrow.parquet",
    "pytorch_lightning",
    "scipy.stats",
    "sklearn.metrics",
    "statsmodels.stats.multitest",
    "torch",
    "torchaudio",
    "transformers.models.bert.modeling_bert",
    "transformers.models.roberta.modeling_roberta",
):
    import_module(name)
