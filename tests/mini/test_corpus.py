"""The mini corpus: the same bytes everywhere, MELD's flaws, and a text whose best accuracy is
known."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from meld_lightning.corpus import EMOTIONS, Corpus, load_corpus
from meld_lightning.errors import UserError
from meld_lightning.mini.corpus import MINI_VERSION, mini_optimum, write_mini
from meld_lightning.mini.cues import CUES, PRIOR
from meld_lightning.mini.words import AMBIGUOUS, CLEAR

# Changes with the bytes: whoever changes the corpus raises MINI_VERSION, so that prepared copies
# are written anew.
BYTES_OF_VERSION = {6: "78d09aad20c4fc5f45f383fadbafc6254c33984a62fae6d741d5d9ad5030a5e6"}


@pytest.fixture(scope="module")
def mini(mini_root: Path) -> Corpus:
    return load_corpus(mini_root, "meld_lightning.mini.reader")


@pytest.fixture(scope="module")
def truth(mini_root: Path, mini: Corpus) -> pd.DataFrame:
    """mini_truth.csv joined to the table by key."""
    truth = pd.read_csv(mini_root / "mini_truth.csv")
    truth["key"] = [
        f"{row.split}/dia{row.dialogue}_utt{row.utterance}" for row in truth.itertuples()
    ]
    return mini.table.merge(
        truth.drop(columns="split"), on="key", validate="one_to_one", suffixes=("", "_truth")
    )


@pytest.mark.slow
def test_the_bytes_are_always_the_same(mini_root: Path, tmp_path: Path, no_clips: None) -> None:
    write_mini(tmp_path / "again")  # without its clips: see test_clips.py
    names = [
        "dev_sent_emo.csv",
        "mini.json",
        "mini_truth.csv",
        "test_sent_emo.csv",
        "train_sent_emo.csv",
    ]
    assert sorted(path.name for path in mini_root.iterdir() if path.is_file()) == names
    digest = hashlib.sha256()
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (mini_root / name).read_bytes()
        digest.update((mini_root / name).read_bytes())
    assert digest.hexdigest() == BYTES_OF_VERSION[MINI_VERSION]


def test_it_never_replaces_what_is_not_a_mini_corpus(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not a mini corpus"):
        write_mini(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.slow
def test_sizes_and_balance_are_like_melds(mini: Corpus) -> None:
    table = mini.table
    assert table["split"].value_counts().to_dict() == {"train": 640, "test": 480, "val": 160}
    shares = table.groupby("split")["emotion"].value_counts(normalize=True).unstack()
    assert (shares[list(EMOTIONS)] > 0).all().all()
    assert shares["neutral"].between(0.4, 0.5).all()
    assert (shares[["disgust", "fear"]] < 0.08).all().all()
    turns = table["unit"].value_counts()
    assert (turns.min(), turns.max()) == (1, 12)
    assert mini.report["is_mini"]
    assert mini.report["table_01"] == {
        "paper": None,
        "official": None,
        "found": {"train": 640, "val": 160, "test": 480},
    }
    assert mini.name == "mini"


def test_it_holds_melds_flaws(mini: Corpus, mini_root: Path) -> None:
    quirks = mini.report["quirks"]
    everywhere = (
        "repaired_rows",
        "missing_utterance_ids",
        "rows_sharing_times",
        "dialogues_with_decreasing_starts",
        "under_100_ms",
        "spoken_by_all",
        "spoken_by_several",
    )
    assert {name: quirks[name] for name in everywhere if min(quirks[name].values()) == 0} == {}
    somewhere = (
        "missing_dialogue_ids",
        "overlong",
        "zero_length",
        "texts_under_two_labels",
        "speaker_unseen_in_train",
        "rows_overlapping_train",
    )
    assert {name: quirks[name] for name in somewhere if sum(quirks[name].values()) == 0} == {}
    raw = (mini_root / "train_sent_emo.csv").read_bytes()
    assert raw.count(b"\r\n") == 641
    assert raw.decode().count("\u0085") > 50
    assert any("\u0092" in row and "\u2019" in row for row in raw.decode().split("\r\n"))
    assert {len(time) for time in re.findall(r'"(\d+:\d\d:\d\d,\d{3})"', raw.decode())} == {11, 12}
    assert not mini.table["text"].str.contains("[\u0080-\u009f]").any()


def test_emotions_share_only_the_ambiguous_wordings() -> None:
    pools = {name: words for name, (_, words) in CLEAR.items()} | {
        name: words for name, (_, _, words) in AMBIGUOUS.items()
    }
    owners = [(word, name) for name, words in pools.items() for word in words]
    assert len({word for word, _ in owners}) == len(owners)


def test_the_shape_of_a_sentence_does_not_reveal_its_emotion() -> None:
    """Words per template and per emotion word are counted alike in all clear pools, and in all
    ambiguous ones."""

    def shape(
        templates: tuple[str, ...], words: tuple[str, ...]
    ) -> tuple[list[int], list[int], bool]:
        plain = all(
            re.fullmatch(r"[\w ]+", text.format(t="t", w="w")) for text in (*templates, *words)
        )
        return (
            sorted(len(text.split()) for text in templates),
            sorted(len(text.split()) for text in words),
            plain,
        )

    assert {repr(shape(*pool)) for pool in CLEAR.values()} == {repr(shape(*CLEAR["neutral"]))}
    assert {repr(shape(*pool[1:])) for pool in AMBIGUOUS.values()} == {
        repr(shape(*AMBIGUOUS["pleasant"][1:]))
    }
    assert shape(*CLEAR["neutral"])[2]
    assert shape(*AMBIGUOUS["pleasant"][1:])[2]


@pytest.mark.parametrize("modality", CUES)
def test_the_posterior_is_what_counting_finds(truth: pd.DataFrame, modality: str) -> None:
    """Over all rows, the share of each emotion is the mean posterior, in every ambiguous set and
    overall."""
    shown = truth[
        truth[[f"{modality}_{name}" for name in EMOTIONS]].to_numpy().max(axis=1)
        != max(PRIOR.values())
    ]
    posterior = shown[
        [f"{modality}_{name}" for name in EMOTIONS]
    ].to_numpy()  # of clips that show the modality
    assert len(shown) > 0.97 * len(truth)
    assert posterior.sum(axis=1) == pytest.approx(1, abs=1e-5)
    clear = (shown[f"{modality}_ambiguous"] == 0).to_numpy()
    assert abs(1 - clear.mean() - CUES[modality].share) < 0.05
    emotions = shown["emotion"].to_numpy()
    assert (emotions[clear] == np.array(EMOTIONS)[posterior[clear].argmax(axis=1)]).all()
    drawn = np.stack([emotions == name for name in EMOTIONS], axis=1).astype(float)
    for expected in np.unique(posterior[~clear], axis=0):
        rows = (posterior == expected).all(axis=1)
        deviation = np.sqrt(expected * (1 - expected) / rows.sum())
        assert (np.abs(drawn[rows].mean(axis=0) - expected) <= 4 * deviation + 1e-6).all()
    assert np.abs(drawn.mean(axis=0) - [PRIOR[name] for name in EMOTIONS]).max() < 0.03


def test_the_modalities_are_ambiguous_independently(truth: pd.DataFrame) -> None:
    flags = truth[[f"{modality}_ambiguous" for modality in CUES]].to_numpy()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(flags[:, one], flags[:, other])[0, 1]) < 3 / np.sqrt(len(flags))


def test_the_optimum_follows_from_the_truth(
    truth: pd.DataFrame, mini: Corpus, mini_root: Path
) -> None:
    optimum = mini_optimum(mini_root)
    assert mini.report["optimum"] == optimum
    posterior = {
        name: truth[[f"{name}_{emotion}" for emotion in EMOTIONS]].to_numpy()
        for name in ("text", "audio", "video")
    }
    prior = np.array([PRIOR[name] for name in EMOTIONS])
    fused = (
        prior
        * (posterior["text"] / prior)
        * (posterior["audio"] / prior)
        * (posterior["video"] / prior)
    )
    posterior["fused"] = fused / fused.sum(axis=1, keepdims=True)
    for split in ("train", "val", "test"):
        rows = (truth["split"] == split).to_numpy()
        for name, values in posterior.items():
            best = np.array(EMOTIONS)[values.argmax(axis=1)]
            assert optimum[split][name]["expected"] == pytest.approx(
                values[rows].max(axis=1).mean()
            )
            assert optimum[split][name]["realised"] == pytest.approx(
                (best[rows] == truth["emotion"][rows]).mean()
            )
            assert optimum[split][name]["realised"] == pytest.approx(
                optimum[split][name]["expected"], abs=0.06
            )
        assert optimum[split]["fused"]["expected"] > optimum[split]["text"]["expected"] + 0.1


@pytest.mark.slow
def test_words_reveal_the_emotion_and_length_does_not(mini: Corpus) -> None:
    train, test = (mini.table[mini.table["split"] == split] for split in ("train", "test"))
    constant = (test["emotion"] == "neutral").mean()
    optimum = mini.report["optimum"]["test"]["text"]["realised"]
    words = make_pipeline(
        CountVectorizer(ngram_range=(1, 2)), LogisticRegression(C=3, max_iter=1000)
    )
    accuracy = words.fit(train["text"], train["emotion"]).score(test["text"], test["emotion"])
    assert constant + 0.25 < accuracy <= optimum

    def shape(rows: pd.DataFrame) -> pd.DataFrame:
        counts = rows["text"].str.split().str.len()
        return pd.DataFrame(
            {
                "characters": rows["text"].str.len(),
                "words": counts,
                "span": rows["end_s"] - rows["start_s"],
                "turn": rows["utterance_id"],
                "marks": rows["text"].str.count(r"[^\w\s]"),
            }
        )

    for model in (
        LogisticRegression(max_iter=10_000),
        GradientBoostingClassifier(n_estimators=20, random_state=0),
    ):
        accuracy = model.fit(shape(train), train["emotion"]).score(shape(test), test["emotion"])
        assert accuracy < constant + 2 * np.sqrt(constant * (1 - constant) / len(test))
