"""Utterances per second of this project's text training step, beside the Hugging Face Trainer's.

    python benchmarks/text_training.py --meld /data/MELD

Three ways of training the same model on the same utterances, taken in turn, each in a process of
its own:

    ours     the project's own Trainer, module and batches (training/build.py): length-grouped,
             padded to the batch's longest utterance
    grouped  transformers.Trainer at its best: group_by_length, dynamic padding, the same precision,
             fused AdamW
    padded   transformers.Trainer the paper's way: everything padded to 512 tokens, fp32

Logits and losses are compared first; where they differ nothing is timed and the exit status is 1.
Otherwise it is 0, however fast or slow. Reads the corpus; writes to a temporary folder alone. The
last line printed is one JSON object.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import in_a_process
from benchmarks.text_training_ways import (
    BATCH,
    Measured,
    Setting,
    compose,
    differences,
    grouped,
    ours,
    padded,
)

MODELS = ("minilm", "bert-base-shape")
TOLERANCE = 1e-5  # of logits and losses, fp32
GOALS = {
    "padded": {"goal": 60.0},
    "grouped": {"goal": 1.2},
}  # how many times as fast as each


def prepare(args: argparse.Namespace, model: str, folder: Path) -> Setting:
    """Corpus, checkpoint and precision, as `meld-lightning prepare` leaves them, in `folder`."""
    import torch

    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.study.preparation import prepare as prepare_cache
    from meld_lightning.training.process import quieten

    quieten()
    cache = folder / "cache"
    corpus = (
        ("corpus=meld", f"corpus.root='{args.meld.resolve()}'") if args.meld else ("corpus=mini",)
    )
    checkpoint = (
        "bundled:all-MiniLM-L6-v2"
        if model == "minilm"
        else str(_bert_base(cache, folder / "bert-base"))
    )
    fast = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    numerics = "bf16" if fast else "fp32"
    overrides = (
        *corpus,
        "checkpoints=minilm",
        f"checkpoints.bert='{checkpoint}'",
        f"numerics={numerics}",
        f"numerics.threads={args.threads}",
        f"paths.cache='{cache}'",
        f"data.batch_size={BATCH}",
        "machine.checkpoint_every_s=1e9",
    )
    precision = "bf16-mixed" if fast else "32-true"
    setting = Setting(
        overrides, str(folder), precision, args.threads, args.steps, args.padded_batch, seed=1
    )
    cfg = compose(setting)
    prepare_cache(cfg)
    table = read_inputs(cfg).corpus.table
    return replace(setting, steps=min(args.steps, int((table["split"] == "train").sum()) // BATCH))


def _bert_base(cache: Path, folder: Path) -> Path:
    """BERT of bert-base's shape with random weights, behind MiniLM's tokenizer: BERT's own."""
    import transformers

    from meld_lightning.pretrained.checkpoints import prepare_checkpoint

    transformers.AutoTokenizer.from_pretrained(
        prepare_checkpoint("bundled:all-MiniLM-L6-v2", cache, None).folder
    ).save_pretrained(folder)
    transformers.set_seed(1)
    transformers.BertModel(transformers.BertConfig()).save_pretrained(folder)
    return folder


def compare_and_measure(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """Everything about one model; its key `same` says whether there is anything to compare."""
    with tempfile.TemporaryDirectory() as folder:
        setting = in_a_process(prepare, args, model, Path(folder))
        found = in_a_process(differences, setting)
        same = max(found.values()) <= TOLERANCE
        print(
            f"\n{model}: difference of logits {found['logits']:.1e}, of loss {found['loss']:.1e}",
            flush=True,
        )
        if not same:
            print(
                f"{model}: more than {TOLERANCE:.0e}: the results differ, so nothing is timed",
                flush=True,
            )
            return {"same": False, "differences": found}
        rounds: dict[str, list[Measured]] = {way.__name__: [] for way in (ours, grouped, padded)}
        for number in range(args.rounds):
            for way in (ours, grouped, padded):
                rounds[way.__name__].append(in_a_process(way, replace(setting, seed=number + 1)))
    return {
        "same": True,
        "differences": found,
        "precision": setting.precision,
        "steps": setting.steps,
        "ways": _summary(rounds),
    }


def _summary(rounds: dict[str, list[Measured]]) -> dict[str, Any]:
    """Median and every round; ours is compared round by round, so that a slow minute counts for all
    alike."""
    ways: dict[str, Any] = {}
    print(
        f"{'':8}{'utterances/s':>13}{'low - high':>17}{'per CPU s':>11}{'padding':>9}{'of peak':>9}"
        f"{'ours is':>10}{'by CPU s':>10}   goal"
    )
    for name, measured in rounds.items():
        every = [asdict(one) for one in measured]
        median = {key: statistics.median(one[key] for one in every) for key in every[0]}
        speeds = [one.utterances_per_s for one in measured]
        faster = [
            o.utterances_per_s / m.utterances_per_s
            for o, m in zip(rounds["ours"], measured, strict=True)
        ]
        by_cpu = [
            o.utterances_per_cpu_s / m.utterances_per_cpu_s
            for o, m in zip(rounds["ours"], measured, strict=True)
        ]
        ways[name] = {
            "median": median,
            "rounds": every,
            "ours_faster": statistics.median(faster),
            "ours_faster_rounds": faster,
            "ours_faster_by_cpu_s": statistics.median(by_cpu),
            "ours_faster_by_cpu_s_rounds": by_cpu,
            **GOALS.get(name, {}),
        }
        print(
            f"{name:8}{median['utterances_per_s']:13.2f}"
            f"{f'{min(speeds):.2f} - {max(speeds):.2f}':>17}"
            f"{median['utterances_per_cpu_s']:11.2f}{median['padding']:9.1%}{median['share_of_peak']:9.1%}"
            f"{statistics.median(faster):9.2f}x{statistics.median(by_cpu):9.2f}x   "
            + ", ".join(f"{kind} {times:g}x" for kind, times in GOALS.get(name, {}).items()),
            flush=True,
        )
    return ways


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--meld",
        type=Path,
        help="folder with MELD's CSVs; without it the mini corpus, whose shorter and more even "
        "utterances flatter every way that pads little: lengths matter",
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--steps",
        type=int,
        default=100,
        help="batches a measurement; whole stretches of 50, the ones sorted together",
    )
    parser.add_argument(
        "--padded-batch",
        type=int,
        default=4,
        help="utterances a step of the padded way: two steps, after one to warm up",
    )
    args = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    print(
        f"Batches of {BATCH} ({args.padded_batch} where padded), {args.threads} thread(s),"
        f" {args.rounds} round(s)"
    )
    models = {model: compare_and_measure(model, args) for model in args.models}
    settings = {key: value for key, value in vars(args).items() if key != "meld"}
    print(json.dumps({**settings, "corpus": "meld" if args.meld else "mini", "models": models}))
    return 0 if all(model["same"] for model in models.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
