"""The demo: a page on this machine that predicts the emotion of a clip or a text (extra `demo`,
Gradio).

Serves on the loopback address alone, and forbids the browser to load anything from elsewhere.
Uploaded clips are kept in a temporary folder until the demo ends. Used by the command `demo`.
"""

from __future__ import annotations

import filecmp
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.inference.answers.output import LABEL
from meld_lightning.inference.demo.answer import (
    STYLE,
    answer_html,
    caption,
    problem_html,
    text_html,
    waveform_picture,
)
from meld_lightning.inference.demo.library import HOST, load_gradio
from meld_lightning.inference.demo.policy import guarded_app
from meld_lightning.inference.items.table import read_items
from meld_lightning.inference.items.transcript import Transcriber, with_transcripts
from meld_lightning.inference.parts import Scoring
from meld_lightning.inference.predictor import Asked, Predictor
from meld_lightning.media import read_waveform
from meld_lightning.media.errors import MediaError
from meld_lightning.media.frames import iter_frames

FRAMES = 6  # shown of a clip
EVERY, SIDE = 10, 224  # frames to choose them from, and their side in pixels
MOST_KEPT = 256
RATE = 16000
LARGEST = "2gb"  # of an uploaded clip


@dataclass(frozen=True)
class Example:
    """A clip to choose from the list: its name there, its file and its text."""

    name: str
    clip: str
    text: str


class Demo:
    """Answers for the page.

    Args:
        predictor: makes the predictions.
        asked: risk and conformal, as in Predictor.
        transcriber: transcribes clips without a text; None: their text stays missing.
        examples: clips to choose from.
    """

    def __init__(
        self,
        predictor: Predictor,
        asked: Asked,
        transcriber: Transcriber | None,
        examples: Sequence[Example],
    ) -> None:
        self.predictor, self.asked, self.transcriber = predictor, asked, transcriber
        self.examples = {one.name: one for one in examples}

    def answer(self, clip: str | None, sound: str | None, text: str) -> tuple[Any, ...]:
        """The answer as HTML, frames with captions, a picture of the sound, and the text that was
        used. An error is one line in place of the answer.

        clip, sound: files; the sound is used only without a clip. text: empty if there is none.
        """
        clip = self._original(clip)
        source = clip or sound
        try:
            items = read_items([source] if source else [], [text] if text.strip() else [])
            if self.transcriber is not None:
                items = with_transcripts(items, self.transcriber)
            answers = self.predictor.answer(items, self.asked, Scoring())
        except UserError as error:
            said = str(error)
            for path in filter(None, (clip, sound)):  # show the file's name, not the temporary path
                said = said.replace(path, Path(path).name)
            return problem_html(said), [], None, text
        shown = answer_html(answers, self.predictor.source.calibrated)
        return shown, self._frames(clip), _sound(source), items["text"].iloc[0] or ""

    def pick(self, name: str | None) -> tuple[str | None, str]:
        """The clip and the text of an example."""
        one = self.examples.get(name or "")
        return (one.clip, one.text) if one else (None, "")

    def _original(self, clip: str | None) -> str | None:
        """The example's file if `clip` is Gradio's copy of one; else `clip`."""
        for one in self.examples.values():
            if clip and filecmp.cmp(clip, one.clip, shallow=False):
                return one.clip
        return clip

    def _frames(self, clip: str | None) -> list[tuple[np.ndarray, str]]:
        """Some frames of the clip, each with the video model's answer to it alone."""
        try:
            chosen = _spread_frames(clip) if clip else []
        except MediaError:  # the answer says why
            return []
        if not chosen or "video" not in self.predictor.source.members:
            return [(frame, "") for frame in chosen]
        try:
            alone = Predictor(self.predictor.source, allow_mini=True)(
                clips=[one[None] for one in chosen]
            )
        except UserError:  # none of them can be read, such as by a model of faces without a face
            return [(frame, "") for frame in chosen]
        labels = list(self.predictor.labels)
        p_FC = alone[[LABEL + label for label in labels]].to_numpy()
        return [
            (frame, missing.get("video") or caption(labels, p_C))
            for frame, p_C, missing in zip(chosen, p_FC, alone["missing"], strict=True)
        ]


def _spread_frames(clip: str) -> list[np.ndarray]:
    """FRAMES frames spread over the clip. An hour of video takes no more memory than a minute."""
    kept: list[np.ndarray] = []
    step = 1  # of every how many frames one is kept
    for number, frame in enumerate(iter_frames(clip, EVERY, SIDE, keep_cut=True)):
        if number % step == 0:
            kept.append(frame)
        if len(kept) == MOST_KEPT:
            kept, step = kept[::2], 2 * step
    places = np.unique(np.linspace(0, len(kept) - 1, FRAMES).round().astype(int))
    return [kept[place] for place in places] if kept else []


def _sound(source: str | None) -> Any:
    try:
        return (
            waveform_picture(read_waveform(source, RATE, keep_cut=True), RATE) if source else None
        )
    except MediaError:  # the answer says why
        return None


def build_page(demo: Demo) -> Any:
    """The page as a Gradio application."""
    gradio = load_gradio()
    source = demo.predictor.source
    mini = "Made from the mini corpus: drawn faces and synthetic voices." if source.mini else ""
    has_video = "video" in source.members
    with gradio.Blocks(title="meld-lightning", analytics_enabled=False) as page:
        about = f"{text_html(source.describe())}. {mini}"
        gradio.Markdown(
            f"<h2>Emotion of a clip</h2><p>{about}</p><p>Everything stays on this machine.</p>"
        )
        with gradio.Row(equal_height=False):
            with gradio.Column(min_width=280):
                clip = gradio.Video(
                    label="Clip: drop one here or record one",
                    sources=["upload", "webcam"],
                    webcam_options=gradio.WebcamOptions(mirror=False),
                )
                with gradio.Accordion("Sound alone", open=False):
                    sound = gradio.Audio(
                        label="Sound", sources=["upload", "microphone"], type="filepath"
                    )
                names = list(demo.examples)
                example = gradio.Dropdown(
                    names, value=None, label="or a clip of the mini corpus", visible=bool(names)
                )
                text = gradio.Textbox(
                    label="Text", placeholder="What is said, if you know it", lines=2
                )
                button = gradio.Button("Predict", variant="primary")
            with gradio.Column(min_width=280):
                # no gradio.HTML, whose templates need a policy with 'unsafe-eval'
                shown = gradio.Markdown(sanitize_html=False, latex_delimiters=[])
                frames = gradio.Gallery(
                    label="Frames" + (", with the video model's answer to each" * has_video),
                    columns=3, height="auto", object_fit="contain", interactive=False,
                    visible=False, buttons=["fullscreen"],
                )  # fmt: skip
                wave = gradio.Image(
                    label="Sound", interactive=False, visible=False, buttons=["fullscreen"]
                )
                heard = gradio.Textbox(
                    label="Text that was used", interactive=False, lines=2, visible=False
                )

        def answered(*given: Any) -> list[Any]:
            answer, pictures, sound_picture, words = demo.answer(*given)
            return [
                answer,
                gradio.update(value=pictures, visible=bool(pictures)),
                gradio.update(value=sound_picture, visible=sound_picture is not None),
                gradio.update(value=words, visible=bool(words)),
            ]

        example.change(demo.pick, example, [clip, text], api_visibility="private")
        button.click(
            answered, [clip, sound, text], [shown, frames, wave, heard],
            api_visibility="private",
        )  # fmt: skip
    return page


def serve(demo: Demo, port: int, on_start: Callable[[str], object] = print) -> None:
    """Serves the page until it is interrupted.

    on_start: called with the address.
    """
    with tempfile.TemporaryDirectory(prefix="meld-lightning-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        gradio = load_gradio()
        import uvicorn

        fonts = ["system-ui", "sans-serif"]
        app = gradio.mount_gradio_app(
            guarded_app(), build_page(demo), path="/", server_name=HOST, max_file_size=LARGEST,
            allowed_paths=sorted({str(Path(one.clip).parent) for one in demo.examples.values()}),
            show_error=True, footer_links=[], css=STYLE,
            theme=gradio.themes.Default(font=fonts, font_mono=["monospace"]),
        )  # fmt: skip
        on_start(f"http://{HOST}:{port}")
        uvicorn.run(app, host=HOST, port=port, log_level="warning")
