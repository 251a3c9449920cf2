"""The mini corpus's clips: real files with MELD's flaws, the same bytes everywhere, and no short
cut to the emotion."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from meld_lightning.corpus import load_corpus
from meld_lightning.mini import clips
from meld_lightning.mini.corpus import write_mini
from meld_lightning.mini.flaws import Plan
from tests.running import Command, folder_over, run_well

pytestmark = pytest.mark.slow

EVERY = 32  # of so many clips one is written again
WRITE = f"""
from pathlib import Path
from meld_lightning.mini import clips
from meld_lightning.mini.corpus import write_mini
write = clips.write_clips
clips.write_clips = lambda root, plans, stubs: write(root, plans[::{EVERY}], stubs)
write_mini(Path("again"))
"""


@pytest.fixture(scope="module")
def table(with_clips: Path) -> pd.DataFrame:
    return load_corpus(with_clips / "cache" / "mini", "meld_lightning.mini.reader").table


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_written_again_a_clip_has_the_same_bytes(with_clips: Path, tmp_path: Path) -> None:
    """Whatever is written beside it: a clip depends on its plan alone."""
    run_well([sys.executable, "-c", WRITE], tmp_path)
    found, known = digests(tmp_path / "again"), digests(with_clips / "cache" / "mini")
    assert sum(name.endswith(".mp4") for name in known) > 1280
    assert sum(name.endswith(".mp4") for name in found) > 1280 / EVERY
    assert found == {name: known[name] for name in found}


def test_a_clips_bytes_do_not_depend_on_what_was_encoded_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of clips that did, until x264's macroblock tree was switched off."""
    plans: list[Plan] = []
    monkeypatch.setattr(clips, "write_clips", lambda root, found, stubs: plans.extend(found))
    write_mini(tmp_path / "planned")
    monkeypatch.undo()
    once = {"dia14_utt7.mp4", "dia33_utt3.mp4", "dia50_utt5.mp4", "dia62_utt1.mp4"}
    chosen = [plan for plan in plans if Path(plan.name).name in once]
    places = [tmp_path / str(number) for number in range(12)]
    for place in places:
        clips.write_clips(place, chosen, [])
    assert len(digests(places[0])) == len(chosen) >= len(once)
    assert all(digests(place) == digests(places[0]) for place in places)


def test_the_archive_has_melds_flaws(with_clips: Path, table: pd.DataFrame) -> None:
    root = with_clips / "cache" / "mini"
    layouts: dict[str, int] = {}
    for clip in table["clip"].dropna().iloc[::8]:
        try:
            with av.open(clip) as container:
                audio = (
                    container.streams.audio[0].layout.name if container.streams.audio else "none"
                )
                assert container.streams.video[0].codec_context.name == "h264"
        except av.error.InvalidDataError:
            audio = "unreadable"
        layouts[audio] = layouts.get(audio, 0) + 1
    assert layouts["stereo"] > layouts["5.1"] > 10
    report = json.loads(
        next((with_clips / "cache" / "corpus").glob("mini-*/media.json")).read_text()
    )
    reasons = {(row["key"].split("/")[0], row["modality"], row["reason"]) for row in report["rows"]}
    said = " ".join(f"{split} {kind}: {reason};" for split, kind, reason in sorted(reasons))
    for flaw in (
        "train frames: cannot be decoded", "train audio: cannot be decoded", "val frames: no file",
        "val audio: no file", "test frames: no video track", "train audio: no audio track",
    ):  # fmt: skip
        assert flaw in said, said
    assert len(list(root.rglob("._*.mp4"))) > 50
    assert len(list(root.rglob("final_videos_test*.mp4"))) == 24
    assert table["clip"].str.contains("final_videos_test").sum() == 24
    seconds = table["end_s"] - table["start_s"]
    assert seconds.max() > 40
    assert seconds.min() < 0.1


def test_nothing_but_face_and_voice_reveals_the_emotion(
    with_clips: Path, table: pd.DataFrame
) -> None:
    """Length, file size, mean colour or loudness, each alone, does no better than the commonest
    label."""
    folder = next((with_clips / "cache" / "media").glob("mini-*/0")).parent
    entries = [
        one
        for n in range(20)
        for one in json.loads((folder / str(n) / "manifest.json").read_text())
    ]
    assert [entry["key"] for entry in entries] == table["key"].tolist()
    arrays = {
        (n, k): np.load(folder / str(n) / f"{k}.npy", mmap_mode="r")
        for n in range(20)
        for k in ("frames", "audio")
    }

    def part(row: int, kind: str) -> np.ndarray:
        one = entries[row][kind]
        return arrays[row // 64, kind][one["start"] : one["start"] + one["count"]]

    whole = [
        row
        for row in range(len(table))
        if all(entries[row][kind]["count"] for kind in ("frames", "audio"))
    ]
    cues = {
        "length": [[len(part(row, "audio")), len(part(row, "frames"))] for row in whole],
        "size": [[Path(table["clip"][row]).stat().st_size] for row in whole],
        "colour": [
            [*part(row, "frames").mean((0, 1, 2)), part(row, "frames").std()] for row in whole
        ],
        "loudness": [
            [np.sqrt(np.mean(part(row, "audio") ** 2))] for row in whole
        ],  # a peak would tell of timbre too
    }
    truth, splits = table["emotion"].to_numpy()[whole], table["split"].to_numpy()[whole]
    test = splits == "test"
    constant = (truth[test] == "neutral").mean()
    for name, values in cues.items():
        X = np.array(values)
        forest = RandomForestClassifier(200, min_samples_leaf=10, random_state=0).fit(
            X[~test], truth[~test]
        )
        gained = (forest.predict(X[test]) == truth[test]).mean() - constant
        assert gained < 2 * np.sqrt(constant * (1 - constant) / test.sum()), (
            f"{name} alone gains {gained:.3f}"
        )


def test_damaged_clips_change_no_other_utterances_result(
    with_clips: Path, table: pd.DataFrame, tmp_path: Path, meld_lightning: Command
) -> None:
    """Clips deleted, cut and overwritten: all the way from the files to CLIP's logits."""
    folder = folder_over(with_clips, tmp_path / "work")
    few = table[table["clip"].notna()].groupby("split").head(5).reset_index(drop=True)
    few["clip"] = [
        str(shutil.copy(clip, tmp_path / f"{row}.mp4")) for row, clip in enumerate(few["clip"])
    ]
    few = few.rename(columns={"key": "id"})[["id", "split", "text", "emotion", "clip"]]
    few.to_csv(tmp_path / "few.csv", index=False)
    asked = ["corpus=manifest", f"corpus.root={tmp_path / 'few.csv'}", "checkpoints=mini"]

    def scored() -> pd.DataFrame:
        assert meld_lightning("prepare", *asked, cwd=folder).returncode == 0
        done = meld_lightning("train", "model=clip", *asked, cwd=folder)
        assert done.returncode == 0, done.stderr
        run = max(
            folder.glob("runs/video-clip/*/result.json"), key=lambda path: path.stat().st_mtime_ns
        ).parent
        return pd.concat(
            pd.read_parquet(run / "logits" / f"{split}.parquet")
            for split in ("train", "val", "test")
        )

    before = scored().set_index("key")
    victims = few[few["split"] == "test"].iloc[[1, 2, 4]]
    deleted, cut, overwritten = map(Path, victims["clip"])
    deleted.unlink()
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    overwritten.write_bytes(b"no clip")
    refused = meld_lightning("train", "model=clip", *asked, cwd=folder)
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (1, 1), refused.stderr
    assert deleted.name in refused.stderr
    after = scored().set_index("key").loc[before.index]
    assert before["present"].all()
    assert after.index[~after["present"]].tolist() == victims["id"].tolist()
    others = ~before.index.isin(victims["id"])
    # frames are encoded 64 at a time, so another batch may round its last digit otherwise
    pd.testing.assert_frame_equal(after[others], before[others], rtol=1e-5)
    wrong = meld_lightning("train", "model=clip", "data=audio", *asked, cwd=folder)
    assert "model=clip reads VideoBatch, but data=audio makes AudioBatch" in wrong.stderr
    told = [path.read_text() for path in (folder / "cache" / "corpus").glob("manifest-*/report.md")]
    assert any(all(key in text for key in victims["id"]) for text in told)


def test_clips_in_test_alone_are_scored_and_nothing_is_fitted_on_them(
    with_clips: Path, table: pd.DataFrame, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(with_clips, tmp_path / "work")
    few = table[table["clip"].notna()].groupby("split").head(6).reset_index(drop=True)
    few.loc[few["split"] != "test", "clip"] = ""
    few = few.rename(columns={"key": "id"})[["id", "split", "text", "emotion", "clip"]]
    few.to_csv(tmp_path / "few.csv", index=False)
    asked = ["corpus=manifest", f"corpus.root={tmp_path / 'few.csv'}", "checkpoints=mini"]
    assert meld_lightning("prepare", *asked, cwd=folder).returncode == 0
    done = meld_lightning("train", "model=clip", *asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    run = next(folder.glob("runs/video-clip/*/result.json")).parent
    assert pd.read_parquet(run / "logits" / "test.parquet")["present"].all()
    assert not pd.read_parquet(run / "logits" / "val.parquet")["present"].any()
    refused = meld_lightning("train", "model=clip_probe", *asked, cwd=folder)
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (1, 1), refused.stderr
    assert "no utterance of train has video" in refused.stderr
