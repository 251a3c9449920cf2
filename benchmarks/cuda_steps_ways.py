"""The ways of training and scoring that cuda_steps.py measures, each through the project's own
datamodule, module and Trainer.

Reads a cache that `prepare` has filled with the mini corpus, or fills one; writes below one folder,
and into a given cache only the records of two checkpoints.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from benchmarks.cuda_steps_figures import COUNTED, WARM_UP, Figures, Stretches
from meld_lightning.errors import Stopped

MODELS = {
    "bert": ("model=bert", "checkpoints.bert={folder}/bert"),
    "wav2vec2": ("model=wav2vec2", "checkpoints.wav2vec2={folder}/wav2vec2"),
    "speech_probe": ("model=speech_probe", "optimizer.lr=1e-3"),
    "mfcc": ("model=mfcc", "optimizer.lr=1e-3"),
    "clip_probe": ("model=clip_probe", "optimizer.lr=1e-3"),
}


class Bench:
    """What all ways read, and the ways.

    Args:
        folder: for checkpoints and run folders.
        cache: filled with the mini corpus already; None prepares it below `folder`.
        steps: of the timed stretch.
        overrides: of conf/train.yaml.
    """

    def __init__(
        self, folder: Path, cache: Path | None, steps: int, overrides: tuple[str, ...]
    ) -> None:
        self.folder, self.steps, self.overrides = folder, steps, overrides
        self.cache = cache.resolve() if cache else folder / "cache"

    def prepare(self) -> None:
        """The mini corpus and its small checkpoints, unless the cache was given, and random
        checkpoints of real shapes."""
        import transformers

        from benchmarks.speech_inference import prepare as prepare_wav2vec2
        from meld_lightning.pretrained.checkpoints import prepare_checkpoint, prepared_checkpoint
        from meld_lightning.study.preparation import prepare
        from meld_lightning.training.process import quieten

        quieten()
        if self.cache.is_relative_to(self.folder):
            cfg = self.compose("model=roberta", "checkpoints.bert=null")
            with _conf():  # the clips that mini's CLIP is made from have settings of their own
                prepare(cfg)
        prepare_wav2vec2(str(self.folder / "wav2vec2"), "base")
        torch.set_num_threads(1)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            prepared_checkpoint("mini:roberta", self.cache).folder
        )
        tokenizer.save_pretrained(self.folder / "bert")
        transformers.set_seed(1)
        transformers.BertModel(transformers.BertConfig()).save_pretrained(self.folder / "bert")
        for name in ("bert", "wav2vec2"):
            prepare_checkpoint(str(self.folder / name), self.cache, None)

    def compose(self, *overrides: str) -> Any:
        """conf/train.yaml with these overrides and the user's."""
        from hydra import compose

        fixed = ("corpus=mini", f"paths.cache='{self.cache}'", f"paths.runs='{self.folder}/runs'")
        with _conf():
            return compose(
                "train",
                [*fixed, "machine.checkpoint_every_s=1e9", *overrides, *self.overrides],
            )

    def measured(self, way: str) -> Figures:
        """The figures of one way."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        own: dict[str, Callable[[], Figures]] = {
            "plain": self.plain,
            "clip": self.clip,
            "wav2vec2_scoring": self.wav2vec2_scoring,
        }
        return own[way]() if way in own else self.trained(way)

    def trained(self, way: str) -> Figures:
        """As `train` trains, checkpoints and validation left out."""
        from meld_lightning.training.build import make_trainer
        from meld_lightning.training.callbacks import RunCallbacks
        from meld_lightning.training.signals import StopRequest

        cfg, built = self._built(way)
        stretches = Stretches(self.steps)
        callbacks = RunCallbacks.of_run(
            self.folder / "run", cfg.monitor, cfg.machine.checkpoint_every_s, StopRequest()
        )
        trainer = make_trainer(cfg, callbacks)
        trainer.callbacks.append(stretches)  # type: ignore[attr-defined]
        try:
            trainer.fit(built.module, built.datamodule)
        except Stopped:
            return stretches.figures()
        raise RuntimeError("the fit ended before it was measured")

    def plain(self) -> Figures:
        """The same BERT on the same batches in a plain loop of torch and transformers."""
        import transformers

        torch.use_deterministic_algorithms(False)
        cfg, built = self._built("bert")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            self.folder / "bert", num_labels=len(built.labels)
        )
        model = model.to(device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        schedule = transformers.get_scheduler("linear", optimizer, 0, 10_000)
        stretches = Stretches(self.steps)
        bf16 = cfg.numerics.precision == "bf16-mixed"
        try:
            for batch in built.datamodule.train_dataloader():
                ids_NT, mask_NT, labels_N = (
                    one.to(device, non_blocking=True)
                    for one in (batch.input_ids_NT, batch.attention_mask_NT, batch.labels_N)
                )
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    output = model(input_ids=ids_NT, attention_mask=mask_NT, labels=labels_N)
                output.loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                stretches.ended(len(labels_N))
        except Stopped:
            return stretches.figures()
        raise RuntimeError("the loop ended before it was measured")

    def _built(self, way: str) -> tuple[Any, Any]:
        """Config and parts of a training; train's rows are repeated, so that an epoch lasts for all
        stretches."""
        from meld_lightning.runs.inputs import read_inputs
        from meld_lightning.training.build import build

        cfg = self.compose(*(one.format(folder=self.folder) for one in MODELS[way]))
        pl.seed_everything(cfg.seed, verbose=False)
        built = build(cfg, read_inputs(cfg))
        rows, steps = built.datamodule.rows, WARM_UP + self.steps + 2 * COUNTED
        times = 1 + (steps + 1) * built.datamodule.batch_size // len(rows("train"))

        def repeated(split: str) -> np.ndarray:
            return np.tile(rows(split), times) if split == "train" else rows(split)

        built.datamodule.rows = repeated  # type: ignore[method-assign]
        return cfg, built

    def clip(self) -> Figures:
        """Embeddings of frames as data/video.py computes them, at CLIP ViT-B/32's shape."""
        from transformers import CLIPConfig, CLIPModel

        from meld_lightning.data.video import AT_ONCE
        from meld_lightning.pretrained.clip import Clip

        cfg = self.compose("model=clip")
        module = Clip.__new__(Clip)
        torch.nn.Module.__init__(module)
        torch.manual_seed(1)
        module.model = CLIPModel(CLIPConfig(projection_dim=512)).requires_grad_(False)
        for name in ("mean_3", "std_3"):
            module.register_buffer(name, torch.full((3,), 0.5))
        module = module.to(_device()).eval()
        frames = np.random.default_rng(1).integers(0, 256, (AT_ONCE, 224, 224, 3), dtype=np.uint8)
        return self._scored(cfg, AT_ONCE, lambda: module(frames).float().cpu())

    def wav2vec2_scoring(self) -> Figures:
        """Logits of the longest clips of train, in batches as a split is scored."""
        cfg, built = self._built("wav2vec2")
        module = built.module.to(_device()).eval()
        batch = next(iter(built.datamodule.scoring_dataloader("train")))
        items = len(batch.rows_N)

        def score() -> Any:
            return module.predict_step(module.transfer_batch_to_device(batch, _device(), 0), 0)

        return self._scored(cfg, items, score)

    def _scored(self, cfg: Any, items: int, score: Callable[[], Any]) -> Figures:
        stretches = Stretches(self.steps)
        bf16 = torch.autocast(
            _device().type, torch.bfloat16, enabled=cfg.numerics.precision == "bf16-mixed"
        )
        try:
            with torch.inference_mode(), bf16:
                while True:
                    score()
                    stretches.ended(items)
        except Stopped:
            return stretches.figures()


def device_line() -> str:
    """The device and the versions that decide its speed."""
    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}"


def _conf() -> Any:
    from hydra import initialize_config_dir

    from meld_lightning.config.tree import conf_dir

    return initialize_config_dir(str(conf_dir()), version_base="1.3")


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
