from collections.abc import Callable
from pathlib import Path

import pytest

from meld_lightning.mini import clips as mini_clips

MELD = Path(__file__).parents[2] / "../shared/data/meld"
HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,"
    "Season,Episode,StartTime,EndTime\r\n"
)
ROW = '1,Hello,Ada,joy,positive,0,0,1,2,"00:00:01,000","00:00:02,500"\r\n'
NAMES = ("train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv")


@pytest.fixture(scope="session")
def meld_root() -> Path:
    if not (MELD / NAMES[0]).is_file():
        pytest.skip("MELD's CSV files are not at ../shared/data/meld")
    return MELD


@pytest.fixture
def meld_like(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder in MELD's layout: each file one good row, or what the test gives for it
    (train=..., dev=...)."""

    def write(**files: str | bytes) -> Path:
        root = tmp_path / "data"
        root.mkdir(exist_ok=True)
        for name in NAMES:
            content = files.get(name.split("_")[0], HEADER + ROW)
            (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write


@pytest.fixture(autouse=True)
def no_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the mini corpus's clips, which take half a minute and have tests of their own."""
    monkeypatch.setattr(mini_clips, "write_clips", lambda *_: None)
