"""Text encoders of every architecture: transformers' own output for an utterance alone, whatever
the batch, new heads and kept ones, and checkpoints that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf

from meld_lightning.errors import UserError
from meld_lightning.pretrained.text import (
    MASKED,
    encode,
    load_classifier,
    load_encoder,
    longest_input,
    padding_id,
    text_config,
    text_tokenizer,
)
from tests.pretrained.families import FEW, MANY, TEXTS, save_text
from tests.repeats import few


def padded(folder: Path) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """TEXTS as ids of each (1, T), and as one padded batch with its mask."""
    config = text_config(folder)
    tokenizer = text_tokenizer(folder, config)
    alone = [torch.tensor([ids]) for ids in tokenizer(TEXTS)["input_ids"]]
    longest = max(ids.shape[1] for ids in alone)
    ids_NT = torch.full((len(alone), longest), padding_id(tokenizer, folder))
    mask_NT = torch.zeros_like(ids_NT)
    for row, ids in enumerate(alone):
        ids_NT[row, : ids.shape[1]] = ids
        mask_NT[row, : ids.shape[1]] = 1
    return alone, ids_NT, mask_NT


@pytest.mark.slow
@pytest.mark.parametrize("model_type", few([*FEW, *MANY], 4))
def test_an_utterance_gets_transformers_own_output_whatever_the_batch(
    model_type: str, tmp_path: Path
) -> None:
    folder = save_text(tmp_path, model_type)
    alone, ids_NT, mask_NT = padded(folder)
    theirs = tf.AutoModel.from_pretrained(folder).eval()
    theirs = theirs.get_encoder() if theirs.config.is_encoder_decoder else theirs
    encoder = load_encoder(folder, text_config(folder)).eval()
    torch.manual_seed(1)
    classifier: Any = load_classifier(folder, text_config(folder, num_labels=3)).eval()
    own_head = tf.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    own_head.load_state_dict(classifier.state_dict())
    with torch.inference_mode():
        hidden_NTH = encode(encoder, ids_NT, mask_NT)
        logits_NK = encode(classifier, ids_NT, mask_NT)
        for row, ids in enumerate(alone):
            expected = theirs(input_ids=ids).last_hidden_state[0]
            assert (hidden_NTH[row, : ids.shape[1]] - expected).abs().max() < 1e-4
            assert (logits_NK[row] - own_head(input_ids=ids).logits[0]).abs().max() < 1e-4


def test_every_masked_family_is_compared() -> None:
    assert {*FEW, *MANY, "bert"} >= MASKED


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [("bert", 512), ("mpnet", 510), ("longformer", 510), ("gpt2", 1024), ("t5", 1 << 20)],
)
def test_longest_input_leaves_out_positions_that_padding_reserves(
    model_type: str, expected: int, tmp_path: Path
) -> None:
    size = {"max_position_embeddings": 512} if model_type in ("mpnet", "longformer") else {}
    folder = save_text(tmp_path, model_type, pad_token_id=1, **size)
    assert longest_input(text_config(folder)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("model_type", few(["bert", "deberta-v2", "gpt2", "t5"], 2))
def test_a_head_is_new_unless_kept(model_type: str, tmp_path: Path) -> None:
    """A head of another size, or of ours in another order: the new one is what a checkpoint
    without a head would get. BERT's config does not say that the checkpoint has a head."""
    changes = {"num_labels": 3}
    head = save_text(
        tmp_path / "head", model_type, tf.AutoModelForSequenceClassification, **changes
    )
    if model_type == "bert":
        config = json.loads((head / "config.json").read_text())
        del config["architectures"]
        (head / "config.json").write_text(json.dumps(config))
    bare = tmp_path / "bare"
    tf.AutoTokenizer.from_pretrained(head).save_pretrained(bare)
    tf.AutoModel.from_pretrained(head).save_pretrained(bare)
    new = []
    for folder in (head, bare):
        torch.manual_seed(4)
        new.append(load_classifier(folder, text_config(folder, num_labels=3)).state_dict())
    assert new[0].keys() == new[1].keys()
    assert all(torch.equal(value, new[1][key]) for key, value in new[0].items())
    theirs = tf.AutoModelForSequenceClassification.from_pretrained(head).state_dict()
    kept = load_classifier(head, text_config(head), keep_head=True).state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in kept.items())
    assert any(not torch.equal(value, theirs[key]) for key, value in new[0].items())
    load_classifier(head, text_config(head, num_labels=5))
    with pytest.raises(UserError, match="its weights lack"):
        load_classifier(bare, text_config(bare), keep_head=True)


def test_weights_of_another_architecture_or_shape_are_refused(tmp_path: Path) -> None:
    folder = save_text(tmp_path, "bert")
    config = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"model_type": "distilbert"}, "its weights lack"),
        ({"num_hidden_layers": 3}, r"its weights lack encoder.layer.2.* and \d+ more"),
        ({"vocab_size": 120}, r"has shape \[100, 32\], but its config.json says \[120, 32\]"),
        ({"model_type": "nonsense"}, "config.json cannot be loaded"),
        ({"model_type": "reformer"}, "is not a text encoder; expected"),
        ({"model_type": "wav2vec2"}, "its weights lack"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(UserError, match=message) as caught:
            load_encoder(folder, text_config(folder))
        assert "\n" not in str(caught.value)


def test_a_tokenizer_larger_than_the_embeddings_is_refused(tmp_path: Path) -> None:
    folder = save_text(tmp_path, "bert")
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<{number}>" for number in range(6)])  # 100: as many as embeddings
    tokenizer.save_pretrained(folder)
    load_encoder(folder, text_config(folder))
    tokenizer.add_tokens(["<laugh>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match="'<laugh>' is number 100, .* vocab_size=100"):
        load_encoder(folder, text_config(folder))


@pytest.mark.parametrize("model_type", ["mpnet", "t5", "gpt2", "bert", "roberta", "llama"])
def test_a_folder_without_tokenizer_is_refused(model_type: str, tmp_path: Path) -> None:
    folder = save_text(tmp_path, model_type)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="tokenizer") as caught:
        load_encoder(folder, text_config(folder))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_merges_is_refused(tmp_path: Path) -> None:
    folder = save_text(tmp_path, "roberta")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *"abcdefgh"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    with pytest.raises(UserError, match="merges"):
        text_tokenizer(folder, text_config(folder))


def test_an_encoder_without_its_decoder_has_no_head_of_its_own(tmp_path: Path) -> None:
    folder = save_text(tmp_path, "t5", tf.AutoModelForTextEncoding)
    alone, ids_NT, mask_NT = padded(folder)
    theirs = tf.T5EncoderModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        found = encode(load_encoder(folder, text_config(folder)).eval(), ids_NT, mask_NT)
        expected = theirs(input_ids=alone[0]).last_hidden_state[0]
    assert (found[0, : len(expected)] - expected).abs().max() < 1e-4
    with pytest.raises(UserError, match="its weights lack .*decoder"):
        load_classifier(folder, text_config(folder, num_labels=3))


def test_a_head_that_cannot_read_its_tokenizers_output_is_refused(tmp_path: Path) -> None:
    """BART's head reads the end of text, which this config calls another token."""
    folder = save_text(tmp_path, "bart", eos_token_id=9)
    load_encoder(folder, text_config(folder))
    with pytest.raises(UserError, match=r"cannot read what .*; use model.pooling=mean") as caught:
        load_classifier(folder, text_config(folder, num_labels=3))
    assert "\n" not in str(caught.value)


def test_a_head_that_reads_the_last_token_skips_the_tokenizers_padding(tmp_path: Path) -> None:
    """GPT-2 without padding token in its config, nor in its tokenizer: the end of text fills."""
    folder = save_text(tmp_path, "gpt2", pad_token_id=None)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings.pop("pad_token") == "[PAD]"
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": "[SEP]"}))
    alone, ids_NT, mask_NT = padded(folder)
    model: Any = load_classifier(folder, text_config(folder, num_labels=3)).eval()
    assert model.config.pad_token_id == ids_NT[0, -1] == 3
    with torch.inference_mode():
        found = encode(model, ids_NT, mask_NT)
        for row, ids in enumerate(alone):
            assert (found[row] - encode(model, ids, torch.ones_like(ids))[0]).abs().max() < 1e-5
