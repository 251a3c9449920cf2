"""A checkpoint folder may come from anybody: no code of it is run."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from meld_lightning.errors import UserError
from meld_lightning.pretrained.loading import load_config, load_model, load_tokenizer
from tests.hostile.test_stored_configs import Touch
from tests.small import save_bert

CODE = """
from pathlib import Path
Path({ran!r}).touch()
from transformers import BertConfig, BertModel
class Evil(BertModel): ...
class EvilConfig(BertConfig): ...
"""


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return save_bert(tmp_path / "bert", ["hello"])


def test_code_that_a_checkpoint_brings_is_not_run(bert: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (bert / "evil.py").write_text(CODE.format(ran=str(ran)))
    for name, content in (
        ("config.json", {"auto_map": {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.Evil"}}),
        ("config.json", {"model_type": "evil"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}),
    ):
        stored = json.loads((bert / name).read_text())
        (bert / name).write_text(json.dumps({**stored, **content}))
        for load in (load_config, load_tokenizer):
            with suppress(UserError):  # or its own code is left out
                load(bert)
    assert not ran.exists()


def test_pickled_weights_of_a_checkpoint_run_nothing(bert: Path, tmp_path: Path) -> None:
    config = load_config(bert)
    (bert / "model.safetensors").unlink()
    torch.save(Touch(tmp_path / "ran"), bert / "pytorch_model.bin")
    with pytest.raises(UserError, match="the model cannot be loaded"):
        load_model(AutoModel, bert, config)
    assert not (tmp_path / "ran").exists()
