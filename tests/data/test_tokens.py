"""The dialogue around an utterance: its own turns, in their order, as many as fit."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tokenizers.normalizers import BertNormalizer
from transformers import AutoTokenizer

from meld_lightning.data.tokens import Around, cached_tokens
from meld_lightning.errors import UserError
from tests.small import save_bert

WORDS = ["first", "second", "third", "fourth", "fifth", "ann", "bob", ":"]
ASKING = ["someone", "feels", "[MASK]"]
COLUMNS = ["key", "split", "dialogue_id", "utterance_id", "speaker", "text"]
Read = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), [*WORDS, *ASKING])


@pytest.fixture
def read(checkpoint: Path, tmp_path: Path) -> Read:
    """read(rows, ...) -> what the model reads for each utterance, as text."""
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)

    def decoded(
        rows: list[list[Any]], context: Any, max_tokens: int = 64, **around: Any
    ) -> dict[str, str]:
        table = pd.DataFrame(rows, columns=COLUMNS)
        asked = Around(context, **around)
        tokens = cached_tokens(table, checkpoint, max_tokens, asked, tmp_path, ["a", "b"])
        for row in range(len(table)) if asked.query else ():
            assert tokenizer.decode(tokens.of(row)[tokens.mask[row]]) == "[MASK]"
        return {key: tokenizer.decode(tokens.of(row)) for row, key in enumerate(table["key"])}

    return decoded


def test_context_follows_the_turns_and_not_the_lines_of_the_file(read: Read) -> None:
    rows = [
        ["u2", "train", "d0", 2, "ann", "third"],
        ["u0", "train", "d0", 0, "ann", "first"],
        ["u1", "train", "d0", 1, "bob", "second"],
        ["v0", "train", "d1", 3, "bob", "fourth"],
        ["w0", "train", None, 3, "bob", "fifth"],
    ]
    assert read(rows, "past") == {
        "u0": "[CLS] ann : first [SEP]",
        "u1": "[CLS] ann : first [SEP] bob : second [SEP]",
        "u2": "[CLS] ann : first bob : second [SEP] ann : third [SEP]",
        "v0": "[CLS] bob : fourth [SEP]",
        "w0": "[CLS] bob : fifth [SEP]",
    }


def test_context_never_crosses_a_split(read: Read) -> None:
    """MELD numbers the dialogues of each split from 0, so different ones share an id."""
    rows = [
        [f"{split}/{turn}", split, "d0", turn, "ann", word]
        for split, words in (("train", WORDS[:2]), ("val", WORDS[2:4]), ("test", WORDS[4:5]))
        for turn, word in enumerate(words)
    ]
    assert read(rows, "both") == {
        "train/0": "[CLS] ann : first [SEP] ann : second [SEP]",
        "train/1": "[CLS] ann : first [SEP] ann : second [SEP]",
        "val/0": "[CLS] ann : third [SEP] ann : fourth [SEP]",
        "val/1": "[CLS] ann : third [SEP] ann : fourth [SEP]",
        "test/0": "[CLS] ann : fifth [SEP]",
    }


def test_the_nearest_turns_are_kept_where_not_all_fit(read: Read) -> None:
    words = [*WORDS[:5]]
    rows = [[word, "train", "d0", turn, "ann", word] for turn, word in enumerate(words)]
    found = read(rows, "both", max_tokens=14)  # the markers, the utterance and two turns
    assert found["third"] == "[CLS] ann : second [SEP] ann : third [SEP] ann : fourth [SEP]"
    assert found["fifth"] == "[CLS] ann : third ann : fourth [SEP] ann : fifth [SEP]"


def test_a_query_names_the_speaker_and_turns_are_counted_on_each_side(read: Read) -> None:
    speakers = ["ann", "bob", None, "bob", "ann"]
    rows = [
        [word, "train", "d0", turn, speaker, word]
        for turn, (word, speaker) in enumerate(zip(WORDS, speakers, strict=False))
    ]
    assert read(rows, "both", turns=1, query=True) == {
        "first": "[CLS] ann : first [SEP] ann feels [MASK] [SEP] bob : second [SEP]",
        "second": "[CLS] ann : first [SEP] bob : second [SEP] bob feels [MASK] [SEP] third [SEP]",
        "third": "[CLS] bob : second [SEP] third [SEP] someone feels [MASK] [SEP]"
        " bob : fourth [SEP]",
        "fourth": "[CLS] third [SEP] bob : fourth [SEP] bob feels [MASK] [SEP] ann : fifth [SEP]",
        "fifth": "[CLS] bob : fourth [SEP] ann : fifth [SEP] ann feels [MASK] [SEP]",
    }
    # the query stays where the dialogue and a part of the utterance do not fit
    cut = read(rows, "past", max_tokens=10, query=True)
    assert cut["fifth"] == "[CLS] ann : [SEP] ann feels [MASK] [SEP]"


def test_a_query_needs_a_mask_token(tmp_path: Path) -> None:
    table = pd.DataFrame([["u0", "train", "d0", 0, "ann", "first"]], columns=COLUMNS)
    folder = save_bert(tmp_path / "bert", WORDS)
    with pytest.raises(UserError, match="data.query=true: this checkpoint's tokenizer has no mask"):
        cached_tokens(table, folder, 64, Around("past", query=True), tmp_path, ["a", "b"])


@pytest.mark.parametrize("context", ["none", "past", "both"])
def test_what_becomes_no_token_is_no_text(checkpoint: Path, tmp_path: Path, context: Any) -> None:
    """Though the markers, and in a dialogue the speaker's name, become some all the same."""
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.backend_tokenizer.normalizer = BertNormalizer()  # which drops U+FFFD
    folder = shutil.copytree(checkpoint, tmp_path / "bert")
    tokenizer.save_pretrained(folder)
    texts = ["first", "", "  \t\n", "\u200b\u2060", "\x07\x1b", "\ufffd", "unknown"]
    rows = [[f"u{n}", "train", "d0", n, "ann", text] for n, text in enumerate(texts)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    tokens = cached_tokens(table, folder, 64, Around(context), tmp_path, ["a", "b"])
    assert tokens.present.tolist() == [True, *[False] * 5, True]
