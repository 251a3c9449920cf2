"""The mini corpus's RoBERTa loads like roberta-base, and is the same wherever it is made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, RobertaModel

from meld_lightning.pretrained.checkpoints import Checkpoint, prepare_checkpoint
from tests.pretrained.made import ODD_TEXTS, PREPARE_MINI, TEXTS, made_of
from tests.running import environment


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return prepare_checkpoint("mini:roberta", tmp_path_factory.mktemp("cache"), made_of(TEXTS))


@pytest.mark.slow
def test_it_loads_as_a_hub_name_does(mini: Checkpoint) -> None:
    tokenizer = AutoTokenizer.from_pretrained(mini.folder)
    model = AutoModel.from_pretrained(mini.folder)
    assert type(model) is RobertaModel
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (
        0,
        1,
        2,
    )  # as roberta-base
    assert model.config.pad_token_id == 1
    batch = tokenizer(
        ["hello " * 2000, *ODD_TEXTS], padding=True, truncation=True, return_tensors="pt"
    )
    assert batch["input_ids"].shape[1] == 512  # the longest that the position table holds
    assert int(batch["input_ids"].max()) < model.config.vocab_size
    with torch.inference_mode():
        assert model.eval()(**batch).last_hidden_state.isfinite().all()


@pytest.mark.parametrize("text", ODD_TEXTS[:-1])
def test_the_tokenizer_round_trips_odd_text(mini: Checkpoint, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(mini.folder)
    token_ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in token_ids
    assert (
        tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        == text
    )


def test_the_tokenizer_learned_from_the_texts(mini: Checkpoint) -> None:
    tokenizer = AutoTokenizer.from_pretrained(mini.folder)
    assert len(tokenizer.tokenize("house happy")) < len(tokenizer.tokenize("hqzse hxppy"))


@pytest.mark.slow
def test_its_digest_is_the_same_in_another_process_whatever_the_threads(
    mini: Checkpoint, tmp_path: Path
) -> None:
    threads = {
        "OMP_NUM_THREADS": "3",
        "RAYON_NUM_THREADS": "3",
        "TOKENIZERS_PARALLELISM": "true",
        "PYTHONHASHSEED": "7",
    }
    command = [sys.executable, "-c", PREPARE_MINI, str(tmp_path), json.dumps(TEXTS)]
    done = subprocess.run(
        command, env=environment() | threads, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == mini.digest


def test_making_it_leaves_the_random_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    prepare_checkpoint("mini:roberta", tmp_path, made_of(TEXTS))
    assert torch.equal(torch.rand(3), expected)
