"""What a training refuses to read, and the `prepare` command that it then suggests."""

from pathlib import Path

from tests.corpus.manifests import manifest, speech
from tests.running import argv, run, run_well

WORDS = ("corpus=manifest", "corpus.root=mine.csv", "checkpoints=minilm")


def test_each_refusal_names_the_cause_and_the_same_checkpoints(tmp_path: Path) -> None:
    def refused(*words: str) -> str:
        done = run(argv("train", *WORDS, *words), tmp_path)
        assert done.returncode == 1
        assert not (tmp_path / "runs").exists()
        return done.stderr.strip().splitlines()[-1]

    path = manifest(tmp_path, speech())
    remedy = f"run: meld-lightning prepare corpus=manifest corpus.root={path} corpus.split="
    rest = "corpus.folds=5 corpus.fold=0 checkpoints=minilm"
    said = refused("corpus.split=row")
    assert said.endswith(f"is not prepared in cache; {remedy}row {rest}")
    run_well(argv("prepare", *WORDS, "corpus.split=row", "media.keep=[]"), tmp_path)
    said = refused("corpus.split=dialogue")
    other = "with these settings (it is with other values of corpus.split)"
    assert said.endswith(f"is not prepared in cache {other}; {remedy}dialogue {rest}")
    said = refused("corpus.split=row", "model=mfcc")
    assert "corpus manifest has no sound: no row has a file in clip or audio; train a text" in said
    manifest(tmp_path, speech(59))
    said = refused("corpus.split=row")
    assert said.endswith(f"mine.csv: missing or changed since it was prepared; {remedy}row {rest}")
