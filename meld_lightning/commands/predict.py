"""`meld-lightning predict`: emotions of the user's own clips and texts, from a run, a fusion or an
exported folder."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra
from meld_lightning.commands.words import Words, taken_apart
from meld_lightning.errors import UserError

LITERAL = ("text", "from", "out", "timeline")


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    words = taken_apart(arguments, LITERAL)
    run_hydra("predict", lambda cfg: _predict(cfg, words), words.rest)


def _predict(cfg: DictConfig, words: Words) -> None:
    from meld_lightning.config.check import check
    from meld_lightning.config.nodes import Predict
    from meld_lightning.inference.answers.output import check_target, write_answers
    from meld_lightning.inference.items.table import read_items
    from meld_lightning.inference.items.windows import in_windows, windows_setting

    check(cfg, Predict)
    source = words.source(cfg)
    out = words.last("out") or cfg.out
    if out is not None:
        check_target(Path(out))
    timeline, clips = words.last("timeline") or cfg.timeline, [*cfg.clips, *words.named]
    if timeline is not None:
        from meld_lightning.inference.answers.timeline import check_picture, draw_timeline

        check_picture(Path(timeline))
        if len(clips) != 1:
            raise UserError(f"timeline={timeline}: shows one clip; {len(clips)} are named")
    items = read_items(clips, words.literal.get("text") or _several(cfg.text))
    if (windows := windows_setting(cfg.windows)) is not None:
        items = in_windows(items, windows)
    if cfg.asr is not None:
        from meld_lightning.inference.items.transcript import Transcriber, with_transcripts

        items = with_transcripts(items, Transcriber(cfg.asr, cfg.asr_language, cfg.device))

    from meld_lightning.inference.parts import Scoring
    from meld_lightning.inference.predictor import Asked, Predictor
    from meld_lightning.training.process import quieten

    quieten()
    predictor = Predictor.from_pretrained(
        source, cfg.device, allow_mini=cfg.allow_mini, cache=cfg.paths.cache
    )
    kept = None if out is None else Path(f"{out}.parts")
    how = Scoring(kept, _decoding(cfg))
    answers = predictor.answer(items, Asked(cfg.risk, cfg.conformal), how)
    _print(answers, cfg.format, predictor.about())
    if out is not None and kept is not None:
        write_answers(Path(out), answers, predictor.about())
        shutil.rmtree(kept, ignore_errors=True)
    if timeline is not None:
        draw_timeline(answers, clips[0], Path(timeline))


def _decoding(cfg: DictConfig) -> dict[str, Any]:
    return {str(key): value for key, value in cfg.media.items() if value is not None}


def _print(answers: Any, layout: str, about: dict[str, Any]) -> None:
    from meld_lightning.inference.answers.output import FORMATS
    from meld_lightning.inference.answers.terminal import show_answers

    if layout == "table":
        show_answers(answers)
    else:
        sys.stdout.write(FORMATS[f".{layout}"](answers, about))


def _several(text: Any) -> list[str]:
    return [] if text is None else [text] if isinstance(text, str) else list(text)
