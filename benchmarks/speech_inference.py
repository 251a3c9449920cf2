"""CPU time of scoring a clip with a fine-tuned wav2vec2-base, beside transformers' pipeline.

    python benchmarks/speech_inference.py --durations clip_durations.csv

Four ways over the same clips of 1 to 12 s on one checkpoint, taken in turn, each in a process of
its own:

    ours        models/audio.py on batches as data/audio.py makes them, in bf16 where this CPU
                computes it fast
    ours_alone  the same, a clip a batch
    ours_fp32   ours in fp32
    pipeline    transformers' audio-classification pipeline, fp32, clip by clip

Goal, in CPU time and where bf16 is fast: pipeline takes 2.66 times ours. The checkpoint has
wav2vec2-base's shape and random weights, the clips are the mini corpus's voices. Logits in fp32 are
compared with those of transformers' model on each clip alone first; where they are more than 1e-4
apart nothing is timed and the exit status is 1. Otherwise it is 0, however fast or slow. How often
bf16 gives the label that fp32 gives is told beside. Uses no GPU; writes to a temporary folder
alone. The last line printed is one JSON object.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decoding import durations
from benchmarks.side_by_side import Timing, in_a_process, in_turn, one_thread, summary, timed

TOLERANCE = 1e-4  # of logits, fp32
GOALS = {"pipeline": 2.66}
LABELS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
RATE, SHORTEST, LONGEST = 16000, 1.0, 12.0  # Hz; seconds
# shorter than any clip: what a new length costs stays in the time
WARM_UP_T = np.zeros(RATE // 2, dtype=np.float32)
SHAPES: dict[str, dict[str, Any]] = {
    "base": {},  # Wav2Vec2Config's defaults are wav2vec2-base in all that scoring depends on
    "tiny": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "conv_dim": (16,) * 7,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
    },
}


@dataclass(frozen=True)
class Setting:
    """What one process needs to know: the checkpoint's folder, the clips' durations, and whether
    bf16 is fast here."""

    folder: str
    seconds: tuple[float, ...]
    threads: int
    bf16: bool


def ours(setting: Setting) -> Timing:
    """As `train` scores a split: batches of conf's eval_batch_size, in bf16 if that is fast."""
    return _ours(setting, setting.bf16, None)


def ours_alone(setting: Setting) -> Timing:
    """A clip a batch."""
    return _ours(setting, setting.bf16, 1)


def ours_fp32(setting: Setting) -> Timing:
    """In fp32."""
    return _ours(setting, False, None)


def pipeline(setting: Setting) -> Timing:
    """What the pipeline gives for each clip: log-probabilities (N, C)."""
    import torch
    import transformers

    _ready(setting.threads)
    classify: Any = transformers.pipeline(
        "audio-classification", setting.folder, device="cpu", dtype=torch.float32
    )

    def score(clip_T: np.ndarray) -> list[float]:
        found = {
            one["label"]: one["score"]
            for one in classify({"raw": clip_T, "sampling_rate": RATE}, top_k=None)
        }
        return [float(np.log(found[label])) for label in LABELS]

    score(WARM_UP_T)
    clips = voices(setting.seconds)
    return timed(lambda: np.array([score(clip_T) for clip_T in clips]), len)


WAYS = (ours, ours_alone, ours_fp32, pipeline)


def _ours(setting: Setting, bf16: bool, batch_size: int | None) -> Timing:
    from meld_lightning.training.process import keep_freed_memory

    _ready(setting.threads)
    keep_freed_memory()  # as every run does
    module, eval_batch_size = _module(setting)
    _scores(module, _batches([WARM_UP_T], 1), bf16)
    batches = _batches(voices(setting.seconds), batch_size or eval_batch_size)
    return timed(lambda: _scores(module, batches, bf16), len)


def _module(setting: Setting) -> tuple[Any, int]:
    """The run's module as conf/ describes it, with the checkpoint's own head, and the size of a
    batch it scores."""
    import torch
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate
    from transformers import AutoModelForAudioClassification

    from meld_lightning.config.tree import conf_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", ["model=wav2vec2", f"checkpoints.wav2vec2='{setting.folder}'"])
    module: Any = instantiate(cfg.model, _partial_=True, _convert_="all")(
        labels=LABELS,
        train_counts=np.ones(len(LABELS), dtype=np.int64),
        optimizer=partial(torch.optim.AdamW, lr=1e-4),
        scheduler=("linear", 0.0),
        total_steps=1,
        gradient_clip=1.0,
        seed=1,
    )
    theirs = AutoModelForAudioClassification.from_pretrained(setting.folder)
    module.projector.load_state_dict(theirs.projector.state_dict())
    module.classifier.load_state_dict(theirs.classifier.state_dict())
    return module.eval(), int(cfg.eval_batch_size)


def _batches(clips: Sequence[np.ndarray], size: int) -> list[Any]:
    """The clips as AudioDataModule batches them for scoring, rows_N their places."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from meld_lightning.data.audio import AudioBatch
    from meld_lightning.data.batches import by_length

    lengths, batches = np.array([len(clip_T) for clip_T in clips]), []
    for rows in by_length(lengths, size, 0, 1):
        wave_NT = pad_sequence([torch.from_numpy(clips[row]) for row in rows], batch_first=True)
        labels_N, rows_N = torch.zeros(len(rows), dtype=torch.long), torch.from_numpy(rows)
        samples_N = torch.from_numpy(lengths[rows])
        batches.append(AudioBatch(wave_NT, samples_N, labels_N, rows_N, labels_N == 0, labels_N))
    return batches


def _scores(module: Any, batches: Sequence[Any], bf16: bool) -> np.ndarray:
    """Logits (N, C) in the clips' order; autocast and inference mode as Lightning's Trainer sets
    them in predict."""
    import torch

    scored = []
    with torch.inference_mode():
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
                scored.append(module.predict_step(batch, 0))
    return torch.cat([one.logits_NC for one in scored])[
        torch.cat([one.rows_N for one in scored]).argsort()
    ].numpy()


def compare(setting: Setting) -> tuple[dict[str, float], np.ndarray]:
    """Largest difference of our fp32 logits from those of transformers' own model on the clip
    alone, and these (N, C).

    `padded` is the way of training and of GPUs: clips padded to the longest of their batch, and
    masked.
    """
    import torch
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    _ready(setting.threads)
    clips = voices(setting.seconds)
    theirs: Any = AutoModelForAudioClassification.from_pretrained(setting.folder).eval()
    extractor: Any = AutoFeatureExtractor.from_pretrained(setting.folder)
    with torch.inference_mode():
        inputs = [
            extractor(clip_T, sampling_rate=RATE, return_tensors="pt")["input_values"]
            for clip_T in clips
        ]
        expected_NC = torch.cat([theirs(one).logits for one in inputs]).numpy()
    module, eval_batch_size = _module(setting)
    module.requires_grad_(False)
    found = {"ours": _scores(module, _batches(clips, eval_batch_size), False)}
    found["padded"] = np.empty_like(expected_NC)
    for batch in _batches(clips, 4):  # gradients are on, but of no parameter, so nothing is kept
        found["padded"][batch.rows_N] = module(batch).numpy()
    return {
        way: float(np.abs(logits - expected_NC).max()) for way, logits in found.items()
    }, expected_NC


def same_label(logits_NC: np.ndarray, fp32_NC: np.ndarray) -> float:
    """Share of clips with one and the same label, each class measured from fp32's mean over the
    clips: without that, a head of random weights gives every clip the same label."""
    mean_C = fp32_NC.mean(0)
    return float(((logits_NC - mean_C).argmax(1) == (fp32_NC - mean_C).argmax(1)).mean())


def prepare(folder: str, shape: str) -> bool:
    """Writes the checkpoint; says whether this CPU computes bf16 fast."""
    import torch
    import transformers

    _ready(1)
    transformers.set_seed(1)
    named = dict(enumerate(LABELS))
    shaped = SHAPES[shape] | {
        "id2label": named,
        "label2id": {label: place for place, label in named.items()},
    }
    config = transformers.Wav2Vec2Config(**shaped)
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=False)  # as base's
    extractor.save_pretrained(folder)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def voices(seconds: Sequence[float]) -> list[np.ndarray]:
    """A clip (T,) of each duration, with every tone of the mini corpus in turn."""
    from meld_lightning.mini.voices import TONES, speak

    tones, stream = list(TONES), random.Random(1)
    return [speak(tones[place % len(tones)], one, stream) for place, one in enumerate(seconds)]


def _ready(threads: int) -> None:
    import torch

    from meld_lightning.training.process import quieten

    quieten()
    torch.set_num_threads(threads)


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--durations",
        type=Path,
        help="CSV with the clips' seconds in its column file_seconds_emobox",
    )
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="base")
    args = parser.parse_args()
    one_thread(args.threads)
    seconds = tuple(
        min(max(one, SHORTEST), LONGEST) for one in durations(args.durations, args.clips)
    )
    with tempfile.TemporaryDirectory() as folder:
        bf16 = in_a_process(prepare, folder, args.shape)
        setting = Setting(folder, seconds, args.threads, bf16)
        precision, mean = "bf16" if bf16 else "fp32", sum(seconds) / len(seconds)
        print(f"{len(seconds)} clips, {mean:.2f} s each, ours in {precision}", flush=True)
        found, fp32_NC = in_a_process(compare, setting)
        same = max(found.values()) <= TOLERANCE
        offs = ", ".join(f"{way} {off:.1e}" for way, off in found.items())
        print(f"largest difference from transformers' logits: {offs}", flush=True)
        told: dict[str, Any] = {"same": same, "differences": found}
        told |= {"clips": len(seconds), "seconds": sum(seconds)}
        if same:
            rounds = in_turn(WAYS, args.rounds, setting)
            agreement = {
                way: same_label(timings[0].output, fp32_NC) for way, timings in rounds.items()
            }
            shares = ", ".join(f"{way} {share:.1%}" for way, share in agreement.items())
            print(f"same label as in fp32: {shares}")
            told |= {"rounds": args.rounds, "threads": args.threads, "shape": args.shape}
            told |= {"precision": precision, "agreement": agreement}
            told["ways"] = summary(rounds, "utterance", GOALS if setting.bf16 else {}, "ours")
        else:
            print(f"more than {TOLERANCE:.0e}: the results differ, so nothing is timed", flush=True)
    print(json.dumps(told))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
