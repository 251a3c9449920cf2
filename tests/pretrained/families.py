"""Tiny random text checkpoints of many architectures, all with the same tokenizer."""

from pathlib import Path
from typing import Any

import torch
import transformers as tf

from tests.small import save_bert

WORDS = [f"w{number}" for number in range(90)]
TEXTS = [" ".join(WORDS[start : start + length]) for start, length in ((0, 3), (9, 20), (40, 9))]

BERT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}
NARROW: dict[str, Any] = {**BERT, "embedding_size": 16}
LLAMA: dict[str, Any] = {**BERT, "num_key_value_heads": 1, "head_dim": 16}
GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 2}
T5: dict[str, Any] = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
BART: dict[str, Any] = {
    "d_model": 32,
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 48 for side in ("encoder", "decoder")},
}
XLM: dict[str, Any] = {"emb_dim": 32, "n_layers": 2, "n_heads": 2}
FEW: dict[str, dict[str, Any]] = {
    "deberta-v2": {
        **BERT,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
    },
    "mpnet": BERT,
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48},
    "t5": T5,
    "gpt2": GPT,
    "llama": LLAMA,
    "fnet": BERT,
    "convbert": NARROW,
}
MANY: dict[str, dict[str, Any]] = {
    "albert": NARROW,
    "bart": BART,
    "big_bird": BERT,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "camembert": BERT,
    "canine": BERT,
    "data2vec-text": BERT,
    "deberta": {**BERT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "electra": NARROW,
    "ernie": BERT,
    "eurobert": LLAMA,
    "flaubert": XLM,
    "gemma": LLAMA,
    "gemma2": LLAMA,
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 2,
        "attention_types": [[["global", "local"], 1]],
    },
    "gpt_neox": BERT,
    "gptj": {**GPT, "rotary_dim": 8},
    "ibert": BERT,
    "longformer": {**BERT, "attention_window": [8, 8]},
    "luke": {**BERT, "entity_vocab_size": 10, "entity_emb_size": 16},
    "mbart": BART,
    "megatron-bert": BERT,
    "mistral": LLAMA,
    "mobilebert": {**NARROW, "intra_bottleneck_size": 16, "num_feedforward_networks": 1},
    "modernbert": BERT,
    "mt5": T5,
    "nomic_bert": BERT,
    "nystromformer": BERT,
    "openai-gpt": GPT,
    "opt": {**BERT, "word_embed_proj_dim": 32, "ffn_dim": 48},
    "phi": BERT,
    "phi3": BERT,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "rembert": {**BERT, "input_embedding_size": 16},
    "roberta": BERT,
    "roberta-prelayernorm": BERT,
    "roformer": NARROW,
    "squeezebert": {**BERT, "embedding_size": 32},
    "umt5": T5,
    "xlm": XLM,
    "xlm-roberta": BERT,
    "xmod": {**BERT, "default_language": "en_XX"},
    "yoso": BERT,
}


def save_text(
    folder: Path, model_type: str, auto_class: Any = tf.AutoModel, **changes: Any
) -> Path:
    """A random checkpoint of `model_type` beside a tokenizer of WORDS. A change of None leaves the
    key out."""
    save_bert(folder, WORDS)
    tokens = {
        "vocab_size": 100,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "decoder_start_token_id": 2,
    }
    given = {**tokens, **{**FEW, **MANY, "bert": BERT}[model_type], **changes}
    config = tf.AutoConfig.for_model(
        model_type, **{key: value for key, value in given.items() if value is not None}
    )
    torch.manual_seed(0)
    auto_class.from_config(config).save_pretrained(folder)
    return folder
