"""A stop that comes while modules are imported waits until they are."""

import importlib
import signal
from pathlib import Path

import pytest

from meld_lightning.errors import Preempted, Stopped
from meld_lightning.training.signals import MAKE_ROOM, StopRequest

STOPPED_WHILE_IMPORTED = """
import signal
signal.raise_signal({number})
IMPORTED = True
"""


@pytest.mark.parametrize(("number", "error"), [(MAKE_ROOM, Preempted), (signal.SIGTERM, Stopped)])
def test_a_request_during_an_import_is_raised_after_it(
    number: int, error: type[Stopped], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"stopped_by_{int(number)}"
    (tmp_path / f"{name}.py").write_text(STOPPED_WHILE_IMPORTED.format(number=int(number)))
    monkeypatch.syspath_prepend(tmp_path)
    stop = StopRequest()
    with stop.listening():
        assert importlib.import_module(name).IMPORTED
        with pytest.raises(error, match="its last checkpoint is kept"):
            stop.raise_if_asked()


def test_without_an_import_a_request_is_raised_at_once() -> None:
    stop = StopRequest()
    stop.raise_if_asked()  # nothing was asked
    with stop.listening(), pytest.raises(Preempted):
        signal.raise_signal(MAKE_ROOM)
