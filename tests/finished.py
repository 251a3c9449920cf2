"""Finished run folders: finding the one there is, linking to them, comparing two bit for bit."""

from pathlib import Path

from tests.running import folder_over

# Random weights, a million parameters, three epochs
SMALL = ["train", "model=roberta", "optimizer.lr=1e-3", "data.batch_size=16"]
# Adds table_few, two rows of one epoch each
OWN_TABLES = ["--config-dir", str(Path(__file__).parent / "configs")]


def only_run(folder: Path) -> Path:
    """The one finished run below `folder`."""
    [result] = folder.glob("runs/*/*/result.json")
    return result.parent


def linked_runs(made: Path, folder: Path, *kinds: str) -> Path:
    """`folder`, over the cache of `made` and with links to its finished runs of these kinds."""
    folder_over(made, folder)
    for kind in kinds:
        for result in made.glob(f"runs/{kind}/*/result.json"):
            own = folder / result.parent.relative_to(made)
            own.parent.mkdir(parents=True, exist_ok=True)
            own.symlink_to(result.parent)
    return folder


def assert_same_run(one: Path, other: Path) -> None:
    """The same weights, histories and logits, bit for bit."""
    import pandas as pd
    import torch

    from meld_lightning import load_run

    assert one.name == other.name
    for run in (one, other):
        assert [path.name for path in (run / "checkpoints").iterdir()] == ["best.ckpt"]
    states = [
        torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for run in (one, other)
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    for split in ("train", "val", "test"):
        pd.testing.assert_frame_equal(
            load_run(one).logits(split), load_run(other).logits(split), check_exact=True
        )
