"""Messages of the package are printed once, as bare lines on stdout, whatever Hydra logs."""

from pathlib import Path

import pytest

from tests.running import call, folder_over


@pytest.mark.parametrize("job_logging", ["default", pytest.param("stdout", marks=pytest.mark.slow)])
def test_a_command_prints_each_message_once(
    job_logging: str, prepared: Path, tmp_path: Path
) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    asked = ["media.keep=[]", "checkpoints.clip=null", f"hydra/job_logging={job_logging}"]
    done = call(["prepare", *asked], folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("corpus mini: train 640, val 160, test 480 utterances; report: ")
    assert len(lines) == len(set(lines))
    assert [line.split()[:2] for line in lines[1:]] == [
        ["checkpoint", "bundled:all-MiniLM-L6-v2"],
        ["checkpoint", "mini:roberta"],
        ["checkpoint", "mini:speech_emotion"],
        ["checkpoint", "mini:wav2vec2"],
    ]
