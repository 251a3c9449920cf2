"""`meld-lightning demo`: a page on this machine that answers about a clip."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra
from meld_lightning.commands.words import Words, taken_apart
from meld_lightning.errors import UserError

if TYPE_CHECKING:
    from meld_lightning.inference.demo.page import Example

EXAMPLES = 12  # clips of the mini corpus to pick from


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    words = taken_apart(arguments, ("from",))
    run_hydra("demo", lambda cfg: _demo(cfg, words), words.rest)


def _demo(cfg: DictConfig, words: Words) -> None:
    from meld_lightning.config.check import check
    from meld_lightning.config.nodes import Demo as Keys

    check(cfg, Keys)
    source = words.source(cfg)
    if words.named:
        raise UserError(f"{words.named[0]}: leave it out; clips are chosen on the page")
    from meld_lightning.inference.demo.library import HOST, load_gradio

    load_gradio()  # fails here if it is missing, before anything heavy is imported
    _refuse_taken(HOST, cfg.port)

    from meld_lightning.inference.demo.page import Demo, serve
    from meld_lightning.inference.items.transcript import Transcriber
    from meld_lightning.inference.predictor import Asked, Predictor
    from meld_lightning.training.process import quieten

    quieten()
    cache = cfg.paths.cache
    predictor = Predictor.from_pretrained(
        source, cfg.device, allow_mini=cfg.allow_mini, cache=cache
    )
    transcriber = None
    if cfg.asr is not None:
        transcriber = Transcriber(cfg.asr, cfg.asr_language, cfg.device)
    mini = Path(cache or "cache") / "mini"
    demo = Demo(predictor, Asked(cfg.risk), transcriber, _examples(mini))
    serve(demo, cfg.port, lambda address: print(f"{address}   (Ctrl+C ends it)", flush=True))


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(
                f"port={port}: {reason}; give another, such as port={port + 1}"
            ) from error


def _examples(folder: Path) -> "list[Example]":
    """Clips of the mini corpus that was written into `folder`; none if there is none."""
    from meld_lightning.corpus import load_corpus
    from meld_lightning.inference.demo.page import Example

    if not folder.is_dir():
        return []
    table = load_corpus(folder, layout="meld").table
    test = table[(table["split"] == "test") & table["clip"].notna()].head(EXAMPLES)
    return [
        Example(f"{row['key']}: {row['text'][:60]}", str(Path(row["clip"]).resolve()), row["text"])
        for row in test.to_dict("records")
    ]
