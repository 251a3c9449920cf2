"""Text encoders whose output for an utterance does not depend on the other utterances of the batch.

Takes every architecture that transformers' AutoModel makes of token ids. Those in MASKED are given
padded batches with an attention mask; the output of all others may change with padding (FNet has
no mask, ConvBERT's and CANINE's convolutions read into the padding, XLNet's head reads the last
position), so they are given the utterances of each length separately.

Reads checkpoint folders. Used by models/text.py, data/tokens.py and check.py.

Axes: N utterances, T tokens, H hidden units, K classes of the head.
"""

import copy
import inspect
import logging
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
    AutoModel,
    AutoModelForTextEncoding,
)

from meld_lightning.errors import UserError
from meld_lightning.pretrained.files import PRETRAINING
from meld_lightning.pretrained.loading import (
    explained,
    load_config,
    load_model,
    load_tokenizer,
    load_weights,
)

log = logging.getLogger(__name__)

# Model types for which an attention mask hides padding completely, in encoder and head. Measured:
# tests/pretrained/test_text.py compares each with transformers' own output for the utterance alone.
# fmt: off
MASKED = frozenset({
    "albert", "bart", "bert", "big_bird", "bloom", "camembert", "data2vec-text", "deberta",
    "deberta-v2", "distilbert", "electra", "ernie", "eurobert", "gemma", "gemma2", "gpt2",
    "gpt_neo", "gpt_neox", "ibert", "llama", "longformer", "luke", "mbart", "megatron-bert",
    "mistral", "mobilebert", "modernbert", "mpnet", "mt5", "nomic_bert", "opt", "phi", "phi3",
    "qwen2", "qwen3", "rembert", "roberta", "roberta-prelayernorm", "roformer", "squeezebert", "t5",
    "umt5", "xlm-roberta", "xmod",
})
# fmt: on
NO_LIMIT = 1 << 20  # tokens; for position embeddings that are relative


def text_config(folder: str | Path, **options: Any) -> Any:
    """The checkpoint's config; UserError unless AutoModel makes a text model of it."""
    config = load_config(folder, **options)
    if getattr(config, "hidden_size", None) is None or config.model_type == "reformer":
        raise UserError(
            f"checkpoint folder {folder}: model type {config.model_type} is not a text encoder;"
            " expected one that AutoModel loads and that reads token ids, such as bert, roberta,"
            " deberta-v2, xlnet, t5 or gpt2"
        )
    if config.model_type == "big_bird":
        # Its block-sparse attention depends on the padded length, and is full for up to 704 tokens.
        config.attention_type = "original_full"
    return config


def load_encoder(folder: str | Path, config: Any) -> nn.Module:
    """The encoder: without a pooler, which would have no gradient (DDP refuses that), and of an
    encoder-decoder such as T5 or BART the encoder alone."""
    own = _class(MODEL_MAPPING, folder, config)
    has_pooler = "add_pooling_layer" in inspect.signature(own).parameters
    if MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), own) is not own:  # T5
        model = load_model(AutoModelForTextEncoding, folder, config)
    elif config.is_encoder_decoder:
        model = load_model(AutoModel, folder, config, new=(r"(^|\.)decoder\.",)).get_encoder()
    elif has_pooler:
        model = load_model(AutoModel, folder, config, add_pooling_layer=False)
    else:
        model = load_model(AutoModel, folder, config)
    return _ready(model, folder, "use another checkpoint")


def load_classifier(folder: str | Path, config: Any, keep_head: bool = False) -> nn.Module:
    """The encoder with the architecture's own classification head.

    The head is new, with `config.num_labels` classes, also if the checkpoint has a head. With
    keep_head=True it is the checkpoint's; UserError if it has none.
    """
    own = _class(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, folder, config)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        shape = own(copy.deepcopy(config))
    parts = [name for name, _ in shape.named_children() if name != shape.base_model_prefix]
    head = rf"^({'|'.join(map(re.escape, parts))})\."
    weights = None
    task = str((config.architectures or ["unknown"])[0])
    if not keep_head and not task.endswith(PRETRAINING):
        log.info("%s (%s): a new classification head is trained", Path(folder).name, task)
        weights = {
            key: value for key, value in load_weights(folder).items() if not re.match(head, key)
        }
    model = load_model(own, folder, config, () if keep_head else (head,), weights)
    return _ready(model, folder, "use model.pooling=mean or another checkpoint")


def encode(model: Any, ids_NT: torch.Tensor, mask_NT: torch.Tensor) -> torch.Tensor:
    """The classifier's logits (N, K) or the encoder's last hidden states (N, T, H)."""
    if model.config.model_type in MASKED:
        return _read(model(input_ids=ids_NT, attention_mask=mask_NT))
    lengths_N = mask_NT.sum(1)
    parts, order = [], []
    for length in lengths_N.unique().tolist():
        rows = (lengths_N == length).nonzero()[:, 0]
        part = _read(model(input_ids=ids_NT[rows, :length]))
        if part.ndim == 3:
            part = nn.functional.pad(part, (0, 0, 0, ids_NT.shape[1] - length))
        parts.append(part)
        order.append(rows)
    return torch.cat(parts)[torch.cat(order).argsort()]


def padding_id(tokenizer: Any, folder: str | Path) -> int:
    """The id that fills batches: the padding token, or for a tokenizer without one (GPT-2, Llama)
    the one that ends texts."""
    for found in (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id):
        if found is not None:
            return int(found)
    raise UserError(
        f"checkpoint folder {folder}: its tokenizer has neither a padding token nor one that ends"
        " texts, and batches need one; use another checkpoint"
    )


def text_tokenizer(folder: str | Path, config: Any) -> Any:
    """The checkpoint's tokenizer; UserError if it makes ids that the model has no embedding for."""
    tokenizer = load_tokenizer(folder)
    size = getattr(config, "vocab_size", None)
    if size is not None and tokenizer.vocab_files_names:
        word, largest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
        if largest >= size:
            raise UserError(
                f"checkpoint folder {folder}: its tokenizer has more tokens than the model has"
                f" embeddings ({word!r} is number {largest}, config.json says vocab_size={size});"
                " give the tokenizer that belongs to the weights"
            )
    return tokenizer


def longest_input(config: Any) -> int:
    """The most tokens that the checkpoint's position embeddings allow.

    Relative positions (XLNet, DeBERTa, T5) have no limit. RoBERTa and its like count positions from
    their padding index on.
    """
    names = ("max_position_embeddings", "max_encoder_position_embeddings")
    limit = next((n for n in (getattr(config, name, None) for name in names) if n), None)
    if limit is None or limit < 0:
        return NO_LIMIT
    with torch.device("meta"):
        model = AutoModel.from_config(copy.deepcopy(config))
    unused = [
        part.padding_idx + 1
        for name, part in model.named_modules()
        if name.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None
    ]
    return int(limit) - max(unused, default=0)


def _class(mapping: Any, folder: str | Path, config: Any) -> Any:
    """The class that `mapping` has for the config; UserError if it has none."""
    try:
        found: Any = mapping[type(config)]
    except KeyError:
        what = (
            "is not one that AutoModel loads; use another checkpoint"
            if mapping is MODEL_MAPPING
            else "has no classification head in transformers; use model.pooling=mean"
        )
        raise UserError(
            f"checkpoint folder {folder}: model type {config.model_type} {what}"
        ) from None
    return found[0] if isinstance(found, tuple) else found


def _read(output: Any) -> torch.Tensor:
    return output.logits if "logits" in output else output.last_hidden_state


def _ready(model: Any, folder: str | Path, remedy: str) -> nn.Module:
    """The model with the tokenizer's padding token, which heads that read the last token look for;
    UserError, with the remedy, if it cannot read what the tokenizer makes of a text."""
    tokenizer = text_tokenizer(folder, model.config)
    model.config.pad_token_id = padding_id(tokenizer, folder)
    if model.config.model_type in MASKED and not model.config.is_encoder_decoder:
        return model
    ids_1T = torch.tensor([tokenizer("a b")["input_ids"]])
    problem = f"{type(model).__name__} cannot read what its tokenizer makes of a text"
    with explained(folder, problem, remedy), torch.no_grad():
        found = encode(model, ids_1T, torch.ones_like(ids_1T))
    if found.ndim == 3 and found.shape[1] != ids_1T.shape[1]:
        raise UserError(
            f"checkpoint folder {folder}: model type {model.config.model_type} gives"
            f" {found.shape[1]} hidden states for {ids_1T.shape[1]} tokens; use"
            " model.pooling=classifier or another checkpoint"
        )
    return model
