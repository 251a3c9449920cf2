"""Predictions: the run's own logits for what the run scored, rows and lines for what cannot be
read, and nothing scored twice after a kill."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meld_lightning.errors import UserError
from meld_lightning.fusion.joined import normalised
from meld_lightning.inference import parts
from meld_lightning.inference.items.media import GivenMedia, decode_items
from meld_lightning.inference.items.table import as_items, read_items
from meld_lightning.inference.parts import Scoring, item_digests, score_items, split_parts
from meld_lightning.inference.predictor import Asked, Predictor
from meld_lightning.inference.score import Member
from meld_lightning.inference.source import Source, load_source
from meld_lightning.runs.logits import logits_of
from meld_lightning.runs.run import load_run
from tests.running import call

HEADER = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41"


@pytest.fixture(scope="module")
def text_source(finished: Path) -> Source:
    return load_source(finished)


def corpus_items(folder: Path, split: str = "test") -> pd.DataFrame:
    """The utterances of a split as a user would name them."""
    [table] = folder.glob("cache/corpus/mini-*/*.parquet")
    frame = pd.read_parquet(table)
    frame = frame[frame["split"] == split]
    clips = [None if clip is None else str(folder / clip) for clip in frame["clip"]]
    return as_items(
        {"id": key, "clip": clip, "text": text, "speaker": speaker, "dialogue": str(dialogue)}
        for key, clip, text, speaker, dialogue in zip(
            frame["key"], clips, frame["text"], frame["speaker"], frame["dialogue_id"], strict=True
        )
    )


def own(run_folder: Path, items: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The logits that the run itself gave to its test utterances, and which had the modality."""
    found = load_run(run_folder)
    frame = found.logits("test").set_index("key").loc[items["id"]]
    return logits_of(frame, found.result.labels), frame["present"].to_numpy(bool)


def test_a_runs_own_test_texts_get_its_own_logits(finished: Path, text_source: Source) -> None:
    items = corpus_items(finished.parents[2]).assign(clip=None)
    scored = score_items(text_source, items, Scoring())["text"]
    logits_NC, present_N = own(finished, items)
    assert np.abs(scored.logits_NC - logits_NC).max() < 1e-5
    assert (scored.present_N == present_N).all()


def test_answers_are_calibrated_and_abstain(text_source: Source) -> None:
    predictor = Predictor(text_source, allow_mini=True)
    answers = predictor(text=["Oh, no! I don't know", "Great!"])
    labels = list(predictor.labels)
    p_NC = answers[[f"p.{label}" for label in labels]].to_numpy()
    assert np.allclose(p_NC.sum(1), 1)
    assert answers["emotion"].tolist() == [labels[best] for best in p_NC.argmax(1)]
    assert np.allclose(answers["confidence"], p_NC.max(1))
    assert answers["used"].tolist() == [("text",), ("text",)]
    assert (answers["share.text"].abs() == 1).all()
    assert not answers["abstained"].any()
    raw = score_items(text_source, read_items((), ["Great!"]), Scoring())["text"].logits_NC
    hot = normalised(raw[0] / text_source.fusion.arrays()["temperature_M"][0])
    assert np.allclose(np.log(p_NC[1]), hot, atol=1e-6)
    assert predictor(text="Great!", risk=0.001)["abstained"].all()


def test_the_mini_models_refuse_what_is_not_of_the_mini_corpus(
    finished: Path, text_source: Source, tmp_path: Path
) -> None:
    predictor = Predictor(text_source)
    line = corpus_items(finished.parents[2])["text"].iloc[0]
    assert len(predictor(text=line)) == 1
    with pytest.raises(UserError, match="made from the mini corpus.*allow_mini=true"):
        predictor(text="Oh, no! I don't know")
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(UserError, match="allow_mini=true"):
        predictor(tmp_path / "clip.mp4", text=line)


@pytest.mark.slow
def test_after_a_kill_only_the_rest_is_scored(
    text_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = read_items((), [f"sentence number {number}" for number in range(10)])
    whole = score_items(text_source, items, Scoring())["text"].logits_NC
    monkeypatch.setattr(parts, "split_parts", lambda items: split_parts(items, 4))
    score, seen = Member.score, list[int]()

    def dying(self: Member, items: pd.DataFrame, *rest: Any) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(items))
        return score(self, items, *rest)

    monkeypatch.setattr(Member, "score", dying)
    how = Scoring(kept=tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        score_items(text_source, items, how)
    assert seen == [4, 4]
    (tmp_path / "parts" / ".half.parquet.0a1b2c3d.tmp").write_bytes(b"PAR1")
    seen.clear()
    again = score_items(text_source, items, how)["text"].logits_NC
    assert seen == [2]
    assert np.abs(again - whole).max() < 1e-5
    seen.clear()
    score_items(text_source, items.assign(text=items["text"] + "!").iloc[:1], how)
    assert seen == [1]  # another text is another item
    for part in (tmp_path / "parts").glob("*.parquet"):
        part.write_bytes(b"damaged")
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        score_items(text_source, items, how)
    assert seen == [4, 4]


def test_turns_of_a_dialogue_stay_together(text_source: Source) -> None:
    items = as_items(
        {"id": str(n), "text": "hello", "dialogue": "ab"[n % 2] if n < 6 else None}
        for n in range(9)
    )
    sizes = [part["id"].tolist() for part in split_parts(items, 4)]
    assert sizes == [["0", "2", "4"], ["1", "3", "5", "6"], ["7", "8"]]
    before = item_digests(text_source, items, {})
    items.loc[0, "text"] = "other"
    changed = [a != b for a, b in zip(before, item_digests(text_source, items, {}), strict=True)]
    assert changed == [True, False, True, False, True, False, False, False, False]


def test_clips_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    """One decoding for all: what each leaves is a reason."""
    wrong = {
        "empty.mp4": b"",
        "page.mp4": b"<!DOCTYPE html><html><body>Not found</body></html>",
        "header.mp4": HEADER,
        "noise.mp4": np.random.default_rng(0).bytes(5000),
    }
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "huge.mp4").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing, on no disk space
    names = [*wrong, "gone.mp4"]
    items = as_items({"id": name, "clip": str(tmp_path / name)} for name in names)
    settings = {"every": 10, "size": 32, "rate": 16000, "channels": "center", "decoder": "pyav"}
    settings |= {"keep": ["frames", "audio"], "timeout_s": 60}
    given = {"gone.mp4": GivenMedia(waveform=np.zeros(5, np.float32))}
    media = decode_items(items, settings, tmp_path / "cache", given)
    assert media.reasons["frames"].keys() == set(names)
    assert all(reason.strip() and "\n" not in reason for reason in media.reasons["frames"].values())
    assert media.reasons["frames"]["gone.mp4"] == "no such file"
    assert media.samples.tolist() == [0, 0, 0, 0, 5]
    assert "gone.mp4" not in media.reasons["audio"]


@pytest.mark.parametrize(
    ("frames", "wave", "said"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), None, r"expected uint8 \(F, H, W, 3\)"),
        (np.zeros((8, 8, 3), np.uint8), None, r"expected uint8 \(F, H, W, 3\)"),
        (None, np.zeros((2, 9), np.float32), r"expected float32 \(T,\)"),
        (None, np.full(9, np.nan, np.float32), "not finite"),
    ],
)
def test_arrays_of_another_form_are_refused(frames: Any, wave: Any, said: str) -> None:
    with pytest.raises(UserError, match=f"item 1: .*{said}"):
        GivenMedia(frames, wave).checked("item 1")


@pytest.fixture(scope="module")
def ask(text_source: Source) -> Callable[..., str]:
    """The one line that a wrong question is answered with."""

    def asked(*given: Any, **options: Any) -> str:
        with pytest.raises(UserError) as refused:
            Predictor(text_source, allow_mini=True)(*given, **options)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    return asked


def test_wrong_questions_are_refused_in_one_line(
    ask: Callable[..., str], tmp_path: Path, finished: Path
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    assert "nothing to predict" in ask()
    assert "200,000 characters" in ask(text="a" * 200_000)
    assert "no such file" in ask(tmp_path / "gone.mp4")
    assert "contains no clips" in ask(tmp_path / "empty")
    assert "text: no text was given" in ask(tmp_path / "clip.mp4")
    assert "risk=2: expected a number between 0 and 1" in ask(text="hello", risk=2)
    assert "has neither clip, sound nor text" in ask(text=["hello", None])
    assert "2 texts for 1" in ask(tmp_path / "clip.mp4", text=["a", "b"])
    for folder, said in ((tmp_path / "gone", "no such folder"), (tmp_path, "no finished run")):
        with pytest.raises(UserError, match=said):
            Predictor.from_pretrained(folder)


def test_the_command_takes_any_text(finished: Path, tmp_path: Path) -> None:
    text = "-Oh, no! {a: [b]} ${x} 'q' \"q\" = \\ 😀\nI don't know,"
    asked = [f"text={text}", f"from={finished}", "allow_mini=true", "format=json", "out=a (1).csv"]
    done = call(["predict", *asked], tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    [item] = answer["items"]
    assert item["text"] == text
    assert answer["labels"] == list(load_run(finished).result.labels)
    assert [path.name for path in tmp_path.iterdir()] == ["a (1).csv"]
    written = pd.read_csv(tmp_path / "a (1).csv")
    assert written["emotion"].tolist() == [item["emotion"]]
    assert written["text"].tolist() == [text]


def test_without_a_source_nothing_is_written(tmp_path: Path) -> None:
    done = call(["predict", "text=hello", "out=a.csv"], tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "from=FOLDER" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_modality_and_their_fusion_give_the_runs_own_logits(fused: Path) -> None:
    """The test clips of the mini corpus, through predict and as the runs scored them."""
    [folder] = fused.glob("runs/fusion-*/*")
    predictor = Predictor.from_pretrained(folder)
    items = corpus_items(fused)
    scored = score_items(predictor.source, items, Scoring())
    for name, one in scored.items():
        logits_NC, present_N = own(predictor.source.members[name].model.folder, items)
        assert np.abs(one.logits_NC - logits_NC).max() < 1e-5, name
        assert (one.present_N == present_N).all(), name
        assert set(one.why) == set(items["id"][~present_N]), name
    answers = predictor.answer(items, Asked(), Scoring())
    logits_NC, present_N = own(folder, items)
    p_NC = answers[[f"p.{label}" for label in predictor.labels]].to_numpy()
    assert np.abs(np.log(p_NC) - logits_NC).max() < 1e-4  # the run stores float32
    assert (answers["abstained"] == ~present_N).all()
    assert answers["id"].tolist() == items["id"].tolist()


@pytest.mark.slow
def test_a_bad_clip_is_a_row_and_arrays_answer_like_their_clip(fused: Path, tmp_path: Path) -> None:
    from meld_lightning.media import read_frames, read_waveform

    [folder] = fused.glob("runs/fusion-*/*")
    predictor = Predictor.from_pretrained(folder, allow_mini=True)
    clip = Path(corpus_items(fused)["clip"].iloc[0])
    (tmp_path / "good.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "page.mp4").write_text("<html>Not found</html>")
    answers = predictor(tmp_path).set_index("id")
    assert not answers.loc["good.mp4", "abstained"]
    assert answers.loc["good.mp4", "missing"] == {"text": "no text was given"}
    assert answers.loc["page.mp4", "abstained"]
    assert answers.loc["page.mp4", "used"] == ()
    assert answers.loc["page.mp4", "missing"].keys() == {"text", "audio", "video"}
    with pytest.raises(UserError, match=r"page.mp4: nothing to predict from \(.*cannot be decoded"):
        predictor(tmp_path / "page.mp4")
    arrays = predictor(read_frames(clip), audio=read_waveform(clip))
    for column in [name for name in answers.columns if name.startswith(("p.", "share."))]:
        assert arrays[column].iloc[0] == pytest.approx(
            answers.loc["good.mp4", column], abs=1e-5, nan_ok=True
        )
