"""What is prepared for a study's runs."""

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig

from meld_lightning.study import preparation


def test_rows_that_decode_clips_in_other_ways_are_all_prepared(
    compose_train: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def prepare(cfg: DictConfig, checkpoints: list[str], decode: bool) -> None:
        calls.append((cfg.corpus.fold, cfg.media.every, list(checkpoints), decode))

    monkeypatch.setattr(preparation, "prepare", prepare)
    given = {
        "text": ["model=roberta"],
        "ten": ["model=clip", "media.every=10", "checkpoints.clip=mini:clip"],
        "ten too": ["model=clip", "media.every=10", "checkpoints.clip=mini:clip", "seed=2"],
        "five": ["model=clip", "media.every=5", "checkpoints.clip=mini:clip"],
        "other corpus": ["model=roberta", "corpus.fold=1"],
    }
    runs = [compose_train([*words, "checkpoints.roberta=mini:roberta"]) for words in given.values()]
    preparation.prepare_for_runs(compose_train([]), runs)
    assert calls == [
        (0, 10, ["mini:clip", "mini:roberta"], True),
        (0, 5, [], True),
        (1, 10, [], False),
    ]
