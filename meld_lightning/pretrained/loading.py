"""Loads the parts of a checkpoint folder, or says in one line what is missing or broken.

transformers fills what a folder lacks with random weights or an empty vocabulary and goes on. Here
that is an error. Reads checkpoint folders. Used by the encoders of this room, by check.py, by
data/tokens.py and by the models.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoImageProcessor, AutoTokenizer
from transformers.modeling_utils import load_state_dict

from meld_lightning.errors import UserError, is_out_of_memory
from meld_lightning.pretrained.files import model_files

LONGEST_REASON = 200  # characters; transformers lists hundreds of model types in some messages
# Weights that transformers' own releases of a checkpoint may lack: the head of another task, or
# what only training reads.
OPTIONAL = (r"(^|\.)pooler\.", r"masked_spec_embed$", r"position_ids$")


COMPLETE = "give a complete checkpoint, as save_pretrained writes it"


@contextmanager
def explained(folder: str | Path, problem: str, remedy: str = COMPLETE) -> Iterator[None]:
    """Turns any error of the libraries into a UserError of one line: the folder, the problem, the
    library's reason, and the remedy."""
    try:
        yield
    except UserError:
        raise
    # The tokenizers library raises plain Exceptions.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        if len(reason) > LONGEST_REASON:
            reason = f"{reason[:LONGEST_REASON]}..."
        raise UserError(f"checkpoint folder {folder}: {problem} ({reason}); {remedy}") from error


def load_config(folder: str | Path, **options: Any) -> Any:
    """The checkpoint's config. Checkpoints that bring code of their own are not run."""
    with explained(folder, "config.json cannot be loaded"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **options)
    if quantised := getattr(config, "quantization_config", None):
        method = dict(quantised).get("quant_method", "unknown")
        raise UserError(
            f"checkpoint folder {folder}: its weights are quantised ({method}), and"
            " quantised weights cannot be trained; give the checkpoint that they were made from"
        )
    return config


def load_model(
    model_class: Any,
    folder: str | Path,
    config: Any,
    new: Sequence[str] = (),
    weights: dict[str, torch.Tensor] | None = None,
    **options: Any,
) -> Any:
    """The model that a class of transformers makes of the folder, in float32.

    new: patterns (re.search) of weights that may be missing, which get random values.
    weights: to be used instead of the folder's.
    Raises UserError if any other weight is missing or has another shape than `config` says.
    """
    with explained(folder, "the model cannot be loaded"):
        model, found = model_class.from_pretrained(
            folder if weights is None else None,
            config=config,
            state_dict=weights,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # raised below, in one line
            trust_remote_code=False,
            **options,
        )
    missing = [
        key
        for key in sorted(found["missing_keys"])
        if not any(re.search(pattern, key) for pattern in (*OPTIONAL, *new))
    ]
    if missing:
        raise UserError(
            f"checkpoint folder {folder}: its weights lack {missing[0]}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}, which"
            f" {type(model).__name__} (model type {config.model_type}) needs; give a complete"
            " checkpoint of this model type"
        )
    if found["mismatched_keys"]:
        key, there, expected = sorted(found["mismatched_keys"])[0]
        raise UserError(
            f"checkpoint folder {folder}: {key} has shape {list(there)}, but its config.json says"
            f" {list(expected)}; give the config that belongs to the weights"
        )
    return model


def load_weights(folder: str | Path) -> dict[str, torch.Tensor]:
    """The checkpoint's weights by name, as its files hold them."""
    weights: dict[str, torch.Tensor] = {}
    with explained(folder, "its weights cannot be loaded"):
        for file in model_files(Path(folder)):
            if file.suffix in (".safetensors", ".bin"):
                weights.update(load_state_dict(file))
    return weights


def load_tokenizer(folder: str | Path) -> Any:
    """The checkpoint's tokenizer.

    Raises UserError without its files: transformers would make an empty one, for which every word
    is unknown.
    """
    with explained(folder, "its tokenizer cannot be loaded"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    names = dict(tokenizer.vocab_files_names)
    if not names:  # reads bytes or characters, without any file
        return tokenizer
    own = sorted(set(names.values()) - {"tokenizer.json"})
    words = set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)
    if len(words) <= 1:  # T5's empty one knows the space
        raise UserError(
            f"checkpoint folder {folder}: no tokenizer in it, or one without words; expected"
            f" tokenizer.json{f' (or {chr(32).join(own)})' if own else ''} beside config.json"
        )
    merges = names.get("merges_file")
    if merges and not any((Path(folder) / one).is_file() for one in ("tokenizer.json", merges)):
        raise UserError(
            f"checkpoint folder {folder}: no {merges} in it, without which its tokenizer splits"
            " words into characters; copy it there, or tokenizer.json"
        )
    return tokenizer


def load_feature_extractor(folder: str | Path) -> Any:
    """The checkpoint's feature extractor, which says how sound is normalised."""
    _require_processor(folder, "feature extractor", "sound is normalised")
    with explained(folder, "its feature extractor cannot be loaded"):
        return AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)


def load_image_processor(folder: str | Path) -> Any:
    """The checkpoint's image processor, which says how pictures are normalised."""
    _require_processor(folder, "image processor", "pictures are normalised")
    with explained(folder, "its image processor cannot be loaded"):
        return AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)


def _require_processor(folder: str | Path, what: str, says: str) -> None:
    names = ("preprocessor_config.json", "processor_config.json")
    if not any((Path(folder) / name).is_file() for name in names):
        raise UserError(
            f"checkpoint folder {folder}: no {what} in it, which says how {says}; expected"
            f" {names[0]} beside config.json"
        )
