"""What Slurm cannot be asked for is refused before anything is submitted."""

import pytest

from meld_lightning.errors import UserError
from meld_lightning.launching.resources import Resources, check_resources, sbatch_options


@pytest.mark.parametrize(
    ("resources", "world_size", "message"),
    [
        (Resources(minutes=0), 1, "hydra.launcher.minutes=0: expected at least 1"),
        (Resources(gpus=-1), 1, "hydra.launcher.gpus=-1: expected at least 0"),
        (Resources(minutes=2, grace_s=120), 1, "grace_s=120: expected less than the time limit"),
        (Resources(nodes=2), 3, "cannot distribute numerics.world_size=3 processes evenly"),
        (Resources(sbatch=["qos=long"]), 1, "'qos=long' is not an option of sbatch"),
        (Resources(sbatch=["--array=0-3"]), 1, "--array is set by the launcher itself"),
    ],
)
def test_impossible_resources_are_refused(
    resources: Resources, world_size: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_resources(resources, world_size)


def test_a_job_may_take_no_gpu_and_the_shortest_grace() -> None:
    check_resources(Resources(gpus=0, minutes=1, grace_s=59, nodes=2), 4)


def test_options_of_sbatch_become_those_of_submitit() -> None:
    options = ["--qos=long", "--exclusive", "--mail-type=END,FAIL", "--comment=a=b"]
    assert sbatch_options(options) == {
        "qos": "long",
        "exclusive": True,
        "mail_type": "END,FAIL",
        "comment": "a=b",
    }
