"""Recognising emotions in conversation: corpus -> datamodule -> module -> logits -> fusion ->
table."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meld_lightning.corpus import load_corpus
    from meld_lightning.inference.predictor import Predictor, predict
    from meld_lightning.inference.run import load_run

__version__ = "0.1.0"
__all__ = ["Predictor", "load_corpus", "load_run", "predict"]


def __getattr__(name: str) -> Any:
    """Imports the public names when first used, so that `meld-lightning --help` stays instant."""
    if name == "load_corpus":
        from meld_lightning.corpus import load_corpus

        return load_corpus
    if name == "load_run":
        from meld_lightning.inference.run import load_run

        return load_run
    if name in ("Predictor", "predict"):
        from meld_lightning.inference import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
