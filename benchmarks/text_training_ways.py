"""The three ways of training that text_training.py times, and the comparison of their results."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH, LONGEST, WARM_UP = 16, 512, 5


@dataclass(frozen=True)
class Setting:
    """What one process needs to know: the run as overrides of conf/train.yaml, and how much of it
    to time."""

    overrides: tuple[str, ...]
    folder: str
    precision: str
    threads: int
    steps: int
    padded_batch: int
    seed: int


@dataclass(frozen=True)
class Measured:
    """One timed stretch of training steps."""

    utterances_per_s: float
    utterances_per_cpu_s: float
    utterances: int
    padding: float  # share of cells that hold padding
    # of a large matrix product of the same dtype, right before; per CPU second unless on a GPU
    peak_gflops: float
    share_of_peak: float  # arithmetic on real tokens alone


class Stretch:
    """Measures from the end of step `warm_up` to the end of the last one: time, and the tokens that
    go into `encoder`."""

    def __init__(self, encoder: Any, warm_up: int, steps: int) -> None:
        self.lengths: list[Any] = []  # of the utterances of every step so far
        self.cells: list[int] = []
        self.warm_up, self.last = warm_up, warm_up + steps
        self.began = self.ended = (0.0, 0.0)
        encoder.register_forward_pre_hook(self._count, with_kwargs=True)

    def step_ended(self) -> bool:
        """To be called after every optimiser step; True after the last one."""
        if len(self.cells) == self.warm_up:
            self.began = _now()
        if len(self.cells) == self.last:
            self.ended = _now()
        return len(self.cells) >= self.last

    def _count(self, _: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        mask_NT = kwargs["attention_mask"]
        self.lengths.append(mask_NT.sum(1).tolist())
        self.cells.append(mask_NT.numel())

    def measured(self, encoder: Any, peak: float) -> Measured:
        lengths = [length for step in self.lengths[self.warm_up : self.last] for length in step]
        wall_s, cpu_s = (end - start for start, end in zip(self.began, self.ended, strict=True))
        flops = _training_flops(encoder, lengths)
        return Measured(
            utterances_per_s=len(lengths) / wall_s,
            utterances_per_cpu_s=len(lengths) / cpu_s,
            utterances=len(lengths),
            padding=1 - sum(lengths) / sum(self.cells[self.warm_up : self.last]),
            peak_gflops=peak / 1e9,
            share_of_peak=flops / (wall_s, cpu_s)[_clock()] / peak,
        )


def ours(setting: Setting) -> Measured:
    """The project's training as `train` runs it, checkpoints and validation left out."""
    import numpy as np
    import pytorch_lightning as pl

    from meld_lightning.errors import Stopped
    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.training.build import build, make_trainer
    from meld_lightning.training.callbacks import RunCallbacks
    from meld_lightning.training.process import keep_freed_memory
    from meld_lightning.training.signals import StopRequest

    class Clock(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            if stretch.step_ended():
                raise Stopped("measured")

    cfg = compose(setting)
    peak = _peak_flops(setting.precision)
    keep_freed_memory()
    pl.seed_everything(cfg.seed, verbose=False)
    _, _, datamodule, module = build(cfg, read_inputs(cfg))
    rows = np.random.default_rng(setting.seed).permutation(datamodule.rows("train"))
    datamodule.table.loc[rows[setting.steps * BATCH :], "split"] = (
        "unused"  # whole stretches of length grouping
    )
    warm_up = min(WARM_UP, setting.steps - 1)
    stretch = Stretch(module.encoder, warm_up, setting.steps - warm_up)
    callbacks = RunCallbacks.of_run(
        Path(setting.folder) / "run", cfg.monitor, cfg.machine.checkpoint_every_s, StopRequest()
    )
    trainer = make_trainer(cfg, callbacks)
    trainer.callbacks.append(Clock())  # type: ignore[attr-defined]
    try:
        trainer.fit(module, datamodule)
    except Stopped:
        return stretch.measured(module.encoder, peak)
    raise RuntimeError("the fit ended before it was measured")


def grouped(setting: Setting) -> Measured:
    """transformers.Trainer with everything it offers for speed."""
    options = {
        "train_sampling_strategy": "group_by_length",
        "bf16": setting.precision == "bf16-mixed",
    }
    return _transformers(setting, setting.precision, BATCH, setting.steps, WARM_UP, None, options)


def padded(setting: Setting) -> Measured:
    """transformers.Trainer on inputs padded to 512 tokens, fp32. Two steps, of fewer utterances,
    since it is slow."""
    return _transformers(setting, "32-true", setting.padded_batch, 2, 1, LONGEST, {})


def _transformers(
    setting: Setting,
    precision: str,
    batch: int,
    steps: int,
    warm_up: int,
    length: int | None,
    options: dict[str, Any],
) -> Measured:
    import torch
    import transformers

    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.training.build import build

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stretch.step_ended()

    cfg = compose(setting)
    peak = _peak_flops(precision)
    _, labels, datamodule, _ = build(cfg, read_inputs(cfg))
    transformers.set_seed(setting.seed)
    model, tokenizer = _their_model(cfg, len(labels))
    texts = datamodule.table["text"].to_numpy()
    features = [
        {
            **tokenizer(texts[row], truncation=True, max_length=LONGEST),
            "labels": int(datamodule.labels_N[row]),
        }
        for row in datamodule.rows("train")
    ]
    stretch = Stretch(model, warm_up, steps)
    arguments = transformers.TrainingArguments(
        output_dir=str(Path(setting.folder) / "transformers"),
        per_device_train_batch_size=batch,
        max_steps=warm_up + steps,
        learning_rate=cfg.optimizer.lr,
        weight_decay=cfg.optimizer.weight_decay,
        max_grad_norm=cfg.gradient_clip,
        optim="adamw_torch_fused",
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_nan_inf_filter=False,
        seed=setting.seed,
        use_cpu=not torch.cuda.is_available(),
        **options,
    )
    pad = transformers.DataCollatorWithPadding(tokenizer, "max_length" if length else True, length)
    dataset: Any = features  # a list does, whatever the type says
    trainer = transformers.Trainer(
        model, arguments, pad, dataset, processing_class=tokenizer, callbacks=[Clock()]
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return stretch.measured(model, peak)


def differences(setting: Setting) -> dict[str, float]:
    """Largest difference of logits and loss between our module and transformers' own model, over
    two training batches.

    Theirs gets the text from its own tokenizer, in the first batch padded to the longest utterance,
    in the second to LONGEST tokens.
    """
    import pytorch_lightning as pl
    import torch
    from transformers import DataCollatorWithPadding

    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.training.build import build

    module: Any
    cfg = compose(setting, "numerics=fp32")
    _, labels, datamodule, module = build(cfg, read_inputs(cfg))
    module.trainer = pl.Trainer(accelerator="cpu", barebones=True)
    model, tokenizer = _their_model(cfg, len(labels))
    model.load_state_dict(module.encoder.state_dict())
    module.eval()
    model.eval()
    found = {"logits": 0.0, "loss": 0.0}
    loader = iter(datamodule.train_dataloader())
    for how in (
        DataCollatorWithPadding(tokenizer),
        DataCollatorWithPadding(tokenizer, "max_length", LONGEST),
    ):
        batch = next(loader)
        texts = datamodule.table["text"].iloc[batch.rows_N.numpy()]
        inputs = how([dict(tokenizer(text, truncation=True, max_length=LONGEST)) for text in texts])
        with torch.inference_mode():
            theirs = model(**inputs, labels=batch.labels_N)
            found["logits"] = max(
                found["logits"], float((module(batch) - theirs.logits).abs().max())
            )
            found["loss"] = max(
                found["loss"], abs(float(module.training_step(batch, 0) - theirs.loss))
            )
    return found


def _their_model(cfg: Any, classes: int) -> tuple[Any, Any]:
    """transformers' own model and tokenizer from the folder that our run's checkpoint lies in."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from meld_lightning.runs.inputs import read_inputs

    checkpoint = read_inputs(cfg).checkpoint
    assert checkpoint is not None
    folder = checkpoint.folder
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=classes)
    return model, AutoTokenizer.from_pretrained(folder)


def compose(setting: Setting, *more: str) -> Any:
    """The run's config, and this process's threads set as it says."""
    import torch
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    from meld_lightning.config.tree import conf_dir
    from meld_lightning.training.process import quieten

    quieten()
    torch.set_num_threads(setting.threads)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra_compose("train", [*setting.overrides, f"seed={setting.seed}", *more])


def _peak_flops(precision: str) -> float:
    """Floating-point operations per second of a large matrix product here and now."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    size = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(4):
        start = _now()[_clock()]
        a @ b
        seconds.append(_now()[_clock()] - start)
    return 2 * size**3 / min(seconds)


def _training_flops(model: Any, lengths: list[int]) -> float:
    """Operations of forward and backward through BERT's layers: 6 for each parameter and token, 12
    for each layer, hidden unit and pair of tokens."""
    encoder = model.bert.encoder
    parameters = sum(p.numel() for p in encoder.parameters())
    pairs = 12 * len(encoder.layer) * model.config.hidden_size
    return float(sum(6 * parameters * length + pairs * length**2 for length in lengths))


def _clock() -> int:
    """The entry of `_now` that times arithmetic: CPU seconds, unless a GPU does the work."""
    import torch

    return 0 if torch.cuda.is_available() else 1


def _now() -> tuple[float, float]:
    """Wall time and CPU time of this process, all threads, in seconds."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()
